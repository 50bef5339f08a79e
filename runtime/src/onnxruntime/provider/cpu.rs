//! ONNX Runtime's own CPU kernels.

use ort::ep::{self, ExecutionProviderDispatch};

use super::option::{option_words, provider_options};

option_words! {
    /// How the image embedding goes from the encoder to the decoder.
    Binding {
        /// As values of a run.
        Off = "off",
        /// In a tensor of its own per window, bound to the encoder's output and the decoder's input.
        Fresh = "fresh",
        /// As `fresh`, with the encoder's input and output at one address in every run, as CUDA graphs need.
        Fixed = "fixed",
    }
}

provider_options! {
    /// Options of the CPU provider.
    CpuOptions {
        /// Whether idle threads wait by spinning: faster, but a core that spins is taken from others.
        spin: bool = true, "session.intra_op.allow_spinning (1)";
        /// Whether freed memory is kept for the next run.
        arena: bool = true, "DisableCpuMemArena (on)";
        /// Whether tensors are bound as on a GPU: for tests of that path, and no faster here.
        binding: Binding = Binding::Off, "CreateIoBinding";
    }
}

/// Nothing: the CPU provider is part of every session.
///
/// `ep::CPU::default()` would turn the memory arena off, so it is registered only to do that.
pub(super) fn dispatch(options: &CpuOptions) -> Vec<ExecutionProviderDispatch> {
    if options.arena {
        return Vec::new();
    }
    vec![ep::CPU::default().with_arena_allocator(false).build().error_on_failure()]
}
