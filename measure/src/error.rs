//! Why something could not be measured or compared.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory, TemporaryFolder};
use segvol_converter::ConvertError;

use crate::record::RecordError;

/// Why something could not be measured or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bundle, a provider or a stage failed.
    #[error(transparent)]
    Run(#[from] segvol::Error),
    /// An option that no provider has.
    #[error(transparent)]
    ProviderOption(#[from] segvol::ProviderOptionError),
    /// A file of stage outputs cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The text of a prompts file cannot be used.
    #[error(transparent)]
    Prompts(#[from] segvol::PromptFileError),
    /// The model with random weights could not be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The stage outputs come from another model.
    #[error("{what}: expected {expected} values, found {found}; the reference was made with another model")]
    OtherModel {
        /// The output.
        what: String,
        /// Number of values, from the sizes of the bundle's model.
        expected: usize,
        /// Number of values in the file.
        found: usize,
    },
    /// A worker process could not be started, ended too early, or sent a reply that does not fit the request.
    #[error("worker process: {reason}")]
    Worker {
        /// What happened.
        reason: String,
    },
    /// A worker process replied that it failed.
    #[error("{what}: {reason}")]
    Reported {
        /// What the process was asked to do.
        what: String,
        /// The error message of the process.
        reason: String,
        /// The kind of that error.
        kind: ErrorKind,
    },
    /// The observer stopped the measurement.
    #[error("cancelled")]
    Cancelled,
    /// The plot could not be drawn.
    #[error("plot: {reason}")]
    Plot {
        /// What the drawing library said.
        reason: String,
    },
    /// A file could not be written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Run(error) => error.kind(),
            Self::ProviderOption(_) => ErrorKind::Usage,
            Self::Record(error) => error.kind(),
            Self::Prompts(_) | Self::OtherModel { .. } => ErrorKind::Input,
            Self::Convert(error) => error.kind(),
            Self::Reported { kind, .. } => *kind,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Worker { .. } | Self::Plot { .. } | Self::Io { .. } => ErrorKind::Runtime,
        }
    }
}

impl From<segvol_onnx::BundleError> for Error {
    fn from(error: segvol_onnx::BundleError) -> Self {
        Self::Run(error.into())
    }
}

impl From<OutOfMemory> for Error {
    fn from(error: OutOfMemory) -> Self {
        Self::Run(error.into())
    }
}

/// A temporary folder, whose errors name where it should have been.
pub(crate) fn temporary_folder() -> Result<TemporaryFolder, Error> {
    TemporaryFolder::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_error_is_that_of_its_cause() {
        let missing = segvol::Error::ProviderMissing {
            provider: segvol::Provider::Cuda,
            offered: vec![],
            library: PathBuf::new(),
        };
        let reported = Error::Reported { what: String::new(), reason: String::new(), kind: ErrorKind::Bundle };
        let unreadable = RecordError::Io { path: PathBuf::new(), source: io::ErrorKind::NotFound.into() };
        let unwritable = RecordError::Output { path: PathBuf::new(), source: io::ErrorKind::StorageFull.into() };
        for (error, kind) in [
            (missing.into(), ErrorKind::Provider),
            (segvol::Error::Cancelled.into(), ErrorKind::Cancelled),
            (reported, ErrorKind::Bundle),
            (unreadable.into(), ErrorKind::Input),
            (unwritable.into(), ErrorKind::Runtime),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
