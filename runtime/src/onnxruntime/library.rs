//! ONNX Runtime's library, and the one environment that a process has of it.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) use ort::environment::Environment;

use super::foreign::onnxruntime_version;
use crate::error::Error;

/// What the library file is called where the operating system looks for it by itself.
pub const LIBRARY_NAME: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// Names the library file when [`crate::Options::library`] does not.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// ONNX Runtime allows one environment per process, and one library: the first that is opened stays.
static ENVIRONMENT: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The process's environment, made from `library` at the first call.
///
/// Where no `library` is given: the file that `ORT_DYLIB_PATH` names, else `libonnxruntime.so` beside the running
/// program, else wherever the dynamic loader finds it.
///
/// # Errors
///
/// [`Error::Library`] if the library cannot be loaded, is too old, or another one is loaded already.
pub(crate) fn environment(library: Option<&Path>) -> Result<Environment, Error> {
    load(library_path(library)?, library.is_some())
}

/// `asked` is false where any library will do.
fn load(path: PathBuf, asked: bool) -> Result<Environment, Error> {
    let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((loaded, environment)) = &*current {
        if asked && *loaded != path {
            let reason = format!("this process has loaded `{}` already, and can load only one", loaded.display());
            return Err(Error::Library { path, reason });
        }
        return Ok(environment.clone());
    }
    let failed = |reason: String| Error::Library { path: path.clone(), reason };
    if path.is_absolute() && !path.is_file() {
        return Err(failed("there is no such file".to_owned()));
    }
    let builder = ort::init_from(&path).map_err(|error| failed(load_reason(&error)))?;
    let environment =
        builder.with_name("segvol").with_telemetry(false).build().map_err(|error| failed(error.to_string()))?;
    *current = Some((path, environment.clone()));
    Ok(environment)
}

/// As [`environment`], of a candidate: a file, or a bare name that the dynamic loader is to find.
pub(crate) fn environment_of(candidate: &Path) -> Result<Environment, Error> {
    if candidate.components().count() > 1 { environment(Some(candidate)) } else { load(candidate.to_owned(), true) }
}

fn library_path(asked: Option<&Path>) -> Result<PathBuf, Error> {
    let named = asked.map(Path::to_owned).or_else(|| {
        let variable = std::env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty());
        variable.map(PathBuf::from)
    });
    if let Some(path) = named {
        let absolute = std::path::absolute(&path);
        return absolute.map_err(|error| Error::Library { path, reason: error.to_string() });
    }
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join(LIBRARY_NAME)));
    Ok(beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(LIBRARY_NAME)))
}

/// What the dynamic loader said, which `ort` keeps one level down.
fn load_reason(error: &ort::LoadDynamicError) -> String {
    let detail = match error {
        ort::LoadDynamicError::Dlopen { error, .. } => error.source().map(ToString::to_string),
        _ => None,
    };
    detail.unwrap_or_else(|| error.to_string())
}

/// What the loaded library says of itself: version, commit and build flags.
pub(crate) fn library_info() -> String {
    ort::info().to_owned()
}

/// The library that this process has loaded; none before one is.
pub(crate) fn loaded_path() -> Option<PathBuf> {
    let current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.as_ref().map(|(path, _)| path.clone())
}

/// The loaded library's version, such as `1.32.0`; `unknown` before one is loaded.
pub(crate) fn library_version() -> String {
    let version = loaded_path().and_then(|path| onnxruntime_version(&path).ok());
    version.unwrap_or_else(|| "unknown".to_owned())
}
