//! Scans and masks on a grid, in memory and in files.
//!
//! A [`Volume`] is a CT scan: intensities in Hounsfield units on a [`Grid`]. A [`Mask`] has labels on the same grid. Both are
//! files of NIfTI ([`nifti`]), NRRD ([`nrrd`]) or MetaImage ([`metaimage`]), by their path, or as bytes from any reader and to any
//! writer. With the feature `dicom`, a volume is also read from a DICOM series.
//!
//! This crate knows nothing about models and does not link ONNX Runtime.
//!
//! The end of a name says its coordinates: `_xyz` and `_ijk` are the file's axes, `_dhw` the model's axes (depth
//! first), `_mm` millimetres. World coordinates are RAS+: x grows to the patient's right, y to the front, z to the
//! head.

#![forbid(unsafe_code)]

mod affine;
mod buffer;
mod dice;
#[cfg(feature = "dicom")]
pub mod dicom;
mod files;
pub mod format;
pub mod grid;
pub mod intensities;
pub mod maps;
mod marks;
pub mod mask;
pub mod metaimage;
pub mod nifti;
pub mod nrrd;
pub mod orientation;
pub mod raster;
mod read_options;
mod save;
mod strided;
pub mod truth;
mod volume;
mod voxels;

pub use affine::Affine;
pub use buffer::{Buffer, Elements};
pub use dice::dice;
pub use files::{files_of, most_voxels, stated_voxels};
pub use format::Format;
pub use grid::{Grid, GridError};
pub use intensities::Intensities;
pub use maps::{FloatType, save_map};
pub use marks::{BoundingBox, Marks, PointLabel};
pub use mask::{Mask, MaskError};
pub use orientation::AxisMap;
pub use raster::RasterError;
pub use read_options::{AffineChoice, ReadOptions};
pub use save::is_part_of_scan;
pub use segvol_base::{AxisCodes, Orientation};
#[cfg(feature = "dicom")]
pub use segvol_dicom;
pub use truth::{Truth, TruthError};
pub use volume::{Volume, VolumeError};
