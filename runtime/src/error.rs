//! Why a bundle could not be opened or a scan could not be segmented.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};
use segvol_onnx::{BundleError, Precision, Stage};
use segvol_postprocess::PostprocessError;
use segvol_scan::ScanError;
use segvol_scan::intensity::IntensityError;
use segvol_scan::shear::TooSheared;
use segvol_volume::{MaskError, TruthError, VolumeError};

use crate::provider::Provider;
use crate::stages::tokenizer::TokenizerError;
use segvol_prompt::PromptError;

/// Why a bundle could not be opened or a scan could not be segmented.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder is not a bundle, or the bundle is damaged or incomplete.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// ONNX Runtime could not be loaded.
    #[error(
        "ONNX Runtime `{}`: {reason}",
        path.display()
    )]
    Library {
        /// The library file, or only its name if the dynamic loader was to find it.
        path: PathBuf,
        /// Why it could not be loaded.
        reason: String,
    },
    /// The loaded library was built without the requested provider.
    #[error(
        "provider `{provider}` is not in the loaded ONNX Runtime, which offers: {}; loaded from `{}`",
        names(offered),
        library.display()
    )]
    ProviderMissing {
        /// The requested provider.
        provider: Provider,
        /// The providers that the library has.
        offered: Vec<Provider>,
        /// The loaded library, or only its name if the dynamic loader found it.
        library: PathBuf,
    },
    /// The provider is in the library but cannot be used.
    #[error("provider `{provider}`, stage `{stage}`: {reason}")]
    ProviderFailed {
        /// The requested provider.
        provider: Provider,
        /// The stage that was to run on it.
        stage: Stage,
        /// Why it cannot be used, mostly in ONNX Runtime's words.
        reason: String,
    },
    /// ONNX Runtime could not open or run a stage, or an input does not fit the stage.
    #[error("stage `{stage}`: {reason}")]
    Stage {
        /// The stage.
        stage: Stage,
        /// What went wrong.
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
        /// The output's name.
        output: &'static str,
        /// Row-major index of the element.
        index: usize,
        /// The element: an infinity or NaN.
        found: f32,
        /// The precision that the stage runs at.
        precision: Precision,
    },
    /// The tokenizer cannot be used, or it rejects a name.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A scan could not be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A label map cannot be used as ground truth.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// A mask could not be written.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// A mask could not be postprocessed.
    #[error(transparent)]
    Postprocess(#[from] PostprocessError),
    /// The scan's intensities cannot be normalised.
    #[error(transparent)]
    Intensity(#[from] IntensityError),
    /// The scan's axes are too far from perpendicular.
    #[error(transparent)]
    TooSheared(#[from] TooSheared),
    /// A prompt does not fit the scan.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A setting is outside its range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// The name of the setting.
        name: &'static str,
        /// The allowed values.
        expected: &'static str,
        /// The given value.
        found: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The operating system could not start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The observer, or another thread, stopped the call.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bundle(error) => error.kind(),
            Self::Library { .. } | Self::ProviderMissing { .. } | Self::ProviderFailed { .. } => ErrorKind::Provider,
            Self::Tokenizer(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Truth(error) => error.kind(),
            Self::Mask(error) => error.kind(),
            Self::Postprocess(error) => error.kind(),
            Self::Intensity(error) => error.kind(),
            Self::TooSheared(_) => ErrorKind::Input,
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
        Precision::Fp16 => " (precision fp16: the largest float16 is 65504; try fp32, which has a larger range)",
        Precision::Fp32 | Precision::Int8 => "",
    }
}

fn names(providers: &[Provider]) -> String {
    providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(", ")
}

impl From<ScanError> for Error {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Memory(error) => Self::Memory(error),
            ScanError::Intensity(error) => Self::Intensity(error),
            ScanError::TooSheared(error) => Self::TooSheared(error),
        }
    }
}
