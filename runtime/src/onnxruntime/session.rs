//! Sessions of ONNX Runtime, one per graph.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::{RunOptions, Session, SessionInputValue};
use ort::value::PrimitiveTensorElementType;
use segvol_onnx::Stage;

use super::binding::{Bindings, DeviceTensor, Input};
use super::cancellation;
use super::graph_source::{GraphSource, WEIGHTS_FOLDER};
use super::logger;
use super::placement::{self, AssignedNode};
use super::provider::Settings;
use crate::error::Error;
use crate::provider::{LeftToCpu, Placement, Provider};

/// Configuration entry that lets ONNX Runtime prepack the weights on all threads. Libraries that do not know it ignore it.
const PARALLEL_PREPACK: &str = "session.prepack.enable_parallel";

/// Entry of a run's options with the number of the CUDA graph that is recorded, or replayed. It must not be 0. Providers that record
/// nothing ignore it.
const RECORDING: &str = "gpu_graph_id";

/// Bytes of memory that must be free before a session is opened. Its threads end the process if there is no memory for the
/// thread-local data that the dynamic loader allocates.
const SESSION: usize = 32 << 20;

/// One graph, ready to run.
///
/// Only one run at a time uses the session, because runs cannot share ONNX Runtime's allocators safely.
pub(crate) struct StageSession {
    stage: Stage,
    provider: Provider,
    session: Mutex<Opened>,
    nodes: Vec<AssignedNode>,
}

struct Opened {
    // Declared before the session, so that they are dropped before it.
    bindings: Option<Bindings>,
    session: Session,
}

impl StageSession {
    /// Opens the graph `file` on `provider`. If the settings have a place, runs bind their tensors there.
    ///
    /// # Errors
    ///
    /// [`Error::ProviderFailed`] if the provider cannot be started or takes no node, [`Error::Stage`] if ONNX Runtime
    /// rejects the graph on the CPU, [`Error::Bundle`] if a file is a link that cannot be used, [`Error::Memory`] if there is
    /// not enough memory.
    pub(crate) fn open(
        environment: &Environment,
        stage: Stage,
        file: &Path,
        provider: Provider,
        settings: &Settings<'_>,
    ) -> Result<Self, Error> {
        let provider_failed = |reason: String| Error::ProviderFailed { provider, stage, reason };
        segvol_base::memory::check_available::<u8>("an ONNX Runtime session", SESSION)?;
        let graph = GraphSource::of(file)?;
        let session = open(environment, &graph, provider, settings).map_err(|refused| match refused {
            Refused::Graph(reason) if provider == Provider::Cpu => Error::Stage { stage, reason },
            Refused::Graph(reason) | Refused::Provider(reason) => provider_failed(reason),
        })?;
        let nodes = placement::assigned_nodes(&session);
        let name = provider.onnxruntime_name();
        if provider != Provider::Cpu && !nodes.iter().any(|node| node.provider == name) {
            return Err(provider_failed(
                "it was registered but took no node of the graph; run this stage on another provider".to_owned(),
            ));
        }
        let bindings = settings.place.map(|place| Bindings::new(&session, place)).transpose();
        let bindings = bindings.map_err(|error| provider_failed(error.to_string()))?;
        Ok(Self { stage, provider, session: Mutex::new(Opened { bindings, session }), nodes })
    }

    /// The provider that the graph was opened on.
    pub(crate) fn provider(&self) -> Provider {
        self.provider
    }

    /// Number of graph nodes that each provider took.
    pub(crate) fn placement(&self) -> Placement {
        let mut placement = Placement::new();
        for node in &self.nodes {
            *placement.entry(node.provider.clone()).or_default() += 1;
        }
        placement
    }

    /// Nodes that run on the CPU although another provider was requested.
    pub(crate) fn left_to_cpu(&self) -> LeftToCpu {
        let mut left = LeftToCpu::new();
        let cpu = Provider::Cpu.onnxruntime_name();
        for node in self.nodes.iter().filter(|node| self.provider != Provider::Cpu && node.provider == cpu) {
            left.entry(node.op.clone()).or_default().push(node.name.clone());
        }
        left
    }

    /// Runs a graph with one input, a batch `[B, …]`, and leaves its output in the memory where the session's tensors are bound, in
    /// a tensor for each item, whose shape is that of `output`: `[1, …]`. `None` if no tensors are bound.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if ONNX Runtime fails, with its message; [`Error::Cancelled`] if the call is to stop.
    pub(crate) fn run_to_device(
        &self,
        input: (&str, &[usize], &[f32]),
        output: (&str, &[usize]),
    ) -> Result<Option<Vec<DeviceTensor>>, Error> {
        let mut opened = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Opened { bindings, session } = &mut *opened;
        let Some(bindings) = bindings else { return Ok(None) };
        // A recorded graph is replayed whatever the shapes are, so each size of a batch has a recording of its own.
        let recording = bindings.keeps_addresses().then(|| input.1.first().copied().unwrap_or(1).to_string());
        let entry = recording.as_deref().map(|size| (RECORDING, size));
        let run = |options: &RunOptions| bindings.run_to_device(session, options, input, output);
        cancellation::run_with(entry, |error| self.failed(error), run).map(Some)
    }

