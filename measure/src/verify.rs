//! Compares a bundle on a provider with a reference, stage by stage and from end to end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use segvol::{GraphSession, Model, Options, Tensor, TextEmbedding};
use segvol_onnx::{Architecture, Manifest, Precision, Stage};
use serde::{Deserialize, Serialize};

use crate::compare::Difference;
use crate::error::Error;
use crate::prompts::{Case, Prompts};
use crate::record::Record;
use crate::scans::Scans;
use crate::tolerance;

/// Used in place of a stage's name for masks from end to end.
pub const MASKS: &str = "masks";

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What was compared: `bundle`, `provider`, `precision`, `onnxruntime`, and `ms.STAGE`, the shortest time of a run.
    pub subject: BTreeMap<String, String>,
    /// The same for the reference, as far as its file contains it.
    pub reference: BTreeMap<String, String>,
    /// One entry per output that both sides contain.
    pub checks: Vec<Check>,
    /// The outputs that were not compared, and why.
    pub not_compared: Vec<String>,
}

/// One output that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// A stage's name, or [`MASKS`].
    pub stage: String,
    /// The output's name in the reference.
    pub output: String,
    /// The difference from the reference.
    pub difference: Difference,
    /// The limit: the largest relative L2 distance of a stage's output, or the smallest Dice of a mask.
    pub allowed: f64,
    /// Why this limit.
    pub reason: String,
    /// Whether the difference is within the limit.
    pub passed: bool,
}

impl Verification {
    /// Whether at least one output was compared, and all of them are within their limits.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }

    /// One check per stage, in the order of the data flow: the one that comes closest to its limit, or exceeds it most.
    #[must_use]
    pub fn worst(&self) -> Vec<&Check> {
        let badness = |check: &Check| match check.stage.as_str() {
            MASKS => (1.0 - check.difference.dice.unwrap_or(0.0)) / (1.0 - check.allowed),
            _ => check.difference.relative_l2 / check.allowed,
        };
        let of = |stage: &str| {
            let checks = self.checks.iter().filter(|check| check.stage == stage);
            checks.max_by(|a, b| badness(a).total_cmp(&badness(b)))
        };
        Stage::ALL.iter().map(|stage| stage.name()).chain([MASKS]).filter_map(of).collect()
    }

    /// The stages that failed, in the order of the data flow.
    #[must_use]
    pub fn failed(&self) -> Vec<&str> {
        self.worst().into_iter().filter(|check| !check.passed).map(|check| check.stage.as_str()).collect()
    }
}

/// Runs every stage of a bundle, and segments the scans if there are any. Returns all outputs.
///
/// # Errors
///
/// As for [`Model::open`]; errors of running a stage.
pub fn dump(bundle: &Path, options: &Options, scans: &Scans) -> Result<Record, Error> {
    let manifest = checked_manifest(bundle)?;
    let (mut record, mut cases) = end_to_end(bundle, options, scans)?;
    let architecture = &manifest.architecture;
    cases.insert(0, Case::seeded(architecture));
    let prompts = Prompts::seeded(architecture);
    let stages = run_stages(bundle, &manifest, options, &cases, &prompts, &Record::default())?;
    record.tensors.extend(stages.tensors);
    record.metadata.extend(stages.metadata);
    for case in cases {
        let [d, h, w] = architecture.window_dhw;
        record.tensors.insert(format!("{}window", case.prefix), Tensor::float(&[d, h, w], case.window));
    }
    let coords: Vec<f32> = prompts.points.iter().flat_map(|(at, _)| *at).collect();
    let labels: Vec<f32> = prompts.points.iter().map(|(_, label)| label.value()).collect();
    let mut insert = |name: &str, tensor| record.tensors.insert(name.to_owned(), tensor);
    insert("points", Tensor::float(&[labels.len(), 3], coords));
    insert("labels", Tensor::float(&[labels.len()], labels));
    insert("box", Tensor::float(&[6], prompts.bounding_box.to_vec()));
    insert("input_ids", Tensor::int(&prompts.ids_shape, prompts.ids));
    Ok(record)
}

