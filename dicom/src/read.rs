//! Reads one scan.

use std::path::Path;
use std::sync::Arc;

use segvol_base::Warning;

use crate::error::DicomError;
use crate::source::SourceSeries;

/// How a scan is chosen and read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The series to read: its Series Instance UID, or its Series Number. `None`: the only one that is a scan.
    pub series: Option<String>,
    /// Whether whole missing slices are interpolated between their neighbours.
    pub fill_gaps: bool,
}

impl ReadOptions {
    /// Sets [`series`](Self::series).
    #[must_use]
    pub fn series(mut self, series: Option<String>) -> Self {
        self.series = series;
        self
    }

    /// Sets [`fill_gaps`](Self::fill_gaps).
    #[must_use]
    pub fn fill_gaps(mut self, fill_gaps: bool) -> Self {
        self.fill_gaps = fill_gaps;
        self
    }
}

/// A scan: one regular stack of slices.
#[derive(Debug, Clone)]
pub struct DicomScan {
    /// Voxels along i (columns), j (rows), k (slices along the normal).
    pub shape_xyz: [usize; 3],
    /// From voxel indices to LPS+ millimetres: rows x, y, z. Sheared if the gantry was tilted.
    pub affine_lps: [[f64; 4]; 3],
    /// Hounsfield units, i fastest, then j, k. Padding is kept as it is.
    pub voxels: Vec<f32>,
    /// The pixel padding in Hounsfield units, lowest and highest, if the images state one: voxels outside of the field of view.
    pub padding_hu: Option<[f32; 2]>,
    /// What the voxels come from.
    pub source: Arc<SourceSeries>,
    /// What is unusual, for example images that were passed over, or filled slices.
    pub warnings: Vec<Warning>,
}

/// Reads the scan at `path`: a folder (searched to the bottom), a zip of one, a file with several frames, or one slice, whose
/// series is then taken from its folder.
///
/// # Errors
///
/// [`DicomError`], with what was found where, if there is no scan, several of them and no choice, or no regular stack of slices.
pub fn read(path: &Path, _options: &ReadOptions) -> Result<DicomScan, DicomError> {
    Err(DicomError::NoScan { path: path.to_path_buf(), reason: "not read yet".to_owned() })
}
