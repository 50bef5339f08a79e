//! Why DICOM cannot be read.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};

/// Why DICOM cannot be read as one scan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DicomError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", segvol_base::printable_path(path))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No image in the folder can be part of a scan.
    #[error("{}: no scan: {reason}", segvol_base::printable_path(path))]
    NoScan {
        /// The folder or file.
        path: PathBuf,
        /// What is there instead.
        reason: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl DicomError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::NoScan { .. } => ErrorKind::Input,
            Self::Memory(error) => error.kind(),
        }
    }
}
