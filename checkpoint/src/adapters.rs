//! Adapters: small matrices beside the model's own, such as LoRA's, that fine-tuning has trained and nobody has merged yet.
//!
//! | program               | names                                                                |
//! |-----------------------|----------------------------------------------------------------------|
//! | peft                  | `qkv.base_layer.weight`, `qkv.lora_A.default.weight`, `qkv.lora_B.default.weight` |
//! | loralib               | `qkv.weight`, `qkv.lora_A`, `qkv.lora_B`                             |
//! | diffusers, kohya      | `qkv.lora_down.weight`, `qkv.lora_up.weight`, `qkv.alpha`            |
//! | SAMed and its kin     | `qkv.linear_a_q.weight`, `qkv.linear_b_q.weight`, or `w_a_000`, `w_b_000` in a file of their own |
//! | LoHa, LoKr, DoRA, IA3 | `hada_w1_a`, `lokr_w1`, `lora_magnitude_vector`, `ia3_l`              |
//!
//! The scale of an adapter is not in the file (peft keeps it in `adapter_config.json`, loralib in the code), so nothing is merged
//! here: a guess would give wrong masks that look right.

use std::collections::BTreeSet;

/// The adapters of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Adapters {
    /// How many layers have one.
    pub layers: usize,
    /// The first tensor of one.
    pub example: String,
}

/// Words of names that only an adapter has.
const WORDS: [&str; 7] = ["lora", "hada", "lokr", "ia3", "vera", "boft", "adalora"];

/// Nodes of SAMed's names, whose number or projection is left out.
const PAIRS: [&str; 6] = ["linear_a_", "linear_b_", "w_a_", "w_b_", "w_a_linear_", "w_b_linear_"];

/// The adapters among the keys of a checkpoint; `None` if there are none.
pub(super) fn find<'a>(keys: impl Iterator<Item = &'a str>) -> Option<Adapters> {
    let mut layers = BTreeSet::new();
    let mut example: Option<&str> = None;
    for key in keys {
        let mut layer = None;
        let mut at = 0;
        for node in key.split('.') {
            if is_adapter(node) {
                layer = Some(&key[..at]);
            }
            at += node.len() + 1;
        }
        // Names without a layer, such as `w_a_000`, are counted by themselves.
        if let Some(layer) = layer {
            layers.insert(if layer.is_empty() { number_of(key) } else { layer });
            example = example.or(Some(key));
        }
    }
    example.map(|example| Adapters { layers: layers.len(), example: example.to_owned() })
}

fn is_adapter(node: &str) -> bool {
    let node = node.to_ascii_lowercase();
    let word = |word: &str| {
        WORDS.iter().any(|known| word.starts_with(known) && (*known == "lora" || word.len() <= known.len() + 1))
    };
    let pair = |start: &str| {
        let rest = node.strip_prefix(start).unwrap_or_default();
        ["q", "k", "v", "qkv"].contains(&rest) || (!rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    node.split(['_', '-']).any(word) || PAIRS.iter().any(|start| pair(start))
}

/// The end of a name after its last `_`: the layer's number in `w_a_000`.
fn number_of(key: &str) -> &str {
    key.rsplit('_').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_of_every_program_are_known_by_their_names() {
        for (keys, layers) in [
            (&["a.qkv.base_layer.weight", "a.qkv.lora_A.default.weight", "a.qkv.lora_B.default.weight"][..], 1),
            (&["a.qkv.weight", "a.qkv.lora_A", "a.qkv.lora_B", "b.qkv.lora_A"], 2),
            (&["a.fc.lora_down.weight", "a.fc.lora_up.weight", "a.fc.alpha"], 1),
            (&["a.attn.to_q.lora.down.weight", "a.attn.to_q.lora.up.weight"], 1),
            (&["a.qkv.linear_a_q.weight", "a.qkv.linear_b_q.weight", "a.qkv.linear_b_v.weight"], 1),
            (&["w_a_000", "w_b_000", "w_a_001", "w_b_001"], 2),
            (&["a.qkv.hada_w1_a", "b.qkv.lokr_w1", "c.qkv.ia3_l.default"], 3),
            (&["a.qkv.loraA.weight", "a.qkv.w_lora_B.weight"], 1),
            (&["a.emb.lora_embedding_A.default"], 1),
            (&["a.q.lora_magnitude_vector.default.weight"], 1),
        ] {
            let found = find(keys.iter().copied()).unwrap_or_else(|| panic!("{keys:?}"));
            assert_eq!(found.layers, layers, "{keys:?}");
            assert!(keys.contains(&found.example.as_str()));
        }
    }

    #[test]
    fn a_models_own_names_are_no_adapters() {
        let model = crate::keys::keys(&segvol_onnx::Architecture::RELEASED);
        assert_eq!(find(model.iter().map(|(key, _)| key.as_str())), None);
        let others =
            ["colorado.weight", "floral.bias", "exploration", "linear_a.weight", "w_a", "several", "average.x"];
        assert_eq!(find(others.into_iter()), None);
    }
}
