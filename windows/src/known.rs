//! What the windows of earlier calls show of a piece.
//!
//! A known window is used for a voxel of a piece if it shows the voxel as well as the piece's own window does: with half of
//! the overlap between the voxel and the window's border, as far as the piece's region has it. So every voxel that a new window
//! shows well enough can be looked at in it later, and the same call again encodes nothing.
//!
//! An object that needs several windows may also end near the border: windows that were cut for it together with others end
//! where the last of them does. So a call for some of the objects of an earlier one encodes nothing.

use std::ops::Range;

use ndarray::{Array3, s};

use crate::cover::{Piece, Start};
use crate::region::Region;
use segvol_scan::resize::IndexTables;

const ROW: &str = "the voxels of a row are one after the other";

/// Sizes along the axes.
#[derive(Clone, Copy)]
pub(crate) struct Sizes<'a> {
    /// For every crop voxel, the voxel of the zoom-out window that shows it.
    pub(crate) tables: &'a IndexTables,
    /// Voxels of a window.
    pub(crate) window: [usize; 3],
    /// Half of the overlap, in voxels.
    pub(crate) margin: [usize; 3],
}

/// Divides a piece into parts that windows of `known` show, each with its window. Windows that show the most come first. `None` if
/// they do not show all of it. `large` is the region of the object, if it needs several windows.
pub(crate) fn shown(
    piece: &Piece,
    look: &dyn Fn([usize; 3]) -> bool,
    large: Option<&Region>,
    known: &[Start],
    sizes: Sizes<'_>,
) -> Option<Vec<Piece>> {
    let Region { min_dhw: min, .. } = piece.seen;
    // By voxels of the crop: a voxel of the zoom-out window may be partly in one window and partly in another.
    let source = |at: [usize; 3]| [0, 1, 2].map(|axis| sizes.tables[axis][min[axis] + at[axis]]);
    let mut left = Array3::from_shape_fn(piece.seen.shape_dhw(), |(d, h, w)| look(source([d, h, w])));
    let views =
        known.iter().map(|start| (*start, [0, 1, 2].map(|axis| Along::of(axis, piece, start[axis], large, sizes))));
    let mut views: Vec<_> = views.filter(|(_, axes)| axes.iter().all(|along| !along.places.is_empty())).collect();
    let count = |row: &[bool]| row.iter().filter(|&&looked| looked).count();
    // The order of equals is that of the known windows.
    views.sort_by_cached_key(|(_, [d, h, w])| {
        let rows = left.slice(s![d.places.clone(), h.places.clone(), w.places.clone()]);
        std::cmp::Reverse(rows.rows().into_iter().map(|row| count(row.to_slice().expect(ROW))).sum::<usize>())
    });
    let mut open = count(left.as_slice().expect(ROW));
    let mut parts = Vec::new();
    for (start, axes) in views {
        if open == 0 {
            break;
        }
        let continues = |at: [usize; 3]| {
            (0..3).any(|axis| {
                axes[axis].beyond(at[axis]).any(|beyond| {
                    let mut voxel = source(at);
                    voxel[axis] = beyond;
                    look(voxel)
                })
            })
        };
        let mut around: Option<Region> = None;
        for (d, h) in axes[0].places.clone().flat_map(|d| axes[1].places.clone().map(move |h| (d, h))) {
            let mut row = left.slice_mut(s![d, h, ..]);
            for w in axes[2].places.clone() {
                if row[w] && !continues([d, h, w]) {
                    row[w] = false;
                    open -= 1;
                    let voxel = [min[0] + d, min[1] + h, min[2] + w];
                    let own = Region { min_dhw: voxel, max_dhw: voxel };
                    around = Some(around.map_or(own, |around| around.and(own)));
                }
            }
        }
        let part =
            around.map(|region| Piece { region, seen: region, own: start, starts: start.map(|at| at..=at), ..*piece });
        parts.extend(part);
    }
    (open == 0).then_some(parts)
}

/// What a window shows of a piece along one axis.
struct Along {
    /// The places in the piece that it may show well enough.
    places: Range<usize>,
    /// For each of these, the voxels of the zoom-out window beyond a border that is near, where the object must have ended.
    near: Vec<[Range<usize>; 2]>,
}

impl Along {
    fn of(axis: usize, piece: &Piece, start: isize, large: Option<&Region>, sizes: Sizes<'_>) -> Self {
        let (region, margin, table) = (&piece.region, sizes.margin[axis], &sizes.tables[axis]);
        let from = start.max(0).cast_unsigned();
        let to = start.saturating_add_unsigned(sizes.window[axis]).max(0).cast_unsigned();
        // As well as the piece's own window.
        let as_well = |at: usize| {
            from <= at.saturating_sub(margin).max(region.min_dhw[axis]) && (at + margin).min(region.max_dhw[axis]) < to
        };
        let object = large.map_or(0..0, |region| region.range(axis));
        let seen = |at: usize| as_well(at) || (!object.is_empty() && (from..to).contains(&at));
        let all = piece.seen.range(axis);
        let first = all.clone().find(|&at| seen(at)).unwrap_or(all.end);
        let end = (first..all.end).find(|&at| !seen(at)).unwrap_or(all.end);
        let sources = |from: usize, to: usize| match table.get(from.max(object.start)..to.min(object.end)) {
            Some([first, .., last]) => *first..last + 1,
            Some([one]) => *one..one + 1,
            _ => 0..0,
        };
        let near = (first..end).map(|at| {
            if as_well(at) {
                return [0..0, 0..0];
            }
            let before = if at < from + margin { sources(from.saturating_sub(margin), from) } else { 0..0 };
            let after = if at + margin >= to { sources(to, to + margin) } else { 0..0 };
            [before, after]
        });
        let near = near.collect();
        Self { places: first - all.start..end - all.start, near }
    }

    fn beyond(&self, place: usize) -> impl Iterator<Item = usize> {
        self.near[place - self.places.start].iter().flat_map(Range::clone)
    }
}
