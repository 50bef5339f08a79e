//! ONNX Runtime: the library, its one environment per process, and one session per graph.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynTensor, PrimitiveTensorElementType};
use segvol_onnx::Stage;

use crate::binding::{Bindings, Bound, Place};
use crate::error::Error;
use crate::provider::{self, AssignedNode, LeftToCpu, Placement, Provider, Settings};

/// The name of ONNX Runtime's library file on this operating system.
pub const LIBRARY_NAME: &str = if cfg!(target_os = "windows") {
    "onnxruntime.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// The environment variable that names the library file if [`crate::Options::library`] does not.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Has ONNX Runtime lay out the weights for its products on all threads; libraries that do not know it ignore it.
const PARALLEL_PREPACK: &str = "session.prepack.enable_parallel";

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
    let version = loaded_path().and_then(|path| provider::onnxruntime_version(&path).ok());
    version.unwrap_or_else(|| "unknown".to_owned())
}

/// Room that a session is opened with: its threads end the process where they find none for what the dynamic loader gives
/// each thread.
const SESSION: usize = 32 << 20;

/// One graph, ready to run.
///
/// A run takes the session for itself: ONNX Runtime's allocators are not safe to share between runs.
pub(crate) struct StageSession {
    stage: Stage,
    provider: Provider,
    session: Mutex<Opened>,
    nodes: Vec<AssignedNode>,
}

struct Opened {
    // Before the session, so that they are dropped before it.
    bindings: Option<Bindings>,
    session: Session,
}

impl StageSession {
    /// Opens the graph `file` on `provider`, for runs that bind their tensors in `place` if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::ProviderFailed`] if the provider cannot be started or takes no node, [`Error::Stage`] if ONNX Runtime
    /// refuses the graph, [`Error::Memory`] if there is hardly any room.
    pub(crate) fn open(
        environment: &Environment,
        stage: Stage,
        file: &Path,
        provider: Provider,
        settings: &Settings<'_>,
        place: Option<Place>,
    ) -> Result<Self, Error> {
        let provider_failed = |reason: String| Error::ProviderFailed { provider, stage, reason };
        segvol_base::memory::check_available::<u8>("an ONNX Runtime session", SESSION)?;
        let session = open(environment, file, provider, settings).map_err(|refused| match refused {
            Refused::Graph(reason) if provider == Provider::Cpu => Error::Stage { stage, reason },
            Refused::Graph(reason) | Refused::Provider(reason) => provider_failed(reason),
        })?;
        let nodes = provider::assigned_nodes(&session);
        let name = provider.onnxruntime_name();
        if provider != Provider::Cpu && !nodes.iter().any(|node| node.provider == name) {
            return Err(provider_failed(format!(
                "it was registered but took no node; run this stage elsewhere, as in `--stage-provider {stage}=cpu`"
            )));
        }
        let bindings = place.map(|place| Bindings::new(&session, place)).transpose();
        let bindings = bindings.map_err(|error| provider_failed(error.to_string()))?;
        Ok(Self { stage, provider, session: Mutex::new(Opened { bindings, session }), nodes })
    }

    /// The provider that the graph was opened on.
    pub(crate) fn provider(&self) -> Provider {
        self.provider
    }

    /// Nodes of the graph per provider.
    pub(crate) fn placement(&self) -> Placement {
        let mut placement = Placement::new();
        for node in &self.nodes {
            *placement.entry(node.provider.clone()).or_default() += 1;
        }
        placement
    }

    /// Nodes that went to the CPU though another provider was asked for.
    pub(crate) fn left_to_cpu(&self) -> LeftToCpu {
        let mut left = LeftToCpu::new();
        let cpu = Provider::Cpu.onnxruntime_name();
        for node in self.nodes.iter().filter(|node| self.provider != Provider::Cpu && node.provider == cpu) {
            left.entry(node.op.clone()).or_default().push(node.name.clone());
        }
        left
    }

    /// Runs a graph of one input and leaves its output where the session's tensors are bound; none where none are.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] with what ONNX Runtime said.
    pub(crate) fn run_to_device(
        &self,
        input: (&str, &[usize], &[f32]),
        output: (&str, &[usize]),
    ) -> Result<Option<DynTensor>, Error> {
        let mut opened = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Opened { bindings, session } = &mut *opened;
        let result = bindings.as_mut().map(|bindings| bindings.run_to_device(session, input, output)).transpose();
        result.map_err(|error| self.failed(&error))
    }

    /// Runs a graph on bound tensors and copies its one output; none where no tensors are bound.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] with what ONNX Runtime said.
    pub(crate) fn run_to_host(
        &self,
        inputs: &[(&str, Bound<'_>)],
        output: (&str, &[usize]),
    ) -> Result<Option<Vec<f32>>, Error> {
        let mut opened = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Opened { bindings, session } = &mut *opened;
        let result = bindings.as_mut().map(|bindings| bindings.run_to_host(session, inputs, output)).transpose();
        result.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &ort::Error) -> Error {
        Error::Stage { stage: self.stage, reason: error.to_string() }
    }

    /// Runs the session itself, for who has other tensors than a stage's.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Session) -> Result<T, Error>) -> Result<T, Error> {
        work(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner).session)
    }

    /// Runs the graph and copies its outputs, in the order of `outputs`.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] with what ONNX Runtime said.
    pub(crate) fn run<T: PrimitiveTensorElementType + Clone, const N: usize>(
        &self,
        inputs: Vec<(&'static str, SessionInputValue<'_>)>,
        outputs: [&str; N],
    ) -> Result<[Vec<T>; N], Error> {
        let failed = |error: ort::Error| self.failed(&error);
        let mut opened = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let found = opened.session.run(inputs).map_err(failed)?;
        let mut copies = std::array::from_fn(|_| Vec::new());
        for (copy, name) in copies.iter_mut().zip(outputs) {
            let output = found.get(name).ok_or_else(|| Error::Stage {
                stage: self.stage,
                reason: format!("the graph gives no output `{name}`"),
            })?;
            let (_, values) = output.try_extract_tensor::<T>().map_err(failed)?;
            *copy = values.to_vec();
        }
        Ok(copies)
    }
}

/// What stood in the way of a session.
pub(crate) enum Refused {
    /// The provider could not be registered.
    Provider(String),
    /// The graph could not be opened.
    Graph(String),
}

/// Opens a graph on a provider, with a record of which provider took which node.
pub(crate) fn open(
    environment: &Environment,
    file: &Path,
    provider: Provider,
    settings: &Settings<'_>,
) -> Result<Session, Refused> {
    let builder = Session::builder(environment).map_err(|error| Refused::Graph(error.to_string()))?;
    let builder = [provider::RECORD, PARALLEL_PREPACK].into_iter().try_fold(builder, |builder, entry| {
        builder.with_config_entry(entry, "1").map_err(|error| Refused::Graph(error.to_string()))
    })?;
    let mut builder = settings.register(provider, builder).map_err(Refused::Provider)?;
    builder.commit_from_file(file).map_err(|error| Refused::Graph(error.to_string()))
}
