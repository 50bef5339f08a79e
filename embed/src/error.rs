//! Why embeddings could not be written.

use std::io;
use std::path::PathBuf;

use segvol_base::ErrorKind;

/// Why embeddings could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The file's name says no format.
    #[error("{path}: expected a name that ends in .safetensors or .npy", path = path.display())]
    Name {
        /// The name.
        path: PathBuf,
    },
    /// There are more numbers than a file can have.
    #[error("expected embeddings that fit into a file, found {windows} windows of {each} numbers")]
    TooLarge {
        /// Number of windows.
        windows: usize,
        /// Numbers of each.
        each: usize,
    },
    /// A file cannot be written.
    #[error("{path}: cannot write: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A window could not be encoded.
    #[error(transparent)]
    Segvol(#[from] segvol::Error),
}

impl EmbedError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. } => ErrorKind::Usage,
            Self::TooLarge { .. } | Self::Io { .. } => ErrorKind::Runtime,
            Self::Segvol(error) => error.kind(),
        }
    }
}
