//! NVIDIA GPUs through TensorRT.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ort::ep::{self, ExecutionProviderDispatch};
use segvol_onnx::{Dim, TensorSpec};

use super::cuda;
use super::option::provider_options;
use crate::onnxruntime::foreign;

provider_options! {
    /// Options of the TensorRT provider. Nodes that it does not take run on CUDA, with CUDA's options and this provider's
    /// device.
    TensorRtOptions {
        /// Number of the GPU, counted from 0.
        device: u16 = 0, "device_id (0)";
        /// Whether a float32 graph may be computed in float16. TensorRT 10 only: later versions use the types of the
        /// graph.
        fp16: bool = false, "trt_fp16_enable (0)";
        /// Whether layer normalisations are computed in float32 if `fp16` is on.
        layer_norm_fp32: bool = true, "trt_layer_norm_fp32_fallback (0)";
        /// How long the builder searches for fast kernels: 0 to 5.
        builder_level: u8 = 3, "trt_builder_optimization_level (3)";
        /// Whether engines and timings are kept on disk. If not, every start builds engines for minutes.
        cache: bool = true, "trt_engine_cache_enable, trt_timing_cache_enable (0)";
        /// Folder of the cache; if unset, the user's cache folder. Engines are in a subfolder that is named after
        /// bundle, versions, GPU and precision.
        cache_folder: Option<PathBuf> = None, "trt_engine_cache_path, trt_timing_cache_path (the working folder)";
        /// Whether one engine is built for all sizes from 1 to the ones below. If not, one is built for each new size.
        profiles: bool = true, "trt_profile_min_shapes, _opt_shapes, _max_shapes (none)";
        /// The batch size for which engines are optimised, and the most windows that the image encoder encodes in one run.
        best_batch: u16 = 1, "trt_profile_opt_shapes";
        /// The largest batch size; more prompts run in several batches.
        max_batch: u16 = 16, "trt_profile_max_shapes";
        /// The largest number of prompt tokens of one object: one per point, two for a box, one for a text.
        max_prompt: u16 = 64, "trt_profile_max_shapes";
        /// Largest memory in bytes that the builder may use for one kernel.
        workspace: Option<u64> = None, "trt_max_workspace_size (the GPU's memory)";
        /// Whether the image encoder's kernel launches are recorded once and replayed; turns CUDA's `keep_embedding` on.
        cuda_graph: bool = false, "trt_cuda_graph_enable (0)";
        /// Whether the builder writes a detailed log, at log level debug.
        detailed_log: bool = false, "trt_detailed_build_log (0)";
    }
}

/// TensorRT, and CUDA for the nodes that TensorRT does not take.
///
/// # Errors
///
/// A message if the folder of the cache cannot be named or created.
pub(super) fn dispatch(
    options: &TensorRtOptions,
    cuda: &cuda::CudaOptions,
    graph: &EngineGraph<'_>,
) -> Result<Vec<ExecutionProviderDispatch>, String> {
    let mut provider = ep::TensorRT::default()
        .with_device_id(i32::from(options.device))
        .with_fp16(options.fp16)
        .with_layer_norm_fp32_fallback(options.layer_norm_fp32)
        .with_builder_optimization_level(options.builder_level.min(5))
        .with_detailed_build_log(options.detailed_log)
        .with_cuda_graph(options.cuda_graph && graph.records);
    if let Some(bytes) = options.workspace {
        provider = provider.with_max_workspace_size(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    if let (true, Some(bundle)) = (options.cache, graph.bundle) {
        let folder = cache_folder(options, bundle, graph.onnxruntime)?;
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(folder.display())
            .with_timing_cache(true)
            .with_timing_cache_path(folder.display());
    }
    if options.profiles {
        let [min, best, max] = profile_shapes(graph.inputs, &Sizes::of(options));
        if !min.is_empty() {
            provider = provider.with_profile_min_shapes(min).with_profile_opt_shapes(best).with_profile_max_shapes(max);
        }
    }
    let cuda = cuda::CudaOptions { device: options.device, cuda_graph: false, ..cuda.clone() };
    let mut providers = vec![provider.build().error_on_failure()];
    providers.extend(cuda::dispatch(&cuda, graph.records));
    Ok(providers)
}

/// The graph that engines are built for.
#[derive(Debug, Clone, Copy)]
pub(super) struct EngineGraph<'a> {
    /// The inputs of the graph.
    pub(super) inputs: &'a [TensorSpec],
    /// SHA-256 of the bundle's manifest, which names the folder of cached engines. If `None`, nothing is cached.
    pub(super) bundle: Option<&'a str>,
    /// The loaded library's version.
    pub(super) onnxruntime: &'a str,
    /// Whether the session's kernel launches may be recorded.
    pub(super) records: bool,
}

/// The smallest, best and largest size of every named axis.
#[derive(Debug)]
struct Sizes(BTreeMap<&'static str, [usize; 3]>);

impl Sizes {
    fn of(options: &TensorRtOptions) -> Self {
        let [best, batch, prompt] =
            [options.best_batch, options.max_batch, options.max_prompt].map(|n| usize::from(n).max(1));
        // A text is padded to one of a few lengths, at most 77. Most prompts are a text, or a text and a box.
        let sizes = [("batch", [1, best.min(batch), batch]), ("prompt", [1, 3.min(prompt), prompt])];
        Self(sizes.into_iter().chain([("sequence", [1, 16, 77])]).collect())
    }
}

/// `NAME:1x2x3,…` for the inputs that have a named axis, for each of the three sizes.
fn profile_shapes(inputs: &[TensorSpec], sizes: &Sizes) -> [String; 3] {
    let named = |input: &&TensorSpec| input.shape.iter().any(|dim| matches!(dim, Dim::Named(_)));
    std::array::from_fn(|which| {
        let shape = |input: &TensorSpec| {
            let dim = |dim: &Dim| match dim {
                Dim::Fixed(n) => n.to_string(),
                Dim::Named(name) => sizes.0.get(name.as_str()).map_or(1, |sizes| sizes[which]).to_string(),
            };
            let dims: Vec<String> = input.shape.iter().map(dim).collect();
            format!("{}:{}", input.name, dims.join("x"))
        };
        inputs.iter().filter(named).map(shape).collect::<Vec<_>>().join(",")
    })
}

/// Creates the folder for this bundle's engines on this GPU, and returns its path.
fn cache_folder(options: &TensorRtOptions, bundle: &str, onnxruntime: &str) -> Result<PathBuf, String> {
    let base = options.cache_folder.clone().or_else(user_cache).ok_or(
        "no folder for TensorRT's engines: expected an absolute path in XDG_CACHE_HOME or HOME (on Windows, LOCALAPPDATA); set tensorrt.cache_folder, or set tensorrt.cache=off",
    )?;
    let key = EngineKey {
        bundle,
        onnxruntime,
        tensorrt: foreign::tensorrt_version(),
        compute_capability: foreign::compute_capability(options.device),
        precision: if options.fp16 { "fp16" } else { "fp32" },
    };
    let folder = base.join(key.folder().ok_or(
        "cannot find out TensorRT's version or the GPU's compute capability, which the name of the engines' folder needs; set tensorrt.cache=off to run without the cache",
    )?);
    std::fs::create_dir_all(&folder).map_err(|error| format!("folder `{}`: {error}", folder.display()))?;
    Ok(folder)
}

/// The values that an engine depends on. If one of them changes, another engine is needed. ONNX Runtime's own file names
/// depend on the GPU and the graph, but not on the versions and the weights.
#[derive(Debug)]
struct EngineKey<'a> {
    bundle: &'a str,
    onnxruntime: &'a str,
    tensorrt: Option<[u32; 3]>,
    compute_capability: Option<[u32; 2]>,
    precision: &'a str,
}

impl EngineKey<'_> {
    /// The folder's name; `None` if a part is not known.
    fn folder(&self) -> Option<String> {
        let [major, minor, patch] = self.tensorrt?;
        let [sm_major, sm_minor] = self.compute_capability?;
        let bundle = self.bundle.get(..16)?;
        let (onnxruntime, precision) = (self.onnxruntime, self.precision);
        Some(format!("{bundle}-ort{onnxruntime}-trt{major}.{minor}.{patch}-sm{sm_major}{sm_minor}-{precision}"))
    }
}

