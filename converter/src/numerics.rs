//! The element types in which a graph computes and stores its weights; what stays in float32, and why.

use segvol_onnx::manifest::Kept;
use segvol_onnx::{Activations, ElementType, Precision, Stage, Variant};

use self::Part::{Layers, Operation, Whole};

/// The element types of one graph.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numerics<'a> {
    /// float32 throughout.
    Float32,
    /// float32 throughout, with the ranges of the inputs of linear layers as further outputs.
    Observed,
    /// float16 weights and arithmetic, except where [`kept_in_float32`] says otherwise.
    Float16,
    /// float16 weights, each cast to float32; the arithmetic is float32.
    Widened,
    /// int8 weights in linear layers.
    Int8(Ranges<'a>),
}

/// The ranges of the activations of int8 layers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ranges<'a> {
    /// Those that a calibration saw; channels with outliers are smoothed with them.
    Calibrated(&'a Activations),
    /// Measured at run time; channels with outliers are smoothed if there was a calibration.
    AtRunTime { smoothing: Option<&'a Activations> },
}

/// A weight that is not an operand of a matrix product is float16 only from this many elements on: the weights of a
/// LayerNorm or of one token take no space worth saving.
const FLOAT16_FROM_ELEMENTS: usize = 4096;

impl<'a> Numerics<'a> {
    /// The element types of a graph of a bundle; `seen` is from a calibration.
    pub(crate) fn new(precision: Precision, variant: Variant, seen: Option<&'a Activations>) -> Self {
        if variant == Variant::Observed {
            return Self::Observed;
        }
        match (precision, seen) {
            (Precision::Fp32, _) => Self::Float32,
            (Precision::Fp16, _) if matches!(variant, Variant::Widened | Variant::WidenedFused) => Self::Widened,
            (Precision::Fp16, _) => Self::Float16,
            (Precision::Int8, Some(seen)) if !variant.is_fused() => Self::Int8(Ranges::Calibrated(seen)),
            (Precision::Int8, smoothing) => Self::Int8(Ranges::AtRunTime { smoothing }),
        }
    }

    /// The element type in which an operand of a matrix product is stored.
    pub(crate) fn operand_type(self) -> ElementType {
        match self {
            Self::Float16 | Self::Widened => ElementType::Float16,
            Self::Float32 | Self::Observed | Self::Int8(_) => ElementType::Float32,
        }
    }

    /// The element type in which another weight is stored.
    pub(crate) fn weight_type(self, elements: usize) -> ElementType {
        if elements >= FLOAT16_FROM_ELEMENTS { self.operand_type() } else { ElementType::Float32 }
    }
}

/// A part of the model that stays in float32.
struct Row {
    stage: Stage,
    part: Part,
    reason: &'static str,
}

enum Part {
    /// The whole stage, which shares the files of float32, under this name: see [`files_of`].
    Whole(&'static str),
    /// Linear layers whose names begin so: see [`is_quantised`].
    Layers(&'static str),
    /// An operation: the function that builds it converts to float32 and back (`Module::to_f32`). A test of the graphs
    /// (`float16_graphs_are_strongly_typed`) checks that these operations are float32.
    Operation(&'static str),
}

const FP16: [Row; 6] = [
    Row {
        stage: Stage::ImageEncoder,
        part: Operation("residual sums of every transformer"),
        reason: "the norms read them; they grow with depth",
    },
    Row {
        stage: Stage::ImageEncoder,
        part: Operation("every LayerNorm"),
        reason: "sums of squares; float16 ends at 65504",
    },
    Row { stage: Stage::ImageEncoder, part: Operation("softmax of every attention"), reason: "sums over all tokens" },
    Row {
        stage: Stage::MaskDecoder,
        part: Operation("mask_decoder.output_upscaling.1"),
        reason: "a LayerNorm over a whole volume: millions of terms",
    },
    Row {
        stage: Stage::MaskDecoder,
        part: Operation("hypernetwork dot product"),
        reason: "the mask is where this sum changes its sign",
    },
    Row {
        stage: Stage::PromptEncoder,
        part: Whole("prompt_encoder.*, and its dense position code"),
        reason: "sines of angles of hundreds of radians, which float16 cannot tell apart",
    },
];

const INT8: [Row; 6] = [
    Row {
        stage: Stage::ImageEncoder,
        part: Layers("image_encoder.patch_embedding."),
        reason: "under 1 % of the arithmetic, and its error reaches every block",
    },
    Row {
        stage: Stage::ImageEncoder,
        part: Layers("image_encoder.blocks.0.mlp."),
        reason: "on the demo model its rounding outweighed that of all other layers together",
    },
    Row {
        stage: Stage::ImageEncoder,
        part: Operation("image_encoder.blocks.*: attention's softmax and values, GELU, LayerNorm and residual sums"),
        reason: "no matrix product with a weight in them",
    },
    Row { stage: Stage::TextEncoder, part: Whole("text_encoder.*"), reason: "runs once per name" },
    Row { stage: Stage::PromptEncoder, part: Whole("prompt_encoder.*"), reason: "a few numbers per prompt" },
    Row {
        stage: Stage::MaskDecoder,
        part: Whole("mask_decoder.*"),
        reason: "its logits become the mask; it is a small part of the time",
    },
];

fn rows(precision: Precision) -> &'static [Row] {
    match precision {
        Precision::Fp32 => &[],
        Precision::Fp16 => &FP16,
        Precision::Int8 => &INT8,
    }
}

/// Whether a linear layer of an int8 stage, by its name in the checkpoint, is quantised.
pub(crate) fn is_quantised(layer: &str) -> bool {
    !INT8.iter().any(|row| matches!(row.part, Layers(prefix) if layer.starts_with(prefix)))
}

/// The precision whose files a stage uses: a stage that stays in float32 as a whole shares those of float32.
pub(crate) fn files_of(stage: Stage, precision: Precision) -> Precision {
    let whole = rows(precision).iter().any(|row| row.stage == stage && matches!(row.part, Whole(_)));
    if whole { Precision::Fp32 } else { precision }
}

/// The parts that stay in float32 although the precision is another, of the stages that a bundle has.
pub(crate) fn kept_in_float32(precision: Precision, stages: &[Stage]) -> Vec<Kept> {
    let kept = |row: &Row| {
        let part = match row.part {
            Whole(part) | Operation(part) => part.to_owned(),
            Layers(prefix) => format!("{prefix}*"),
        };
        Kept { part, reason: row.reason.to_owned() }
    };
    rows(precision).iter().filter(|row| stages.contains(&row.stage)).map(kept).collect()
}

/// The variants of a stage's graph. Only the image encoder's attention gains from a fused kernel, and can use one: see
/// `image_encoder.rs`.
pub(crate) fn variants(stage: Stage, precision: Precision) -> &'static [Variant] {
    match (stage, precision) {
        (Stage::ImageEncoder, Precision::Fp16) => {
            &[Variant::Portable, Variant::Fused, Variant::Widened, Variant::WidenedFused]
        }
        (Stage::ImageEncoder, Precision::Fp32 | Precision::Int8) => &[Variant::Portable, Variant::Fused],
        (Stage::TextEncoder | Stage::PromptEncoder | Stage::MaskDecoder, Precision::Fp16) => {
            &[Variant::Portable, Variant::Widened]
        }
        (Stage::TextEncoder | Stage::PromptEncoder | Stage::MaskDecoder, Precision::Fp32 | Precision::Int8) => {
            &[Variant::Portable]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_layers_of_the_table_are_not_quantised() {
        for layer in ["patch_embedding.patch_embeddings.1", "blocks.0.mlp.linear1", "blocks.0.mlp.linear2"] {
            assert!(!is_quantised(&format!("image_encoder.{layer}")), "{layer}");
        }
        for layer in ["blocks.0.attn.qkv", "blocks.1.mlp.linear1", "blocks.10.mlp.linear1", "blocks.0.attn.q"] {
            assert!(is_quantised(&format!("image_encoder.{layer}")), "{layer}");
        }
    }

    #[test]
    fn a_stage_that_stays_in_float32_shares_its_files() {
        let own = |precision| Stage::ALL.into_iter().filter(move |stage| files_of(*stage, precision) == precision);
        assert!(own(Precision::Fp32).eq(Stage::ALL));
        assert!(own(Precision::Fp16).eq([Stage::ImageEncoder, Stage::TextEncoder, Stage::MaskDecoder]));
        assert!(own(Precision::Int8).eq([Stage::ImageEncoder]));
    }
}
