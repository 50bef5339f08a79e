//! What is sent to a worker process, and what it replies.
//!
//! A request is one line of JSON on the worker's standard input. Its reply is one line on standard output: the marker
//! [`REPLY`] and JSON. Text on standard output before the marker was printed by a library of a provider, and
//! is ignored.

use std::path::PathBuf;

use segvol::probe::LibraryReport;
use segvol::{Placement, Provider};
use segvol_base::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::job::{Job, JobRun};
use crate::peak::Peak;
use crate::row::{LoadedLibrary, Variant};
use crate::side::Side;
use crate::verify::Verification;

/// Starts a reply.
pub(super) const REPLY: &str = "segvol-reply ";

/// What a worker process should do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Open a stage.
    Open {
        /// The bundle.
        bundle: PathBuf,
        /// What to open.
        variant: Variant,
        /// Provider options, each as `PROVIDER.KEY=VALUE`.
        provider_options: Vec<String>,
        /// ONNX Runtime's library.
        library: Option<PathBuf>,
    },
    /// Run the open stage once.
    Run,
    /// Run the open stage once, and write its outputs to a file.
    Save {
        /// The file.
        path: PathBuf,
    },
    /// Report the peak of memory so far.
    Memory,
    /// Measure the matrix-product peak.
    Peak {
        /// Threads.
        threads: Option<usize>,
        /// ONNX Runtime's library.
        library: Option<PathBuf>,
    },
    /// Segment a scan, from file to mask, several times.
    Job(Job),
    /// Write the stage outputs of one side of a comparison to a file.
    Dump {
        /// What to run.
        side: Side,
        /// The file.
        path: PathBuf,
    },
    /// Compare one side with a file of stage outputs.
    Verify {
        /// What to run.
        side: Side,
        /// The file.
        reference: PathBuf,
    },
    /// Load a library, and try its providers.
    Probe {
        /// The library: a file, or a bare name that the dynamic loader finds.
        library: PathBuf,
    },
}

/// What a worker process replies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum Reply {
    /// The stage is open.
    Opened {
        /// The provider that was used.
        used: Provider,
        /// Nodes per provider.
        nodes: Placement,
        /// Version and build of ONNX Runtime.
        onnxruntime: String,
        /// The loaded library.
        library: LoadedLibrary,
        /// How long it took.
        ms: f64,
    },
    /// The stage has run.
    Ran {
        /// How long it took.
        ms: f64,
    },
    /// The peak of memory.
    Memory {
        /// Bytes of main memory.
        resident_bytes: Option<u64>,
        /// Bytes on GPUs.
        device_bytes: Option<u64>,
    },
    /// The matrix-product peak.
    Peak(Peak),
    /// The scan is segmented.
    Job(Box<JobRun>),
    /// The stage outputs are written.
    Dumped,
    /// The comparison is done, whatever its result.
    Verified(Box<Verification>),
    /// What the library offers, or why it cannot be used.
    Probed(Box<LibraryReport>),
    /// The request failed. The process continues with the next one.
    Failed {
        /// The error message.
        reason: String,
        /// What kind of error it is.
        kind: ErrorKind,
    },
}

impl Reply {
    /// The error for a caller that asked for `what` and expected another reply.
    pub(crate) fn into_error(self, what: impl Into<String>) -> Error {
        match self {
            Self::Failed { reason, kind } => Error::Reported { what: what.into(), reason, kind },
            other => Error::Worker { reason: format!("unexpected reply: {other:?}") },
        }
    }
}
