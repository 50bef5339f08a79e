//! How a file is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the two affines that a NIfTI header can state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AffineChoice {
    /// The sform: three rows of numbers (`srow_x`, `srow_y`, `srow_z`).
    Sform,
    /// The qform: a quaternion, an offset, and the spacings of `pixdim`.
    Qform,
}

impl AffineChoice {
    /// The name in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sform => "sform",
            Self::Qform => "qform",
        }
    }
}

impl fmt::Display for AffineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AffineChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sform" => Ok(Self::Sform),
            "qform" => Ok(Self::Qform),
            other => Err(format!("expected sform or qform, found {other:?}")),
        }
    }
}

/// Options for [`Volume::open_with`](crate::Volume::open_with).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Which affine to use if the header states two that differ. `None`: the rule of
    /// [`Header::affine`](crate::nifti::Header::affine), which refuses a file whose affines mirror each other.
    pub affine: Option<AffineChoice>,
    /// Of DICOM: the series to read, by its Series Instance UID or its Series Number. `None`: the only one that is a scan.
    pub series: Option<String>,
    /// Of DICOM: whether whole missing slices are interpolated between their neighbours. If not, a missing slice is an error.
    pub fill_gaps: bool,
}

impl ReadOptions {
    /// Sets [`affine`](Self::affine).
    #[must_use]
    pub fn affine(mut self, choice: Option<AffineChoice>) -> Self {
        self.affine = choice;
        self
    }

    /// Sets [`series`](Self::series).
    #[must_use]
    pub fn series(mut self, series: Option<String>) -> Self {
        self.series = series;
        self
    }

    /// Sets [`fill_gaps`](Self::fill_gaps).
    #[must_use]
    pub fn fill_gaps(mut self, fill_gaps: bool) -> Self {
        self.fill_gaps = fill_gaps;
        self
    }
}
