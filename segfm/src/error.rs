//! Why a case file cannot be read, segmented or written.

use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};

/// Why a case file cannot be read, segmented or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegfmError {
    /// What the operating system says about a file.
    #[error("case `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is no case file, or is damaged.
    #[error("case `{}`: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// The scan's type has no number for every box's label.
    #[error("{boxes} boxes: expected at most {most}, because the label map has the type of `imgs`, {type_name}")]
    TooManyBoxes {
        /// Number of boxes.
        boxes: usize,
        /// Labels that the type holds.
        most: u32,
        /// The type's name.
        type_name: &'static str,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The scan could not be segmented.
    #[error(transparent)]
    Run(#[from] segvol::Error),
}

impl SegfmError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Malformed { .. } | Self::TooManyBoxes { .. } => ErrorKind::Input,
            Self::Memory(error) => error.kind(),
            Self::Run(error) => error.kind(),
        }
    }
}
