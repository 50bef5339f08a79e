//! In which element types a graph computes and keeps its weights; what stays in float32, and why.

use segvol_onnx::manifest::Kept;
use segvol_onnx::proto::data_type;
use segvol_onnx::{Activations, Precision, Stage, Variant};

/// The element types of one graph.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numerics<'a> {
    /// float32 throughout.
    Float,
    /// float32 throughout, and what linear layers take is told in further outputs.
    Observed,
    /// float16 weights and arithmetic, where nothing says otherwise.
    Half,
    /// float16 weights, each cast to float32: the arithmetic is float32's.
    Widened,
    /// int8 weights in linear layers, with these ranges of what they take, or ranges found while running.
    Int8 {
        /// What a calibration saw; outlier channels are smoothed with it.
        seen: Option<&'a Activations>,
        /// Whether what was seen gives the ranges too.
        fixed: bool,
    },
}

/// A weight that no matrix product takes is float16 only if it has this many elements: a LayerNorm's or a token's cost
/// nothing in float32.
const HALF_FROM_ELEMENTS: usize = 4096;

impl<'a> Numerics<'a> {
    /// The element types of a graph of a bundle.
    pub(crate) fn new(precision: Precision, variant: Variant, seen: Option<&'a Activations>) -> Self {
        match (precision, variant) {
            (_, Variant::Observed) => Self::Observed,
            (Precision::Fp32, _) => Self::Float,
            (Precision::Fp16, Variant::Widened | Variant::WidenedFused) => Self::Widened,
            (Precision::Fp16, _) => Self::Half,
            (Precision::Int8, variant) => Self::Int8 { seen, fixed: seen.is_some() && !variant.is_fused() },
        }
    }

    /// The element type in which a weight is kept; `operand` if a matrix product takes it.
    pub(crate) fn stored(self, elements: usize, operand: bool) -> i32 {
        match self {
            Self::Half | Self::Widened if operand || elements >= HALF_FROM_ELEMENTS => data_type::FLOAT16,
            _ => data_type::FLOAT,
        }
    }
}

/// The precision whose files serve a stage: a stage with nothing to gain shares those of float32.
pub(crate) fn stored(stage: Stage, precision: Precision) -> Precision {
    match (stage, precision) {
        (Stage::PromptEncoder, Precision::Fp16) => Precision::Fp32,
        (Stage::TextEncoder | Stage::PromptEncoder | Stage::MaskDecoder, Precision::Int8) => Precision::Fp32,
        _ => precision,
    }
}

/// How a stage's graphs are written. Only the image encoder's attention is worth a fused kernel, and can have it; see
/// there.
pub(crate) fn variants(stage: Stage, precision: Precision) -> &'static [Variant] {
    match (stage, precision) {
        (Stage::ImageEncoder, Precision::Fp16) => {
            &[Variant::Portable, Variant::Fused, Variant::Widened, Variant::WidenedFused]
        }
        (Stage::ImageEncoder, _) => &[Variant::Portable, Variant::Fused],
        (_, Precision::Fp16) => &[Variant::Portable, Variant::Widened],
        _ => &[Variant::Portable],
    }
}

/// What is float32 although the precision is another, of the stages that a bundle has.
pub(crate) fn kept_in_float32(precision: Precision, stages: &[Stage]) -> Vec<Kept> {
    let parts: &[(Stage, &str, &str)] = match precision {
        Precision::Fp32 => &[],
        Precision::Fp16 => &[
            (Stage::ImageEncoder, "residual sums of every transformer", "the norms read them; they grow with depth"),
            (Stage::ImageEncoder, "every LayerNorm", "sums of squares; float16 ends at 65504"),
            (Stage::ImageEncoder, "softmax of every attention", "sums over all tokens"),
            (
                Stage::MaskDecoder,
                "mask_decoder.output_upscaling.1",
                "a LayerNorm over a whole volume: millions of terms",
            ),
            (Stage::MaskDecoder, "hypernetwork dot product", "the mask is where this sum changes its sign"),
            (
                Stage::PromptEncoder,
                "prompt_encoder.*, and its dense position code",
                "sines of angles of hundreds of radians, which float16 cannot tell apart",
            ),
        ],
        Precision::Int8 => &[
            (
                Stage::ImageEncoder,
                "image_encoder.patch_embedding.*",
                "under 1 % of the arithmetic, and its error reaches every block",
            ),
            (
                Stage::ImageEncoder,
                "image_encoder.blocks.0.mlp.*",
                "on the demo model its rounding outweighed that of all other layers together",
            ),
            (
                Stage::ImageEncoder,
                "image_encoder.blocks.*: attention's softmax and values, GELU, LayerNorm and residual sums",
                "no matrix product with a weight in them",
            ),
            (Stage::TextEncoder, "text_encoder.*", "runs once per name"),
            (Stage::PromptEncoder, "prompt_encoder.*", "a few numbers per prompt"),
            (Stage::MaskDecoder, "mask_decoder.*", "its logits become the mask; it is a small part of the time"),
        ],
    };
    let kept =
        |(_, part, reason): &(Stage, &str, &str)| Kept { part: (*part).to_owned(), reason: (*reason).to_owned() };
    parts.iter().filter(|(stage, ..)| stages.contains(stage)).map(kept).collect()
}
