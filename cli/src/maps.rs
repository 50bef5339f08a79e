//! Outputs with a number for every voxel: probabilities and logits.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use segvol::volume::Format;
use segvol::{Error, FloatType, Prompt, Report, Segmentation, Study, save_map};
use segvol_base::printable_path;

use crate::exit::Usage;
use crate::object_files::ObjectFile;
use crate::outputs::{Files, not_standard_output};

/// Names that are files of other formats. A folder of such a name is probably a mistake.
const OTHER_FILES: [&str; 17] = [
    "csv",
    "dcm",
    "gz",
    "h5",
    "hdf5",
    "hdr",
    "img",
    "json",
    "mha",
    "mhd",
    "mgz",
    "npy",
    "npz",
    "nrrd",
    "png",
    "safetensors",
    "zip",
];

/// The options for probabilities and logits.
#[derive(clap::Args)]
pub(crate) struct MapArguments {
    /// Probabilities, 0 to 1, on the scan's grid; 0 outside the region that the model sees. A name that ends in .nii,
    /// .nii.gz, .nrrd or .mha is the file of a single object; any other is a folder with DIR/NAME.nii.gz for each object
    #[arg(long, value_name = "FILE|DIR", help_heading = "Output")]
    probabilities: Option<PathBuf>,
    /// Logits on the scan's grid, likewise; NaN outside the region that the model sees
    #[arg(long, value_name = "FILE|DIR", help_heading = "Output")]
    logits: Option<PathBuf>,
    /// How --probabilities and --logits are rounded: float32 (not at all) or float16. NIfTI has no float16, so these are numbers
    /// of float16 in a float32 file, which gzip makes smaller [default: float32]
    #[arg(long, value_name = "TYPE", help_heading = "Output")]
    dtype: Option<FloatType>,
}

/// Where one kind of map is written.
enum Place {
    Nowhere,
    File(PathBuf),
    Folder(PathBuf, Vec<ObjectFile>),
}

/// The files of a command's maps.
pub(crate) struct Maps {
    probabilities: Place,
    logits: Place,
    dtype: FloatType,
}

impl MapArguments {
    /// Finds out which files these options mean.
    pub(crate) fn files(&self, prompts: &[Prompt]) -> Result<Maps, Usage> {
        if self.dtype.is_some() && self.probabilities.is_none() && self.logits.is_none() {
            return Err(Usage("--dtype: expected --probabilities or --logits beside it, found neither".to_owned()));
        }
        Ok(Maps {
            probabilities: Place::of("--probabilities", self.probabilities.as_deref(), prompts)?,
            logits: Place::of("--logits", self.logits.as_deref(), prompts)?,
            dtype: self.dtype.unwrap_or_default(),
        })
    }
}

impl Place {
    fn of(option: &str, path: Option<&Path>, prompts: &[Prompt]) -> Result<Self, Usage> {
        let Some(path) = path else { return Ok(Self::Nowhere) };
        not_standard_output(option, path)?;
        let name = printable_path(path);
        let says_folder =
            path.as_os_str().as_encoded_bytes().last().is_some_and(|&last| std::path::is_separator(last.into()));
        if Format::of_name(path).is_some() && !says_folder {
            let objects = prompts.len();
            return match objects {
                1 => Ok(Self::File(path.to_owned())),
                _ => Err(Usage(format!(
                    "{option} `{name}`: expected one object for one file, found {objects}; name a folder for several"
                ))),
            };
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
        if !says_folder && !path.is_dir() && extension.is_some_and(|found| OTHER_FILES.contains(&found.as_str())) {
            return Err(Usage(format!(
                "{option} `{name}`: expected a name that ends in {}, or a folder; if this is a folder, write `{name}/`",
                Format::NAMES
            )));
        }
        Ok(Self::Folder(path.to_owned(), ObjectFile::all(path, prompts)))
    }

    fn paths(&self) -> Vec<&Path> {
        match self {
            Self::Nowhere => Vec::new(),
            Self::File(path) => vec![path],
            Self::Folder(_, files) => files.iter().map(|file| file.path.as_path()).collect(),
        }
    }

    fn add_to(&self, files: &mut Files, option: &str) {
        match self {
            Self::Nowhere => {}
            Self::File(path) => files.output(option, path),
            Self::Folder(folder, own) => files.folder(option, folder, own.iter().map(|file| file.path.clone())),
        }
    }

    /// Writes the map of each object, one after the other: only one is in memory.
    fn save(
        &self,
        study: &Study,
        segmentations: &[Segmentation],
        map: impl Fn(&Segmentation) -> Result<Vec<f32>, Error>,
        dtype: FloatType,
    ) -> anyhow::Result<()> {
        if let Self::Folder(folder, _) = self {
            segvol_base::create_folder(folder).with_context(|| format!("folder `{}`", folder.display()))?;
        }
        for (path, segmentation) in self.paths().into_iter().zip(segmentations) {
            let mut values = map(segmentation)?;
            dtype.round(&mut values);
            save_map(path, &values, study.grid()).map_err(Error::from)?;
        }
        Ok(())
    }
}

impl Maps {
    /// Whether nothing is written.
    pub(crate) fn are_absent(&self) -> bool {
        matches!((&self.probabilities, &self.logits), (Place::Nowhere, Place::Nowhere))
    }

    /// The files of a folder of maps, if there is one: their names are those of every other folder.
    pub(crate) fn in_folder(&self) -> &[ObjectFile] {
        match (&self.probabilities, &self.logits) {
            (Place::Folder(_, files), _) | (_, Place::Folder(_, files)) => files,
            _ => &[],
        }
    }

    /// Adds the files to those that are checked before any work.
    pub(crate) fn add_to(&self, files: &mut Files) {
        self.probabilities.add_to(files, "--probabilities");
        self.logits.add_to(files, "--logits");
    }

    /// Writes all files.
    pub(crate) fn save(&self, study: &Study, segmentations: &[Segmentation]) -> anyhow::Result<()> {
        self.probabilities.save(study, segmentations, Segmentation::probability_map, self.dtype)?;
        self.logits.save(study, segmentations, Segmentation::logit_map, self.dtype)
    }

    /// Says in the report which file has what.
    pub(crate) fn name_in(&self, report: &mut Report) {
        let name = |path: &Path| path.display().to_string();
        let named = |place: &Place| match place {
            Place::File(path) => Some(name(path)),
            Place::Folder(..) | Place::Nowhere => None,
        };
        report.files.probabilities = named(&self.probabilities);
        report.files.logits = named(&self.logits);
        report.files.dtype = Some(self.dtype).filter(|&dtype| !self.are_absent() && dtype != FloatType::Float32);
        for (place, field) in [(&self.probabilities, 0), (&self.logits, 1)] {
            let Place::Folder(_, files) = place else { continue };
            for (object, file) in report.objects.iter_mut().zip(files) {
                let named = if field == 0 { &mut object.probabilities } else { &mut object.logits };
                *named = Some(name(&file.path));
            }
        }
    }
}
