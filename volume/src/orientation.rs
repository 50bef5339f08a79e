//! The conversion between the file's axes `(i, j, k)` and the model's axes `[D, H, W]`.

use ndarray::{Array3, ArrayView3, ArrayViewMut3, Axis};
use segvol_base::{AxisCodes, Orientation};

use crate::grid::Grid;
use crate::strided::Strided;

/// The permutation and flips that turn a file's axes `(i, j, k)` into the model's axes `[D, H, W]`.
///
/// `D`, `H` and `W` are z, y and x of the oriented volume. Each is one of the file's axes, possibly reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisMap {
    shape_xyz: [usize; 3],
    /// For each of D, H, W: the file axis that it is (0 = i, 1 = j, 2 = k).
    file_axis: [usize; 3],
    /// For each of D, H, W: whether it runs opposite to its file axis.
    flipped: [bool; 3],
}

impl AxisMap {
    /// The map for a volume on `grid`.
    pub fn new(grid: &Grid, orientation: Orientation) -> Self {
        let xyz = match orientation {
            Orientation::Axes(codes) => {
                let nearest = nearest_axes(grid.rotation());
                codes.axes().map(|(patient, opposite)| {
                    let (axis, flip) = nearest[patient];
                    (axis, flip != opposite)
                })
            }
            Orientation::Stored => [(0, false), (1, false), (2, false)],
        };
        let dhw = [xyz[2], xyz[1], xyz[0]];
        Self { shape_xyz: grid.shape_xyz(), file_axis: dhw.map(|(axis, _)| axis), flipped: dhw.map(|(_, flip)| flip) }
    }

    /// The shape `[D, H, W]` of the oriented volume.
    pub fn shape_dhw(&self) -> [usize; 3] {
        self.file_axis.map(|axis| self.shape_xyz[axis])
    }

    /// For each of `[D, H, W]`: the file axis that it is (0 = i, 1 = j, 2 = k).
    pub fn file_axes(&self) -> [usize; 3] {
        self.file_axis
    }

    /// For each of `[D, H, W]`: whether it runs opposite to its file axis.
    pub fn flipped(&self) -> [bool; 3] {
        self.flipped
    }

    /// Converts a voxel index `(i, j, k)` of the file, fractions allowed, to an index `(d, h, w)` of the oriented
    /// volume.
    pub fn to_dhw(&self, ijk: [f64; 3]) -> [f64; 3] {
        let shape = self.shape_dhw();
        [0, 1, 2].map(|axis| {
            let index = ijk[self.file_axis[axis]];
            if self.flipped[axis] { shape[axis] as f64 - 1.0 - index } else { index }
        })
    }

    /// Converts an index `(d, h, w)` of the oriented volume, fractions allowed, to a voxel index `(i, j, k)` of the
    /// file.
    pub fn to_ijk(&self, dhw: [f64; 3]) -> [f64; 3] {
        let shape = self.shape_dhw();
        let mut ijk = [0.0; 3];
        for axis in 0..3 {
            ijk[self.file_axis[axis]] =
                if self.flipped[axis] { shape[axis] as f64 - 1.0 - dhw[axis] } else { dhw[axis] };
        }
        ijk
    }

    /// The oriented volume, `[D, H, W]`, from voxels in the file's order (i fastest). A copy.
    ///
    /// # Panics
    /// If the number of voxels is not the grid's.
    pub fn orient<T: Copy + Default + Send + Sync>(&self, file_order: &[T]) -> Array3<T> {
        let [ni, nj, nk] = self.shape_xyz;
        assert_eq!(file_order.len(), ni * nj * nk, "voxels of a volume {:?}", self.shape_xyz);
        let file_strides = [1, ni as isize, (ni * nj) as isize];
        let source =
            Strided::new(file_order, self.shape_dhw(), self.file_axis.map(|axis| file_strides[axis]), self.flipped);
        let mut oriented = Array3::default(self.shape_dhw());
        let out = oriented.as_slice_mut().expect("a new array is in standard layout");
        source.copy_into(out, |value| value);
        oriented
    }

