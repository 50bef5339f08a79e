//! AMD GPUs through ROCm. ONNX Runtime has it only up to 1.22; MIGraphX is its successor.

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProviderDispatch};

use super::option::{ArenaGrowth, provider_options};

provider_options! {
    /// Options of the ROCm provider.
    RocmOptions {
        /// Number of the GPU, counted from 0.
        device: u16 = 0, "device_id (0)";
        /// Largest size of the memory arena in bytes, per stage.
        memory_limit: Option<u64> = None, "gpu_mem_limit (no limit)";
        /// How the memory arena grows.
        arena: ArenaGrowth = ArenaGrowth::AsRequested, "arena_extend_strategy (kNextPowerOfTwo)";
        /// Whether all kernels for a matrix product are tried to find the fastest. The first run is then slow.
        tuning: bool = false, "tunable_op_enable, tunable_op_tuning_enable (0)";
        /// Most windows that the image encoder encodes in one run; one, after a run of several has failed.
        window_batch: u16 = 4, "the first axis of the input";
    }
}

pub(super) fn dispatch(options: &RocmOptions) -> Vec<ExecutionProviderDispatch> {
    let mut provider = ep::ROCm::default()
        .with_device_id(i32::from(options.device))
        .with_arena_extend_strategy(options.arena.into())
        .with_tunable_op(options.tuning)
        .with_tuning(options.tuning);
    if let Some(bytes) = options.memory_limit {
        provider = provider.with_arbitrary_config("gpu_mem_limit", bytes);
    }
    vec![provider.build().error_on_failure()]
}
