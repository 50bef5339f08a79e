//! Options for opening a bundle and for segmenting scans.

use std::ffi::c_char;
use std::path::PathBuf;

use segvol::{Effort, Options, Orientation, Profile, Provider, StudyOptions};
use segvol_onnx::Stage;

use crate::arguments::{handle, optional_text, texts, unknown};
use crate::failure::Failure;
use crate::fence::fence;
use crate::sized::{self, Versioned};
use crate::status::SegvolStatus;

/// The axes in which the model sees a scan.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolOrientation {
    /// The patient's axes: the mask does not depend on the order in which the scan is stored.
    Ras = 0,
    /// The axes as they are stored, as in SegVol's released demo.
    Stored = 1,
    /// The default: the axes that the model was trained with, or the patient's if its bundle does not say.
    Model = 2,
}

/// Whose masks are wanted: this toolkit's, or exactly those of a released program. All but DEFAULT and RELEASED see the axes as they
/// are stored: the orientation must be SEGVOL_ORIENTATION_MODEL or SEGVOL_ORIENTATION_STORED.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolProfile {
    /// The toolkit's own choice, in which objects share windows.
    Default = 0,
    /// Exactly as in SegVol's released demo. The demo sees the axes as they are stored; set the orientation for that.
    Released = 1,
    /// Exactly as in Hugging Face's file, that is as RELEASED with the axes as they are stored.
    Huggingface = 2,
    /// As HUGGINGFACE, but the zoom-out image is resized by "nearest", as in the file's pull request 4 and in ModelScope's copy.
    HuggingfaceNearest = 3,
    /// Exactly as in the entry for the CVPR 2025 challenge (SegFM): one box for each object, neither texts nor points.
    Segfm = 4,
}

/// How much the windows of an object overlap. More overlap is more windows, and nothing else.
#[repr(i32)]
#[derive(Clone, Copy, Debug)]
pub enum SegvolEffort {
    /// No overlap.
    Fast = 0,
    /// A quarter of a window.
    Balanced = 1,
    /// Half of a window.
    Exact = 2,
}

/// Options for opening a bundle and for segmenting scans.
///
/// Initialise it with segvol_options_init(), which sets all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SegvolOptions {
    /// Set by segvol_options_init().
    pub size: usize,
    /// The execution provider: "cpu", "cuda", "tensorrt", "openvino", "coreml", "directml", "rocm", "migraphx",
    /// "xnnpack" or "webgpu". NULL or "auto" for the best one that works.
    pub provider: *const c_char,
    /// The precision to run, which the bundle must contain: "fp32", "fp16" or "int8". NULL for the one that suits the
    /// provider best.
    pub precision: *const c_char,
    /// Path of the ONNX Runtime library, or of a folder that has it. NULL for the library that this library has already
    /// loaded, else what the environment variable ORT_DYLIB_PATH names (a file or a folder), else the first that is found
    /// beside libsegvol.so, beside the program, in ../lib if the program is in a folder bin, in
    /// $SEGVOL_HOME/onnxruntime/FLAVOUR or that of the user's data folder, in .onnxruntime/FLAVOUR of the working folder (if
    /// no other user can have put it there), or where the dynamic loader looks. FLAVOUR is openvino or gpu if `provider` or
    /// `stage_providers` need it, else cpu, openvino or gpu. A folder has libonnxruntime.so or one libonnxruntime.so.1*. With
    /// the static library, "beside libsegvol.so" is beside the program. A process can load only one.
    pub library: *const c_char,
    /// Options of the provider, each "KEY=VALUE" or "PROVIDER.KEY=VALUE", such as "cuda.device=1". May be NULL if there
    /// are none.
    pub provider_options: *const *const c_char,
    /// Number of provider options.
    pub provider_options_len: usize,
    /// Other providers for single stages, each "STAGE=PROVIDER", such as "mask_decoder=cpu". May be NULL if there are
    /// none.
    pub stage_providers: *const *const c_char,
    /// Number of stage providers.
    pub stage_providers_len: usize,
    /// Number of threads per graph; 0 for one per core that this process may use: its affinity, the cpuset and the quota of its
    /// control groups count.
    pub threads: usize,
    /// Maximum size of a study's cache of image embeddings, in bytes; 2 GiB by default. With a smaller cache, more
    /// windows are encoded again; the result is the same.
    pub cache_bytes: usize,
    /// The least overlap of neighbouring windows of an object along each axis, as a fraction of the window: 0 to 0.95. -1 (the
    /// default) for that of `effort`, or for 0.5 with the profile of a released program.
    pub overlap: f64,
    /// 1 (the default) to run the zoom-in pass, 0 for a fast but coarse mask.
    pub zoom_in: i32,
    /// The axes in which the model sees a scan: a SegvolOrientation.
    pub orientation: i32,
    /// How the windows and prompts of the zoom-in pass are chosen: a SegvolProfile.
    pub profile: i32,
    /// 1 to straighten a sheared scan, as of a tilted gantry, before the model sees it; 0 (the default) to show its voxels as if they were
    /// rectangular. Masks are on the scan's own voxels in any case. The profiles of released programs do not straighten.
    pub straighten: i32,
    /// Other axes in which the model sees a scan: three letters such as "LPS" that say where each axis goes (right or left,
    /// anterior or posterior, superior or inferior). NULL for those of `orientation`, which must be SEGVOL_ORIENTATION_MODEL if
    /// this is set.
    pub axes: *const c_char,
    /// Path of a folder for image embeddings: a later study of the same scan reads them instead of encoding its windows again, also
    /// in another process. The folder is made if it does not exist, and can be deleted at any time. It is as private as the scan.
    /// NULL (the default) for no folder.
    pub embeddings: *const c_char,
    /// Maximum size of that folder, in bytes; 20 GiB by default. The least recently used embeddings are deleted first.
    pub embeddings_bytes: u64,
    /// How much the windows of an object overlap, if `overlap` is -1: a SegvolEffort. SEGVOL_EFFORT_BALANCED by default. The profiles
    /// of released programs have no effort.
    pub effort: i32,
    /// 1 to give each object the windows that it would get alone, so that its mask does not depend on other objects and calls; 0
    /// (the default) to let objects share windows.
    pub independent: i32,
    /// The probability above which a voxel is in a mask: more than 0 and less than 1, 0.5 by default. It changes no logit.
    pub threshold: f64,
}