/// Compares a bundle with `reference`, on the windows and prompts of the reference.
///
/// Each stage gets the reference's outputs of the stages before it, if the reference contains them completely. So an error
/// in one stage does not show up in the next.
///
/// # Errors
///
/// As for [`dump`]; [`Error::OtherModel`] if the reference was made with another model.
pub fn verify(bundle: &Path, options: &Options, scans: &Scans, reference: &Record) -> Result<Verification, Error> {
    let manifest = checked_manifest(bundle)?;
    let architecture = &manifest.architecture;
    let cases = Case::of_record(reference, architecture)?;
    let prompts = Prompts::of_record(reference, architecture);
    let (masks, _) = end_to_end(bundle, options, scans)?;
    let found = run_stages(bundle, &manifest, options, &cases, &prompts, reference)?;

    let (precision, _) = at(options);
    let (mut checks, mut not_compared) = (Vec::new(), Vec::new());
    for (name, tensor) in &found.tensors {
        let Some(values) = tensor.floats() else {
            not_compared.push(format!("{name}: not of float32"));
            continue;
        };
        segvol_base::memory::check_available::<[f32; 2]>("the outputs to compare", values.len())?;
        let Some((found, expected)) = reference.matching(name, values) else {
            not_compared.push(format!("{name}: not in the reference"));
            continue;
        };
        let whole = reference.floats(name).is_some();
        if whole && expected.len() != values.len() {
            let (expected, found) = (values.len(), expected.len());
            return Err(Error::OtherModel { what: name.clone(), expected, found });
        }
        let stage = stage_of(name);
        let difference = match stage {
            Stage::MaskDecoder => Difference::of_logits(&found, &expected),
            _ => Difference::of(&found, &expected),
        };
        let own = tolerance::of_stage(stage, precision);
        let lowered = tolerance::of_options(stage, options.provider, &options.provider_options);
        let allowed = lowered.filter(|lowered| lowered.relative_l2 > own.relative_l2).unwrap_or(own);
        checks.push(Check {
            stage: stage.name().to_owned(),
            output: name.clone(),
            passed: difference.relative_l2 <= allowed.relative_l2,
            allowed: allowed.relative_l2,
            reason: allowed.reason.to_owned(),
            difference,
        });
    }
    let allowed = tolerance::of_mask(precision);
    for (name, expected) in &reference.masks {
        let Some(mask) = masks.masks.get(name) else {
            not_compared.push(format!("{name}: its scan was not given, or not in the same order"));
            continue;
        };
        segvol_base::memory::check_available::<f32>("the two masks to compare", mask.len() + expected.len())?;
        let [mask, expected] =
            [mask, expected].map(|mask| mask.iter().map(|&voxel| f32::from(voxel)).collect::<Vec<_>>());
        let difference = Difference::of_logits(&mask, &expected);
        checks.push(Check {
            stage: MASKS.to_owned(),
            output: name.clone(),
            passed: mask.len() == expected.len() && difference.dice.is_some_and(|dice| dice >= allowed.dice),
            allowed: allowed.dice,
            reason: allowed.reason.to_owned(),
            difference,
        });
    }
    let mut subject = found.metadata;
    subject.extend(masks.metadata);
    Ok(Verification { subject, reference: reference.metadata.clone(), checks, not_compared })
}

/// The precision to compare, which is fp32 by default, and options that request it.
fn at(options: &Options) -> (Precision, Options) {
    let precision = options.precision.unwrap_or(Precision::Fp32);
    let mut options = options.clone();
    options.precision = Some(precision);
    (precision, options)
}

fn checked_manifest(bundle: &Path) -> Result<Manifest, Error> {
    segvol_base::memory::check_available::<u8>("the files of a bundle", 1 << 20)?;
    let manifest = Manifest::read(bundle)?;
    manifest.verify(bundle)?;
    Ok(manifest)
}

fn end_to_end(bundle: &Path, options: &Options, scans: &Scans) -> Result<(Record, Vec<Case>), Error> {
    if scans.files.is_empty() {
        return Ok((Record::default(), Vec::new()));
    }
    scans.run(&Model::open(bundle, &at(options).1)?)
}

