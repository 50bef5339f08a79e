//! Apple's Core ML.

use std::path::PathBuf;

use ort::ep::coreml::{ComputeUnits, ModelFormat};
use ort::ep::{self, ExecutionProviderDispatch};

use super::option::{option_words, provider_options};

option_words! {
    /// Apple's units on which the graph may run.
    CoreMlUnits {
        /// All units.
        All = "all",
        /// Processor and neural engine.
        CpuAndNeuralEngine = "cpu-and-neural-engine",
        /// Processor and GPU.
        CpuAndGpu = "cpu-and-gpu",
        /// Only the processor.
        Cpu = "cpu",
    }
}

provider_options! {
    /// Options of the Core ML provider.
    CoreMlOptions {
        /// Units on which the graph may run. The neural engine computes in float16.
        units: CoreMlUnits = CoreMlUnits::CpuAndGpu, "MLComputeUnits (ALL)";
        /// Whether the newer graph format is used, which needs macOS 12 and has more operators.
        ml_program: bool = true, "ModelFormat (NeuralNetwork)";
        /// Whether Core ML takes only parts of the graph with fixed shapes.
        static_shapes: bool = false, "RequireStaticInputShapes (0)";
        /// Whether the GPU may accumulate sums in float16.
        low_precision_sums: bool = false, "AllowLowPrecisionAccumulationOnGPU (0)";
        /// Folder for compiled graphs.
        cache: Option<PathBuf> = None, "ModelCacheDirectory (none)";
    }
}

pub(super) fn dispatch(options: &CoreMlOptions) -> Vec<ExecutionProviderDispatch> {
    let mut provider = ep::CoreML::default()
        .with_compute_units(match options.units {
            CoreMlUnits::All => ComputeUnits::All,
            CoreMlUnits::CpuAndNeuralEngine => ComputeUnits::CPUAndNeuralEngine,
            CoreMlUnits::CpuAndGpu => ComputeUnits::CPUAndGPU,
            CoreMlUnits::Cpu => ComputeUnits::CPUOnly,
        })
        .with_model_format(if options.ml_program { ModelFormat::MLProgram } else { ModelFormat::NeuralNetwork })
        .with_static_input_shapes(options.static_shapes)
        .with_low_precision_accumulation_on_gpu(options.low_precision_sums);
    if let Some(cache) = &options.cache {
        provider = provider.with_model_cache_dir(cache.display());
    }
    vec![provider.build().error_on_failure()]
}
