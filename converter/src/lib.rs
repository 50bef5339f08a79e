//! Converts a SegVol checkpoint to a bundle of ONNX graphs.
//!
//! To read the code, start at [`convert`]: it opens a [`Checkpoint`], determines the model's sizes from it, builds the
//! graphs of every stage and accounts for every tensor, and only then writes anything.
//!
//! One file per module of the paper builds its part of the graphs: `image_encoder`, `text_encoder`, `prompt_encoder`,
//! `mask_decoder`, `two_way_transformer`. `module` looks up weights and adds them to a graph, `weights` keeps the
//! ledger of the tensors that a stage uses, `relayout` transposes them, and `quantise` and `int8` make integer layers.

#![forbid(unsafe_code)]

mod annotate;
mod bundle;
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
mod readme;
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

use segvol_base::Warning;
use segvol_checkpoint::Reading;
use segvol_names::Names;
use segvol_onnx::graph::{IR_VERSION, OPSET};
use segvol_onnx::manifest::{Calibration, PrecisionFiles, SCHEMA_VERSION, Source, Tokenizer, sha256_files};
use segvol_onnx::{Activations, Architecture, Manifest, Precision, Stage};

use annotate::About;
pub use error::{CheckpointError, ConvertError};
pub use inspect::{BundleInspection, CheckpointInspection, Inspection, Module, inspect};
pub use readme::{README_FILE, ReadmeState};
pub use segvol_checkpoint::{self as checkpoint, Checkpoint, Keys, Location};
use stages::Wanted;

/// The options of a conversion. By default all other files are found next to the checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A file with the model's sizes and the axes that it was trained with. `None`: `config.json` next to the checkpoint if
    /// there is one, or else the released sizes and unknown axes.
    pub config: Option<PathBuf>,
    /// A `tokenizer.json`, a `vocab.json` with `merges.txt` next to it, or a folder with either. `None`: the
    /// checkpoint's folder.
    pub tokenizer: Option<PathBuf>,
    /// The dictionary of the checkpoint that has the model, if several have one. `None`: the usual one, such as `model`
    /// next to `ema`.
    pub weights_from: Option<String>,
    /// Leave out tensors inside the model that no part of it uses, with a warning. Otherwise they are an error.
    pub allow_extra: bool,
    /// The names that the model was trained with. `None`: those in the configuration, or else those of the released data if
    /// the model has the released sizes; else the bundle has no names.
    pub names: Option<Names>,
    /// The bundle's precisions. Empty means [`Precision::Fp32`] only.
    pub precisions: BTreeSet<Precision>,
    /// The result of a calibration, for [`Precision::Int8`]. `None`: activation ranges are measured at run time.
    pub calibrated: Option<Calibrated>,
    /// Replace a bundle at the output path. An empty folder is replaced in any case.
    pub force: bool,
}

/// The result of a calibration.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The ranges of the inputs of the image encoder's linear layers.
    pub activations: Activations,
    /// The scans that were used, for the manifest.
    pub record: Calibration,
}

/// This program, with its version.
const TOOL: &str = concat!("segvol ", env!("CARGO_PKG_VERSION"));
/// What a conversion made, and what it did with the checkpoint.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// The bundle's manifest.
    pub manifest: Manifest,
    /// The checkpoint: a file, or the index of several; in a folder, the one that was found.
    pub checkpoint: PathBuf,
    /// Files of the same folder that have the same model in another format, and were not taken.
    pub passed_over: Vec<PathBuf>,
    /// What was done with the names of the checkpoint's tensors.
    pub keys: Keys,
    /// What may be wrong although the conversion went on.
    pub warnings: Vec<Warning>,
}

/// Memory for the names of a checkpoint's tensors and for the graphs.
const NAMES_BYTES: usize = 4 << 20;

/// The terms under which the weights may be used, as far as a file can show.
const LICENSE_NOTE: &str = "The weights keep the terms of the checkpoint that they were made from. \
    SegVol's own repository, BAAI-DCAI/SegVol, is under the MIT licence; ask whoever gave you the checkpoint.";

/// Converts `checkpoint` (a file, an index of several files, or a folder with one checkpoint: [`Location::of`]) to a bundle in the
/// folder `output`, and returns the bundle's manifest with what was done with the checkpoint.
///
/// The same checkpoint, options and version give the same bytes. Nothing appears at `output` until the bundle is
/// complete.
///
/// # Errors
///
/// [`ConvertError::OutputExists`] or [`ConvertError::OutputNotABundle`] before any work; [`ConvertError::Checkpoint`]
/// if the file is damaged, is not a SegVol model, or has a tensor that is missing, unexpected, misshapen, not finite,
/// or too large for float16 at precision fp16; [`ConvertError::Config`] or [`ConvertError::Size`] if sizes contradict
/// each other; [`ConvertError::NoTokenizer`] or [`ConvertError::Tokenizer`] if there is no usable tokenizer;
/// [`ConvertError::Output`] if writing fails.
pub fn convert(checkpoint: &Path, output: &Path, options: &Options) -> Result<Conversion, ConvertError> {
    let mut precisions: Vec<Precision> = options.precisions.iter().copied().collect();
    if precisions.is_empty() {
        precisions.push(Precision::Fp32);
    }
    let calibrated = options.calibrated.as_ref();
    let seen = calibrated.map(|calibrated| &calibrated.activations);
    let wanted = Wanted { precisions: &precisions, seen, observed: false };
    convert_wanted(checkpoint, output, options, wanted)
}

