//! AMD GPUs through MIGraphX.

use ort::ep::{self, ExecutionProviderDispatch};

use super::option::{ArenaGrowth, provider_options};

provider_options! {
    /// Options of the MIGraphX provider.
    MigraphXOptions {
        /// Number of the GPU, counted from 0.
        device: u16 = 0, "device_id (0)";
        /// Whether it may compute in float16.
        fp16: bool = false, "migraphx_fp16_enable (0)";
        /// Whether all kernels are tried to find the fastest. This takes minutes per stage.
        exhaustive_tuning: bool = false, "migraphx_exhaustive_tune (0)";
        /// How the memory arena grows.
        arena: ArenaGrowth = ArenaGrowth::AsRequested, "migraphx_arena_extend_strategy (kNextPowerOfTwo)";
    }
}

pub(super) fn dispatch(options: &MigraphXOptions) -> Vec<ExecutionProviderDispatch> {
    let provider = ep::MIGraphX::default()
        .with_device_id(i32::from(options.device))
        .with_fp16(options.fp16)
        .with_exhaustive_tune(options.exhaustive_tuning)
        .with_arena_extend_strategy(options.arena.into());
    vec![provider.build().error_on_failure()]
}
