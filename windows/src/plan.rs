//! The plan of the zoom-in pass: the fewest windows in which everything can be seen that must be looked at.
//!
//! 1. Each object is divided into **pieces**, each small enough for one window. An object that fits into one window is one
//!    piece. A larger one is cut along the axis that needs the most windows, at equal distances, and each part is cut along
//!    the next axis where its own voxels lie. So no window is spent on a part of the region where there is nothing to look at.
//! 2. Several objects that are too large for one window are cut one by one, and all at the same places. Neighbours share more
//!    windows if they are cut at the same places; the way that leaves fewer windows is taken.
//! 3. Windows that hold the pieces are chosen as in `cover.rs`.
//! 4. Windows of earlier calls are known. A chosen window is left out if known ones show all voxels of its pieces as well as it does
//!    (`known.rs`), if that leaves fewer windows to encode.
//!
//! The plan depends on nothing but its inputs: not on a clock, on threads or on the size of a cache.

use std::collections::BTreeSet;

use crate::cover::{Cover, Piece, Start};
use crate::known::{self, Sizes};
use crate::region::{Region, bounding_box};
use segvol_scan::resize::IndexTables;

/// Plans windows in one crop.
pub struct Planner<'a> {
    /// For every crop voxel along each axis, the voxel of the zoom-out window that shows it.
    pub tables: &'a IndexTables,
    /// Voxels of a window, `[D, H, W]`.
    pub window: [usize; 3],
    /// The least overlap of neighbouring windows of one object, as a fraction of the window per axis.
    pub overlap: f64,
}

/// An object, and where its windows must look.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The number that its windows are asked for by.
    pub index: usize,
    /// The region of interest, in the crop.
    pub region: Region,
    /// Whether a voxel of the zoom-out window must be looked at.
    pub look: &'a dyn Fn([usize; 3]) -> bool,
}

impl Target<'_> {
    /// The smallest box around the voxels to look at within `limits`.
    fn seen_in(&self, tables: &IndexTables, limits: &Region) -> Option<Region> {
        let within = std::array::from_fn(|axis| {
            let (own, limits) = (self.region.range(axis), limits.range(axis));
            own.start.max(limits.start)..own.end.min(limits.end)
        });
        bounding_box(tables, within, self.look)
    }
}

