//! Pictures of masks: a PNG with slices through each object, their contours, prompts and true masks, and a legend.
//!
//! 1. [`Montage::new`] takes the scan's grid and a [`View`].
//! 2. [`Montage::add`] adds one object. Only the part of its mask within the object's bounding box is kept in memory.
//! 3. [`Montage::draw`] takes the scan and draws the picture. Objects can be added before the scan is read.
//!
//! Slices are planes of the file: those nearest to the patient's axial, coronal or sagittal planes. They are shown in
//! radiological convention: the patient's right is on the left, and up is the front (axial) or the head (coronal,
//! sagittal). The same input gives the same bytes.
//!
//! Inside this crate, a voxel's coordinates and the axes of arrays are `(slice, row, column)` of the picture. Positions
//! in a tile are pixels `(x, y)`; the centre of a pixel is at half-integers.

mod canvas;
mod contour;
mod error;
mod legend;
mod montage;
mod neighbours;
mod palette;
mod picture;
mod plane;
mod shape;
mod slices;
mod text;
mod tile;
mod window;

pub use error::OverlayError;
pub use montage::{MAX_OBJECTS, Montage, Object, View};
pub use picture::{Picture, is_png_name};
pub use plane::Axis;
pub use window::Window;
