//! Options for segmenting a scan.

use std::path::PathBuf;

use segvol_volume::Orientation;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use segvol_prompt::Profile;
use segvol_windows::{RELEASED_THRESHOLD, Threshold, is_threshold};

/// The largest overlap. With it, a voxel is in up to 64,000 windows (40 along each axis); with 0.5, in at most 27. A larger
/// overlap would only take longer.
pub(crate) const MAX_OVERLAP: f64 = 0.95;

/// The overlap of the released code.
const RELEASED_OVERLAP: f64 = 0.5;

/// How much the windows of one object overlap at least, in the profile [`Profile::Default`]. More overlap is more windows, and
/// nothing else: `docs/performance.md` compares them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// No overlap.
    Fast,
    /// A quarter of a window.
    #[default]
    Balanced,
    /// Half of a window, as in the released code.
    Exact,
}

impl Effort {
    /// The overlap, as a fraction of the window per axis.
    #[must_use]
    pub fn overlap(self) -> f64 {
        match self {
            Self::Fast => 0.0,
            Self::Balanced => 0.25,
            Self::Exact => RELEASED_OVERLAP,
        }
    }
}

/// Options for segmenting a scan. [`Options`](crate::Options) has the options for opening a bundle.
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
    /// The order and direction of the axes that the model sees. `None` for those that the profile has, else those that the model was
    /// trained with, or RAS if its bundle does not say.
    pub orientation: Option<Orientation>,
    /// How the windows and prompts of the zoom-in pass are chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass runs. Without it, the mask has the resolution of the zoom-out window.
    pub zoom_in: bool,
    /// The overlap of neighbouring windows, in the profile [`Profile::Default`].
    pub effort: Effort,
    /// The least overlap of neighbouring windows of an object, as a fraction of the window per axis: 0 to 0.95. `None` for that
    /// of the effort; with the profile of a released program, for 0.5.
    pub overlap: Option<f64>,
    /// Whether each object gets the windows that it would get alone, in a new study. Otherwise the objects of a call share
    /// windows, and calls use windows of earlier calls again: fewer are encoded, and an object's mask depends a little on the
    /// others. The profiles of released programs are always independent.
    pub independent: bool,
    /// The probability above which a voxel is in a mask, between 0 and 1, both excluded; 0.5 in the released code, where the logit
    /// is positive. It cuts every mask, label map, count and box, also after the zoom-out pass. It does not change any logit: the
    /// region of interest is always found by the released rule.
    pub threshold: f64,
    /// Largest size of the image embeddings that a study keeps, in bytes.
    pub cache_bytes: usize,
    /// A folder for image embeddings, which later studies of the same scan read instead of encoding its windows again, also in other
    /// processes. It is made if it does not exist, and may be deleted at any time. `None` for no folder.
    ///
    /// An embedding is only used for the same image, bundle, provider, precision, processor and version of ONNX Runtime and of this
    /// crate, so it has the bits that encoding its window again would give. Which windows an object gets may depend on the folder,
    /// unless objects are [`independent`](Self::independent). Embeddings allow conclusions about the scan: the folder is as
    /// private as the scan.
    pub embeddings: Option<PathBuf>,
    /// Largest size of that folder, in bytes. If it is exceeded, the least recently used embeddings are deleted.
    pub embeddings_bytes: u64,
}

impl Default for StudyOptions {
    fn default() -> Self {
        Self {
            orientation: None,
            profile: Profile::default(),
            zoom_in: true,
            effort: Effort::default(),
            overlap: None,
            independent: false,
            threshold: RELEASED_THRESHOLD,
            cache_bytes: 2 << 30,
            embeddings: None,
            // 3400 windows of the released model in float32: about 20 scans with every window of their bodies, or some hundred
            // with the windows of a few organs.
            embeddings_bytes: 20 << 30,
        }
    }
}

