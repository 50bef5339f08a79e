//! NVIDIA GPUs through CUDA.

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProviderDispatch};

use super::option::{ArenaGrowth, option_words, provider_options};

option_words! {
    /// How cuDNN searches for the fastest convolution.
    CudnnSearch {
        /// Tries all algorithms; the first run is slow.
        Exhaustive = "exhaustive",
        /// Chooses by a rule.
        Heuristic = "heuristic",
        /// Uses the algorithm that cuDNN calls its default.
        Default = "default",
    }
}

provider_options! {
    /// Options of the CUDA provider.
    CudaOptions {
        /// Number of the GPU, counted from 0.
        device: u16 = 0, "device_id (0)";
        /// Largest size of the memory arena in bytes, per stage; it includes the weights.
        memory_limit: Option<u64> = None, "gpu_mem_limit (no limit)";
        /// How the memory arena grows.
        arena: ArenaGrowth = ArenaGrowth::AsRequested, "arena_extend_strategy (kNextPowerOfTwo)";
        /// Whether float32 products may be computed in TF32. Its 10 bits of mantissa change the logits by more than the
        /// tolerances of the goldens.
        tf32: bool = false, "use_tf32 (1)";
        /// How cuDNN searches for the fastest convolution; only the mask decoder has convolutions.
        cudnn_search: CudnnSearch = CudnnSearch::Heuristic, "cudnn_conv_algo_search (EXHAUSTIVE)";
        /// Whether cuDNN is used. Turn it off if cuDNN is not installed.
        cudnn: bool = true, "enable_cudnn (1)";
        /// Whether the image encoder's kernel launches are recorded once and replayed; turns `keep_embedding` on.
        cuda_graph: bool = false, "enable_cuda_graph (0)";
        /// Whether the image embedding stays in the GPU's memory between encoder and decoder. The embeddings that a
        /// study keeps are then in GPU memory.
        keep_embedding: bool = false, "BindOutput, BindInput";
        /// Most windows that the image encoder encodes in one run; one, after a run of several has failed.
        window_batch: u16 = 4, "the first axis of the input";
    }
}

/// `records`: whether the session's kernel launches may be recorded.
pub(super) fn dispatch(options: &CudaOptions, records: bool) -> Vec<ExecutionProviderDispatch> {
    let mut provider = ep::CUDA::default()
        .with_device_id(i32::from(options.device))
        .with_arena_extend_strategy(options.arena.into())
        .with_tf32(options.tf32)
        .with_conv_algorithm_search(match options.cudnn_search {
            CudnnSearch::Exhaustive => ConvAlgorithmSearch::Exhaustive,
            CudnnSearch::Heuristic => ConvAlgorithmSearch::Heuristic,
            CudnnSearch::Default => ConvAlgorithmSearch::Default,
        })
        .with_cuda_graph(options.cuda_graph && records);
    if let Some(bytes) = options.memory_limit {
        provider = provider.with_arbitrary_config("gpu_mem_limit", bytes);
    }
    if !options.cudnn {
        // Set only if needed: older libraries do not know the key, and an unknown key is an error.
        provider = provider.with_arbitrary_config("enable_cudnn", "0");
    }
    vec![provider.build().error_on_failure()]
}
