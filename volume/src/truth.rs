//! Ground truth: a label map with the true masks of a scan's objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory};

use crate::dice::dice;
use crate::grid::Grid;
use crate::mask::{Labels, Mask};
use crate::strided::Strided;
use crate::volume::{Volume, VolumeError};

/// Why a label map cannot be used as the truth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// The file cannot be read.
    #[error("truth: {0}")]
    Volume(#[from] VolumeError),
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The label map's shape is not the scan's, in any order of the axes.
    #[error(
        "truth `{path}`: expected the scan's shape {expected:?} along i, j, k, in this or another order of the axes, found \
         {found:?}; is this the scan's label map?",
        path = path.display()
    )]
    Shape {
        /// The label map.
        path: PathBuf,
        /// The scan's voxels along i, j, k.
        expected: [usize; 3],
        /// The label map's voxels along i, j, k.
        found: [usize; 3],
    },
    /// The label map's position in the patient is not the scan's.
    #[error(
        "truth `{path}`: expected the scan's position, found a corner {found_mm:.2} mm away{order}; is this the scan's \
         label map?",
        path = path.display(),
        order = if *reordered { " (with the axes in the order that comes nearest)" } else { "" }
    )]
    Place {
        /// The label map.
        path: PathBuf,
        /// The largest distance between corresponding corners, in millimetres.
        found_mm: f64,
        /// Whether the label map's axes have another order or direction than the scan's.
        reordered: bool,
    },
    /// The value of a voxel is not a label.
    #[error("truth `{path}`: voxel {voxel_ijk:?}: expected a whole number from 0 to 65535, found {found}", path = path.display())]
    Label {
        /// The label map.
        path: PathBuf,
        /// The voxel's index.
        voxel_ijk: [usize; 3],
        /// The voxel's value.
        found: f32,
    },
    /// No voxel has the label of an object.
    #[error("truth `{path}`: expected voxels with label {label} for {name:?}, found only the labels {found:?}", path = path.display())]
    Missing {
        /// The label map.
        path: PathBuf,
        /// The name of the object.
        name: String,
        /// Its label.
        label: u16,
        /// The labels in the file, without 0.
        found: Vec<u16>,
    },
}

impl TruthError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Volume(error) => error.kind(),
            Self::Memory(error) => error.kind(),
            Self::Shape { .. } | Self::Place { .. } | Self::Label { .. } | Self::Missing { .. } => ErrorKind::Input,
        }
    }
}

/// The largest distance between a corner of the label map and the scan's, as a fraction of the smallest spacing. It is
/// not 0 because headers store float32.
const MAX_OFFSET: f64 = 0.1;

/// Reads a label map on a scan's grid. Returns it with the set of labels that occur in it.
///
/// The label map may store its axes in another order or direction than the scan, as long as it has the same voxels at the
/// same places in the patient: the labels are then put into the scan's order. If the scan's header has an sform and a
/// qform, and the scan was read by one of them, the label map is read by the same one.
///
/// # Errors
/// - [`TruthError::Volume`] if the file cannot be read as a volume.
/// - [`TruthError::Shape`] if its shape is not the scan's in any order of the axes.
/// - [`TruthError::Place`] if its position is not the scan's.
/// - [`TruthError::Label`] if a voxel is not a whole number from 0 to 65535.
/// - [`TruthError::Memory`] if there is not enough memory for the labels.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn read_label_map(path: impl AsRef<Path>, grid: &Arc<Grid>) -> Result<(Mask, BTreeSet<u16>), TruthError> {
    let path = path.as_ref();
    // The series is that of the scan.
    let volume = Volume::open_with(path, &grid.read_options().clone().series(None))?;
    let order = match Order::nearest(grid, volume.grid()) {
        Some(order) => order,
        None => {
            let (expected, found) = (grid.shape_xyz(), volume.shape_xyz());
            return Err(TruthError::Shape { path: path.to_path_buf(), expected, found });
        }
    };
    let found_mm = order.farthest_corner_mm(grid, volume.grid());
    if found_mm > MAX_OFFSET * grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min) {
        let reordered = order != Order::SAME;
        return Err(TruthError::Place { path: path.to_path_buf(), found_mm, reordered });
    }
    let copies = if order == Order::SAME { 1 } else { 2 };
    let voxels = volume.voxels().len();
    segvol_base::memory::check_available::<u16>(format!("the labels of `{}`", path.display()), copies * voxels)?;
    let mut labels = Vec::with_capacity(voxels);
    for (index, &value) in volume.voxels().iter().enumerate() {
        let label = value as u16;
        // Also true if the value is NaN.
        if f32::from(label) != value {
            let [ni, nj, _] = volume.shape_xyz();
            let voxel_ijk = [index % ni, index / ni % nj, index / (ni * nj)];
            return Err(TruthError::Label { path: path.to_path_buf(), voxel_ijk, found: value });
        }
        labels.push(label);
    }
    drop(volume);
    let there = labels.iter().copied().collect();
    let labels = order.applied(labels, grid.shape_xyz());
    let mask = Mask::from_labels(labels, Arc::clone(grid)).expect("the label map has as many voxels as the grid");
    Ok((mask, there))
}

