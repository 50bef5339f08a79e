//! The plan of the zoom-in pass: the fewest windows in which everything can be seen that must be looked at.
//!
//! 1. Each object is divided into **pieces**, each small enough for one window. An object that fits into one window is one
//!    piece. A larger one is cut along the axis that needs the most windows, at the same distances, and each part is cut along
//!    the next axis where its own voxels lie. So no window is spent on a part of the region where there is nothing to look at.
//! 2. Each piece knows all places at which a window holds it **well inside**: with half of the overlap between the piece and the
//!    window's border, as far as the piece's own window has that much.
//! 3. Windows are chosen one by one: the piece that can share its window with the fewest others is next, and its window is
//!    placed where it holds as many other pieces as possible.
//! 4. Windows of earlier calls are known. If all windows that were chosen are, they stay. Otherwise known windows are taken for
//!    the pieces that they hold, and new ones are chosen for the others, if that leaves fewer windows to encode.
//!
//! The plan depends on nothing but its inputs: not on a clock, on threads or on the size of a cache.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::frame::Frame;
use crate::region::{Region, bounding_box};
use segvol_scan::resize::IndexTables;

/// Pieces whose windows are chosen together. More would only take longer: neighbours are next to each other in the list.
const TOGETHER: usize = 256;

/// Pieces that are considered for one new window.
const NEAR: usize = 64;

/// The first voxel of a window, `(d, h, w)` in voxels of the crop; negative if the window starts with padding.
pub type Start = [isize; 3];

/// Plans windows in one crop.
pub struct Planner<'a> {
    /// For every crop voxel along each axis, the voxel of the zoom-out window that shows it.
    pub tables: &'a IndexTables,
    /// Voxels of a window, `[D, H, W]`.
    pub window: [usize; 3],
    /// The least overlap of neighbouring windows of one object, as a fraction of the window per axis.
    pub overlap: f64,
}

/// A part of an object that fits into one window.
#[derive(Debug, Clone)]
pub struct Piece {
    object: usize,
    /// The voxels to look at, and the margin around them, in the crop.
    region: Region,
    /// The window that the piece would have by itself.
    own: Start,
    /// The starts of all windows that hold the region; `own` is one of them.
    starts: [RangeInclusive<isize>; 3],
}

impl Piece {
    fn is_held_by(&self, start: &Start) -> bool {
        (0..3).all(|axis| self.starts[axis].contains(&start[axis]))
    }

    fn is_held_by_any(&self, starts: &[Start]) -> bool {
        starts.iter().any(|start| self.is_held_by(start))
    }

    fn shares_a_window_with(&self, other: &Self) -> bool {
        let meet = |a: &RangeInclusive<isize>, b: &RangeInclusive<isize>| a.start() <= b.end() && b.start() <= a.end();
        (0..3).all(|axis| meet(&self.starts[axis], &other.starts[axis]))
    }
}

