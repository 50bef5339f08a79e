//! The windows that hold the pieces of a plan.
//!
//! 1. Each piece knows all places at which a window holds it **well inside**: with half of the overlap between the piece and the
//!    window's border, as far as the piece's own window has that much.
//! 2. Windows are chosen one by one: the piece that can share its window with the fewest others is next, and its window is
//!    placed where it holds as many other pieces as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::frame::Frame;
use crate::region::Region;

/// Pieces whose windows are chosen together. More would only take longer: neighbours are next to each other in the list.
const TOGETHER: usize = 256;

/// Pieces that are considered for one new window.
const NEAR: usize = 64;

/// The part of a piece that a window must show to be used for its object. A window with less of it is a view that is paid with a run
/// of the mask decoder and changes little.
const LEAST_PART: f64 = 0.25;

/// The first voxel of a window, `(d, h, w)` in voxels of the crop; negative if the window starts with padding.
pub type Start = [isize; 3];

/// A part of an object that fits into one window.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) object: usize,
    /// The voxels to look at, in the crop.
    pub(crate) seen: Region,
    /// The same with the margin around them.
    pub(crate) region: Region,
    /// The window that the piece would have by itself.
    pub(crate) own: Start,
    /// The starts of all windows that hold the region; `own` is one of them.
    pub(crate) starts: [RangeInclusive<isize>; 3],
}

impl Piece {
    pub(crate) fn is_held_by(&self, start: &Start) -> bool {
        (0..3).all(|axis| self.starts[axis].contains(&start[axis]))
    }

    fn is_held_by_any<'a>(&self, starts: impl IntoIterator<Item = &'a Start>) -> bool {
        starts.into_iter().any(|start| self.is_held_by(start))
    }

    fn shares_a_window_with(&self, other: &Self) -> bool {
        let meet = |a: &RangeInclusive<isize>, b: &RangeInclusive<isize>| a.start() <= b.end() && b.start() <= a.end();
        (0..3).all(|axis| meet(&self.starts[axis], &other.starts[axis]))
    }
}

/// The windows of a plan.
pub struct Cover {
    window: [usize; 3],
    crop: [usize; 3],
    pieces: Vec<Piece>,
    pub(crate) starts: BTreeSet<Start>,
}

impl Cover {
    /// Windows that hold every piece.
    pub(crate) fn of(mut pieces: Vec<Piece>, window: [usize; 3], crop: [usize; 3]) -> Self {
        // By places alone, so that the order of the objects changes nothing.
        pieces.sort_by_key(|piece| (piece.own, piece.region.min_dhw, piece.region.max_dhw));
        let starts = chosen(&pieces);
        Self { window, crop, pieces, starts }
    }

    /// The same without the windows whose pieces `shown` divides among known ones.
    pub(crate) fn reusing(&self, shown: impl Fn(&Piece) -> Option<Vec<Piece>>) -> Self {
        let parts: Vec<Option<Vec<Piece>>> = self.pieces.iter().map(shown).collect();
        // Each piece counts for the first window that holds it, as when they were chosen.
        let holder = |piece: &Piece| self.starts.iter().find(|start| piece.is_held_by(start)).copied();
        let open = self.pieces.iter().zip(&parts).filter(|(_, parts)| parts.is_none());
        let mut starts: BTreeSet<Start> = open.filter_map(|(piece, _)| holder(piece)).collect();
        let mut pieces = Vec::new();
        for (piece, parts) in self.pieces.iter().zip(parts) {
            match parts {
                Some(parts) if !piece.is_held_by_any(&starts) => pieces.extend(parts),
                _ => pieces.push(piece.clone()),
            }
        }
        starts.extend(
            pieces.iter().filter(|piece| !piece.is_held_by_any(&starts)).map(|piece| piece.own).collect::<Vec<_>>(),
        );
        Self { window: self.window, crop: self.crop, pieces, starts }
    }

    /// The number of windows that are not known.
    pub(crate) fn to_encode(&self, known: &[Start]) -> usize {
        self.starts.iter().filter(|start| !known.contains(start)).count()
    }

