//! How a scan is segmented.

use segvol_volume::Orientation;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// With this overlap a voxel lies in up to 64,000 windows (40 along each axis); with 0.5, in 27 at most. More would only
/// take longer.
pub(crate) const MAX_OVERLAP: f64 = 0.95;

/// How windows and prompts of the zoom-in pass are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// As the released code, with these differences:
    /// - a region larger than one window takes its windows from one lattice over the whole crop, so that all objects
    ///   share them and each is encoded once;
    /// - the user's box and points keep their place where the window is padded;
    /// - with several windows, a box prompt is the zoom-out mask's box clipped to the user's box;
    /// - a window that neither the zoom-out mask nor the user's points or box touch keeps its zoom-out logits.
    #[default]
    Default,
    /// The released code to the letter, its quirks included.
    Released,
}

/// How a scan is segmented. See [`Options`](crate::Options) for how a bundle is opened.
///
/// # Example
///
/// ```
/// use segvol::{Profile, StudyOptions};
///
/// let options = StudyOptions::default().profile(Profile::Released).overlap(0.25);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StudyOptions {
    /// Which axes the model sees.
    pub orientation: Orientation,
    /// How windows and prompts of the zoom-in pass are chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass runs.
    pub zoom_in: bool,
    /// The share of a window that the next one covers too, per axis: 0 to 0.95.
    pub overlap: f64,
    /// Bytes of image embeddings that a study keeps.
    pub cache_bytes: usize,
}

impl Default for StudyOptions {
    fn default() -> Self {
        Self {
            orientation: Orientation::default(),
            profile: Profile::default(),
            zoom_in: true,
            overlap: 0.5,
            cache_bytes: 2 << 30,
        }
    }
}

impl StudyOptions {
    /// Sets which axes the model sees.
    #[must_use]
    pub fn orientation(mut self, orientation: Orientation) -> Self {
        self.orientation = orientation;
        self
    }

    /// Sets how windows and prompts of the zoom-in pass are chosen.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Turns the zoom-in pass on or off.
    #[must_use]
    pub fn zoom_in(mut self, zoom_in: bool) -> Self {
        self.zoom_in = zoom_in;
        self
    }

    /// Sets the share of a window that the next one covers too, per axis: 0 to 0.95.
    #[must_use]
    pub fn overlap(mut self, overlap: f64) -> Self {
        self.overlap = overlap;
        self
    }

    /// Keeps at most this many bytes of image embeddings per study.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Checks that every setting is in its range.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] with the setting that is not.
    pub fn check(&self) -> Result<(), Error> {
        if (0.0..=MAX_OVERLAP).contains(&self.overlap) {
            return Ok(());
        }
        let (expected, found) = ("at least 0 and at most 0.95", self.overlap.to_string());
        Err(Error::Setting { name: "overlap", expected, found })
    }
}
