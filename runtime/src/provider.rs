//! Execution providers by name: where the graphs run.
//!
//! A provider that was requested and is missing is an error; so is one that takes no node of a stage it was requested for.
//! Only [`Provider::Auto`] may choose; the report says what it chose and why it passed over the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::onnxruntime::provider::{
    ArenaGrowth, Binding, CoreMlOptions, CoreMlUnits, CpuOptions, CudaOptions, CudnnSearch, DirectMlOptions,
    MigraphXOptions, OpenVinoOptions, OpenVinoPrecision, OptionInfo, ProviderOptionError, ProviderOptions, RocmOptions,
    TensorRtOptions, WebGpuOptions, WebGpuValidation, XnnpackOptions,
};

/// Where the graphs run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The first of CUDA, ROCm, DirectML, OpenVINO and the CPU that the loaded library offers and that takes nodes of
    /// every stage.
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
    /// Every provider that can be asked for.
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

    /// What [`Provider::Auto`] tries, in this order: those that run a float32 graph as it stands, at once.
    pub const AUTO: [Self; 5] = [Self::Cuda, Self::Rocm, Self::DirectMl, Self::OpenVino, Self::Cpu];

    /// Why [`Provider::Auto`] leaves a provider out; nothing for those of [`Provider::AUTO`].
    #[must_use]
    pub fn left_out_of_auto(self) -> Option<&'static str> {
        match self {
            Self::TensorRt => Some("builds engines for minutes"),
            Self::MigraphX => Some("compiles for minutes"),
            Self::CoreMl => Some("may compute in float16"),
            Self::Xnnpack => Some("has few of the operators"),
            Self::WebGpu => Some("young, and never run with this model"),
            _ => None,
        }
    }

    /// The word for it on the command line and in reports.
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

/// How many nodes of a stage's graph each provider took, by ONNX Runtime's name for the provider.
///
/// Counted in the graph as ONNX Runtime runs it, after its own fusions.
pub type Placement = BTreeMap<String, usize>;

/// Nodes that went to the CPU though another provider was asked for: their names, by operator.
pub type LeftToCpu = BTreeMap<String, Vec<String>>;

/// A provider that [`Provider::Auto`] did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// The provider.
    pub provider: Provider,
    /// Why not.
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
        assert_eq!(Provider::AUTO.last(), Some(&Provider::Cpu), "the CPU is always there");
    }

    #[test]
    fn a_providers_name_is_its_word_and_its_json() {
        for provider in Provider::ALL {
            assert_eq!(provider.name().parse(), Ok(provider));
            assert_eq!(serde_json::to_string(&provider).expect("JSON"), format!("{:?}", provider.name()));
        }
        assert!("gpu".parse::<Provider>().expect_err("no provider").contains("tensorrt"));
    }
}
