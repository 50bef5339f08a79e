//! Writes a NIfTI file on the grid of another one.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

use super::Header;
use crate::voxels::Voxels;

/// As [`write_to`], compressed with gzip. The same voxels give the same bytes.
///
/// # Errors
/// The error of `writer`.
pub fn write_gzip(writer: impl Write, like: &Header, intent_code: i16, voxels: Voxels<'_>) -> io::Result<()> {
    // Without a name and a time in the gzip header, the same input gives the same bytes. Only labels compress well: the rest
    // is compressed fast.
    let level = if voxels.are_labels() { Compression::default() } else { Compression::fast() };
    let mut encoder = GzBuilder::new().mtime(0).write(writer, level);
    write_to(&mut encoder, like, intent_code, voxels)?;
    encoder.finish()?.flush()
}

/// Writes an uncompressed file with the version, byte order and geometry of `like`, unscaled voxels and no extensions.
///
/// # Errors
/// The error of `writer`.
pub fn write_to(writer: &mut impl Write, like: &Header, intent_code: i16, voxels: Voxels<'_>) -> io::Result<()> {
    let datatype = voxels.datatype();
    let header = Header {
        datatype,
        bitpix: 8 * datatype.bytes() as i16,
        vox_offset: like.version.first_voxel(),
        scl_slope: 1.0,
        scl_inter: 0.0,
        ..like.clone()
    };
    writer.write_all(&header.encode(intent_code, concat!("segvol ", env!("CARGO_PKG_VERSION"))))?;
    voxels.write(writer, like.byte_order)
}
