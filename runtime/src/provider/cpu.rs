//! ONNX Runtime's own CPU kernels.

use ort::ep::ExecutionProviderDispatch;

/// Nothing: the CPU provider is part of every session. Registering it by hand would turn its memory arena off.
pub(super) fn dispatch() -> Vec<ExecutionProviderDispatch> {
    Vec::new()
}