fn stage_of(output: &str) -> Stage {
    match output.rsplit(['/', '.']).next() {
        Some("image_embedding") => Stage::ImageEncoder,
        Some("sparse") => Stage::PromptEncoder,
        Some("low_res_logits") => Stage::MaskDecoder,
        _ => Stage::TextEncoder,
    }
}

/// Runs the stages one after the other. Only one of them is in memory at a time.
fn run_stages(
    bundle: &Path,
    manifest: &Manifest,
    options: &Options,
    cases: &[Case],
    prompts: &Prompts,
    reference: &Record,
) -> Result<Record, Error> {
    let mut run = Run { a: &manifest.architecture, reference, record: Record::default() };
    let (precision, options) = &at(options);
    // The largest inputs and outputs of a stage: windows, logits and embeddings.
    let [window, low_res] = [run.a.window_dhw, run.a.low_res_dhw()].map(|dhw| dhw.iter().product::<usize>());
    let floats = 4 * window + 4 * low_res + 4 * run.a.image_tokens() * run.a.channels;
    let held = &manifest.precision(bundle, *precision).map_err(segvol::Error::from)?.stages;
    for stage in Stage::ALL.into_iter().filter(|stage| held.contains_key(stage)) {
        segvol_base::memory::check_available::<f32>("the inputs and outputs of a stage", floats)?;
        let session = GraphSession::open_stage(bundle, manifest, stage, options)?;
        let metadata = &mut run.record.metadata;
        metadata.insert("provider".to_owned(), session.provider().name().to_owned());
        metadata.insert("onnxruntime".to_owned(), session.onnxruntime());
        let ms = match stage {
            Stage::ImageEncoder => run.image_encoder(&session, cases)?,
            Stage::TextEncoder => run.text_encoder(&session, prompts)?,
            Stage::PromptEncoder => run.prompt_encoder(&session, cases, prompts)?,
            Stage::MaskDecoder => run.mask_decoder(&session, cases)?,
        };
        run.record.metadata.insert(format!("ms.{stage}"), ms.to_string());
    }
    let metadata = &mut run.record.metadata;
    metadata.insert("tool".to_owned(), concat!("segvol ", env!("CARGO_PKG_VERSION")).to_owned());
    metadata.insert("bundle".to_owned(), bundle.display().to_string());
    metadata.insert("precision".to_owned(), precision.name().to_owned());
    Ok(run.record)
}

struct Run<'a> {
    a: &'a Architecture,
    reference: &'a Record,
    record: Record,
}

