//! Writes all objects of a call to one file: a label map, or a format that keeps their names. The file's name says which.

#![forbid(unsafe_code)]

mod dicom;
mod error;
mod format;
mod objects;

pub use dicom::DicomFiles;
pub use error::SaveError;
pub use format::FileFormat;
pub use objects::{Objects, segments};
