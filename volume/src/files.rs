//! The files that a scan is made of.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::format::{Kind, recognise_path};
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
