//! A scan of a cohort, and how it gets its id.

use std::path::PathBuf;

use crate::settings::Own;

/// One scan of a cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Its name in the cohort, from which the names of its outputs follow.
    pub id: String,
    /// The file, or the folder of a DICOM series.
    pub path: PathBuf,
    /// What the list says about it alone.
    pub own: Own,
    /// Why it cannot be segmented, known before it is opened.
    pub problem: Option<String>,
}

/// What the scans of a folder are called. A list may name each of its scans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ids {
    /// As the file without its extension, or as the folder of the series.
    #[default]
    Name,
    /// With the folders in which it lies, as `patient1/ct`.
    Path,
}
