//! NRRD files: reading `.nrrd` and `.nhdr`, and writing `.nrrd`.
//!
//! # What the reader accepts
//! - Versions 1 to 5. Encodings raw, gzip and ascii; all integer and float types under all their names; both byte orders.
//! - The voxels after the header, or in files: one, a `LIST`, or a pattern (`ct%03d.raw 1 60 1`), in the header's folder or in
//!   folders inside it. `line skip`, and `byte skip`, also a negative one of raw voxels.
//! - Three axes of space. A further axis, such as that of a list, MUST have length 1.
//! - Key and value pairs, comments and unknown fields are passed over.
//!
//! # Geometry
//! | the header has                         | read as                                                          | warning           |
//! |----------------------------------------|------------------------------------------------------------------|-------------------|
//! | `space` LPS, RAS or LAS, by either name, and `space directions` | that space                              |                   |
//! | `space` that does not name the patient, such as `scanner-xyz` | LPS, as ITK does                          | `affine_missing`  |
//! | `space dimension` and `space directions` | LPS, as ITK does                                               | `affine_missing`  |
//! | `spacings`, perhaps `axis mins`        | axes along L, P and S, as ITK does                               | `affine_missing`  |
//! | neither directions nor spacings        | spacings of 1 mm, as ITK does                                    | `affine_missing`  |
//! | `space units` (or `units`) m, cm, um   | converted to millimetres                                         | `unit_converted`  |
//!
//! `space origin` is the centre of the first voxel; without it, it is 0. `axis mins` is the centre of the first voxel if
//! `centers` says `node`, else its border. `measurement frame`, `thicknesses` and `content` mean nothing for a scan.
//!
//! # Source
//! "Definition of NRRD File Format", teem.sourceforge.net/nrrd/format.html; ITK's NrrdImageIO for what the format leaves open.

mod geometry;
mod header;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use segvol_base::Warning;

use self::header::Header;
use crate::affine::Affine;
use crate::format::Kind;
use crate::raster::{self, Layout, Place, Places, RasterError, RasterVolume};

pub use write::{TextField, write};

/// What this reader reads.
const EXPECTED: &str = "an NRRD file (.nrrd or .nhdr)";

/// Reads a scan from `reader`. `bytes` is the length of the file, if that is known; `folder` is the folder of a header that may
/// name other files.
///
/// # Errors
/// [`RasterError`], with the field that is wrong, if the file cannot be read.
pub fn read_from(reader: impl BufRead, bytes: Option<u64>, folder: Option<&Path>) -> Result<RasterVolume, RasterError> {
    let (header, reader) = Header::read(reader)?;
    let mut warnings = Vec::new();
    let (layout, shape_xyz) = header.layout(1)?;
    let affine = header.affine(&mut warnings)?;
    let left = bytes.map(|bytes| bytes.saturating_sub(header.bytes));
    let places = Places { folder, field: "data file" };
    let (voxels, data_files) = raster::read((reader, left), &header.place, places, layout, &mut warnings)?;
    Ok(RasterVolume { shape_xyz, affine, voxels, warnings, data_files })
}

/// Labels on one grid, in one layer or in several that may overlap, and the text in the file's header.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Voxels along the file's axes i, j, k.
    pub shape_xyz: [usize; 3],
    /// From voxel indices to RAS+ millimetres. It can be inverted.
    pub affine: Affine,
    /// The number of layers.
    pub layers: usize,
    /// `[k, j, i, layer]`: the layers of a voxel are neighbours.
    pub labels: Vec<u16>,
    /// The header's keys and values.
    pub text: BTreeMap<String, String>,
    /// What is unusual about the file, in plain words.
    pub warnings: Vec<Warning>,
}

/// Reads labels with the text of their header: what 3D Slicer writes as `.seg.nrrd`.
///
/// # Errors
/// [`RasterError`], with the field that is wrong, if the file cannot be read, or a voxel is not a whole number from 0 to 65535.
pub fn read_layers(path: &Path) -> Result<Layers, RasterError> {
    let io = |error| match error {
        crate::nifti::NiftiError::OtherFormat { found } => RasterError::OtherFormat { expected: EXPECTED, found },
        crate::nifti::NiftiError::Io(error) => RasterError::Io(error),
        other => RasterError::Io(std::io::Error::other(other)),
    };
    let (mut reader, bytes) = crate::nifti::open(path).map_err(io)?;
    if let Some(found) = crate::format::recognise(reader.fill_buf()?).filter(|found| found.kind != Kind::Nrrd) {
        return Err(RasterError::OtherFormat { expected: EXPECTED, found });
    }
    read_layers_from(reader, bytes, path.parent())
}

