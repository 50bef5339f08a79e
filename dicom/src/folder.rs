//! Finds the files of a folder, to the bottom, whatever they are called.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DicomError;
use crate::input::Input;

/// Most files of a folder: a study of a hospital has a few thousand.
const MAX_FILES: usize = 200_000;

/// Most levels of folders.
const MAX_DEPTH: usize = 64;

/// All regular files below `folder`, in the order of their names. Hidden ones are passed over, pipes and devices are never
/// opened, and each folder is visited once, whatever links lead to it.
///
/// # Errors
///
/// [`DicomError::Io`] if a folder cannot be read; [`DicomError::NoScan`] if there are too many files.
pub(crate) fn files(folder: &Path) -> Result<Vec<Input>, DicomError> {
    let mut walk = Walk { root: folder, found: Vec::new(), visited: HashSet::new() };
    walk.enter(folder, 0, MAX_DEPTH)?;
    Ok(walk.found)
}

/// The regular files in `folder` itself.
///
/// # Errors
///
/// As [`files`].
pub(crate) fn files_beside(folder: &Path) -> Result<Vec<Input>, DicomError> {
    let mut walk = Walk { root: folder, found: Vec::new(), visited: HashSet::new() };
    walk.enter(folder, 0, 0)?;
    Ok(walk.found)
}

/// Whether a file's name says that it is no image: hidden, or a directory of a medium.
pub(crate) fn is_passed_over(name: &str) -> bool {
    name.starts_with('.') || name == "__MACOSX" || name.eq_ignore_ascii_case("DICOMDIR")
}

struct Walk<'a> {
    root: &'a Path,
    found: Vec<Input>,
    visited: HashSet<PathBuf>,
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, depth: usize, deepest: usize) -> Result<(), DicomError> {
        let io = |source| DicomError::Io { path: folder.to_path_buf(), source };
        if !self.visited.insert(fs::canonicalize(folder).map_err(io)?) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            entries.push(entry.map_err(io)?.file_name());
            if self.found.len() + entries.len() > MAX_FILES {
                let reason = format!("it has more than {MAX_FILES} files; give the folder of one study");
                return Err(DicomError::NoScan { path: self.root.to_path_buf(), reason });
            }
        }
        entries.sort();
        for name in entries {
            if is_passed_over(&name.to_string_lossy()) {
                continue;
            }
            let path = folder.join(&name);
            // What a link leads to; a broken one leads nowhere.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() {
                if depth < deepest {
                    self.enter(&path, depth + 1, deepest)?;
                } else if deepest > 0 {
                    let reason = format!("its folders are nested more than {MAX_DEPTH} deep");
                    return Err(DicomError::NoScan { path: self.root.to_path_buf(), reason });
                }
            } else if metadata.is_file() {
                let name = path.strip_prefix(self.root).unwrap_or(&path).to_string_lossy().into_owned();
                self.found.push(Input::on_disk(path, name));
            }
        }
        Ok(())
    }
}
