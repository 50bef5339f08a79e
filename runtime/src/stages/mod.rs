//! The four stages of a bundle, opened on a provider. The pipeline calls them, and so can a program that compares stages.

mod batches;
mod embedding;
mod encode_windows;
pub(crate) mod tokenizer;
mod window_prompt;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use ndarray::{Array2, Array3, Array4};
use segvol_base::{Warning, WarningCode, memory};
use segvol_onnx::manifest::{BundleError, Manifest};
use segvol_onnx::{Architecture, Precision, Stage};

pub use embedding::{ImageEmbedding, TextEmbedding};
pub use window_prompt::WindowPrompt;

use crate::error::Error;
use crate::onnxruntime::binding::{Input, Place};
use crate::onnxruntime::library::{self, Environment};
use crate::onnxruntime::precision;
use crate::onnxruntime::provider::{ProviderOptions, Settings};
use crate::onnxruntime::session::StageSession;
use crate::options::Options;
use crate::provider::{LeftToCpu, Placement, Provider};
use batches::batches;
use embedding::Values;
use tokenizer::Tokenizer;

/// The four stages of one bundle, ready to run. Sizes in shapes are those of [`Architecture`].
pub struct Stages {
    architecture: Architecture,
    provider: Provider,
    precision: Precision,
    /// Most prompts or names in one run.
    batch_limit: usize,
    /// Most windows in one run. It falls to 1 if a run of several fails.
    window_batch: AtomicUsize,
    tokenizer: Tokenizer,
    image_encoder: StageSession,
    /// A float32 image encoder for the zoom-out window, if `image_encoder` computes with a lower precision.
    exact_image_encoder: Option<StageSession>,
    text_encoder: StageSession,
    prompt_encoder: StageSession,
    mask_decoder: StageSession,
    /// See [`Stages::encoder`].
    encoder: String,
}

impl Stages {
    /// Opens every stage of the bundle in `dir` on `provider`, except stages for which the options set another provider.
    /// `provider` must not be [`Provider::Auto`].
    pub(crate) fn open(
        environment: &Environment,
        dir: &Path,
        manifest: &Manifest,
        manifest_sha256: &str,
        provider: Provider,
        options: &Options,
    ) -> Result<Self, Error> {
        let provider_of = |stage| options.stage_providers.get(&stage).copied().unwrap_or(provider);
        for provider in Stage::ALL.map(provider_of) {
            if !provider.is_compiled_in() {
                return Err(library::provider_missing(provider));
            }
        }
        let precision = precision::choose(manifest, dir, options.precision, provider_of(Stage::ImageEncoder))?;
        let place = shared_place(provider_of, options);
        let onnxruntime = library::library_version();
        let open_at = |stage, precision, provider_options: &ProviderOptions| -> Result<StageSession, Error> {
            let provider = provider_of(stage);
            let (files, graph) = precision::graph(manifest, dir, precision, stage, provider)?;
            let settings = Settings {
                stage: Some(stage),
                inputs: &files.inputs,
                threads: options.threads,
                bundle: Some(manifest_sha256),
                onnxruntime: &onnxruntime,
                options: provider_options,
                place: place.filter(|_| matches!(stage, Stage::ImageEncoder | Stage::MaskDecoder)),
            };
            StageSession::open(environment, stage, &graph, provider, &settings)
        };
        let open = |stage| open_at(stage, precision, &options.provider_options);
        let encoder_provider = provider_of(Stage::ImageEncoder);
        let exact = precision::exact_zoom_out(manifest, precision, encoder_provider, &options.provider_options);
        let entry = manifest.tokenizer.as_ref();
        let entry =
            entry.ok_or_else(|| BundleError::MissingStage { path: dir.to_owned(), stage: Stage::TextEncoder })?;
        let architecture = manifest.architecture.clone();
        let text = &architecture.text_encoder;
        // The tokenizer makes tables of its vocabulary, and a cache. No memory is large enough for a file beyond `usize`.
        memory::check_available::<[u8; 32]>("the tokenizer", usize::try_from(entry.file.bytes).unwrap_or(usize::MAX))?;
        let tokenizer = Tokenizer::open(&dir.join(&entry.file.name), entry, text.vocabulary, text.context_length)?;
        let encoders = || {
            let encoder = open(Stage::ImageEncoder)?;
            let exact = exact.map(|options| open_at(Stage::ImageEncoder, Precision::Fp32, &options)).transpose()?;
            Ok::<_, Error>((encoder, exact))
        };
        let others = || {
            let (text, prompt) = (open(Stage::TextEncoder)?, open(Stage::PromptEncoder)?);
            Ok::<_, Error>((text, prompt, open(Stage::MaskDecoder)?))
        };
        // Other providers compile on all cores, or need the whole GPU to build their engines.
        let side_by_side = Stage::ALL.into_iter().all(|stage| provider_of(stage) == Provider::Cpu);
        let (encoders, others) = match side_by_side {
            true => rayon::join(encoders, others),
            false => (Ok(encoders()?), others()),
        };
        let (image_encoder, exact_image_encoder) = encoders?;
        let (text_encoder, prompt_encoder, mask_decoder) = others?;
        let stages = Self {
            provider,
            precision,
            batch_limit: Stage::ALL
                .map(|stage| provider_of(stage).batch_limit(&options.provider_options))
                .into_iter()
                .min()
                .expect("there are four stages"),
            window_batch: provider_of(Stage::ImageEncoder).window_batch(&options.provider_options).into(),
            tokenizer,
            image_encoder,
            exact_image_encoder,
            text_encoder,
            prompt_encoder,
            mask_decoder,
            encoder: embedding::encoder(manifest_sha256, encoder_provider, precision, options),
            architecture,
        };
        if let Some(warning) = stages.precision_warning() {
            tracing::info!("{warning}");
        }
        if let Some(note) = stages.precision_note() {
            tracing::info!("{note}");
        }
        Ok(stages)
    }

