//! The choice of the slices that are shown for an object.

use segvol_volume::Marks;

use crate::plane::Plane;
use crate::shape::Shape;

/// The minimum and the maximum number of slices of an object.
pub(crate) const COLUMNS: std::ops::RangeInclusive<usize> = 3..=6;

/// Positions of the slices that can fill up a row, as fractions of the object's voxels below them.
const SPREAD: [f64; 7] = [0.5, 0.1, 0.9, 0.2, 0.8, 0.35, 0.65];

/// The slices that must be shown for an object: the slice with its largest area (of the true mask, if the mask is
/// empty), then the slices of its prompts. If there are no such slices, it is the middle slice of the scan. Never
/// empty.
pub(crate) fn needed(mask: &Shape, truth: Option<&Shape>, marks: &Marks, plane: &Plane) -> Vec<usize> {
    let mut slices: Vec<usize> = mask.largest().or_else(|| truth.and_then(Shape::largest)).into_iter().collect();
    let mut add = |slice: usize| {
        if !slices.contains(&slice) {
            slices.push(slice);
        }
    };
    for &(ijk, _) in &marks.points {
        add(slice_of(plane.place(ijk)[0], plane));
    }
    if let Some(bounds) = marks.bounding_box {
        let ends = [bounds.min, bounds.max].map(|ijk| plane.place(ijk)[0]);
        let crosses = |slice: usize| box_crosses(ends, slice);
        if !slices.iter().any(|&slice| crosses(slice)) {
            slices.push(slice_of((ends[0] + ends[1]) / 2.0, plane));
        }
    }
    if slices.is_empty() {
        slices.push(plane.shape[0] / 2);
    }
    slices
}

/// Adds slices that are spread over the object until there are `columns`. Sorts them from the head, front or right.
pub(crate) fn fill(mut slices: Vec<usize>, columns: usize, mask: &Shape, truth: Option<&Shape>) -> Vec<usize> {
    slices.truncate(columns);
    let shape = if mask.voxels() > 0 { Some(mask) } else { truth };
    let spread: Vec<usize> =
        shape.iter().flat_map(|shape| SPREAD.map(|share| shape.quantile(share))).flatten().collect();
    while slices.len() < columns {
        let nearest =
            |slice: usize| slices.iter().map(|&shown| shown.abs_diff(slice)).min().expect("a row starts with a slice");
        // The slice that is farthest from those that are shown, or the first of several such slices.
        let farthest = spread.iter().copied().rev().max_by_key(|&slice| nearest(slice));
        let Some(farthest) = farthest.filter(|&slice| nearest(slice) > 0) else { break };
        slices.push(farthest);
    }
    slices.sort_unstable_by(|a, b| b.cmp(a));
    slices
}

/// The slice at a position, clamped to the scan.
pub(crate) fn slice_of(place: f64, plane: &Plane) -> usize {
    place.round().clamp(0.0, plane.shape[0] as f64 - 1.0) as usize
}

/// Whether a box crosses a slice. Both ends of the box are inclusive.
pub(crate) fn box_crosses(ends: [f64; 2], slice: usize) -> bool {
    (ends[0].min(ends[1]) - 0.5..=ends[0].max(ends[1]) + 0.5).contains(&(slice as f64))
}

#[cfg(test)]
mod tests {
    use segvol_volume::Affine;
    use segvol_volume::{Mask, PointLabel, Volume};

    use super::*;
    use crate::plane::Axis;

    #[test]
    fn the_largest_slice_the_prompts_and_a_spread_are_shown() {
        let volume = Volume::new([4, 4, 40], vec![0.0; 640], Affine::from_spacing([1.0; 3])).expect("a volume");
        // Slices 10 to 29 have one voxel each, except slice 20, which has four.
        let labels: Vec<u8> = (0..640)
            .map(|index| {
                u8::from((10..30).contains(&(index / 16)) && (index % 16 == 0 || index / 16 == 20 && index % 16 < 4))
            })
            .collect();
        let mask = Mask::from_labels(labels, volume.grid().clone()).expect("a mask");
        let plane = Plane::new(volume.grid(), Axis::Axial);
        let shape = Shape::new(&mask, 1, &plane).expect("enough memory");
        let nothing = Shape::new(&mask, 2, &plane).expect("enough memory");
        let none = Marks::default();
        assert_eq!(needed(&shape, None, &none, &plane), [20]);
        assert_eq!(fill(vec![20], 3, &shape, None), [27, 20, 12]);
        assert_eq!(needed(&nothing, Some(&shape), &none, &plane), [20]);
        assert_eq!(needed(&nothing, None, &none, &plane), [20]);

        let points = vec![([1.0, 1.0, 2.4], PointLabel::Foreground), ([0.0, 0.0, 39.0], PointLabel::Background)];
        let bounds =
            |low: f64, high: f64| Some(segvol_volume::BoundingBox { min: [0.0, 0.0, low], max: [3.0, 3.0, high] });
        let marks = Marks { points, bounding_box: bounds(1.0, 3.0) };
        assert_eq!(needed(&shape, None, &marks, &plane), [20, 2, 39], "the box crosses slice 2");
        let marks = Marks { points: Vec::new(), bounding_box: bounds(4.0, 6.0) };
        assert_eq!(needed(&shape, None, &marks, &plane), [20, 5]);
    }
}
