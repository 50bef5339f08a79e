//! ONNX Runtime's own CPU kernels.

use ort::ep::{self, ExecutionProviderDispatch};

use super::option::{option_words, provider_options};

option_words! {
    /// How the image embedding is passed from the encoder to the decoder.
    Binding {
        /// As output values of one run and input values of the next.
        Off = "off",
        /// In a new tensor per window, which is bound to the encoder's output and the decoder's input.
        Fresh = "fresh",
        /// As `fresh`, but with the encoder's input and output at the same address in every run, as CUDA graphs need.
        Fixed = "fixed",
    }
}

provider_options! {
    /// Options of the CPU provider.
    CpuOptions {
        /// Whether idle threads wait by spinning: faster, but a spinning core is not free for other programs.
        spin: bool = true, "session.intra_op.allow_spinning (1)";
        /// Whether freed memory is kept for the next run.
        arena: bool = true, "DisableCpuMemArena (on)";
        /// Whether tensors are bound as on a GPU: for tests of that code, not faster on the CPU.
        binding: Binding = Binding::Off, "CreateIoBinding";
        /// Most windows that the image encoder encodes in one run. More than one gain nothing here.
        window_batch: u16 = 1, "the first axis of the input";
    }
}

/// Empty by default, because the CPU provider is part of every session.
///
/// It is registered only to turn the memory arena off.
pub(super) fn dispatch(options: &CpuOptions) -> Vec<ExecutionProviderDispatch> {
    if options.arena {
        return Vec::new();
    }
    vec![ep::CPU::default().with_arena_allocator(false).build().error_on_failure()]
}