impl StudyOptions {
    /// Sets the order and direction of the axes that the model sees; `None` for those that it was trained with.
    #[must_use]
    pub fn orientation(mut self, orientation: impl Into<Option<Orientation>>) -> Self {
        self.orientation = orientation.into();
        self
    }

    /// The axes that a model sees which was trained with `expected` axes.
    pub(crate) fn orientation_for(&self, expected: Option<Orientation>) -> Orientation {
        self.orientation.or(self.profile.orientation()).or(expected).unwrap_or_default()
    }

    /// Sets how the windows and prompts of the zoom-in pass are chosen.
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

    /// Sets how much the windows of an object overlap.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// Sets the least overlap of neighbouring windows, as a fraction of the window per axis: 0 to 0.95; `None` for that of the
    /// effort or profile.
    #[must_use]
    pub fn overlap(mut self, overlap: impl Into<Option<f64>>) -> Self {
        self.overlap = overlap.into();
        self
    }

    /// The least overlap of neighbouring windows that these options give.
    #[must_use]
    pub fn least_overlap(&self) -> f64 {
        self.overlap.unwrap_or(if self.profile.is_released() { RELEASED_OVERLAP } else { self.effort.overlap() })
    }

    /// Sets whether each object gets the windows that it would get alone.
    #[must_use]
    pub fn independent(mut self, independent: bool) -> Self {
        self.independent = independent;
        self
    }

    /// Sets the probability above which a voxel is in a mask: more than 0, and less than 1.
    #[must_use]
    pub fn threshold(mut self, probability: f64) -> Self {
        self.threshold = probability;
        self
    }

    /// The threshold that these options give, unless it is that of the released code: for records of what a mask depends on.
    #[must_use]
    pub fn own_threshold(&self) -> Option<f64> {
        Some(self.threshold).filter(|&own| own != RELEASED_THRESHOLD)
    }

    /// The threshold, for logits.
    pub(crate) fn cut(&self) -> Threshold {
        Threshold::of(self.threshold)
    }

    /// Sets the largest size of the image embeddings that a study keeps, in bytes.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets the folder for image embeddings; `None` for no folder.
    #[must_use]
    pub fn embeddings(mut self, folder: impl Into<Option<PathBuf>>) -> Self {
        self.embeddings = folder.into();
        self
    }

    /// Sets the largest size of the folder for image embeddings, in bytes.
    #[must_use]
    pub fn embeddings_bytes(mut self, bytes: u64) -> Self {
        self.embeddings_bytes = bytes;
        self
    }

    /// Checks that every setting is in its range, that the profile has the orientation, and that the folder for embeddings is
    /// nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] with the setting that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        if let (Some(given), Some(fixed)) = (self.orientation, self.profile.orientation())
            && given != fixed
        {
            let expected = "`stored`, which is what the program of this profile sees";
            return Err(Error::Setting { name: "orientation", expected, found: format!("`{given}`") });
        }
        if let Some(path) = &self.embeddings
            && (path.as_os_str().is_empty() || path.symlink_metadata().is_ok() && !path.is_dir())
        {
            let expected = "a folder, or a path where one can be made";
            return Err(Error::Setting { name: "embeddings", expected, found: format!("`{}`", path.display()) });
        }
        if !is_threshold(self.threshold) {
            let percent = self.threshold > 1.0 && self.threshold < 100.0;
            let hint =
                if percent { format!("; {} % is {}", self.threshold, self.threshold / 100.0) } else { String::new() };
            let expected = "a probability above 0 and below 1";
            return Err(Error::Setting { name: "threshold", expected, found: format!("{}{hint}", self.threshold) });
        }
        let overlap = self.least_overlap();
        if (0.0..=MAX_OVERLAP).contains(&overlap) {
            return Ok(());
        }
        let (expected, found) = ("at least 0 and at most 0.95", overlap.to_string());
        Err(Error::Setting { name: "overlap", expected, found })
    }
}
