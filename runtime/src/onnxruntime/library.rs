//! Loads ONNX Runtime's library, and makes its environment. A process has one of each. The crate `library` says
//! where it is.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

pub(crate) use ort::environment::Environment;
use segvol_base::memory;
use segvol_library::{LOADER, LOADER_NAMES, Place, REQUESTED, chosen};

use super::foreign::{self, without_telemetry};
use super::logger::logger;
use crate::error::Error;
use crate::provider::Provider;

/// ONNX Runtime allows one environment and one library per process: the first that is opened is kept.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The library of the environment, and the name of the place where it was found. It has no lock, because a program may ask for
/// it while the library is loaded, for example when it gets a message.
static LOADED: OnceLock<(PathBuf, String)> = OnceLock::new();

/// The flavour that has a provider, if `segvol setup` knows one; `None` if any library may have it.
#[must_use]
pub fn flavour_of(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::OpenVino => Some("openvino"),
        Provider::Cuda | Provider::TensorRt => Some("gpu"),
        _ => None,
    }
}

/// Every place, in the order of the search. `asked` is the path that the caller names; `providers` are those that were
/// requested, which decide the order of the flavours.
#[must_use]
pub fn places(asked: Option<&Path>, providers: &[Provider]) -> Vec<Place> {
    let preferred: Vec<&str> = providers.iter().copied().filter_map(flavour_of).collect();
    segvol_library::places(asked, &preferred)
}

/// The environment of this process. The first call makes it, from the library that [`places`] leads to.
///
/// # Errors
///
/// [`Error::Library`] if there is no library, if it cannot be loaded or is too old, or if `library` is set and this process has
/// loaded another one.
pub(crate) fn environment(library: Option<&Path>, providers: &[Provider]) -> Result<Environment, Error> {
    let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let (Some(environment), None) = (&*current, library) {
        return Ok(environment.clone());
    }
    let places = places(library, providers);
    let place = chosen(&places);
    if let (Some(environment), Some(path)) = (&*current, place.library.as_ref().or(place.path.as_ref())) {
        same(path)?;
        return Ok(environment.clone());
    }
    let path = place.library.as_ref().ok_or_else(|| missing(place))?;
    let environment = match place.path {
        Some(_) => load(path, &place.name).map_err(|error| found_by(error, place))?,
        None => by_loader(&places)?,
    };
    Ok(current.insert(environment).clone())
}

/// As [`environment`], for a candidate: a path, or only a file name that the dynamic loader searches for.
pub(crate) fn environment_of(candidate: &Path) -> Result<Environment, Error> {
    let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*current {
        same(candidate)?;
        return Ok(environment.clone());
    }
    Ok(current.insert(load(candidate, REQUESTED)?).clone())
}

/// A named place without a library.
fn missing(place: &Place) -> Error {
    let reason = place.problem.clone().unwrap_or_else(|| "there is no such file".to_owned());
    found_by(Error::Library { path: place.path.clone().unwrap_or_default(), reason }, place)
}

/// Adds to an error where the library's path comes from, unless the caller gave it.
fn found_by(error: Error, place: &Place) -> Error {
    if place.name == REQUESTED { error } else { with(error, &format!("; found by: {}", place.name)) }
}

/// Refuses a path to another library than the loaded one.
fn same(path: &Path) -> Result<(), Error> {
    let file = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (loaded, _) = loaded().unwrap_or_default();
    if file(&loaded) == file(path) {
        return Ok(());
    }
    let reason = format!("this process has already loaded `{}`, and can load only one", loaded.display());
    Err(Error::Library { path: path.to_owned(), reason })
}

/// Loads the library that the system's loader finds. If it finds none, the error names all places.
fn by_loader(places: &[Place]) -> Result<Environment, Error> {
    let mut first = None;
    for name in LOADER_NAMES {
        match load(Path::new(name), LOADER) {
            Ok(environment) => return Ok(environment),
            Err(error) => first = first.or(Some(error)),
        }
    }
    let looked: Vec<String> = places.iter().filter(|place| place.name != REQUESTED).map(Place::describe).collect();
    let first = first.unwrap_or_else(|| missing(chosen(places)));
    Err(with(first, &format!("; looked for it at: {}", looked.join(", "))))
}

/// Adds to the reason of an error about the library.
fn with(error: Error, more: &str) -> Error {
    match error {
        Error::Library { path, reason } => Error::Library { path, reason: reason + more },
        other => other,
    }
}

/// Memory that the library takes while it is loaded, beside its file: schemas of all operators, allocators. If there is less,
/// its constructors end the process.
const LOADING: usize = 64 << 20;

/// Loads a file, or what the dynamic loader finds under a bare name, whose size is then not known.
fn load(path: &Path, found_by: &str) -> Result<Environment, Error> {
    let failed = |reason: String| Error::Library { path: path.to_owned(), reason };
    if path.is_absolute() && !path.is_file() {
        return Err(failed("there is no such file".to_owned()));
    }
    let file_bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    let bytes = usize::try_from(file_bytes).unwrap_or(usize::MAX).saturating_add(LOADING);
    memory::check_available::<u8>("ONNX Runtime's library", bytes)?;
    let builder = ort::init_from(path).map_err(|error| failed(load_reason(&error)))?;
    let environment =
        without_telemetry(|| builder.with_name("segvol").with_telemetry(false).with_logger(logger()).build());
    let environment = environment.map_err(|error| failed(error.to_string()))?;
    tracing::info!(library = %path.display(), found_by, "ONNX Runtime");
    // Not set before: a process makes one environment.
    let _ = LOADED.set((path.to_owned(), found_by.to_owned()));
    Ok(environment)
}

/// The dynamic loader's message, which is the source of `ort`'s error.
fn load_reason(error: &ort::LoadDynamicError) -> String {
    let detail = match error {
        ort::LoadDynamicError::Dlopen { error, .. } => error.source().map(ToString::to_string),
        _ => None,
    };
    detail.unwrap_or_else(|| error.to_string())
}

/// The error for a provider that the loaded library was built without.
pub(crate) fn provider_missing(provider: Provider) -> Error {
    let (library, _) = loaded().unwrap_or_default();
    Error::ProviderMissing { provider, offered: Provider::offered(), library }
}

/// Version, commit and build flags of the loaded library.
pub(crate) fn library_info() -> String {
    ort::info().to_owned()
}

/// The library that this process has loaded, and the name of the place where it was found; `None` if it has not loaded one.
pub(crate) fn loaded() -> Option<(PathBuf, String)> {
    LOADED.get().cloned()
}

/// The version of the ONNX Runtime library that this process has loaded, such as `1.32.0`. `None` before the first model is
/// opened, or if the version cannot be read.
#[must_use]
pub fn onnxruntime_version() -> Option<String> {
    foreign::onnxruntime_version(&loaded()?.0).ok()
}

/// The path of the ONNX Runtime library that this process has loaded, or only its name if the system's loader found it. `None`
/// before the first model is opened.
#[must_use]
pub fn onnxruntime_library() -> Option<PathBuf> {
    loaded().map(|(path, _)| path)
}

/// The loaded library's version, such as `1.32.0`; `unknown` if no library is loaded, or it cannot be read.
pub(crate) fn library_version() -> String {
    onnxruntime_version().unwrap_or_else(|| "unknown".to_owned())
}
