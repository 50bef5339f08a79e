//! Microsoft's DirectML: any GPU with DirectX 12, on Windows.

use ort::ep::{self, ExecutionProviderDispatch};

use super::option::provider_options;

provider_options! {
    /// Options of the DirectML provider.
    DirectMlOptions {
        /// Number of the adapter, in the order of Windows; if unset, the fastest GPU.
        device: Option<u16> = None, "SessionOptionsAppendExecutionProvider_DML (0)";
        /// Most windows that the image encoder encodes in one run.
        window_batch: u16 = 1, "the first axis of the input";
    }
}

pub(super) fn dispatch(options: &DirectMlOptions) -> Vec<ExecutionProviderDispatch> {
    let provider = ep::DirectML::default();
    let provider = match options.device {
        Some(device) => provider.with_device_id(i32::from(device)),
        None => provider.with_performance_preference(ep::directml::PerformancePreference::HighPerformance),
    };
    vec![provider.build().error_on_failure()]
}
