//! Loads ONNX Runtime's library, and makes its environment. A process has one of each.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(crate) use ort::environment::Environment;
use segvol_base::memory;

use super::foreign::onnxruntime_version;
use super::logger::logger;
use crate::error::Error;

/// The name of the library file that the operating system's dynamic loader searches for.
pub const LIBRARY_NAME: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// The environment variable that names the library file if [`crate::Options::library`] is `None`.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// ONNX Runtime allows one environment and one library per process: the first that is opened is kept.
static ENVIRONMENT: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// The environment of this process. The first call makes it from `library`.
///
/// If `library` is `None`: from the file that `ORT_DYLIB_PATH` names, else from `libonnxruntime.so` beside the running
/// program, else from the file that the dynamic loader finds.
///
/// # Errors
///
/// [`Error::Library`] if the library cannot be loaded or is too old, or another one is already loaded.
pub(crate) fn environment(library: Option<&Path>) -> Result<Environment, Error> {
    load(library_path(library)?, library.is_some())
}

/// Memory that the library takes while it is loaded, beside its file: schemas of all operators, allocators. If there is less,
/// its constructors end the process.
const LOADING: usize = 64 << 20;

/// `asked` is true if the caller requested this library, so that no other one may be used.
fn load(path: PathBuf, asked: bool) -> Result<Environment, Error> {
    let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((loaded, environment)) = &*current {
        if asked && *loaded != path {
            let reason = format!("this process has already loaded `{}`, and can load only one", loaded.display());
            return Err(Error::Library { path, reason });
        }
        return Ok(environment.clone());
    }
    let failed = |reason: String| Error::Library { path: path.clone(), reason };
    if path.is_absolute() && !path.is_file() {
        return Err(failed("there is no such file".to_owned()));
    }
    // A bare name is searched for by the dynamic loader, so its file's size is not known.
    let file_bytes = std::fs::metadata(&path).map_or(0, |file| file.len());
    let bytes = usize::try_from(file_bytes).unwrap_or(usize::MAX).saturating_add(LOADING);
    memory::check_available::<u8>("ONNX Runtime's library", bytes)?;
    let builder = ort::init_from(&path).map_err(|error| failed(load_reason(&error)))?;
    let environment = builder
        .with_name("segvol")
        .with_telemetry(false)
        .with_logger(logger())
        .build()
        .map_err(|error| failed(error.to_string()))?;
    *current = Some((path, environment.clone()));
    Ok(environment)
}

/// As [`environment`], for a candidate: a path, or only a file name that the dynamic loader searches for.
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

/// The dynamic loader's message, which is the source of `ort`'s error.
fn load_reason(error: &ort::LoadDynamicError) -> String {
    let detail = match error {
        ort::LoadDynamicError::Dlopen { error, .. } => error.source().map(ToString::to_string),
        _ => None,
    };
    detail.unwrap_or_else(|| error.to_string())
}

/// Version, commit and build flags of the loaded library.
pub(crate) fn library_info() -> String {
    ort::info().to_owned()
}

/// The library that this process has loaded; `None` if it has not loaded one.
pub(crate) fn loaded_path() -> Option<PathBuf> {
    let current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.as_ref().map(|(path, _)| path.clone())
}

/// The loaded library's version, such as `1.32.0`; `unknown` if no library is loaded, or it cannot be read.
pub(crate) fn library_version() -> String {
    let version = loaded_path().and_then(|path| onnxruntime_version(&path).ok());
    version.unwrap_or_else(|| "unknown".to_owned())
}
