//! Writes a NIfTI file on the grid of another one.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

use super::{ByteOrder, Header};
use crate::voxels::Voxels;

/// As [`write_with`], compressed with gzip. The same voxels give the same bytes.
///
/// # Errors
/// The error of `writer`.
pub fn write_gzip(
    writer: impl Write,
    like: &Header,
    intent_code: i16,
    voxels: Voxels<'_>,
    comment: &str,
) -> io::Result<()> {
    // Without a name and a time in the gzip header, the same input gives the same bytes. Only labels compress well: the rest
    // is compressed fast.
    let level = if voxels.are_labels() { Compression::default() } else { Compression::fast() };
    let mut encoder = GzBuilder::new().mtime(0).write(writer, level);
    write_with(&mut encoder, like, intent_code, voxels, comment)?;
    encoder.finish()?.flush()
}

/// The code of an extension that is plain text.
const COMMENT_CODE: i32 = 6;

/// Writes an uncompressed file with the version, byte order and geometry of `like`, unscaled voxels and no extensions.
///
/// # Errors
/// The error of `writer`.
pub fn write_to(writer: &mut impl Write, like: &Header, intent_code: i16, voxels: Voxels<'_>) -> io::Result<()> {
    write_with(writer, like, intent_code, voxels, "")
}

/// As [`write_to`], with a comment as the only extension; without one if it is empty.
///
/// # Errors
/// The error of `writer`.
pub fn write_with(
    writer: &mut impl Write,
    like: &Header,
    intent_code: i16,
    voxels: Voxels<'_>,
    comment: &str,
) -> io::Result<()> {
    let datatype = voxels.datatype();
    let extension = extension(like.byte_order, comment);
    let header = Header {
        datatype,
        bitpix: 8 * datatype.bytes() as i16,
        vox_offset: like.version.first_voxel() + extension.len() as u64,
        scl_slope: 1.0,
        scl_inter: 0.0,
        ..like.clone()
    };
    let mut bytes = header.encode(intent_code, concat!("segvol ", env!("CARGO_PKG_VERSION")));
    if !extension.is_empty() {
        bytes[like.version.header_bytes()] = 1;
    }
    writer.write_all(&bytes)?;
    writer.write_all(&extension)?;
    voxels.write(writer, like.byte_order)
}

/// An extension with this text: its size, a multiple of 16, its code, and the text with zeros after it.
fn extension(order: ByteOrder, comment: &str) -> Vec<u8> {
    // Limited, so that every reader accepts it.
    let text = &comment.as_bytes()[..comment.floor_char_boundary(1 << 20)];
    if text.is_empty() {
        return Vec::new();
    }
    let size = (8 + text.len()).next_multiple_of(16);
    let word = |value: i32| if order == ByteOrder::Little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut bytes = [word(size as i32), word(COMMENT_CODE)].concat();
    bytes.extend_from_slice(text);
    bytes.resize(size, 0);
    bytes
}
