//! Cases from a folder of scans and a folder of label maps with the same file names.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::entries::{image_files, scans};
use super::names::read_names;
use super::{Case, CaseListError, check};

/// Lists the cases of a folder of scans: NIfTI files, or if there is none, NRRD and MetaImage files, zip archives and folders of
/// DICOM. `truth` is a folder of label maps with the same names, and
/// a JSON file that gives the value of every structure's name, `{"liver": 1}`.
///
/// A file that is in only one of the folders is a case too: that case fails, so that the file is not ignored. Hidden files, and
/// what macOS and Windows put into folders, are left out.
///
/// # Errors
///
/// [`CaseListError`] for a folder or the file of names.
pub fn read_folders(images: &Path, truth: Option<(&Path, &Path)>) -> Result<Vec<Case>, CaseListError> {
    let scans = scans(images)?;
    let cases: Vec<Case> = match truth {
        None => {
            let case = |(name, image)| Case { name, image, labels: None, structures: Arc::default() };
            scans.into_iter().map(case).collect()
        }
        Some((truth, names)) => {
            let structures = read_names(names)?;
            let maps = image_files(truth)?;
            let stems: BTreeSet<&String> = scans.keys().chain(maps.keys()).collect();
            let expected = |folder: &Path, stem: &str| folder.join(format!("{stem}.nii.gz"));
            let case = |stem: &String| Case {
                name: stem.clone(),
                image: scans.get(stem).cloned().unwrap_or_else(|| expected(images, stem)),
                labels: Some(maps.get(stem).cloned().unwrap_or_else(|| expected(truth, stem))),
                structures: Arc::clone(&structures),
            };
            stems.into_iter().map(case).collect()
        }
    };
    if cases.is_empty() {
        let reason = "expected at least one scan (.nii.gz, .nii, .nrrd, .mha, or a folder of DICOM for each) in this folder, found none";
        return Err(CaseListError::new(images, reason));
    }
    check(&cases).map_err(|reason| CaseListError::new(images, reason))?;
    Ok(cases)
}
