//! Writes a NIfTI file on the grid of another one.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use segvol_base::atomic_file;

use super::{ByteOrder, Datatype, Header};
use crate::format::Format;

/// Voxels to write, i fastest.
#[derive(Clone, Copy, Debug)]
pub enum Voxels<'a> {
    /// Labels up to 255.
    U8(&'a [u8]),
    /// Labels up to 65535.
    U16(&'a [u16]),
    /// Logits.
    F32(&'a [f32]),
}

impl Voxels<'_> {
    fn datatype(&self) -> Datatype {
        match self {
            Self::U8(_) => Datatype::U8,
            Self::U16(_) => Datatype::U16,
            Self::F32(_) => Datatype::F32,
        }
    }

    /// The number of voxels.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Writes `voxels` on the grid of `like` to a file, atomically: the file appears whole or not at all.
///
/// The caller must check that the number of voxels matches `like`.
///
/// # Errors
/// An [`io::Error`] if the file cannot be written.
pub fn write(path: &Path, format: Format, like: &Header, intent_code: i16, voxels: Voxels<'_>) -> io::Result<()> {
    atomic_file::write(path, |file| {
        write_as(BufWriter::with_capacity(1 << 18, file), format, like, intent_code, voxels)
    })
}

/// Writes `voxels` on the grid of `like` to `writer`, in `format`.
///
/// # Errors
/// The error of `writer`.
pub fn write_as(
    mut writer: impl Write,
    format: Format,
    like: &Header,
    intent_code: i16,
    voxels: Voxels<'_>,
) -> io::Result<()> {
    match format {
        Format::NiftiGzip => {
            // Without a name and a time in the gzip header, the same input gives the same bytes. Floats compress badly,
            // so they are compressed fast.
            let level = if matches!(voxels, Voxels::F32(_)) { Compression::fast() } else { Compression::default() };
            let mut encoder = GzBuilder::new().mtime(0).write(writer, level);
            write_to(&mut encoder, like, intent_code, voxels)?;
            encoder.finish()?.flush()
        }
        Format::Nifti => {
            write_to(&mut writer, like, intent_code, voxels)?;
            writer.flush()
        }
    }
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
    match voxels {
        Voxels::U8(values) => writer.write_all(values),
        Voxels::U16(values) => write_words(writer, values, like.byte_order, u16::to_le_bytes, u16::to_be_bytes),
        Voxels::F32(values) => write_words(writer, values, like.byte_order, f32::to_le_bytes, f32::to_be_bytes),
    }
}

fn write_words<T: Copy, const N: usize>(
    writer: &mut impl Write,
    values: &[T],
    order: ByteOrder,
    little: fn(T) -> [u8; N],
    big: fn(T) -> [u8; N],
) -> io::Result<()> {
    let encode = if order == ByteOrder::Little { little } else { big };
    let mut bytes = Vec::with_capacity(N << 14);
    for chunk in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|&value| encode(value)));
        writer.write_all(&bytes)?;
    }
    Ok(())
}