    /// The sizes of the model.
    #[must_use]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The provider that the stages were opened on, except stages for which the options set another provider.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The provider that each stage was opened on.
    #[must_use]
    pub fn providers(&self) -> BTreeMap<Stage, Provider> {
        self.sessions().map(|(stage, session)| (stage, session.provider())).into()
    }

    /// The precision that the stages were opened at.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// What the bits of an image embedding depend on, besides the image: equal texts give equal bits.
    pub(crate) fn encoder(&self) -> &str {
        &self.encoder
    }

    /// The element type of the image encoder's matrix products: `float32`, `float16` or `int8`.
    #[must_use]
    pub fn arithmetic(&self) -> &'static str {
        precision::arithmetic(self.image_encoder.provider(), self.precision)
    }

    /// A warning if the provider has no arithmetic for the precision.
    #[must_use]
    pub fn precision_warning(&self) -> Option<Warning> {
        let replaced = self.precision == Precision::Fp16 && self.arithmetic() == "float32";
        replaced.then(|| {
            let provider = self.image_encoder.provider();
            let message = format!(
                "precision fp16: provider {provider} has no float16 arithmetic; computed in float32 from the float16 weights"
            );
            Warning::new(WarningCode::PrecisionReplaced, message)
        })
    }

    /// What runs at a higher precision than [`Stages::precision`] for the sake of the result; `None` if nothing does.
    #[must_use]
    pub fn precision_note(&self) -> Option<&'static str> {
        let note = "the zoom-out window is encoded in float32, so that the zoom-in windows are at the same positions as with float32";
        self.exact_image_encoder.as_ref().map(|_| note)
    }

    /// The bundle's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Number of graph nodes that each provider took, per stage, as ONNX Runtime recorded it.
    #[must_use]
    pub fn placement(&self) -> BTreeMap<Stage, Placement> {
        self.sessions().map(|(stage, session)| (stage, session.placement())).into()
    }

    /// Nodes that run on the CPU although another provider was requested for their stage.
    #[must_use]
    pub fn left_to_cpu(&self) -> BTreeMap<Stage, LeftToCpu> {
        let left = self.sessions().map(|(stage, session)| (stage, session.left_to_cpu()));
        left.into_iter().filter(|(_, left)| !left.is_empty()).collect()
    }

    fn sessions(&self) -> [(Stage, &StageSession); 4] {
        [
            (Stage::ImageEncoder, &self.image_encoder),
            (Stage::TextEncoder, &self.text_encoder),
            (Stage::PromptEncoder, &self.prompt_encoder),
            (Stage::MaskDecoder, &self.mask_decoder),
        ]
    }

    /// Encodes names, and returns their embeddings in the order of `names`. Names of the same padded length are encoded in
    /// batches.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] if the tokenizer rejects a name, [`Error::Stage`] if ONNX Runtime fails,
    /// [`Error::NotFinite`] if an output contains an infinity or NaN.
    #[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
    pub fn encode_text(&self, names: &[&str]) -> Result<Vec<TextEmbedding>, Error> {
        let mut by_length: BTreeMap<usize, Vec<(usize, Vec<i64>)>> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let ids = self.tokenizer.pad(self.tokenizer.encode(name)?);
            by_length.entry(ids.len()).or_default().push((index, ids));
        }
        let mut embeddings = vec![None; names.len()];
        let in_batches = by_length
            .iter()
            .flat_map(|(&length, names)| batches(names, self.batch_limit).map(move |batch| (length, batch)));
        for (length, batch) in in_batches {
            let ids: Vec<i64> = batch.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
            let found = self.encode_token_ids([batch.len(), length], &ids)?;
            for (&(index, _), embedding) in batch.iter().zip(found) {
                embeddings[index] = Some(embedding);
            }
        }
        Ok(embeddings.into_iter().map(|found| found.expect("every name is in one batch")).collect())
    }

    /// Encodes sequences of token ids, `[B, T]` in row-major order.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if the number of ids is not `B * T`, or ONNX Runtime fails; [`Error::NotFinite`] if an output
    /// contains an infinity or NaN.
    pub fn encode_token_ids(&self, [batch, length]: [usize; 2], ids: &[i64]) -> Result<Vec<TextEmbedding>, Error> {
        let stage = Stage::TextEncoder;
        let inputs = [("input_ids", Input::I64(&[batch, length], ids))];
        let [embeddings, alignments] = self.text_encoder.run(&inputs, ["text_embedding", "text_alignment"])?;
        self.finite(stage, "text_embedding", first_not_finite(&embeddings))?;
        self.finite(stage, "text_alignment", first_not_finite(&alignments))?;
        let rows = embeddings.chunks_exact(self.architecture.channels);
        let alignments = alignments.chunks_exact(self.architecture.upscaled_channels());
        Ok(rows.zip(alignments).map(|(e, a)| TextEmbedding { embedding: e.to_vec(), alignment: a.to_vec() }).collect())
    }

    /// Encodes `B` prompts that all have the same number of tokens, `P`.
    ///
    /// | value     | shape       | unit                                                      |
    /// |-----------|-------------|-----------------------------------------------------------|
    /// | `prompts` | `B` prompts | voxels of the window, see [`WindowPrompt::tokens`]        |
    /// | result    | `[B, P, C]` | embeddings of the tokens, `C` is `Architecture::channels` |
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if the prompts do not have the same number of tokens or have none, or ONNX Runtime fails;
    /// [`Error::NotFinite`] if the output contains an infinity or NaN.
    pub fn encode_prompts(&self, prompts: &[WindowPrompt<'_>]) -> Result<Array3<f32>, Error> {
        let stage = Stage::PromptEncoder;
        let (batch, channels) = (prompts.len(), self.architecture.channels);
        let count = prompts.first().map_or(0, |prompt| prompt.tokens().len());
        let (mut coords, mut labels) = (Vec::new(), Vec::new());
        let mut text = Array2::<f32>::zeros((batch, channels));
        for (prompt, mut row) in prompts.iter().zip(text.rows_mut()) {
            let tokens = prompt.tokens();
            if tokens.is_empty() || tokens.len() != count {
                let found = tokens.len();
                let reason =
                    format!("expected {count} tokens for every prompt of the batch, at least 1, found {found}");
                return Err(Error::Stage { stage, reason });
            }
            for (coord, label) in tokens {
                coords.extend(coord);
                labels.push(label.value());
            }
            if let Some(text) = prompt.text {
                row.assign(&ndarray::aview1(&text.embedding));
            }
        }
        let text = text.into_raw_vec_and_offset().0;
        let inputs = [
            ("prompt_coords", Input::F32(&[batch, count, 3], &coords)),
            ("prompt_labels", Input::F32(&[batch, count], &labels)),
            ("text_embedding", Input::F32(&[batch, channels], &text)),
        ];
        let [sparse] = self.prompt_encoder.run(&inputs, ["sparse_embeddings"])?;
        self.finite(stage, "sparse_embeddings", first_not_finite(&sparse))?;
        shaped(stage, (batch, count, channels), sparse)
    }

    /// Decodes the masks of `B` prompts in one window.
    ///
    /// | value     | shape                | unit                                                        |
    /// |-----------|----------------------|-------------------------------------------------------------|
    /// | `image`   | `[N, C]`             | embeddings of the `N = Gd * Gh * Gw` image tokens           |
    /// | `prompts` | `B` prompts          | voxels of the window                                        |
    /// | result    | `[B, 4Gd, 4Gh, 4Gw]` | logits, positive inside the mask, in the order of `prompts` |
    ///
    /// Prompts with the same number of tokens are decoded together, as many at a time as the provider runs well, in batches of a
    /// few fixed sizes.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if a prompt is empty, the embedding is from another model, or ONNX Runtime fails;
    /// [`Error::NotFinite`] if an output contains an infinity or NaN.
    #[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
    pub fn decode_masks(&self, image: &ImageEmbedding, prompts: &[WindowPrompt<'_>]) -> Result<Array4<f32>, Error> {
        let stage = Stage::MaskDecoder;
        let [d, h, w] = self.architecture.low_res_dhw();
        let (tokens, channels) = (self.architecture.image_tokens(), self.architecture.channels);
        let upscaled = self.architecture.upscaled_channels();
        let mut by_tokens: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, prompt) in prompts.iter().enumerate() {
            by_tokens.entry(prompt.tokens().len()).or_default().push(index);
        }
        let mut logits = Array4::zeros((prompts.len(), d, h, w));
        for indices in by_tokens.values().flat_map(|indices| batches(indices, self.batch_limit)) {
            let batch: Vec<WindowPrompt<'_>> = indices.iter().map(|&index| prompts[index].clone()).collect();
            let sparse = self.encode_prompts(&batch)?;
            let (count, sparse_tokens) = (batch.len(), sparse.shape()[1]);
            let zeros = vec![0.0; upscaled];
            let alignment: Vec<f32> = batch
                .iter()
                .flat_map(|prompt| prompt.text.map_or(&zeros, |text| &text.alignment).iter().copied())
                .collect();
            let (sparse_shape, alignment_shape) = ([count, sparse_tokens, channels], [count, upscaled]);
            let sparse = sparse.as_slice().expect("a new array is in standard layout");
            let embedding_shape = [1, tokens, channels];
            let inputs = |image| {
                [
                    ("image_embedding", image),
                    ("sparse_embeddings", Input::F32(&sparse_shape, sparse)),
                    ("text_alignment", Input::F32(&alignment_shape, &alignment)),
                ]
            };
            let decode = |image| -> Result<Vec<f32>, Error> {
                let [found] = self.mask_decoder.run(&inputs(image), ["low_res_logits"])?;
                Ok(found)
            };
            let found = match &image.0 {
                Values::Device(image) => {
                    let (inputs, output) = (inputs(Input::Device(image)), ("low_res_logits", &[count, d, h, w][..]));
                    let found = self.mask_decoder.run_to_host(&inputs, output)?;
                    let elsewhere = || {
                        "expected an image embedding of this model, found one of another model, on another device"
                            .to_owned()
                    };
                    found.ok_or_else(|| Error::Stage { stage, reason: elsewhere() })?
                }
                Values::Float(image) => decode(Input::F32(&embedding_shape, image))?,
                Values::Half(image) => decode(Input::F16(&embedding_shape, image))?,
            };
            self.finite(stage, "low_res_logits", first_not_finite(&found))?;
            let found: Array4<f32> = shaped(stage, (count, d, h, w), found)?;
            for (&index, found) in indices.iter().zip(found.outer_iter()) {
                logits.index_axis_mut(ndarray::Axis(0), index).assign(&found);
            }
        }
        Ok(logits)
    }
}

