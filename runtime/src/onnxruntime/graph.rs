//! Runs a single graph with named tensors, for measurements and for comparisons of single stages.

use std::path::Path;

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef};
use segvol_onnx::manifest::Manifest;
use segvol_onnx::{Stage, TensorSpec};

use super::library;
use super::precision;
use super::provider::{Settings, open_first};
use super::session::StageSession;
use crate::error::Error;
use crate::options::Options;
use crate::provider::{Placement, Provider};

/// An input or output tensor of a graph, with values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// float32. If the graph's tensor is float16, inputs are rounded to float16 and outputs are converted to float32.
    Float {
        /// Elements per axis.
        shape: Vec<usize>,
        /// The values; their number is the product of `shape`.
        values: Vec<f32>,
    },
    /// int64.
    Int {
        /// Elements per axis.
        shape: Vec<usize>,
        /// The values; their number is the product of `shape`.
        values: Vec<i64>,
    },
}

impl Tensor {
    /// A float32 tensor.
    #[must_use]
    pub fn float(shape: &[usize], values: Vec<f32>) -> Self {
        Self::Float { shape: shape.to_vec(), values }
    }

    /// An int64 tensor.
    #[must_use]
    pub fn int(shape: &[usize], values: Vec<i64>) -> Self {
        Self::Int { shape: shape.to_vec(), values }
    }

    /// Elements per axis.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Float { shape, .. } | Self::Int { shape, .. } => shape,
        }
    }

    /// The values of a float32 tensor; `None` for other types.
    #[must_use]
    pub fn floats(&self) -> Option<&[f32]> {
        match self {
            Self::Float { values, .. } => Some(values),
            Self::Int { .. } => None,
        }
    }

    /// The values of an int64 tensor; `None` for other types.
    #[must_use]
    pub fn ints(&self) -> Option<&[i64]> {
        match self {
            Self::Int { values, .. } => Some(values),
            Self::Float { .. } => None,
        }
    }
}

/// A single graph, opened on a provider.
pub struct GraphSession {
    stage: Stage,
    provider: Provider,
    session: StageSession,
    /// Whether tensors are bound, at the same addresses in every run.
    bound: bool,
}

impl GraphSession {
    /// Opens a single stage of the bundle in `dir`. The hashes of its files are not checked.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] if an option is out of range.
    /// - [`Error::Bundle`] if the bundle lacks the stage or the requested precision.
    /// - [`Error::Library`] if ONNX Runtime cannot be loaded.
    /// - [`Error::ProviderMissing`] if the loaded library lacks the provider.
    /// - [`Error::ProviderFailed`] if the provider cannot be started, or takes no node of this stage.
    /// - [`Error::Stage`] if ONNX Runtime rejects the graph.
    /// - [`Error::Memory`] if there is not enough memory.
    pub fn open_stage(dir: &Path, manifest: &Manifest, stage: Stage, options: &Options) -> Result<Self, Error> {
        open_by(options, stage, |provider| {
            let precision = precision::choose(manifest, dir, options.precision, provider)?;
            let (files, graph) = precision::graph(manifest, dir, precision, stage, provider)?;
            Self::open_on(&graph, stage, provider, options, &files.inputs)
        })
    }

    /// Opens any graph. Its errors name `stage`.
    ///
    /// # Errors
    ///
    /// As for [`GraphSession::open_stage`].
    pub fn open(file: &Path, stage: Stage, options: &Options) -> Result<Self, Error> {
        open_by(options, stage, |provider| Self::open_on(file, stage, provider, options, &[]))
    }

    /// As [`GraphSession::open`], on the given provider, for a graph with the inputs `inputs`.
    pub(crate) fn open_on(
        file: &Path,
        stage: Stage,
        provider: Provider,
        options: &Options,
        inputs: &[TensorSpec],
    ) -> Result<Self, Error> {
        if !provider.is_compiled_in() {
            return Err(library::provider_missing(provider));
        }
        let environment = library::environment(options.library.as_deref(), &options.providers())?;
        let encoder = stage == Stage::ImageEncoder && inputs.len() == 1;
        let settings = Settings {
            stage: Some(stage),
            inputs,
            threads: options.threads,
            bundle: None,
            onnxruntime: &library::library_version(),
            options: &options.provider_options,
            // A recorded graph must find its tensors where it left them; others are free.
            place: provider.place(&options.provider_options).filter(|place| place.fixed() && encoder),
        };
        let session = StageSession::open(&environment, stage, file, provider, &settings)?;
        Ok(Self { stage, provider, session, bound: settings.place.is_some() })
    }

