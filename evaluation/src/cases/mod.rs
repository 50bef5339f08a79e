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
//! - a case without `labels` has no truth: its left and right organs are compared ([`sides`](crate::sides)). Then no case
//!   has `labels`, and `structures` are names of which some are pairs, or absent;
//! - unknown fields are errors, so that a misspelt one is not ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use segvol::volume::Format;
use segvol_base::json::{At, Document, JsonError};
use segvol_base::{ErrorKind, is_leftover, text};
use serde::Serialize;

/// The layout of a case list that this version reads.
pub const SCHEMA_VERSION: u32 = 1;

/// A scan with its label map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What to call it; no other case has the same name.
    pub name: String,
    /// The scan.
    pub image: PathBuf,
    /// The label map, on the scan's grid; `None` if the scan's left and right organs are compared.
    pub labels: Option<PathBuf>,
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

const LIST: &str = r#"an object, for example {"schema_version": 1, "structures": {"liver": 1}, "cases": [{"image": "a.nii.gz", "labels": "a_labels.nii.gz"}]}"#;
const CASE: &str = r#"an object, for example {"image": "a.nii.gz", "labels": "a_labels.nii.gz"}"#;
const VALUE: &str =
    r#"its value in the label map, a whole number from 1 to 65535 (0 is the background), as in {"liver": 1}"#;
const NAMES: &str = r#"an object with the value of every structure's name, for example {"liver": 1, "spleen": 2}"#;

/// Reads a list of cases. The files that it names are opened later, case by case.
///
/// # Errors
///
/// [`CaseListError`], which names the case.
pub fn read_list(path: &Path) -> Result<Vec<Case>, CaseListError> {
    let failed = |reason: String| CaseListError { path: path.to_owned(), reason };
    let text = read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let cases = Document::parse(&text).map_err(|error| error.to_string()).and_then(|list| cases_of(&list, folder));
    let cases = cases.map_err(failed)?;
    check(&cases).map_err(failed)?;
    Ok(cases)
}

fn cases_of(list: &Document<'_>, folder: &Path) -> Result<Vec<Case>, String> {
    let said = |error: JsonError| error.to_string();
    let root = list.root();
    let fields = root.fields(LIST, &["schema_version", "structures", "cases"], |_| false).map_err(said)?;
    fields.check_version(SCHEMA_VERSION).map_err(said)?;
    let of_all = fields.get("structures").map(|at| structures(&at, false)).transpose().map_err(said)?;
    let entries = fields.require("cases", &format!("\"cases\": [{}]", &CASE["an object, for example ".len()..]));
    let entries = entries.map_err(said)?;
    let expected = format!("a list of cases, each {CASE}");
    let entries = entries.list(&expected).map_err(said)?;
    let case = |(index, entry): (usize, At<'_>)| {
        case(&entry, of_all.as_ref(), folder).map_err(|error| format!("case {}: {error}", index + 1))
    };
    entries.enumerate().map(case).collect()
}

fn case(entry: &At<'_>, of_all: Option<&Arc<[Structure]>>, folder: &Path) -> Result<Case, JsonError> {
    let fields = entry.fields(CASE, &["name", "image", "labels", "structures"], |_| false)?;
    let path = |at: At<'_>| at.text("a path, for example \"a.nii.gz\"").map(|path| folder.join(path));
    let image = path(fields.require("image", "\"image\": \"a.nii.gz\"")?)?;
    let labels = fields.get("labels").map(path).transpose()?;
    let name = fields.get("name").map(|at| at.text("a name, for example \"a\"")).transpose()?;
    let name = name.map_or_else(|| stem(&image), str::to_owned);
    let own = fields.get("structures").map(|at| structures(&at, true)).transpose()?;
    let structures = match (own.as_ref().or(of_all), &labels) {
        (Some(structures), _) => Arc::clone(structures),
        (None, None) => Arc::default(),
        (None, Some(_)) => {
            let example = "\"structures\": {\"liver\": 1}, here or for all cases";
            return Err(entry.refuse_as(
                format!("the field `structures`, for example {example}"),
                format!("none for the case {name:?}"),
            ));
        }
    };
    Ok(Case { name, image, labels, structures })
}

