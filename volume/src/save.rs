//! Saves voxels on a grid in the format of the file's name, never over a file that the grid was read from.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use segvol_base::atomic_file;
use segvol_base::file_identity::is_same_file;

use crate::format::Format;
use crate::grid::Grid;
use crate::metaimage;
use crate::nifti::{self, Header};
use crate::nrrd;
use crate::voxels::Voxels;

/// NIfTI's `intent_code` for labels, NIFTI_INTENT_LABEL.
const INTENT_LABEL: i16 = 1002;

/// NIfTI's `intent_code` for voxels without a special meaning, NIFTI_INTENT_NONE.
const INTENT_NONE: i16 = 0;

/// Why nothing was written.
pub(crate) enum Failure {
    /// The name does not end in the extension of a format.
    Name,
    /// The file is one that the scan was read from.
    OverScan,
    /// The file cannot be written.
    Io(io::Error),
}

/// Writes `voxels`, as many as the grid has, to a file, atomically. Its name decides the format.
pub(crate) fn save(
    path: &Path,
    grid: &Grid,
    header: Cow<'_, Header>,
    voxels: Voxels<'_>,
    comment: &str,
) -> Result<(), Failure> {
    let format = Format::of_name(path).ok_or(Failure::Name)?;
    if is_part_of_scan(grid, path) {
        return Err(Failure::OverScan);
    }
    let written =
        |file: &std::fs::File| write(BufWriter::with_capacity(1 << 18, file), format, grid, &header, voxels, comment);
    atomic_file::write(path, written).map_err(Failure::Io)
}

/// Writes `voxels` in `format`. NIfTI gets the geometry of `header`.
pub(crate) fn write(
    mut writer: impl Write,
    format: Format,
    grid: &Grid,
    header: &Header,
    voxels: Voxels<'_>,
    comment: &str,
) -> io::Result<()> {
    let intent_code = if voxels.are_labels() { INTENT_LABEL } else { INTENT_NONE };
    match format {
        Format::Nifti => {
            nifti::write_with(&mut writer, header, intent_code, voxels, comment)?;
            writer.flush()
        }
        Format::NiftiGzip => nifti::write_gzip(writer, header, intent_code, voxels, comment),
        Format::Nrrd => {
            let text = (!comment.is_empty()).then(|| ("comment".to_owned(), comment.to_owned()));
            nrrd::write(writer, grid, 1, voxels, text.as_slice())
        }
        Format::MetaImage => metaimage::write(writer, grid, voxels),
    }
}

/// Whether `path` is a file that the scan on this grid was read from: its own file, a file with its voxels, or a DICOM file in its
/// folder. An output must not replace it.
#[must_use]
pub fn is_part_of_scan(grid: &Grid, path: &Path) -> bool {
    let Some(scan) = grid.source() else { return false };
    if is_same_file(scan, path) || grid.data_files().iter().any(|file| is_same_file(file, path)) {
        return true;
    }
    #[cfg(feature = "dicom")]
    if grid.dicom().is_some() {
        use crate::format::{Kind, recognise_path};
        use segvol_base::file_identity::is_within;
        // One file stands for the series in its folder.
        let folder = if scan.is_dir() { Some(scan) } else { scan.parent() };
        let is_image = || matches!(recognise_path(path), Ok(Some(found)) if found.kind == Kind::Dicom);
        return folder.is_some_and(|folder| is_within(path, folder)) && path.is_file() && is_image();
    }
    false
}
