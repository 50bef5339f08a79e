//! Scans and masks on a grid, in memory and in files.
//!
//! A [`Volume`] is a CT scan: intensities in Hounsfield units and the [`Grid`] that they lie on. A [`Mask`] has labels on
//! the same grid. Both read and write NIfTI ([`nifti`]), as files by path or as bytes from any reader.
//!
//! This crate knows nothing of models and links no ONNX Runtime.
//!
//! A name that ends in `_xyz` or `_ijk` follows the file's axes, `_dhw` the model's (depth first), `_mm` is millimetres.
//! World coordinates are RAS+: x grows to the patient's right, y to the front, z to the head.

#![forbid(unsafe_code)]

mod affine;
mod buffer;
pub mod format;
pub mod grid;
mod marks;
pub mod mask;
pub mod metrics;
pub mod nifti;
pub mod orientation;
mod strided;
pub mod truth;
mod volume;

pub use affine::Affine;
pub use buffer::{Buffer, Elements};
pub use format::Format;
pub use grid::{Grid, GridError};
pub use marks::{BoundingBox, Marks, PointLabel};
pub use mask::{Mask, MaskError};
pub use orientation::{AxisMap, Orientation};
pub use truth::{Truth, TruthError};
pub use volume::{Volume, VolumeError};
