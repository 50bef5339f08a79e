//! Volumes from DICOM.

use std::path::Path;

use segvol_base::Warning;

use crate::affine::Affine;
use crate::format::{Kind, recognise_path};
use crate::grid::Grid;
use crate::read_options::ReadOptions;
use crate::volume::{Volume, VolumeError};

/// Whether a path is read as DICOM: a folder, a zip archive, or a DICOM file. A pipe is not looked into, because it can be
/// read only once.
pub(crate) fn is_dicom(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    if !metadata.is_file() && !metadata.is_dir() {
        return false;
    }
    matches!(recognise_path(path), Ok(Some(found)) if matches!(found.kind, Kind::Dicom | Kind::Zip))
}

/// Reads the scan at `path`.
pub(crate) fn read(path: &Path, options: &ReadOptions) -> Result<Volume, VolumeError> {
    let wanted = segvol_dicom::ReadOptions::default().series(options.series.clone()).fill_gaps(options.fill_gaps);
    let scan = segvol_dicom::read(path, &wanted)?;
    let affine = Affine::from_lps(Affine::new(scan.affine_lps));
    let grid = Grid::new(scan.shape_xyz, affine)?.read_with(options.clone()).with_source(path).with_dicom(scan.source);
    let warnings: Vec<Warning> = scan.warnings;
    Ok(Volume::assemble(scan.voxels, grid, warnings))
}
