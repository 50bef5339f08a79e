//! A folder for each case, with one mask for each structure, as TotalSegmentator stores them.
//!
//! ```text
//! s0001/ct.nii.gz
//! s0001/segmentations/kidney_left.nii.gz
//! s0001/segmentations/liver.nii.gz
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use segvol::volume::format::{Kind, recognise_path};
use segvol::{Names, Warning, WarningCode};

use super::entries::{file_name, folders, image_files, some};
use super::layout::{Data, scans};
use super::names::read_names_of_files;
use super::{Advice, Case, CaseListError, Structure};

/// The folder of a case's masks.
const MASKS: &str = "segmentations";

/// The scan, if its folder has other NIfTI files too.
const SCAN: &str = "ct";

/// Whether a folder is a case, or has one in it.
pub(super) fn is_there(folder: &Path) -> Result<bool, CaseListError> {
    Ok(folder.join(MASKS).is_dir() || folders(folder)?.values().any(|case| case.join(MASKS).is_dir()))
}

/// The cases of a folder, or the folder as one case. Each mask is a structure. It is called as `names` says, and masks that are
/// not in it are not used; without names, as its file with blanks for `_`, or in the only spelling of it that the model
/// was `trained` with.
///
/// A case without a scan or without masks fails.
pub(super) fn read(folder: &Path, names: Option<&Path>, trained: Option<&Names>) -> Result<Data, CaseListError> {
    let names = names.map(|path| Ok((path, read_names_of_files(path)?))).transpose()?;
    let all = if folder.join(MASKS).is_dir() {
        let name = folder.canonicalize().map_or_else(|_| file_name(folder), |path| file_name(&path));
        BTreeMap::from([(name, folder.to_owned())])
    } else {
        folders(folder)?
    };
    let (mut cases, mut unused, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (name, case) in all {
        let (image, others) = scan_of(&case)?;
        unused.extend(others);
        let masks = case.join(MASKS);
        // A case without masks fails when this folder is read.
        let files = if masks.is_dir() { image_files(&masks)? } else { BTreeMap::new() };
        let structures = match &names {
            Some((_, names)) => named(names, &files, &masks),
            None => called_as_files(&files, &masks, trained)?,
        };
        let labels = structures.is_empty().then_some(masks);
        cases.push(Case { name, image, labels, structures: structures.into() });
        seen.extend(files.into_keys());
    }
    if let Some((path, names)) = &names
        && let Some(missing) = names.iter().flat_map(|(_, files)| files).find(|file| !seen.contains(*file))
    {
        let found = some(seen.iter().map(String::as_str));
        let reason = format!("expected the names of masks; no case has {missing}.nii.gz in {MASKS}, but {found}");
        return Err(CaseListError::new(*path, reason));
    }
    let mut warnings = Vec::new();
    if folder.join(MASKS).is_dir() {
        // The folder's own files were looked at above.
    } else {
        unused.extend(image_files(folder)?.into_values());
    }
    if !unused.is_empty() {
        let shown: Vec<String> =
            unused.iter().map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string()).collect();
        let message = format!(
            "files that belong to no case are not used: {}; a case is a scan, {SCAN}.nii.gz, beside the folder {MASKS}",
            some(shown.iter().map(String::as_str))
        );
        warnings.push(Warning::new(WarningCode::DataUnused, message));
    }
    let used = names.as_ref().map_or(seen.len(), |(_, names)| names.iter().map(|(_, files)| files.len()).sum());
    let chosen = if used < seen.len() { format!(", {used} of {} masks", seen.len()) } else { String::new() };
    let folders = if cases.len() == 1 { "a folder of its own" } else { "folders of their own" };
    let description = format!("{} in {folders}, with masks in {MASKS}{chosen}", scans(cases.len()));
    Ok(Data { warnings, renamed: renamed(&cases, names.is_some()), ..Data::new(description, cases) })
}

