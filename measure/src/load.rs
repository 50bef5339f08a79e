//! Inputs for a stage with any batch size, the same on every machine.

use segvol::Tensor;
use segvol_converter::seeded::uniform01;
use segvol_onnx::{Architecture, PromptLabel, Stage};

use crate::flops::Load;
use crate::prompts::seeded_ids;

/// Token ids of a name. Most names, including the sentence around them, have at most 16.
const NAME_TOKENS: usize = 16;

/// Tokens of a prompt with box and text, the most common one: two corners and the text.
const PROMPT_LABELS: [PromptLabel; 3] = [PromptLabel::BoxMin, PromptLabel::BoxMax, PromptLabel::Text];

/// The size of the inputs of one run with this batch.
#[must_use]
pub fn load(stage: Stage, a: &Architecture, batch: usize) -> Load {
    let tokens = match stage {
        Stage::ImageEncoder => 0,
        Stage::TextEncoder => NAME_TOKENS.min(a.text_encoder.context_length),
        Stage::PromptEncoder | Stage::MaskDecoder => PROMPT_LABELS.len(),
    };
    Load { batch, tokens }
}

/// Inputs of one run with this batch: windows in [0, 1], random names, or prompts with box and text.
#[must_use]
pub fn inputs(stage: Stage, a: &Architecture, batch: usize) -> Vec<(String, Tensor)> {
    let load = load(stage, a, batch);
    // Unit variance, like the output of a LayerNorm.
    let normal = |key: &str, shape: &[usize]| {
        let values = uniform01(key).take(shape.iter().product()).map(|u| ((u - 0.5) * 12.0_f64.sqrt()) as f32);
        Tensor::float(shape, values.collect())
    };
    let named = |name: &str, tensor| (name.to_owned(), tensor);
    match stage {
        Stage::ImageEncoder => {
            let [d, h, w] = a.window_dhw;
            let values = uniform01("window").take(batch * d * h * w).map(|u| u as f32).collect();
            vec![named("image", Tensor::float(&[batch, 1, d, h, w], values))]
        }
        Stage::TextEncoder => {
            let shape = [batch, load.tokens];
            let end = a.text_encoder.vocabulary as i64 - 1;
            vec![named("input_ids", Tensor::int(&shape, seeded_ids(end, shape)))]
        }
        Stage::PromptEncoder => {
            let size = a.window_dhw.map(|n| n as f64);
            let coords = uniform01("coords").take(batch * load.tokens * 3).enumerate();
            let coords = coords.map(|(index, u)| (u * size[index % 3]).floor() as f32).collect();
            let labels = PROMPT_LABELS.map(PromptLabel::value);
            vec![
                named("prompt_coords", Tensor::float(&[batch, load.tokens, 3], coords)),
                named("prompt_labels", Tensor::float(&[batch, load.tokens], labels.repeat(batch))),
                named("text_embedding", normal("text", &[batch, a.channels])),
            ]
        }
        Stage::MaskDecoder => vec![
            named("image_embedding", normal("image", &[1, a.image_tokens(), a.channels])),
            named("sparse_embeddings", normal("sparse", &[batch, load.tokens, a.channels])),
            named("text_alignment", normal("alignment", &[batch, a.upscaled_channels()])),
        ],
    }
}

#[cfg(test)]
mod tests {
    use segvol_onnx::Dim;

    use super::*;

    #[test]
    fn inputs_are_those_of_the_contract() {
        let a = Architecture::RELEASED;
        for stage in Stage::ALL {
            let found = inputs(stage, &a, 2);
            let expected = stage.inputs(&a, segvol_onnx::Precision::Fp32);
            assert_eq!(found.len(), expected.len(), "{stage}");
            for ((name, tensor), spec) in found.iter().zip(expected) {
                assert_eq!((name, tensor.shape().len()), (&spec.name, spec.shape.len()), "{stage}");
                for (found, dim) in tensor.shape().iter().zip(&spec.shape) {
                    match dim {
                        Dim::Fixed(n) => assert_eq!(found, n, "{stage} {name}"),
                        Dim::Named(axis) => assert!(axis != "batch" || *found == 2, "{stage} {name}"),
                    }
                }
                let values = tensor.floats().map_or(tensor.ints().map_or(0, <[i64]>::len), <[f32]>::len);
                assert_eq!(values, tensor.shape().iter().product::<usize>(), "{stage} {name}");
            }
        }
    }
}
