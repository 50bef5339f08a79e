//! DICOM Segmentation: the masks of a scan as an object of its study.
//!
//! [`save`] writes one; [`read`] reads one, also of other programs.

mod frames;
mod place;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::names;
pub use read::{SegMask, SegMasks, is_seg, read};
pub use write::{Encoding, save, write};
