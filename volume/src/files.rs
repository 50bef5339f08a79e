//! The files that a scan is made of.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::format::{Format, Kind, recognise_path};
use crate::{metaimage, nrrd};

/// The files that the scan at `path` is made of: itself, and those with its voxels if it is a header of NRRD or MetaImage. For
/// checks that an output replaces none of them. Nothing is reported here: reading the scan does that. A series of DICOM is a
/// folder, and which of its files are read is known only then.
#[must_use]
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    // A pipe can be read only once.
    if !path.is_file() {
        return files;
    }
    let Ok(Some(found)) = recognise_path(path) else { return files };
    let Ok(file) = File::open(path) else { return files };
    let reader = BufReader::new(file);
    match found.kind {
        Kind::Nrrd => files.extend(nrrd::data_files(reader, path.parent())),
        Kind::MetaImage => files.extend(metaimage::data_files(reader, path.parent())),
        _ => {}
    }
    files
}

/// How many voxels the header at the beginning of a file states, without reading them: of NIfTI, NRRD and MetaImage. `None` for other
/// formats, and if the header cannot be read. A few bytes can state, and a compressed file can hold, very many.
#[must_use]
pub fn stated_voxels(path: &Path) -> Option<u64> {
    let reader = || File::open(path).map(BufReader::new).ok();
    match recognise_path(path).ok()?.map(|found| found.kind) {
        Some(Kind::Nrrd) => nrrd::stated_voxels(reader()?),
        Some(Kind::MetaImage) => metaimage::stated_voxels(reader()?),
        Some(Kind::Dicom | Kind::Zip) => None,
        _ => crate::nifti::read_header(path).ok().map(|header| header.voxels() as u64),
    }
}

/// How many voxels the scan at `path` has at most: as its NIfTI header says, else as many as its files can hold. 0 if there is none, or
/// if its header cannot be read.
#[must_use]
pub fn most_voxels(path: &Path) -> u64 {
    match Format::of_name(path) {
        Some(Format::Nifti | Format::NiftiGzip) => {
            crate::nifti::read_header(path).map_or(0, |header| header.voxels() as u64)
        }
        // Two bytes a voxel, compressed to a quarter at best.
        _ => bytes_on_disk(path, 0).saturating_mul(2),
    }
}

/// The bytes of a file, or of all files in a folder.
fn bytes_on_disk(path: &Path, depth: usize) -> u64 {
    const MAX_DEPTH: usize = 8;
    match std::fs::read_dir(path) {
        Ok(entries) if depth < MAX_DEPTH => {
            entries.flatten().map(|entry| bytes_on_disk(&entry.path(), depth + 1)).fold(0, u64::saturating_add)
        }
        Ok(_) => 0,
        Err(_) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
    }
}
