//! The stages of SegVol as ONNX graphs: their names, and the tensors that pass between them.
//!
//! | stage            | input             | shape            | output            | shape          |
//! |------------------|-------------------|------------------|-------------------|----------------|
//! | `image_encoder`  | `image`           | `[B, 1, D, H, W]`| `image_embedding` | `[B, N, C]`    |
//! | `text_encoder`   | `input_ids`       | `[B, T]` int64   | `text_embedding`  | `[B, C]`       |
//! |                  |                   |                  | `text_alignment`  | `[B, C/8]`     |
//! | `prompt_encoder` | `prompt_coords`   | `[B, P, 3]`      | `sparse_embeddings` | `[B, P, C]`  |
//! |                  | `prompt_labels`   | `[B, P]`         |                   |                |
//! |                  | `text_embedding`  | `[B, C]`         |                   |                |
//! | `mask_decoder`   | `image_embedding` | `[1, N, C]`      | `low_res_logits`  | `[B, 4Gd, 4Gh, 4Gw]` |
//! |                  | `sparse_embeddings` | `[B, P, C]`    |                   |                |
//! |                  | `text_alignment`  | `[B, C/8]`       |                   |                |
//!
//! `B` is a batch of windows (image encoder), of names (text encoder) or of prompts for one image (prompt encoder, mask
//! decoder). `T` is the number of token ids, `P` of prompt tokens, `N` of image tokens; `G` is the grid of image
//! tokens. All other numbers are fixed for one model, see [`Architecture`].
//!
//! Elements are float32 unless the table says otherwise. The one exception is `image_embedding` at precision `fp16`: it
//! is float16, both as the image encoder's output and as the mask decoder's input.
//!
//! A prompt token is a voxel coordinate `(d, h, w)` in the window, with a [`PromptLabel`].

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::element_type::ElementType;
use crate::precision::Precision;

/// One part of SegVol that is a graph of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Window of a CT scan to image tokens.
    ImageEncoder,
    /// Token ids of a name to one vector.
    TextEncoder,
    /// Points, box and text to prompt tokens.
    PromptEncoder,
    /// Image and prompt tokens to mask logits.
    MaskDecoder,
}

impl Stage {
    /// Every stage, in the order of the data flow.
    pub const ALL: [Self; 4] = [Self::ImageEncoder, Self::TextEncoder, Self::PromptEncoder, Self::MaskDecoder];

