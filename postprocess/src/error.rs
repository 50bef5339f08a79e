//! Why a mask cannot be postprocessed.

use segvol_base::{ErrorKind, OutOfMemory};
use segvol_volume::MaskError;

/// Why a mask cannot be postprocessed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostprocessError {
    /// A setting is out of range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Which values are allowed.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// A mask or its logits do not fit the grid.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

impl PostprocessError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. } => ErrorKind::Usage,
            Self::Memory(error) => error.kind(),
            Self::Mask(error) => error.kind(),
        }
    }
}
