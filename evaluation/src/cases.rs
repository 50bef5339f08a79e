//! Which scans are evaluated, with their label maps and what their values mean.
//!
//! ```json
//! {
//!   "schema_version": 1,
//!   "structures": {"liver": 1, "spleen": 2},
//!   "cases": [
//!     {"image": "a.nii.gz", "labels": "a_labels.nii.gz"},
//!     {"name": "b, late phase", "image": "b.nii.gz", "labels": "b_labels.nii.gz", "structures": {"liver": 6}}
//!   ]
//! }
//! ```
//!
//! - paths are relative to the list's folder;
//! - `name` is the image's file name without `.nii.gz` if it is not given; names MUST differ;
//! - `structures` at the top are the names of all cases that have none of their own. A structure that is only listed
//!   there MAY be absent from a case; one that the case itself lists MUST be in its label map;
//! - a value MUST be a whole number from 1 to 65535; values of the label map that have no name are background;
//! - unknown fields are errors, so that a misspelt one is not ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use segvol::volume::Format;
use segvol_base::ErrorKind;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The layout of a case list that this version reads.
const SCHEMA_VERSION: u32 = 1;

/// A scan with its label map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What to call it; no other case has the same name.
    pub name: String,
    /// The scan.
    pub image: PathBuf,
    /// The label map, on the scan's grid.
    pub labels: PathBuf,
    /// What to look for, by value, then name; cases without names of their own share one list.
    pub structures: Arc<[Structure]>,
}

/// A structure of a label map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Structure {
    /// Its name, which is also its text prompt.
    pub name: String,
    /// Its value in the label map.
    pub value: u16,
    /// Whether the case itself lists it, so that it must be there.
    pub promised: bool,
}

/// Why a list of cases cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct CaseListError {
    /// The list, the file of names or the folder.
    pub path: PathBuf,
    /// What is wrong, with the case's name or number from 1.
    pub reason: String,
}

impl CaseListError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema_version: u32,
    structures: Option<Names>,
    cases: Entries,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    image: PathBuf,
    labels: PathBuf,
    structures: Option<Names>,
}

/// Reads a list of cases. The files that it names are opened later, case by case.
///
/// # Errors
///
/// [`CaseListError`], which names the case.
pub fn read_list(path: &Path) -> Result<Vec<Case>, CaseListError> {
    let failed = |reason: String| CaseListError { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let list: List = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    if list.schema_version != SCHEMA_VERSION {
        return Err(failed(format!("expected schema_version {SCHEMA_VERSION}, found {}", list.schema_version)));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let of_all = list.structures.map(|names| names.structures(false));
    let mut cases = Vec::with_capacity(list.cases.0.len());
    for (index, entry) in list.cases.0.into_iter().enumerate() {
        let name = entry.name.unwrap_or_else(|| stem(&entry.image));
        let structures = match (&entry.structures, &of_all) {
            (Some(own), _) => own.structures(true),
            (None, Some(of_all)) => Arc::clone(of_all),
            (None, None) => {
                return Err(failed(format!(
                    "case {} ({name:?}): expected `structures`, here or for all cases, found none",
                    index + 1
                )));
            }
        };
        cases.push(Case { name, image: folder.join(entry.image), labels: folder.join(entry.labels), structures });
    }
    check(&cases).map_err(failed)?;
    Ok(cases)
}

/// Lists the cases of two folders whose NIfTI files have the same names, `.nii` or `.nii.gz`, and a JSON file that gives
/// the value of every structure's name, `{"liver": 1}`.
///
/// A file that is in only one of the folders is a case too: that case fails, so that the file is not ignored.
///
/// # Errors
///
/// [`CaseListError`] for a folder or the file of names.
pub fn read_folders(images: &Path, truth: &Path, names: &Path) -> Result<Vec<Case>, CaseListError> {
    let failed = |path: &Path, reason: String| CaseListError { path: path.to_owned(), reason };
    let text = fs::read_to_string(names).map_err(|error| failed(names, error.to_string()))?;
    let structures: Names = serde_json::from_str(&text).map_err(|error| failed(names, error.to_string()))?;
    let structures = structures.structures(false);
    let scans = nifti_files(images).map_err(|error| failed(images, error.to_string()))?;
    let maps = nifti_files(truth).map_err(|error| failed(truth, error.to_string()))?;
    let stems: BTreeSet<&String> = scans.keys().chain(maps.keys()).collect();
    let expected = |folder: &Path, stem: &str| folder.join(format!("{stem}.nii.gz"));
    let cases = stems.into_iter().map(|stem| Case {
        name: stem.clone(),
        image: scans.get(stem).cloned().unwrap_or_else(|| expected(images, stem)),
        labels: maps.get(stem).cloned().unwrap_or_else(|| expected(truth, stem)),
        structures: Arc::clone(&structures),
    });
    let cases: Vec<Case> = cases.collect();
    check(&cases).map_err(|reason| failed(images, reason))?;
    Ok(cases)
}

/// The folder's NIfTI files by their names without extension.
fn nifti_files(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if Format::of_name(&path).is_some()
            && let Some(other) = files.insert(stem(&path), path.clone())
        {
            let [a, b] = [other, path].map(|path| stem_and_extension(&path));
            return Err(io::Error::other(format!("two files with the same name: {a} and {b}")));
        }
    }
    Ok(files)
}

fn stem_and_extension(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A file's name without `.nii` or `.nii.gz`.
fn stem(path: &Path) -> String {
    let name = stem_and_extension(path);
    let end = [".nii.gz", ".nii"].into_iter().find(|end| name.to_ascii_lowercase().ends_with(end));
    name[..name.len() - end.map_or(0, str::len)].to_owned()
}

/// Checks what holds for all cases together.
fn check(cases: &[Case]) -> Result<(), String> {
    if cases.is_empty() {
        return Err("expected at least one case, found none".to_owned());
    }
    let mut seen = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        if case.name.trim().is_empty() {
            return Err(format!("case {}: expected a name, found {:?}", index + 1, case.name));
        }
        if let Some(first) = seen.insert(&case.name, index) {
            return Err(format!(
                "cases {} and {} have the same name, {:?}: expected different names",
                first + 1,
                index + 1,
                case.name
            ));
        }
    }
    Ok(())
}

/// Values of the label map by the structures' names.
struct Names(BTreeMap<String, u16>);

impl Names {
    fn structures(&self, promised: bool) -> Arc<[Structure]> {
        let structure = |(name, &value): (&String, &u16)| Structure { name: name.clone(), value, promised };
        let mut structures: Vec<Structure> = self.0.iter().map(structure).collect();
        structures.sort_by_key(|structure| structure.value);
        structures.into()
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor).map(Names)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = BTreeMap<String, u16>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the value of every structure's name, such as {\"liver\": 1}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value::<u16>();
            let value = value.map_err(|error| {
                let reason = "expected a whole number from 1 to 65535";
                A::Error::custom(format!("structure {name:?}: {reason} ({error})"))
            })?;
            if name.trim().is_empty() || value == 0 {
                let reason = "expected a name, and a value from 1 to 65535";
                return Err(A::Error::custom(format!("structure {name:?}: {value}: {reason}")));
            }
            if names.contains_key(&name) {
                return Err(A::Error::custom(format!("structure {name:?} is listed twice")));
            }
            names.insert(name, value);
        }
        if names.is_empty() {
            return Err(A::Error::custom("expected at least one structure, found none"));
        }
        Ok(names)
    }
}

