//! What is read as DICOM, and how.

use std::path::Path;

use segvol_dicom::{DicomError, DicomScan};

use crate::format::{Kind, recognise_path};
use crate::read_options::ReadOptions;

/// Whether a path is read as DICOM: a folder, a zip archive, or a DICOM file. A pipe is not looked into, because it can be
/// read only once.
pub(crate) fn is_dicom(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    if !metadata.is_file() && !metadata.is_dir() {
        return false;
    }
    matches!(recognise_path(path), Ok(Some(found)) if matches!(found.kind, Kind::Dicom | Kind::Zip))
}

/// Reads the scan at `path`.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    let options = segvol_dicom::ReadOptions::default().series(options.series.clone()).fill_gaps(options.fill_gaps);
    segvol_dicom::read(path, &options)
}
