//! Why there is no picture.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// A CT window that shows nothing.
    #[error("window: expected a finite level and a finite width above 0, in HU, found {level_hu},{width_hu}")]
    Window {
        /// Its middle.
        level_hu: f64,
        /// Its width.
        width_hu: f64,
    },
    /// A mask, a truth or the scan is not on the montage's grid.
    #[error("{what}: expected the grid of the scan, {expected:?} voxels, found another, {found:?} voxels")]
    Grid {
        /// What is elsewhere.
        what: String,
        /// The scan's voxels along i, j, k.
        expected: [usize; 3],
        /// Its own.
        found: [usize; 3],
    },
    /// More objects than a picture has rows.
    #[error("expected at most {most} objects in one picture, found more")]
    TooMany {
        /// How many rows it may have.
        most: usize,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The name says no format that is written.
    #[error("{path}: expected a name that ends in .png", path = path.display())]
    Name {
        /// The name.
        path: PathBuf,
    },
    /// The operating system says so.
    #[error("{path}: cannot write: {source}", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl OverlayError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Window { .. } | Self::TooMany { .. } | Self::Name { .. } => ErrorKind::Usage,
            Self::Grid { .. } => ErrorKind::Input,
            Self::Memory(error) => error.kind(),
            Self::Io { .. } => ErrorKind::Runtime,
        }
    }
}
