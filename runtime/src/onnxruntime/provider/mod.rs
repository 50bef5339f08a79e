//! Execution providers: sets them up, registers them with a session, and chooses one for `auto`.

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
use segvol_base::machine;
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

    /// Whether the loaded library was built with the provider.
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
        // An error means that ONNX Runtime cannot list its providers, so none of them can be registered.
        compiled_in.unwrap_or(false)
    }

    /// The providers that the loaded library was built with.
    pub(crate) fn offered() -> Vec<Self> {
        Self::ALL.into_iter().filter(|&provider| provider != Self::Auto && provider.is_compiled_in()).collect()
    }

    /// The memory of tensors that go from one of the provider's sessions to another without a copy to the host. `None` if
    /// tensors are not bound.
    pub(crate) fn place(self, options: &ProviderOptions) -> Option<Place> {
        let gpu = |device, fixed| (options.cuda.keep_embedding || fixed).then_some(Place::Cuda { device, fixed });
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

    /// Whether the provider keeps what it makes of a graph and its weights on disk for later runs, as far as that is known:
    /// variables of the environment turn some of these caches on.
    pub(crate) fn keeps_compiled(self, options: &ProviderOptions) -> bool {
        match self {
            Self::TensorRt | Self::CoreMl | Self::MigraphX => true,
            Self::OpenVino => options.openvino.cache.is_some(),
            Self::Auto | Self::Cpu | Self::Cuda | Self::DirectMl | Self::Rocm | Self::Xnnpack | Self::WebGpu => false,
        }
    }

    /// The largest number of windows per run of the image encoder. On a processor, several windows in a run take as long as one
    /// after the other. Providers that compile each shape for minutes, or have no option for it, get one.
    pub(crate) fn window_batch(self, options: &ProviderOptions) -> usize {
        let windows = match self {
            Self::Cpu => options.cpu.window_batch,
            Self::Cuda => options.cuda.window_batch,
            Self::TensorRt if options.tensorrt.profiles => options.tensorrt.best_batch.min(options.tensorrt.max_batch),
            Self::OpenVino => options.openvino.window_batch,
            Self::DirectMl => options.directml.window_batch,
            Self::Rocm => options.rocm.window_batch,
            Self::WebGpu => options.webgpu.window_batch,
            Self::Auto | Self::TensorRt | Self::CoreMl | Self::MigraphX | Self::Xnnpack => 1,
        };
        usize::from(windows).max(1)
    }

    /// The largest number of prompts per run of the decoder. On a processor, larger batches save no time, and each prompt
    /// needs a third of a gigabyte for the full model. On a GPU, larger batches are faster.
    pub(crate) fn batch_limit(self, options: &ProviderOptions) -> usize {
        match self {
            Self::TensorRt if options.tensorrt.profiles => usize::from(options.tensorrt.max_batch).max(1),
            Self::Auto | Self::Cpu | Self::OpenVino | Self::Xnnpack => 2,
            _ => 16,
        }
    }
}

/// Calls `open` with the providers of [`Provider::AUTO`] until one can be used. Also returns the providers that were not
/// chosen, with the reasons.
///
/// # Errors
///
/// The error of the last provider, or the first error that is not about the tried provider. The latter includes the error
/// of a stage whose provider was set by name: `auto` cannot choose another one for it.
pub(crate) fn open_first<T>(open: impl Fn(Provider) -> Result<T, Error>) -> Result<(T, Vec<PassedOver>), Error> {
    let mut passed_over: Vec<PassedOver> = Provider::ALL
        .into_iter()
        .filter_map(|provider| Some(PassedOver { provider, reason: provider.left_out_of_auto()?.to_owned() }))
        .filter(|passed| passed.provider.is_compiled_in())
        .collect();
    let (&last, candidates) = Provider::AUTO.split_last().expect("`AUTO` has providers");
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
        tracing::info!(provider = %candidate, reason, "provider not chosen");
        passed_over.push(PassedOver { provider: candidate, reason });
    }
    Ok((open(last)?, passed_over))
}

/// The settings of a session, except its provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings<'a> {
    /// The stage; `None` for a test of the provider.
    pub(crate) stage: Option<Stage>,
    /// The inputs of the graph.
    pub(crate) inputs: &'a [TensorSpec],
    /// Number of threads; `None` for one per core that this process may use ([`machine::usable_cores`]).
    pub(crate) threads: Option<usize>,
    /// SHA-256 of the bundle's manifest, which names the folder of cached engines. If `None`, nothing is cached.
    pub(crate) bundle: Option<&'a str>,
    /// The loaded library's version.
    pub(crate) onnxruntime: &'a str,
    /// The providers' options.
    pub(crate) options: &'a ProviderOptions,
    /// Where tensors are bound; `None` if they are not.
    pub(crate) place: Option<Place>,
}

