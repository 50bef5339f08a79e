//! Ground truth: a label map with the true masks of a scan's objects.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::{ErrorKind, OutOfMemory};

use crate::grid::Grid;
use crate::mask::{Labels, Mask};
use crate::metrics;
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
    /// The label map's shape is not the scan's.
    #[error("truth `{path}`: expected the scan's shape {expected:?}, found {found:?}", path = path.display())]
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
        "truth `{path}`: expected the scan's position, found a corner {found_mm:.2} mm away; is this the scan's label map?",
        path = path.display()
    )]
    Place {
        /// The label map.
        path: PathBuf,
        /// The largest distance between corresponding corners, in millimetres.
        found_mm: f64,
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
/// # Errors
/// - [`TruthError::Volume`] if the file cannot be read as a volume.
/// - [`TruthError::Shape`] if its shape is not the scan's.
/// - [`TruthError::Place`] if its position is not the scan's.
/// - [`TruthError::Label`] if a voxel is not a whole number from 0 to 65535.
/// - [`TruthError::Memory`] if there is not enough memory for the labels.
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
        // Also true if the value is NaN.
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

/// A label map on a scan's grid, and the label of each object by name.
#[derive(Debug, Clone)]
pub struct Truth {
    mask: Mask,
    labels: BTreeMap<String, u16>,
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
        Ok(Self { mask, labels })
    }

    /// The label map and the label of the object with this name. `None` if the truth has no object of this name.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<(&Mask, u16)> {
        Some((&self.mask, *self.labels.get(name)?))
    }

    /// The Dice coefficient, in [0, 1], of label 1 of `mask` against the object with this name. `None` if the truth has
    /// no object of this name.
    #[must_use]
    pub fn dice(&self, name: &str, mask: &Mask) -> Option<f64> {
        let (truth, label) = self.of(name)?;
        let (in_8, in_16) = (|&value: &u8| u16::from(value) == label, |&value: &u16| value == label);
        Some(match (mask.labels(), truth.labels()) {
            (Labels::U8(found), Labels::U8(truth)) => metrics::dice(found, truth, |&value| value == 1, in_8),
            (Labels::U8(found), Labels::U16(truth)) => metrics::dice(found, truth, |&value| value == 1, in_16),
            (Labels::U16(found), Labels::U8(truth)) => metrics::dice(found, truth, |&value| value == 1, in_8),
            (Labels::U16(found), Labels::U16(truth)) => metrics::dice(found, truth, |&value| value == 1, in_16),
        })
    }
}

/// The largest distance between corresponding corners of two grids of the same shape, in millimetres.
fn farthest_corner_mm(a: &Grid, b: &Grid) -> f64 {
    let distances = a.corners_ijk().map(|ijk| {
        let (a, b) = (a.affine().apply(ijk), b.affine().apply(ijk));
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    });
    distances.into_iter().fold(0.0, f64::max)
}
