//! Writes MetaImage files.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::grid::Grid;
use crate::nifti::{ByteOrder, Datatype};
use crate::voxels::Voxels;

/// Writes voxels on a grid, little-endian, with an affine without any rounding but that of its directions to unit length. Labels are
/// compressed, in memory, because their size comes before them; other voxels are not, as other programs do it.
///
/// The caller must check that the number of voxels matches. The same values give the same bytes.
///
/// # Errors
/// The error of `writer`.
pub fn write(mut writer: impl Write, grid: &Grid, voxels: Voxels<'_>) -> io::Result<()> {
    let packed = if voxels.are_labels() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        voxels.write(&mut encoder, ByteOrder::Little)?;
        Some(encoder.finish()?)
    } else {
        None
    };
    let size = packed.as_ref().map(Vec::len);
    writer.write_all(header(grid, voxels.datatype(), size).as_bytes())?;
    match packed {
        Some(bytes) => writer.write_all(&bytes)?,
        None => voxels.write(&mut writer, ByteOrder::Little)?,
    }
    writer.flush()
}

fn header(grid: &Grid, datatype: Datatype, compressed: Option<usize>) -> String {
    let spacing = grid.spacing_mm();
    // LPS, and no number becomes minus 0.
    let [x, y, z] = grid.affine().rows();
    let rows = [x.map(|value| 0.0 - value), y.map(|value| 0.0 - value), z.map(|value| value + 0.0)];
    let join = |values: &[f64]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    // The direction of i, then of j and k.
    let matrix: Vec<f64> = (0..3).flat_map(|axis| rows.map(|row| row[axis] / spacing[axis])).collect();
    let [ni, nj, nk] = grid.shape_xyz();
    let compression = match compressed {
        Some(bytes) => format!("CompressedData = True\nCompressedDataSize = {bytes}\n"),
        None => "CompressedData = False\n".to_owned(),
    };
    format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n{compression}\
         TransformMatrix = {}\nOffset = {}\nCenterOfRotation = 0 0 0\nElementSpacing = {}\nDimSize = {ni} {nj} {nk}\n\
         ElementType = {}\nElementDataFile = LOCAL\n",
        join(&matrix),
        join(&rows.map(|row| row[3])),
        join(&spacing),
        name(datatype)
    )
}

fn name(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::U8 => "MET_UCHAR",
        Datatype::I8 => "MET_CHAR",
        Datatype::U16 => "MET_USHORT",
        Datatype::I16 => "MET_SHORT",
        Datatype::U32 => "MET_UINT",
        Datatype::I32 => "MET_INT",
        Datatype::U64 => "MET_ULONG_LONG",
        Datatype::I64 => "MET_LONG_LONG",
        Datatype::F32 => "MET_FLOAT",
        Datatype::F64 => "MET_DOUBLE",
    }
}
