//! Scans and masks on a grid, in memory and in files.
//!
//! A [`Volume`] is a CT scan: intensities in Hounsfield units on a [`Grid`]. A [`Mask`] has labels on the same grid. A
//! volume is read from NIfTI and a mask is written as NIfTI ([`nifti`]): as a file by its path, or as bytes from any
//! reader and to any writer.
//!
//! This crate knows nothing about models and does not link ONNX Runtime.
//!
//! The end of a name says its coordinates: `_xyz` and `_ijk` are the file's axes, `_dhw` the model's axes (depth
//! first), `_mm` millimetres. World coordinates are RAS+: x grows to the patient's right, y to the front, z to the
//! head.

#![forbid(unsafe_code)]

mod affine;
mod buffer;
#[cfg(feature = "dicom")]
mod dicom;
pub mod format;
pub mod grid;
pub mod intensities;
pub mod maps;
mod marks;
pub mod mask;
pub mod metrics;
pub mod nifti;
pub mod orientation;
mod read_options;
mod strided;
pub mod truth;
mod volume;

pub use affine::Affine;
pub use buffer::{Buffer, Elements};
pub use format::Format;
pub use grid::{Grid, GridError};
pub use intensities::Intensities;
pub use maps::{FloatType, save_map};
pub use marks::{BoundingBox, Marks, PointLabel};
pub use mask::{Mask, MaskError};
pub use orientation::AxisMap;
pub use read_options::{AffineChoice, ReadOptions};
pub use segvol_base::{AxisCodes, Orientation};
#[cfg(feature = "dicom")]
pub use segvol_dicom;
pub use truth::{Truth, TruthError};
pub use volume::{Volume, VolumeError};
