//! MetaImage files: reading `.mha` and `.mhd`, and writing `.mha`.
//!
//! # What the reader accepts
//! - Three axes; further ones MUST have length 1. One channel. All integer and float types, both byte orders, binary or text.
//! - The voxels after the header (`LOCAL`), or in files: one, a `LIST`, or a pattern (`ct%03d.raw 1 60 1`), in the header's
//!   folder or in folders inside it. `HeaderSize`, also -1. Compressed voxels (zlib or gzip), in one file.
//! - Unknown fields are passed over.
//!
//! # Geometry
//! As ITK reads it: the world is LPS+. `TransformMatrix` (or `Rotation`, `Orientation`) has the direction of axis i, then of j and
//! k; it need not be orthogonal. `ElementSpacing` (or `ElementSize`) is the distance of neighbours along them, and `Offset` (or
//! `Position`, `Origin`) the centre of the first voxel. `CenterOfRotation` is not used. `AnatomicalOrientation` is not used,
//! either; if it contradicts the directions, there is a warning (`header_repaired`). Without a matrix or without spacings, there
//! is a warning, too (`affine_missing`, `spacing_repaired`).
//!
//! # Source
//! "MetaIO", itk.org/Wiki/MetaIO/Documentation; ITK's MetaImageIO for the coordinates.

mod header;
mod write;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use self::header::{DATA_FILE, Header};
use crate::raster::{self, Encoding, Layout, Place, Places, RasterError, RasterVolume, Start};

pub use write::write;

/// Reads a scan from `reader`. `bytes` is the length of the file, if that is known; `folder` is the folder of a header that may
/// name other files.
///
/// # Errors
/// [`RasterError`], with the field that is wrong, if the file cannot be read.
pub fn read_from(reader: impl BufRead, bytes: Option<u64>, folder: Option<&Path>) -> Result<RasterVolume, RasterError> {
    let (header, reader) = Header::read(reader)?;
    let mut warnings = Vec::new();
    let affine = header.affine(&mut warnings)?;
    let Header { shape_xyz, datatype, order, encoding, .. } = header;
    let is_here = header.place == Place::Here;
    let start = match header.header_size {
        // The position in the file, also of voxels after the header.
        Some(at) if is_here && at > 0 => {
            let after = at.checked_sub(header.bytes);
            let after = after.ok_or_else(|| {
                RasterError::field("HeaderSize", format!("{} bytes or more", header.bytes), at.to_string())
            })?;
            Start::After { lines: 0, bytes: after }
        }
        Some(at) => Start::After { lines: 0, bytes: at },
        None => Start::FromEnd { trailing: 0 },
    };
    if let (Encoding::Zlib(_), Place::Files(names)) = (encoding, &header.place)
        && names.len() > 1
    {
        let found = format!("{} files", names.len());
        return Err(RasterError::field(DATA_FILE, "one file, because CompressedData is True", found));
    }
    let layout = Layout { datatype, order, encoding, start, values: shape_xyz.iter().product() };
    let left = bytes.map(|bytes| bytes.saturating_sub(header.bytes));
    let places = Places { folder, field: DATA_FILE };
    let (voxels, data_files) = raster::read((reader, left), &header.place, places, layout, &mut warnings)?;
    Ok(RasterVolume { shape_xyz, affine, voxels, warnings, data_files })
}

/// The files with the voxels that the header at the beginning of `reader` names; none if they follow it, or it cannot be read.
pub(crate) fn data_files(reader: impl BufRead, folder: Option<&Path>) -> Vec<PathBuf> {
    let Ok((Header { place: Place::Files(names), .. }, _)) = Header::read(reader) else { return Vec::new() };
    let places = Places { folder, field: DATA_FILE };
    names.iter().filter_map(|name| places.path(name).ok()).collect()
}

/// The voxels that the header at the beginning of `reader` states.
pub(crate) fn stated_voxels(reader: impl BufRead) -> Option<u64> {
    let (header, _) = Header::read(reader).ok()?;
    Some(header.shape_xyz.iter().map(|&size| size as u64).product())
}
