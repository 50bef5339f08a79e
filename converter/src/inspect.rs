//! Describes a checkpoint or a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use segvol_base::Orientation;
use segvol_onnx::manifest::{MANIFEST_FILE, NotExported};
use segvol_onnx::{Architecture, Manifest, Stage};
use serde::{Serialize, Serializer};

use crate::checkpoint::Checkpoint;
use crate::error::{CheckpointError, ConvertError};
use crate::readme::{README_FILE, ReadmeState};
use crate::stages::Wanted;
use crate::{config, stages};

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
    /// The file's size in bytes.
    pub bytes: u64,
    /// Its file format, such as `torch zip`.
    pub container: String,
    /// The layout of its tensor names.
    pub layout: String,
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

/// Inspects the checkpoint or the bundle at `path`. `config` and `weights_from` are as in [`crate::Options`].
///
/// # Errors
///
/// [`ConvertError::Bundle`] if a folder has no readable manifest, [`ConvertError::Checkpoint`] if a file is not a
/// SegVol checkpoint. Tensors that are missing, unexpected or misshapen, and files of a bundle that were changed, are
/// part of the result.
pub fn inspect(path: &Path, config: Option<&Path>, weights_from: Option<&str>) -> Result<Inspection, ConvertError> {
    if path.is_dir() {
        let manifest = Manifest::read(path)?;
        let problem = manifest.verify(path).err().map(ConvertError::from);
        let (readme, unlisted) = (ReadmeState::of(path, &manifest), unlisted(path, &manifest));
        return Ok(Inspection::Bundle(Box::new(BundleInspection { manifest, readme, unlisted, problem })));
    }
    let checkpoint = Checkpoint::open_from(path, weights_from)?;
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
    Ok(Inspection::Checkpoint(Box::new(CheckpointInspection {
        bytes: checkpoint.bytes,
        container: checkpoint.container.to_owned(),
        layout: checkpoint.layout.clone(),
        dtypes: checkpoint.dtypes(),
        training_state: checkpoint.training_state,
        ignored: checkpoint.ignored.clone(),
        modules,
        architecture,
        axes,
        stages,
        missing_stages,
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
