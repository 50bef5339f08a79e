//! Prompts from the command line, or from an objects file.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use segvol::{PointLabel, Prompt};

use crate::exit::{BadInput, Usage};
use crate::text::parse_numbers;

/// The options that say what to segment.
#[derive(clap::Args)]
pub(crate) struct PromptArguments {
    /// Name of the object; repeat it for several objects
    #[arg(long, value_name = "NAME", help_heading = "Prompts")]
    text: Vec<String>,
    /// A point: three coordinates, then 1 (inside the object, the default) or 0 (outside); can be repeated
    #[arg(long, value_name = "I,J,K[,1|0]", value_parser = parse_point, allow_hyphen_values = true, help_heading = "Prompts")]
    point: Vec<([f64; 3], PointLabel)>,
    /// A box around the object: two corners, both inclusive
    #[arg(long = "box", value_name = "I0,J0,K0,I1,J1,K1", value_parser = parse_box, allow_hyphen_values = true, help_heading = "Prompts")]
    bounding_box: Option<[f64; 6]>,
    /// A JSON file with several objects (see below)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["text", "point", "bounding_box", "space"], help_heading = "Prompts")]
    prompts: Option<PathBuf>,
    /// What the numbers of --point and --box mean
    #[arg(long, value_enum, default_value_t = Space::Voxel, help_heading = "Prompts")]
    space: Space,
}

#[derive(Clone, Copy, ValueEnum)]
enum Space {
    /// Voxels of the file, (i, j, k), counted from 0
    Voxel,
    /// Millimetres towards the patient's right, front and head (NIfTI, nibabel, FreeSurfer)
    Ras,
    /// Millimetres towards the patient's left, back and head (DICOM, ITK, 3D Slicer's markups)
    Lps,
    /// Voxels (d, h, w) of the zoom-out window, as the released code takes them
    Window,
}

impl PromptArguments {
    /// The objects file, if there is one.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.prompts.as_ref()
    }

    /// The first of these options that is given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--text", !self.text.is_empty()),
            ("--point", !self.point.is_empty()),
            ("--box", self.bounding_box.is_some()),
            ("--prompts", self.prompts.is_some()),
        ];
        given.into_iter().find_map(|(option, is_given)| is_given.then_some(option))
    }

    /// The objects to segment.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<Prompt>> {
        if let Some(path) = &self.prompts {
            return read_prompts(path);
        }
        let spatial = !self.point.is_empty() || self.bounding_box.is_some();
        if self.text.is_empty() && !spatial {
            return Err(Usage("nothing to segment: give --text, --point or --box, or --prompts FILE".to_owned()).into());
        }
        if self.text.len() > 1 && spatial {
            let message = "--point and --box describe one object, but --text is given several times; write the objects to a file and name it with --prompts";
            return Err(Usage(message.to_owned()).into());
        }
        let mut prompts: Vec<Prompt> = self.text.iter().map(Prompt::text).collect();
        if prompts.is_empty() {
            prompts.push(Prompt::new());
        }
        Ok(prompts.into_iter().map(|prompt| self.place(prompt)).collect())
    }

    /// Adds the points and the box to a prompt.
    fn place(&self, prompt: Prompt) -> Prompt {
        let prompt = prompt.space(self.space.into());
        let prompt = self.point.iter().fold(prompt, |prompt, &(at, label)| prompt.point(at, label));
        match self.bounding_box {
            Some([i0, j0, k0, i1, j1, k1]) => prompt.bounding_box([i0, j0, k0], [i1, j1, k1]),
            None => prompt,
        }
    }
}

/// Reads an objects file.
pub(crate) fn read_prompts(path: &Path) -> anyhow::Result<Vec<Prompt>> {
    Ok(read_checked(path)?.1)
}

/// The text of an objects file, which has been checked.
pub(crate) fn prompts_text(path: &Path) -> anyhow::Result<String> {
    Ok(read_checked(path)?.0)
}

fn read_checked(path: &Path) -> anyhow::Result<(String, Vec<Prompt>)> {
    let bad = |reason: String| BadInput { path: path.display().to_string(), reason };
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let text = segvol_base::text::decode(&bytes).map_err(|found| bad(format!("expected JSON; found {found}")))?;
    let prompts = segvol::parse_prompts(text).map_err(|error| bad(error.to_string()))?;
    Ok((text.to_owned(), prompts))
}

fn parse_point(text: &str) -> Result<([f64; 3], PointLabel), String> {
    let expected = "expected three numbers, optionally followed by 1 (inside) or 0 (outside), for example 211,160,47,1";
    let values = parse_numbers(text).ok_or(expected)?;
    match values[..] {
        [i, j, k] | [i, j, k, 1.0] => Ok(([i, j, k], PointLabel::Foreground)),
        [i, j, k, 0.0] => Ok(([i, j, k], PointLabel::Background)),
        _ => Err(expected.to_owned()),
    }
}

fn parse_box(text: &str) -> Result<[f64; 6], String> {
    let values = parse_numbers(text).and_then(|values| values.try_into().ok());
    values.ok_or_else(|| "expected six numbers, two corners, for example 300,220,30,380,300,60".to_owned())
}

impl From<Space> for segvol::Space {
    fn from(space: Space) -> Self {
        match space {
            Space::Voxel => Self::Voxel,
            Space::Ras => Self::Ras,
            Space::Lps => Self::Lps,
            Space::Window => Self::Window,
        }
    }
}
