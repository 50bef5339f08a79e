//! Hounsfield units of images: their pixels, decoded, each with its own slope and intercept.

use rayon::prelude::*;

use crate::elements::{Encoding, fragments};
use crate::header::open_pixels;
use crate::image::ImageFile;
use crate::pixels::{Frames, PixelData, TransferSyntax};

/// An image that is to be decoded: its number among the frames of its file, and where its Hounsfield units go.
pub(crate) type Target<'a> = (usize, &'a mut [f32]);

/// Decodes images of one file, on all cores. `out` holds Rows x Columns values each, the columns of a row side by side.
///
/// # Errors
///
/// A part of a sentence if the pixels are missing or damaged.
pub(crate) fn decode(file: &ImageFile, targets: Vec<Target<'_>>) -> Result<(), String> {
    let (Some(format), Some(pixels)) = (file.format, file.pixels) else { return Err("it has no pixels".to_owned()) };
    let syntax = transfer_syntax(file);
    let text = |error: crate::pixels::PixelError| error.to_string();
    let mut bytes = open_pixels(&file.input)?;
    let (native, parts, table);
    let data = match pixels.length {
        Some(length) => {
            let mut value = bytes.take(pixels.value, length)?;
            if file.encoding.big_endian && format.bits_allocated == 8 && pixels.is_words() {
                // Two values in a word: the first is in its low byte, in any byte order (PS3.5, section 8.1.1).
                value.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
            native = value;
            PixelData::Bytes(&native)
        }
        None => {
            let mut places = fragments(&mut bytes, &pixels, file.encoding)?.into_iter();
            let (at, length) = places.next().unwrap_or_default();
            let offsets = bytes.take(at, length)?;
            table = offsets
                .chunks_exact(4)
                .filter_map(<[u8]>::first_chunk)
                .map(|bytes| u32::from_le_bytes(*bytes))
                .collect::<Vec<_>>();
            parts = places.map(|(at, length)| bytes.take(at, length)).collect::<Result<Vec<_>, _>>()?;
            PixelData::Fragments { fragments: &parts, offsets: &table, extended: Vec::new() }
        }
    };
    drop(bytes);
    let frames = Frames::new(format, &syntax, data, file.frames.len()).map_err(text)?;
    targets.into_par_iter().try_for_each(|(index, out)| {
        let frame = file.frames.get(index).ok_or("it has too few frames")?;
        let (slope, intercept) = (frame.slope, frame.intercept);
        frames.decode(index, out, |stored| (stored as f64 * slope + intercept) as f32).map_err(text)
    })
}

/// The transfer syntax of a file; where it does not state one, as its elements are written.
fn transfer_syntax(file: &ImageFile) -> TransferSyntax {
    let stated = file.transfer_syntax.as_str();
    let native = match file.encoding {
        Encoding::IMPLICIT => "1.2.840.10008.1.2",
        Encoding::BIG_ENDIAN => "1.2.840.10008.1.2.2",
        _ => "1.2.840.10008.1.2.1",
    };
    TransferSyntax::of(if stated.is_empty() { native } else { stated })
}

/// Whether two images have the same Hounsfield units, voxel for voxel.
///
/// # Errors
///
/// As [`decode`], with the file's name.
pub(crate) fn are_same(first: (&ImageFile, usize), second: (&ImageFile, usize)) -> Result<bool, String> {
    let voxels = |(file, frame): (&ImageFile, usize)| {
        let count = file.format.map_or(0, |format| format.pixels());
        segvol_base::memory::check_available_if_large::<f32>("an image", count).map_err(|error| error.to_string())?;
        let mut voxels = vec![0.0; count];
        decode(file, vec![(frame, &mut voxels)]).map_err(|reason| format!("`{}`: {reason}", file.input.shown()))?;
        Ok::<_, String>(voxels)
    };
    Ok(voxels(first)? == voxels(second)?)
}
