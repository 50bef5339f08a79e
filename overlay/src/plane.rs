//! Slices through a grid, in the orientation of the picture.

use image::Luma;
use segvol_volume::AxisMap;
use segvol_volume::Grid;
use segvol_volume::Orientation;

use crate::canvas::Field;

/// The direction of the slices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axis {
    /// Seen from the feet: the patient's right is on the left, the front is up.
    #[default]
    Axial,
    /// Seen from the front: the patient's right is on the left, the head is up.
    Coronal,
    /// Seen from the patient's left: the front is on the left, the head is up.
    Sagittal,
}

impl Axis {
    /// The name of the direction.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }

    /// The RAS coordinate that is constant on a slice.
    pub(crate) fn coordinate(self) -> char {
        ['x', 'y', 'z'][2 - self.slice_row_column()[0]]
    }

    /// The directions in the patient at the picture's left, right, top and bottom.
    pub(crate) fn letters(self) -> [char; 4] {
        match self {
            Self::Axial => ['R', 'L', 'A', 'P'],
            Self::Coronal => ['R', 'L', 'S', 'I'],
            Self::Sagittal => ['A', 'P', 'S', 'I'],
        }
    }

    /// The axes of the oriented volume `[D, H, W]` (z, y, x) that are the picture's slices, rows and columns.
    fn slice_row_column(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [1, 0, 2],
            Self::Sagittal => [2, 0, 1],
        }
    }
}

/// The map from the file's voxels to `(slice, row, column)` of the picture.
///
/// Slices are numbered towards the head, front or right. Rows and columns start at the head, front or right, which are
/// at the top and on the left of the picture.
#[derive(Clone, Debug)]
pub(crate) struct Plane {
    axes: AxisMap,
    axis: Axis,
    /// The numbers of slices, rows and columns.
    pub(crate) shape: [usize; 3],
    /// Millimetres between neighbouring slices, rows and columns.
    pub(crate) spacing_mm: [f64; 3],
    /// The index in the file's order of voxel `(slice, row, column)` is `offset` plus each coordinate times its stride.
    offset: isize,
    strides: [isize; 3],
}

impl Plane {
    pub(crate) fn new(grid: &Grid, axis: Axis) -> Self {
        let axes = AxisMap::new(grid, Orientation::Ras);
        let dhw = axis.slice_row_column();
        let [ni, nj, _] = grid.shape_xyz();
        let file_strides = [1, ni as isize, (ni * nj) as isize];
        let spacing = grid.spacing_mm();
        let shape = dhw.map(|a| axes.shape_dhw()[a]);
        let (mut offset, mut strides) = (0, [0; 3]);
        for place in 0..3 {
            let stride = file_strides[axes.file_axes()[dhw[place]]];
            // Rows and columns run opposite to the oriented volume's axes; slices do not.
            if axes.flipped()[dhw[place]] == (place == 0) {
                offset += (shape[place] as isize - 1) * stride;
                strides[place] = -stride;
            } else {
                strides[place] = stride;
            }
        }
        Self { axes, axis, shape, spacing_mm: dhw.map(|a| spacing[axes.file_axes()[a]]), offset, strides }
    }

    /// The direction of the slices.
    pub(crate) fn axis(&self) -> Axis {
        self.axis
    }

    /// The index in the file's order of voxel `(slice, row, column)`.
    pub(crate) fn index(&self, voxel: [usize; 3]) -> usize {
        (0..3).fold(self.offset, |index, place| index + voxel[place] as isize * self.strides[place]) as usize
    }

    /// Converts a voxel `(i, j, k)` of the file, fractions allowed, to `(slice, row, column)`.
    pub(crate) fn place(&self, ijk: [f64; 3]) -> [f64; 3] {
        let dhw = self.axes.to_dhw(ijk);
        let [slice, row, column] = self.axis.slice_row_column().map(|a| dhw[a]);
        [slice, self.shape[1] as f64 - 1.0 - row, self.shape[2] as f64 - 1.0 - column]
    }

    /// The position of the centre of a slice along the RAS axis nearest to its normal, in millimetres.
    pub(crate) fn position_mm(&self, slice: usize, grid: &Grid) -> f64 {
        let dhw = self.axis.slice_row_column();
        let mut middle = self.axes.shape_dhw().map(|n| (n as f64 - 1.0) / 2.0);
        middle[dhw[0]] = slice as f64;
        grid.affine().apply(self.axes.to_ijk(middle))[2 - dhw[0]]
    }

