//! The files of single objects in a folder: one name for each object.

use std::path::{Path, PathBuf};

use segvol::{Prompt, Warning, WarningCode};
use segvol_base::file_names::{self, Stem};

/// The extension of all files of single objects.
const EXTENSION: &str = ".nii.gz";

/// The file of one object.
pub(crate) struct ObjectFile {
    pub(crate) path: PathBuf,
    /// Whether nobody could guess its name from the object's.
    is_unexpected: bool,
}

impl ObjectFile {
    /// The files of all objects in a folder, in their order. They have the same names in every folder.
    pub(crate) fn all(folder: &Path, prompts: &[Prompt]) -> Vec<Self> {
        let stems = file_names::unique_stems(prompts.iter().map(Prompt::name), EXTENSION);
        let file = |Stem { text, is_unexpected }| Self { path: folder.join(text + EXTENSION), is_unexpected };
        stems.into_iter().map(file).collect()
    }

    pub(crate) fn warning(&self, prompt: &Prompt) -> Option<Warning> {
        let message = || {
            format!(
                "object {:?}: its file is `{}`, because its own name is taken or too long",
                prompt.name(),
                self.path.display()
            )
        };
        self.is_unexpected.then(|| Warning::new(WarningCode::FileRenamed, message()))
    }
}