/// Lists the cases of a folder of NIfTI files, `.nii` or `.nii.gz`. `truth` is a folder of label maps with the same names, and
/// a JSON file that gives the value of every structure's name, `{"liver": 1}`.
///
/// A file that is in only one of the folders is a case too: that case fails, so that the file is not ignored. Hidden files, and
/// what macOS and Windows put into folders, are left out.
///
/// # Errors
///
/// [`CaseListError`] for a folder or the file of names.
pub fn read_folders(images: &Path, truth: Option<(&Path, &Path)>) -> Result<Vec<Case>, CaseListError> {
    let failed = |path: &Path, reason: String| CaseListError { path: path.to_owned(), reason };
    let list = |folder: &Path| nifti_files(folder).map_err(|error| failed(folder, error.to_string()));
    let scans = list(images)?;
    let cases: Vec<Case> = match truth {
        None => {
            let case = |(name, image)| Case { name, image, labels: None, structures: Arc::default() };
            scans.into_iter().map(case).collect()
        }
        Some((truth, names)) => {
            let structures = read_names(names)?;
            let maps = list(truth)?;
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
        return Err(failed(
            images,
            "expected at least one scan (.nii or .nii.gz) in this folder, found none".to_owned(),
        ));
    }
    check(&cases).map_err(|reason| failed(images, reason))?;
    Ok(cases)
}

/// Reads a JSON file that gives the value of every structure's name, `{"liver": 1}`.
///
/// # Errors
///
/// [`CaseListError`], which names the structure.
pub fn read_names(path: &Path) -> Result<Arc<[Structure]>, CaseListError> {
    let text = read_text(path)?;
    let found = Document::parse(&text).and_then(|names| structures(&names.root(), false));
    found.map_err(|error| CaseListError { path: path.to_owned(), reason: error.to_string() })
}

fn read_text(path: &Path) -> Result<String, CaseListError> {
    let failed = |reason: String| CaseListError { path: path.to_owned(), reason };
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let text = text::decode(&bytes).map_err(|found| failed(format!("expected JSON; found {found}")))?;
    Ok(text.to_owned())
}

/// Values of the label map by the structures' names.
fn structures(at: &At<'_>, promised: bool) -> Result<Arc<[Structure]>, JsonError> {
    let mut structures = Vec::new();
    for (name, value) in at.entries(NAMES)? {
        if name.trim().is_empty() {
            return Err(value.refuse_as(NAMES, format!("{name:?} as a name")));
        }
        let value = value.whole(1..=u32::from(u16::MAX), VALUE)? as u16;
        structures.push(Structure { name: name.to_owned(), value, promised });
    }
    if structures.is_empty() {
        return Err(at.refuse(NAMES));
    }
    structures.sort_by(|a, b| (a.value, &a.name).cmp(&(b.value, &b.name)));
    Ok(structures.into())
}

/// The folder's NIfTI files by their names without extension.
fn nifti_files(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if Format::of_name(&path).is_some()
            && !is_leftover(&path)
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
        assert_eq!(cases[1].labels.as_deref(), Some(Path::new("/abs/b.nii")));
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
            (names, format!(r#"{good}, {{"labels": "c.nii"}}"#), vec!["case 2", "`image`"]),
            (names, format!(r#"{good}, {{"image": 3}}"#), vec!["case 2: `cases[1].image`", "the number 3"]),
            (names, format!("{good}, {good}"), vec!["cases 1 and 2", "\"a\""]),
            (names, String::new(), vec!["at least one case"]),
            ("", good.to_owned(), vec!["case 1", "\"a\"", "structures"]),
            (r#", "structures": {"liver": 70000}"#, good.to_owned(), vec!["liver", "70000"]),
            (r#", "structures": {"liver": 0}"#, good.to_owned(), vec!["liver", "0"]),
            (
                r#", "structures": {"liver": 1, "liver": 2}"#,
                good.to_owned(),
                vec!["every field of an object once", "`liver` twice"],
            ),
            (
                r#", "structures": {}"#,
                good.to_owned(),
                vec!["`structures`", "{\"liver\": 1, \"spleen\": 2}", "without fields"],
            ),
            (r#", "structures": {" ": 1}"#, good.to_owned(), vec!["\" \" as a name"]),
            (
                r#", "structures": {"liver": "1"}"#,
                good.to_owned(),
                vec!["`structures.liver`", "a number has no quotes"],
            ),
        ] {
            let message = with(structures, &cases);
            assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
        }
        let other = read(r#"{"schema_version": 2, "cases": []}"#).expect_err("a mistake");
        assert!(other.starts_with("`schema_version`: expected 1, the version"), "{other}");
        for text in ["[]", "{\"liver\": [1]}", "{\"liver\": 1.5}"] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("names.json");
            fs::write(&path, text).expect("written");
            let error = read_names(&path).expect_err("a mistake").to_string();
            assert!(error.contains("names.json: ") && error.contains("(line 1, column "), "{error}");
        }
    }

    #[test]
    fn a_folder_without_truth_is_a_list_and_leftovers_are_no_cases() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = |name: &str| folder.path().join(name);
        for name in ["b.nii.gz", "a.nii", "._a.nii", ".hidden.nii.gz", ".DS_Store", "notes.txt"] {
            fs::write(here(name), "").expect("written");
        }
        let cases = read_folders(folder.path(), None).expect("a folder");
        let names: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.labels.is_none())).collect();
        assert_eq!(names, [("a", true), ("b", true)]);
        for name in ["a.nii", "b.nii.gz"] {
            fs::remove_file(here(name)).expect("removed");
        }
        let error = read_folders(folder.path(), None).expect_err("no scan").to_string();
        assert!(error.contains("at least one scan (.nii or .nii.gz)"), "{error}");
    }
}