impl Planner<'_> {
    fn crop(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.tables[axis].len())
    }

    /// Divides an object into pieces. Their order is that of their places.
    ///
    /// - `region`: the object's region of interest.
    /// - `look`: whether a voxel of the zoom-out window must be looked at.
    pub fn pieces(&self, object: usize, region: &Region, look: impl Fn([usize; 3]) -> bool + Copy) -> Vec<Piece> {
        let fits = (0..3).all(|axis| region.shape_dhw()[axis] <= self.window[axis]);
        let mut pieces = Vec::new();
        let cut = Cut { object, centre: fits.then_some(*region), limits: *region, own: [None; 3] };
        self.divide(cut, look, &mut pieces);
        pieces
    }

    fn divide(&self, cut: Cut, look: impl Fn([usize; 3]) -> bool + Copy, pieces: &mut Vec<Piece>) {
        let Some(seen) = bounding_box(self.tables, std::array::from_fn(|axis| cut.limits.range(axis)), look) else {
            return;
        };
        let shape = seen.shape_dhw();
        let count = |axis: usize| windows_along(shape[axis], self.window[axis], self.overlap);
        // The first of equals.
        let longest = (0..3).rev().filter(|&axis| cut.own[axis].is_none()).max_by_key(|&axis| count(axis));
        let Some(axis) = longest.filter(|&axis| count(axis) > 1) else {
            pieces.push(self.piece(&cut, &seen));
            return;
        };
        let (count, first, last) = (count(axis), seen.min_dhw[axis], seen.max_dhw[axis]);
        // Windows at equal distances: the first starts with the voxels to look at, and the last ends with them.
        let start = |n: usize| first + (n * (shape[axis] - self.window[axis]) + (count - 1) / 2) / (count - 1);
        let mut from = first;
        for n in 0..count {
            // A voxel belongs to the window whose centre is nearest.
            let to = if n + 1 == count { last } else { (start(n) + start(n + 1) + self.window[axis]) / 2 - 1 };
            let mut part = cut;
            part.limits = seen;
            (part.limits.min_dhw[axis], part.limits.max_dhw[axis]) = (from, to);
            part.own[axis] = Some(start(n).cast_signed());
            self.divide(part, look, pieces);
            from = to + 1;
        }
    }

    fn piece(&self, cut: &Cut, seen: &Region) -> Piece {
        let crop = self.crop();
        let (mut region, mut own, mut starts) = (*seen, [0; 3], [const { 0..=0 }; 3]);
        for axis in 0..3 {
            let window = self.window[axis];
            let allowed = match crop[axis].checked_sub(window) {
                Some(last) => 0..=last.cast_signed(),
                // A crop that is smaller than the window is in its middle.
                None => {
                    let padding = ((window - crop[axis]) / 2).cast_signed();
                    -padding..=-padding
                }
            };
            let centre = cut.centre.unwrap_or(*seen);
            let padding = window.saturating_sub(centre.shape_dhw()[axis]) / 2;
            let centred = centre.min_dhw[axis].cast_signed() - padding.cast_signed();
            own[axis] = cut.own[axis].unwrap_or(centred).clamp(*allowed.start(), *allowed.end());
            let (shown_from, shown_to) =
                (own[axis].max(0).cast_unsigned(), own[axis].saturating_add_unsigned(window).cast_unsigned());
            let margin = (self.overlap / 2.0 * window as f64) as usize;
            region.min_dhw[axis] = seen.min_dhw[axis].saturating_sub(margin).max(shown_from);
            region.max_dhw[axis] = (seen.max_dhw[axis] + margin).min(shown_to - 1).min(crop[axis] - 1);
            let first = (region.max_dhw[axis] + 1).cast_signed() - window.cast_signed();
            let last = region.min_dhw[axis].cast_signed();
            starts[axis] = first.max(*allowed.start())..=last.min(*allowed.end());
        }
        Piece { object: cut.object, region, own, starts }
    }

    /// The windows that hold every piece. `known` are the windows of earlier calls, in their order.
    pub fn cover(&self, mut pieces: Vec<Piece>, known: &[Start]) -> Cover {
        // By places alone, so that the order of the objects changes nothing.
        pieces.sort_by_key(|piece| (piece.own, piece.region.min_dhw, piece.region.max_dhw));
        let fresh = chosen(&pieces, &[]);
        let to_encode = |starts: &BTreeSet<Start>| starts.iter().filter(|start| !known.contains(start)).count();
        let starts = match to_encode(&fresh) {
            0 => fresh,
            new => {
                let again = chosen(&pieces, known);
                if to_encode(&again) < new { again } else { fresh }
            }
        };
        Cover { window: self.window, crop: self.crop(), pieces, starts }
    }
}

/// Windows that hold every piece: those of `known`, earlier ones first, then others. Each holds a piece that no earlier one
/// holds.
fn chosen(pieces: &[Piece], known: &[Start]) -> BTreeSet<Start> {
    let mut starts = known.to_vec();
    let open: Vec<&Piece> = pieces.iter().filter(|piece| !piece.is_held_by_any(&starts)).collect();
    for together in open.chunks(TOGETHER) {
        let mut together: Vec<&Piece> =
            together.iter().copied().filter(|piece| !piece.is_held_by_any(&starts[known.len()..])).collect();
        while let Some(start) = next_window(&together) {
            together.retain(|piece| !piece.is_held_by(&start));
            starts.push(start);
        }
    }
    starts[known.len()..].sort_unstable();
    pieces.iter().filter_map(|piece| starts.iter().find(|start| piece.is_held_by(start)).copied()).collect()
}

/// A part of an object that may still be too large for one window.
#[derive(Clone, Copy)]
struct Cut {
    object: usize,
    /// The region on which the window is centred, for an object that fits into one; otherwise on the voxels to look at.
    centre: Option<Region>,
    limits: Region,
    /// The window's start along the axes that were cut.
    own: [Option<isize>; 3],
}

