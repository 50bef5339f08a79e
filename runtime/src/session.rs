//! ONNX Runtime: the library, its one environment per process, and one session per graph.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use segvol_onnx::Stage;

use crate::error::Error;
use crate::provider::{self, Placement, Provider};

/// What the library file is called where the operating system looks for it by itself.
const LIBRARY_NAME: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// Names the library file when [`crate::Options::library`] does not.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

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
    let path = library_path(library)?;
    let mut current = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((loaded, environment)) = &*current {
        if library.is_some() && *loaded != path {
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

/// One graph, ready to run.
///
/// A run takes the session for itself: ONNX Runtime's allocators are not safe to share between runs.
pub(crate) struct StageSession {
    stage: Stage,
    session: Mutex<Session>,
    placement: Placement,
}

impl StageSession {
    /// Opens the graph `file` on `provider`.
    ///
    /// # Errors
    ///
    /// [`Error::ProviderMissing`] if the library lacks the provider, [`Error::ProviderFailed`] if the provider cannot
    /// be started or takes no node, [`Error::Stage`] if ONNX Runtime refuses the graph.
    pub(crate) fn open(
        environment: &Environment,
        stage: Stage,
        file: &Path,
        provider: Provider,
        threads: Option<usize>,
    ) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Stage { stage, reason: error.to_string() };
        let mut builder = Session::builder(environment).map_err(|error| failed(&error))?;
        builder = builder.with_config_entry(provider::RECORD, "1").map_err(|error| failed(&error))?;
        if let Some(threads) = threads {
            builder = builder.with_intra_threads(threads).map_err(|error| failed(&error))?;
        }
        builder = builder
            .with_execution_providers(provider.dispatch(threads))
            .map_err(|error| Error::ProviderFailed { provider, stage, reason: error.to_string() })?;
        let session = builder.commit_from_file(file).map_err(|error| failed(&error))?;
        let placement = provider::placement(&session);
        Ok(Self { stage, session: Mutex::new(session), placement })
    }

    /// Nodes of the graph per provider.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Runs the graph and copies its outputs, in the order of `outputs`.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] with what ONNX Runtime said.
    pub(crate) fn run<const N: usize>(
        &self,
        inputs: Vec<(&'static str, SessionInputValue<'_>)>,
        outputs: [&str; N],
    ) -> Result<[Vec<f32>; N], Error> {
        let failed = |error: ort::Error| Error::Stage { stage: self.stage, reason: error.to_string() };
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let found = session.run(inputs).map_err(failed)?;
        let mut copies = std::array::from_fn(|_| Vec::new());
        for (copy, name) in copies.iter_mut().zip(outputs) {
            let output = found.get(name).ok_or_else(|| Error::Stage {
                stage: self.stage,
                reason: format!("the graph gives no output `{name}`"),
            })?;
            let (_, values) = output.try_extract_tensor::<f32>().map_err(failed)?;
            *copy = values.to_vec();
        }
        Ok(copies)
    }
}
