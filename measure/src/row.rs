//! One row of a benchmark: what was requested, what was used, and what was measured.

use std::path::PathBuf;

use segvol::{Placement, Provider};
use segvol_base::ErrorKind;
use segvol_onnx::{Precision, Stage};
use serde::{Deserialize, Serialize};

use crate::compare::Difference;
use crate::statistics::Summary;

/// One combination of the lists in a [`crate::plan::Plan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The stage.
    pub stage: Stage,
    /// The requested provider.
    pub provider: Provider,
    /// The precision of the bundle's graphs.
    pub precision: Precision,
    /// Threads of the graph. `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// Windows, names or prompts per run.
    pub batch: usize,
}

impl Variant {
    /// A short description.
    #[must_use]
    pub fn label(&self) -> String {
        let threads = self.threads.map_or_else(|| "all".to_owned(), |threads| threads.to_string());
        format!("{} {} {} x{}, {threads} threads", self.stage, self.provider, self.precision, self.batch)
    }
}

/// One variant, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was requested.
    #[serde(flatten)]
    pub variant: Variant,
    /// The ONNX Runtime library, if one was chosen by name.
    pub library: Option<String>,
    /// What was measured, or why nothing was.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The result of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran, and its outputs are right.
    Measured(Box<Measured>),
    /// It ran, but its outputs are wrong, so it was not timed.
    Wrong {
        /// The provider that was used.
        used: Provider,
        /// Distance of the outputs from those of float32 on the CPU provider.
        difference: Difference,
        /// The largest allowed relative L2 distance.
        allowed: f64,
    },
    /// It did not run.
    Failed {
        /// Why.
        reason: String,
        /// What kind of failure.
        kind: ErrorKind,
        /// Whether `kind` is [`ErrorKind::Provider`].
        provider_missing: bool,
    },
}

impl Outcome {
    /// A variant that did not run.
    #[must_use]
    pub fn failed(reason: String, kind: ErrorKind) -> Self {
        Self::Failed { reason, kind, provider_missing: kind == ErrorKind::Provider }
    }
}

/// The ONNX Runtime library that a worker has loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedLibrary {
    /// The file, or only its name if the system's loader found it.
    pub path: PathBuf,
    /// The version that it states.
    pub version: String,
}

impl LoadedLibrary {
    /// The library of this process; empty if it has not loaded one.
    pub(crate) fn of_this_process() -> Self {
        Self {
            path: segvol::onnxruntime_library().unwrap_or_default(),
            version: segvol::onnxruntime_version().unwrap_or_default(),
        }
    }
}

/// The measurements of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The provider that was used.
    pub used: Provider,
    /// Nodes of the graph per provider, as ONNX Runtime assigned them.
    pub nodes: Placement,
    /// Version and build of ONNX Runtime.
    pub onnxruntime: String,
    /// ONNX Runtime's library.
    #[serde(default)]
    pub loaded: LoadedLibrary,
    /// Time to create the session, in milliseconds: reading weights and optimising the graph. With TensorRT and other
    /// compilers, this includes building the engine.
    pub session_ms: f64,
    /// The first run, in milliseconds.
    pub first_run_ms: f64,
    /// Distance of the outputs from those of float32 on the CPU provider.
    pub difference: Difference,
    /// The largest allowed relative L2 distance.
    pub allowed: f64,
    /// Every timed run, in milliseconds, in the order of the runs.
    pub samples_ms: Vec<f64>,
    /// Statistics of `samples_ms`.
    pub summary_ms: Summary,
    /// Windows, names or prompts per second, at the median.
    pub per_second: f64,
    /// Floating-point operations of one run, counted from the model's sizes.
    pub flops: f64,
    /// Floating-point operations per second at the median, in units of 10^9.
    pub gflops: f64,
    /// `gflops` as a share of the machine's float32 matrix-product peak with the same number of CPU threads.
    pub peak_share: Option<f64>,
    /// Peak memory of the worker process, in bytes.
    pub peak_resident_bytes: Option<u64>,
    /// Bytes that the process holds on GPUs after its runs ([`crate::memory::device_bytes`]).
    pub device_bytes: Option<u64>,
}
