//! Why one scan has no masks.

use std::io;
use std::path::{Path, PathBuf};

use segvol::VolumeError;
use segvol_base::{ErrorKind, printable};
use segvol_objects::SaveError;
use segvol_segments::SegmentsError;

/// Why one scan has no masks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The list has a mistake about it.
    #[error("{0}")]
    Problem(String),
    /// It cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The model fails, or there is not enough memory, or a mask cannot be written.
    #[error(transparent)]
    Segvol(#[from] segvol::Error),
    /// A file with named segments cannot be written.
    #[error(transparent)]
    Segments(#[from] SegmentsError),
    /// An output cannot be written.
    #[error("`{path}`: {source}", path = path.display())]
    Io {
        /// The output.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl From<SaveError> for ScanError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Segments(error) => Self::Segments(error),
            SaveError::Segvol(error) => Self::Segvol(error),
        }
    }
}

impl ScanError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Problem(_) => ErrorKind::Input,
            Self::Volume(error) => error.kind(),
            Self::Segvol(error) => error.kind(),
            Self::Segments(error) => error.kind(),
            Self::Io { .. } => ErrorKind::Runtime,
        }
    }

    /// Whether it makes sense to try again: not where the list or the settings are wrong.
    pub(crate) fn may_pass(&self) -> bool {
        match self.kind() {
            ErrorKind::Usage | ErrorKind::Cancelled => false,
            ErrorKind::Input => !matches!(self, Self::Problem(_)),
            ErrorKind::Bundle | ErrorKind::Provider | ErrorKind::Memory | ErrorKind::Runtime => true,
        }
    }

    /// The message in one line. `known_as` takes the place of the scan's path, of which the folders may name a patient.
    pub(crate) fn one_line(&self, scan: &Path, known_as: Option<&str>) -> String {
        let line = self.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        let line = match known_as {
            Some(id) => {
                let path = scan.display().to_string();
                let folder = scan.parent().map(|folder| folder.display().to_string()).filter(|folder| folder.len() > 1);
                let line = line.replace(&path, id);
                // A file of the series, or one beside the scan.
                folder.map_or(line.clone(), |folder| line.replace(&folder, "…"))
            }
            None => line,
        };
        printable(&line).into_owned()
    }
}
