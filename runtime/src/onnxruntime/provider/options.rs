//! The options of all providers, which can also be set by key.

use super::coreml::CoreMlOptions;
use super::cpu::CpuOptions;
use super::cuda::CudaOptions;
use super::directml::DirectMlOptions;
use super::migraphx::MigraphXOptions;
use super::openvino::OpenVinoOptions;
use super::option::{OptionInfo, OptionSet};
use super::rocm::RocmOptions;
use super::tensorrt::TensorRtOptions;
use super::webgpu::WebGpuOptions;
use super::xnnpack::XnnpackOptions;
use crate::provider::Provider;
use segvol_base::ErrorKind;

/// The options of all providers. The options of providers that are not used have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderOptions {
    /// ONNX Runtime's own kernels.
    pub cpu: CpuOptions,
    /// CUDA, also for the nodes that TensorRT does not take.
    pub cuda: CudaOptions,
    /// TensorRT.
    pub tensorrt: TensorRtOptions,
    /// OpenVINO.
    pub openvino: OpenVinoOptions,
    /// Core ML.
    pub coreml: CoreMlOptions,
    /// DirectML.
    pub directml: DirectMlOptions,
    /// ROCm.
    pub rocm: RocmOptions,
    /// MIGraphX.
    pub migraphx: MigraphXOptions,
    /// XNNPACK.
    pub xnnpack: XnnpackOptions,
    /// WebGPU.
    pub webgpu: WebGpuOptions,
}

/// Why an option could not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderOptionError {
    /// The text is not of the form `KEY=VALUE`.
    #[error("provider option `{text}`: expected KEY=VALUE or PROVIDER.KEY=VALUE")]
    Form {
        /// The text.
        text: String,
    },
    /// The key has no provider's name, and the provider is `auto`.
    #[error("provider option `{key}`: expected PROVIDER.{key}=VALUE with provider `auto`, for example cuda.device=1")]
    WhichProvider {
        /// The key.
        key: String,
    },
    /// The provider has no such option.
    #[error("provider `{provider}` has no option `{key}`; it has:\n{}", known(*provider))]
    UnknownKey {
        /// The provider.
        provider: Provider,
        /// The key.
        key: String,
    },
    /// The option has no such value.
    #[error("provider option `{provider}.{key}`: expected {expected}, found `{found}`")]
    BadValue {
        /// The provider.
        provider: Provider,
        /// The key.
        key: String,
        /// The allowed values.
        expected: String,
        /// The given value.
        found: String,
    },
}

impl ProviderOptionError {
    /// The kind of failure, which says what the caller can change.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Form { .. } | Self::WhichProvider { .. } | Self::UnknownKey { .. } | Self::BadValue { .. } => {
                ErrorKind::Usage
            }
        }
    }
}

