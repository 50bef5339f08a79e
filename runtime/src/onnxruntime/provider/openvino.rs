//! Intel's OpenVINO, which also runs on processors of other makers.

use std::path::PathBuf;

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider as _, ExecutionProviderDispatch};
use segvol_onnx::Stage;
use serde_json::json;

use super::option::{option_words, provider_options};

option_words! {
    /// Element type in which OpenVINO may compute.
    OpenVinoPrecision {
        /// float32.
        F32 = "f32",
        /// bfloat16 where it is faster: half the time on processors that support it, but half the digits.
        Bf16 = "bf16",
        /// float16 where it is faster, for GPUs.
        F16 = "f16",
    }
}

provider_options! {
    /// Options of the OpenVINO provider.
    OpenVinoOptions {
        /// OpenVINO's name for the device: CPU, GPU, GPU.1, NPU.
        device: String = "CPU".to_owned(), "device_type (CPU)";
        /// Element type in which the image encoder may compute; the other stages compute in float32.
        precision: OpenVinoPrecision = OpenVinoPrecision::F32, "load_config INFERENCE_PRECISION_HINT (what the device does best)";
        /// Folder for compiled graphs, which a later run loads instead of compiling.
        cache: Option<PathBuf> = None, "cache_dir (none)";
        /// Number of runs that OpenVINO may execute at the same time.
        streams: u8 = 1, "num_streams (1)";
        /// Number of threads; if unset, the number that is set for all graphs.
        threads: Option<u32> = None, "num_of_threads (OpenVINO's choice)";
        /// Most windows that the image encoder encodes in one run. Each size is compiled for itself.
        window_batch: u16 = 1, "the first axis of the input";
    }
}

/// OpenVINO, for one stage. Only the image encoder may compute in another type than float32. It needs nearly all of the time;
/// and the position codes of the other stages are sines of hundreds of radians, whose fraction bfloat16 does not keep.
pub(super) fn dispatch(
    options: &OpenVinoOptions,
    threads: usize,
    stage: Option<Stage>,
) -> Vec<ExecutionProviderDispatch> {
    let precision = if stage == Some(Stage::ImageEncoder) { options.precision } else { OpenVinoPrecision::F32 };
    let mut provider = ep::OpenVINO::default()
        .with_device_type(&options.device)
        .with_num_streams(options.streams)
        .with_num_threads(options.threads.map_or(threads, |threads| threads as usize))
        .with_arbitrary_config("load_config", load_config(options, precision));
    if let Some(cache) = &options.cache {
        provider = provider.with_cache_dir(cache.display());
    }
    vec![provider.build().error_on_failure()]
}

/// OpenVINO's own settings per device, as JSON text. The settings of a device with a number (`GPU.1`) have the name of its
/// kind (`GPU`).
fn load_config(options: &OpenVinoOptions, precision: OpenVinoPrecision) -> String {
    let kind = options.device.split(['.', ':']).next().expect("`split` gives at least one part");
    let precision = match precision {
        OpenVinoPrecision::F32 => "f32",
        OpenVinoPrecision::Bf16 => "bf16",
        OpenVinoPrecision::F16 => "f16",
    };
    json!({ kind: { "INFERENCE_PRECISION_HINT": precision } }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precision_is_set_for_the_kind_of_device() {
        let options = OpenVinoOptions::default().device("GPU.1");
        assert_eq!(load_config(&options, OpenVinoPrecision::Bf16), r#"{"GPU":{"INFERENCE_PRECISION_HINT":"bf16"}}"#);
    }
}
