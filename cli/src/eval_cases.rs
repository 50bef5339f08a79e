//! Which cases `segvol eval` evaluates.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use segvol::Warning;
use segvol_base::printable;
use segvol_evaluation::cases::{self, DataOptions};
use segvol_evaluation::{Case, Pair};
use segvol_onnx::Manifest;
use serde_json::json;

use crate::exit::Usage;
use crate::log::{self, Level};
use crate::outputs::Files;
use crate::swapped;

/// Names that are read from files and that the model spells otherwise, as many as are printed.
const SHOWN: usize = 3;

/// Scans and their known masks.
#[derive(clap::Args)]
pub(crate) struct CaseArguments {
    /// JSON list of scans and label maps, with the names of their values (see below)
    #[arg(short, long, value_name = "FILE", help_heading = "Cases", required_unless_present_any = ["images", "data"])]
    pub(crate) cases: Option<PathBuf>,
    /// Folder of scans and their masks, whose layout is recognised: X.nii.gz beside X_labels.nii.gz; nnU-Net's imagesTr,
    /// labelsTr and dataset.json; or TotalSegmentator's X/ct.nii.gz with X/segmentations/liver.nii.gz
    #[arg(long, value_name = "DIR", help_heading = "Cases", conflicts_with_all = ["cases", "images"])]
    data: Option<PathBuf>,
    /// The layout of --data, instead of the one that is recognised
    #[arg(long, value_enum, help_heading = "Cases", requires = "data", conflicts_with_all = ["cases", "images"])]
    layout: Option<Layout>,
    /// The part of --data in nnU-Net's layout [default: the only one with label maps]
    #[arg(long, value_enum, help_heading = "Cases", requires = "data", conflicts_with_all = ["cases", "images"])]
    split: Option<Split>,
    /// Folder of scans
    #[arg(long, value_name = "DIR", help_heading = "Cases", conflicts_with = "cases")]
    pub(crate) images: Option<PathBuf>,
    /// Folder of label maps with the same file names as the scans
    #[arg(long, value_name = "DIR", help_heading = "Cases", requires_all = ["images", "names"])]
    truth: Option<PathBuf>,
    /// JSON file that gives each structure's value in the label maps, for example {"liver": 1, "lung": [3, 4]}, or the name of
    /// each value, {"1": "liver"}. With --data it replaces the names there; for masks in files of their own it is
    /// {"kidney_left": "left kidney"}, and masks that are not in it are not used
    #[arg(long, value_name = "FILE", help_heading = "Cases", conflicts_with = "cases")]
    names: Option<PathBuf>,
    /// Without label maps: the organs whose sides are compared; a list with commas, or repeat the option [default: the pairs
    /// among the names of --names or of the case list, else "left kidney/right kidney"]
    #[arg(long, value_name = "LEFT/RIGHT", value_delimiter = ',', help_heading = "Cases", conflicts_with_all = ["truth", "data"])]
    pub(crate) pairs: Vec<Pair>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Layout {
    /// X.nii.gz beside X_labels.nii.gz, X_label.nii.gz or X_seg.nii.gz; names in labels.json or X_labels.json
    Pairs,
    /// imagesTr/X_0000.nii.gz with labelsTr/X.nii.gz, and dataset.json; also that of the Medical Segmentation Decathlon
    Nnunet,
    /// X/ct.nii.gz with one mask for each structure, X/segmentations/liver.nii.gz, as TotalSegmentator has it
    CaseFolders,
}

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    /// imagesTr and labelsTr
    Train,
    /// imagesTs and labelsTs
    Test,
}

impl From<Layout> for cases::Layout {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Pairs => Self::Pairs,
            Layout::Nnunet => Self::NnUnet,
            Layout::CaseFolders => Self::CaseFolders,
        }
    }
}

impl From<Split> for cases::Split {
    fn from(split: Split) -> Self {
        match split {
            Split::Train => Self::Train,
            Split::Test => Self::Test,
        }
    }
}

impl CaseArguments {
    /// Fails if the scans and the bundle are swapped.
    pub(crate) fn check_swapped(&self, model: &Path) -> Result<(), Usage> {
        let named = [("-c", &self.cases), ("--data", &self.data), ("--images", &self.images)];
        for (option, path) in named.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
            swapped::check((option, path), ("-m", model))?;
        }
        Ok(())
    }

    /// The cases, and what of a folder is not used. Says on standard error what a folder was taken for, unless `quiet`.
    pub(crate) fn read(&self, bundle: &Path, quiet: bool) -> anyhow::Result<(Vec<Case>, Vec<Warning>)> {
        if let Some(list) = &self.cases {
            return Ok((cases::read_list(list)?, Vec::new()));
        }
        if let Some(folder) = &self.data {
            return self.read_data(folder, bundle, quiet);
        }
        let found = match (&self.images, &self.truth, &self.names) {
            (Some(images), Some(truth), Some(names)) => cases::read_folders(images, Some((truth, names)))?,
            (Some(images), None, _) => cases::read_folders(images, None)?,
            _ => {
                let message = "no cases: give --cases FILE, or --data DIR, or --images, --truth and --names";
                return Err(Usage(message.to_owned()).into());
            }
        };
        Ok((found, Vec::new()))
    }

    fn read_data(&self, folder: &Path, bundle: &Path, quiet: bool) -> anyhow::Result<(Vec<Case>, Vec<Warning>)> {
        // A bundle that cannot be read is an error later on.
        let names = Manifest::read(bundle).ok().and_then(|manifest| manifest.names);
        let options = DataOptions {
            layout: self.layout.map(Into::into),
            split: self.split.map(Into::into),
            names: self.names.as_deref(),
            trained: names.as_ref(),
        };
        let data = cases::read_data(folder, &options)?;
        if !quiet {
            let folder = printable(&folder.to_string_lossy()).into_owned();
            let mut text = format!("--data `{folder}`: {}", data.description);
            let renamed: Vec<String> =
                data.renamed.iter().take(SHOWN).map(|(file, name)| format!("{file} as {name:?}")).collect();
            if !renamed.is_empty() {
                let more = data.renamed.len().saturating_sub(SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                text += &format!("; in the model's spelling: {}{more}", renamed.join(", "));
            }
            let text = printable(&text).into_owned();
            log::say(Level::Info, &text, &text, json!({"cases": data.cases.len()}));
        }
        Ok((data.cases, data.warnings))
    }

    /// The file with names, for cases without label maps.
    pub(crate) fn names(&self) -> Option<&Path> {
        self.names.as_deref()
    }

    /// The files that are read, with the options that name them.
    pub(crate) fn add_inputs(&self, cases: &[Case], files: &mut Files) {
        files.input_if("--cases", self.cases.as_ref());
        files.input_if("--names", self.names.as_ref());
        let [scans, maps] = match (&self.cases, &self.data) {
            (Some(_), _) => ["--cases"; 2],
            (None, Some(_)) => ["--data"; 2],
            (None, None) => ["--images", "--truth"],
        };
        for case in cases {
            let Case { name, image, labels, structures } = case;
            files.input(format!("{scans} (scan of case {name:?})"), image);
            files.input_if(&format!("{maps} (label map of case {name:?})"), labels.as_ref());
            for mask in structures.iter().flat_map(|structure| &structure.files) {
                files.input(format!("{maps} (mask of case {name:?})"), mask);
            }
        }
    }
}
