//! A bundle, opened.

use std::ffi::c_char;
use std::path::Path;

use segvol::{Error, Model, Options, Provider};

use crate::arguments::{free, handle, output, text};
use crate::failure::Failure;
use crate::fence::{fence, fence_value};
use crate::options::{SegvolOptions, options};
use crate::status::SegvolStatus;

/// A bundle, opened on a provider: sessions of ONNX Runtime, made once.
pub struct SegvolModel(pub(crate) Model);

/// Opens a bundle, the folder that `segvol convert` makes: checks the hash of every file, then starts ONNX Runtime. Takes
/// from a second to, with TensorRT's engines, minutes.
///
/// `bundle`: the folder, UTF-8. `options`: NULL for the defaults. `*model` is the caller's, to be freed with
/// segvol_model_free().
///
/// BUNDLE, LIBRARY, PROVIDER_UNKNOWN, PROVIDER_MISSING, PROVIDER_FAILED, PROVIDER_OPTION, OPTION, ARGUMENT, RUN.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_open(
    bundle: *const c_char,
    options: *const SegvolOptions,
    model: *mut *mut SegvolModel,
) -> SegvolStatus {
    fence(|| {
        let out = output(model, "model")?;
        // SAFETY: a text, as the comment above asks.
        let bundle = unsafe { text(bundle, "bundle") }?;
        // SAFETY: NULL or initialised options, as the comment above asks.
        let options = unsafe { self::options(options) }?;
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
        unsafe { out.give(SegvolModel(opened)) };
        Ok(())
    })
}

/// The argument that an error is about, where its message does not name it.
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

/// The provider that the model's graphs run on, such as `cpu`; with `auto`, the one that was chosen. NULL for NULL; never
/// to be freed.
///
/// Any thread, any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_provider(model: *const SegvolModel) -> *const c_char {
    fence_value(std::ptr::null(), || {
        // SAFETY: NULL or a live model.
        let Ok(model) = (unsafe { handle(model, "model") }) else { return std::ptr::null() };
        c_name(model.0.stages().provider()).as_ptr()
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

/// What the bundle holds, as JSON text: its manifest. `*json` is the caller's, to be freed with segvol_string_free().
///
/// Any thread; side by side with anything but the model's free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn segvol_model_manifest(model: *const SegvolModel, json: *mut *mut c_char) -> SegvolStatus {
    fence(|| {
        let out = output(json, "json")?;
        // SAFETY: NULL or a live model.
        let model = unsafe { handle(model, "model") }?;
        let text = model.0.manifest().to_json()?;
        // SAFETY: the caller's pointer.
        unsafe { out.write(crate::arguments::owned_text(text)) };
        Ok(())
    })
}

/// Frees a model. Studies and results that were made with it stay whole: they share what they need. NULL is nothing.
///
/// Any thread, when no other uses this handle.
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
