//! Why a bundle could not be opened, or a scan not be segmented.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};
use segvol_onnx::{BundleError, Precision, Stage};

use segvol_volume::{MaskError, TruthError, VolumeError};

use crate::prompt::PromptError;
use crate::provider::Provider;
use crate::scan::intensity::IntensityError;
use crate::stages::tokenizer::TokenizerError;

/// Why a bundle could not be opened, or a scan not be segmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle is damaged, incomplete, or not one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// ONNX Runtime could not be loaded.
    #[error(
        "ONNX Runtime `{}`: {reason}",
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
    /// A stage's output contains an infinity or NaN.
    #[error(
        "stage `{stage}`, output `{output}`: expected finite numbers, found {found} at element {index}{}",
        range_note(precision)
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

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bundle(error) => error.kind(),
            Self::Library { .. } | Self::ProviderMissing { .. } | Self::ProviderFailed { .. } => ErrorKind::Provider,
            Self::Tokenizer(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Truth(error) => error.kind(),
            Self::Mask(error) => error.kind(),
            Self::Intensity(error) => error.kind(),
            Self::Prompt(error) => error.kind(),
            Self::Setting { .. } => ErrorKind::Usage,
            Self::Memory(error) => error.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Stage { .. } | Self::NotFinite { .. } | Self::Thread(_) => ErrorKind::Runtime,
        }
    }
}

fn range_note(precision: &Precision) -> &'static str {
    match precision {
        Precision::Fp16 => " (precision fp16: the largest float16 is 65504; fp32 has a larger range)",
        Precision::Fp32 | Precision::Int8 => "",
    }
}

fn names(providers: &[Provider]) -> String {
    providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ")
}