// SAFETY: `repr(C)`, the size comes first, all fields are numbers or pointers, no padding at the end.
unsafe impl Versioned for SegvolOptions {
    const NAME: &'static str = "SegvolOptions";
    const FIRST_SIZE: usize = std::mem::offset_of!(Self, axes);
    const DEFAULT: Self = Self {
        size: size_of::<Self>(),
        provider: std::ptr::null(),
        precision: std::ptr::null(),
        library: std::ptr::null(),
        provider_options: std::ptr::null(),
        provider_options_len: 0,
        stage_providers: std::ptr::null(),
        stage_providers_len: 0,
        threads: 0,
        cache_bytes: 2 << 30,
        overlap: -1.0,
        zoom_in: 1,
        orientation: SegvolOrientation::Model as i32,
        profile: SegvolProfile::Default as i32,
        straighten: 0,
        axes: std::ptr::null(),
        embeddings: std::ptr::null(),
        embeddings_bytes: 20 << 30,
        effort: SegvolEffort::Balanced as i32,
        independent: 0,
        threshold: 0.5,
    };
}

/// Sets all fields to their defaults.
///
/// - `size`: sizeof(SegvolOptions).
///
/// Errors: ARGUMENT if `size` is too small or too large. On failure the struct is unchanged.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_options_init(options: *mut SegvolOptions, size: usize) -> SegvolStatus {
    // SAFETY: NULL or `size` bytes, as the rules of the header require.
    fence(|| unsafe { sized::init(options, size, "options") })
}