impl Settings<'_> {
    /// Registers a provider with a session, and sets what the session needs for it. The CPU provider is always available;
    /// it takes the nodes that the others do not take.
    ///
    /// # Errors
    ///
    /// The message of the provider or of ONNX Runtime.
    pub(crate) fn register(&self, provider: Provider, builder: SessionBuilder) -> Result<SessionBuilder, String> {
        let said = |error: ort::Error<SessionBuilder>| error.to_string();
        // By default `ort` requests the most efficient device, and so registers Core ML on macOS without a request.
        let mut builder = builder.with_auto_device(AutoDevicePolicy::PreferCPU).map_err(said)?;
        // Always a number: with a number of its own, ONNX Runtime starts a thread for each core of the machine, and pins it there,
        // whatever this process may use. XNNPACK has its own threads.
        let threads = if provider == Provider::Xnnpack { 1 } else { self.thread_count() };
        builder = builder.with_intra_threads(threads).map_err(said)?;
        // Nodes run one after the other, so this pool has no work.
        builder = builder.with_inter_threads(1).map_err(said)?;
        if !self.options.cpu.spin || provider == Provider::Xnnpack {
            builder = builder.with_intra_op_spinning(false).map_err(said)?;
        }
        if provider == Provider::DirectMl {
            // DirectML rejects sessions that plan their memory in advance.
            builder = builder.with_memory_pattern(false).map_err(said)?;
        }
        builder.with_execution_providers(self.dispatch(provider)?).map_err(said)
    }

    /// The number of threads of a graph.
    fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(machine::usable_cores)
    }

    /// Whether kernel launches may be recorded: a replay reads and writes the addresses of the recording, and ONNX Runtime does not
    /// check that a run has them. Only the image encoder has a fixed shape.
    fn records(&self) -> bool {
        self.stage == Some(Stage::ImageEncoder) && self.place.is_some_and(Place::fixed)
    }

    fn dispatch(&self, provider: Provider) -> Result<Vec<ExecutionProviderDispatch>, String> {
        let options = self.options;
        Ok(match provider {
            Provider::Auto | Provider::Cpu => cpu::dispatch(&options.cpu),
            Provider::Cuda => cuda::dispatch(&options.cuda, self.records()),
            Provider::TensorRt => {
                let Self { inputs, bundle, onnxruntime, .. } = *self;
                let graph = tensorrt::EngineGraph { inputs, bundle, onnxruntime, records: self.records() };
                tensorrt::dispatch(&options.tensorrt, &options.cuda, &graph)?
            }
            Provider::OpenVino => openvino::dispatch(&options.openvino, self.thread_count(), self.stage),
            Provider::CoreMl => coreml::dispatch(&options.coreml),
            Provider::DirectMl => directml::dispatch(&options.directml),
            Provider::Rocm => rocm::dispatch(&options.rocm),
            Provider::MigraphX => migraphx::dispatch(&options.migraphx),
            Provider::Xnnpack => xnnpack::dispatch(&options.xnnpack, self.thread_count()),
            Provider::WebGpu => webgpu::dispatch(&options.webgpu),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_with_a_cache_on_disk_is_known() {
        let options = ProviderOptions::default();
        for provider in [Provider::Cpu, Provider::Cuda, Provider::OpenVino] {
            assert!(!provider.keeps_compiled(&options), "{provider}");
        }
        assert!(Provider::TensorRt.keeps_compiled(&options), "its engines are kept by default");
        let options = options.openvino(OpenVinoOptions::default().cache(std::path::PathBuf::from("compiled")));
        assert!(Provider::OpenVino.keeps_compiled(&options));
    }

    #[test]
    fn tensors_are_bound_where_the_provider_keeps_them() {
        let options = ProviderOptions::default();
        assert_eq!(Provider::Cpu.place(&options), None);
        assert_eq!(Provider::Cuda.place(&options), None);
        let options = options.cuda(CudaOptions::default().keep_embedding(true));
        assert_eq!(Provider::Cuda.place(&options), Some(Place::Cuda { device: 0, fixed: false }));
        // A recorded graph needs its tensors where they were.
        let options = options.cuda(CudaOptions::default().cuda_graph(true));
        assert_eq!(Provider::Cuda.place(&options), Some(Place::Cuda { device: 0, fixed: true }));
        let options = options.tensorrt(TensorRtOptions::default().max_batch(4_u16));
        assert_eq!(Provider::TensorRt.batch_limit(&options), 4);
    }

    #[test]
    fn windows_are_batched_where_a_gpu_may_gain_from_it() {
        let options = ProviderOptions::default();
        for provider in Provider::ALL {
            let expected = if matches!(provider, Provider::Cuda | Provider::Rocm) { 4 } else { 1 };
            assert_eq!(provider.window_batch(&options), expected, "{provider}");
        }
        let options = options.tensorrt(TensorRtOptions::default().best_batch(8_u16).max_batch(6_u16));
        assert_eq!(Provider::TensorRt.window_batch(&options), 6, "no engine takes more");
        let options = options.cpu(CpuOptions::default().window_batch(0_u16));
        assert_eq!(Provider::Cpu.window_batch(&options), 1);
    }
}
