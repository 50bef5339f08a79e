//! What structures are called, and where each is: JSON objects of several forms.
//!
//! | form                                 | meaning                                                              |
//! |--------------------------------------|----------------------------------------------------------------------|
//! | `{"liver": 1, "spleen": 2}`          | the value of each structure in the label map                         |
//! | `{"lung": [3, 4]}`                   | several values that belong to one structure                          |
//! | `{"1": "liver", "2": "spleen"}`      | the name of each value                                               |
//! | `{"background": 0}`, `{"0": "…"}`    | 0 is always the background, and may be named                         |
//! | `{"liver": {"file": "liver.nii"}}`   | a mask of this structure alone, only in a case of a list of cases    |
//! | `{"lung": {"file": ["a.nii", "…"]}}` | several masks that belong to one structure                           |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segvol_base::json::{At, Document, JsonError};

use super::entries::read_text;
use super::{CaseListError, Structure};

const VALUE: &str = r#"its value in the label map, a whole number from 1 to 65535 (0 is the background), as in {"liver": 1}, or a list of values that belong to it, as in {"lung": [3, 4]}"#;
const NAMES: &str = r#"an object with the value of every structure's name, for example {"liver": 1, "spleen": 2}"#;
const MIXED: &str =
    r#"either the value of every name, as in {"liver": 1}, or the name of every value, as in {"1": "liver"}"#;
const FILE: &str = r#"a mask of this structure alone, {"file": "liver.nii.gz"}, or several that belong to it, {"file": ["a.nii.gz", "b.nii.gz"]}"#;

/// Reads a JSON file that says what the values of a label map mean: `{"liver": 1}`, `{"lung": [3, 4]}` for several values of one
/// structure, or `{"1": "liver"}`. In a larger object, such as nnU-Net's `dataset.json`, this is the field `labels`.
///
/// # Errors
///
/// [`CaseListError`], which names the structure.
pub fn read_names(path: &Path) -> Result<Arc<[Structure]>, CaseListError> {
    let text = read_text(path)?;
    let found = Document::parse(&text).and_then(|names| labels(&names.root()));
    found.map_err(|error| CaseListError::new(path, error.to_string()))
}

/// The names of a file: the whole object, or its field `labels`.
fn labels(root: &At<'_>) -> Result<Arc<[Structure]>, JsonError> {
    let labels = root.entries(NAMES)?.find(|(name, value)| *name == "labels" && value.entries("").is_ok());
    match labels {
        Some((_, labels)) => structures(&labels, false, None),
        None => structures(root, false, None),
    }
}

/// The structures of an object, by value, then name. `folder` is where the files of a case are; without it, a structure must be
/// in the label map.
pub(super) fn structures(at: &At<'_>, promised: bool, folder: Option<&Path>) -> Result<Arc<[Structure]>, JsonError> {
    let mut structures = Vec::new();
    let is_text = |value: &At<'_>| value.text("").is_ok();
    let texts = at.entries(NAMES)?.filter(|(_, value)| is_text(value)).count();
    // `{"1": "liver"}`, and not `{"liver": "1"}`.
    let by_value = texts > 0 && at.entries(NAMES)?.all(|(name, _)| name.trim().parse::<u32>().is_ok());
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in at.entries(NAMES)? {
        if by_value {
            let text = value.text(MIXED)?;
            let label = u16::try_from(name.trim().parse::<u32>().unwrap_or(u32::MAX))
                .map_err(|_| value.refuse_as("a value from 0 to 65535 before each name", format!("{name:?}")))?;
            if text.trim().is_empty() {
                return Err(value.refuse_as("a name, as in {\"1\": \"liver\"}", format!("{text:?}")));
            }
            if label == 0 {
                continue;
            }
            if let Some(other) = places.insert(text, name) {
                let union = format!(
                    "one value for each name; several that belong together are {{{text:?}: [{other}, {name}]}}"
                );
                return Err(value.refuse_as(union, format!("{text:?} for {other} and {name}")));
            }
            structures.push(Structure::in_label_map(text, vec![label], promised));
            continue;
        }
        if name.trim().is_empty() {
            return Err(value.refuse_as(NAMES, format!("{name:?} as a name")));
        }
        if let Some(structure) = structure(name, &value, promised, folder)? {
            structures.push(structure);
        }
    }
    if structures.is_empty() {
        return Err(at.refuse(NAMES));
    }
    structures.sort_by(|a, b| (a.value, &a.name).cmp(&(b.value, &b.name)));
    Ok(structures.into())
}