/// Reads the options as options of the runtime. NULL gives the defaults.
///
/// # Safety
/// The pointer is NULL or points to initialised options, whose strings are valid.
pub(crate) unsafe fn options(pointer: *const SegvolOptions) -> Result<(Options, StudyOptions), Failure> {
    if pointer.is_null() {
        return Ok((Options::default(), StudyOptions::default()));
    }
    // SAFETY: initialised.
    unsafe { handle(pointer.cast::<usize>(), "options") }?;
    // SAFETY: not NULL, and initialised.
    let given = unsafe { sized::read(pointer, "options") }?;
    let (mut options, mut study) = (Options::default(), StudyOptions::default());
    // SAFETY: the caller of this function promises strings or NULL.
    let (provider, precision, library, axes, embeddings) = unsafe {
        (
            optional_text(given.provider, "options.provider")?,
            optional_text(given.precision, "options.precision")?,
            optional_text(given.library, "options.library")?,
            optional_text(given.axes, "options.axes")?,
            optional_text(given.embeddings, "options.embeddings")?,
        )
    };
    if let Some(name) = provider {
        options.provider = self::provider(name, "options.provider")?;
    }
    if let Some(name) = precision {
        let bad = |error: String| Failure::new(SegvolStatus::Option, format!("options.precision: {error}"));
        options.precision = Some(name.parse().map_err(bad)?);
    }
    options.library = library.map(PathBuf::from);
    // SAFETY: the caller of this function promises as many strings.
    let (provider_options, stage_providers) = unsafe {
        (
            texts(given.provider_options, given.provider_options_len, "options.provider_options")?,
            texts(given.stage_providers, given.stage_providers_len, "options.stage_providers")?,
        )
    };
    for text in provider_options {
        let bad = |error: segvol::ProviderOptionError| {
            Failure::new(SegvolStatus::ProviderOption, format!("options.provider_options: {error}"))
        };
        options.provider_options.set(options.provider, text).map_err(bad)?;
    }
    for text in stage_providers {
        let (stage, provider) = stage_provider(text)?;
        options.stage_providers.insert(stage, provider);
    }
    options.threads = (given.threads != 0).then_some(given.threads);
    study.cache_bytes = given.cache_bytes;
    study.embeddings = embeddings.map(PathBuf::from);
    study.embeddings_bytes = given.embeddings_bytes;
    study.overlap = (given.overlap != -1.0).then_some(given.overlap);
    study.effort = match given.effort {
        0 => Effort::Fast,
        1 => Effort::Balanced,
        2 => Effort::Exact,
        other => return Err(unknown("options.effort", "one of SegvolEffort, 0 to 2", other)),
    };
    study.independent = match given.independent {
        0 => false,
        1 => true,
        other => return Err(unknown("options.independent", "0 or 1", other)),
    };
    study.threshold = given.threshold;
    study.zoom_in = match given.zoom_in {
        0 => false,
        1 => true,
        other => return Err(unknown("options.zoom_in", "0 or 1", other)),
    };
    study.orientation = match given.orientation {
        0 => Some(Orientation::Ras),
        1 => Some(Orientation::Stored),
        2 => None,
        other => return Err(unknown("options.orientation", "one of SegvolOrientation, 0 to 2", other)),
    };
    if let Some(codes) = axes {
        if study.orientation.is_some() {
            let expected = "SEGVOL_ORIENTATION_MODEL beside `axes`";
            return Err(unknown("options.orientation", expected, given.orientation));
        }
        let bad = |error: String| Failure::new(SegvolStatus::Option, format!("options.axes: {error}"));
        study.orientation = Some(Orientation::Axes(codes.parse().map_err(bad)?));
    }
    study.profile = match given.profile {
        0 => Profile::Default,
        1 => Profile::Released,
        2 => Profile::Huggingface,
        3 => Profile::HuggingfaceNearest,
        4 => Profile::Segfm,
        other => return Err(unknown("options.profile", "one of SegvolProfile, 0 to 4", other)),
    };
    study.straighten = match given.straighten {
        0 => false,
        1 => true,
        other => return Err(unknown("options.straighten", "0 or 1", other)),
    };
    Ok((options, study))
}

fn provider(name: &str, argument: &str) -> Result<Provider, Failure> {
    name.parse().map_err(|error: String| Failure::new(SegvolStatus::ProviderUnknown, format!("{argument}: {error}")))
}

fn stage_provider(text: &str) -> Result<(Stage, Provider), Failure> {
    const ARGUMENT: &str = "options.stage_providers";
    let (stage, name) = text.split_once('=').unwrap_or((text, ""));
    let stage = stage.parse().map_err(|expected: String| {
        let message = format!("{ARGUMENT}: {text:?}: expected STAGE=PROVIDER; {expected}");
        Failure::new(SegvolStatus::ProviderUnknown, message)
    })?;
    Ok((stage, provider(name, ARGUMENT)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_runtimes() {
        // SAFETY: initialised.
        let found = unsafe { options(&SegvolOptions::DEFAULT) }.expect("options");
        assert_eq!(format!("{found:?}"), format!("{:?}", (Options::default(), StudyOptions::default())));
    }
}