    /// A view of voxels in the file's order (i fastest) as the oriented volume `[D, H, W]`. Writing to the view fills
    /// the voxels in the file's order.
    ///
    /// # Panics
    /// If the number of voxels is not the grid's.
    pub fn oriented_mut<'a, T>(&self, file_order: &'a mut [T]) -> ArrayViewMut3<'a, T> {
        let [ni, nj, nk] = self.shape_xyz;
        assert_eq!(file_order.len(), ni * nj * nk, "voxels of a volume {:?}", self.shape_xyz);
        #[allow(clippy::expect_used)] // The lengths are equal.
        let stored = ArrayViewMut3::from_shape([nk, nj, ni], file_order).expect("as many voxels as the grid has");
        // `stored` has the file's axes, slowest first: k, j, i.
        let mut oriented = stored.permuted_axes(self.file_axis.map(|axis| 2 - axis));
        for (axis, _) in self.flipped.iter().enumerate().filter(|&(_, &flipped)| flipped) {
            oriented.invert_axis(Axis(axis));
        }
        oriented
    }

    /// The voxels in the file's order (i fastest) from an oriented volume `[D, H, W]`: the inverse of
    /// [`orient`](Self::orient).
    ///
    /// # Panics
    /// If the array's shape is not [`shape_dhw`](Self::shape_dhw).
    pub fn restore<T: Copy + Default + Send + Sync>(&self, dhw: ArrayView3<'_, T>) -> Vec<T> {
        assert_eq!(dhw.shape(), self.shape_dhw(), "shape of the oriented volume");
        let [ni, nj, nk] = self.shape_xyz;
        let dhw = dhw.as_standard_layout();
        let [_, height, width] = self.shape_dhw();
        let dhw_strides = [(height * width) as isize, width as isize, 1];
        // Strides for the file's axes, slowest first: k, j, i.
        let mut strides = [0; 3];
        let mut flipped = [false; 3];
        for axis in 0..3 {
            strides[2 - self.file_axis[axis]] = dhw_strides[axis];
            flipped[2 - self.file_axis[axis]] = self.flipped[axis];
        }
        let mut restored = vec![T::default(); ni * nj * nk];
        let source = dhw.as_slice().expect("`as_standard_layout` gives a standard layout");
        Strided::new(source, [nk, nj, ni], strides, flipped).copy_into(&mut restored, |value| value);
        restored
    }
}

/// The directions in which the file's axes (i, j, k) run in the patient, each by the nearest axis.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn stored_axes(grid: &Grid) -> AxisCodes {
    let mut axes = [(0, false); 3];
    for (patient, (axis, flip)) in nearest_axes(grid.rotation()).into_iter().enumerate() {
        axes[axis] = (patient, flip);
    }
    AxisCodes::new(axes).expect("every file axis is the nearest of one axis")
}

/// The directions of the axes that a model sees of a volume on `grid`.
#[must_use]
pub fn seen_axes(grid: &Grid, orientation: Orientation) -> AxisCodes {
    match orientation {
        Orientation::Axes(codes) => codes,
        Orientation::Stored => stored_axes(grid),
    }
}

