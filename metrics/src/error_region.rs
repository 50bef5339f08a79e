//! The largest error of a mask, and where a user would click to correct it.

use std::ops::RangeInclusive;

use ndarray::Array3;
use segvol_base::memory;

use crate::distance::squared_distances;
use segvol_volume::MaskError;

/// The largest region of voxels in which a mask differs from the true one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRegion {
    /// How many voxels it has.
    pub voxels: u64,
    /// Its centre, `(i, j, k)`: the voxel that is farthest from everything outside of the region.
    pub centre_ijk: [usize; 3],
    /// Whether the true mask has the centre, which the mask that was found lacks; otherwise it is the other way round.
    pub missed: bool,
}

impl ErrorRegion {
    /// Finds the largest error of a mask; `None` if both masks are equal.
    ///
    /// | value       | shape                   | unit                    |
    /// |-------------|-------------------------|-------------------------|
    /// | `found`     | voxels, i fastest, j, k | true inside of the mask |
    /// | `truth`     | voxels, i fastest, j, k | true inside of the mask |
    /// | `shape_xyz` | `[3]`                   | voxels along i, j, k    |
    ///
    /// Voxels are one region if they touch at a face, an edge or a corner, whether they are missed or wrongly included. Of equally
    /// large regions, the one whose first voxel comes first in the order of the file is taken. The centre has the greatest
    /// Euclidean distance, in voxels, to a voxel outside of the region; beyond the grid is outside. Of several such voxels, the
    /// one nearest to their mean is taken, then the first in the order of the file.
    ///
    /// # Errors
    /// [`MaskError::Length`] if a mask does not have one value per voxel; [`MaskError::Memory`] if there is not enough memory.
    ///
    /// # Source
    /// JunMa11/CVPR-MedSegFMCompetition@0045605, `CVPR25_iter_eval.py`: 26 neighbours, the component with most voxels, the maximum
    /// of the distance transform without spacing. There, a voxel is drawn at random from several with the same distance.
    pub fn largest(found: &[bool], truth: &[bool], shape_xyz: [usize; 3]) -> Result<Option<Self>, MaskError> {
        let expected = shape_xyz.iter().product();
        for mask in [found, truth] {
            if mask.len() != expected {
                return Err(MaskError::Length { shape_xyz, expected, found: mask.len() });
            }
        }
        let differs = |index: usize| found[index] != truth[index];
        let Some(region) = largest_region(expected, differs, shape_xyz)? else { return Ok(None) };
        let centre_ijk = centre(&region, shape_xyz)?;
        let missed = truth[index_of(centre_ijk, shape_xyz)];
        Ok(Some(Self { voxels: region.len() as u64, centre_ijk, missed }))
    }
}

fn index_of([i, j, k]: [usize; 3], [ni, nj, _]: [usize; 3]) -> usize {
    (k * nj + j) * ni + i
}

fn place_of(index: usize, [ni, nj, _]: [usize; 3]) -> [usize; 3] {
    [index % ni, index / ni % nj, index / (ni * nj)]
}

/// The indices of the region with most voxels, in any order.
fn largest_region(
    voxels: usize,
    is_in: impl Fn(usize) -> bool,
    shape_xyz: [usize; 3],
) -> Result<Option<Vec<usize>>, MaskError> {
    memory::check_available::<bool>("the voxels where a mask is wrong", voxels)?;
    let mut open: Vec<bool> = (0..voxels).map(is_in).collect();
    let count = open.iter().filter(|&&open| open).count();
    // The largest region so far, and the one that grows.
    memory::check_available::<usize>("the regions where a mask is wrong", 2 * count)?;
    let mut largest: Vec<usize> = Vec::new();
    for first in 0..voxels {
        if !std::mem::take(&mut open[first]) {
            continue;
        }
        let mut region = vec![first];
        let mut next = 0;
        while let Some(&index) = region.get(next) {
            next += 1;
            let [i, j, k] = place_of(index, shape_xyz);
            let [near_i, near_j, near_k] = [near(i, shape_xyz[0]), near(j, shape_xyz[1]), near(k, shape_xyz[2])];
            for k in near_k {
                for j in near_j.clone() {
                    for i in near_i.clone() {
                        let neighbour = index_of([i, j, k], shape_xyz);
                        if std::mem::take(&mut open[neighbour]) {
                            region.push(neighbour);
                        }
                    }
                }
            }
        }
        if region.len() > largest.len() {
            largest = region;
        }
    }
    Ok((!largest.is_empty()).then_some(largest))
}

