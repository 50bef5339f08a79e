//! A list of scans: a file with one JSON object on each line.
//!
//! ```json
//! {"path": "a.nii.gz"}
//! {"path": "b/series", "id": "patient-2", "series": "1.2.840.1"}
//! {"path": "c.nii.gz", "prompts": [{"text": "liver tumor", "points": [[211, 160, 47]]}]}
//! {"path": "d.nii.gz", "prompts": {"space": "ras", "objects": [{"name": "lesion", "points": [[-60, 20, 110]]}]}}
//! {"path": "e.nii.gz", "prompts": "e.json"}
//! ```
//!
//! - `path` is relative to the folder of the list;
//! - `id` is the name of the file without its extension, or that of the folder, if it is not given;
//! - `series` is the Series Instance UID or Series Number of a DICOM series;
//! - `prompts` are this scan's objects in the place of those of the run: a list of objects, an object as in a prompts file, whose
//!   `schema_version` may be left out, or the path of such a file;
//! - empty lines are passed over; unknown fields are errors, so that a misspelt one is not ignored.

use std::path::Path;

use segvol::{Prompt, parse_prompts, prompts_of_scan};
use segvol_base::json::{At, Document};
use segvol_base::{printable, text};

use super::id::{problem_of, stem};
use super::scan::Scan;
use crate::error::CohortError;
use crate::settings::Own;

const LINE: &str = r#"an object, for example {"path": "a.nii.gz", "id": "patient-1"}"#;
const PATH: &str = r#"a path, for example "a.nii.gz""#;
const ID: &str = r#"a name, for example "patient-1""#;
const SERIES: &str = r#"a Series Instance UID or a Series Number as text, for example "3""#;

/// The scans of a list, in its order.
pub(super) fn scans_of(list: &Path) -> Result<Vec<Scan>, CohortError> {
    let bytes = std::fs::read(list).map_err(|source| CohortError::Unreadable { path: list.to_owned(), source })?;
    let name = || printable(&list.to_string_lossy()).into_owned();
    let refused = |reason: String| CohortError::List(format!("`{}`: {reason}", name()));
    let lines = text::decode(&bytes).map_err(|found| refused(format!("expected lines of JSON; found {found}")))?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut scans = Vec::new();
    for (line, number) in lines.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        scans.push(scan(line, folder).map_err(|reason| refused(format!("line {number}: {reason}")))?);
    }
    if scans.is_empty() {
        return Err(refused(format!("expected a scan on each line, {LINE}; found no line")));
    }
    Ok(scans)
}

fn scan(line: &str, folder: &Path) -> Result<Scan, String> {
    let document = Document::parse(line).map_err(|error| error.in_line())?;
    let root = document.root();
    let fields = root.fields(LINE, &["path", "id", "series", "prompts"], |_| false).map_err(|error| error.in_line())?;
    let path = fields.require("path", r#""path": "a.nii.gz""#).and_then(|at| match at.text(PATH)? {
        "" => Err(at.refuse(PATH)),
        path => Ok(path.to_owned()),
    });
    let path = folder.join(path.map_err(|error| error.in_line())?);
    let text = |name: &str, expected: &str| {
        let value = fields.get(name).map(|at| at.text(expected).map(str::to_owned)).transpose();
        value.map_err(|error| error.in_line())
    };
    let id = text("id", ID)?.unwrap_or_else(|| stem(&path));
    let series = text("series", SERIES)?;
    let prompts = fields.get("prompts").map(|at| prompts(&at, folder)).transpose()?;
    Ok(Scan { problem: problem_of(&id), id, path, own: Own { prompts, series } })
}

fn prompts(at: &At<'_>, folder: &Path) -> Result<Vec<Prompt>, String> {
    if !at.is_text() {
        return prompts_of_scan(at).map_err(|error| error.in_line());
    }
    let path = folder.join(at.text("a path").map_err(|error| error.in_line())?);
    let failed = |reason: &dyn std::fmt::Display| format!("prompts `{}`: {reason}", printable(&path.to_string_lossy()));
    let bytes = std::fs::read(&path).map_err(|error| failed(&error))?;
    let text = text::decode(&bytes).map_err(|found| failed(&format!("expected JSON; found {found}")))?;
    parse_prompts(text).map_err(|error| failed(&error))
}
