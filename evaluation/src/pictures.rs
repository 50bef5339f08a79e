//! Pictures of an evaluation: one per case and kind of prompt, `CASE.KIND.png`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segvol::{Volume, Warning, WarningCode};
use segvol_base::file_names::{self, Stem};
use segvol_overlay::{MAX_OBJECTS, Montage, Object, View};

use crate::cases::Case;
use crate::prompts::Kind;
use crate::results::Results;
use crate::score::{Found, INSIDE, Watcher};

/// The extension of the pictures with the longest kind of prompt.
const LONGEST_EXTENSION: &str = ".text+points.png";

/// Draws every case when its last object has been segmented, the truth as a second contour.
pub struct Pictures {
    folder: PathBuf,
    view: View,
    /// What the pictures of each case are called, by the case's name.
    stems: BTreeMap<String, Stem>,
    /// Cases that are not done yet.
    pending: Mutex<BTreeMap<(String, Kind), Montage>>,
}

impl Pictures {
    /// Pictures of `cases` in `folder`, which must exist when the first case ends.
    ///
    /// Each case has file names of its own, also on a disk that ignores upper and lower case. They depend on the names of all
    /// cases, and on nothing else.
    #[must_use]
    pub fn new(folder: PathBuf, view: View, cases: &[Case]) -> Self {
        let stems = file_names::unique_stems(cases.iter().map(|case| case.name.as_str()), LONGEST_EXTENSION);
        let stems = cases.iter().map(|case| case.name.clone()).zip(stems).collect();
        Self { folder, view, stems, pending: Mutex::default() }
    }

    /// The folder of the pictures.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The picture of a case with a kind of prompt; `None` if the case is not one of these.
    #[must_use]
    pub fn file(&self, case: &str, kind: Kind) -> Option<PathBuf> {
        let stem = &self.stems.get(case)?.text;
        Some(self.folder.join(format!("{stem}.{kind}.png")))
    }

    /// A warning for each case whose pictures have a name that cannot be guessed from the case's, because that was taken or too
    /// long.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let unexpected = self.stems.iter().filter(|(_, stem)| stem.is_unexpected);
        let warning = |(name, Stem { text, .. }): (&String, &Stem)| {
            let message = format!(
                "case {name:?}: its pictures are called `{text}.*.png`, because its own name is taken or too long"
            );
            Warning::new(WarningCode::FileRenamed, message)
        };
        unexpected.map(warning).collect()
    }

    /// Names the pictures in the results of their cases: those that exist, drawn by this run or an earlier one.
    pub fn name_files(&self, results: &mut Results) {
        for case in &mut results.cases {
            for kind in case.rows.iter().map(|row| row.prompt) {
                if let Some(file) = self.file(&case.case, kind).filter(|file| file.is_file()) {
                    case.pictures.insert(kind, file.display().to_string());
                }
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, BTreeMap<(String, Kind), Montage>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Pictures {
    fn object(&self, found: &Found<'_>) -> Result<(), String> {
        let mut pending = self.pending();
        let montage = pending
            .entry((found.case.name.clone(), found.kind))
            .or_insert_with(|| Montage::new(found.volume.grid(), self.view));
        let object = Object {
            name: &found.structure.name,
            mask: (found.zoom_in, INSIDE),
            marks: &found.marks,
            truth: Some((found.truth, found.truth_label)),
            note: "",
        };
        montage.add(object).map_err(|error| format!("pictures (of {MAX_OBJECTS} structures at most): {error}"))
    }

    fn case(&self, case: &Case, volume: &Volume) -> Result<(), String> {
        let montages: Vec<_> = self.pending().extract_if(.., |(name, _), _| *name == case.name).collect();
        for ((name, kind), montage) in montages {
            let Some(path) = self.file(&name, kind) else {
                return Err(format!("no pictures of case {name:?} were planned"));
            };
            let picture = montage.draw(volume).map_err(|error| error.to_string())?;
            picture.save(&path).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use segvol_overlay::{Axis, Window};

    use super::*;

    fn case(name: &str) -> Case {
        Case { name: name.to_owned(), image: PathBuf::new(), labels: None, structures: Arc::new([]) }
    }

    #[test]
    fn every_case_has_pictures_of_its_own() {
        let names = ["a/b", "a_b", "A_B", "c", &"d".repeat(300), "../e"];
        let cases: Vec<Case> = names.iter().map(|name| case(name)).collect();
        let view = View { axis: Axis::Axial, window: Window::new(40.0, 400.0).expect("a window") };
        let pictures = Pictures::new("p".into(), view, &cases);
        let file = |name: &str| pictures.file(name, Kind::Text).expect("a case").display().to_string();
        assert_eq!(
            names[..4].iter().map(|name| file(name)).collect::<Vec<_>>(),
            ["p/a_b_2.text.png", "p/a_b.text.png", "p/A_B_3.text.png", "p/c.text.png"]
        );
        assert_eq!(file("../e"), "p/___e.text.png");
        let longest = pictures.file(names[4], Kind::TextPoints).expect("a case");
        assert_eq!(longest.file_name().expect("a name").len(), file_names::MAX_BYTES);
        assert_eq!(pictures.file("f", Kind::Text), None);
        assert_eq!(pictures.warnings().len(), 3, "{:?}", pictures.warnings());
    }
}