/// One structure; `None` for the background.
fn structure(name: &str, at: &At<'_>, promised: bool, folder: Option<&Path>) -> Result<Option<Structure>, JsonError> {
    let value = |at: &At<'_>| at.whole(1..=u32::from(u16::MAX), VALUE).map(|value| value as u16);
    if at.entries("").is_ok() {
        let Some(folder) = folder else {
            let expected = "a value in the label map; a file belongs to one case, and is named in its own `structures`";
            return Err(at.refuse(expected));
        };
        return Ok(Some(Structure::in_files(name, files(at, folder)?, promised)));
    }
    if let Ok(list) = at.list(VALUE) {
        let values = list.map(|at| value(&at)).collect::<Result<Vec<_>, _>>()?;
        if values.is_empty() {
            return Err(at.refuse(VALUE));
        }
        return Ok(Some(Structure::in_label_map(name, values, promised)));
    }
    if name.trim().eq_ignore_ascii_case("background") && at.number("").is_ok_and(|value| value == 0.0) {
        return Ok(None);
    }
    Ok(Some(Structure::in_label_map(name, vec![value(at)?], promised)))
}

/// The paths of `{"file": …}`.
fn files(at: &At<'_>, folder: &Path) -> Result<Vec<PathBuf>, JsonError> {
    let fields = at.fields(FILE, &["file"], |_| false)?;
    let file = fields.require("file", "\"file\": \"liver.nii.gz\"")?;
    if let Ok(path) = file.text(FILE) {
        return Ok(vec![folder.join(path)]);
    }
    let paths = file.list(FILE)?.map(|path| path.text(FILE).map(|path| folder.join(path)));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    if paths.is_empty() { Err(file.refuse(FILE)) } else { Ok(paths) }
}

/// The structures of a file that has names itself: a DICOM SEG, RTSTRUCT or `.seg.nrrd`; `None` if it is another file, or absent.
/// A structure's value is its place in the file.
pub(super) fn names_in(path: &Path) -> Result<Option<Arc<[Structure]>>, CaseListError> {
    let names = segvol_segments::names(path).map_err(|error| CaseListError::new(path, error.to_string()))?;
    let Some(names) = names else { return Ok(None) };
    let mut structures: Vec<Structure> = Vec::new();
    for (value, name) in (1..=u16::MAX).zip(names) {
        // A name that occurs twice is refused when the file is read.
        if !structures.iter().any(|known| known.name == name) {
            structures.push(Structure::in_label_map(name, vec![value], false));
        }
    }
    Ok(Some(structures.into()))
}

/// Reads a JSON file that says what masks are called by the names of their files: `{"kidney_left": "left kidney"}`. Files that
/// have the same name belong to one structure. Returns the files of each name, without extension, in the file's order.
pub(super) fn read_names_of_files(path: &Path) -> Result<Vec<(String, Vec<String>)>, CaseListError> {
    const EXPECTED: &str = "an object with the name of every mask's file, for example {\"kidney_left\": \"left kidney\", \"liver\": \"liver\"}";
    let text = read_text(path)?;
    let read = |document: Document<'_>| {
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        let root = document.root();
        for (file, name) in root.entries(EXPECTED)? {
            let text = name.text(EXPECTED)?;
            if text.trim().is_empty() {
                return Err(name.refuse(EXPECTED));
            }
            let file = super::entries::stem(Path::new(file));
            match found.iter_mut().find(|(known, _)| known == text) {
                Some((_, files)) => files.push(file),
                None => found.push((text.to_owned(), vec![file])),
            }
        }
        if found.is_empty() { Err(root.refuse(EXPECTED)) } else { Ok(found) }
    };
    Document::parse(&text).and_then(read).map_err(|error| CaseListError::new(path, error.to_string()))
}
