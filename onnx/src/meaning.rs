//! What stages, variants and tensors are, in words: for the graphs themselves, for a bundle's README and for `inspect`.

use crate::precision::Precision;
use crate::stage::{Stage, Variant};

impl Stage {
    /// What the stage does, in one sentence.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::ImageEncoder => "Turns a window of a prepared CT scan into image tokens, one for each patch.",
            Self::TextEncoder => "Turns the token ids of a structure's name into a vector.",
            Self::PromptEncoder => "Turns the points, the box and the text of a prompt into prompt tokens.",
            Self::MaskDecoder => "Turns image tokens and prompt tokens into the logits of a mask.",
        }
    }
}

impl Variant {
    /// What distinguishes the variant from the others, in one sentence.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Portable => "Standard ONNX operators only, so that any provider can run it.",
            Self::Fused => {
                "Attention is com.microsoft.MultiHeadAttention, ONNX Runtime's own kernel on its CPU and CUDA providers."
            }
            Self::Widened => {
                "As portable, but the float16 weights are cast to float32 and the arithmetic is float32, for providers without float16 arithmetic."
            }
            Self::WidenedFused => {
                "As fused, but the float16 weights are cast to float32 and the arithmetic is float32, for providers without float16 arithmetic."
            }
            Self::Observed => "As portable, with the extremes of activations as further outputs, for a calibration.",
        }
    }
}

impl Precision {
    /// The element types of weights and arithmetic, in one sentence.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Fp32 => "Weights and arithmetic are float32: the numbers of the released model.",
            Self::Fp16 => "Weights are float16; products are float16 on providers that have such arithmetic.",
            Self::Int8 => "Weights of the image encoder's blocks are int8; their products are int8 times uint8.",
        }
    }
}

/// What an input or output of a stage is, with its unit: what [`Stage::inputs`] and [`Stage::outputs`] name. `None` for other
/// names.
#[must_use]
pub fn tensor_meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "image" => {
            "Windows of the prepared scan, [batch, 1, D, H, W]: normalised intensities in [0, 1], no unit; axes as the bundle's manifest names them."
        }
        "image_embedding" => "Image tokens, one for each patch of the window, in the order d, h, w. No unit.",
        "input_ids" => {
            "Token ids of a sentence with the structure's name, which ends with the end token and is padded with it."
        }
        "text_embedding" => "The name as one vector, no unit. As an input of the prompt encoder: zeros without text.",
        "text_alignment" => {
            "The name as a vector that the mask decoder compares with the image, no unit. As an input: zeros without text."
        }
        "prompt_coords" => {
            "Places of the prompt's tokens as (d, h, w), in voxels of the window, counted from 0. Ignored for labels -1 and 4."
        }
        "prompt_labels" => {
            "What each token is: -1 padding, 0 point outside the object, 1 point inside, 2 and 3 smallest and largest corner of the box (both inclusive), 4 the text."
        }
        "sparse_embeddings" => "Prompt tokens, in the order of prompt_labels. No unit.",
        "low_res_logits" => {
            "Logits of the mask, no unit, at 4 voxels per patch and axis: above 0 is inside. The logistic function gives probabilities."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;

    #[test]
    fn every_tensor_between_stages_has_a_meaning() {
        for stage in Stage::ALL {
            for precision in Precision::ALL {
                let architecture = &Architecture::RELEASED;
                for spec in [stage.inputs(architecture, precision), stage.outputs(architecture, precision)].concat() {
                    assert!(tensor_meaning(&spec.name).is_some(), "{stage}: {}", spec.name);
                }
            }
        }
        assert_eq!(tensor_meaning("image_encoder.blocks.0"), None);
    }
}
