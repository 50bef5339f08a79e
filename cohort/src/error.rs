//! Why a cohort cannot be run. What fails in one scan is in its [`Record`](crate::Record).

use std::io;
use std::path::PathBuf;

use segvol_base::ErrorKind;

/// Why a cohort cannot be started, or not be continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CohortError {
    /// A file or folder of the run itself cannot be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The scans, their list or a manifest cannot be read.
    #[error("`{path}`: cannot be read: {source}", path = path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A line of the manifest cannot be read.
    #[error("`{path}`, line {line}: {reason}", path = path.display())]
    Damaged {
        /// The manifest.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The folder holds a run with other settings.
    #[error(
        "`{path}`: holds scans that were done with another {field}: {found}, now {expected}; choose another folder",
        path = path.display()
    )]
    OtherRun {
        /// The output folder.
        path: PathBuf,
        /// The setting.
        field: String,
        /// Its value in this run.
        expected: String,
        /// Its value in the folder.
        found: String,
    },
    /// The folder holds a run, and nobody asked to go on with it.
    #[error("`{path}`: holds an earlier run of {}", counted(*scans), path = path.display())]
    Exists {
        /// The output folder.
        path: PathBuf,
        /// How many of its scans are done or have failed.
        scans: usize,
    },
    /// An output would replace a file that no cohort has written.
    #[error("`{path}`: is there already, and is not from a cohort; choose another folder", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The list of scans cannot be used.
    #[error("{0}")]
    List(String),
    /// More scans failed than were allowed to.
    #[error("{} failed, more than {allowed}: stopped", counted(*failed))]
    TooManyFailures {
        /// How many failed.
        failed: usize,
        /// How many were allowed to.
        allowed: usize,
    },
    /// The caller stopped the run. Scans that are done stay so.
    #[error("cancelled")]
    Cancelled,
}

impl CohortError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::TooManyFailures { .. } => ErrorKind::Runtime,
            Self::Unreadable { .. } | Self::Damaged { .. } | Self::List(_) => ErrorKind::Input,
            Self::OtherRun { .. } | Self::Exists { .. } | Self::Foreign { .. } => ErrorKind::Usage,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }
}

fn counted(scans: usize) -> String {
    if scans == 1 { "1 scan".to_owned() } else { format!("{scans} scans") }
}
