//! NVIDIA GPUs through CUDA.

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProviderDispatch};
use segvol_onnx::Stage;

use super::option::{ArenaGrowth, option_words, provider_options};

option_words! {
    /// How cuDNN looks for the fastest convolution.
    CudnnSearch {
        /// Tries all: the first run is slow.
        Exhaustive = "exhaustive",
        /// By rule.
        Heuristic = "heuristic",
        /// Takes the algorithm that cuDNN calls its default.
        Default = "default",
    }
}

provider_options! {
    /// Options of the CUDA provider.
    CudaOptions {
        /// Which GPU, counted from 0.
        device: u16 = 0, "device_id (0)";
        /// Most bytes of the memory arena, per stage; the weights lie in it.
        memory_limit: Option<u64> = None, "gpu_mem_limit (no limit)";
        /// How the memory arena grows.
        arena: ArenaGrowth = ArenaGrowth::AsRequested, "arena_extend_strategy (kNextPowerOfTwo)";
        /// Whether float32 products may be rounded to TF32, whose 10 bits of mantissa move the logits by more than the
        /// goldens allow.
        tf32: bool = false, "use_tf32 (1)";
        /// How cuDNN looks for the fastest convolution; only the mask decoder has any.
        cudnn_search: CudnnSearch = CudnnSearch::Heuristic, "cudnn_conv_algo_search (EXHAUSTIVE)";
        /// Whether cuDNN is used at all; off where it is not installed.
        cudnn: bool = true, "enable_cudnn (1)";
        /// Whether the image encoder's launches are recorded once and replayed; needs `keep_embedding`.
        cuda_graph: bool = false, "enable_cuda_graph (0)";
        /// Whether the image embedding stays in the GPU's memory between encoder and decoder. What a study keeps of
        /// them is then GPU memory.
        keep_embedding: bool = true, "BindOutput, BindInput";
    }
}

pub(super) fn dispatch(options: &CudaOptions, stage: Option<Stage>) -> Vec<ExecutionProviderDispatch> {
    let mut provider = ep::CUDA::default()
        .with_device_id(i32::from(options.device))
        .with_arena_extend_strategy(options.arena.into())
        .with_tf32(options.tf32)
        .with_conv_algorithm_search(match options.cudnn_search {
            CudnnSearch::Exhaustive => ConvAlgorithmSearch::Exhaustive,
            CudnnSearch::Heuristic => ConvAlgorithmSearch::Heuristic,
            CudnnSearch::Default => ConvAlgorithmSearch::Default,
        })
        // Only the encoder has one shape for ever, and its tensors at one address.
        .with_cuda_graph(options.cuda_graph && options.keep_embedding && stage == Some(Stage::ImageEncoder));
    if let Some(bytes) = options.memory_limit {
        provider = provider.with_arbitrary_config("gpu_mem_limit", bytes);
    }
    if !options.cudnn {
        // Older libraries do not know the key, and an unknown key is an error.
        provider = provider.with_arbitrary_config("enable_cudnn", "0");
    }
    vec![provider.build().error_on_failure()]
}
