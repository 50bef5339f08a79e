//! Every stage's graphs for one checkpoint, before a byte is written.

use std::collections::{BTreeMap, BTreeSet};

use segvol_onnx::manifest::NotExported;
use segvol_onnx::proto::ModelProto;
use segvol_onnx::{Architecture, Graph, Stage, Value, Variant};

use crate::checkpoint::Checkpoint;
use crate::error::{CheckpointError, TensorFaults};
use crate::image_encoder::image_encoder;
use crate::mask_decoder::mask_decoder;
use crate::prompt_encoder::prompt_encoder;
use crate::text_encoder::text_encoder;
use crate::unused;
use crate::weights::{Module, Planned, Weights};

/// What a bundle will hold.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The graphs of every stage that the checkpoint has.
    pub stages: BTreeMap<Stage, PlannedStage>,
    /// Checkpoint tensors that no graph needs.
    pub not_exported: Vec<NotExported>,
}

/// One stage: its graphs, and the weights that they share.
#[derive(Debug)]
pub(crate) struct PlannedStage {
    pub graphs: BTreeMap<Variant, ModelProto>,
    pub weights: Vec<Planned>,
    pub parameters: u64,
}

/// Builds every graph, and ticks off every tensor.
///
/// # Errors
///
/// [`CheckpointError::Tensors`] with every tensor that is missing, misshapen or left over.
pub(crate) fn plan(checkpoint: &Checkpoint, architecture: &Architecture) -> Result<Plan, CheckpointError> {
    match plan_or_problem(checkpoint, architecture) {
        (plan, None) => Ok(plan),
        (_, Some(problem)) => Err(problem),
    }
}

/// As [`plan`], with the error beside what could be built. Such graphs must not be written.
pub(crate) fn plan_or_problem(checkpoint: &Checkpoint, architecture: &Architecture) -> (Plan, Option<CheckpointError>) {
    let mut stages = BTreeMap::new();
    let (mut used, mut faults) = (BTreeSet::new(), Vec::new());
    for &stage in stages_of(checkpoint) {
        let weights = Weights::new(checkpoint, &weights_file(stage));
        let graph = |&variant: &Variant| (variant, graph(stage, variant, architecture, &weights));
        let graphs = variants(stage).iter().map(graph).collect();
        let ledger = weights.into_ledger();
        used.extend(ledger.used);
        faults.extend(ledger.faults);
        let (weights, parameters) = (ledger.external, ledger.parameters);
        stages.insert(stage, PlannedStage { graphs, weights, parameters });
    }
    let (not_exported, left) = unused::leftovers(checkpoint, &used);
    faults.extend(left);
    let problem = || CheckpointError::Tensors { path: checkpoint.path.clone(), faults: TensorFaults(faults.clone()) };
    let problem = (!faults.is_empty()).then(problem);
    (Plan { stages, not_exported }, problem)
}

/// The stages that a checkpoint can give: an encoder-only file has the first alone.
pub(crate) fn stages_of(checkpoint: &Checkpoint) -> &'static [Stage] {
    if checkpoint.is_encoder_only() { &[Stage::ImageEncoder] } else { &Stage::ALL }
}

/// Only the image encoder's attention is worth a fused kernel, and can have it; see there.
fn variants(stage: Stage) -> &'static [Variant] {
    match stage {
        Stage::ImageEncoder => &[Variant::Portable, Variant::Fused],
        Stage::TextEncoder | Stage::PromptEncoder | Stage::MaskDecoder => &[Variant::Portable],
    }
}

/// The file of a stage's weights.
pub(crate) fn weights_file(stage: Stage) -> String {
    format!("segvol_{stage}.weights")
}

/// The file of one of a stage's graphs.
pub(crate) fn graph_file(stage: Stage, variant: Variant) -> String {
    format!("segvol_{stage}.{}.onnx", variant.name())
}

fn graph(stage: Stage, variant: Variant, a: &Architecture, weights: &Weights) -> ModelProto {
    let graph = Graph::new(&format!("segvol_{stage}"));
    let inputs: Vec<Value> = stage.inputs(a).iter().map(|spec| graph.input(spec)).collect();
    let m = &Module::new(&graph, weights);
    let outputs = match (stage, inputs.as_slice()) {
        (Stage::ImageEncoder, [image]) => vec![image_encoder(&m.at("image_encoder"), a, image, variant)],
        (Stage::TextEncoder, [ids]) => text_encoder(m, a, ids).to_vec(),
        (Stage::PromptEncoder, [coords, labels, text]) => {
            vec![prompt_encoder(&m.at("prompt_encoder"), a, [coords, labels, text])]
        }
        (Stage::MaskDecoder, [image, sparse, text]) => vec![mask_decoder(m, a, [image, sparse, text])],
        (stage, inputs) => unreachable!("{stage} takes {} inputs", inputs.len()),
    };
    for (spec, value) in stage.outputs(a).iter().zip(&outputs) {
        graph.output(spec, value);
    }
    graph.to_model()
}
