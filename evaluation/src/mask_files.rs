//! Masks and probabilities of an evaluation as files: `DIR/CASE/STRUCTURE.KIND.nii.gz`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segvol::mask::{Mask, MaskError, save_logits};
use segvol::{Segmentation, Warning, WarningCode};
use segvol_base::create_folder;
use segvol_base::file_names::{Stem, unique_stems};
use segvol_onnx::manifest::sha256_file;

use crate::cases::Case;
use crate::error::CaseError;
use crate::results::CaseResult;
use crate::written_file::WrittenFile;

/// The end of the longest file name.
const LONGEST_EXTENSION: &str = ".text+points.nii.gz";

/// Writes the mask of every object, and its probabilities, if there is a folder for them.
pub struct MaskFiles {
    masks: Option<PathBuf>,
    probabilities: Option<PathBuf>,
    /// What each case's folder is called, and each of its structures, by their names.
    stems: BTreeMap<String, (Stem, BTreeMap<String, Stem>)>,
}

/// The files of one object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    pub(crate) mask: Option<WrittenFile>,
    pub(crate) probabilities: Option<WrittenFile>,
}

impl MaskFiles {
    /// Masks of `cases` in the folder `masks`, and probabilities in another.
    ///
    /// Each case has a folder of its own there, and each structure a file name, also on a disk that ignores upper and lower case.
    /// They depend on the names of all cases and their structures, and on nothing else.
    #[must_use]
    pub fn new(masks: Option<PathBuf>, probabilities: Option<PathBuf>, cases: &[Case]) -> Self {
        let folders = unique_stems(cases.iter().map(|case| case.name.as_str()), "");
        let of_case = |(case, folder): (&Case, Stem)| {
            let names = || case.structures.iter().map(|structure| structure.name.as_str());
            let files = names().map(str::to_owned).zip(unique_stems(names(), LONGEST_EXTENSION)).collect();
            (case.name.clone(), (folder, files))
        };
        Self { masks, probabilities, stems: cases.iter().zip(folders).map(of_case).collect() }
    }

    /// The folder of the masks.
    #[must_use]
    pub fn masks(&self) -> Option<&Path> {
        self.masks.as_deref()
    }

    /// The folder of the probabilities.
    #[must_use]
    pub fn probabilities(&self) -> Option<&Path> {
        self.probabilities.as_deref()
    }

    /// The file of an object in `folder`, which is one of these folders: `kind` is the kind of prompt, or the step of an
    /// interactive evaluation. `None` if the case or the structure is not one of these.
    #[must_use]
    pub fn file(&self, folder: &Path, case: &str, structure: &str, kind: &str) -> Option<PathBuf> {
        let (case, structures) = self.stems.get(case)?;
        let structure = &structures.get(structure)?.text;
        Some(folder.join(&case.text).join(format!("{structure}.{kind}.nii.gz")))
    }

    /// What the masks of a step of an interactive evaluation have in their names: `box`, then `click1` and so on.
    #[must_use]
    pub fn step(number: usize) -> String {
        if number == 0 { "box".to_owned() } else { format!("click{number}") }
    }

