//! A label map that says what masks should be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory};

use crate::grid::Grid;
use crate::mask::{Labels, Mask};
use crate::metrics;
use crate::volume::{Volume, VolumeError};

/// Why a label map cannot serve as truth.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// It cannot be read.
    #[error("truth: {0}")]
    Volume(#[from] VolumeError),
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// It has other voxels than the scan.
    #[error("truth `{path}`: expected the scan's shape {expected:?}, found {found:?}", path = path.display())]
    Shape {
        /// The label map.
        path: PathBuf,
        /// The scan's voxels along i, j, k.
        expected: [usize; 3],
        /// Its own.
        found: [usize; 3],
    },
    /// It lies elsewhere in the patient.
    #[error(
        "truth `{path}`: expected its voxels where the scan's are, found a corner {found_mm:.2} mm away; are both of one scan?",
        path = path.display()
    )]
    Place {
        /// The label map.
        path: PathBuf,
        /// The largest distance between corners, in millimetres.
        found_mm: f64,
    },
    /// A voxel is no label.
    #[error("truth `{path}`: voxel {voxel_ijk:?}: expected a whole number from 0 to 65535, found {found}", path = path.display())]
    Label {
        /// The label map.
        path: PathBuf,
        /// Which voxel.
        voxel_ijk: [usize; 3],
        /// What the voxel holds.
        found: f32,
    },
    /// No voxel has an object's label.
    #[error("truth `{path}`: expected voxels of {label} for {name:?}, found only {found:?}", path = path.display())]
    Missing {
        /// The label map.
        path: PathBuf,
        /// The object.
        name: String,
        /// Its label.
        label: u16,
        /// Labels that there are.
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

/// A corner of the label map may be this share of the least spacing away from the scan's: headers hold float32.
const MAX_OFFSET: f64 = 0.1;

/// Reads a label map that lies on a scan's grid, and the labels that occur in it.
///
/// # Errors
/// Every [`TruthError`] but [`TruthError::Missing`].
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn read_label_map(path: impl AsRef<Path>, grid: &Arc<Grid>) -> Result<(Mask, BTreeSet<u16>), TruthError> {
    let path = path.as_ref();
    let volume = Volume::open(path)?;
    let (expected, found) = (grid.shape_xyz(), volume.shape_xyz());
    if expected != found {
        return Err(TruthError::Shape { path: path.to_path_buf(), expected, found });
    }
    let found_mm = farthest_corner_mm(grid, volume.grid());
    if found_mm > MAX_OFFSET * grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min) {
        return Err(TruthError::Place { path: path.to_path_buf(), found_mm });
    }
    segvol_base::memory::check_available::<u16>(format!("the labels of `{}`", path.display()), volume.voxels().len())?;
    let mut labels = Vec::with_capacity(volume.voxels().len());
    for (index, &value) in volume.voxels().iter().enumerate() {
        let label = value as u16;
        // Also unequal where the value is no number.
        if f32::from(label) != value {
            let [ni, nj, _] = found;
            let voxel_ijk = [index % ni, index / ni % nj, index / (ni * nj)];
            return Err(TruthError::Label { path: path.to_path_buf(), voxel_ijk, found: value });
        }
        labels.push(label);
    }
    let there = labels.iter().copied().collect();
    let mask = Mask::from_labels(labels, Arc::clone(grid)).expect("the label map has the shape of the grid");
    Ok((mask, there))
}

/// A label map on a scan's grid, and which label is which object.
#[derive(Debug, Clone)]
pub struct Truth {
    mask: Mask,
    labels: BTreeMap<String, u16>,
}

impl Truth {
    /// Reads the label map of a scan on `grid`; `labels` has the label of each object's name.
    ///
    /// # Errors
    /// Every [`TruthError`].
    pub fn open(path: impl AsRef<Path>, grid: &Arc<Grid>, labels: BTreeMap<String, u16>) -> Result<Self, TruthError> {
        let path = path.as_ref();
        let (mask, there) = read_label_map(path, grid)?;
        if let Some((name, &label)) = labels.iter().find(|&(_, label)| !there.contains(label)) {
            let found = there.into_iter().filter(|&label| label > 0).collect();
            return Err(TruthError::Missing { path: path.to_path_buf(), name: name.clone(), label, found });
        }
        Ok(Self { mask, labels })
    }

    /// The label map, and the label of the object of this name; none if nothing is known of it.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<(&Mask, u16)> {
        Some((&self.mask, *self.labels.get(name)?))
    }

    /// Dice's coefficient of label 1 of `mask` against the object of this name; none if nothing is known of it.
    #[must_use]
    pub fn dice(&self, name: &str, mask: &Mask) -> Option<f64> {
        let (truth, label) = self.of(name)?;
        let Labels::U16(truth) = truth.labels() else { return None };
        let is_truth = |&value: &u16| value == label;
        Some(match mask.labels() {
            Labels::U8(labels) => metrics::dice(labels, truth, |&value| value == 1, is_truth),
            Labels::U16(labels) => metrics::dice(labels, truth, |&value| value == 1, is_truth),
        })
    }
}

/// How far the corners of two grids of one shape lie apart at most.
fn farthest_corner_mm(a: &Grid, b: &Grid) -> f64 {
    let distances = a.corners_ijk().map(|ijk| {
        let (a, b) = (a.affine().apply(ijk), b.affine().apply(ijk));
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    });
    distances.into_iter().fold(0.0, f64::max)
}
