//! DICOM files that other programs wrote.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, OpenFileOptions};

use crate::error::SegmentsError;

/// Whether a file begins as DICOM files do.
pub(crate) fn is_dicom_file(path: &Path) -> Result<bool, SegmentsError> {
    let io = |source| SegmentsError::Io { path: path.to_path_buf(), source };
    let mut head = Vec::new();
    File::open(path).map_err(io)?.take(132).read_to_end(&mut head).map_err(io)?;
    Ok(head.get(128..) == Some(b"DICM"))
}

/// The SOP Class UID of a file; empty if it has none.
pub(crate) fn sop_class_of(path: &Path) -> Result<String, SegmentsError> {
    Ok(identifier(&load(path)?, tags::SOP_CLASS_UID).unwrap_or_default())
}

/// All attributes of a file but pixels.
pub(crate) fn load(path: &Path) -> Result<InMemDicomObject, SegmentsError> {
    let unreadable = |reason: String| SegmentsError::Unreadable { path: path.to_path_buf(), reason };
    let file = OpenFileOptions::new().read_until(tags::PIXEL_DATA).open_file(path);
    Ok(file.map_err(|error| unreadable(error.to_string()))?.into_inner())
}

/// The text of an attribute without blanks around it; `None` if it is absent or empty. Several values keep their backslashes.
pub(crate) fn text_of(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.value().primitive()?.to_multi_str().join("\\");
    let text = value.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first value of a text.
pub(crate) fn identifier(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = text_of(object, tag)?;
    let first = text.split('\\').next().unwrap_or_default().trim();
    (!first.is_empty()).then(|| first.to_owned())
}

/// The items of a sequence.
pub(crate) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.value().items()).unwrap_or_default()
}
