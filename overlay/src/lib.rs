//! Pictures of masks: a montage of slices through each object, with contours, prompts, truth and a legend, as PNG.
//!
//! [`Montage::new`] takes a scan's grid and a [`View`], [`Montage::add`] one object at a time (of its mask only the
//! object's bounding box is kept), [`Montage::draw`] the scan itself. Objects may be added before the scan is read.
//!
//! Slices are the file's own planes nearest to the patient's axes, in radiological convention: the patient's right is
//! on the left of the picture, the front up (axial), the head up (coronal, sagittal). The same input gives the same
//! bytes.
//!
//! In here a voxel is `(slice, row, column)` of the picture, and so are arrays; positions in a tile are pixels, `(x, y)`,
//! whose centres lie at halves.

mod canvas;
mod contour;
mod error;
mod legend;
mod montage;
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
