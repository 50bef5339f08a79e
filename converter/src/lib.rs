//! From a SegVol checkpoint to a bundle of ONNX graphs.
//!
//! Follow [`convert`]: a [`Checkpoint`] is opened, the model's sizes are read off it, every stage's graphs
//! are built and every tensor is accounted for, and only then is anything written.
//!
//! One file per module of the paper builds its part of the graphs: `image_encoder`, `text_encoder`,
//! `prompt_encoder`, `mask_decoder`, `two_way_transformer`.

mod bundle;
pub mod checkpoint;
mod config;
pub mod error;
mod image_encoder;
mod inspect;
mod int8;
mod mask_decoder;
mod module;
mod nn;
mod numerics;
mod prompt_encoder;
mod quantise;
mod relayout;
pub mod seeded;
mod stages;
#[cfg(test)]
mod tests;
mod text_encoder;
mod tokenizer;
mod two_way_transformer;
mod unused;
mod weights;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use segvol_onnx::graph::{IR_VERSION, OPSET};
use segvol_onnx::manifest::{Calibration, PrecisionFiles, SCHEMA_VERSION, Source, Tokenizer, sha256_file};
use segvol_onnx::{Activations, Manifest, Precision, Stage};

pub use checkpoint::Checkpoint;
pub use error::{CheckpointError, ConvertError};
pub use inspect::{BundleInspection, CheckpointInspection, Inspection, Module, inspect};
use stages::Wanted;

/// What a conversion may be told. By default everything is found beside the checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The model's sizes; else `config.json` beside the checkpoint, else the released ones.
    pub config: Option<PathBuf>,
    /// `tokenizer.json`, `vocab.json` with `merges.txt` beside it, or a folder with either; else the
    /// checkpoint's folder is searched.
    pub tokenizer: Option<PathBuf>,
    /// The bundle's precisions; none stands for [`Precision::Fp32`] alone.
    pub precisions: BTreeSet<Precision>,
    /// What a calibration saw, for [`Precision::Int8`]; else int8's ranges of activations are found while running.
    pub calibrated: Option<Calibrated>,
    /// Replace a bundle that is already there.
    pub force: bool,
}

/// What a calibration saw, and on what.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// What the image encoder's linear layers took.
    pub activations: Activations,
    /// The scans, for the manifest.
    pub record: Calibration,
}

/// What the names of a checkpoint's tensors take, and the graphs that they become.
const NAMES_BYTES: usize = 4 << 20;

/// Under which terms the weights may be used, as far as a file can tell.
const LICENSE_NOTE: &str = "The weights keep the terms of the checkpoint that they were made from. \
    SegVol's own repository, BAAI-DCAI/SegVol, is under the MIT licence; ask whoever gave you the checkpoint.";

/// Converts `checkpoint` to a bundle in the folder `output`; gives the bundle's manifest.
///
/// The same checkpoint, options and version give the same bytes. Nothing is seen at `output` before the
/// bundle is whole.
///
/// # Errors
///
/// [`ConvertError::OutputExists`] or [`ConvertError::OutputNotABundle`] before any work;
/// [`ConvertError::Checkpoint`] if the file is damaged, is no SegVol model, or has a tensor that is missing,
/// left over, misshapen, not finite, or beyond float16 where that was asked for; [`ConvertError::Config`] or
/// [`ConvertError::Size`] if sizes contradict each other; [`ConvertError::NoTokenizer`] or
/// [`ConvertError::Tokenizer`]; [`ConvertError::Output`] if writing fails.
pub fn convert(checkpoint: &Path, output: &Path, options: &Options) -> Result<Manifest, ConvertError> {
    let mut precisions: Vec<Precision> = options.precisions.iter().copied().collect();
    if precisions.is_empty() {
        precisions.push(Precision::Fp32);
    }
    let calibrated = options.calibrated.as_ref();
    let seen = calibrated.map(|calibrated| &calibrated.activations);
    let wanted = Wanted { precisions: &precisions, seen, observed: false };
    convert_wanted(checkpoint, output, options, wanted)
}

/// Whether a bundle may be written to `output`, as [`convert`] finds out first of all: for callers with long work before.
///
/// # Errors
///
/// [`ConvertError::OutputExists`] and [`ConvertError::OutputNotABundle`] if something else is there.
pub fn check_output(output: &Path, force: bool) -> Result<(), ConvertError> {
    bundle::Place::check(output, force).map(drop)
}

