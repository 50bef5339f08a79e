//! A bundle on one or several providers against a reference, each in the process that it needs.

use std::path::{Path, PathBuf};

use segvol::{Provider, ReadOptions};
use segvol_onnx::Precision;

use crate::error::{Error, temporary_folder};
use crate::library::Libraries;
use crate::record::Record;
use crate::side::Side;
use crate::verify::Verification;
use crate::worker::{Reply, Request, Worker};

/// What is compared with what.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The bundle.
    pub bundle: PathBuf,
    /// The providers, which are compared one after the other.
    pub providers: Vec<Provider>,
    /// The precision, which the bundle must contain.
    pub precision: Precision,
    /// What they are compared with.
    pub reference: Reference,
    /// Scans to segment from file to mask.
    pub scans: Vec<PathBuf>,
    /// The text of a prompts file. `None`: the default prompts of [`crate::scans::Scans`].
    pub prompts: Option<String>,
    /// How scans are read.
    pub read: ReadOptions,
    /// Threads per graph. `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// The library of each provider.
    pub libraries: Libraries,
    /// The program to start workers with. It must have [`crate::worker::SUBCOMMAND`].
    pub program: PathBuf,
}

/// Where the expected outputs come from.
#[derive(Debug, Clone)]
pub enum Reference {
    /// A file of stage outputs.
    File(PathBuf),
    /// A bundle, which is run first.
    Run {
        /// The bundle. `None`: the one that is compared.
        bundle: Option<PathBuf>,
        /// The provider.
        provider: Provider,
        /// The precision.
        precision: Precision,
    },
}

impl Comparison {
    /// Whether both sides are the same, so that the comparison says nothing.
    #[must_use]
    pub fn is_with_itself(&self) -> bool {
        match &self.reference {
            Reference::Run { bundle: None, provider, precision } => {
                self.providers == [*provider] && self.precision == *precision
            }
            Reference::File(_) | Reference::Run { .. } => false,
        }
    }

    /// One side: this bundle on a provider.
    #[must_use]
    pub fn side(&self, provider: Provider) -> Side {
        Side {
            bundle: self.bundle.clone(),
            provider,
            provider_options: Vec::new(),
            precision: self.precision,
            threads: self.threads,
            library: self.libraries.of(provider),
            scans: self.scans.clone(),
            prompts: self.prompts.clone(),
            read: self.read.clone(),
        }
    }

    /// Compares; one result per provider.
    ///
    /// A single provider runs in this process. The reference, and each of several providers, run in a worker, because
    /// they may need different ONNX Runtime libraries.
    ///
    /// # Errors
    ///
    /// As for [`Side::dump`] and [`Side::verify`]; [`Error::Reported`] if that happened in a worker;
    /// [`Error::Worker`] if a worker cannot be started or ends too early.
    pub fn run(&self) -> Result<Vec<Verification>, Error> {
        let folder = temporary_folder()?;
        let reference = match &self.reference {
            Reference::File(path) => path.clone(),
            Reference::Run { bundle, provider, precision } => {
                let bundle = bundle.as_ref().unwrap_or(&self.bundle).clone();
                let side = Side { bundle, precision: *precision, ..self.side(*provider) };
                self.dump(side, folder.path().join("reference.safetensors"))?
            }
        };
        if let [provider] = self.providers[..] {
            return Ok(vec![self.side(provider).verify(&Record::read(&reference)?)?]);
        }
        self.providers.iter().map(|&provider| self.verify(provider, &reference)).collect()
    }

    fn dump(&self, side: Side, path: PathBuf) -> Result<PathBuf, Error> {
        let what = format!("the reference, on provider `{}`", side.provider);
        match Worker::start(&self.program)?.ask(&Request::Dump { side, path: path.clone() })? {
            Reply::Dumped => Ok(path),
            other => Err(other.into_error(what)),
        }
    }

    fn verify(&self, provider: Provider, reference: &Path) -> Result<Verification, Error> {
        let request = Request::Verify { side: self.side(provider), reference: reference.to_owned() };
        match Worker::start(&self.program)?.ask(&request)? {
            Reply::Verified(found) => Ok(*found),
            other => Err(other.into_error(format!("provider `{provider}`"))),
        }
    }
}
