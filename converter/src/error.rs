//! What can be wrong with a checkpoint, the files next to it, or the output folder.

use std::io;
use std::path::PathBuf;

use segvol_base::ErrorKind;
pub use segvol_checkpoint::{CheckpointError, TensorFault, TensorFaults};

/// Why a conversion stopped. It leaves nothing at the output path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The checkpoint cannot be read, or is not a SegVol model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A `config.json` cannot be read, or contradicts the checkpoint.
    #[error("config `{}`: {reason}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint's shapes contradict each other, or the released sizes, which are used without a configuration.
    #[error(
        "`{name}`: expected {expected}, found {found} (without a config.json the released sizes are expected; a model of other sizes needs one)"
    )]
    Size {
        /// The tensor or field with the wrong size.
        name: String,
        /// The size that is needed.
        expected: String,
        /// The size in the checkpoint.
        found: String,
    },
    /// The text encoder needs a tokenizer, and there is none.
    #[error(
        "no tokenizer: looked for tokenizer.json, or vocab.json with merges.txt, in `{}`; put it there, or give its path: {origin}",
        folder.display()
    )]
    NoTokenizer {
        /// The folder that was searched.
        folder: PathBuf,
        /// Where the model's tokenizer comes from.
        origin: String,
    },
    /// A tokenizer file cannot be read, or does not belong to this model.
    #[error("tokenizer `{}`: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is a bundle at the output path, and replacing it was not asked for.
    #[error("output `{}`: expected a new path or an empty folder, found a bundle; choose another path, or ask to replace the bundle", path.display())]
    OutputExists {
        /// The output path.
        path: PathBuf,
    },
    /// The output path is neither a bundle nor an empty folder, and so is never replaced.
    #[error("output `{}`: expected a bundle or an empty folder to replace, found {found}; choose another path", path.display())]
    OutputNotABundle {
        /// The output path.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A file of the bundle, or the folder that contains it, could not be written.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A bundle cannot be inspected.
    #[error(transparent)]
    Bundle(#[from] segvol_onnx::BundleError),
}

impl ConvertError {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Checkpoint(error) => error.kind(),
            Self::Bundle(error) => error.kind(),
            Self::Config { .. } | Self::Size { .. } | Self::NoTokenizer { .. } | Self::Tokenizer { .. } => {
                ErrorKind::Input
            }
            Self::OutputExists { .. } | Self::OutputNotABundle { .. } => ErrorKind::Usage,
            Self::Output { .. } => ErrorKind::Runtime,
        }
    }
}

#[cfg(test)]
mod tests {
    use segvol_onnx::BundleError;

    use super::*;

    fn path() -> PathBuf {
        PathBuf::from("file")
    }

    #[test]
    fn a_taken_output_is_wrong_usage_and_a_full_disk_a_failure() {
        let text = || "text".to_owned();
        let size = ConvertError::Size { name: text(), expected: text(), found: text() };
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for (error, kind) in [
            (ConvertError::Config { path: path(), reason: text() }, ErrorKind::Input),
            (size, ErrorKind::Input),
            (ConvertError::NoTokenizer { folder: path(), origin: String::new() }, ErrorKind::Input),
            (ConvertError::Tokenizer { path: path(), reason: text() }, ErrorKind::Input),
            (ConvertError::OutputExists { path: path() }, ErrorKind::Usage),
            (ConvertError::OutputNotABundle { path: path(), found: text() }, ErrorKind::Usage),
            (ConvertError::Output { path: path(), source: full }, ErrorKind::Runtime),
            (CheckpointError::NoCheckpoint { path: path(), found: text() }.into(), ErrorKind::Input),
            (BundleError::NotABundle { path: path() }.into(), ErrorKind::Bundle),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.to_string().contains("--"), "a flag in a library's error: {error}");
        }
    }
}