/// The order in which another file stores the axes of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Order {
    /// For each axis of the scan: the axis of the other file.
    axes: [usize; 3],
    /// For each axis of the scan: whether the other file's axis runs in the opposite direction.
    flipped: [bool; 3],
}

impl Order {
    /// The scan's own order.
    const SAME: Self = Self { axes: [0, 1, 2], flipped: [false; 3] };

    /// The order of the axes in which `other` comes nearest to `scan`; `None` if the shapes are equal in no order.
    fn nearest(scan: &Grid, other: &Grid) -> Option<Self> {
        const AXES: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let orders = AXES.into_iter().flat_map(|axes| {
            (0..8_u8).map(move |bits| Self { axes, flipped: [0, 1, 2].map(|axis| bits >> axis & 1 == 1) })
        });
        orders
            .filter(|order| order.axes.map(|axis| other.shape_xyz()[axis]) == scan.shape_xyz())
            .map(|order| (order.farthest_corner_mm(scan, other), order))
            // The first of equals is taken, so the scan's own order wins.
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, order)| order)
    }

    /// The largest distance between corresponding corners, in millimetres.
    fn farthest_corner_mm(&self, scan: &Grid, other: &Grid) -> f64 {
        let distances = scan.corners_ijk().map(|ijk| {
            let mut there = [0.0; 3];
            for axis in 0..3 {
                let last = scan.shape_xyz()[axis] as f64 - 1.0;
                there[self.axes[axis]] = if self.flipped[axis] { last - ijk[axis] } else { ijk[axis] };
            }
            let (a, b) = (scan.affine().apply(ijk), other.affine().apply(there));
            (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
        });
        distances.into_iter().fold(0.0, f64::max)
    }

    /// Voxels of the other file in the order of a scan of this shape.
    fn applied(&self, voxels: Vec<u16>, scan_shape_xyz: [usize; 3]) -> Vec<u16> {
        if *self == Self::SAME {
            return voxels;
        }
        let mut shape = [0; 3];
        for axis in 0..3 {
            shape[self.axes[axis]] = scan_shape_xyz[axis];
        }
        let strides = [1, shape[0] as isize, (shape[0] * shape[1]) as isize];
        // `Strided` has the slowest axis first: k, j, i.
        let slowest_first = [2, 1, 0];
        let source = Strided::new(
            &voxels,
            slowest_first.map(|axis| scan_shape_xyz[axis]),
            slowest_first.map(|axis| strides[self.axes[axis]]),
            slowest_first.map(|axis| self.flipped[axis]),
        );
        let mut ordered = vec![0; voxels.len()];
        source.copy_into(&mut ordered, |label| label);
        ordered
    }
}

/// The true masks of a scan's objects by name: labels of a label map, or masks of their own, which may overlap.
#[derive(Debug, Clone)]
pub struct Truth {
    objects: BTreeMap<String, (Arc<Mask>, u16)>,
}

impl Truth {
    /// Reads the label map of a scan on `grid`. `labels` maps the name of each object to its label.
    ///
    /// # Errors
    /// The errors of [`read_label_map`], and [`TruthError::Missing`] if no voxel has the label of an object.
    pub fn open(path: impl AsRef<Path>, grid: &Arc<Grid>, labels: BTreeMap<String, u16>) -> Result<Self, TruthError> {
        let path = path.as_ref();
        let (mask, there) = read_label_map(path, grid)?;
        if let Some((name, &label)) = labels.iter().find(|&(_, label)| !there.contains(label)) {
            let found = there.into_iter().filter(|&label| label > 0).collect();
            return Err(TruthError::Missing { path: path.to_path_buf(), name: name.clone(), label, found });
        }
        let mask = Arc::new(mask);
        Ok(Self { objects: labels.into_iter().map(|(name, label)| (name, (Arc::clone(&mask), label))).collect() })
    }

