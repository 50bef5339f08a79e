//! What the windows of earlier calls show of a piece.
//!
//! A known window is used for a voxel of a piece if it shows the voxel as well as the piece's own window does: with half of
//! the overlap between the voxel and the window's border, as far as the piece's region has it. So every voxel that a new window
//! shows well enough can be looked at in it later, and the same call again encodes nothing.

use std::ops::Range;

use ndarray::{Array3, s};

use crate::cover::{Piece, Start};
use crate::region::{Region, Run, runs};
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
/// they do not show all of it.
pub(crate) fn shown(
    piece: &Piece,
    look: &dyn Fn([usize; 3]) -> bool,
    known: &[Start],
    sizes: Sizes<'_>,
) -> Option<Vec<Piece>> {
    let runs: [Vec<Run>; 3] = [0, 1, 2].map(|axis| runs(&sizes.tables[axis], piece.seen.range(axis)));
    let looked = |[d, h, w]: [usize; 3]| look([runs[0][d].source, runs[1][h].source, runs[2][w].source]);
    let mut left = Array3::from_shape_fn([0, 1, 2].map(|axis| runs[axis].len()), |(d, h, w)| looked([d, h, w]));
    let boxes = known.iter().map(|start| (*start, [0, 1, 2].map(|axis| seen_along(axis, piece, start, &runs, sizes))));
    let mut boxes: Vec<_> = boxes.filter(|(_, places)| places.iter().all(|range| !range.is_empty())).collect();
    let count = |row: &[bool]| row.iter().filter(|&&looked| looked).count();
    // The order of equals is that of the known windows.
    boxes.sort_by_cached_key(|(_, places)| {
        let rows = left.slice(s![places[0].clone(), places[1].clone(), places[2].clone()]);
        std::cmp::Reverse(rows.rows().into_iter().map(|row| count(row.to_slice().expect(ROW))).sum::<usize>())
    });
    let mut open = left.iter().filter(|&&left| left).count();
    let mut parts = Vec::new();
    for (start, [d, h, w]) in boxes {
        if open == 0 {
            break;
        }
        let mut around: Option<Region> = None;
        for (d, h) in d.flat_map(|d| h.clone().map(move |h| (d, h))) {
            let mut row = left.slice_mut(s![d, h, w.clone()]);
            let row = row.as_slice_mut().expect(ROW);
            let (Some(first), Some(last)) = (row.iter().position(|&left| left), row.iter().rposition(|&left| left))
            else {
                continue;
            };
            open -= count(row);
            row.fill(false);
            let along = &runs[2][w.start..];
            let own = Region {
                min_dhw: [runs[0][d].first, runs[1][h].first, along[first].first],
                max_dhw: [runs[0][d].last, runs[1][h].last, along[last].last],
            };
            around = Some(around.map_or(own, |around| around.and(own)));
        }
        let part =
            around.map(|region| Piece { region, seen: region, own: start, starts: start.map(|at| at..=at), ..*piece });
        parts.extend(part);
    }
    (open == 0).then_some(parts)
}

/// The places of the runs that a window shows well enough along an axis.
fn seen_along(axis: usize, piece: &Piece, start: &Start, runs: &[Vec<Run>; 3], sizes: Sizes<'_>) -> Range<usize> {
    let (region, margin) = (&piece.region, sizes.margin[axis]);
    let end = start[axis].saturating_add_unsigned(sizes.window[axis]);
    let seen = |run: &Run| {
        let first = run.first.saturating_sub(margin).max(region.min_dhw[axis]).cast_signed();
        let last = (run.last + margin).min(region.max_dhw[axis]).cast_signed();
        start[axis] <= first && last < end
    };
    let first = runs[axis].iter().position(seen).unwrap_or(0);
    let count = runs[axis][first..].iter().take_while(|run| seen(run)).count();
    first..first + count
}
