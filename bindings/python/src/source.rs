//! Where the scan of a study is, for what the study does not keep: its Hounsfield units, and which files it is.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use segvol::{ReadOptions, Volume};
use segvol_base::file_identity::FileIdentity;
use segvol_segments::dicom;

use crate::array::{self, Axes};
use crate::errors::{Failure, Raise as _, usage};

/// Where a scan is.
pub(crate) enum Source {
    /// A file or folder.
    File { path: PathBuf, read: ReadOptions },
    /// An array of NumPy, which the package keeps, and the file that it was read from, if its image knows.
    Array { affine: [[f64; 4]; 3], axes: Axes, origin: Option<PathBuf> },
}

impl Source {
    /// The scan, read again: a study keeps no Hounsfield units. `voxels` is the array, if it came as one.
    pub(crate) fn volume(&self, py: Python<'_>, voxels: Option<&Bound<'_, PyAny>>) -> PyResult<Volume> {
        match (self, voxels) {
            (Self::File { path, read }, _) => py.detach(|| Volume::open_with(path, read)).raise(py),
            (Self::Array { affine, axes, .. }, Some(voxels)) => array::volume(voxels, *affine, *axes),
            (Self::Array { .. }, None) => Err(usage(py, "picture: expected the array of the scan")),
        }
    }

    /// Refuses an output in the place of the scan.
    pub(crate) fn spare(&self, output: &Path) -> Result<(), Failure> {
        let identity = |path: &Path| FileIdentity::of(path).map_err(|error| Failure::io(path, &error));
        let scan = match self {
            Self::File { path, .. } => Some(path),
            Self::Array { origin, .. } => origin.as_ref(),
        };
        let Some(written) = identity(output)? else { return Ok(()) };
        for file in scan.into_iter().flat_map(|path| segvol::volume::files_of(path)) {
            if identity(&file)?.is_some_and(|found| found == written) {
                return Err(refused(output, "it is a file of the scan"));
            }
        }
        if dicom::is_image(output) {
            return Err(refused(output, "it is an image of DICOM"));
        }
        Ok(())
    }
}

fn refused(output: &Path, why: &str) -> Failure {
    Failure::usage(format!("`{}`: {why}, which no output may replace", output.display()))
}
