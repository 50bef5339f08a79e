//! What a checkpoint or a bundle holds.

use std::collections::BTreeMap;
use std::path::Path;

use segvol_onnx::manifest::NotExported;
use segvol_onnx::{Architecture, Manifest, Stage};
use serde::{Serialize, Serializer};

use crate::checkpoint::Checkpoint;
use crate::error::{CheckpointError, ConvertError};
use crate::stages::Wanted;
use crate::{config, stages};

/// What a checkpoint or a bundle holds.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Inspection {
    /// A checkpoint file.
    Checkpoint(Box<CheckpointInspection>),
    /// A bundle's folder.
    Bundle(Box<BundleInspection>),
}

/// What a checkpoint holds. No tensor's numbers are looked at.
#[derive(Debug, Serialize)]
pub struct CheckpointInspection {
    /// The file's size in bytes.
    pub bytes: u64,
    /// Its container, such as `torch zip`.
    pub container: String,
    /// Whose layout of keys it has.
    pub layout: String,
    /// Number of the model's tensors per element type.
    pub dtypes: BTreeMap<String, usize>,
    /// Tensors that training left beside the model, which a conversion passes over.
    pub training_state: usize,
    /// Tensors and parameters per module of the model.
    pub modules: BTreeMap<String, Module>,
    /// The model's sizes, when they could be told.
    pub architecture: Option<Architecture>,
    /// Stages that a conversion gives.
    pub stages: Vec<Stage>,
    /// Stages that the checkpoint lacks.
    pub missing_stages: Vec<Stage>,
    /// Tensors that no graph needs, each with the reason.
    pub not_exported: Vec<NotExported>,
    /// What would stop a conversion, as far as names, shapes and element types tell.
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

/// What a bundle holds.
#[derive(Debug, Serialize)]
pub struct BundleInspection {
    /// The bundle's manifest.
    pub manifest: Manifest,
    /// Why the files are not those of the manifest; none if every size and hash agrees.
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

/// Looks into the checkpoint or the bundle at `path`. `config` is as in [`crate::Options`].
///
/// # Errors
///
/// [`ConvertError::Bundle`] if a folder has no manifest that can be read, [`ConvertError::Checkpoint`] if a
/// file is no SegVol checkpoint. Tensors that are missing, left over or misshapen, and files of a bundle
/// that were changed, are part of the answer.
pub fn inspect(path: &Path, config: Option<&Path>) -> Result<Inspection, ConvertError> {
    if path.is_dir() {
        let manifest = Manifest::read(path)?;
        let problem = manifest.verify(path).err().map(ConvertError::from);
        return Ok(Inspection::Bundle(Box::new(BundleInspection { manifest, problem })));
    }
    let checkpoint = Checkpoint::open(path)?;
    let (stages, missing_stages) =
        Stage::ALL.into_iter().partition(|stage| stages::stages_of(&checkpoint).contains(stage));
    let (architecture, not_exported, problem) = match config::architecture(&checkpoint, config) {
        Ok(architecture) => {
            let (plan, problem) = stages::plan_or_problem(&checkpoint, &architecture, Wanted::FP32);
            (Some(architecture), plan.not_exported, problem.map(ConvertError::from))
        }
        Err(error) => (None, Vec::new(), Some(error)),
    };
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    for (name, tensor) in checkpoint.tensors() {
        let module = modules.entry(name.split('.').next().unwrap_or(name).to_owned()).or_default();
        module.tensors += 1;
        module.parameters += tensor.elements() as u64;
    }
    Ok(Inspection::Checkpoint(Box::new(CheckpointInspection {
        bytes: checkpoint.bytes,
        container: checkpoint.container.to_owned(),
        layout: checkpoint.layout.clone(),
        dtypes: checkpoint.dtypes(),
        training_state: checkpoint.training_state,
        modules,
        architecture,
        stages,
        missing_stages,
        not_exported,
        problem,
    })))
}
