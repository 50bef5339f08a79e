//! Describes a checkpoint or a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use segvol_base::{Orientation, Warning};
use segvol_onnx::manifest::{MANIFEST_FILE, NotExported};
use segvol_onnx::{Architecture, BundleError, Manifest, Stage};
use serde::{Serialize, Serializer};

use crate::error::{CheckpointError, ConvertError};
use crate::readme::{README_FILE, ReadmeState};
use crate::stages::Wanted;
use crate::{Options, config, stages, unused};
use segvol_checkpoint::{Checkpoint, Reading};

/// The contents of a checkpoint or a bundle.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Inspection {
    /// A checkpoint file.
    Checkpoint(Box<CheckpointInspection>),
    /// A bundle's folder.
    Bundle(Box<BundleInspection>),
}

/// The contents of a checkpoint. The numbers of its tensors are not read.
#[derive(Debug, Serialize)]
pub struct CheckpointInspection {
    /// The file, or the index of several: in a folder, the one that was found.
    #[serde(skip)]
    pub path: PathBuf,
    /// The names of its files: its own, or those of the index and its shards.
    pub files: Vec<String>,
    /// Names of files in the same folder that have the same model in another format.
    pub passed_over: Vec<String>,
    /// The size of all its files in bytes.
    pub bytes: u64,
    /// Its file format, such as `torch zip`.
    pub container: String,
    /// The layout of its tensor names.
    pub layout: String,
    /// What the names of the model's tensors begin with, with a dot at its end.
    pub prefix: String,
    /// Parts of names that a conversion removes inside the model, such as `_orig_mod`, sorted.
    pub wrappers: Vec<String>,
    /// Number of the model's tensors per element type.
    pub dtypes: BTreeMap<String, usize>,
    /// Number of tensors next to the model that are no part of it, such as an optimiser's; a conversion ignores them.
    pub training_state: usize,
    /// The dictionaries and values that have these tensors, sorted.
    pub ignored: Vec<String>,
    /// Tensors and parameters per module of the model.
    pub modules: BTreeMap<String, Module>,
    /// The model's sizes; `None` if they could not be determined.
    pub architecture: Option<Architecture>,
    /// The axes that the model was trained with; `None` if the configuration does not say.
    pub axes: Option<Orientation>,
    /// Stages that a conversion makes.
    pub stages: Vec<Stage>,
    /// Stages that the checkpoint lacks.
    pub missing_stages: Vec<Stage>,
    /// Tensors that no graph uses, each with the reason.
    pub not_exported: Vec<NotExported>,
    /// Warnings of a conversion.
    pub warnings: Vec<Warning>,
    /// What would stop a conversion, judging by names, shapes and element types; `None` if nothing would.
    #[serde(rename = "problems", serialize_with = "as_list")]
    pub problem: Option<ConvertError>,
}

/// One module of a checkpoint.
#[derive(Debug, Default, Serialize)]
pub struct Module {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of scalars in them.
    pub parameters: u64,
}

/// The contents of a bundle.
#[derive(Debug, Serialize)]
pub struct BundleInspection {
    /// The bundle's manifest.
    pub manifest: Manifest,
    /// Whether the README, which is not in the manifest, is the one that was written with the bundle.
    pub readme: ReadmeState,
    /// Names of other files in the folder that the manifest does not list, sorted. Nothing reads them.
    pub unlisted: Vec<String>,
    /// How the files differ from the manifest; `None` if every size and hash matches.
    #[serde(rename = "problems", serialize_with = "as_list")]
    pub problem: Option<ConvertError>,
}

/// One line per fault.
fn as_list<S: Serializer>(problem: &Option<ConvertError>, serializer: S) -> Result<S::Ok, S::Error> {
    match problem {
        None => serializer.collect_seq::<[String; 0]>([]),
        Some(ConvertError::Checkpoint(CheckpointError::Tensors { faults, .. })) => {
            serializer.collect_seq(faults.0.iter().map(ToString::to_string))
        }
        Some(problem) => serializer.collect_seq([problem.to_string()]),
    }
}

