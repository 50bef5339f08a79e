//! How a bundle is opened and scans are segmented.

use std::collections::BTreeMap;
use std::path::PathBuf;

use segvol_onnx::{Precision, Stage};

use crate::error::Error;
use crate::orientation::Orientation;
use crate::provider::{Provider, ProviderOptions};
use crate::zoom_in::Profile;

/// With this overlap a voxel lies in up to 64,000 windows (40 an axis); with 0.5, in 27 at most. More would only take longer.
pub(crate) const MAX_OVERLAP: f64 = 0.95;

/// How a bundle is opened and scans are segmented.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Where the graphs run.
    pub provider: Provider,
    /// Stages that run elsewhere. A provider here is never [`Provider::Auto`].
    pub stage_providers: BTreeMap<Stage, Provider>,
    /// How the providers are set up.
    pub provider_options: ProviderOptions,
    /// Which of the bundle's precisions is run. If none: float16 on a GPU with such arithmetic, float32 elsewhere,
    /// another only where the bundle lacks it; int8 last.
    pub precision: Option<Precision>,
    /// Threads per graph; as many as there are cores if none.
    pub threads: Option<usize>,
    /// ONNX Runtime's library file; found by itself if none.
    pub library: Option<PathBuf>,
    /// Which axes the model sees.
    pub orientation: Orientation,
    /// How windows and prompts of the zoom-in pass are chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass runs.
    pub zoom_in: bool,
    /// Share of a window that the next one covers too, per axis: 0 to 0.95.
    pub overlap: f64,
    /// Bytes of image embeddings that a study keeps.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            provider: Provider::default(),
            stage_providers: BTreeMap::new(),
            provider_options: ProviderOptions::default(),
            precision: None,
            threads: None,
            library: None,
            orientation: Orientation::default(),
            profile: Profile::default(),
            zoom_in: true,
            overlap: 0.5,
            cache_bytes: 2 << 30,
        }
    }
}

impl Options {
    /// Runs the graphs on `provider`.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Runs one stage on a provider of its own.
    #[must_use]
    pub fn stage_provider(mut self, stage: Stage, provider: Provider) -> Self {
        self.stage_providers.insert(stage, provider);
        self
    }

    /// Sets the providers up so.
    #[must_use]
    pub fn provider_options(mut self, options: ProviderOptions) -> Self {
        self.provider_options = options;
        self
    }

    /// Runs the bundle's graphs of this precision.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Gives every graph `threads` threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Loads ONNX Runtime from this file.
    #[must_use]
    pub fn library(mut self, library: impl Into<PathBuf>) -> Self {
        self.library = Some(library.into());
        self
    }

    /// Shows the model these axes.
    #[must_use]
    pub fn orientation(mut self, orientation: Orientation) -> Self {
        self.orientation = orientation;
        self
    }

    /// Chooses windows and prompts so.
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

    /// Lets neighbouring windows share this much of an axis.
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

    pub(crate) fn check(&self) -> Result<(), Error> {
        if !(0.0..=MAX_OVERLAP).contains(&self.overlap) {
            let (expected, found) = ("at least 0 and at most 0.95", self.overlap.to_string());
            return Err(Error::Setting { name: "overlap", expected, found });
        }
        if self.threads == Some(0) {
            return Err(Error::Setting { name: "threads", expected: "at least 1", found: "0".to_owned() });
        }
        if self.stage_providers.values().any(|&provider| provider == Provider::Auto) {
            let expected = "the provider's name: only all stages together can be left to `auto`";
            return Err(Error::Setting { name: "stage provider", expected, found: "auto".to_owned() });
        }
        Ok(())
    }
}
