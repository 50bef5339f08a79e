//! The models of the goldens, and the keys and shapes of their checkpoints.

pub use segvol_converter::seeded::{config_json, keys};
use segvol_onnx::Architecture;
use segvol_onnx::architecture::{TextTransformer, Transformer};

/// The released model's sizes.
#[must_use]
pub fn full() -> Architecture {
    Architecture::RELEASED
}

/// A small model whose axes have different sizes on purpose: `data/tiny/config.json`.
#[must_use]
pub fn tiny() -> Architecture {
    Architecture {
        window_dhw: [8, 48, 64],
        patch_dhw: [4, 16, 16],
        channels: 96,
        image_encoder: Transformer { mlp: 192, layers: 3, heads: 6 },
        text_encoder: TextTransformer {
            width: 64,
            mlp: 128,
            layers: 2,
            heads: 4,
            vocabulary: 49408,
            context_length: 77,
        },
        mask_decoder: Transformer { mlp: 128, layers: 2, heads: 8 },
    }
}

/// The smallest model: `data/checkpoints/config.json`. Its checkpoints are in `data/checkpoints`.
#[must_use]
pub fn micro() -> Architecture {
    Architecture {
        window_dhw: [8, 32, 48],
        patch_dhw: [4, 16, 16],
        channels: 32,
        image_encoder: Transformer { mlp: 64, layers: 2, heads: 4 },
        text_encoder: TextTransformer { width: 32, mlp: 64, layers: 1, heads: 4, vocabulary: 320, context_length: 77 },
        mask_decoder: Transformer { mlp: 48, layers: 2, heads: 8 },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::golden::data;

    fn read_json(path: &str) -> Value {
        serde_json::from_slice(&std::fs::read(data(path)).expect(path)).expect(path)
    }

    #[test]
    fn full_has_the_keys_and_shapes_of_the_released_model() {
        let expected: BTreeMap<String, Vec<usize>> =
            serde_json::from_value(read_json("full/keys.json")).expect("names and shapes");
        let found: BTreeMap<String, Vec<usize>> = keys(&full()).into_iter().collect();
        assert_eq!(found.len(), keys(&full()).len(), "a key is listed twice");
        assert_eq!(found, expected);
        let parameters: usize = found.values().map(|shape| shape.iter().product::<usize>()).sum();
        assert_eq!(parameters / 1_000_000, 180);
    }

    #[test]
    fn configurations_are_those_of_the_goldens() {
        for (path, model) in [("tiny/config.json", tiny()), ("checkpoints/config.json", micro())] {
            let found: Value = serde_json::from_str(&config_json(&model)).expect("JSON");
            assert_eq!(found, read_json(path), "{path}");
        }
    }
}
