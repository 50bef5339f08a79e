//! Why DICOM cannot be read.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory, printable_path};

/// Why DICOM cannot be read as one scan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DicomError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", printable_path(path))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A DICOM file is damaged, so that it cannot be said whether it belongs to the scan.
    #[error(
        "{}: the DICOM file `{name}` cannot be read: {reason}; get it again, or remove it if it is not part of the scan",
        printable_path(path)
    )]
    File {
        /// The folder or archive.
        path: PathBuf,
        /// The file in it.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A DICOM file that is no part of a scan is damaged.
    #[error("{}: expected a whole DICOM file: {reason}; get it again", printable_path(path))]
    Object {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No image in the folder can be part of a scan.
    #[error("{}: no scan: {reason}", printable_path(path))]
    NoScan {
        /// The folder or file.
        path: PathBuf,
        /// What is there instead.
        reason: String,
    },
    /// Several series are scans, and none was chosen.
    #[error("{}: {} series are scans, choose one: {}", printable_path(path), series.len(), series.join("; "))]
    Several {
        /// The folder or archive.
        path: PathBuf,
        /// Each series: UID, number, description, slices.
        series: Vec<String>,
    },
    /// No series has the wanted UID or number, or several have.
    #[error("{}: expected one series with UID or number `{}`, found {found}: {}", printable_path(path), segvol_base::printable(wanted), series.join("; "))]
    Choice {
        /// The folder or archive.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// How many series it fits: 0, or several.
        found: usize,
        /// The series that it fits, or else all.
        series: Vec<String>,
    },
    /// The series is no regular stack of slices.
    #[error("{}: {series} is not usable as a scan: {reason}", printable_path(path))]
    Refused {
        /// The folder, archive or file.
        path: PathBuf,
        /// The series.
        series: String,
        /// What is wrong, and where.
        reason: String,
        /// Whether only whole slices are missing, which [`ReadOptions::fill_gaps`](crate::ReadOptions::fill_gaps) fills.
        is_missing_slices: bool,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl DicomError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. }
            | Self::File { .. }
            | Self::Object { .. }
            | Self::NoScan { .. }
            | Self::Several { .. }
            | Self::Choice { .. }
            | Self::Refused { .. } => ErrorKind::Input,
            Self::Memory(error) => error.kind(),
        }
    }
}