/// Inspects the checkpoint or the bundle at `path`: a file, or a folder with a manifest, or a folder with one checkpoint. Of the
/// options, `config`, `weights_from` and `allow_extra` are used.
///
/// # Errors
///
/// [`ConvertError::Bundle`] if a folder has no readable manifest and no checkpoint, [`ConvertError::Checkpoint`] if a file is not a
/// SegVol checkpoint. Tensors that are missing, unexpected or misshapen, and files of a bundle that were changed, are
/// part of the result.
pub fn inspect(path: &Path, options: &Options) -> Result<Inspection, ConvertError> {
    let manifest = if path.is_dir() { Some(Manifest::read(path)) } else { None };
    let no_bundle = match manifest {
        Some(Ok(manifest)) => {
            let problem = manifest.verify(path).err().map(ConvertError::from);
            let (readme, unlisted) = (ReadmeState::of(path, &manifest), unlisted(path, &manifest));
            return Ok(Inspection::Bundle(Box::new(BundleInspection { manifest, readme, unlisted, problem })));
        }
        Some(Err(error @ BundleError::NotABundle { .. })) => Some(error),
        Some(Err(error)) => return Err(error.into()),
        None => None,
    };
    let reading = Reading { dictionary: options.weights_from.as_deref(), allow_extra: options.allow_extra };
    let config = options.config.as_deref();
    let checkpoint = match (Checkpoint::open_with(path, reading), no_bundle) {
        (Ok(checkpoint), _) => checkpoint,
        (Err(CheckpointError::NoCheckpoint { .. }), Some(error)) => return Err(error.into()),
        (Err(error), _) => return Err(error.into()),
    };
    let (stages, missing_stages) =
        Stage::ALL.into_iter().partition(|stage| stages::stages_of(&checkpoint).contains(stage));
    let (architecture, not_exported, problem) = match config::architecture(&checkpoint, config) {
        Ok(architecture) => {
            let (plan, problem) = stages::plan_or_problem(&checkpoint, &architecture, Wanted::FP32);
            (Some(architecture), plan.not_exported, problem.map(ConvertError::from))
        }
        Err(error) => (None, Vec::new(), Some(error)),
    };
    // A configuration that cannot be read is the problem above.
    let axes = config::axes(&checkpoint, config).unwrap_or_default();
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    for (name, tensor) in checkpoint.tensors() {
        let module = name.split_once('.').map_or(name, |(module, _)| module);
        let module = modules.entry(module.to_owned()).or_default();
        module.tensors += 1;
        module.parameters += tensor.elements() as u64;
    }
    let names = |files: &[PathBuf]| files.iter().map(|file| file_name(file)).collect();
    let keys = checkpoint.keys.clone();
    Ok(Inspection::Checkpoint(Box::new(CheckpointInspection {
        path: checkpoint.path.clone(),
        files: names(&checkpoint.files),
        passed_over: names(&checkpoint.passed_over),
        bytes: checkpoint.bytes,
        container: checkpoint.container.clone(),
        layout: checkpoint.layout.clone(),
        prefix: keys.prefix,
        wrappers: keys.wrappers,
        dtypes: checkpoint.dtypes(),
        training_state: keys.training_state,
        ignored: keys.ignored,
        modules,
        architecture,
        axes,
        stages,
        missing_stages,
        warnings: unused::warning(&not_exported).into_iter().collect(),
        not_exported,
        problem,
    })))
}

/// What a folder has besides the bundle. A folder that may not be listed has nothing that anyone could read by accident.
fn unlisted(dir: &Path, manifest: &Manifest) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let listed: BTreeSet<&str> =
        manifest.files().map(|file| file.name.as_str()).chain([MANIFEST_FILE, README_FILE]).collect();
    // Kubernetes keeps the files of a volume in `..data`, and links to them.
    let mut names: Vec<String> =
        names.filter(|name| !listed.contains(name.as_str()) && !name.starts_with("..")).collect();
    names.sort();
    names
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