    /// The truth of objects with a mask each, 1 inside.
    #[must_use]
    pub fn from_masks(masks: BTreeMap<String, Mask>) -> Self {
        Self { objects: masks.into_iter().map(|(name, mask)| (name, (Arc::new(mask), 1))).collect() }
    }

    /// The mask and the label of the object with this name. `None` if the truth has no object of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<(&Mask, u16)> {
        let (mask, label) = self.objects.get(name)?;
        Some((mask, *label))
    }

    /// The Dice coefficient, in [0, 1], of label 1 of `mask` against the object with this name. `None` if the truth has
    /// no object of this name.
    #[must_use]
    pub fn dice(&self, name: &str, mask: &Mask) -> Option<f64> {
        let (truth, label) = self.of(name)?;
        let (in_8, in_16) = (|&value: &u8| u16::from(value) == label, |&value: &u16| value == label);
        Some(match (mask.labels(), truth.labels()) {
            (Labels::U8(found), Labels::U8(truth)) => dice(found, truth, |&value| value == 1, in_8),
            (Labels::U8(found), Labels::U16(truth)) => dice(found, truth, |&value| value == 1, in_16),
            (Labels::U16(found), Labels::U8(truth)) => dice(found, truth, |&value| value == 1, in_8),
            (Labels::U16(found), Labels::U16(truth)) => dice(found, truth, |&value| value == 1, in_16),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::affine::Affine;
    use crate::read_options::{AffineChoice, ReadOptions};

    const SHAPE: [usize; 3] = [4, 3, 5];

    fn oblique() -> Affine {
        Affine::new([[0.7, -0.2, 0.9, -100.0], [0.3, 0.6, 0.4, 20.0], [-0.1, 0.2, 2.2, 800.0]])
    }

    fn grid(shape: [usize; 3], affine: Affine) -> Arc<Grid> {
        Arc::new(Grid::new(shape, affine).expect("a grid"))
    }

    /// The labels 0, 1, 2, … of a scan, stored in another order of the axes at the same place.
    fn stored(order: Order, scan: &Grid) -> (Vec<u16>, Grid) {
        let scan_shape = scan.shape_xyz();
        let mut shape = [0; 3];
        (0..3).for_each(|axis| shape[order.axes[axis]] = scan_shape[axis]);
        let to_scan = |there: [usize; 3]| {
            [0, 1, 2].map(|axis| {
                let index = there[order.axes[axis]];
                if order.flipped[axis] { scan_shape[axis] - 1 - index } else { index }
            })
        };
        let mut labels = Vec::new();
        for k in 0..shape[2] {
            for j in 0..shape[1] {
                for i in 0..shape[0] {
                    let [x, y, z] = to_scan([i, j, k]);
                    labels.push(((z * scan_shape[1] + y) * scan_shape[0] + x) as u16);
                }
            }
        }
        let origin = scan.affine().apply(to_scan([0; 3]).map(|n| n as f64));
        let mut rows = [[0.0; 4]; 3];
        for (row, values) in rows.iter_mut().enumerate() {
            values[3] = origin[row];
            for axis in 0..3 {
                let sign = if order.flipped[axis] { -1.0 } else { 1.0 };
                values[order.axes[axis]] = sign * scan.affine().rows()[row][axis];
            }
        }
        (labels, Grid::new(shape, Affine::new(rows)).expect("a grid"))
    }

    fn saved(labels: Vec<u16>, grid: Grid) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".nii.gz").tempfile().expect("a file");
        Mask::from_labels(labels, Arc::new(grid)).expect("a mask").save(file.path()).expect("saved");
        file
    }

    #[test]
    fn a_label_map_in_any_of_the_48_orders_is_put_into_the_scans() {
        let scan = grid(SHAPE, oblique());
        let expected: Vec<u16> = (0..60).collect();
        for axes in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for bits in 0..8_u8 {
                let order = Order { axes, flipped: [0, 1, 2].map(|axis| bits >> axis & 1 == 1) };
                let (labels, there) = stored(order, &scan);
                let (mask, found) = read_label_map(saved(labels, there).path(), &scan).expect("the same place");
                assert_eq!(mask.into_labels(), Labels::U16(expected.clone()), "{order:?}");
                assert_eq!(found, expected.iter().copied().collect());
            }
        }
    }

    #[test]
    fn another_place_or_shape_is_refused_and_says_what_differs() {
        let scan = grid(SHAPE, oblique());
        let error = |labels: Vec<u16>, there: Grid| {
            read_label_map(saved(labels, there).path(), &scan).expect_err("another place").to_string()
        };
        let moved = |affine: Affine, axis: usize, mm: f64| {
            let mut rows = affine.rows();
            rows[axis][3] += mm;
            Affine::new(rows)
        };
        let shifted = error(vec![0; 60], Grid::new(SHAPE, moved(oblique(), 2, 3.0)).expect("a grid"));
        assert!(shifted.contains("3.00 mm away;"), "{shifted}");

        let (labels, there) = stored(Order { axes: [2, 0, 1], flipped: [true, false, true] }, &scan);
        let affine = moved(*there.affine(), 0, -4.0);
        let both = error(labels, Grid::new(there.shape_xyz(), affine).expect("a grid"));
        assert!(both.contains("4.00 mm away (with the axes in the order"), "{both}");

        let shape = error(
            vec![0; 60],
            Grid::new([4, 3, 5].map(|n| if n == 5 { 1 } else { n * if n == 4 { 5 } else { 1 } }), oblique())
                .expect("a grid"),
        );
        assert!(shape.contains("[4, 3, 5]") && shape.contains("[20, 3, 1]"), "{shape}");
    }

    /// A cube has the shape of the scan in every order of its axes. Its place decides.
    #[test]
    fn a_cube_that_is_mirrored_in_place_is_put_right() {
        let scan = grid([3; 3], Affine::from_spacing([1.0; 3]));
        let order = Order { axes: [0, 1, 2], flipped: [true, false, false] };
        let (labels, there) = stored(order, &scan);
        let (mask, _) = read_label_map(saved(labels, there).path(), &scan).expect("the same place");
        assert_eq!(mask.into_labels(), Labels::U16((0..27).collect()));
    }

    /// A scan and its label map with the same contradictory header are read by the same affine.
    #[test]
    fn the_choice_for_the_scan_holds_for_its_label_map() {
        let affine = Affine::new([[-0.8, 0.0, 0.0, 9.0], [0.0, -0.8, 0.0, 8.0], [0.0, 0.0, 2.5, 7.0]]);
        let made = Grid::new(SHAPE, affine).expect("a grid");
        let mut header = made.nifti_header().into_owned();
        (header.qform_code, header.quatern, header.qoffset) = (1, [0.0; 3], [1.0, 2.0, 3.0]);
        let file = saved((0..60).collect(), Grid::with_header(header, affine).expect("a grid"));

        let error = Volume::open(file.path()).expect_err("two sides").to_string();
        assert!(error.contains("mirror"), "{error}");
        for choice in [AffineChoice::Sform, AffineChoice::Qform] {
            let options = ReadOptions::default().affine(Some(choice));
            let scan = Volume::open_with(file.path(), &options).expect("chosen");
            let (mask, _) = read_label_map(file.path(), scan.grid()).expect("the same file");
            assert_eq!(mask.labels(), &Labels::U16((0..60).collect()), "{choice}");
            // The mask has the file's header, with both affines.
            let mut written = Vec::new();
            mask.write(&mut written, crate::format::Format::NiftiGzip).expect("memory");
            assert_eq!(written, std::fs::read(file.path()).expect("read"), "{choice}");
        }
    }

    proptest! {
        #[test]
        fn the_own_order_is_found_for_every_grid(
            rows in prop::array::uniform3(prop::array::uniform4(-3.0_f64..3.0)),
            shape in prop::array::uniform3(1_usize..6),
        ) {
            let Ok(grid) = Grid::new(shape, Affine::new(rows)) else { return Ok(()) };
            prop_assert_eq!(Order::nearest(&grid, &grid), Some(Order::SAME));
        }
    }
}
