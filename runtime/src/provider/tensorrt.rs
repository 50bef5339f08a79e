//! NVIDIA GPUs through TensorRT.

use ort::ep::{self, ExecutionProviderDispatch};

/// TensorRT, and CUDA for the nodes that it leaves.
pub(super) fn dispatch() -> Vec<ExecutionProviderDispatch> {
    let mut providers = vec![ep::TensorRT::default().build().error_on_failure()];
    providers.extend(super::cuda::dispatch());
    providers
}
