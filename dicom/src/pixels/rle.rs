//! RLE Lossless: runs of bytes, one segment for each byte of a value.
//!
//! # Source
//!
//! DICOM PS3.5, annex G.

use super::format::PixelFormat;

/// Bytes of the header: the number of segments, then 15 offsets, in little endian.
const HEADER: usize = 64;

/// Decodes the segments of a frame into one cell of Bits Allocated bits for each pixel.
pub(super) fn decode(stream: &[u8], format: &PixelFormat) -> Result<Vec<u32>, String> {
    let Some((header, _)) = stream.split_at_checked(HEADER) else {
        return Err(format!("expected an RLE header of {HEADER} bytes, found {}", stream.len()));
    };
    let (words, _) = header.as_chunks::<4>();
    let words: Vec<usize> = words.iter().map(|&word| u32::from_le_bytes(word) as usize).collect();
    let (segments, planes) = (words[0], format.bytes());
    if segments != planes {
        return Err(format!(
            "expected {planes} RLE segments for {} Bits Allocated, found {segments}",
            format.bits_allocated
        ));
    }
    let starts = &words[1..=segments];
    let mut cells = vec![0u32; format.pixels()];
    for (segment, &start) in starts.iter().enumerate() {
        let end = starts.get(segment + 1).copied().unwrap_or(stream.len());
        let bytes = stream.get(start..end).filter(|_| start >= HEADER).ok_or_else(|| {
            format!(
                "expected RLE segment {} inside of {} bytes, found it at {start} to {end}",
                segment + 1,
                stream.len()
            )
        })?;
        plane(bytes, &mut cells).map_err(|found| {
            format!("expected {} values in RLE segment {}, found {found}", format.pixels(), segment + 1)
        })?;
    }
    Ok(cells)
}

/// Appends the bytes of a segment to the cells, the highest byte first. If the segment ends too early, the error is how many bytes
/// there were. A run may reach beyond the last cell, and what follows it is padding.
fn plane(mut bytes: &[u8], cells: &mut [u32]) -> Result<(), usize> {
    let mut at = 0;
    while at < cells.len() {
        let Some((&control, rest)) = bytes.split_first() else { return Err(at) };
        let left = cells.len() - at;
        bytes = match control {
            // The next `control + 1` bytes.
            0..=127 => {
                let length = usize::from(control) + 1;
                let Some((literal, rest)) = rest.split_at_checked(length.min(left)) else {
                    return Err(at + rest.len());
                };
                for (cell, &byte) in cells[at..].iter_mut().zip(literal) {
                    *cell = (*cell << 8) | u32::from(byte);
                }
                at += literal.len();
                rest
            }
            // Nothing.
            128 => rest,
            // The next byte, `257 - control` times.
            129..=255 => {
                let Some((&byte, rest)) = rest.split_first() else { return Err(at) };
                let length = (257 - usize::from(control)).min(left);
                for cell in &mut cells[at..at + length] {
                    *cell = (*cell << 8) | u32::from(byte);
                }
                at += length;
                rest
            }
        };
    }
    Ok(())
}
