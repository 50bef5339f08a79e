//! How a bundle is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use segvol_onnx::{Precision, Stage};

use crate::error::Error;
use crate::onnxruntime::provider::ProviderOptions;
use crate::provider::Provider;

/// How a bundle is opened. See [`StudyOptions`](crate::StudyOptions) for how a scan is segmented.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Where the graphs run.
    pub provider: Provider,
    /// Stages that run elsewhere. A provider here is never [`Provider::Auto`].
    pub stage_providers: BTreeMap<Stage, Provider>,
    /// How the providers are set up.
    pub provider_options: ProviderOptions,
    /// Which of the bundle's precisions is run. If `None`: float16 on a GPU with float16 arithmetic, float32 elsewhere;
    /// another one only if the bundle lacks it, and int8 last.
    pub precision: Option<Precision>,
    /// Threads per graph; if `None`, as many as there are cores.
    pub threads: Option<usize>,
    /// ONNX Runtime's library file; if `None`, it is searched for.
    pub library: Option<PathBuf>,
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

    /// Sets the options of the providers.
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

    pub(crate) fn check(&self) -> Result<(), Error> {
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