/// For each of x, y, z: the nearest file axis, and whether that axis runs in the opposite direction.
///
/// `rotation` is the affine without scale and shear (by polar decomposition). The pair of axes with the smallest angle
/// is matched first, so the result does not depend on the order in which the file stores its axes. If several pairs
/// have the same angle (a volume rotated by 45 degrees), the direction of the axis in the patient decides, for the same
/// reason.
///
/// # Source
/// nibabel, `nibabel/orientations.py`, `io_orientation`. nibabel matches the file's axes one after the other. The
/// result is the same if each axis is within 45 degrees of a patient axis. Otherwise nibabel's result depends on the
/// stored order.
fn nearest_axes(rotation: &[[f64; 3]; 3]) -> [(usize, bool); 3] {
    /// Differences of cosines below this count as equal. It is far above the rounding error of the polar decomposition
    /// and far below any difference that matters.
    const TIE: f64 = 1e-6;
    // The direction of a file axis in the patient, with the sign that makes it run along its matched world axis.
    let direction = |world: usize, file: usize| {
        let sign = rotation[world][file].signum();
        rotation.map(|row| sign * row[file])
    };
    let mut axes = [(0, false); 3];
    let (mut worlds, mut files) = (vec![0, 1, 2], vec![0, 1, 2]);
    while !worlds.is_empty() {
        let mut best: Option<(usize, usize)> = None;
        for &world in &worlds {
            for &file in &files {
                let better = best.is_none_or(|(best_world, best_file)| {
                    let difference = rotation[world][file].abs() - rotation[best_world][best_file].abs();
                    if difference.abs() > TIE {
                        return difference > 0.0;
                    }
                    if world != best_world {
                        return false; // x is preferred to y, y to z
                    }
                    let (found, kept) = (direction(world, file), direction(world, best_file));
                    (0..3).find(|&row| (found[row] - kept[row]).abs() > TIE).is_some_and(|row| found[row] > kept[row])
                });
                if better {
                    best = Some((world, file));
                }
            }
        }
        let (world, file) = best.expect("the loop leaves as many file axes as world axes");
        axes[world] = (file, rotation[world][file] < 0.0);
        worlds.retain(|&other| other != world);
        files.retain(|&other| other != file);
    }
    axes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::Affine;
    use crate::volume::Volume;
    use proptest::prelude::*;

    const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

    /// Every order in which a file can store one volume: file axis `a` is axis `permutation[a]` of the original,
    /// reversed if bit `a` of `flips` is set.
    fn orders() -> impl Iterator<Item = ([usize; 3], u8)> {
        PERMUTATIONS.into_iter().flat_map(|permutation| (0..8).map(move |flips| (permutation, flips)))
    }

    /// The index in the original of voxel `ijk` of the stored volume.
    fn original(permutation: [usize; 3], flips: u8, shape: [usize; 3], ijk: [usize; 3]) -> [usize; 3] {
        let mut index = [0; 3];
        for axis in 0..3 {
            let n = shape[permutation[axis]];
            index[permutation[axis]] = if flips >> axis & 1 == 1 { n - 1 - ijk[axis] } else { ijk[axis] };
        }
        index
    }

    /// The volume stored in another order, at the same position in the patient.
    fn stored(permutation: [usize; 3], flips: u8, shape: [usize; 3], voxels: &[f32], affine: &Affine) -> Volume {
        let new_shape = permutation.map(|axis| shape[axis]);
        let mut new_voxels = Vec::new();
        for k in 0..new_shape[2] {
            for j in 0..new_shape[1] {
                for i in 0..new_shape[0] {
                    let [x, y, z] = original(permutation, flips, shape, [i, j, k]);
                    new_voxels.push(voxels[(z * shape[1] + y) * shape[0] + x]);
                }
            }
        }
        let place = |ijk| affine.apply(original(permutation, flips, shape, ijk).map(|n| n as f64));
        let origin = place([0, 0, 0]);
        // One step along each axis. They are taken from the affine, because on an axis of one voxel `original` has no
        // next voxel.
        let mut columns = [[0.0; 3]; 3];
        for (axis, column) in columns.iter_mut().enumerate() {
            let sign = if flips >> axis & 1 == 1 { -1.0 } else { 1.0 };
            *column = affine.rows().map(|row| sign * row[permutation[axis]]);
        }
        let rows = [0, 1, 2].map(|row| [columns[0][row], columns[1][row], columns[2][row], origin[row]]);
        Volume::new(new_shape, new_voxels, Affine::new(rows)).expect("a volume")
    }

    fn check_all_orders(affine: Affine) {
        let shape = [17, 5, 33];
        let voxels: Vec<f32> = (0..shape.iter().product::<usize>()).map(|n| n as f32).collect();
        let reference = Volume::new(shape, voxels.clone(), affine).expect("a volume");
        let expected = AxisMap::new(reference.grid(), Orientation::Ras).orient(reference.voxels());
        for (permutation, flips) in orders() {
            let volume = stored(permutation, flips, shape, &voxels, &affine);
            let map = AxisMap::new(volume.grid(), Orientation::Ras);
            let oriented = map.orient(volume.voxels());
            assert_eq!(oriented, expected, "axes {permutation:?}, flips {flips:03b}");
            assert_eq!(map.restore(oriented.view()), volume.voxels(), "axes {permutation:?}, flips {flips:03b}");
            let mut filled = vec![0.0; oriented.len()];
            map.oriented_mut(&mut filled).assign(&oriented);
            assert_eq!(filled, volume.voxels(), "axes {permutation:?}, flips {flips:03b}");
            // A voxel has the same position in the patient in every order.
            for dhw in [[0.0, 0.0, 0.0], [3.0, 1.5, 2.25]] {
                let here = volume.grid().affine().apply(map.to_ijk(dhw));
                let there =
                    reference.grid().affine().apply(AxisMap::new(reference.grid(), Orientation::Ras).to_ijk(dhw));
                assert!((0..3).all(|axis| (here[axis] - there[axis]).abs() < 1e-9), "{here:?} {there:?}");
            }
        }
    }

    #[test]
    fn all_48_orders_of_an_upright_volume_orient_alike() {
        check_all_orders(Affine::new([[0.8, 0.0, 0.0, -100.0], [0.0, 0.7, 0.0, 20.0], [0.0, 0.0, 2.5, 800.0]]));
    }

    #[test]
    fn all_48_orders_of_an_oblique_sheared_volume_orient_alike() {
        check_all_orders(Affine::new([[0.7, -0.2, 0.9, -100.0], [0.3, 0.6, 0.4, 20.0], [-0.1, 0.2, 2.2, 800.0]]));
    }

    #[test]
    fn all_48_orders_of_a_volume_turned_by_45_degrees_orient_alike() {
        let half = 0.5_f64.sqrt();
        check_all_orders(Affine::new([[half, -half, 0.0, 0.0], [half, half, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]));
    }

    #[test]
    fn ras_is_the_transpose_of_a_ras_file() {
        let volume = Volume::new([2, 3, 4], (0..24).map(|n| n as f32).collect(), Affine::from_spacing([1.0; 3]))
            .expect("a volume");
        for orientation in [Orientation::Ras, Orientation::Stored] {
            let oriented = AxisMap::new(volume.grid(), orientation).orient(volume.voxels());
            assert_eq!(oriented.shape(), [4, 3, 2]);
            assert_eq!(oriented[[3, 1, 0]], (3 * 6 + 2) as f32);
        }
    }

    #[test]
    fn a_code_orients_as_a_file_that_stores_these_axes() {
        let affine = Affine::new([[0.7, -0.2, 0.9, -100.0], [0.3, 0.6, 0.4, 20.0], [-0.1, 0.2, 2.2, 800.0]]);
        let shape = [3, 4, 5];
        let voxels: Vec<f32> = (0..60).map(|n| n as f32).collect();
        let first = Volume::new(shape, voxels.clone(), affine).expect("a volume");
        let mut codes = Vec::new();
        for (permutation, flips) in orders() {
            let volume = stored(permutation, flips, shape, &voxels, &affine);
            let code = stored_axes(volume.grid());
            let expected = AxisMap::new(volume.grid(), Orientation::Stored).orient(volume.voxels());
            let found = AxisMap::new(first.grid(), Orientation::Axes(code)).orient(first.voxels());
            assert_eq!(found, expected, "{code}");
            assert_eq!(seen_axes(volume.grid(), Orientation::Stored), code);
            codes.push(code);
        }
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), 48);
    }

    #[test]
    fn axes_are_matched_as_nibabel_does() {
        // nibabel.aff2axcodes gives ('P', 'I', 'R') for these rows, so x is k, y is -i, z is -j.
        let affine = Affine::new([[0.1, 0.2, 0.9, 0.0], [-0.9, 0.1, 0.1, 0.0], [0.1, -0.8, 0.2, 0.0]]);
        assert_eq!(nearest_axes(&affine.rotation().expect("invertible")), [(2, false), (0, true), (1, true)]);
        let volume = Volume::new([1, 1, 1], vec![0.0], affine).expect("a volume");
        assert_eq!(stored_axes(volume.grid()).to_string(), "PIR");
    }

    proptest! {
        #[test]
        fn to_ijk_undoes_to_dhw(
            rows in prop::array::uniform3(prop::array::uniform4(-3.0_f64..3.0)),
            ijk in prop::array::uniform3(-20.0_f64..20.0),
        ) {
            let Ok(volume) = Volume::new([3, 4, 5], vec![0.0; 60], Affine::new(rows)) else { return Ok(()) };
            let map = AxisMap::new(volume.grid(), Orientation::Ras);
            let mut axes = map.file_axes();
            axes.sort_unstable();
            prop_assert_eq!(axes, [0, 1, 2]);
            let back = map.to_ijk(map.to_dhw(ijk));
            prop_assert!((0..3).all(|axis| (back[axis] - ijk[axis]).abs() < 1e-9));
        }

        #[test]
        fn continuous_and_whole_indices_agree(
            rows in prop::array::uniform3(prop::array::uniform4(-3.0_f64..3.0)),
            shape in prop::array::uniform3(1_usize..40),
        ) {
            let voxels: Vec<f32> = (0..shape.iter().product::<usize>()).map(|n| n as f32).collect();
            let Ok(volume) = Volume::new(shape, voxels, Affine::new(rows)) else { return Ok(()) };
            let map = AxisMap::new(volume.grid(), Orientation::Ras);
            let oriented = map.orient(volume.voxels());
            for (dhw, &value) in oriented.indexed_iter() {
                let [i, j, k] = map.to_ijk([dhw.0, dhw.1, dhw.2].map(|n| n as f64)).map(|n| n as usize);
                prop_assert_eq!(value, ((k * shape[1] + j) * shape[0] + i) as f32);
            }
            prop_assert_eq!(map.restore(oriented.view()), volume.voxels());
        }
    }
}
