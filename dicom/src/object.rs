//! DICOM files that are no images of a scan: segmentations and contours.

use std::path::Path;

use dicom_object::InMemDicomObject;

use crate::error::DicomError;
use crate::header;
use crate::input::Input;

/// Reads all attributes of a file but pixels and private ones.
///
/// # Errors
///
/// [`DicomError::Object`] if the file cannot be read, is damaged, or is not DICOM.
pub fn read_object(path: &Path) -> Result<InMemDicomObject, DicomError> {
    header::read_whole(&input(path)).map_err(|reason| damaged(path, reason))
}

/// Checks that every length in a file fits the file and the type of its element, and that sequences are not nested too deep: another
/// parser can then read it without allocating more than the file's size for a value.
///
/// # Errors
///
/// [`DicomError::Object`] if the file cannot be read, is damaged, or is not DICOM.
pub fn check_lengths(path: &Path) -> Result<(), DicomError> {
    header::check_lengths(&input(path)).map_err(|reason| damaged(path, reason))
}

/// The SOP Class UID of a file, as its meta information says; empty if it does not, or cannot be read.
#[must_use]
pub fn sop_class(path: &Path) -> String {
    header::class_of(&input(path)).unwrap_or_default()
}

fn input(path: &Path) -> Input {
    Input::on_disk(path.to_path_buf(), path.display().to_string())
}

fn damaged(path: &Path, reason: String) -> DicomError {
    DicomError::Object { path: path.to_path_buf(), reason }
}
