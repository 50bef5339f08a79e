//! Which objects are near another one in a slice. A picture of fifty objects would show fifty outlines in every slice.

use segvol_volume::Marks;

use crate::plane::Plane;
use crate::shape::{Patch, Shape};
use crate::slices::{box_crosses, slice_of};

/// Objects that come this close in a slice, along rows and along columns, are neighbours, in millimetres.
pub(crate) const NEAR_MM: f64 = 10.0;

/// The surroundings of an object in one slice: of its mask, of its true mask, and of its prompts.
pub(crate) struct Surroundings(Vec<Area>);

/// A part of a slice.
struct Area {
    first: [isize; 2],
    size: [usize; 2],
    inside: Vec<bool>,
}

impl Surroundings {
    /// What is near these masks and prompts in a slice.
    pub(crate) fn new(shapes: &[&Shape], marks: &Marks, plane: &Plane, slice: usize) -> Self {
        let reach = [1, 2].map(|axis| (NEAR_MM / plane.spacing_mm[axis]).ceil() as usize);
        let mut areas: Vec<Area> =
            shapes.iter().filter_map(|shape| Some(Area::around(&shape.patch(slice)?, reach))).collect();
        let mut rectangle = |low: [f64; 2], high: [f64; 2]| {
            let first = [0, 1].map(|axis| low[axis].floor() as isize - reach[axis] as isize);
            let size = [0, 1]
                .map(|axis| (high[axis].ceil() as isize + reach[axis] as isize - first[axis] + 1).max(1) as usize);
            areas.push(Area { first, size, inside: Vec::new() });
        };
        if let Some(bounds) = marks.bounding_box {
            let (a, b) = (plane.place(bounds.min), plane.place(bounds.max));
            if box_crosses([a[0], b[0]], slice) {
                rectangle([a[1].min(b[1]), a[2].min(b[2])], [a[1].max(b[1]), a[2].max(b[2])]);
            }
        }
        for &(ijk, _) in &marks.points {
            let [at, row, column] = plane.place(ijk);
            if slice_of(at, plane) == slice {
                rectangle([row, column], [row, column]);
            }
        }
        Self(areas)
    }

    /// Whether a shape reaches into the surroundings in this slice.
    pub(crate) fn touch(&self, shape: &Shape, slice: usize) -> bool {
        shape.patch(slice).is_some_and(|patch| self.0.iter().any(|area| area.overlaps(&patch)))
    }
}

impl Area {
    /// The voxels of a patch, and those up to `reach` rows and columns away.
    fn around(patch: &Patch<'_>, reach: [usize; 2]) -> Self {
        let first = [0, 1].map(|axis| patch.first[axis] as isize - reach[axis] as isize);
        let size = [0, 1].map(|axis| patch.size[axis] + 2 * reach[axis]);
        let mut inside = vec![false; size[0] * size[1]];
        for row in 0..patch.size[0] {
            for column in 0..patch.size[1] {
                let at = (row + reach[0]) * size[1] + column + reach[1];
                inside[at] = patch.inside[row * patch.size[1] + column];
            }
        }
        for row in 0..size[0] {
            widen(&mut inside, row * size[1], 1, size[1], reach[1]);
        }
        for column in 0..size[1] {
            widen(&mut inside, column, size[1], size[0], reach[0]);
        }
        Self { first, size, inside }
    }

    fn overlaps(&self, patch: &Patch<'_>) -> bool {
        let range = |axis: usize| {
            let (low, high) = (patch.first[axis] as isize, (patch.first[axis] + patch.size[axis]) as isize);
            low.max(self.first[axis])..high.min(self.first[axis] + self.size[axis] as isize)
        };
        range(0).any(|row| {
            range(1).any(|column| {
                let own = (row - self.first[0]) as usize * self.size[1] + (column - self.first[1]) as usize;
                let other = (row as usize - patch.first[0]) * patch.size[1] + column as usize - patch.first[1];
                // A rectangle is inside everywhere.
                patch.inside[other] && self.inside.get(own).copied().unwrap_or(true)
            })
        })
    }
}