/// Checks that a bundle may be written to `output`. [`convert`] does this first too; this function is for callers with
/// long work before it. The warning, if any, says that the bundle will be written in place
/// ([`WarningCode::WrittenInPlace`](segvol_base::WarningCode::WrittenInPlace)), because the folder is a mount point, or the one that it is in
/// takes no new folders.
///
/// # Errors
///
/// [`ConvertError::OutputExists`] or [`ConvertError::OutputNotABundle`] if it may not, [`ConvertError::Output`] if the
/// path cannot be used.
pub fn check_output(output: &Path, force: bool) -> Result<Option<Warning>, ConvertError> {
    bundle::Place::check(output, force).map(|place| place.warning)
}

/// Converts `checkpoint` to a float32 bundle for a calibration in the folder `output`: its image encoder has one more
/// graph, which outputs the ranges of the inputs of linear layers ([`segvol_onnx::Variant::Observed`]).
///
/// # Errors
///
/// As for [`convert`].
pub fn convert_for_calibration(checkpoint: &Path, output: &Path, options: &Options) -> Result<Manifest, ConvertError> {
    let wanted = Wanted { observed: true, ..Wanted::FP32 };
    Ok(convert_wanted(checkpoint, output, options, wanted)?.manifest)
}

/// Checks the tokenizer at `path` as [`convert`] does, for a model with that size of vocabulary, and returns the
/// `tokenizer.json` of its bundle.
///
/// # Errors
///
/// [`ConvertError::NoTokenizer`] if `path` is a folder without one, [`ConvertError::Tokenizer`] if it cannot be used.
pub fn check_tokenizer(path: &Path, vocabulary: usize) -> Result<Vec<u8>, ConvertError> {
    Ok(tokenizer::find(path, Some(path), vocabulary)?.json)
}

fn convert_wanted(
    checkpoint: &Path,
    output: &Path,
    options: &Options,
    wanted: Wanted<'_>,
) -> Result<Conversion, ConvertError> {
    let place = bundle::Place::check(output, options.force)?;
    let what = format!("the tensor names of checkpoint `{}`", checkpoint.display());
    segvol_base::memory::check_available::<u8>(what, NAMES_BYTES).map_err(CheckpointError::Memory)?;
    let reading = Reading { dictionary: options.weights_from.as_deref(), allow_extra: options.allow_extra };
    let checkpoint = Checkpoint::open_with(checkpoint, reading)?;
    let architecture = config::architecture(&checkpoint, options.config.as_deref())?;
    let axes = config::axes(&checkpoint, options.config.as_deref())?;
    let plan = stages::plan(&checkpoint, &architecture, wanted)?;
    let stages_of = stages::stages_of(&checkpoint);
    let tokenizer = match stages_of.contains(&Stage::TextEncoder) {
        true => {
            let vocabulary = architecture.text_encoder.vocabulary;
            Some(tokenizer::find(&checkpoint.path, options.tokenizer.as_deref(), vocabulary)?)
        }
        false => None,
    };
    let names = match &options.names {
        Some(names) => Some(names.clone()),
        None => config::names(&checkpoint, options.config.as_deref())?
            .or_else(|| (architecture == Architecture::RELEASED).then(Names::released)),
    };

    let draft = place.draft()?;
    // Without a text encoder there is no text.
    let names = names.filter(|_| tokenizer.is_some());
    let about = About { tool: TOOL, axes, names: names.as_ref(), license_note: LICENSE_NOTE };
    let (stages, sha256) = thread::scope(|scope| {
        // Without memory for another thread, the files are hashed afterwards.
        let hash = thread::Builder::new().spawn_scoped(scope, || sha256_files(&checkpoint.files));
        let write = |(&key, planned)| Ok((key, draft.write_stage(key, planned, &checkpoint, &architecture, &about)?));
        let stages = plan.stages.iter().map(write).collect::<Result<BTreeMap<_, _>, ConvertError>>();
        let hash = match hash {
            Ok(hash) => hash.join().unwrap_or_else(|_| Err(io::Error::other("the hashing thread panicked"))),
            Err(_) => sha256_files(&checkpoint.files),
        };
        (stages, hash)
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
    let file = checkpoint.path.file_name().expect("only the path of a folder has no last name");
    let file = file.to_string_lossy().into_owned();
    let manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        source: Source {
            file,
            bytes: checkpoint.bytes,
            sha256,
            container: checkpoint.container.clone(),
            layout: checkpoint.layout.clone(),
            dtypes: checkpoint.dtypes(),
        },
        architecture,
        axes,
        precisions: wanted.precisions.iter().map(files).collect(),
        opset: OPSET,
        ir_version: IR_VERSION,
        names,
        tokenizer,
        not_exported: plan.not_exported,
        license_note: LICENSE_NOTE.to_owned(),
    };
    draft.publish(&manifest)?;
    Ok(Conversion {
        warnings: unused::warning(&manifest.not_exported).into_iter().collect(),
        manifest,
        checkpoint: checkpoint.path,
        passed_over: checkpoint.passed_over,
        keys: checkpoint.keys,
    })
}
