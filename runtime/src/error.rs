//! Why a bundle could not be opened, or a scan not be segmented.

use std::io;
use std::path::PathBuf;

use segvol_base::OutOfMemory;
use segvol_onnx::{BundleError, Precision, Stage};

use crate::intensity::IntensityError;
use crate::mask::MaskError;
use crate::prompt::PromptError;
use crate::provider::Provider;
use crate::tokenizer::TokenizerError;
use crate::truth::TruthError;
use crate::volume::VolumeError;

/// Why a bundle could not be opened, or a scan not be segmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle is damaged, incomplete, or not one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// ONNX Runtime could not be loaded.
    #[error(
        "ONNX Runtime `{}`: {reason}; name the library with `--library` or ORT_DYLIB_PATH, or fetch it with `scripts/get-onnxruntime`",
        path.display()
    )]
    Library {
        /// The file, or its bare name where the dynamic loader was to find it.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The loaded library was not compiled with the provider that was asked for.
    #[error("provider `{provider}` is not in the loaded ONNX Runtime, which offers: {}", names(offered))]
    ProviderMissing {
        /// The provider that was asked for.
        provider: Provider,
        /// What the library has.
        offered: Vec<Provider>,
    },
    /// The provider is in the library but cannot be used.
    #[error("provider `{provider}`, stage `{stage}`: {reason}")]
    ProviderFailed {
        /// The provider that was asked for.
        provider: Provider,
        /// The stage that it was asked for.
        stage: Stage,
        /// What it said.
        reason: String,
    },
    /// ONNX Runtime refused or failed to run a stage.
    #[error("stage `{stage}`: {reason}")]
    Stage {
        /// The stage.
        stage: Stage,
        /// What is wrong.
        reason: String,
    },
    /// A stage gave a number that is infinite or none.
    #[error(
        "stage `{stage}`, output `{output}`: expected finite numbers, found {found} at element {index}{}",
        room(precision)
    )]
    NotFinite {
        /// The stage.
        stage: Stage,
        /// The output.
        output: &'static str,
        /// Row-major index of the element.
        index: usize,
        /// The element.
        found: f32,
        /// The precision of the stage.
        precision: Precision,
    },
    /// The tokenizer cannot be used, or refuses a name.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A scan could not be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A label map cannot serve as truth.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// A mask could not be written.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The scan's intensities cannot be normalised.
    #[error(transparent)]
    Intensity(#[from] IntensityError),
    /// A prompt does not fit the scan.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A setting is outside its range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The operating system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

fn room(precision: &Precision) -> &'static str {
    match precision {
        Precision::Fp16 => " (precision fp16: float16 ends at 65504, fp32 has room)",
        Precision::Fp32 | Precision::Int8 => "",
    }
}

fn names(providers: &[Provider]) -> String {
    providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ")
}