    /// The stage's name, as in the checkpoint's keys and the bundle's files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageEncoder => "image_encoder",
            Self::TextEncoder => "text_encoder",
            Self::PromptEncoder => "prompt_encoder",
            Self::MaskDecoder => "mask_decoder",
        }
    }

    /// The inputs of the stage's graphs at a precision.
    #[must_use]
    pub fn inputs(self, architecture: &Architecture, precision: Precision) -> Vec<TensorSpec> {
        use Dim::Fixed;
        let [d, h, w] = architecture.window_dhw.map(Fixed);
        let tokens = Fixed(architecture.image_tokens());
        let channels = Fixed(architecture.channels);
        let upscaled = Fixed(architecture.upscaled_channels());
        match self {
            Self::ImageEncoder => vec![TensorSpec::float("image", [batch(), Fixed(1), d, h, w])],
            Self::TextEncoder => vec![TensorSpec::int("input_ids", [batch(), Dim::named("sequence")])],
            Self::PromptEncoder => vec![
                TensorSpec::float("prompt_coords", [batch(), prompt(), Fixed(3)]),
                TensorSpec::float("prompt_labels", [batch(), prompt()]),
                TensorSpec::float("text_embedding", [batch(), channels]),
            ],
            Self::MaskDecoder => vec![
                image_embedding(precision, [Fixed(1), tokens, channels.clone()]),
                TensorSpec::float("sparse_embeddings", [batch(), prompt(), channels]),
                TensorSpec::float("text_alignment", [batch(), upscaled]),
            ],
        }
    }

    /// The outputs of the stage's graphs at a precision.
    #[must_use]
    pub fn outputs(self, architecture: &Architecture, precision: Precision) -> Vec<TensorSpec> {
        use Dim::Fixed;
        let channels = Fixed(architecture.channels);
        let [d, h, w] = architecture.low_res_dhw().map(Fixed);
        match self {
            Self::ImageEncoder => {
                let tokens = Fixed(architecture.image_tokens());
                vec![image_embedding(precision, [batch(), tokens, channels])]
            }
            Self::TextEncoder => vec![
                TensorSpec::float("text_embedding", [batch(), channels]),
                TensorSpec::float("text_alignment", [batch(), Fixed(architecture.upscaled_channels())]),
            ],
            Self::PromptEncoder => {
                vec![TensorSpec::float("sparse_embeddings", [batch(), prompt(), channels])]
            }
            Self::MaskDecoder => vec![TensorSpec::float("low_res_logits", [batch(), d, h, w])],
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = String;

    /// Reads a stage's name. `image-encoder`, the spelling of earlier versions, is `image_encoder`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|stage| stage.name() == name)
            .ok_or_else(|| format!("stage `{text}`: expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn image_embedding(precision: Precision, shape: [Dim; 3]) -> TensorSpec {
    let dtype = match precision {
        Precision::Fp16 => Dtype::Float16,
        Precision::Fp32 | Precision::Int8 => Dtype::Float32,
    };
    TensorSpec { dtype, ..TensorSpec::float("image_embedding", shape) }
}

fn batch() -> Dim {
    Dim::named("batch")
}

fn prompt() -> Dim {
    Dim::named("prompt")
}

/// What a prompt token means; the value of `prompt_labels`.
///
/// -1 to 3 are SAM's own numbers; 4 is ours, for the token that SegVol adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptLabel {
    /// Padding: `not_a_point_embed` alone; the coordinate is ignored.
    NotAPoint,
    /// A point outside the object.
    Background,
    /// A point inside the object.
    Foreground,
    /// The box's corner with the smallest coordinates.
    BoxMin,
    /// The box's corner with the largest coordinates (inclusive).
    BoxMax,
    /// The text embedding itself; the coordinate is ignored.
    Text,
}

impl PromptLabel {
    /// The number for it in the graph's `prompt_labels`.
    #[must_use]
    pub fn value(self) -> f32 {
        match self {
            Self::NotAPoint => -1.0,
            Self::Background => 0.0,
            Self::Foreground => 1.0,
            Self::BoxMin => 2.0,
            Self::BoxMax => 3.0,
            Self::Text => 4.0,
        }
    }
}

/// How a stage's graph is written, and so for which providers. The graphs of one precision share a weights file.
///
/// | variant          | attention | `fp16`               | `int8`                               |
/// |------------------|-----------|----------------------|--------------------------------------|
/// | `portable`       | standard  | float16 arithmetic   | ranges from a calibration, if there is one |
/// | `fused`          | fused     | float16 arithmetic   | ranges measured at run time          |
/// | `widened`        | standard  | float32 arithmetic   | not made                             |
/// | `widened_fused`  | fused     | float32 arithmetic   | not made                             |
///
/// Standard attention is `MatMul`–`Softmax`–`MatMul`, for any provider; fused is `com.microsoft.MultiHeadAttention`,
/// ONNX Runtime's own kernel on its CPU and CUDA providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Only standard operators, for any provider.
    Portable,
    /// With ONNX Runtime's attention.
    Fused,
    /// As `portable`, computed in float32 from the float16 weights, for providers without float16 arithmetic.
    Widened,
    /// As `fused`, computed in float32 from the float16 weights.
    WidenedFused,
    /// As `portable`, with further outputs for a calibration. Never in a published bundle.
    Observed,
}

impl Variant {
    /// The word in a bundle's file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Fused => "fused",
            Self::Widened => "widened",
            Self::WidenedFused => "widened_fused",
            Self::Observed => "observed",
        }
    }

    /// Whether attention is ONNX Runtime's own operator.
    #[must_use]
    pub fn is_fused(self) -> bool {
        matches!(self, Self::Fused | Self::WidenedFused)
    }
}

/// Name, element type and shape of an input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// The tensor's name in the graph.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<Dim>,
}

impl TensorSpec {
    /// A float32 tensor.
    #[must_use]
    pub fn float<const R: usize>(name: &str, shape: [Dim; R]) -> Self {
        Self { name: name.to_owned(), dtype: Dtype::Float32, shape: shape.to_vec() }
    }

    /// An int64 tensor.
    #[must_use]
    pub fn int<const R: usize>(name: &str, shape: [Dim; R]) -> Self {
        Self { name: name.to_owned(), dtype: Dtype::Int64, shape: shape.to_vec() }
    }
}

/// Element type of an input or output of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary16.
    Float16,
    /// Two's complement, 64 bits.
    Int64,
}

impl Dtype {
    /// The name, as in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int64 => "int64",
        }
    }

    /// The same type, among those inside a graph.
    #[must_use]
    pub fn element(self) -> ElementType {
        match self {
            Self::Float32 => ElementType::Float32,
            Self::Float16 => ElementType::Float16,
            Self::Int64 => ElementType::Int64,
        }
    }
}

/// One axis of a tensor: a number, or a name for a size that is known only at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// The same size in every run.
    Fixed(usize),
    /// Any size of at least 1; equal names mean equal sizes within a run.
    Named(String),
}

impl Dim {
    /// An axis whose size is known only at run time.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}
