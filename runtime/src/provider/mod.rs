//! Execution providers: what was asked for, what was registered, what really ran.
//!
//! A provider that was asked for and is not there is an error; so is one that takes no node of the
//! stages. Only [`Provider::Auto`] may choose, and the report says what it chose.

mod cpu;
mod cuda;
mod openvino;
#[allow(unsafe_code)] // ONNX Runtime's graph-assignment record has no safe wrapper in `ort`.
mod placement;
mod tensorrt;

use std::collections::BTreeMap;

use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};
use segvol_onnx::Variant;
use serde::{Deserialize, Serialize};

pub(crate) use placement::{RECORD, placement};

/// Where the graphs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The first that the loaded library offers and that can open a session: TensorRT is left out, because it
    /// may take minutes to build its engines; then CUDA, then the CPU.
    #[default]
    Auto,
    /// ONNX Runtime's own kernels on the processor.
    Cpu,
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// NVIDIA GPUs through TensorRT, CUDA taking what TensorRT leaves.
    TensorRt,
    /// Intel's OpenVINO; on processors of other makers too.
    OpenVino,
}

impl Provider {
    /// Every provider that can be asked for.
    pub const ALL: [Self; 5] = [Self::Auto, Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// The word for it on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// The provider's name in ONNX Runtime.
    pub(crate) fn onnxruntime_name(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => ep::CPU::NAME,
            Self::Cuda => ep::CUDA::NAME,
            Self::TensorRt => ep::TensorRT::NAME,
            Self::OpenVino => ep::OpenVINO::NAME,
        }
    }

    /// The graph that the provider runs best.
    pub(crate) fn preferred_variant(self) -> Variant {
        match self {
            Self::Auto | Self::Cpu | Self::Cuda => Variant::Fused,
            Self::TensorRt | Self::OpenVino => Variant::Portable,
        }
    }

    /// Prompts that go through the mask decoder at once. On a processor more of them save no time, and each holds a third of a
    /// gigabyte at the full model's size; a GPU wants them together.
    pub(crate) fn decoder_batch(self) -> usize {
        match self {
            Self::Auto | Self::Cpu | Self::OpenVino => 2,
            Self::Cuda | Self::TensorRt => 16,
        }
    }

    /// What to register with a session. The CPU provider is always there and takes what the others leave.
    pub(crate) fn dispatch(self, threads: Option<usize>) -> Vec<ExecutionProviderDispatch> {
        match self {
            Self::Auto | Self::Cpu => cpu::dispatch(),
            Self::Cuda => cuda::dispatch(),
            Self::TensorRt => tensorrt::dispatch(),
            Self::OpenVino => openvino::dispatch(threads),
        }
    }

    /// Whether the loaded library was compiled with the provider.
    pub(crate) fn is_compiled_in(self) -> bool {
        let compiled_in = match self {
            Self::Auto | Self::Cpu => return true,
            Self::Cuda => ep::CUDA::is_available(),
            Self::TensorRt => ep::TensorRT::is_available(),
            Self::OpenVino => ep::OpenVINO::is_available(),
        };
        compiled_in.unwrap_or(false)
    }

    /// Those that the loaded library was compiled with.
    pub(crate) fn offered() -> Vec<Self> {
        Self::ALL.into_iter().filter(|&provider| provider != Self::Auto && provider.is_compiled_in()).collect()
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|provider| provider.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("provider `{text}`: expected one of {names}")
        })
    }
}

/// How many nodes of a stage's graph each provider took, by ONNX Runtime's name for the provider.
///
/// Counted in the graph as ONNX Runtime runs it, after its own fusions.
pub type Placement = BTreeMap<String, usize>;
