//! One side of a comparison: a bundle on a provider, in a form that can be sent to another process.

use std::path::PathBuf;

use segvol::{Options, Provider, ReadOptions};
use segvol_onnx::Precision;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::options::{options_on, parse_provider_options};
use crate::record::Record;
use crate::scans::Scans;
use crate::verify::{self, Verification};

/// What is run for one side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The bundle.
    pub bundle: PathBuf,
    /// The provider.
    pub provider: Provider,
    /// Provider options, each as `PROVIDER.KEY=VALUE`.
    #[serde(default)]
    pub provider_options: Vec<String>,
    /// The precision, which the bundle must contain.
    pub precision: Precision,
    /// Threads per graph. `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// ONNX Runtime's library.
    pub library: Option<PathBuf>,
    /// Scans to segment from file to mask.
    pub scans: Vec<PathBuf>,
    /// The text of a prompts file. `None`: the default prompts of [`Scans`].
    pub prompts: Option<String>,
    /// How scans are read.
    #[serde(default)]
    pub read: ReadOptions,
}

impl Side {
    /// Runs it, and returns all outputs.
    ///
    /// # Errors
    ///
    /// As for [`verify::dump`]; [`Error::Prompts`]; [`Error::ProviderOption`].
    pub fn dump(&self) -> Result<Record, Error> {
        verify::dump(&self.bundle, &self.options()?, &self.scans()?)
    }

    /// Runs it, and compares all outputs with `reference`.
    ///
    /// # Errors
    ///
    /// As for [`verify::verify`]; [`Error::Prompts`]; [`Error::ProviderOption`].
    pub fn verify(&self, reference: &Record) -> Result<Verification, Error> {
        verify::verify(&self.bundle, &self.options()?, &self.scans()?, reference)
    }

    fn options(&self) -> Result<Options, Error> {
        let mut options = options_on(self.provider, self.threads, self.library.clone());
        options.provider_options = parse_provider_options(&self.provider_options)?;
        options.precision = Some(self.precision);
        Ok(options)
    }

    fn scans(&self) -> Result<Scans, Error> {
        let prompts = self.prompts.as_deref().map(segvol::parse_prompts).transpose()?;
        let read = self.read.clone();
        Ok(Scans { files: self.scans.clone(), prompts: prompts.unwrap_or_default(), read })
    }
}