    /// The provider that the graph was opened on.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Number of graph nodes that each provider took, as ONNX Runtime recorded it.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.session.placement()
    }

    /// Version, commit and build flags of the loaded ONNX Runtime.
    #[must_use]
    pub fn onnxruntime(&self) -> String {
        library::library_info()
    }

    /// Runs the graph with named inputs. Returns its outputs with their names, in the graph's order.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if the number of a tensor's values does not match its shape, or if ONNX Runtime fails.
    pub fn run(&self, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, Error> {
        if let (true, [(name, Tensor::Float { shape, values })]) = (self.bound, inputs) {
            return Ok(vec![self.run_bound(name, shape, values)?]);
        }
        let stage = self.stage;
        let failed = |error: ort::Error| Error::Stage { stage, reason: error.to_string() };
        self.session.with(|session| {
            let halves: Vec<String> = session
                .inputs()
                .iter()
                .filter(|input| input.dtype().tensor_type() == Some(TensorElementType::Float16))
                .map(|input| input.name().to_owned())
                .collect();
            let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
            for (name, tensor) in inputs {
                let value = match tensor {
                    Tensor::Float { shape, values } if halves.contains(name) => {
                        let values: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
                        ort::value::Tensor::from_array((shape.as_slice(), values)).map(Into::into)
                    }
                    Tensor::Float { shape, values } => {
                        TensorRef::from_array_view((shape.as_slice(), values.as_slice())).map(Into::into)
                    }
                    Tensor::Int { shape, values } => {
                        TensorRef::from_array_view((shape.as_slice(), values.as_slice())).map(Into::into)
                    }
                };
                values.push((name, value.map_err(failed)?));
            }
            let outputs = session.run(values).map_err(failed)?;
            outputs.iter().map(|(name, value)| Ok((name.to_owned(), extract(&value).map_err(failed)?))).collect()
        })
    }

    /// Runs the image encoder on a batch of windows, `[B, …]`, with bound tensors.
    fn run_bound(&self, input: &str, shape: &[usize], values: &[f32]) -> Result<(String, Tensor), Error> {
        let stage = self.stage;
        let failed = |error: ort::Error| Error::Stage { stage, reason: error.to_string() };
        let output = self.session.with(|session| {
            let output = session.outputs().first();
            let found =
                output.and_then(|output| Some((output.name().to_owned(), output.dtype().tensor_shape()?.to_vec())));
            found.ok_or_else(|| Error::Stage { stage, reason: "the graph has no output that is a tensor".to_owned() })
        })?;
        // The axis of the batch has no size in the graph.
        let (name, axes) = output;
        let mut item_shape: Vec<usize> = axes.iter().map(|&n| usize::try_from(n).unwrap_or(1)).collect();
        let items = self.session.run_to_device((input, shape, values), (&name, &item_shape))?;
        let items = items.ok_or_else(|| Error::Stage { stage, reason: "no tensors are bound".to_owned() })?;
        let found: Vec<Vec<f32>> = items.iter().map(|item| item.to_f32().map_err(failed)).collect::<Result<_, _>>()?;
        if let Some(batch) = item_shape.first_mut() {
            *batch = found.len();
        }
        Ok((name, Tensor::Float { shape: item_shape, values: found.concat() }))
    }
}

fn extract(value: &DynValue) -> Result<Tensor, ort::Error> {
    let size = |&n: &i64| usize::try_from(n).expect("a tensor that was computed has no unknown axis");
    let sizes = |shape: &ort::value::Shape| shape.iter().map(size).collect();
    if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
        return Ok(Tensor::Float { shape: sizes(shape), values: values.iter().map(|value| value.to_f32()).collect() });
    }
    if let Ok((shape, values)) = value.try_extract_tensor::<i64>() {
        return Ok(Tensor::Int { shape: sizes(shape), values: values.to_vec() });
    }
    let (shape, values) = value.try_extract_tensor::<f32>()?;
    Ok(Tensor::Float { shape: sizes(shape), values: values.to_vec() })
}

/// Opens on the provider of the stage; with `auto`, on the first provider that can be used.
fn open_by<T>(options: &Options, stage: Stage, open: impl Fn(Provider) -> Result<T, Error>) -> Result<T, Error> {
    options.check()?;
    library::environment(options.library.as_deref(), &options.providers())?;
    match options.stage_providers.get(&stage).copied().unwrap_or(options.provider) {
        Provider::Auto => open_first(open).map(|(opened, _)| opened),
        asked => open(asked),
    }
}