/// The scan of a case, and the NIfTI files beside it.
fn scan_of(case: &Path) -> Result<(PathBuf, Vec<PathBuf>), CaseListError> {
    let mut files = image_files(case)?;
    if let Some(scan) = files.remove(SCAN) {
        return Ok((scan, files.into_values().collect()));
    }
    let names: Vec<String> = files.values().map(|path| file_name(path)).collect();
    match files.into_values().collect::<Vec<_>>().as_slice() {
        [] => match dicom_in(case)? {
            Some(dicom) => {
                let reason = format!(
                    "expected a scan in a file, {SCAN}.nii.gz, in this layout; found a DICOM series in {dicom}"
                );
                Err(CaseListError::new(case, reason).advising(Advice::List))
            }
            None => Ok((case.join(format!("{SCAN}.nii.gz")), Vec::new())),
        },
        [scan] => Ok((scan.clone(), Vec::new())),
        _ => {
            let found = some(names.iter().map(String::as_str));
            let reason = format!("expected one scan, or one called {SCAN}.nii.gz; found {found}");
            Err(CaseListError::new(case, reason).advising(Advice::List))
        }
    }
}

/// The folder with a DICOM series in the folder of a case, or that folder itself; `None` if there is none.
fn dicom_in(case: &Path) -> Result<Option<String>, CaseListError> {
    let is_dicom =
        |path: &Path| recognise_path(path).is_ok_and(|found| found.is_some_and(|found| found.kind == Kind::Dicom));
    let inside = folders(case)?.into_iter().find(|(name, path)| name != MASKS && is_dicom(path));
    Ok(inside.map(|(name, _)| name).or_else(|| is_dicom(case).then(|| "the folder itself".to_owned())))
}

/// The structures that are named, as far as the case has a mask of them. A mask that is missing beside others of the same
/// structure stays in the list, so that the case fails.
fn named(names: &[(String, Vec<String>)], there: &BTreeMap<String, PathBuf>, masks: &Path) -> Vec<Structure> {
    let path = |file: &String| there.get(file).cloned().unwrap_or_else(|| masks.join(format!("{file}.nii.gz")));
    let has_any = |files: &[String]| files.iter().any(|file| there.contains_key(file));
    let named = names.iter().filter(|(_, files)| has_any(files));
    let mut structures: Vec<Structure> =
        named.map(|(name, files)| Structure::in_files(name, files.iter().map(path).collect(), false)).collect();
    structures.sort_by(|a, b| a.name.cmp(&b.name));
    structures
}

fn called_as_files(
    files: &BTreeMap<String, PathBuf>,
    masks: &Path,
    trained: Option<&Names>,
) -> Result<Vec<Structure>, CaseListError> {
    let mut by_name: BTreeMap<String, &PathBuf> = BTreeMap::new();
    for (stem, path) in files {
        let name = blanked(stem);
        let spelled = trained.and_then(|trained| trained.spelled(&name)).map(str::to_owned);
        let name = spelled.unwrap_or(name);
        if let Some(other) = by_name.insert(name.clone(), path) {
            let [a, b] = [other, path].map(|path| file_name(path));
            let reason = format!("{a} and {b} are both called {name:?}: expected one mask for each structure");
            return Err(CaseListError::new(masks, reason).advising(Advice::Names));
        }
    }
    Ok(by_name.into_iter().map(|(name, path)| Structure::in_files(name, vec![path.clone()], false)).collect())
}

/// A file's name as a text prompt: with blanks for `_`.
fn blanked(stem: &str) -> String {
    stem.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Masks whose structure is called otherwise than their file, each once.
fn renamed(cases: &[Case], chosen: bool) -> BTreeMap<String, String> {
    let structures = cases.iter().filter(|_| !chosen).flat_map(|case| case.structures.iter());
    let files = structures.flat_map(|s| s.files.iter().map(|file| (super::entries::stem(file), s.name.clone())));
    files.filter(|(stem, name)| blanked(stem) != *name).collect()
}
