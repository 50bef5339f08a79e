//! One line of a benchmark: what was asked, what was used, and what was measured.

use segvol::{Placement, Provider};
use segvol_onnx::Precision;
use segvol_onnx::Stage;
use serde::{Deserialize, Serialize};

use crate::compare::Difference;
use crate::statistics::Summary;

/// One combination of what is varied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The stage.
    pub stage: Stage,
    /// The provider that was asked for.
    pub provider: Provider,
    /// The precision of the bundle's graphs.
    pub precision: Precision,
    /// Threads of the graph; none for as many as there are cores.
    pub threads: Option<usize>,
    /// Windows, names or prompts per run.
    pub batch: usize,
}

impl Variant {
    /// The variant in a few words.
    #[must_use]
    pub fn label(&self) -> String {
        let threads = self.threads.map_or_else(|| "all".to_owned(), |threads| threads.to_string());
        format!("{} {} {} x{}, {threads} threads", self.stage, self.provider, self.precision_name(), self.batch)
    }

    /// The word for the precision.
    #[must_use]
    pub fn precision_name(&self) -> &'static str {
        self.precision.name()
    }
}

/// One variant, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was asked for.
    #[serde(flatten)]
    pub variant: Variant,
    /// The ONNX Runtime library that was named, if one was.
    pub library: Option<String>,
    /// What was measured, or why it could not be.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran, and gave the right numbers.
    Measured(Box<Measured>),
    /// It ran, and gave wrong numbers: it was not timed.
    Wrong {
        /// The provider that was used.
        used: Provider,
        /// How far its outputs are from those of float32 on the CPU provider.
        difference: Difference,
        /// The greatest relative L2 that is allowed.
        allowed: f64,
    },
    /// It could not be run.
    Failed {
        /// Why.
        reason: String,
        /// Whether the provider or its library is what could not be had.
        provider_missing: bool,
    },
}

/// The measurements of a variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The provider that was used.
    pub used: Provider,
    /// Nodes of the graph per provider, as ONNX Runtime placed them.
    pub nodes: Placement,
    /// Version and build of ONNX Runtime.
    pub onnxruntime: String,
    /// Making the session, in milliseconds: reading weights, rewriting the graph; for TensorRT and other compilers,
    /// building the engine too.
    pub session_ms: f64,
    /// The first run, in milliseconds.
    pub first_run_ms: f64,
    /// How far the outputs are from those of float32 on the CPU provider.
    pub difference: Difference,
    /// The greatest relative L2 that is allowed.
    pub allowed: f64,
    /// Every timed run, in milliseconds, in the order in which they ran.
    pub samples_ms: Vec<f64>,
    /// What they say.
    pub summary_ms: Summary,
    /// Windows, names or prompts a second, at the median.
    pub per_second: f64,
    /// Floating-point operations of one run, counted from the model's sizes.
    pub flops: f64,
    /// Operations a second at the median, in thousands of millions.
    pub gflops: f64,
    /// Share of the machine's float32 matrix-product peak at the same number of CPU threads.
    pub peak_share: Option<f64>,
    /// The most memory that the measuring process held.
    pub peak_resident_bytes: Option<u64>,
    /// What the process held on GPUs after its runs ([`crate::memory::device_bytes`]).
    pub device_bytes: Option<u64>,
}
