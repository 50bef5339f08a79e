//! Which scans are evaluated, where their true masks are, and what these are called.
//!
//! | what a user has                                          | read by          |
//! |----------------------------------------------------------|------------------|
//! | a list in JSON, which can say everything                 | [`read_list`]    |
//! | a folder of scans and a folder of label maps             | [`read_folders`] |
//! | a folder whose layout says which files belong together   | [`read_data`]    |
//!
//! [`read_names`] reads what the values of label maps mean.

mod case_folders;
mod data;
mod entries;
mod folders;
mod layout;
mod list;
mod names;
mod nnunet;
mod pairs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use segvol_base::ErrorKind;
use serde::Serialize;

pub use data::{DataOptions, read_data};
pub use folders::read_folders;
pub use layout::{Data, Layout, Split};
pub use list::{SCHEMA_VERSION, read_list};
pub use names::read_names;

/// A scan with its true masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What to call it; no other case has the same name.
    pub name: String,
    /// The scan.
    pub image: PathBuf,
    /// The label map, on the scan's grid; `None` if every structure has files of its own, or if the scan's left and right
    /// organs are compared.
    pub labels: Option<PathBuf>,
    /// What to look for, by value, then name; cases without names of their own share one list.
    pub structures: Arc<[Structure]>,
}

impl Case {
    /// Whether true masks are known. Without them, left and right organs are compared.
    #[must_use]
    pub fn has_truth(&self) -> bool {
        self.labels.is_some() || self.structures.iter().any(|structure| !structure.files.is_empty())
    }

    /// Every file of the case that is read: the scan, the label map, and the structures' own masks.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let own = self.structures.iter().flat_map(|structure| &structure.files);
        std::iter::once(&self.image).chain(&self.labels).chain(own)
    }
}

/// A structure, and where its true mask is: in the label map of its case, or in files of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Structure {
    /// Its name, which is also its text prompt.
    pub name: String,
    /// Its value in the label map, the least one if it has several; 0 if it has files of its own.
    pub value: u16,
    /// All its values in the label map, ascending, if it has more than one: it is where the label map has any of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<u16>,
    /// Masks of this structure alone: it is where any of them is not 0. Empty if it is in the label map.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Whether the case itself lists it, so that it must be there.
    pub promised: bool,
}

impl Structure {
    /// A structure that is where the label map has one of these values, of which there must be one.
    #[must_use]
    pub fn in_label_map(name: impl Into<String>, mut values: Vec<u16>, promised: bool) -> Self {
        values.sort_unstable();
        values.dedup();
        let value = values.first().copied().unwrap_or_default();
        let values = if values.len() > 1 { values } else { Vec::new() };
        Self { name: name.into(), value, values, files: Vec::new(), promised }
    }

    /// A structure with files of its own.
    #[must_use]
    pub fn in_files(name: impl Into<String>, files: Vec<PathBuf>, promised: bool) -> Self {
        Self { name: name.into(), value: 0, values: Vec::new(), files, promised }
    }

    /// Its values in the label map, ascending; none if it has files of its own.
    #[must_use]
    pub fn labels(&self) -> &[u16] {
        match (&self.values[..], self.value) {
            ([], 0) => &[],
            ([], _) => std::slice::from_ref(&self.value),
            (values, _) => values,
        }
    }

    /// Its name, with its values in brackets.
    pub(crate) fn described(&self) -> String {
        let values: Vec<String> = self.labels().iter().map(ToString::to_string).collect();
        let place = if values.is_empty() { "a file of its own".to_owned() } else { values.join(", ") };
        format!("{} ({place})", self.name)
    }
}

/// Why cases cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = path.display())]
pub struct CaseListError {
    /// The list, the file of names or the folder.
    pub path: PathBuf,
    /// What is wrong, with the case's name or number from 1.
    pub reason: String,
    /// What would help, if that is known.
    pub advice: Option<Advice>,
}

/// What a caller can do about a [`CaseListError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Say which layout the folder has.
    Layout,
    /// Say which split of the data set is meant.
    Split,
    /// Name a file with the names of the values.
    Names,
    /// Write a list of cases.
    List,
}

impl CaseListError {
    pub(crate) fn new(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into(), advice: None }
    }

    pub(crate) fn advising(self, advice: Advice) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
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
