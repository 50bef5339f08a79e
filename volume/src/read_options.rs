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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Which affine to use if the header states two that differ. `None`: the rule of
    /// [`Header::affine`](crate::nifti::Header::affine), which refuses a file whose affines mirror each other.
    pub affine: Option<AffineChoice>,
}

impl ReadOptions {
    /// Sets [`affine`](Self::affine).
    #[must_use]
    pub fn affine(mut self, choice: Option<AffineChoice>) -> Self {
        self.affine = choice;
        self
    }
}
