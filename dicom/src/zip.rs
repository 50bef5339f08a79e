//! Finds the files of a zip archive. They are read in memory: nothing is unpacked to the disk, so their names are only names.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use segvol_archive::region::Region;
use segvol_archive::zip::Archive;

use crate::error::DicomError;
use crate::folder::is_passed_over;
use crate::input::Input;

/// Most files of an archive.
const MAX_FILES: usize = 200_000;

/// Whether a file that begins with `head` is a zip archive.
pub(crate) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// Bytes of all files of the archive at `path` when they are unpacked; `None` if it is no archive that can be read.
#[must_use]
pub fn unpacked_bytes(path: &Path) -> Option<u64> {
    let region = Region::of_file(File::open(path).ok()?).ok()?;
    Some(Archive::read(region).ok()?.unpacked_bytes())
}

/// All files of the archive at `path`, in the order of their names.
///
/// # Errors
///
/// [`DicomError::Io`] if it cannot be read, [`DicomError::NoScan`] if it is damaged or has too many files.
pub(crate) fn files(path: &Path) -> Result<Vec<Input>, DicomError> {
    let io = |source| DicomError::Io { path: path.to_path_buf(), source };
    let region = Region::of_file(File::open(path).map_err(io)?).map_err(io)?;
    let refused = |reason| DicomError::NoScan { path: path.to_path_buf(), reason };
    files_of(region).map_err(refused)
}

/// All files of an archive, in the order of their names.
pub(crate) fn files_of(region: Region) -> Result<Vec<Input>, String> {
    let archive = Arc::new(Archive::read(region)?);
    let wanted = |name: &&str| {
        let mut parts = name.split(['/', '\\']);
        !name.ends_with(['/', '\\']) && !parts.any(|part| part != ".." && part != "." && is_passed_over(part))
    };
    let names: Vec<String> = archive.names().filter(wanted).map(str::to_owned).collect();
    if names.len() > MAX_FILES {
        return Err(format!("it has more than {MAX_FILES} files"));
    }
    Ok(names.into_iter().map(|name| Input::in_archive(Arc::clone(&archive), name)).collect())
}
