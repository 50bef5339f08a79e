//! DICOM series to scans: which images belong together, where each lies in the patient, and its Hounsfield units.
//!
//! [`read`] takes a folder, a zip, a file with several frames, or one slice of a series, and returns one [`DicomScan`]:
//! voxels, affine, and the [`SourceSeries`] that a segmentation of it must refer to. [`Catalogue`] lists what a folder
//! holds. Nothing is averaged, resampled or guessed: what is no regular stack of slices is refused by name.
//!
//! This crate knows nothing about masks and models. World coordinates are DICOM's, LPS+ millimetres.

#![forbid(unsafe_code)]

mod catalogue;
mod error;
pub mod pixels;
mod read;
mod source;

pub use catalogue::{Catalogue, SeriesEntry};
pub use error::DicomError;
pub use read::{DicomScan, ReadOptions, read};
pub use source::{SourceSeries, SourceSlice};
