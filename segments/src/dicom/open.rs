//! Opens a DICOM file that may be damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use dicom_dictionary_std::uids;
use dicom_object::{DefaultDicomObject, OpenFileOptions};
use segvol_base::memory::check_available_if_large;

use crate::error::SegmentsError;

/// How much more memory the elements of a file may take than its bytes: frames with many small sequences.
const MEMORY_PER_BYTE: u64 = 8;

/// Whether a file is DICOM, and neither a segmentation nor a structure set: one that must not be replaced by one.
#[must_use]
pub fn is_image(path: &Path) -> bool {
    if !segvol_dicom::is_dicom_file(path) {
        return false;
    }
    let replaceable =
        [uids::SEGMENTATION_STORAGE, uids::LABEL_MAP_SEGMENTATION_STORAGE, uids::RT_STRUCTURE_SET_STORAGE];
    !replaceable.contains(&segvol_dicom::sop_class(path).as_str())
}

/// Opens a DICOM file with all its elements.
///
/// # Errors
///
/// [`SegmentsError::Io`] if it cannot be read, [`SegmentsError::Unreadable`] if it is no DICOM or damaged,
/// [`SegmentsError::Memory`].
pub(crate) fn open(path: &Path) -> Result<DefaultDicomObject, SegmentsError> {
    let io = |source| SegmentsError::Io { path: path.to_path_buf(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    let needed = usize::try_from(length.saturating_mul(MEMORY_PER_BYTE)).unwrap_or(usize::MAX);
    check_available_if_large::<u8>("the elements of a DICOM file", needed)?;
    segvol_dicom::check_lengths(path)?;
    let unreadable = |reason: String| SegmentsError::Unreadable { path: path.to_path_buf(), reason };
    // The parser is another crate's; a panic on a damaged file must not end the program.
    let opened = catch_unwind(AssertUnwindSafe(|| OpenFileOptions::new().open_file(path)));
    match opened {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => {
            let reasons = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let reasons: Vec<String> = reasons.map(ToString::to_string).collect();
            Err(unreadable(format!("expected a DICOM file: {}", reasons.join(": "))))
        }
        Err(_) => Err(unreadable("expected a DICOM file, found one that is damaged".to_owned())),
    }
}
