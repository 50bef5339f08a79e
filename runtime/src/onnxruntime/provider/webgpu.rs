//! Any GPU through WebGPU (Dawn).

use ort::ep::webgpu::{PreferredLayout, ValidationMode};
use ort::ep::{self, ExecutionProviderDispatch};

use super::option::{option_words, provider_options};

option_words! {
    /// How strictly Dawn validates its commands.
    WebGpuValidation {
        /// No validation.
        Off = "off",
        /// By the rules of WebGPU.
        WebGpu = "webgpu",
        /// A little more than WebGPU's rules.
        Basic = "basic",
        /// All checks.
        Full = "full",
    }
}

provider_options! {
    /// Options of the WebGPU provider.
    WebGpuOptions {
        /// Number of the GPU, in Dawn's order.
        device: u16 = 0, "deviceId (0)";
        /// How strictly commands are validated.
        validation: WebGpuValidation = WebGpuValidation::Basic, "validationMode (basic)";
        /// Most windows that the image encoder encodes in one run.
        window_batch: u16 = 1, "the first axis of the input";
    }
}

pub(super) fn dispatch(options: &WebGpuOptions) -> Vec<ExecutionProviderDispatch> {
    // Three-dimensional convolutions support only the channels-first layout.
    let provider = ep::WebGPU::default()
        .with_preferred_layout(PreferredLayout::NCHW)
        .with_device_id(i32::from(options.device))
        .with_validation_mode(match options.validation {
            WebGpuValidation::Off => ValidationMode::Disabled,
            WebGpuValidation::WebGpu => ValidationMode::WgpuOnly,
            WebGpuValidation::Basic => ValidationMode::Basic,
            WebGpuValidation::Full => ValidationMode::Full,
        });
    vec![provider.build().error_on_failure()]
}
