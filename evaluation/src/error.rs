//! Why a case has no scores, or an evaluation could not be run.

use std::io;
use std::path::PathBuf;

use segvol::intensity::IntensityError;
use segvol::mask::MaskError;
use segvol::postprocess::PostprocessError;
use segvol::{TruthError, VolumeError};
use segvol_base::ErrorKind;
use segvol_segments::SegmentsError;

/// Why one case has no scores. The message does not repeat the case's name.
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
    /// The file with named masks cannot be used.
    #[error("truth {0}")]
    Segments(#[from] SegmentsError),
    /// A file has several structures, where a mask of one was expected.
    #[error(
        "truth `{path}`: expected a mask of one structure, with one value besides 0, found the labels {found:?}; is this a label map?",
        path = path.display()
    )]
    NotOneMask {
        /// The file.
        path: PathBuf,
        /// Its labels, without 0.
        found: Vec<u16>,
    },
    /// The mask of a structure that must be there has no voxel.
    #[error("truth `{path}`: expected voxels of {name:?}, found only 0", path = path.display())]
    EmptyMask {
        /// The structure's first file.
        path: PathBuf,
        /// The structure.
        name: String,
    },
    /// A folder of masks has none of the structures that are looked for.
    #[error(
        "truth `{folder}`: expected masks (.nii.gz, .nrrd or others) of the structures in this folder, found none of them",
        folder = folder.display()
    )]
    NoMasks {
        /// The folder.
        folder: PathBuf,
    },
    /// The pipeline failed.
    #[error(transparent)]
    Segvol(#[from] segvol::Error),
    /// Masks could not be compared.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// A mask could not be postprocessed.
    #[error(transparent)]
    Postprocess(#[from] PostprocessError),
    /// The watcher, which draws pictures for example, failed.
    #[error("{0}")]
    Watcher(String),
}

impl CaseError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Volume(error) => error.kind(),
            Self::Intensity { .. } | Self::NotOneMask { .. } | Self::EmptyMask { .. } | Self::NoMasks { .. } => {
                ErrorKind::Input
            }
            Self::Truth(error) => error.kind(),
            Self::Segments(error) => error.kind(),
            Self::Segvol(error) => error.kind(),
            Self::Mask(error) => error.kind(),
            Self::Postprocess(error) => error.kind(),
            Self::Watcher(_) => ErrorKind::Runtime,
        }
    }
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
        /// Which values are allowed.
        expected: &'static str,
        /// Its value.
        found: String,
    },
    /// The work file cannot be read or written.
    #[error("{path}: cannot read or write the work file: {source}", path = path.display())]
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
    /// A line of the work file, other than an unfinished last one, is not a record.
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
        "{path}: this work file belongs to another evaluation: {field}: expected {expected}, found {found}; remove the file, or name another one",
        path = path.display()
    )]
    OtherRun {
        /// The work file.
        path: PathBuf,
        /// What differs.
        field: String,
        /// Its value in this run.
        expected: String,
        /// Its value in the file.
        found: String,
    },
    /// Some cases have a label map and others have none.
    #[error(
        "case {with:?} has a label map, and case {without:?} has none: expected label maps for all cases, or for none (then left and right organs are compared)"
    )]
    SomeTruth {
        /// The first case with a label map.
        with: String,
        /// The first case without.
        without: String,
    },
    /// There is no label map, and no pair of left and right organs to compare.
    #[error(
        "case {case:?} has no label map, and there are no left and right organs to compare: expected names such as \"left kidney\" and \"right kidney\"; found {found}"
    )]
    NoPairs {
        /// The first case.
        case: String,
        /// The names that there are.
        found: String,
    },
    /// The observer stopped the evaluation.
    #[error("cancelled")]
    Cancelled,
    /// There is nothing to score.
    #[error("no object in any case: no label map contains one of these values (with enough voxels): {structures}")]
    NoObject {
        /// The structures that were looked for, with their values.
        structures: String,
    },
}

impl EvaluationError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Setting { .. } | Self::OtherRun { .. } => ErrorKind::Usage,
            Self::Damaged { .. } | Self::NoObject { .. } | Self::SomeTruth { .. } | Self::NoPairs { .. } => {
                ErrorKind::Input
            }
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Io { .. } | Self::Busy { .. } => ErrorKind::Runtime,
        }
    }
}
