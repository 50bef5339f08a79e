//! A model: an open bundle.

use std::ffi::c_char;
use std::path::Path;

use segvol::{Error, Model, Options, Provider, StudyOptions};

use crate::arguments::{free, handle, output, text};
use crate::failure::Failure;
use crate::fence::{fence, fence_value};
use crate::options::{SegvolOptions, options};
use crate::status::SegvolStatus;

/// An open bundle: its ONNX Runtime sessions on an execution provider.
pub struct SegvolModel {
    pub(crate) model: Model,
    /// How scans are segmented if segvol_study_new() gets no options.
    pub(crate) study_options: StudyOptions,
}

/// Opens a bundle, which is the folder that `segvol convert` makes.
///
/// Checks the hash of every file, then creates the ONNX Runtime sessions. This takes about a second, or minutes if
/// TensorRT has to build its engines.
///
/// - `bundle`: path of the folder.
/// - `options`: NULL for the defaults.
/// - `model`: receives the model. The caller owns it and frees it with segvol_model_free(). Unchanged on failure.
///
/// Errors: BUNDLE, LIBRARY, PROVIDER_UNKNOWN, PROVIDER_MISSING, PROVIDER_FAILED, PROVIDER_OPTION, OPTION, ARGUMENT,
/// RUN.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_open(
    bundle: *const c_char,
    options: *const SegvolOptions,
    model: *mut *mut SegvolModel,
) -> SegvolStatus {
    fence(|| {
        let out = output(model, "model")?;
        // SAFETY: a string, as the rules of the header require.
        let bundle = unsafe { text(bundle, "bundle") }?;
        // SAFETY: NULL or initialised options, as the rules of the header require.
        let (options, study_options) = unsafe { self::options(options) }?;
        study_options.check()?;
        let opened = Model::open(Path::new(bundle), &options);
        let opened = opened.map_err(|error| {
            let argument = argument(&error, &options);
            let failure = Failure::from(error);
            match argument {
                Some(argument) => failure.of(argument),
                None => failure,
            }
        })?;
        // SAFETY: the caller's pointer.
        unsafe { out.give(SegvolModel { model: opened, study_options }) };
        Ok(())
    })
}

/// The argument that an error is about, if the message does not already name it.
fn argument(error: &Error, options: &Options) -> Option<&'static str> {
    match error {
        Error::Setting { .. } => None,
        Error::Library { .. } => Some("options.library"),
        Error::ProviderMissing { provider, .. } | Error::ProviderFailed { provider, .. } => {
            let for_a_stage = options.provider != *provider && options.stage_providers.values().any(|p| p == provider);
            Some(if for_a_stage { "options.stage_providers" } else { "options.provider" })
        }
        _ => Some("bundle"),
    }
}

/// Returns the execution provider of the model, such as `cpu`. For a model that was opened with `auto`, this is the
/// chosen one.
///
/// The string is static and never to be freed. NULL if `model` is NULL.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_provider(model: *const SegvolModel) -> *const c_char {
    fence_value(std::ptr::null(), || {
        // SAFETY: NULL or a live model.
        let Ok(model) = (unsafe { handle(model, "model") }) else { return std::ptr::null() };
        c_name(model.model.stages().provider()).as_ptr()
    })
}

pub(crate) fn c_name(provider: Provider) -> &'static std::ffi::CStr {
    match provider {
        Provider::Auto => c"auto",
        Provider::Cpu => c"cpu",
        Provider::Cuda => c"cuda",
        Provider::TensorRt => c"tensorrt",
        Provider::OpenVino => c"openvino",
        Provider::CoreMl => c"coreml",
        Provider::DirectMl => c"directml",
        Provider::Rocm => c"rocm",
        Provider::MigraphX => c"migraphx",
        Provider::Xnnpack => c"xnnpack",
        Provider::WebGpu => c"webgpu",
    }
}

/// Gets the manifest of the bundle, as JSON. It describes the content of the bundle.
///
/// - `json`: receives the manifest. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_manifest(model: *const SegvolModel, json: *mut *mut c_char) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live model.
        let model = unsafe { handle(model, "model") }?;
        let text = model.model.manifest().to_json()?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(crate::arguments::owned_text(text)) };
        Ok(())
    })
}

/// Gets the names that the model was trained with, as JSON: `source` says where the list comes from, and `list` has an
/// object with `name`, and `synonyms` if it has any, for each. `null` if the bundle has no list.
///
/// - `json`: receives the list. The caller owns it and frees it with segvol_string_free(). Unchanged on failure.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_names(model: *const SegvolModel, json: *mut *mut c_char) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live model.
        let model = unsafe { handle(model, "model") }?;
        let text = serde_json::to_string_pretty(&model.model.names())?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(crate::arguments::owned_text(text)) };
        Ok(())
    })
}

/// Asks whether the model was trained with a text prompt. A model segments any text, but the mask for a text that it has
/// not learnt may show anything. Upper case and blanks make no difference.
///
/// - `text`: the text, as in `text` of SegvolPrompt.
/// - `json`: receives NULL if the model was trained with the text, or if the bundle has no list of names. Otherwise it
///   receives what to say about the text: `message`, a sentence; `reason`, which is "spelling" (the model knows another
///   spelling of this name), "similar" (it knows a name that is nearly the same) or "unknown"; `nearest`, the nearest
///   names of the model, the nearest first; and `known`, how many names it knows. The caller owns it and frees it with
///   segvol_string_free(). Unchanged on failure.
///
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_check_name(
    model: *const SegvolModel,
    text: *const c_char,
    json: *mut *mut c_char,
) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live model.
        let model = unsafe { handle(model, "model") }?;
        // SAFETY: NULL or a string, as the rules of the header require.
        let asked = unsafe { self::text(text, "text") }?;
        let answer = match model.model.check_name(asked) {
            None => std::ptr::null_mut(),
            Some(advice) => {
                let mut answer = serde_json::to_value(&advice)?;
                answer["message"] = advice.to_string().into();
                crate::arguments::owned_text(serde_json::to_string_pretty(&answer)?)
            }
        };
        // SAFETY: the caller's pointer.
        unsafe { out.write(answer) };
        Ok(())
    })
}

/// Frees a model. Studies and results that were made with it stay valid. NULL is allowed and does nothing.
///
/// Any thread, but not while another thread uses this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_free(model: *mut SegvolModel) {
    // SAFETY: NULL or a live model that is not used again.
    unsafe { free(model) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_the_same_names_in_c() {
        for provider in Provider::ALL {
            assert_eq!(c_name(provider).to_str(), Ok(provider.name()));
        }
    }
}
