//! Execution providers: how each is set up, registered with a session, and chosen by `auto`.

mod coreml;
mod cpu;
mod cuda;
mod directml;
mod migraphx;
mod openvino;
mod option;
mod options;
mod rocm;
mod tensorrt;
mod webgpu;
mod xnnpack;

use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};
use ort::session::builder::{AutoDevicePolicy, SessionBuilder};
use segvol_onnx::{Stage, TensorSpec, Variant};

pub use coreml::{CoreMlOptions, CoreMlUnits};
pub use cpu::{Binding, CpuOptions};
pub use cuda::{CudaOptions, CudnnSearch};
pub use directml::DirectMlOptions;
pub use migraphx::MigraphXOptions;
pub use openvino::{OpenVinoOptions, OpenVinoPrecision};
pub use option::{ArenaGrowth, OptionInfo};
pub use options::{ProviderOptionError, ProviderOptions};
pub use rocm::RocmOptions;
pub use tensorrt::TensorRtOptions;
pub use webgpu::{WebGpuOptions, WebGpuValidation};
pub use xnnpack::XnnpackOptions;

use super::binding::Place;
use crate::error::Error;
use crate::provider::{PassedOver, Provider};

impl Provider {
    /// The provider's name in ONNX Runtime.
    pub(crate) fn onnxruntime_name(self) -> &'static str {
        match self {
            Self::Auto | Self::Cpu => ep::CPU::NAME,
            Self::Cuda => ep::CUDA::NAME,
            Self::TensorRt => ep::TensorRT::NAME,
            Self::OpenVino => ep::OpenVINO::NAME,
            Self::CoreMl => ep::CoreML::NAME,
            Self::DirectMl => ep::DirectML::NAME,
            Self::Rocm => ep::ROCm::NAME,
            Self::MigraphX => ep::MIGraphX::NAME,
            Self::Xnnpack => ep::XNNPACK::NAME,
            Self::WebGpu => ep::WebGPU::NAME,
        }
    }

    /// The graph that the provider runs best.
    pub(crate) fn preferred_variant(self) -> Variant {
        match self {
            Self::Auto | Self::Cpu | Self::Cuda | Self::Rocm | Self::WebGpu => Variant::Fused,
            Self::TensorRt | Self::OpenVino | Self::CoreMl | Self::DirectMl | Self::MigraphX | Self::Xnnpack => {
                Variant::Portable
            }
        }
    }

    /// Whether the loaded library was compiled with the provider.
    pub(crate) fn is_compiled_in(self) -> bool {
        let compiled_in = match self {
            Self::Auto | Self::Cpu => return true,
            Self::Cuda => ep::CUDA::is_available(),
            Self::TensorRt => ep::TensorRT::is_available(),
            Self::OpenVino => ep::OpenVINO::is_available(),
            Self::CoreMl => ep::CoreML::is_available(),
            Self::DirectMl => ep::DirectML::is_available(),
            Self::Rocm => ep::ROCm::is_available(),
            Self::MigraphX => ep::MIGraphX::is_available(),
            Self::Xnnpack => ep::XNNPACK::is_available(),
            Self::WebGpu => ep::WebGPU::is_available(),
        };
        compiled_in.unwrap_or(false)
    }

    /// Those that the loaded library was compiled with.
    pub(crate) fn offered() -> Vec<Self> {
        Self::ALL.into_iter().filter(|&provider| provider != Self::Auto && provider.is_compiled_in()).collect()
    }

    /// Where a tensor lies that goes from one of the provider's sessions to another without being copied to the host;
    /// none where tensors are not bound.
    pub(crate) fn place(self, options: &ProviderOptions) -> Option<Place> {
        let gpu = |device, fixed| options.cuda.keep_embedding.then_some(Place::Cuda { device, fixed });
        match self {
            Self::Cpu => match options.cpu.binding {
                Binding::Off => None,
                Binding::Fresh => Some(Place::Cpu { fixed: false }),
                Binding::Fixed => Some(Place::Cpu { fixed: true }),
            },
            Self::Cuda => gpu(options.cuda.device, options.cuda.cuda_graph),
            Self::TensorRt => gpu(options.tensorrt.device, options.tensorrt.cuda_graph),
            _ => None,
        }
    }

    /// The most prompts that go through the decoder in one run. On a processor more of them save no time, and each holds a
    /// third of a gigabyte at the full model's size; a GPU wants them together.
    pub(crate) fn batch_limit(self, options: &ProviderOptions) -> usize {
        match self {
            Self::TensorRt if options.tensorrt.profiles => usize::from(options.tensorrt.max_batch).max(1),
            Self::Auto | Self::Cpu | Self::OpenVino | Self::Xnnpack => 2,
            _ => 16,
        }
    }
}

