//! How fast SegVol's stages are, and how equal to other programs' or providers'.
//!
//! Equal: [`mod@verify`] compares the outputs of every stage, and masks from end to end, with a [`record`] that another
//! bundle, provider or program made; [`tolerance`] says what is near enough, and why.
//!
//! Fast: [`mod@bench`] runs stages, and [`job`] a whole segmentation, in [`worker`] processes of their own, against the
//! [`peak`] of the machine and the operations counted in [`flops`]; [`table`] and [`plot`] show what came out.

pub mod bench;
pub mod compare;
pub mod flops;
pub mod job;
pub mod library;
pub mod load;
pub mod memory;
pub mod noise;
pub mod options;
pub mod peak;
pub mod plot;
pub mod prompts;
pub mod record;
pub mod row;
pub mod scans;
pub mod statistics;
pub mod table;
pub mod tolerance;
pub mod verify;
pub mod worker;

pub use bench::{Benchmark, Plan, bench};
pub use library::Libraries;
pub use record::{Record, RecordError};
pub use verify::{Verification, verify};

use segvol_base::OutOfMemory;

/// Why something could not be measured or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A bundle, a provider or a stage failed.
    #[error(transparent)]
    Run(#[from] segvol::Error),
    /// An option that no provider has.
    #[error(transparent)]
    ProviderOption(#[from] segvol::ProviderOptionError),
    /// A file of stage outputs cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The file of stage outputs is of another model.
    #[error("{what}: expected {expected} values, found {found}; the reference was made with another model")]
    OtherModel {
        /// The output.
        what: String,
        /// Values that the bundle's sizes ask for.
        expected: usize,
        /// Values in the file.
        found: usize,
    },
    /// A process of the benchmark's own could not be started, or ended too early.
    #[error("the measuring process: {reason}")]
    Worker {
        /// What happened.
        reason: String,
    },
    /// A file could not be written.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl From<segvol_onnx::BundleError> for Error {
    fn from(error: segvol_onnx::BundleError) -> Self {
        Self::Run(error.into())
    }
}

impl From<OutOfMemory> for Error {
    fn from(error: OutOfMemory) -> Self {
        Self::Run(error.into())
    }
}