/// Entries, whose errors say which one.
struct Entries(Vec<Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor).map(Entries)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<Entry>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list of cases")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        loop {
            let entry = entries.next_element::<Entry>();
            let entry = entry.map_err(|error| A::Error::custom(format!("case {}: {error}", read.len() + 1)))?;
            let Some(entry) = entry else { return Ok(read) };
            read.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Case>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("cases.json");
        fs::write(&path, text).expect("written");
        read_list(&path).map_err(|error| error.reason)
    }

    #[test]
    fn a_list_gives_names_paths_and_structures() {
        let cases = read(
            r#"{"schema_version": 1, "structures": {"spleen": 2, "liver": 1}, "cases": [
                {"image": "scans/a.nii.gz", "labels": "a_labels.nii"},
                {"name": "late", "image": "b.nii", "labels": "/abs/b.nii", "structures": {"liver": 6}}]}"#,
        )
        .expect("a list");
        assert_eq!(cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["a", "late"]);
        assert!(cases[0].image.ends_with("scans/a.nii.gz") && cases[0].image.is_absolute());
        assert_eq!(cases[1].labels, Path::new("/abs/b.nii"));
        let structures = |case: &Case| -> Vec<(String, u16, bool)> {
            case.structures.iter().map(|s| (s.name.clone(), s.value, s.promised)).collect()
        };
        assert_eq!(structures(&cases[0]), [("liver".to_owned(), 1, false), ("spleen".to_owned(), 2, false)]);
        assert_eq!(structures(&cases[1]), [("liver".to_owned(), 6, true)]);
    }

    #[test]
    fn mistakes_name_the_case() {
        let with = |structures: &str, cases: &str| {
            read(&format!(r#"{{"schema_version": 1{structures}, "cases": [{cases}]}}"#)).expect_err("a mistake")
        };
        let good = r#"{"image": "a.nii", "labels": "b.nii"}"#;
        let names = r#", "structures": {"liver": 1}"#;
        for (structures, cases, parts) in [
            (names, format!(r#"{good}, {{"image": "c.nii", "label": "b.nii"}}"#), vec!["case 2", "label"]),
            (names, format!(r#"{good}, {{"image": "c.nii"}}"#), vec!["case 2", "labels"]),
            (names, format!("{good}, {good}"), vec!["cases 1 and 2", "\"a\""]),
            (names, String::new(), vec!["at least one case"]),
            ("", good.to_owned(), vec!["case 1", "\"a\"", "structures"]),
            (r#", "structures": {"liver": 70000}"#, good.to_owned(), vec!["liver", "70000"]),
            (r#", "structures": {"liver": 0}"#, good.to_owned(), vec!["liver", "0"]),
            (r#", "structures": {"liver": 1, "liver": 2}"#, good.to_owned(), vec!["liver", "twice"]),
            (r#", "structures": {}"#, good.to_owned(), vec!["at least one structure"]),
        ] {
            let message = with(structures, &cases);
            assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
        }
        assert!(read(r#"{"schema_version": 2, "cases": []}"#).expect_err("a mistake").contains("schema_version 1"));
    }
}
