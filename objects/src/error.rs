//! Why objects were not written.

use segvol::volume::MaskError;
use segvol_base::ErrorKind;
use segvol_segments::SegmentsError;

/// Why objects were not written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A mask cannot be made, or a label map cannot be written.
    #[error(transparent)]
    Segvol(#[from] segvol::Error),
    /// A file with names cannot be written.
    #[error(transparent)]
    Segments(#[from] SegmentsError),
}

impl From<MaskError> for SaveError {
    fn from(error: MaskError) -> Self {
        Self::Segvol(error.into())
    }
}

impl SaveError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Segvol(error) => error.kind(),
            Self::Segments(error) => error.kind(),
        }
    }
}