fn known(provider: Provider) -> String {
    let line = |info: OptionInfo| format!("  {}={}  {} ({})", info.key, info.default, info.meaning, info.values);
    ProviderOptions::info(provider).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

impl ProviderOptions {
    /// Sets an option from text: `KEY=VALUE` for an option of `provider`, or `PROVIDER.KEY=VALUE` for one of any provider.
    ///
    /// # Errors
    ///
    /// - [`ProviderOptionError::Form`] if the text has another form, or names an unknown provider.
    /// - [`ProviderOptionError::WhichProvider`] if the key has no provider's name, and `provider` is [`Provider::Auto`].
    /// - [`ProviderOptionError::UnknownKey`] if the provider has no such option, with the options that it has.
    /// - [`ProviderOptionError::BadValue`] if the value is not allowed, with the allowed values.
    pub fn set(&mut self, provider: Provider, text: &str) -> Result<(), ProviderOptionError> {
        let form = || ProviderOptionError::Form { text: text.to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(form)?;
        let (provider, key) = match key.split_once('.') {
            Some((name, key)) => (name.parse().map_err(|_| form())?, key),
            None => (provider, key),
        };
        let result = match provider {
            Provider::Auto => return Err(ProviderOptionError::WhichProvider { key: key.to_owned() }),
            Provider::Cpu => self.cpu.set(key, value),
            Provider::Cuda => self.cuda.set(key, value),
            Provider::TensorRt => self.tensorrt.set(key, value),
            Provider::OpenVino => self.openvino.set(key, value),
            Provider::CoreMl => self.coreml.set(key, value),
            Provider::DirectMl => self.directml.set(key, value),
            Provider::Rocm => self.rocm.set(key, value),
            Provider::MigraphX => self.migraphx.set(key, value),
            Provider::Xnnpack => self.xnnpack.set(key, value),
            Provider::WebGpu => self.webgpu.set(key, value),
        };
        result.map_err(|expected| match expected {
            Some(expected) => {
                ProviderOptionError::BadValue { provider, key: key.to_owned(), expected, found: value.to_owned() }
            }
            None => ProviderOptionError::UnknownKey { provider, key: key.to_owned() },
        })
    }

    /// Descriptions of the options of a provider; empty for [`Provider::Auto`].
    #[must_use]
    pub fn info(provider: Provider) -> Vec<OptionInfo> {
        match provider {
            Provider::Auto => Vec::new(),
            Provider::Cpu => CpuOptions::info(),
            Provider::Cuda => CudaOptions::info(),
            Provider::TensorRt => TensorRtOptions::info(),
            Provider::OpenVino => OpenVinoOptions::info(),
            Provider::CoreMl => CoreMlOptions::info(),
            Provider::DirectMl => DirectMlOptions::info(),
            Provider::Rocm => RocmOptions::info(),
            Provider::MigraphX => MigraphXOptions::info(),
            Provider::Xnnpack => XnnpackOptions::info(),
            Provider::WebGpu => WebGpuOptions::info(),
        }
    }

    /// Replaces the CPU's options.
    #[must_use]
    pub fn cpu(mut self, options: CpuOptions) -> Self {
        self.cpu = options;
        self
    }

    /// Replaces CUDA's options.
    #[must_use]
    pub fn cuda(mut self, options: CudaOptions) -> Self {
        self.cuda = options;
        self
    }

    /// Replaces TensorRT's options.
    #[must_use]
    pub fn tensorrt(mut self, options: TensorRtOptions) -> Self {
        self.tensorrt = options;
        self
    }

    /// Replaces OpenVINO's options.
    #[must_use]
    pub fn openvino(mut self, options: OpenVinoOptions) -> Self {
        self.openvino = options;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{ArenaGrowth, Binding, CudnnSearch, OpenVinoPrecision};

    #[test]
    fn options_are_set_by_key() {
        let mut options = ProviderOptions::default();
        for text in
            ["device=3", "memory_limit=1000000", "tf32=on", "cuda.cudnn_search=exhaustive", "arena=power-of-two"]
        {
            options.set(Provider::Cuda, text).expect(text);
        }
        options.set(Provider::Cuda, "openvino.precision=bf16").expect("of another provider");
        options.set(Provider::Auto, "cpu.binding=fixed").expect("with its provider");
        let cuda = CudaOptions::default()
            .device(3_u16)
            .memory_limit(1_000_000)
            .tf32(true)
            .cudnn_search(CudnnSearch::Exhaustive)
            .arena(ArenaGrowth::PowerOfTwo);
        let openvino = OpenVinoOptions::default().precision(OpenVinoPrecision::Bf16);
        let cpu = CpuOptions::default().binding(Binding::Fixed);
        assert_eq!(options, ProviderOptions::default().cuda(cuda).openvino(openvino).cpu(cpu));
        options.set(Provider::Cuda, "memory_limit=unset").expect("back to no limit");
        assert_eq!(options.cuda.memory_limit, None);
    }

    #[test]
    fn an_unknown_key_lists_the_known_ones_with_their_meaning() {
        let mut options = ProviderOptions::default();
        let error = options.set(Provider::OpenVino, "precison=bf16").expect_err("misspelt").to_string();
        for part in
            ["`openvino`", "`precison`", "precision=f32", "f32, bf16, f16", "cache=unset", "Folder for compiled"]
        {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
        let error = options.set(Provider::Cuda, "device=-1").expect_err("negative").to_string();
        assert_eq!(error, "provider option `cuda.device`: expected a whole number up to 65535, found `-1`");
        let error = options.set(Provider::Auto, "device=1").expect_err("no provider").to_string();
        assert!(error.contains("cuda.device=1"), "{error}");
        for text in ["device", "cuca.device=1"] {
            let error = options.set(Provider::Cuda, text).expect_err("no option");
            assert_eq!(error, ProviderOptionError::Form { text: text.to_owned() });
        }
        assert_eq!(options, ProviderOptions::default(), "a failed call changes nothing");
    }

    #[test]
    fn every_default_is_a_value_that_can_be_given() {
        for provider in Provider::ALL {
            for info in ProviderOptions::info(provider) {
                let mut options = ProviderOptions::default();
                options.set(provider, &format!("{}={}", info.key, info.default)).expect(info.key);
                assert_eq!(options, ProviderOptions::default(), "{provider}.{}", info.key);
            }
        }
    }
}