    /// The objects that have pieces, each once.
    pub fn objects(&self) -> BTreeSet<usize> {
        self.pieces.iter().map(|piece| piece.object).collect()
    }

    /// The windows that show at least a quarter of one of the object's pieces, in raster order.
    pub fn windows_of(&self, object: usize) -> impl Iterator<Item = Frame> {
        let shows = move |start: &&Start| {
            self.pieces.iter().filter(|piece| piece.object == object).any(|piece| {
                let part = |axis: usize| {
                    let (first, last) = (piece.region.min_dhw[axis], piece.region.max_dhw[axis]);
                    let from = first.cast_signed().max(start[axis]);
                    let to = (last + 1).cast_signed().min(start[axis].saturating_add_unsigned(self.window[axis]));
                    (to - from).max(0) as f64 / (last + 1 - first) as f64
                };
                (0..3).map(part).product::<f64>() >= LEAST_PART
            })
        };
        self.starts.iter().filter(shows).map(|start| Frame::new(*start, self.window, self.crop.map(|n| 0..n)))
    }
}

/// Windows that hold every piece. Each holds a piece that no earlier one holds.
fn chosen(pieces: &[Piece]) -> BTreeSet<Start> {
    let mut starts: Vec<Start> = Vec::new();
    let all: Vec<&Piece> = pieces.iter().collect();
    for together in all.chunks(TOGETHER) {
        let mut together: Vec<&Piece> =
            together.iter().copied().filter(|piece| !piece.is_held_by_any(&starts)).collect();
        while let Some(start) = next_window(&together) {
            together.retain(|piece| !piece.is_held_by(&start));
            starts.push(start);
        }
    }
    starts.sort_unstable();
    pieces.iter().filter_map(|piece| starts.iter().find(|start| piece.is_held_by(start)).copied()).collect()
}

/// A window for the piece that can share it with the fewest others, where it also holds as many of these as possible; `None`
/// if there are no pieces.
fn next_window(pieces: &[&Piece]) -> Option<Start> {
    let partners = |piece: &Piece| pieces.iter().filter(|other| piece.shares_a_window_with(other)).count();
    let next = pieces.iter().min_by_key(|piece| partners(piece))?;
    let distance = |piece: &Piece| (0..3).map(|axis| piece.own[axis].abs_diff(next.own[axis])).sum::<usize>();
    let mut near: Vec<&Piece> = pieces.iter().copied().filter(|piece| next.shares_a_window_with(piece)).collect();
    near.sort_by_key(|piece| distance(piece));
    near.truncate(NEAR);
    // If a window holds some pieces, it can be moved back until it starts at the first place that one of them allows.
    let places: [BTreeMap<isize, u64>; 3] = std::array::from_fn(|axis| {
        let starts = near.iter().map(|piece| *piece.starts[axis].start()).filter(|at| next.starts[axis].contains(at));
        let held = |at: isize| {
            let bits = near.iter().enumerate().filter(|(_, piece)| piece.starts[axis].contains(&at));
            bits.fold(0, |bits, (bit, _)| bits | 1 << bit)
        };
        starts.map(|at| (at, held(at))).collect()
    });
    let mut best: u64 = 0;
    for d in places[0].values() {
        for dh in places[1].values().map(|h| d & h) {
            if dh.count_ones() > best.count_ones() {
                for dhw in places[2].values().map(|w| dh & w) {
                    if dhw.count_ones() > best.count_ones() {
                        best = dhw;
                    }
                }
            }
        }
    }
    let held: Vec<&Piece> =
        near.iter().enumerate().filter(|(bit, _)| best & (1 << bit) != 0).map(|(_, piece)| *piece).collect();
    Some(std::array::from_fn(|axis| {
        // All of these ranges meet; the window is as near to the pieces' own as they allow.
        let first = held.iter().map(|piece| *piece.starts[axis].start()).max().unwrap_or(next.own[axis]);
        let last = held.iter().map(|piece| *piece.starts[axis].end()).min().unwrap_or(next.own[axis]);
        let sum: isize = held.iter().map(|piece| piece.own[axis]).sum();
        (sum / held.len().max(1).cast_signed()).clamp(first, last)
    }))
}
