//! Why segments cannot be written or read.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};
use segvol_volume::MaskError;

/// Why segments cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", segvol_base::printable_path(path))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A mask cannot be made.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl SegmentsError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Input,
            Self::Mask(error) => error.kind(),
            Self::Memory(error) => error.kind(),
        }
    }
}
