//! Stored values of each frame of an image, from whatever transfer syntax it is in.
//!
//! [`PixelFormat::of`] reads how the pixels are stored, [`PixelData::of`] finds them, [`Frames::new`] divides them into frames, and
//! [`Frames::decode`] gives the values of one frame. Frames are independent of each other, so they can be decoded on all
//! cores.
//!
//! Masking to Bits Stored and extending the sign is done here, for every transfer syntax, by the attributes of the image.
//! Code streams are parsed by other crates, behind a fence; their sizes are compared with Rows × Columns first, so that a
//! damaged one cannot take more memory than the image.

mod error;
mod format;
mod frames;
mod jpeg;
mod jpeg2000;
mod rle;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

pub use error::PixelError;
pub use format::PixelFormat;
pub use frames::{Frames, PixelData};
pub use syntax::TransferSyntax;