    /// Runs a graph on bound tensors and copies its only output to the host. `None` if no tensors are bound.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if ONNX Runtime fails, with its message; [`Error::Cancelled`] if the call is to stop.
    pub(crate) fn run_to_host(
        &self,
        inputs: &[(&str, Input<'_>)],
        output: (&str, &[usize]),
    ) -> Result<Option<Vec<f32>>, Error> {
        let mut opened = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Opened { bindings, session } = &mut *opened;
        let Some(bindings) = bindings else { return Ok(None) };
        let run = |options: &RunOptions| bindings.run_to_host(session, options, inputs, output);
        cancellation::run(|error| self.failed(error), run).map(Some)
    }

    fn failed(&self, error: &ort::Error) -> Error {
        Error::Stage { stage: self.stage, reason: error.to_string() }
    }

    /// Direct access to the session, for callers with other tensors.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Session) -> Result<T, Error>) -> Result<T, Error> {
        work(&mut self.session.lock().unwrap_or_else(PoisonError::into_inner).session)
    }

    /// Runs the graph and returns its outputs, in the order of `outputs`.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if ONNX Runtime fails, with its message, or if the graph lacks an output; [`Error::Cancelled`] if the
    /// call is to stop.
    pub(crate) fn run<T: PrimitiveTensorElementType + Clone, const N: usize>(
        &self,
        inputs: &[(&'static str, Input<'_>)],
        outputs: [&str; N],
    ) -> Result<[Vec<T>; N], Error> {
        let failed = |error: ort::Error| self.failed(&error);
        let inputs = inputs.iter().map(|&(name, input)| Ok((name, input.borrowed()?)));
        let inputs = inputs.collect::<ort::Result<Vec<(&str, SessionInputValue<'_>)>>>().map_err(failed)?;
        let mut opened = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |options: &RunOptions| {
            let found = opened.session.run_with_options(inputs, options)?;
            let mut copies = std::array::from_fn(|_| Vec::new());
            for (copy, name) in copies.iter_mut().zip(outputs) {
                let missing = || ort::Error::new(format!("the graph has no output `{name}`"));
                let (_, values) = found.get(name).ok_or_else(missing)?.try_extract_tensor::<T>()?;
                *copy = values.to_vec();
            }
            Ok(copies)
        };
        cancellation::run(|error| self.failed(error), run)
    }
}

/// Why a session could not be opened, with ONNX Runtime's message.
pub(crate) enum Refused {
    /// The provider could not be registered.
    Provider(String),
    /// The graph could not be opened.
    Graph(String),
}

/// Opens a graph on a provider. ONNX Runtime records which provider took which node.
///
/// # Errors
///
/// [`Refused::Provider`] if the provider cannot be registered, [`Refused::Graph`] if the graph cannot be opened.
pub(crate) fn open(
    environment: &Environment,
    graph: &GraphSource,
    provider: Provider,
    settings: &Settings<'_>,
) -> Result<Session, Refused> {
    logger::with_logged(
        || open_quietly(environment, graph, provider, settings),
        |refused, joined| match refused {
            Refused::Provider(reason) => Refused::Provider(joined(&reason)),
            Refused::Graph(reason) => Refused::Graph(joined(&reason)),
        },
    )
}

fn open_quietly(
    environment: &Environment,
    graph: &GraphSource,
    provider: Provider,
    settings: &Settings<'_>,
) -> Result<Session, Refused> {
    let builder = Session::builder(environment).map_err(|error| Refused::Graph(error.to_string()))?;
    let builder = [placement::RECORD, PARALLEL_PREPACK].into_iter().try_fold(builder, |builder, entry| {
        builder.with_config_entry(entry, "1").map_err(|error| Refused::Graph(error.to_string()))
    })?;
    let mut builder = settings.register(provider, builder).map_err(Refused::Provider)?;
    let session = match graph {
        GraphSource::File(file) => builder.commit_from_file(file),
        GraphSource::Memory { model, weights_folder } => {
            let builder = builder.with_config_entry(WEIGHTS_FOLDER, weights_folder);
            let mut builder = builder.map_err(|error| Refused::Graph(error.to_string()))?;
            builder.commit_from_memory(model)
        }
    };
    session.map_err(|error| Refused::Graph(error.to_string()))
}
