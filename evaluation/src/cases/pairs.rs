//! One folder in which every scan `X.nii.gz` has its label map `X_labels.nii.gz` beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entries::{file_name, image_files};
use super::layout::Data;
use super::names::read_names;
use super::{Advice, Case, CaseListError, Structure};

/// What a label map's name has after the scan's. A folder may use several.
const SUFFIXES: [&str; 3] = ["_labels", "_label", "_seg"];

/// The names of all label maps of the folder, if a label map has none of its own.
const NAMES_FILE: &str = "labels.json";

/// Whether a folder has a file that is called like a label map.
pub(super) fn is_there(folder: &Path) -> Result<bool, CaseListError> {
    Ok(image_files(folder)?.keys().any(|stem| scan_of(stem).is_some()))
}

/// The name of the scan that a label map of this name belongs to.
fn scan_of(stem: &str) -> Option<&str> {
    SUFFIXES.into_iter().find_map(|suffix| stem.strip_suffix(suffix)).filter(|scan| !scan.is_empty())
}

/// The cases of a folder. A scan without a label map, and a label map without a scan, are cases that fail.
pub(super) fn read(folder: &Path, names: Option<&Path>) -> Result<Data, CaseListError> {
    let (mut scans, mut maps): (BTreeMap<String, PathBuf>, BTreeMap<String, PathBuf>) = Default::default();
    for (stem, path) in image_files(folder)? {
        let Some(scan) = scan_of(&stem) else {
            scans.insert(stem, path);
            continue;
        };
        if let Some(other) = maps.insert(scan.to_owned(), path.clone()) {
            let [a, b] = [other, path].map(|path| file_name(&path));
            let reason = format!("two label maps of the scan {scan:?}: {a} and {b}; expected one");
            return Err(CaseListError::new(folder, reason).advising(Advice::List));
        }
    }
    let shared = Shared::new(folder, names)?;
    let stems: std::collections::BTreeSet<String> = scans.keys().chain(maps.keys()).cloned().collect();
    let case = |stem: String| {
        let file = |end: &str| folder.join(format!("{stem}{end}.nii.gz"));
        let labels = maps.get(&stem).cloned().unwrap_or_else(|| file(SUFFIXES[0]));
        let structures = shared.of(&labels)?;
        Ok(Case {
            image: scans.get(&stem).cloned().unwrap_or_else(|| file("")),
            labels: Some(labels),
            structures,
            name: stem,
        })
    };
    let cases = stems.into_iter().map(case).collect::<Result<Vec<_>, CaseListError>>()?;
    let beside = if cases.len() == 1 { "its label map" } else { "their label maps" };
    let description = format!("{} beside {beside}, X{}.nii.gz", super::layout::scans(cases.len()), SUFFIXES[0]);
    Ok(Data::new(description, cases))
}

/// The names of label maps that have none of their own.
struct Shared<'a> {
    folder: &'a Path,
    names: Option<Arc<[Structure]>>,
    /// Whether these names were asked for, and replace those of a label map.
    chosen: bool,
}

impl<'a> Shared<'a> {
    fn new(folder: &'a Path, chosen: Option<&Path>) -> Result<Self, CaseListError> {
        let beside = folder.join(NAMES_FILE);
        let path = chosen.or_else(|| beside.is_file().then_some(beside.as_path()));
        Ok(Self { folder, names: path.map(read_names).transpose()?, chosen: chosen.is_some() })
    }

    /// The names of a label map: those that were asked for, else those of its own file, `X_labels.json`, else the folder's.
    fn of(&self, map: &Path) -> Result<Arc<[Structure]>, CaseListError> {
        let own = self.folder.join(format!("{}.json", super::entries::stem(map)));
        // `labels.json` is never a label map's own: a scan's name comes before.
        if !self.chosen && own.is_file() {
            return read_names(&own);
        }
        let missing = || {
            let reason = format!(
                "no names for the values of {}: expected {NAMES_FILE} in this folder, for example {{\"liver\": 1}}, or {}",
                file_name(map),
                file_name(&own)
            );
            CaseListError::new(self.folder, reason).advising(Advice::Names)
        };
        self.names.clone().ok_or_else(missing)
    }
}
