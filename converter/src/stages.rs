//! The graphs of every stage for one checkpoint, before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use segvol_onnx::manifest::NotExported;
use segvol_onnx::proto::ModelProto;
use segvol_onnx::{Activations, Architecture, Dtype, Graph, Precision, Stage, Value, Variant};

use crate::error::{CheckpointError, TensorFaults};
use crate::image_encoder::image_encoder;
use crate::mask_decoder::mask_decoder;
use crate::module::Module;
use crate::numerics::{self, Numerics};
use crate::prompt_encoder::prompt_encoder;
use crate::text_encoder::text_encoder;
use crate::unused;
use crate::weights::{Planned, Weights};
use segvol_checkpoint::Checkpoint;

/// The contents of a bundle that is not written yet.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The graphs of every stage that the checkpoint has, at every precision that does not share another's files.
    pub stages: BTreeMap<(Precision, Stage), PlannedStage>,
    /// Checkpoint tensors that no graph uses, each with the reason.
    pub not_exported: Vec<NotExported>,
}

/// The graphs of one stage, and the weights that they share.
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
    /// The activations that a calibration saw, for int8.
    pub seen: Option<&'a Activations>,
    /// Whether the image encoder also gets a graph for a calibration.
    pub observed: bool,
}

impl Wanted<'_> {
    /// The graphs of a float32 bundle.
    pub(crate) const FP32: Self = Self { precisions: &[Precision::Fp32], seen: None, observed: false };
}

/// Builds every graph and accounts for every tensor.
///
/// # Errors
///
/// [`CheckpointError::Tensors`] with every tensor that is missing, misshapen or not part of SegVol.
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

/// As [`plan`], but returns an error together with the graphs, which must not be written then.
pub(crate) fn plan_or_problem(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    wanted: Wanted<'_>,
) -> (Plan, Option<CheckpointError>) {
    let mut stages = BTreeMap::new();
    let (mut used, mut faults) = (BTreeSet::new(), TensorFaults(Vec::new()));
    for &precision in wanted.precisions {
        for &stage in stages_of(checkpoint) {
            let precision = numerics::files_of(stage, precision);
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

/// The stages that a checkpoint has: an encoder-only file has only the first.
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
            Dtype::Float16 => graph.cast_to_f32(&graph.input(spec)),
            Dtype::Float32 | Dtype::Int64 => graph.input(spec),
        })
        .collect();
    let outputs = match stage {
        Stage::ImageEncoder => {
            let [image] = exactly(&inputs);
            vec![image_encoder(&m.at("image_encoder"), a, image, variant)]
        }
        Stage::TextEncoder => {
            let [input_ids] = exactly(&inputs);
            text_encoder(m, a, input_ids).to_vec()
        }
        Stage::PromptEncoder => vec![prompt_encoder(&m.at("prompt_encoder"), a, exactly(&inputs))],
        Stage::MaskDecoder => vec![mask_decoder(m, a, exactly(&inputs))],
    };
    for (spec, value) in stage.outputs(a, precision).iter().zip(&outputs) {
        match spec.dtype {
            Dtype::Float16 => graph.output(spec, &graph.cast_to_f16(value)),
            Dtype::Float32 | Dtype::Int64 => graph.output(spec, value),
        }
    }
    graph.to_model()
}

/// The inputs of a stage, as many as its builder takes.
fn exactly<const N: usize>(inputs: &[Value]) -> [&Value; N] {
    let inputs: Vec<&Value> = inputs.iter().collect();
    inputs.try_into().expect("the builder of a stage takes the inputs that `Stage::inputs` declares")
}
