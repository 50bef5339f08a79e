//! A list of cases in JSON.
//!
//! ```json
//! {
//!   "schema_version": 1,
//!   "structures": {"liver": 1, "spleen": 2},
//!   "conventions": {"btcv": {"spleen": 1, "liver": 6}, "lobes": {"lung": [3, 4, 5]}},
//!   "cases": [
//!     {"image": "a.nii.gz", "labels": "a_labels.nii.gz"},
//!     {"image": "b.nii.gz", "labels": "b_labels.nii.gz", "convention": "btcv"},
//!     {"name": "c, late phase", "image": "c.nii.gz", "labels": "c_labels.nii.gz", "structures": {"liver": 6}},
//!     {"image": "d/ct.nii.gz", "structures": {"liver": {"file": "d/liver.nii.gz"}}}
//!   ]
//! }
//! ```
//!
//! - paths are relative to the list's folder;
//! - `name` is the image's file name without `.nii.gz` if it is not given; names MUST differ;
//! - `structures` at the top are the names of all cases that have neither `structures` nor a `convention` of their own. It is an
//!   object (`evaluation/src/cases/names.rs` has its forms), or the path of a JSON file with one;
//! - `conventions` are further such objects, each with a name. A case has the one that its `convention` names;
//! - a structure that is only listed at the top, or in a file, MAY be absent from a case; one that the case itself lists MUST be
//!   in its label map, or have a voxel in its own file;
//! - a value MUST be a whole number from 1 to 65535; values of the label map that have no name are background;
//! - a structure with a `file` is where that mask is not 0; such structures may overlap. It is listed by the case itself;
//! - a case without `labels` whose structures have no files has no truth: its left and right organs are compared
//!   ([`sides`](crate::sides)). Then no case has a truth, and `structures` are names of which some are pairs, or absent;
//! - `labels` MAY be a DICOM SEG, RTSTRUCT or `.seg.nrrd`: structures are found by their names, and values are not looked at. Then
//!   `structures` may be left out, and all objects of the file are evaluated;
//! - unknown fields are errors, so that a misspelt one is not ignored.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use segvol_base::json::{At, Document, Fields, JsonError};

use super::entries::{read_text, stem};
use super::names::{names_in, read_names, structures};
use super::{Case, CaseListError, Structure, check};

/// The layout of a case list that this version reads.
pub const SCHEMA_VERSION: u32 = 1;

const LIST: &str = r#"an object, for example {"schema_version": 1, "structures": {"liver": 1}, "cases": [{"image": "a.nii.gz", "labels": "a_labels.nii.gz"}]}"#;
const CASE: &str = r#"an object, for example {"image": "a.nii.gz", "labels": "a_labels.nii.gz"}"#;
const CONVENTIONS: &str =
    r#"an object with a set of names for every convention, for example {"btcv": {"spleen": 1, "liver": 6}}"#;

/// Reads a list of cases. The files that it names are opened later, case by case.
///
/// # Errors
///
/// [`CaseListError`], which names the case.
pub fn read_list(path: &Path) -> Result<Vec<Case>, CaseListError> {
    let text = read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let cases = Document::parse(&text).map_err(|error| error.to_string()).and_then(|list| cases_of(&list, folder));
    let cases = cases.map_err(|reason| CaseListError::new(path, reason))?;
    check(&cases).map_err(|reason| CaseListError::new(path, reason))?;
    Ok(cases)
}

/// The names that cases may share.
struct Shared {
    of_all: Option<Arc<[Structure]>>,
    conventions: BTreeMap<String, Arc<[Structure]>>,
}