/// Converts `checkpoint` to a float32 bundle in the folder `output` whose image encoder has, beside its graphs, one that
/// tells what its linear layers take: [`segvol_onnx::Variant::Observed`].
///
/// # Errors
///
/// As for [`convert`].
pub fn convert_for_calibration(checkpoint: &Path, output: &Path, options: &Options) -> Result<Manifest, ConvertError> {
    convert_wanted(checkpoint, output, options, Wanted { observed: true, ..Wanted::FP32 })
}

/// Whether a bundle could be made with the tokenizer in that file, by a model of that vocabulary: what [`convert`] asks of
/// it; gives the `tokenizer.json` of that bundle.
///
/// # Errors
///
/// [`ConvertError::Tokenizer`] with what is wrong with it.
pub fn check_tokenizer(path: &Path, vocabulary: usize) -> Result<Vec<u8>, ConvertError> {
    Ok(tokenizer::find(path, Some(path), vocabulary)?.json)
}

fn convert_wanted(
    checkpoint: &Path,
    output: &Path,
    options: &Options,
    wanted: Wanted<'_>,
) -> Result<Manifest, ConvertError> {
    let place = bundle::Place::check(output, options.force)?;
    let what = format!("the tensor names of checkpoint `{}`", checkpoint.display());
    segvol_base::memory::check_available::<u8>(what, NAMES_BYTES).map_err(CheckpointError::Memory)?;
    let checkpoint = Checkpoint::open(checkpoint)?;
    let architecture = config::architecture(&checkpoint, options.config.as_deref())?;
    let plan = stages::plan(&checkpoint, &architecture, wanted)?;
    let stages_of = stages::stages_of(&checkpoint);
    let tokenizer = match stages_of.contains(&Stage::TextEncoder) {
        true => {
            let vocabulary = architecture.text_encoder.vocabulary;
            Some(tokenizer::find(&checkpoint.path, options.tokenizer.as_deref(), vocabulary)?)
        }
        false => None,
    };

    let draft = place.draft()?;
    let (stages, sha256) = thread::scope(|scope| {
        let hash = scope.spawn(|| sha256_file(&checkpoint.path));
        let write = |(&key, planned)| Ok((key, draft.write_stage(key, planned, &checkpoint, &architecture)?));
        let stages = plan.stages.iter().map(write).collect::<Result<BTreeMap<_, _>, ConvertError>>();
        (stages, hash.join().unwrap_or_else(|_| Err(io::Error::other("the hashing thread panicked"))))
    });
    let stages = stages?;
    let sha256 = sha256.map_err(|source| CheckpointError::Io { path: checkpoint.path.clone(), source })?;
    let files = |&precision: &Precision| {
        let of = |&stage: &Stage| Some((stage, stages.get(&(numerics::files_of(stage, precision), stage))?.clone()));
        let calibration = options.calibrated.as_ref().filter(|_| precision == Precision::Int8);
        let files = PrecisionFiles {
            stages: stages_of.iter().filter_map(of).collect(),
            kept_in_float32: numerics::kept_in_float32(precision, stages_of),
            calibration: calibration.map(|calibrated| calibrated.record.clone()),
        };
        (precision, files)
    };

    let tokenizer = match tokenizer {
        Some(tokenizer) => Some(Tokenizer {
            file: draft.write_tokenizer(&tokenizer.json)?,
            prompt_template: tokenizer::PROMPT_TEMPLATE.to_owned(),
            end_id: tokenizer.end_id,
        }),
        None => None,
    };
    let file = checkpoint.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        tool: format!("segvol {}", env!("CARGO_PKG_VERSION")),
        source: Source {
            file,
            bytes: checkpoint.bytes,
            sha256,
            container: checkpoint.container.to_owned(),
            layout: checkpoint.layout.clone(),
            dtypes: checkpoint.dtypes(),
        },
        architecture,
        precisions: wanted.precisions.iter().map(files).collect(),
        opset: OPSET,
        ir_version: IR_VERSION,
        tokenizer,
        not_exported: plan.not_exported,
        license_note: LICENSE_NOTE.to_owned(),
    };
    draft.publish(&manifest)?;
    Ok(manifest)
}
