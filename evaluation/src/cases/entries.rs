//! The files of a folder, as far as they can be scans or masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use segvol::volume::Format;
use segvol::volume::format::{Kind, SCAN_EXTENSIONS, recognise_path};
use segvol_base::{is_leftover, text};

use super::CaseListError;

/// What the name of a file with named masks ends in.
const SEG_NRRD: &str = ".seg.nrrd";
const DICOM: &str = ".dcm";

/// The folder's scans and masks by their names without extension: its NIfTI files, or if it has none, those of other formats.
pub(super) fn image_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CaseListError> {
    by_stem(folder, image_list(folder)?)
}

/// The folder's scans by their names: as [`image_files`], and if there is no NIfTI, zip archives and folders of DICOM too. A
/// DICOM file beside others is a slice, not a scan.
pub(super) fn scans(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CaseListError> {
    let mut paths: Vec<PathBuf> = image_list(folder)?.into_iter().filter(|path| !has_end(path, DICOM)).collect();
    if !paths.iter().any(|path| is_nifti(path)) {
        let is_dicom = |path: &PathBuf| {
            recognise_path(path).is_ok_and(|found| found.is_some_and(|found| found.kind == Kind::Dicom))
        };
        paths.extend(folders(folder)?.into_values().filter(is_dicom));
        paths.extend(files(folder)?.into_iter().filter(|path| has_end(path, ".zip")));
    }
    by_stem(folder, paths)
}

/// The files of [`image_files`], in no order; several may have the same name.
pub(super) fn image_list(folder: &Path) -> Result<Vec<PathBuf>, CaseListError> {
    let all: Vec<PathBuf> = files(folder)?.into_iter().filter(|path| extension(path).is_some()).collect();
    let has_nifti = all.iter().any(|path| is_nifti(path));
    Ok(all.into_iter().filter(|path| !has_nifti || is_nifti(path)).collect())
}

/// Whether a file's name is one of Slicer's segmentations.
pub(super) fn is_seg_nrrd(path: &Path) -> bool {
    has_end(path, SEG_NRRD)
}

/// Whether a file's name is one of DICOM.
pub(super) fn is_dicom_name(path: &Path) -> bool {
    has_end(path, DICOM)
}

fn is_nifti(path: &Path) -> bool {
    matches!(Format::of_name(path), Some(Format::Nifti | Format::NiftiGzip))
}

fn has_end(path: &Path, end: &str) -> bool {
    file_name(path).to_ascii_lowercase().ends_with(end)
}

/// The folder's files, without hidden ones.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CaseListError> {
    let failed = |error: io::Error| CaseListError::new(folder, error.to_string());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<Vec<_>, CaseListError>>()?;
    Ok(paths.into_iter().filter(|path| !is_leftover(path) && !path.is_dir()).collect())
}

fn by_stem(folder: &Path, paths: Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>, CaseListError> {
    let mut files = BTreeMap::new();
    for path in paths {
        if let Some(other) = files.insert(stem(&path), path.clone()) {
            return Err(twice(folder, [other, path]));
        }
    }
    Ok(files)
}

/// The error for two files with the same name.
pub(super) fn twice(folder: &Path, paths: [PathBuf; 2]) -> CaseListError {
    let mut names = paths.map(|path| file_name(&path));
    names.sort();
    let [a, b] = names;
    CaseListError::new(folder, format!("two files with the same name: {a} and {b}"))
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

/// The extension of a scan or of masks at the end of a file's name, in lower case. Longer ones are looked for first.
fn extension(path: &Path) -> Option<&'static str> {
    [SEG_NRRD, DICOM].into_iter().chain(SCAN_EXTENSIONS).find(|end| has_end(path, end))
}

/// The name of a scan or of masks without the extension: `a` for `a.nii.gz`, `a.seg.nrrd` and `a.zip`.
pub(super) fn stem(path: &Path) -> String {
    let name = file_name(path);
    let end = extension(path).or_else(|| has_end(path, ".zip").then_some(".zip"));
    name[..name.len() - end.map_or(0, str::len)].to_owned()
}

/// The first few of these, for a message.
pub(super) fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let names: Vec<&str> = names.into_iter().collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "))
}
