//! Writes NRRD files.

use std::fmt::Write as _;
use std::io::{self, Write};

use flate2::{Compression, GzBuilder};

use crate::grid::Grid;
use crate::nifti::{ByteOrder, Datatype};
use crate::voxels::Voxels;

/// A key and its value in the header.
pub type TextField = (String, String);

/// Writes voxels on a grid, compressed with gzip: version 5, little-endian, the space left-posterior-superior, and an affine without
/// any rounding.
///
/// `layers` values of a voxel are neighbours; if there are several, they are the first axis, of kind `list`. The caller must check
/// that the number of values matches. The same values give the same bytes.
///
/// # Errors
/// The error of `writer`.
pub fn write(
    mut writer: impl Write,
    grid: &Grid,
    layers: usize,
    voxels: Voxels<'_>,
    text: &[TextField],
) -> io::Result<()> {
    writer.write_all(header(grid, layers, voxels.datatype(), text).as_bytes())?;
    // Without a name and a time in the gzip header. Only labels compress well: the rest is compressed fast.
    let level = if voxels.are_labels() { Compression::default() } else { Compression::fast() };
    let mut encoder = GzBuilder::new().mtime(0).write(writer, level);
    voxels.write(&mut encoder, ByteOrder::Little)?;
    encoder.finish()?.flush()
}

fn header(grid: &Grid, layers: usize, datatype: Datatype, text: &[TextField]) -> String {
    let list = layers > 1;
    let mut out = String::from("NRRD0005\n");
    let _ = writeln!(out, "# Written by segvol {}", env!("CARGO_PKG_VERSION"));
    let [ni, nj, nk] = grid.shape_xyz();
    let (first, none, kind) = if list { (format!("{layers} "), "none ", "list ") } else { (String::new(), "", "") };
    let _ = writeln!(out, "type: {}\ndimension: {}", name(datatype), 3 + usize::from(list));
    let _ = writeln!(out, "space: left-posterior-superior\nsizes: {first}{ni} {nj} {nk}");
    let [x, y, z] = grid.affine().rows();
    // No number becomes minus 0.
    let [x, y, z] = [x.map(|value| 0.0 - value), y.map(|value| 0.0 - value), z.map(|value| value + 0.0)];
    let column = |a: usize| format!("({},{},{})", x[a], y[a], z[a]);
    let _ = writeln!(out, "space directions: {none}{} {} {}", column(0), column(1), column(2));
    let _ = writeln!(out, "kinds: {kind}domain domain domain\nendian: little\nencoding: gzip");
    let _ = writeln!(out, "space origin: {}", column(3));
    for (key, value) in text {
        let [key, value] = [key, value].map(|text| text.replace('\\', "\\\\").replace(['\r', '\n'], "\\n"));
        let _ = writeln!(out, "{key}:={value}");
    }
    out.push('\n');
    out
}

fn name(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::U8 => "uint8",
        Datatype::I8 => "int8",
        Datatype::U16 => "uint16",
        Datatype::I16 => "int16",
        Datatype::U32 => "uint32",
        Datatype::I32 => "int32",
        Datatype::U64 => "uint64",
        Datatype::I64 => "int64",
        Datatype::F32 => "float",
        Datatype::F64 => "double",
    }
}
