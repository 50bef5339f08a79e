//! The files of a folder, as far as they can be scans or masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use segvol::volume::format::{is_scan_name, scan_stem};
use segvol_base::{is_leftover, text};

use super::CaseListError;

/// The folder's scans and label maps (NIfTI, NRRD, MetaImage) by their names without extension.
pub(super) fn image_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CaseListError> {
    let failed = |error: io::Error| CaseListError::new(folder, error.to_string());
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_scan_name(&path)
            && !is_leftover(&path)
            && !path.is_dir()
            && let Some(other) = files.insert(stem(&path), path.clone())
        {
            let mut names = [other, path].map(|path| file_name(&path));
            names.sort();
            let [a, b] = names;
            return Err(CaseListError::new(folder, format!("two files with the same name: {a} and {b}")));
        }
    }
    Ok(files)
}

/// The folder's folders, by name. Hidden ones, and what operating systems put into folders, are left out.
pub(super) fn folders(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CaseListError> {
    let failed = |error: io::Error| CaseListError::new(folder, error.to_string());
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !is_leftover(&path) && !file_name(&path).starts_with("__") {
            found.insert(file_name(&path), path);
        }
    }
    Ok(found)
}

/// A file that people write, as text.
pub(super) fn read_text(path: &Path) -> Result<String, CaseListError> {
    let bytes = fs::read(path).map_err(|error| CaseListError::new(path, error.to_string()))?;
    let text =
        text::decode(&bytes).map_err(|found| CaseListError::new(path, format!("expected JSON; found {found}")))?;
    Ok(text.to_owned())
}

/// The last part of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A file's name without the extension of a scan, such as `.nii.gz`.
pub(super) fn stem(path: &Path) -> String {
    scan_stem(path).unwrap_or_else(|| file_name(path))
}

/// The first few of these, for a message.
pub(super) fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let names: Vec<&str> = names.into_iter().collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "))
}