/// Reads the keys and values in the header of an NRRD file, and nothing of its voxels. `None` if the file is another one.
///
/// # Errors
/// [`RasterError`], with the line or field that is wrong, if the header cannot be read.
pub fn read_text(path: &Path) -> Result<Option<BTreeMap<String, String>>, RasterError> {
    let mut reader = BufReader::new(File::open(path)?);
    if !reader.fill_buf()?.starts_with(b"NRRD") {
        return Ok(None);
    }
    Ok(Some(Header::read(reader)?.0.text))
}

/// As [`read_layers`], from any reader: the voxels must follow the header. `bytes` is the length of all, if that is known.
///
/// # Errors
/// The same as [`read_layers`].
pub fn read_layers_of(reader: impl BufRead, bytes: Option<u64>) -> Result<Layers, RasterError> {
    read_layers_from(reader, bytes, None)
}

fn read_layers_from(reader: impl BufRead, bytes: Option<u64>, folder: Option<&Path>) -> Result<Layers, RasterError> {
    let (header, reader) = Header::read(reader)?;
    let mut warnings = Vec::new();
    let (layout, shape_xyz) = header.layout(usize::from(u16::MAX))?;
    let affine = header.affine(&mut warnings)?;
    let layers = layout.values / shape_xyz.iter().product::<usize>();
    if layers > 1 && header.spatial()?[0] == 0 {
        let expected = "the axis of the layers before those of space";
        return Err(RasterError::field(
            "space directions",
            expected,
            header.field("spacedirections").unwrap_or_default(),
        ));
    }
    let left = bytes.map(|bytes| bytes.saturating_sub(header.bytes));
    let places = Places { folder, field: "data file" };
    let (labels, _) = raster::read((reader, left), &header.place, places, layout, &mut warnings)?;
    Ok(Layers { shape_xyz, affine, layers, labels, text: header.text, warnings })
}

/// The files with the voxels that the header at the beginning of `reader` names; none if they follow it, or it cannot be read.
pub(crate) fn data_files(reader: impl BufRead, folder: Option<&Path>) -> Vec<PathBuf> {
    let Ok((Header { place: Place::Files(names), .. }, _)) = Header::read(reader) else { return Vec::new() };
    let places = Places { folder, field: "data file" };
    names.iter().filter_map(|name| places.path(name).ok()).collect()
}

/// The product of the lengths of all axes that the header at the beginning of `reader` states.
pub(crate) fn stated_voxels(reader: impl BufRead) -> Option<u64> {
    let (header, _) = Header::read(reader).ok()?;
    header.sizes.iter().try_fold(1_u64, |all, &size| all.checked_mul(size))
}

impl Header {
    /// How the voxels are stored, and the lengths of the three axes of space. The other axes together have at most `most` values.
    fn layout(&self, most: usize) -> Result<(Layout, [usize; 3]), RasterError> {
        let spatial = self.spatial()?;
        let shape = raster::shape("sizes", spatial.map(|axis| self.sizes[axis]))?;
        let voxels: usize = shape.iter().product();
        let mut each = 1_usize;
        for (axis, &size) in self.sizes.iter().enumerate().filter(|(axis, _)| !spatial.contains(axis)) {
            let size = usize::try_from(size).ok().filter(|&size| size > 0);
            let all = size.and_then(|size| each.checked_mul(size)).filter(|&all| all <= most);
            each = all.ok_or_else(|| {
                let kinds = self.field("kinds").and_then(|kinds| kinds.split_whitespace().nth(axis));
                let kind = kinds.map(|kind| format!(", {}", raster::shown(kind))).unwrap_or_default();
                let found = format!("{} (axis {}{kind})", self.sizes[axis], axis + 1);
                RasterError::Field { field: "sizes", expected: "one value for each voxel".to_owned(), found }
            })?;
        }
        let values = voxels.checked_mul(each).filter(|&values| values as u64 <= crate::nifti::MAX_VOXELS);
        let values = values.ok_or_else(|| RasterError::Shape { field: "sizes", shape: self.sizes.clone() })?;
        let Self { datatype, order, encoding, start, .. } = *self;
        Ok((Layout { datatype, order, encoding, start, values }, shape))
    }
}
