//! Intel's OpenVINO.

use ort::ep::{self, ExecutionProviderDispatch};

/// OpenVINO on the processor.
pub(super) fn dispatch(threads: Option<usize>) -> Vec<ExecutionProviderDispatch> {
    let mut provider = ep::OpenVINO::default().with_device_type("CPU");
    if let Some(threads) = threads {
        provider = provider.with_num_threads(threads);
    }
    vec![provider.build().error_on_failure()]
}
