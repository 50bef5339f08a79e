//! The outputs of `segment_files.rs` in a build without DICOM: there are none.

use std::path::{Path, PathBuf};

use segvol::{Grid, Warning};
use segvol_objects::{Objects, SaveError};
use segvol_segments::SegmentsError;

/// No options.
#[derive(clap::Args)]
pub(crate) struct DicomArguments {}

/// No outputs.
pub(crate) struct DicomOutputs<'a>(std::marker::PhantomData<&'a ()>);

impl DicomArguments {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as with DICOM")]
    pub(crate) fn outputs(&self, _output: Option<&PathBuf>) -> anyhow::Result<DicomOutputs<'_>> {
        Ok(DicomOutputs(std::marker::PhantomData))
    }
}

impl DicomOutputs<'_> {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as with DICOM")]
    pub(crate) fn check(&self, _grid: &Grid) -> Result<Vec<Warning>, SegmentsError> {
        Ok(Vec::new())
    }

    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "as with DICOM")]
    pub(crate) fn save(&self, _objects: &Objects<'_>) -> Result<(), SaveError> {
        Ok(())
    }
}

impl DicomOutputs<'_> {
    /// None.
    #[expect(clippy::unused_self, reason = "as with DICOM")]
    pub(crate) fn rtstruct(&self) -> Option<&PathBuf> {
        None
    }
}

/// No name is that of a DICOM file.
pub(crate) fn is_dicom_name(_path: &Path) -> bool {
    false
}

/// Whether a file is an image that no output may replace: DICOM is not read.
pub(crate) fn is_image(_path: &Path) -> bool {
    false
}