/// Opens on the first provider of [`Provider::AUTO`] that can be used, and says why the others were not
/// taken. A stage that was put elsewhere by name fails at once: there nothing was left to choose.
pub(crate) fn open_first<T>(open: impl Fn(Provider) -> Result<T, Error>) -> Result<(T, Vec<PassedOver>), Error> {
    let mut passed_over: Vec<PassedOver> = Provider::ALL
        .into_iter()
        .filter_map(|provider| Some(PassedOver { provider, reason: provider.left_out_of_auto()?.to_owned() }))
        .filter(|passed| passed.provider.is_compiled_in())
        .collect();
    let (&last, candidates) = Provider::AUTO.split_last().unwrap_or((&Provider::Cpu, &[]));
    for &candidate in candidates {
        let reason = match open(candidate) {
            Ok(opened) => return Ok((opened, passed_over)),
            Err(Error::ProviderMissing { provider, .. }) if provider == candidate => {
                "not in the loaded ONNX Runtime".to_owned()
            }
            Err(Error::ProviderFailed { provider, stage, reason }) if provider == candidate => {
                format!("stage `{stage}`: {reason}")
            }
            Err(error) => return Err(error),
        };
        tracing::info!(provider = %candidate, reason, "passed over");
        passed_over.push(PassedOver { provider: candidate, reason });
    }
    Ok((open(last)?, passed_over))
}

/// What a session is opened for, besides its provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'a> {
    /// The stage; none for a trial.
    pub(crate) stage: Option<Stage>,
    /// What the graph takes.
    pub(crate) inputs: &'a [TensorSpec],
    /// Threads, if not as many as there are cores.
    pub(crate) threads: Option<usize>,
    /// SHA-256 of the bundle's manifest; none for a trial, which keeps nothing on disk.
    pub(crate) bundle: Option<&'a str>,
    /// The loaded library's version.
    pub(crate) onnxruntime: &'a str,
    /// The providers' options.
    pub(crate) options: &'a ProviderOptions,
}

impl Settings<'_> {
    /// Registers a provider with a session, and sets what the session needs for it. The CPU provider is always there
    /// and takes what the others leave.
    ///
    /// # Errors
    ///
    /// What the provider, or ONNX Runtime for it, said.
    pub(crate) fn register(&self, provider: Provider, builder: SessionBuilder) -> Result<SessionBuilder, String> {
        let said = |error: ort::Error<SessionBuilder>| error.to_string();
        // `ort` asks for the most efficient device otherwise, which on macOS registers Core ML unasked.
        let mut builder = builder.with_auto_device(AutoDevicePolicy::PreferCPU).map_err(said)?;
        // XNNPACK has threads of its own.
        let threads = if provider == Provider::Xnnpack { Some(1) } else { self.threads };
        if let Some(threads) = threads {
            builder = builder.with_intra_threads(threads).map_err(said)?;
        }
        if !self.options.cpu.spin || provider == Provider::Xnnpack {
            builder = builder.with_intra_op_spinning(false).map_err(said)?;
        }
        if provider == Provider::DirectMl {
            // DirectML refuses sessions that lay out their memory beforehand.
            builder = builder.with_memory_pattern(false).map_err(said)?;
        }
        builder.with_execution_providers(self.dispatch(provider)?).map_err(said)
    }

    fn dispatch(&self, provider: Provider) -> Result<Vec<ExecutionProviderDispatch>, String> {
        let options = self.options;
        Ok(match provider {
            Provider::Auto | Provider::Cpu => cpu::dispatch(&options.cpu),
            Provider::Cuda => cuda::dispatch(&options.cuda, self.stage),
            Provider::TensorRt => tensorrt::dispatch(&options.tensorrt, &options.cuda, self)?,
            Provider::OpenVino => openvino::dispatch(&options.openvino, self.threads, self.stage),
            Provider::CoreMl => coreml::dispatch(&options.coreml),
            Provider::DirectMl => directml::dispatch(&options.directml),
            Provider::Rocm => rocm::dispatch(&options.rocm),
            Provider::MigraphX => migraphx::dispatch(&options.migraphx),
            Provider::Xnnpack => xnnpack::dispatch(&options.xnnpack, self.threads),
            Provider::WebGpu => webgpu::dispatch(&options.webgpu),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_bound_where_the_provider_keeps_them() {
        let options = ProviderOptions::default();
        assert_eq!(Provider::Cpu.place(&options), None);
        assert_eq!(Provider::Cuda.place(&options), Some(Place::Cuda { device: 0, fixed: false }));
        let options = options.cuda(CudaOptions::default().keep_embedding(false));
        assert_eq!(Provider::Cuda.place(&options), None);
        let options = options.tensorrt(TensorRtOptions::default().max_batch(4_u16));
        assert_eq!(Provider::TensorRt.batch_limit(&options), 4);
    }
}