impl Run<'_> {
    /// The input of a stage: the reference's output if it is complete and has the right size, or else the output of this
    /// run.
    fn fed(&self, stage: Stage, name: &str, expected: usize) -> Result<Vec<f32>, Error> {
        match self.reference.floats(name).filter(|values| values.len() == expected) {
            Some(whole) => Ok(whole.to_vec()),
            None => self.own(stage, name).map(<[f32]>::to_vec),
        }
    }

    /// An output of this run.
    fn own(&self, stage: Stage, name: &str) -> Result<&[f32], Error> {
        let reason = || format!("output `{name}`: expected float32, found another element type, or no such output");
        let values = self.record.floats(name);
        values.ok_or_else(|| Error::Run(segvol::Error::Stage { stage, reason: reason() }))
    }

    fn text(&self) -> Result<TextEmbedding, Error> {
        let row = |name: &str, width: usize| -> Result<Vec<f32>, Error> {
            let values = match self.reference.floats(name).filter(|values| values.len() >= width) {
                Some(whole) => whole,
                None => self.own(Stage::TextEncoder, name)?,
            };
            Ok(values.iter().copied().take(width).collect())
        };
        let embedding = row("text_embedding", self.a.channels)?;
        Ok(TextEmbedding { embedding, alignment: row("text_alignment", self.a.upscaled_channels())? })
    }

    fn image_encoder(&mut self, session: &GraphSession, cases: &[Case]) -> Result<f64, Error> {
        let [d, h, w] = self.a.window_dhw;
        let mut least = f64::INFINITY;
        for case in cases {
            let window = Tensor::float(&[1, 1, d, h, w], case.window.clone());
            let outputs = timed(session, &[("image".to_owned(), window)], &mut least)?;
            self.keep(format!("{}image_embedding", case.prefix), outputs, 0);
        }
        Ok(least)
    }

    fn text_encoder(&mut self, session: &GraphSession, prompts: &Prompts) -> Result<f64, Error> {
        let mut least = f64::INFINITY;
        let ids = Tensor::int(&prompts.ids_shape, prompts.ids.clone());
        let outputs = timed(session, &[("input_ids".to_owned(), ids)], &mut least)?;
        self.keep("text_embedding".to_owned(), outputs.clone(), 0);
        self.keep("text_alignment".to_owned(), outputs, 1);
        Ok(least)
    }

    fn prompt_encoder(&mut self, session: &GraphSession, cases: &[Case], prompts: &Prompts) -> Result<f64, Error> {
        let mut least = f64::INFINITY;
        let text = self.text()?;
        let mixes: std::collections::BTreeSet<_> = cases.iter().flat_map(|case| case.mixes.iter().copied()).collect();
        for mix in mixes {
            let tokens = prompts.mix(mix, &text).tokens();
            let coords = tokens.iter().flat_map(|(at, _)| *at).collect();
            let labels = tokens.iter().map(|(_, label)| label.value()).collect();
            let embedding =
                if crate::prompts::has(mix, "text") { text.embedding.clone() } else { vec![0.0; self.a.channels] };
            let inputs = [
                ("prompt_coords".to_owned(), Tensor::float(&[1, tokens.len(), 3], coords)),
                ("prompt_labels".to_owned(), Tensor::float(&[1, tokens.len()], labels)),
                ("text_embedding".to_owned(), Tensor::float(&[1, self.a.channels], embedding)),
            ];
            let outputs = timed(session, &inputs, &mut least)?;
            self.keep(format!("{mix}.sparse"), outputs, 0);
        }
        Ok(least)
    }

    fn mask_decoder(&mut self, session: &GraphSession, cases: &[Case]) -> Result<f64, Error> {
        let mut least = f64::INFINITY;
        let text = self.text()?;
        let (tokens, channels) = (self.a.image_tokens(), self.a.channels);
        for case in cases {
            let image = self.fed(Stage::ImageEncoder, &format!("{}image_embedding", case.prefix), tokens * channels)?;
            for mix in &case.mixes {
                let name = format!("{mix}.sparse");
                let expected = self.own(Stage::PromptEncoder, &name)?.len();
                let sparse = self.fed(Stage::PromptEncoder, &name, expected)?;
                let with_text = crate::prompts::has(mix, "text");
                let alignment = if with_text { text.alignment.clone() } else { vec![0.0; self.a.upscaled_channels()] };
                let inputs = [
                    ("image_embedding".to_owned(), Tensor::float(&[1, tokens, channels], image.clone())),
                    ("sparse_embeddings".to_owned(), Tensor::float(&[1, sparse.len() / channels, channels], sparse)),
                    ("text_alignment".to_owned(), Tensor::float(&[1, alignment.len()], alignment)),
                ];
                let outputs = timed(session, &inputs, &mut least)?;
                self.keep(format!("{}{mix}.low_res_logits", case.prefix), outputs, 0);
            }
        }
        Ok(least)
    }

    fn keep(&mut self, name: String, outputs: Vec<(String, Tensor)>, index: usize) {
        if let Some((_, tensor)) = outputs.into_iter().nth(index) {
            self.record.tensors.insert(name, tensor);
        }
    }
}

fn timed(
    session: &GraphSession,
    inputs: &[(String, Tensor)],
    least_ms: &mut f64,
) -> Result<Vec<(String, Tensor)>, Error> {
    let start = Instant::now();
    let outputs = session.run(inputs)?;
    *least_ms = least_ms.min(start.elapsed().as_secs_f64() * 1e3);
    Ok(outputs)
}
