//! Every stage's graphs for one checkpoint, before a byte is written.

use std::collections::{BTreeMap, BTreeSet};

use segvol_onnx::manifest::NotExported;
use segvol_onnx::proto::ModelProto;
use segvol_onnx::{Activations, Architecture, Dtype, Graph, Precision, Stage, Value, Variant};

use crate::checkpoint::Checkpoint;
use crate::error::{CheckpointError, TensorFaults};
use crate::image_encoder::image_encoder;
use crate::mask_decoder::mask_decoder;
use crate::numerics::{self, Numerics};
use crate::prompt_encoder::prompt_encoder;
use crate::text_encoder::text_encoder;
use crate::unused;
use crate::weights::{Module, Planned, Weights};

/// What a bundle will hold.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The graphs of every stage that the checkpoint has, at every precision that has files of its own for it.
    pub stages: BTreeMap<(Precision, Stage), PlannedStage>,
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

/// Which graphs to build.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The precisions of the bundle.
    pub precisions: &'a [Precision],
    /// What a calibration saw, for int8.
    pub seen: Option<&'a Activations>,
    /// Whether the image encoder gets a graph for a calibration too.
    pub observed: bool,
}

impl Wanted<'_> {
    /// The graphs of a float32 bundle.
    pub(crate) const FP32: Self = Self { precisions: &[Precision::Fp32], seen: None, observed: false };
}

/// Builds every graph, and ticks off every tensor.
///
/// # Errors
///
/// [`CheckpointError::Tensors`] with every tensor that is missing, misshapen or left over.
pub(crate) fn plan(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    wanted: Wanted<'_>,
) -> Result<Plan, CheckpointError> {
    match plan_or_problem(checkpoint, architecture, wanted) {
        (plan, None) => Ok(plan),
        (_, Some(problem)) => Err(problem),
    }
}

/// As [`plan`], with the error beside what could be built. Such graphs must not be written.
pub(crate) fn plan_or_problem(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    wanted: Wanted<'_>,
) -> (Plan, Option<CheckpointError>) {
    let mut stages = BTreeMap::new();
    let (mut used, mut faults) = (BTreeSet::new(), TensorFaults(Vec::new()));
    for &precision in wanted.precisions {
        for &stage in stages_of(checkpoint) {
            let precision = numerics::stored(stage, precision);
            if stages.contains_key(&(precision, stage)) {
                continue;
            }
            let weights = Weights::new(checkpoint, &weights_file(stage, precision));
            let mut variants = numerics::variants(stage, precision).to_vec();
            if wanted.observed && stage == Stage::ImageEncoder {
                variants.push(Variant::Observed);
            }
            let graph = |variant| {
                let numerics = Numerics::new(precision, variant, wanted.seen);
                (variant, graph(stage, precision, variant, architecture, &weights, numerics))
            };
            let graphs = variants.into_iter().map(graph).collect();
            let ledger = weights.into_ledger();
            used.extend(ledger.used);
            faults.add(ledger.faults);
            let (weights, parameters) = (ledger.external, ledger.parameters);
            stages.insert((precision, stage), PlannedStage { graphs, weights, parameters });
        }
    }
    let (not_exported, left) = unused::leftovers(checkpoint, &used);
    faults.add(left);
    let problem = (!faults.0.is_empty()).then(|| CheckpointError::Tensors { path: checkpoint.path.clone(), faults });
    (Plan { stages, not_exported }, problem)
}

/// The stages that a checkpoint can give: an encoder-only file has the first alone.
pub(crate) fn stages_of(checkpoint: &Checkpoint) -> &'static [Stage] {
    if checkpoint.is_encoder_only() { &[Stage::ImageEncoder] } else { &Stage::ALL }
}

/// The file of a stage's weights.
pub(crate) fn weights_file(stage: Stage, precision: Precision) -> String {
    format!("segvol_{stage}{}.weights", infix(precision))
}

/// The file of one of a stage's graphs.
pub(crate) fn graph_file(stage: Stage, precision: Precision, variant: Variant) -> String {
    format!("segvol_{stage}{}.{}.onnx", infix(precision), variant.name())
}

fn infix(precision: Precision) -> String {
    if precision == Precision::Fp32 { String::new() } else { format!(".{precision}") }
}

fn graph(
    stage: Stage,
    precision: Precision,
    variant: Variant,
    a: &Architecture,
    weights: &Weights,
    numerics: Numerics<'_>,
) -> ModelProto {
    let graph = Graph::new(&format!("segvol_{stage}"));
    let m = &Module::new(&graph, weights, numerics);
    let inputs = stage.inputs(a, precision);
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|spec| match spec.dtype {
            Dtype::Float16 => graph.cast_to_float(&graph.input(spec)),
            Dtype::Float32 | Dtype::Int64 => graph.input(spec),
        })
        .collect();
    let outputs = match (stage, inputs.as_slice()) {
        (Stage::ImageEncoder, [image]) => vec![image_encoder(&m.at("image_encoder"), a, image, variant)],
        (Stage::TextEncoder, [ids]) => text_encoder(m, a, ids).to_vec(),
        (Stage::PromptEncoder, [coords, labels, text]) => {
            vec![prompt_encoder(&m.at("prompt_encoder"), a, [coords, labels, text])]
        }
        (Stage::MaskDecoder, [image, sparse, text]) => vec![mask_decoder(m, a, [image, sparse, text])],
        (stage, inputs) => unreachable!("{stage} takes {} inputs", inputs.len()),
    };
    for (spec, value) in stage.outputs(a, precision).iter().zip(&outputs) {
        match spec.dtype {
            Dtype::Float16 => graph.output(spec, &graph.cast_to_half(value)),
            Dtype::Float32 | Dtype::Int64 => graph.output(spec, value),
        }
    }
    graph.to_model()
}