impl Planner<'_> {
    fn crop(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.tables[axis].len())
    }

    /// Divides an object into pieces. Their order is that of their places.
    fn pieces(&self, object: &Target<'_>) -> Vec<Piece> {
        let Target { region, look, .. } = object;
        if !self.fits(region) {
            return self.divide(*region, [None; 3], &[object]);
        }
        // In the middle of its window, whatever of the region there is to look at.
        let seen = bounding_box(self.tables, std::array::from_fn(|axis| region.range(axis)), look);
        seen.map(|seen| self.piece(object.index, region, [None; 3], &seen)).into_iter().collect()
    }

    fn fits(&self, region: &Region) -> bool {
        (0..3).all(|axis| region.shape_dhw()[axis] <= self.window[axis])
    }

    /// Cuts the part `limits` of objects into pieces, all at the same places. `own` are the starts of the windows along the axes
    /// that were cut.
    fn divide(&self, limits: Region, own: [Option<isize>; 3], objects: &[&Target<'_>]) -> Vec<Piece> {
        let seen: Vec<(&Target<'_>, Region)> =
            objects.iter().filter_map(|object| Some((*object, object.seen_in(self.tables, &limits)?))).collect();
        let Some(all) = seen.iter().map(|(_, region)| *region).reduce(Region::and) else { return Vec::new() };
        let shape = all.shape_dhw();
        let count = |axis: usize| windows_along(shape[axis], self.window[axis], self.overlap);
        let cuts = (0..3).filter(|&axis| own[axis].is_none() && count(axis) > 1);
        let most = cuts.clone().map(count).max();
        // The axis that needs the most windows. Which of the last two is first is tried: it decides how much of the other is left.
        let first = own.iter().all(Option::is_none);
        let tried = cuts.filter(|&axis| !first || Some(count(axis)) == most).take(if first { 1 } else { 2 });
        let objects: Vec<&Target<'_>> = seen.iter().map(|(object, _)| *object).collect();
        let ways = tried.map(|axis| self.cut(axis, count(axis), all, own, &objects));
        let windows = |pieces: &Vec<Piece>| pieces.iter().map(|piece| piece.own).collect::<BTreeSet<_>>().len();
        let fewest = ways.min_by_key(windows);
        fewest.unwrap_or_else(|| seen.iter().map(|(object, seen)| self.piece(object.index, &all, own, seen)).collect())
    }

    /// Cuts the part `all` of objects along an axis for `count` windows, and what remains along the others.
    fn cut(
        &self,
        axis: usize,
        count: usize,
        all: Region,
        own: [Option<isize>; 3],
        objects: &[&Target<'_>],
    ) -> Vec<Piece> {
        let (first, last, window) = (all.min_dhw[axis], all.max_dhw[axis], self.window[axis]);
        // Windows at equal distances: the first starts with the voxels to look at, and the last ends with them.
        let start = |n: usize| first + (n * (last + 1 - first - window) + (count - 1) / 2) / (count - 1);
        let mut pieces = Vec::new();
        let mut from = first;
        for n in 0..count {
            // A voxel belongs to the window whose centre is nearest.
            let to = if n + 1 == count { last } else { (start(n) + start(n + 1) + window) / 2 - 1 };
            let (mut part, mut own) = (all, own);
            (part.min_dhw[axis], part.max_dhw[axis]) = (from, to);
            own[axis] = Some(start(n).cast_signed());
            pieces.extend(self.divide(part, own, objects));
            from = to + 1;
        }
        pieces
    }

    /// The piece of an object that has the voxels `seen` to look at. Its window is in the middle of `centre` along the axes that were
    /// not cut.
    fn piece(&self, object: usize, centre: &Region, cut: [Option<isize>; 3], seen: &Region) -> Piece {
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
            let padding = window.saturating_sub(centre.shape_dhw()[axis]) / 2;
            let centred = centre.min_dhw[axis].cast_signed() - padding.cast_signed();
            own[axis] = cut[axis].unwrap_or(centred).clamp(*allowed.start(), *allowed.end());
            let (shown_from, shown_to) =
                (own[axis].max(0).cast_unsigned(), own[axis].saturating_add_unsigned(window).cast_unsigned());
            let margin = self.margin(axis);
            region.min_dhw[axis] = seen.min_dhw[axis].saturating_sub(margin).max(shown_from);
            region.max_dhw[axis] = (seen.max_dhw[axis] + margin).min(shown_to - 1).min(crop[axis] - 1);
            let first = (region.max_dhw[axis] + 1).cast_signed() - window.cast_signed();
            let last = region.min_dhw[axis].cast_signed();
            starts[axis] = first.max(*allowed.start())..=last.min(*allowed.end());
        }
        Piece { object, seen: *seen, region, own, starts }
    }

    /// Windows that show all of every object. `known` are the windows of earlier calls, in their order.
    pub fn cover(&self, objects: &[Target<'_>], known: &[Start]) -> Cover {
        let fresh = self.fresh(objects);
        let new = fresh.to_encode(known);
        if new == 0 || known.is_empty() {
            return fresh;
        }
        let sizes = Sizes { tables: self.tables, window: self.window, margin: [0, 1, 2].map(|axis| self.margin(axis)) };
        let shown = |piece: &Piece| {
            let object = objects.iter().find(|object| object.index == piece.object)?;
            let large = Some(&object.region).filter(|region| !self.fits(region));
            known::shown(piece, object.look, large, known, sizes)
        };
        let reused = fresh.reusing(shown);
        if reused.to_encode(known) < new { reused } else { fresh }
    }

    /// Voxels between a piece and the border of its window, half of the overlap.
    fn margin(&self, axis: usize) -> usize {
        (self.overlap / 2.0 * self.window[axis] as f64) as usize
    }

    /// Windows that show all of every object, without a look at known ones.
    fn fresh(&self, objects: &[Target<'_>]) -> Cover {
        let of = |pieces| Cover::of(pieces, self.window, self.crop());
        let alone = of(objects.iter().flat_map(|object| self.pieces(object)).collect());
        let (small, large): (Vec<&Target<'_>>, Vec<&Target<'_>>) =
            objects.iter().partition(|object| self.fits(&object.region));
        let Some(all) = large.iter().map(|object| object.region).reduce(Region::and).filter(|_| large.len() > 1) else {
            return alone;
        };
        let mut together = self.divide(all, [None; 3], &large);
        together.extend(small.into_iter().flat_map(|object| self.pieces(object)));
        let together = of(together);
        if together.to_encode(&[]) < alone.to_encode(&[]) { together } else { alone }
    }
}

/// Number of windows over `length` voxels of which neighbours overlap by at least the fraction `overlap` of a window.
fn windows_along(length: usize, window: usize, overlap: f64) -> usize {
    if length <= window {
        return 1;
    }
    let step = ((window as f64 * (1.0 - overlap)) as usize).max(1);
    1 + (length - window).div_ceil(step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::Frame;

    const WINDOW: [usize; 3] = [8, 8, 8];

    /// A crop that the zoom-out window shows voxel by voxel.
    fn tables(crop: [usize; 3]) -> IndexTables {
        crop.map(|n| (0..n).collect())
    }

    fn region(min_dhw: [usize; 3], max_dhw: [usize; 3]) -> Region {
        Region { min_dhw, max_dhw }
    }

    /// Objects that fill their regions.
    fn filled(regions: &[Region]) -> Vec<Target<'static>> {
        regions.iter().enumerate().map(|(index, region)| Target { index, region: *region, look: &|_| true }).collect()
    }

    /// The windows of objects that fill their regions.
    fn starts(crop: [usize; 3], overlap: f64, regions: &[Region], known: &[Start]) -> Vec<Start> {
        let tables = tables(crop);
        let planner = Planner { tables: &tables, window: WINDOW, overlap };
        planner.cover(&filled(regions), known).starts.into_iter().collect()
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
        let cover = planner.cover(&[Target { index: 0, region: whole, look: &look }], &[]);
        assert_eq!(cover.starts.into_iter().collect::<Vec<_>>(), [[0, 0, 0], [16, 16, 16]]);
        assert!(planner.pieces(&Target { index: 0, region: whole, look: &|_| false }).is_empty());
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
    fn large_objects_are_cut_at_the_same_places_if_that_saves_windows() {
        let (crop, overlap) = ([60; 3], 0.25);
        // Two rods beside each other, one a little further along.
        let rods = [region([2, 10, 10], [44, 12, 12]), region([5, 13, 10], [51, 15, 12])];
        let [first, second] = rods.map(|rod| starts(crop, overlap, &[rod], &[]).len());
        let together = starts(crop, overlap, &rods, &[]);
        assert_eq!((first, second, together.len()), (7, 8, 8));
        assert_eq!(starts(crop, overlap, &rods, &together), together, "the same call again has the same windows");
        let one_more = starts(crop, overlap, &[rods[0]], &together);
        assert!(
            one_more.iter().all(|start| together.contains(start)),
            "a part of the call encodes nothing: {one_more:?}"
        );
    }

    #[test]
    fn a_mask_that_grew_a_little_is_looked_at_in_the_windows_of_before() {
        // Windows at equal distances: with two voxels more, all but the first are elsewhere.
        let (before, grown) = (region([2, 10, 10], [44, 12, 12]), region([2, 10, 10], [46, 12, 12]));
        let known = starts([60; 3], 0.25, &[before], &[]);
        let new = |starts: &[Start]| starts.iter().filter(|start| !known.contains(start)).count();
        assert_eq!(new(&starts([60; 3], 0.25, &[grown], &[])), 7);
        assert_eq!(new(&starts([60; 3], 0.25, &[grown], &known)), 1, "the end");
        assert_eq!(new(&starts([60; 3], 0.25, &[region([5, 10, 10], [43, 12, 12])], &known)), 0);
    }

    #[test]
    fn the_second_axis_is_the_one_that_leaves_fewer_windows() {
        // Two plates that make a T: cut along h first, its foot needs one window and its bar three.
        let look = |[_, h, w]: [usize; 3]| h < 3 || (9..12).contains(&w);
        let (crop, whole) = ([8, 16, 22], region([0; 3], [7, 15, 21]));
        let tables = tables(crop);
        let planner = Planner { tables: &tables, window: WINDOW, overlap: 0.0 };
        let cover = planner.cover(&[Target { index: 0, region: whole, look: &look }], &[]);
        assert_eq!(cover.starts.len(), 4, "{:?}", cover.starts);
    }

    #[test]
    fn a_window_that_shows_a_sliver_of_an_object_is_not_used_for_it() {
        let large = region([4, 4, 4], [30, 11, 11]);
        let planner_tables = tables([40; 3]);
        let planner = Planner { tables: &planner_tables, window: WINDOW, overlap: 0.0 };
        let beside = region([10, 11, 4], [17, 18, 11]);
        let cover = planner.cover(&filled(&[large, beside]), &[]);
        let all = cover.starts.len();
        assert_eq!(cover.windows_of(1).count(), 1, "one of {all} holds it; others show a row of it");
        assert!(all > 4);
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
            let objects = filled(&regions);
            let pieces: Vec<Piece> = objects.iter().flat_map(|object| planner.pieces(object)).collect();
            let own: BTreeSet<Start> = pieces.iter().map(|piece| piece.own).collect();
            for piece in &pieces {
                prop_assert!(piece.is_held_by(&piece.own), "{piece:?}");
            }
            let cover = planner.cover(&objects, &known);
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
            let again = planner.cover(&objects, &all);
            prop_assert!(again.starts.iter().all(|start| all.contains(start)));
            // So does a call for one of the objects.
            for object in &objects {
                let one = planner.cover(&[*object], &all);
                prop_assert!(one.starts.iter().all(|start| all.contains(start)), "{:?} in {all:?}", object.region);
            }
            // The order of the objects changes nothing.
            let reversed: Vec<Target<'_>> = objects.into_iter().rev().collect();
            prop_assert_eq!(planner.cover(&reversed, &known).starts, cover.starts);
        }

        #[test]
        fn neighbours_overlap_by_at_least_what_was_asked(
            length in 1_usize..300,
            window in 2_usize..64,
            overlap in prop::sample::select(vec![0.0, 0.25, 0.5, 0.75, 0.95]),
        ) {
            let tables: IndexTables = [(0..length).collect(), vec![0], vec![0]];
            let planner = Planner { tables: &tables, window: [window, 1, 1], overlap };
            let pieces = planner.pieces(&filled(&[region([0; 3], [length - 1, 0, 0])])[0]);
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
