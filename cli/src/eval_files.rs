//! Masks, probabilities and times that `segvol eval` writes beside its rows.

use std::path::PathBuf;

use anyhow::Context as _;
use segvol_evaluation::{Case, Kind, MaskFiles};

use crate::outputs::Files;

/// Folders for masks and probabilities.
#[derive(clap::Args)]
pub(crate) struct MaskArguments {
    /// Folder for the masks, each on its scan's grid: DIR/CASE/STRUCTURE.KIND.nii.gz. A case of an earlier run whose masks are
    /// missing or changed is done again
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) masks: Option<PathBuf>,
    /// Folder for the probabilities, as float32: DIR/CASE/STRUCTURE.KIND.nii.gz
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) probabilities: Option<PathBuf>,
}

impl MaskArguments {
    /// The files of an evaluation, in folders of their own for one setting of several; `None` if none are asked for.
    pub(crate) fn files(&self, part: Option<&str>, cases: &[Case]) -> Option<MaskFiles> {
        let of = |dir: &PathBuf| part.map_or_else(|| dir.clone(), |part| dir.join(part));
        let (masks, probabilities) = (self.masks.as_ref().map(of), self.probabilities.as_ref().map(of));
        (masks.is_some() || probabilities.is_some()).then(|| MaskFiles::new(masks, probabilities, cases))
    }
}

/// What a mask's name ends in: a kind of prompt, or a step of an interactive evaluation.
pub(crate) fn kinds(prompts: &[Kind], clicks: Option<usize>) -> Vec<String> {
    match clicks {
        None => prompts.iter().map(ToString::to_string).collect(),
        Some(clicks) => (0..=clicks).map(MaskFiles::step).collect(),
    }
}

/// Adds the files that are written.
pub(crate) fn add_outputs(written: &MaskFiles, cases: &[Case], kinds: &[String], files: &mut Files) {
    for (option, dir) in [("--masks", written.masks()), ("--probabilities", written.probabilities())] {
        let Some(dir) = dir else { continue };
        let of_case = |case: &Case| -> Vec<PathBuf> {
            let names = case.structures.iter().map(|structure| structure.name.as_str());
            let of_structure = |name| kinds.iter().filter_map(move |kind| written.file(dir, &case.name, name, kind));
            names.flat_map(of_structure).collect()
        };
        files.folder(option, dir, cases.iter().flat_map(of_case));
    }
}

/// Makes the folders.
pub(crate) fn create_folders(written: &MaskFiles) -> anyhow::Result<()> {
    for dir in [written.masks(), written.probabilities()].into_iter().flatten() {
        segvol_base::create_folder(dir).with_context(|| format!("folder `{}`", dir.display()))?;
    }
    Ok(())
}
