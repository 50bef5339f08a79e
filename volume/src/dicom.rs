//! What is read as DICOM, and how.

use std::path::Path;

pub use segvol_dicom::{Catalogue, DicomError, DicomScan, PassedOver, SeriesEntry};

use crate::format::{Kind, recognise_path};
use crate::read_options::ReadOptions;

/// Whether a path is read as DICOM: a folder or a zip archive with a DICOM file in it, or a DICOM file. A pipe is not looked into,
/// because it can be read only once. What cannot be looked into, such as an encrypted archive, is read as DICOM too, for the error.
#[must_use]
pub fn is_dicom(path: &Path) -> bool {
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

/// What is at `path`: every series, and why it is no scan.
///
/// # Errors
///
/// [`DicomError`] if nothing can be listed.
pub fn catalogue(path: &Path, options: &ReadOptions) -> Result<Catalogue, DicomError> {
    Catalogue::open(path, &of(options))
}

/// Reads the scan at `path`.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<DicomScan, DicomError> {
    segvol_dicom::read(path, &of(options))
}

fn of(options: &ReadOptions) -> segvol_dicom::ReadOptions {
    segvol_dicom::ReadOptions::default().series(options.series.clone()).fill_gaps(options.fill_gaps)
}
