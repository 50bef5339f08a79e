//! A finished picture, and its file.

use std::io::{self, Write as _};
use std::path::Path;

use segvol_base::atomic_file;

use crate::canvas::Canvas;
use crate::error::OverlayError;

/// A picture, three bytes (red, green, blue) per pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Whether a file of this name is a picture that can be written: it ends in `.png`.
pub fn is_png_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

impl Picture {
    pub(crate) fn new(canvas: Canvas) -> Self {
        let Canvas { width, height, rgb } = canvas;
        Self { width, height, rgb }
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green, blue of a pixel; none beside the picture.
    pub fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let place = 3 * (y * self.width + x);
        if x < self.width { self.rgb.get(place..)?.first_chunk().copied() } else { None }
    }

    /// Writes the picture as PNG. The file appears whole or not at all, and the same picture gives the same bytes.
    ///
    /// # Errors
    /// [`OverlayError::Name`] for a name that does not end in `.png`; [`OverlayError::Io`] with the path.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), OverlayError> {
        let path = path.as_ref();
        if !is_png_name(path) {
            return Err(OverlayError::Name { path: path.to_path_buf() });
        }
        let io = |source| OverlayError::Io { path: path.to_path_buf(), source };
        let bytes = self.to_png().map_err(io)?;
        atomic_file::write(path, |mut file| file.write_all(&bytes)).map_err(io)
    }

    fn to_png(&self) -> io::Result<Vec<u8>> {
        let side = |pixels: usize| u32::try_from(pixels).map_err(io::Error::other);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side(self.width)?, side(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }
}
