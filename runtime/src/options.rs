//! Options for opening a bundle.

use std::collections::BTreeMap;
use std::path::PathBuf;

use segvol_onnx::{Precision, Stage};

use crate::error::Error;
use crate::measured::{Measured, MeasuredRow};
use crate::onnxruntime::provider::ProviderOptions;
use crate::provider::Provider;

/// Options for opening a bundle. [`StudyOptions`](crate::StudyOptions) has the options for segmenting a scan.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The provider that runs the graphs.
    pub provider: Provider,
    /// Stages that run on another provider than [`provider`](Self::provider). [`Provider::Auto`] is not allowed here.
    pub stage_providers: BTreeMap<Stage, Provider>,
    /// The options of the providers.
    pub provider_options: ProviderOptions,
    /// The precision to run, one of the bundle's. If `None`: float16 on CUDA and TensorRT, float32 on other providers. If
    /// the bundle lacks that one, another one is chosen, int8 last.
    pub precision: Option<Precision>,
    /// Number of threads per graph. If `None`, one per core that this process may use: its affinity, the cpuset and the quota of
    /// its control groups count (at least 1; a quota is rounded down).
    pub threads: Option<usize>,
    /// ONNX Runtime's library, or a folder that has it. If `None`, what the environment variable `ORT_DYLIB_PATH` names, else
    /// the first that is found: see [`probe::places`](crate::probe::places).
    pub library: Option<PathBuf>,
    /// What was measured on this machine. With [`Provider::Auto`], the first row that can be used decides provider, precision and
    /// provider options. If `None`, or if no row can be used, `auto` chooses without it.
    pub measured: Option<Measured>,
}

impl Options {
    /// Runs the graphs on `provider`.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// Runs one stage on another provider.
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

    /// Loads ONNX Runtime from this file or folder.
    #[must_use]
    pub fn library(mut self, library: impl Into<PathBuf>) -> Self {
        self.library = Some(library.into());
        self
    }

    /// Lets [`Provider::Auto`] choose by what was measured on this machine.
    #[must_use]
    pub fn measured(mut self, measured: impl Into<Option<Measured>>) -> Self {
        self.measured = measured.into();
        self
    }

    /// These options with provider, precision and provider options of a measured row.
    pub(crate) fn of_row(&self, row: &MeasuredRow) -> Result<Self, Error> {
        let mut options = self.clone().provider(row.provider).precision(row.precision);
        for text in &row.provider_options {
            options.provider_options.set(row.provider, text).map_err(|error| Error::ProviderFailed {
                provider: row.provider,
                stage: Stage::ImageEncoder,
                reason: error.to_string(),
            })?;
        }
        Ok(options)
    }

    /// The providers that were requested, for all stages and for single ones.
    pub(crate) fn providers(&self) -> Vec<Provider> {
        std::iter::once(self.provider).chain(self.stage_providers.values().copied()).collect()
    }

    /// Whether a provider that may be used keeps what it compiles on disk, where later runs find it. It must then never see
    /// weights whose hash is wrong.
    pub(crate) fn keep_compiled(&self) -> bool {
        let kept = |provider: Provider| provider.keeps_compiled(&self.provider_options);
        let auto = self.provider == Provider::Auto && Provider::AUTO.into_iter().any(kept);
        auto || self.providers().into_iter().any(kept)
    }

    /// As [`Options::keep_compiled`], with one of the measured rows.
    pub(crate) fn rows_keep_compiled(&self, measured: &Measured) -> bool {
        // A row whose options are wrong is not opened.
        measured.rows.iter().any(|row| self.of_row(row).is_ok_and(|options| options.keep_compiled()))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.threads == Some(0) {
            return Err(Error::Setting { name: "threads", expected: "at least 1", found: "0".to_owned() });
        }
        if self.stage_providers.values().any(|&provider| provider == Provider::Auto) {
            let expected = "the name of a provider (`auto` can only choose for all stages together)";
            return Err(Error::Setting { name: "stage provider", expected, found: "auto".to_owned() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::OpenVinoOptions;

    #[test]
    fn a_cache_of_any_provider_that_may_be_used_counts() {
        let cache = OpenVinoOptions::default().cache(PathBuf::from("compiled"));
        let cached = Options::default().provider_options(ProviderOptions::default().openvino(cache));
        assert!(cached.keep_compiled(), "`auto` may choose it");
        assert!(!cached.clone().provider(Provider::Cpu).keep_compiled());
        assert!(cached.provider(Provider::Cpu).stage_provider(Stage::MaskDecoder, Provider::OpenVino).keep_compiled());
        assert!(!Options::default().keep_compiled());
    }
}