/// `segvol/tensorrt` in the user's cache folder; `None` if no environment variable names that folder.
fn user_cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| Path::new(value).is_absolute()).map(PathBuf::from);
    let base = if cfg!(target_os = "windows") {
        variable("LOCALAPPDATA")
    } else {
        variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))
    };
    Some(base?.join("segvol").join("tensorrt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn key() -> EngineKey<'static> {
        EngineKey {
            bundle: BUNDLE,
            onnxruntime: "1.31.1",
            tensorrt: Some([10, 14, 1]),
            compute_capability: Some([8, 6]),
            precision: "fp32",
        }
    }

    #[test]
    fn an_engines_folder_names_all_that_it_depends_on() {
        let folder = key().folder().expect("all is known");
        assert_eq!(folder, "0123456789abcdef-ort1.31.1-trt10.14.1-sm86-fp32");
        let others = [
            EngineKey { bundle: &BUNDLE[1..], ..key() },
            EngineKey { onnxruntime: "1.32.0", ..key() },
            EngineKey { tensorrt: Some([10, 14, 2]), ..key() },
            EngineKey { compute_capability: Some([9, 0]), ..key() },
            EngineKey { precision: "fp16", ..key() },
        ];
        for other in others {
            assert_ne!(other.folder(), Some(folder.clone()), "{other:?}");
        }
    }

    #[test]
    fn without_a_version_there_is_no_folder() {
        assert_eq!(EngineKey { tensorrt: None, ..key() }.folder(), None);
        assert_eq!(EngineKey { compute_capability: None, ..key() }.folder(), None);
    }

    #[test]
    fn profiles_contain_only_inputs_with_named_axes() {
        let inputs = [
            TensorSpec::float("image_embedding", [Dim::Fixed(1), Dim::Fixed(2048), Dim::Fixed(768)]),
            TensorSpec::float("sparse_embeddings", [Dim::named("batch"), Dim::named("prompt"), Dim::Fixed(768)]),
            TensorSpec::float("text_alignment", [Dim::named("batch"), Dim::Fixed(96)]),
        ];
        let options = TensorRtOptions::default().best_batch(2_u16).max_batch(8_u16).max_prompt(20_u16);
        assert_eq!(
            profile_shapes(&inputs, &Sizes::of(&options)),
            [
                "sparse_embeddings:1x1x768,text_alignment:1x96",
                "sparse_embeddings:2x3x768,text_alignment:2x96",
                "sparse_embeddings:8x20x768,text_alignment:8x96",
            ]
        );
        let ids = [TensorSpec::int("input_ids", [Dim::named("batch"), Dim::named("sequence")])];
        assert_eq!(profile_shapes(&ids, &Sizes::of(&options)), ["input_ids:1x1", "input_ids:2x16", "input_ids:8x77"]);
        assert_eq!(profile_shapes(&inputs[..1], &Sizes::of(&options)), ["", "", ""]);
    }
}
