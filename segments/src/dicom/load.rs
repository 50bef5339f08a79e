//! DICOM files that other programs wrote.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use dicom_core::Tag;
use dicom_object::InMemDicomObject;

use crate::error::SegmentsError;

/// Whether a file begins as DICOM files do.
pub(crate) fn is_dicom_file(path: &Path) -> Result<bool, SegmentsError> {
    let io = |source| SegmentsError::Io { path: path.to_path_buf(), source };
    let mut head = Vec::new();
    File::open(path).map_err(io)?.take(132).read_to_end(&mut head).map_err(io)?;
    Ok(head.get(128..) == Some(b"DICM"))
}

/// All attributes of a file but pixels and private ones.
pub(crate) fn load(path: &Path) -> Result<InMemDicomObject, SegmentsError> {
    Ok(segvol_dicom::read_object(path)?)
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
    let first = text.split('\\').next().unwrap_or_default().trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!first.is_empty()).then(|| first.to_owned())
}

/// The items of a sequence.
pub(crate) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.value().items()).unwrap_or_default()
}
