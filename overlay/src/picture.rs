//! A finished picture, and its PNG file.

use std::io::{self, Write as _};
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, RgbImage};
use segvol_base::atomic_file;

use crate::canvas::Canvas;
use crate::error::OverlayError;

/// A picture: red, green and blue for each pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(RgbImage);

/// Whether a picture can be written to a file of this name: whether it ends in `.png`. Upper and lower case are the
/// same.
pub fn is_png_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

impl Picture {
    pub(crate) fn new(canvas: Canvas) -> Self {
        Self(DynamicImage::from(canvas).into_rgb8())
    }

    /// The width in pixels.
    pub fn width(&self) -> usize {
        self.0.width() as usize
    }

    /// The height in pixels.
    pub fn height(&self) -> usize {
        self.0.height() as usize
    }

    /// Red, green and blue of a pixel; `None` outside the picture.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        self.0.get_pixel_checked(x, y).map(|pixel| pixel.0)
    }

    /// The picture as the bytes of a PNG file. The same picture gives the same bytes.
    ///
    /// # Errors
    /// What the encoder says; it writes to memory.
    pub fn to_png(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
        self.0.write_with_encoder(encoder).map_err(io::Error::other)?;
        Ok(bytes)
    }

    /// Writes the picture as PNG. The write is atomic: the file appears whole or not at all. The same picture gives the
    /// same bytes.
    ///
    /// # Errors
    /// [`OverlayError::Name`] if the name does not end in `.png`; [`OverlayError::Io`], with the path, if the file
    /// cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), OverlayError> {
        let path = path.as_ref();
        if !is_png_name(path) {
            return Err(OverlayError::Name { path: path.to_path_buf() });
        }
        let io = |source| OverlayError::Io { path: path.to_path_buf(), source };
        let bytes = self.to_png().map_err(io)?;
        atomic_file::write(path, |mut file| file.write_all(&bytes)).map_err(io)
    }
}
