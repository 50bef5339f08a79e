//! The box that the SegFM program makes of a mask.

use std::ops::Range;

use segvol_scan::resize::IndexTables;

use crate::region::{Region, Run, runs};

/// The slab box of the crop voxels within `ranges` whose zoom-out voxel is `positive`; `None` if there is none.
///
/// # Quirk
///
/// Depth is from the first to the last of the `n` positive voxels. Height and width are those of one slice alone: the slice of the
/// voxel with rank `n div 2` in raster order. Of a filled box it is that box; of a mask that changes along depth it is not its
/// bounding box.
///
/// # Source
///
/// Yuxin-Du-Lab/SegVol-for-SegFM@7708634, `segvol/model_segvol_single.py`, `generate_box` and `mask2D_to_bbox`.
pub fn slab_box(
    tables: &IndexTables,
    ranges: [Range<usize>; 3],
    positive: impl Fn([usize; 3]) -> bool,
) -> Option<Region> {
    let [depth, height, width] = std::array::from_fn(|axis| runs(&tables[axis], ranges[axis].clone()));
    let in_slice = |source| {
        let row = |h: &Run| {
            let hits = width.iter().filter(|w| positive([source, h.source, w.source]));
            h.voxels() * hits.map(Run::voxels).sum::<u64>()
        };
        height.iter().map(row).sum::<u64>()
    };
    let counts: Vec<u64> = depth.iter().map(|d| in_slice(d.source)).collect();
    let total: u64 = depth.iter().zip(&counts).map(|(d, count)| d.voxels() * count).sum();
    let mut left = total / 2;
    let middle = depth.iter().zip(&counts).find(|(d, count)| {
        let voxels = d.voxels() * **count;
        let is_here = left < voxels;
        left = left.saturating_sub(voxels);
        is_here
    });
    let (middle, _) = middle?;
    let occupied = || depth.iter().zip(&counts).filter(|(_, count)| **count > 0).map(|(d, _)| d);
    let hit = |h: &Run, w: &Run| positive([middle.source, h.source, w.source]);
    let rows = || height.iter().filter(|h| width.iter().any(|w| hit(h, w)));
    let columns = || width.iter().filter(|w| height.iter().any(|h| hit(h, w)));
    Some(Region {
        min_dhw: [occupied().next()?.first, rows().next()?.first, columns().next()?.first],
        max_dhw: [occupied().next_back()?.last, rows().next_back()?.last, columns().next_back()?.last],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, voxel by voxel.
    fn direct(tables: &IndexTables, ranges: &[Range<usize>; 3], inside: &dyn Fn([usize; 3]) -> bool) -> Option<Region> {
        let mut voxels = Vec::new();
        for d in ranges[0].clone() {
            for h in ranges[1].clone() {
                for w in ranges[2].clone() {
                    if inside([tables[0][d], tables[1][h], tables[2][w]]) {
                        voxels.push([d, h, w]);
                    }
                }
            }
        }
        let middle = voxels.get(voxels.len() / 2)?[0];
        let slice = || voxels.iter().filter(|voxel| voxel[0] == middle);
        let least = |axis: usize| slice().map(|voxel| voxel[axis]).min();
        let greatest = |axis: usize| slice().map(|voxel| voxel[axis]).max();
        Some(Region {
            min_dhw: [voxels[0][0], least(1)?, least(2)?],
            max_dhw: [voxels[voxels.len() - 1][0], greatest(1)?, greatest(2)?],
        })
    }

    #[test]
    fn height_and_width_are_those_of_the_middle_slice() {
        let tables: IndexTables = std::array::from_fn(|_| (0..4).collect());
        let wide_above = |[d, h, w]: [usize; 3]| d == 0 && h < 2 && w < 2 || (1..3).contains(&d) && h == 3 && w > 1;
        let found = slab_box(&tables, [0..4, 0..4, 0..4], wide_above);
        assert_eq!(found, Some(Region { min_dhw: [0, 3, 2], max_dhw: [2, 3, 3] }), "rank 4 of 8 is in slice 1");
        assert_eq!(slab_box(&tables, [3..4, 0..4, 0..4], wide_above), None);
    }

    proptest! {
        #[test]
        fn runs_give_what_single_voxels_give(
            voxels in prop::collection::vec(prop::array::uniform3(0_usize..4), 0..12),
            lengths in prop::array::uniform3(1_usize..9),
            from in prop::array::uniform3(0_usize..5),
        ) {
            let tables: IndexTables = lengths.map(|n| (0..n).map(|i| i * 4 / n).collect());
            let ranges: [Range<usize>; 3] = std::array::from_fn(|axis| from[axis].min(lengths[axis] - 1)..lengths[axis]);
            let inside = |voxel: [usize; 3]| voxels.contains(&voxel);
            prop_assert_eq!(slab_box(&tables, ranges.clone(), inside), direct(&tables, &ranges, &inside));
        }
    }
}
