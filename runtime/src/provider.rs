//! Execution providers by name. A provider is a part of ONNX Runtime that runs graphs on some hardware.
//!
//! It is an error if a requested provider is missing, or if it takes no node of a stage it was requested for. Only
//! [`Provider::Auto`] may choose; the report says what it chose and why it did not choose the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::onnxruntime::provider::{
    ArenaGrowth, Binding, CoreMlOptions, CoreMlUnits, CpuOptions, CudaOptions, CudnnSearch, DirectMlOptions,
    MigraphXOptions, OpenVinoOptions, OpenVinoPrecision, OptionInfo, ProviderOptionError, ProviderOptions, RocmOptions,
    TensorRtOptions, WebGpuOptions, WebGpuValidation, XnnpackOptions,
};

/// The part of ONNX Runtime that runs the graphs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The first of CUDA, ROCm, DirectML, OpenVINO and the CPU that the loaded library offers and that takes nodes of
    /// every stage, unless [`Options::measured`](crate::Options::measured) has a measured choice.
    #[default]
    Auto,
    /// ONNX Runtime's own kernels on the processor.
    Cpu,
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// NVIDIA GPUs through TensorRT. Nodes that TensorRT does not take run on CUDA.
    TensorRt,
    /// Intel's OpenVINO, which also runs on processors of other makers.
    OpenVino,
    /// Apple's Core ML.
    CoreMl,
    /// Microsoft's DirectML.
    DirectMl,
    /// AMD GPUs through ROCm.
    Rocm,
    /// AMD GPUs through MIGraphX.
    MigraphX,
    /// Google's XNNPACK, on processors.
    Xnnpack,
    /// Any GPU through WebGPU.
    WebGpu,
}

impl Provider {
    /// Every provider that can be requested.
    pub const ALL: [Self; 11] = [
        Self::Auto,
        Self::Cpu,
        Self::Cuda,
        Self::TensorRt,
        Self::OpenVino,
        Self::CoreMl,
        Self::DirectMl,
        Self::Rocm,
        Self::MigraphX,
        Self::Xnnpack,
        Self::WebGpu,
    ];

    /// The providers that [`Provider::Auto`] tries, in this order: those that run a float32 graph unchanged, without minutes
    /// of compilation.
    pub const AUTO: [Self; 5] = [Self::Cuda, Self::Rocm, Self::DirectMl, Self::OpenVino, Self::Cpu];

    /// Why [`Provider::Auto`] never tries a provider; `None` for those of [`Provider::AUTO`] and for `Auto` itself.
    #[must_use]
    pub fn left_out_of_auto(self) -> Option<&'static str> {
        match self {
            Self::TensorRt => Some("takes minutes to build its engines"),
            Self::MigraphX => Some("takes minutes to compile the graphs"),
            Self::CoreMl => Some("may compute in float16"),
            Self::Xnnpack => Some("supports few of the operators"),
            Self::WebGpu => Some("new, and never tested with this model"),
            _ => None,
        }
    }

    /// The provider's name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
            Self::Rocm => "rocm",
            Self::MigraphX => "migraphx",
            Self::Xnnpack => "xnnpack",
            Self::WebGpu => "webgpu",
        }
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

/// Number of nodes of a stage's graph that each provider took, by ONNX Runtime's name for the provider.
///
/// The nodes are those of the graph that ONNX Runtime runs, after its own fusions.
pub type Placement = BTreeMap<String, usize>;

/// Nodes that run on the CPU although another provider was requested: their names, by operator.
pub type LeftToCpu = BTreeMap<String, Vec<String>>;

/// A provider that [`Provider::Auto`] did not choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// The provider.
    pub provider: Provider,
    /// Why it was not chosen.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_tries_a_provider_or_says_why_not() {
        for provider in Provider::ALL.into_iter().filter(|&provider| provider != Provider::Auto) {
            assert_ne!(Provider::AUTO.contains(&provider), provider.left_out_of_auto().is_some(), "{provider}");
        }
        assert_eq!(Provider::AUTO.last(), Some(&Provider::Cpu), "the CPU is always available");
    }

    #[test]
    fn a_providers_name_is_its_word_and_its_json() {
        for provider in Provider::ALL {
            assert_eq!(provider.name().parse(), Ok(provider));
            assert_eq!(serde_json::to_string(&provider).expect("JSON"), format!("{:?}", provider.name()));
        }
        assert!("gpu".parse::<Provider>().expect_err("not a provider").contains("tensorrt"));
    }
}
