//! DICOM series to scans: which images belong together, where each lies in the patient, and its Hounsfield units.
//!
//! [`read`] takes a folder, a zip, a file with several frames, or one slice of a series, and returns one [`DicomScan`]:
//! voxels, affine, and the [`SourceSeries`] that a segmentation of it must refer to. [`Catalogue`] lists what a folder
//! holds. Nothing is averaged, resampled or guessed: what is no regular stack of slices is refused by name.
//!
//! This crate knows nothing about masks and models. World coordinates are DICOM's, LPS+ millimetres.

#![forbid(unsafe_code)]

mod attributes;
mod catalogue;
mod decode;
mod elements;
mod error;
mod folder;
mod header;
mod image;
mod input;
mod object;
pub mod pixels;
mod places;
mod read;
mod series;
mod source;
mod stack;
mod study;
mod zip;

pub use catalogue::{Catalogue, PassedOver, SeriesEntry};
pub use error::DicomError;
pub use object::{check_lengths, read_object, sop_class};
pub use read::{DicomScan, ReadOptions, holds_dicom, is_dicom_file, read, read_bytes};
pub use source::{SourceSeries, SourceSlice};
pub use zip::unpacked_bytes;