/// Number of windows over `length` voxels of which neighbours overlap by at least the fraction `overlap` of a window.
fn windows_along(length: usize, window: usize, overlap: f64) -> usize {
    if length <= window {
        return 1;
    }
    let step = ((window as f64 * (1.0 - overlap)) as usize).max(1);
    1 + (length - window).div_ceil(step)
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

/// The windows of a plan.
pub struct Cover {
    window: [usize; 3],
    crop: [usize; 3],
    pieces: Vec<Piece>,
    starts: BTreeSet<Start>,
}

impl Cover {
    /// The objects that have pieces, each once.
    pub fn objects(&self) -> BTreeSet<usize> {
        self.pieces.iter().map(|piece| piece.object).collect()
    }

    /// The windows that show a part of one of the object's pieces, in raster order.
    pub fn windows_of(&self, object: usize) -> impl Iterator<Item = Frame> {
        let shows = move |start: &&Start| {
            self.pieces.iter().filter(|piece| piece.object == object).any(|piece| {
                (0..3).all(|axis| {
                    let end = start[axis].saturating_add_unsigned(self.window[axis]);
                    start[axis] <= piece.region.max_dhw[axis].cast_signed()
                        && piece.region.min_dhw[axis].cast_signed() < end
                })
            })
        };
        self.starts.iter().filter(shows).map(|start| Frame::new(*start, self.window, self.crop.map(|n| 0..n)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: [usize; 3] = [8, 8, 8];

    /// A crop that the zoom-out window shows voxel by voxel.
    fn tables(crop: [usize; 3]) -> IndexTables {
        crop.map(|n| (0..n).collect())
    }

    fn region(min_dhw: [usize; 3], max_dhw: [usize; 3]) -> Region {
        Region { min_dhw, max_dhw }
    }

    /// The windows of objects that fill their regions.
    fn starts(crop: [usize; 3], overlap: f64, regions: &[Region], known: &[Start]) -> Vec<Start> {
        let tables = tables(crop);
        let planner = Planner { tables: &tables, window: WINDOW, overlap };
        let pieces = regions.iter().enumerate().flat_map(|(index, region)| planner.pieces(index, region, |_| true));
        planner.cover(pieces.collect(), known).starts.into_iter().collect()
    }

    #[test]
    fn a_region_of_one_window_is_in_its_middle_and_shows_the_scan_around_it() {
        let inside = region([9, 10, 11], [14, 15, 16]);
        assert_eq!(starts([30; 3], 0.25, &[inside], &[]), [[8, 9, 10]]);
        let at_the_border = region([0, 10, 26], [3, 15, 29]);
        assert_eq!(starts([30; 3], 0.25, &[at_the_border], &[]), [[0, 9, 22]]);
    }

    #[test]
    fn a_crop_smaller_than_the_window_is_in_its_middle() {
        assert_eq!(starts([5, 8, 20], 0.25, &[region([0, 0, 3], [4, 7, 6])], &[]), [[-1, 0, 1]]);
    }

    #[test]
    fn windows_are_at_equal_distances_from_end_to_end() {
        let long = region([2, 11, 11], [2 + 18, 14, 14]);
        assert_eq!(starts([30; 3], 0.0, &[long], &[]), [[2, 9, 9], [8, 9, 9], [13, 9, 9]]);
        assert_eq!(starts([30; 3], 0.5, &[long], &[]).len(), 4);
    }

    #[test]
    fn no_window_is_spent_where_there_is_nothing_to_look_at() {
        let (crop, whole) = ([24; 3], region([0; 3], [23; 3]));
        let tables = tables(crop);
        let planner = Planner { tables: &tables, window: WINDOW, overlap: 0.0 };
        // Two small parts at opposite corners of the region.
        let look = |[d, h, w]: [usize; 3]| d.max(h).max(w) < 3 || d.min(h).min(w) > 20;
        let cover = planner.cover(planner.pieces(0, &whole, look), &[]);
        assert_eq!(cover.starts.into_iter().collect::<Vec<_>>(), [[0, 0, 0], [16, 16, 16]]);
        assert!(planner.pieces(0, &whole, |_| false).is_empty());
    }

    #[test]
    fn objects_share_a_window_that_holds_both_well_inside() {
        let (a, b) = (region([10, 10, 10], [12, 12, 12]), region([10, 10, 13], [12, 12, 14]));
        assert_eq!(starts([30; 3], 0.25, &[a, b], &[]).len(), 1);
        let far = region([10, 10, 18], [12, 12, 19]);
        assert_eq!(starts([30; 3], 0.25, &[a, far], &[]).len(), 2);
    }

    #[test]
    fn a_small_object_uses_a_window_of_a_large_one() {
        let large = region([4, 4, 4], [20, 8, 8]);
        let alone = starts([30; 3], 0.25, &[large], &[]);
        let small = region([12, 6, 6], [13, 7, 7]);
        assert_eq!(starts([30; 3], 0.25, &[large, small], &[]).len(), alone.len());
    }

    #[test]
    fn known_windows_are_used_only_if_that_saves_windows() {
        let crop = [40; 3];
        let object = region([10, 10, 10], [12, 12, 12]);
        let own = starts(crop, 0.25, &[object], &[]);
        let other = [7, 7, 7];
        assert_ne!(own, [other]);
        assert_eq!(starts(crop, 0.25, &[object], &[other]), [other], "it holds the object well inside");
        assert_eq!(starts(crop, 0.25, &[object], &[other, own[0]]), own, "nothing has to be encoded for its own");
        assert_eq!(starts(crop, 0.25, &[object], &[[5, 5, 5]]), own, "the object is at the border of the known window");
    }

    fn any_region(crop: usize) -> impl Strategy<Value = Region> {
        prop::array::uniform6(0..crop).prop_map(|ends| {
            let end = |axis: usize| (ends[axis].min(ends[axis + 3]), ends[axis].max(ends[axis + 3]));
            region([end(0).0, end(1).0, end(2).0], [end(0).1, end(1).1, end(2).1])
        })
    }

    proptest! {
        #[test]
        fn every_voxel_is_well_inside_a_window_of_its_object(
            crop in prop::array::uniform3(5_usize..28),
            regions in prop::collection::vec(any_region(28), 1..6),
            overlap in prop::sample::select(vec![0.0, 0.25, 0.5, 0.75]),
            known in prop::collection::vec(prop::array::uniform3(0_isize..20), 0..4),
        ) {
            let clipped = |region: Region| Region {
                min_dhw: std::array::from_fn(|axis| region.min_dhw[axis].min(crop[axis] - 1)),
                max_dhw: std::array::from_fn(|axis| region.max_dhw[axis].min(crop[axis] - 1)),
            };
            let regions: Vec<Region> = regions.into_iter().map(clipped).collect();
            let fits = |start: &Start| (0..3).all(|axis| start[axis] as usize + WINDOW[axis] <= crop[axis]);
            let known: Vec<Start> = known.into_iter().filter(fits).collect();
            let tables = tables(crop);
            let planner = Planner { tables: &tables, window: WINDOW, overlap };
            let pieces: Vec<Piece> =
                regions.iter().enumerate().flat_map(|(index, region)| planner.pieces(index, region, |_| true)).collect();
            let own: BTreeSet<Start> = pieces.iter().map(|piece| piece.own).collect();
            for piece in &pieces {
                prop_assert!(piece.is_held_by(&piece.own), "{piece:?}");
            }
            let cover = planner.cover(pieces.clone(), &known);
            let new = cover.starts.iter().filter(|start| !known.contains(start)).count();
            prop_assert!(new <= own.len(), "{new} windows where the objects alone have {}", own.len());
            for (index, region) in regions.iter().enumerate() {
                let frames: Vec<Frame> = cover.windows_of(index).collect();
                let (low, high) = (region.min_dhw, region.max_dhw);
                for voxel in [low, high, [low[0], high[1], (low[2] + high[2]) / 2]] {
                    let shows = |frame: &Frame| (0..3).all(|axis| frame.visible(axis).contains(&voxel[axis]));
                    prop_assert!(frames.iter().any(shows), "{voxel:?} of {region:?} in {frames:?}");
                }
            }
            // The same call again, with these windows known, encodes nothing.
            let all: Vec<Start> = known.iter().copied().chain(cover.starts.iter().copied()).collect();
            let again = planner.cover(pieces.clone(), &all);
            prop_assert!(again.starts.iter().all(|start| all.contains(start)));
            // The order of the objects changes nothing.
            let reversed: Vec<Piece> = pieces.into_iter().rev().collect();
            prop_assert_eq!(planner.cover(reversed, &known).starts, cover.starts);
        }

        #[test]
        fn neighbours_overlap_by_at_least_what_was_asked(
            length in 1_usize..300,
            window in 2_usize..64,
            overlap in prop::sample::select(vec![0.0, 0.25, 0.5, 0.75, 0.95]),
        ) {
            let tables: IndexTables = [(0..length).collect(), vec![0], vec![0]];
            let planner = Planner { tables: &tables, window: [window, 1, 1], overlap };
            let pieces = planner.pieces(0, &region([0; 3], [length - 1, 0, 0]), |_| true);
            let own: BTreeSet<isize> = pieces.iter().map(|piece| piece.own[0]).collect();
            let least = (window as f64 * overlap) as isize;
            for (a, b) in own.iter().zip(own.iter().skip(1)) {
                prop_assert!(a + window as isize - b >= least, "{own:?}");
            }
            // As many as the released code has.
            let step = crate::sliding_window::window_step(window, overlap);
            prop_assert_eq!(own.len(), crate::sliding_window::window_starts(length, window, step).len());
        }
    }
}