fn cases_of(list: &Document<'_>, folder: &Path) -> Result<Vec<Case>, String> {
    let said = |error: JsonError| error.to_string();
    let root = list.root();
    let known = ["schema_version", "structures", "conventions", "cases"];
    let fields = root.fields(LIST, &known, |_| false).map_err(said)?;
    fields.check_version(SCHEMA_VERSION).map_err(said)?;
    let of_all = fields.get("structures").map(|at| shared(&at, folder)).transpose().map_err(said)?;
    let at = fields.get("conventions");
    let conventions = at.as_ref().map(|at| conventions(at, folder)).transpose().map_err(said)?.unwrap_or_default();
    let names = Shared { of_all, conventions };
    let entries = fields.require("cases", &format!("\"cases\": [{}]", &CASE["an object, for example ".len()..]));
    let entries = entries.map_err(said)?;
    let expected = format!("a list of cases, each {CASE}");
    let entries = entries.list(&expected).map_err(said)?;
    let case = |(index, entry): (usize, At<'_>)| {
        case(&entry, &names, folder).map_err(|error| format!("case {}: {error}", index + 1))
    };
    entries.enumerate().map(case).collect()
}

fn conventions(at: &At<'_>, folder: &Path) -> Result<BTreeMap<String, Arc<[Structure]>>, JsonError> {
    at.entries(CONVENTIONS)?.map(|(name, names)| Ok((name.to_owned(), shared(&names, folder)?))).collect()
}

/// Names for several cases: an object, or the path of a file with one.
fn shared(at: &At<'_>, folder: &Path) -> Result<Arc<[Structure]>, JsonError> {
    const EXPECTED: &str = "names, or the path of a JSON file with names";
    let Ok(path) = at.text("") else { return structures(at, false, None) };
    let path = folder.join(path);
    // A list may come from elsewhere, and a device has no end.
    if path.exists() && !path.is_file() {
        return Err(at.refuse_as(EXPECTED, format!("`{}`, which is no file", path.display())));
    }
    read_names(&path).map_err(|error| at.refuse_as(EXPECTED, error.to_string()))
}

fn case(entry: &At<'_>, names: &Shared, folder: &Path) -> Result<Case, JsonError> {
    let fields = entry.fields(CASE, &["name", "image", "labels", "structures", "convention"], |_| false)?;
    let path = |at: At<'_>| at.text("a path, for example \"a.nii.gz\"").map(|path| folder.join(path));
    let image = path(fields.require("image", "\"image\": \"a.nii.gz\"")?)?;
    let labels = fields.get("labels").map(path).transpose()?;
    let name = fields.get("name").map(|at| at.text("a name, for example \"a\"")).transpose()?;
    let name = name.map_or_else(|| stem(&image), str::to_owned);
    let own = own_names(&fields, names, folder)?;
    let listed = own.or_else(|| names.of_all.clone());
    let listed = match (listed, &labels) {
        (None, Some(path)) => {
            names_in(path).map_err(|error| entry.refuse_as("a file with names", error.to_string()))?
        }
        (listed, _) => listed,
    };
    let structures = match (listed.as_ref(), &labels) {
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
    let has_files = structures.iter().any(|structure| !structure.files.is_empty());
    if let Some(valued) = structures.iter().find(|s| s.files.is_empty() && labels.is_none() && has_files) {
        let expected = format!("the field `labels`, the label map in which {:?} has its value", valued.name);
        return Err(entry.refuse_as(expected, format!("none for the case {name:?}")));
    }
    Ok(Case { name, image, labels, structures })
}

/// The names that a case has itself: its `structures`, or those of its `convention`.
fn own_names(fields: &Fields<'_>, names: &Shared, folder: &Path) -> Result<Option<Arc<[Structure]>>, JsonError> {
    match (fields.get("structures"), fields.get("convention")) {
        (Some(_), Some(convention)) => Err(convention.refuse_as("`structures` or `convention`", "both in one case")),
        (Some(at), None) if at.text("").is_ok() => shared(&at, folder).map(Some),
        (Some(at), None) => structures(&at, true, Some(folder)).map(Some),
        (None, Some(at)) => {
            let known: Vec<String> = names.conventions.keys().map(|name| format!("{name:?}")).collect();
            let known = if known.is_empty() { "none is listed".to_owned() } else { known.join(", ") };
            let expected = format!("the name of one of the `conventions` ({known})");
            let asked = at.text(&expected)?;
            let found = names.conventions.get(asked).ok_or_else(|| at.refuse(expected))?;
            Ok(Some(Arc::clone(found)))
        }
        (None, None) => Ok(None),
    }
}
