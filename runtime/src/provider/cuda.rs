//! NVIDIA GPUs through CUDA.

use ort::ep::{self, ExecutionProviderDispatch};

/// CUDA with full float32 products: ONNX Runtime allows TF32 by default, whose 10 bits of mantissa
/// would move the logits by more than the tolerance that the goldens are held to.
pub(super) fn dispatch() -> Vec<ExecutionProviderDispatch> {
    vec![ep::CUDA::default().with_tf32(false).build().error_on_failure()]
}