/// A place on an axis and its neighbours.
fn near(at: usize, length: usize) -> RangeInclusive<usize> {
    at.saturating_sub(1)..=(at + 1).min(length - 1)
}

/// The voxel of a region, which is not empty, that is farthest from everything outside of it.
fn centre(region: &[usize], shape_xyz: [usize; 3]) -> Result<[usize; 3], MaskError> {
    let (mut min, mut max) = (shape_xyz, [0; 3]);
    for place in region.iter().map(|&index| place_of(index, shape_xyz)) {
        for axis in 0..3 {
            min[axis] = min[axis].min(place[axis]);
            max[axis] = max[axis].max(place[axis]);
        }
    }
    // One voxel more on each side, so that the border of the grid is outside too.
    let shape: [usize; 3] = std::array::from_fn(|axis| max[axis] - min[axis] + 3);
    memory::check_available::<(bool, f32)>("the region where a mask is wrong", shape.iter().product())?;
    let inner = |place: [usize; 3]| [2, 1, 0].map(|axis| place[axis] - min[axis] + 1);
    let mut outside = Array3::from_elem([shape[2], shape[1], shape[0]], true);
    for &index in region {
        outside[inner(place_of(index, shape_xyz))] = false;
    }
    // Squares of distances between voxels are whole numbers, which are exact here.
    let squares = squared_distances(&outside, [1.0; 3]);
    let square_at = |index: usize| squares[inner(place_of(index, shape_xyz))];
    let farthest = region.iter().map(|&index| square_at(index)).fold(0.0, f32::max);
    let mut equal: Vec<usize> = region.iter().copied().filter(|&index| square_at(index) == farthest).collect();
    equal.sort_unstable();
    let (count, mut sums) = (equal.len() as i128, [0_i128; 3]);
    for place in equal.iter().map(|&index| place_of(index, shape_xyz)) {
        (0..3).for_each(|axis| sums[axis] += place[axis] as i128);
    }
    // The square of the distance to the mean, times the square of the count: a whole number.
    let from_mean = |index: usize| -> i128 {
        let place = place_of(index, shape_xyz);
        (0..3).map(|axis| (place[axis] as i128 * count - sums[axis]).pow(2)).sum()
    };
    let nearest = equal.into_iter().min_by_key(|&index| (from_mean(index), index));
    Ok(place_of(nearest.unwrap_or(region[0]), shape_xyz))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPE: [usize; 3] = [12, 9, 7];

    fn mask(is_in: impl Fn([usize; 3]) -> bool) -> Vec<bool> {
        (0..SHAPE.iter().product()).map(|index| is_in(place_of(index, SHAPE))).collect()
    }

    fn within(place: [usize; 3], min: [usize; 3], max: [usize; 3]) -> bool {
        (0..3).all(|axis| (min[axis]..=max[axis]).contains(&place[axis]))
    }

    fn largest(found: &[bool], truth: &[bool]) -> Option<ErrorRegion> {
        ErrorRegion::largest(found, truth, SHAPE).expect("memory")
    }

    #[test]
    fn a_missed_and_a_wrong_part_are_told_apart() {
        let truth = mask(|place| within(place, [1, 1, 1], [5, 5, 5]));
        let none = mask(|_| false);
        let missed = largest(&none, &truth).expect("an error");
        assert_eq!(missed, ErrorRegion { voxels: 125, centre_ijk: [3, 3, 3], missed: true });
        let wrong = largest(&truth, &none).expect("an error");
        assert_eq!(wrong, ErrorRegion { missed: false, ..missed });
        assert_eq!(largest(&truth, &truth), None);
        assert!(matches!(ErrorRegion::largest(&truth[1..], &truth, SHAPE), Err(MaskError::Length { .. })));
    }

    #[test]
    fn the_largest_region_counts_and_corners_connect() {
        let truth = mask(|_| false);
        // 8 voxels, and 9 that touch each other only at corners.
        let small = |place| within(place, [0, 0, 0], [1, 1, 1]);
        let diagonal = |[i, j, k]: [usize; 3]| j == i - 3 && k < 3 && (3..12).contains(&i) && k == i % 2;
        let found = mask(|place| small(place) || (place[0] >= 3 && diagonal(place)));
        assert_eq!(largest(&found, &truth).map(|region| region.voxels), Some(9));
        // Of equal ones, the first.
        let two = mask(|place| place == [9, 8, 2] || place == [2, 1, 4]);
        assert_eq!(largest(&two, &truth).map(|region| region.centre_ijk), Some([9, 8, 2]));
    }

    #[test]
    fn the_border_of_the_grid_is_outside() {
        let truth = mask(|_| false);
        // Without a border, the farthest voxels would be at the end of the grid.
        let found = mask(|place| within(place, [0, 0, 0], [4, 8, 6]));
        assert_eq!(largest(&found, &truth).map(|region| region.centre_ijk), Some([2, 4, 3]));
    }

    #[test]
    fn a_flat_region_is_clicked_in_its_middle() {
        let truth = mask(|_| false);
        let found = mask(|place| within(place, [2, 3, 3], [8, 7, 3]));
        assert_eq!(largest(&found, &truth).map(|region| region.centre_ijk), Some([5, 5, 3]));
        // An even number of voxels: of the two in the middle, the first.
        let found = mask(|place| within(place, [2, 3, 3], [9, 3, 3]));
        assert_eq!(largest(&found, &truth).map(|region| region.centre_ijk), Some([5, 3, 3]));
    }

    /// The same by brute force: every pair of voxels.
    fn by_brute_force(found: &[bool], truth: &[bool]) -> Option<(u64, f64)> {
        let wrong: Vec<[usize; 3]> = (0..found.len())
            .filter(|&index| found[index] != truth[index])
            .map(|index| place_of(index, SHAPE))
            .collect();
        let touch = |a: [usize; 3], b: [usize; 3]| (0..3).all(|axis| a[axis].abs_diff(b[axis]) <= 1);
        let mut label: Vec<usize> = (0..wrong.len()).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for a in 0..wrong.len() {
                for b in 0..wrong.len() {
                    if touch(wrong[a], wrong[b]) && label[b] > label[a] {
                        (label[b], changed) = (label[a], true);
                    }
                }
            }
        }
        let size = |root: usize| label.iter().filter(|&&label| label == root).count();
        let root = (0..wrong.len()).rev().max_by_key(|&root| size(root))?;
        let region: Vec<[usize; 3]> =
            wrong.iter().zip(&label).filter(|&(_, &label)| label == root).map(|(&place, _)| place).collect();
        let distance = |a: [usize; 3]| {
            let around = |axis: usize| -1..=SHAPE[axis] as i64;
            let mut least = i64::MAX;
            for k in around(2) {
                for j in around(1) {
                    for i in around(0) {
                        let is_region = region.iter().any(|place| place.map(|c| c as i64) == [i, j, k]);
                        if !is_region {
                            let away = [i - a[0] as i64, j - a[1] as i64, k - a[2] as i64];
                            least = least.min(away.iter().map(|n| n * n).sum());
                        }
                    }
                }
            }
            (least as f64).sqrt()
        };
        Some((region.len() as u64, region.iter().map(|&place| distance(place)).fold(0.0, f64::max)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn size_and_depth_are_those_of_brute_force(seed in any::<u32>(), share in 2_u32..6) {
            let mut state = seed;
            let mut draw = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16).is_multiple_of(share)
            };
            let found = mask(|_| false);
            // Blocks, so that regions have an inside.
            let blocks: Vec<bool> = (0..4 * 3 * 3).map(|_| draw()).collect();
            let truth = mask(|[i, j, k]| blocks[(k / 3 * 3 + j / 3) * 4 + i / 3]);
            let expected = by_brute_force(&found, &truth);
            let region = largest(&found, &truth);
            prop_assert_eq!(region.map(|region| region.voxels), expected.map(|(voxels, _)| voxels));
            if let (Some(region), Some((_, depth))) = (region, expected) {
                prop_assert!(region.missed && truth[index_of(region.centre_ijk, SHAPE)]);
                // As deep as the deepest voxel of a region of that size.
                let own = {
                    let mut least = f64::INFINITY;
                    for k in -1..=SHAPE[2] as i64 { for j in -1..=SHAPE[1] as i64 { for i in -1..=SHAPE[0] as i64 {
                        let inside = [(i, 0), (j, 1), (k, 2)].iter().all(|&(at, axis)| at >= 0 && at < SHAPE[axis] as i64);
                        let is_true = inside && truth[index_of([i as usize, j as usize, k as usize], SHAPE)];
                        if !is_true {
                            let c = region.centre_ijk.map(|c| c as i64);
                            let away = (i - c[0]).pow(2) + (j - c[1]).pow(2) + (k - c[2]).pow(2);
                            least = least.min((away as f64).sqrt());
                        }
                    }}}
                    least
                };
                prop_assert_eq!(own, depth);
            }
        }
    }
}
