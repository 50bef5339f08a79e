//! Errors of this crate.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};

/// Why a picture cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// The CT window has no width, or is not finite.
    #[error("window: expected a finite level and a finite width above 0, in HU, found {level_hu},{width_hu}")]
    Window {
        /// The middle of the window, in Hounsfield units.
        level_hu: f64,
        /// The width of the window, in Hounsfield units.
        width_hu: f64,
    },
    /// A mask, a true mask or the scan is not on the montage's grid.
    #[error("{what}: expected the scan's grid of {expected:?} voxels, found another grid of {found:?} voxels")]
    Grid {
        /// The name of the mask, the true mask or the scan.
        what: String,
        /// The voxels of the montage's grid along i, j, k.
        expected: [usize; 3],
        /// Its own voxels along i, j, k.
        found: [usize; 3],
    },
    /// There are more objects than a picture can have rows.
    #[error("expected at most {most} objects in one picture, found more; draw several pictures")]
    TooMany {
        /// The maximum number of rows.
        most: usize,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The file's name does not end in `.png`.
    #[error("{path}: expected a name that ends in .png", path = path.display())]
    Name {
        /// The name.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{path}: cannot write: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
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