/// Sets the elements of a line that are at most `reach` away from one that is set.
fn widen(values: &mut [bool], start: usize, stride: usize, count: usize, reach: usize) {
    let line: Vec<bool> = (0..count).map(|index| values[start + index * stride]).collect();
    let mut last: Option<usize> = None;
    for index in 0..count {
        last = if line[index] { Some(index) } else { last };
        values[start + index * stride] |= last.is_some_and(|last| index - last <= reach);
    }
    let mut next: Option<usize> = None;
    for index in (0..count).rev() {
        next = if line[index] { Some(index) } else { next };
        values[start + index * stride] |= next.is_some_and(|next| next - index <= reach);
    }
}

#[cfg(test)]
mod tests {
    use segvol_volume::{Affine, BoundingBox, Mask, PointLabel, Volume};

    use super::*;
    use crate::plane::Axis;

    /// Blocks of labels in slice 1 of a scan of 2 mm by 5 mm (columns, rows): label 1 in columns 10 to 12 and rows 4 to 5.
    #[test]
    fn what_comes_within_ten_millimetres_is_a_neighbour() {
        let volume =
            Volume::new([40, 20, 3], vec![0.0; 2400], Affine::from_spacing([2.0, 5.0, 3.0])).expect("a volume");
        let plane = Plane::new(volume.grid(), Axis::Axial);
        let shape = |columns: std::ops::Range<usize>, rows: std::ops::Range<usize>| {
            let mut labels = vec![0_u8; 2400];
            for row in rows {
                for column in columns.clone() {
                    labels[plane.index([1, row, column])] = 1;
                }
            }
            let mask = Mask::from_labels(labels, volume.grid().clone()).expect("a mask");
            Shape::new(&mask, 1, &plane).expect("enough memory")
        };
        let own = shape(10..13, 4..6);
        let near = |other: &Shape| Surroundings::new(&[&own], &Marks::default(), &plane, 1).touch(other, 1);
        // Five columns or two rows are 10 mm.
        for (columns, rows, expected) in [
            (17..20, 4..5, true),
            (18..20, 4..5, false),
            (0..6, 0..20, true),
            (0..5, 0..20, false),
            (11..12, 7..8, true),
            (11..12, 8..9, false),
            (11..12, 2..3, true),
            (11..12, 1..2, false),
        ] {
            assert_eq!(near(&shape(columns.clone(), rows.clone())), expected, "{columns:?}, {rows:?}");
        }
        let far = shape(30..31, 15..16);
        assert!(!Surroundings::new(&[&own], &Marks::default(), &plane, 0).touch(&own, 0), "not in this slice");
        let at = |row: usize, column: usize| {
            // The file's voxel at a row and column of the picture.
            let index = plane.index([1, row, column]);
            [(index % 40) as f64, (index / 40 % 20) as f64, (index / 800) as f64]
        };
        let point = Marks { points: vec![(at(13, 30), PointLabel::Foreground)], bounding_box: None };
        assert!(Surroundings::new(&[&own], &point, &plane, 1).touch(&far, 1), "near a point");
        let ends = [at(0, 25), at(13, 25)];
        let bounds = BoundingBox {
            min: std::array::from_fn(|axis| ends[0][axis].min(ends[1][axis])),
            max: std::array::from_fn(|axis| ends[0][axis].max(ends[1][axis])),
        };
        let boxed = Marks { points: Vec::new(), bounding_box: Some(bounds) };
        assert!(Surroundings::new(&[&own], &boxed, &plane, 1).touch(&far, 1), "near a box");
        assert!(!Surroundings::new(&[&own], &boxed, &plane, 0).touch(&far, 1), "the box is not in this slice");
    }
}