    /// One slice of a volume in the file's order, with one pixel per voxel.
    pub(crate) fn cut(&self, voxels: &[f32], slice: usize, value: impl Fn(f32) -> f32) -> Field {
        let [_, rows, columns] = self.shape;
        Field::from_fn(columns as u32, rows as u32, |x, y| {
            Luma([value(voxels[self.index([slice, y as usize, x as usize])])])
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use segvol_volume::Affine;
    use segvol_volume::Volume;

    use super::*;

    /// A scan with `counts` voxels and `spacing` millimetres along x, y, z. It is stored along `axes`: three letters
    /// for the directions in which i, j and k grow. `value` returns the intensity at `(x, y, z)`.
    pub(crate) fn stored(
        axes: &str,
        counts: [usize; 3],
        spacing: [f64; 3],
        value: impl Fn([usize; 3]) -> f32,
    ) -> Volume {
        let mut rows = [[0.0; 4]; 3];
        let mut shape = [0; 3];
        let mut world = [(0, false); 3];
        for (file, letter) in axes.chars().enumerate() {
            let (axis, against) = match letter {
                'R' => (0, false),
                'L' => (0, true),
                'A' => (1, false),
                'P' => (1, true),
                'S' => (2, false),
                _ => (2, true),
            };
            rows[axis][file] = if against { -spacing[axis] } else { spacing[axis] };
            rows[axis][3] = if against { spacing[axis] * (counts[axis] as f64 - 1.0) } else { 0.0 };
            shape[file] = counts[axis];
            world[file] = (axis, against);
        }
        let mut voxels = Vec::new();
        for k in 0..shape[2] {
            for j in 0..shape[1] {
                for i in 0..shape[0] {
                    let mut at = [0; 3];
                    for (file, index) in [i, j, k].into_iter().enumerate() {
                        let (axis, against) = world[file];
                        at[axis] = if against { counts[axis] - 1 - index } else { index };
                    }
                    voxels.push(value(at));
                }
            }
        }
        Volume::new(shape, voxels, Affine::new(rows)).expect("a volume")
    }

    /// A scan whose intensities are x, y and z as decimal digits.
    fn patient(axes: &str) -> Volume {
        stored(axes, [6, 5, 4], [2.0, 3.0, 5.0], |[x, y, z]| (100 * x + 10 * y + z) as f32)
    }

    #[test]
    fn right_is_on_the_left_however_the_file_is_stored() {
        for stored in ["RAS", "LPS", "LAS", "SPL", "AIR"] {
            let volume = patient(stored);
            // In the slice at z 1, the first pixel is the far right (x 5) front (y 4). Columns go to the left, rows to
            // the back.
            let plane = Plane::new(volume.grid(), Axis::Axial);
            assert_eq!((plane.shape, plane.spacing_mm), ([4, 5, 6], [5.0, 3.0, 2.0]), "{stored}");
            let slice = plane.cut(volume.voxels(), 1, |value| value).into_raw();
            assert_eq!((slice[0], slice[5], slice[6], slice[29]), (541.0, 41.0, 531.0, 1.0), "{stored}");
            assert_eq!(plane.position_mm(1, volume.grid()), 5.0);

            let plane = Plane::new(volume.grid(), Axis::Coronal);
            let slice = plane.cut(volume.voxels(), 2, |value| value).into_raw();
            assert_eq!((slice[0], slice[5], slice[6], slice[23]), (523.0, 23.0, 522.0, 20.0), "{stored}");
            assert_eq!(plane.position_mm(2, volume.grid()), 6.0);

            // The front is on the left.
            let plane = Plane::new(volume.grid(), Axis::Sagittal);
            let slice = plane.cut(volume.voxels(), 4, |value| value).into_raw();
            assert_eq!((slice[0], slice[4], slice[5], slice[19]), (443.0, 403.0, 442.0, 400.0), "{stored}");
            assert_eq!(plane.position_mm(4, volume.grid()), 8.0);
        }
    }

    #[test]
    fn place_goes_where_cut_reads_from() {
        for stored in ["RAS", "LPS", "SPL", "AIR"] {
            let volume = patient(stored);
            let [ni, nj, _] = volume.shape_xyz();
            for axis in [Axis::Axial, Axis::Coronal, Axis::Sagittal] {
                let plane = Plane::new(volume.grid(), axis);
                for ijk in [[0, 0, 0], [1, 2, 3], [3, 1, 0]] {
                    let place = plane.place(ijk.map(|index| index as f64)).map(|index| index as usize);
                    assert_eq!(plane.index(place), ijk[0] + ni * (ijk[1] + nj * ijk[2]), "{stored} {axis:?}");
                }
            }
        }
    }
}
