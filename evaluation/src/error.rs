//! Why a case, or a whole evaluation, came to nothing.

use std::io;
use std::path::PathBuf;

use segvol::intensity::IntensityError;
use segvol::mask::MaskError;
use segvol::{TruthError, VolumeError};

/// Why one case has no scores. Its name is said by whoever reports it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// The scan cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The scan's intensities cannot be normalised.
    #[error("{path}: {source}", path = path.display())]
    Intensity {
        /// The scan.
        path: PathBuf,
        /// What is wrong.
        source: IntensityError,
    },
    /// The label map cannot be used.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// The pipeline failed.
    #[error(transparent)]
    Segvol(#[from] segvol::Error),
    /// Masks could not be compared.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Whoever watched the objects, for pictures of them, failed.
    #[error("{0}")]
    Watcher(String),
}

/// Why an evaluation could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// A setting is out of range.
    #[error("{name}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The work file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The work file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another run is writing to the work file.
    #[error("{path}: another evaluation is writing to this work file", path = path.display())]
    Busy {
        /// The work file.
        path: PathBuf,
    },
    /// A line of the work file, not the last, is no record.
    #[error("{path}, line {line}: not a record of an evaluation: {reason}", path = path.display())]
    Damaged {
        /// The work file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The work file holds rows of another bundle or other settings.
    #[error(
        "{path}: rows of another evaluation: {field}: expected {expected}, found {found}; remove the file, or name another work file",
        path = path.display()
    )]
    OtherRun {
        /// The work file.
        path: PathBuf,
        /// What differs.
        field: String,
        /// As it is in this run.
        expected: String,
        /// As it is in the file.
        found: String,
    },
    /// There is nothing to score.
    #[error("no object in any case: none of these values occurs in a label map (with enough voxels): {structures}")]
    NoObject {
        /// The structures that were looked for, with their values.
        structures: String,
    },
}