impl Stages {
    /// As [`Stages::finite`], for values that are on the host.
    pub(crate) fn check_finite(&self, stage: Stage, output: &'static str, values: &[f32]) -> Result<(), Error> {
        self.finite(stage, output, first_not_finite(values))
    }

    /// Returns an error if an output contains an infinity or NaN: the masks would be wrong without notice.
    fn finite(&self, stage: Stage, output: &'static str, bad: Option<(usize, f32)>) -> Result<(), Error> {
        match bad {
            None => Ok(()),
            Some((index, found)) => Err(Error::NotFinite { stage, output, index, found, precision: self.precision }),
        }
    }
}

fn first_not_finite(values: &[f32]) -> Option<(usize, f32)> {
    let index = values.iter().position(|value| !value.is_finite())?;
    Some((index, values[index]))
}

/// The place where the image embedding stays between encoder and decoder; `None` if they keep their tensors in different
/// places.
fn shared_place(provider_of: impl Fn(Stage) -> Provider, options: &Options) -> Option<Place> {
    let place = |stage| provider_of(stage).place(&options.provider_options);
    place(Stage::ImageEncoder).filter(|encoder| place(Stage::MaskDecoder) == Some(*encoder))
}

fn shaped<D: ndarray::Dimension, S: ndarray::ShapeBuilder<Dim = D>>(
    stage: Stage,
    shape: S,
    values: Vec<f32>,
) -> Result<ndarray::Array<f32, D>, Error> {
    let shape: ndarray::StrideShape<D> = shape.into_shape_with_order().into();
    ndarray::Array::from_shape_vec(shape, values).map_err(|error| Error::Stage { stage, reason: error.to_string() })
}

fn expect_shape(stage: Stage, name: &str, expected: &[usize], found: &[usize]) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Stage { stage, reason: format!("tensor `{name}`: expected shape {expected:?}, found {found:?}") })
}