    /// A warning for each case and structure whose files have a name that cannot be guessed from its own, because that was taken
    /// or too long.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let warning = |message: String| Warning::new(WarningCode::FileRenamed, message);
        let mut warnings = Vec::new();
        for (case, (folder, structures)) in &self.stems {
            let reason = "because its own name is taken or too long";
            if folder.is_unexpected {
                warnings
                    .push(warning(format!("case {case:?}: the folder of its masks is `{}`, {reason}", folder.text)));
            }
            for (structure, stem) in structures.iter().filter(|(_, stem)| stem.is_unexpected) {
                let file = &stem.text;
                warnings.push(warning(format!(
                    "case {case:?}, structure {structure:?}: its masks are called `{file}.*.nii.gz`, {reason}"
                )));
            }
        }
        warnings
    }

    /// Writes the files of an object.
    pub(crate) fn write(
        &self,
        case: &Case,
        structure: &str,
        kind: &str,
        mask: &Mask,
        found: &Segmentation,
    ) -> Result<Files, CaseError> {
        let mask_of = |path: &Path| Ok(mask.save(path)?);
        let probabilities_of = |path: &Path| Ok(save_logits(path, &found.probability_map()?, mask.grid())?);
        Ok(Files {
            mask: self.written(self.masks.as_deref(), case, structure, kind, mask_of)?,
            probabilities: self.written(self.probabilities.as_deref(), case, structure, kind, probabilities_of)?,
        })
    }

    fn written(
        &self,
        folder: Option<&Path>,
        case: &Case,
        structure: &str,
        kind: &str,
        write: impl FnOnce(&Path) -> Result<(), CaseError>,
    ) -> Result<Option<WrittenFile>, CaseError> {
        let Some(folder) = folder else { return Ok(None) };
        let Some(path) = self.file(folder, &case.name, structure, kind) else {
            return Err(CaseError::Watcher(format!("no masks of case {:?}, {structure:?} were planned", case.name)));
        };
        let failed = |source| MaskError::Io { path: path.clone(), source };
        create_folder(path.parent().unwrap_or(folder)).map_err(failed)?;
        write(&path)?;
        let sha256 = sha256_file(&path).map_err(failed)?;
        Ok(Some(WrittenFile { path: path.display().to_string(), sha256 }))
    }
}

/// The result of an earlier run with the files that this one asks for: with their paths as of now, and without those that are
/// not asked for. `None` if one is missing or has another content, so that the case must be done again.
pub(crate) fn resumed(files: Option<&MaskFiles>, result: &CaseResult) -> Option<CaseResult> {
    let mut result = result.clone();
    let case = result.case.clone();
    for row in &mut result.rows {
        let kind = row.prompt.name();
        let kept = [&mut row.mask, &mut row.probabilities];
        keep(files, &case, &row.structure, kind, kept)?;
    }
    for session in &mut result.interactive {
        for (number, step) in session.steps.iter_mut().enumerate() {
            let kept = [&mut step.mask, &mut step.probabilities];
            keep(files, &case, &session.structure, &MaskFiles::step(number), kept)?;
        }
    }
    Some(result)
}

/// Checks the mask and the probabilities of an object, in this order.
fn keep(
    files: Option<&MaskFiles>,
    case: &str,
    structure: &str,
    kind: &str,
    written: [&mut Option<WrittenFile>; 2],
) -> Option<()> {
    let folders = files.map_or([None, None], |files| [files.masks(), files.probabilities()]);
    for (folder, written) in folders.into_iter().zip(written) {
        let (Some(files), Some(folder)) = (files, folder) else {
            *written = None;
            continue;
        };
        let path = files.file(folder, case, structure, kind)?;
        let file = written.as_mut()?;
        if sha256_file(&path).ok()? != file.sha256 {
            return None;
        }
        file.path = path.display().to_string();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Structure;

    fn case(name: &str, structures: &[&str]) -> Case {
        let structure = |name: &&str| Structure::in_label_map(*name, vec![1], false);
        let structures = structures.iter().map(structure).collect();
        Case { name: name.to_owned(), image: PathBuf::new(), labels: None, structures }
    }

    #[test]
    fn every_object_has_a_file_of_its_own() {
        let cases =
            [case("a/b", &["left kidney", "left_kidney", "Liver"]), case("A_B", &["liver"]), case("../c", &["x"])];
        let files = MaskFiles::new(Some("m".into()), Some("p".into()), &cases);
        let file = |folder: &str, case: &str, structure: &str| {
            files.file(Path::new(folder), case, structure, "text+box").map(|path| path.display().to_string())
        };
        assert_eq!(file("m", "a/b", "left kidney").as_deref(), Some("m/a_b_2/left_kidney_2.text+box.nii.gz"));
        assert_eq!(file("m", "a/b", "left_kidney").as_deref(), Some("m/a_b_2/left_kidney.text+box.nii.gz"));
        assert_eq!(file("p", "A_B", "liver").as_deref(), Some("p/A_B/liver.text+box.nii.gz"));
        assert_eq!(file("p", "../c", "x").as_deref(), Some("p/___c/x.text+box.nii.gz"));
        assert_eq!((file("m", "d", "x"), file("m", "A_B", "spleen")), (None, None));
        assert_eq!(files.warnings().len(), 2, "{:?}", files.warnings());
    }
}
