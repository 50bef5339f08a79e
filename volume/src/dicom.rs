//! What is read as DICOM, and how.

use std::path::Path;

use segvol_dicom::{DicomError, DicomScan};

use crate::format::{Kind, recognise_path};
use crate::read_options::ReadOptions;

/// Whether a path is read as DICOM: a folder or a zip archive with a DICOM file in it, or a DICOM file. A pipe is not looked into,
/// because it can be read only once. What cannot be looked into, such as an encrypted archive, is read as DICOM too, for the error.
pub(crate) fn is_dicom(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    if !metadata.is_file() && !metadata.is_dir() {
        return false;
    }
    match recognise_path(path) {
        Ok(Some(found)) => match found.kind {
            Kind::Dicom => true,
            Kind::Zip => !matches!(segvol_dicom::holds_dicom(path), Ok(false)),
            // Only the first files of a folder were looked into.
            Kind::Other if metadata.is_dir() => !matches!(segvol_dicom::holds_dicom(path), Ok(false)),
            _ => false,
        },
        _ => false,
    }
}

/// Reads the scan at `path`.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    let options = segvol_dicom::ReadOptions::default().series(options.series.clone()).fill_gaps(options.fill_gaps);
    segvol_dicom::read(path, &options)
}
