//! The layout of a checkpoint's keys, and SegVol's own name for each key.
//!
//! | file                                     | dictionary         | prefix           |
//! |------------------------------------------|--------------------|------------------|
//! | `SegVol_v1.pth` (GitHub)                 | `model`            | `module.`        |
//! | `pytorch_model.bin`, `model.safetensors` | (no dictionary)    | `model.`         |
//! | SegFM challenge                          | `model_state_dict` | (no prefix)      |
//! | `ViT_pretrain.ckpt`                      | `state_dict`       | `model.encoder.` |
//!
//! Any dictionary can occur with any prefix, but a file has only one of each: a tensor outside is known training state
//! or an error. transformers before version 5 wrote `text_model.` inside the text tower's names; it is removed.

use std::path::Path;

use crate::error::CheckpointError;

/// A tensor that every SegVol checkpoint has. Its key shows the layout.
pub(crate) const POSITION_EMBEDDINGS: &str = "image_encoder.patch_embedding.position_embeddings";

const DICTIONARIES: [&str; 4] = ["", "model.", "model_state_dict.", "state_dict."];
const PREFIXES: [&str; 4] = ["", "module.", "model.", "module.model."];
const ENCODER_PREFIXES: [&str; 3] = ["model.encoder.", "module.model.encoder.", "encoder."];

/// What training stores next to a model's dictionary (PyTorch loops and Lightning).
const TRAINING_STATE: [&str; 12] = [
    "optimizer",
    "optimizer_state_dict",
    "optimizer_states",
    "scheduler",
    "scheduler_state_dict",
    "lr_scheduler",
    "lr_schedulers",
    "scaler",
    "amp_scaler",
    "callbacks",
    "loops",
    "rng_state",
];

const OLD_TEXT_TOWER: &str = "text_encoder.clip_text_model.text_model.";
const TEXT_TOWER: &str = "text_encoder.clip_text_model.";

/// The layout of one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    dictionary: &'static str,
    prefix: &'static str,
    /// The keys lack `image_encoder.`, because the file has no other module.
    encoder_only: bool,
}

/// Where a key belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// To the model, under SegVol's name.
    Model(String),
    /// To an optimiser or other training state.
    TrainingState,
    /// To neither.
    Unknown,
}

/// Finds the layout from the key of the position embeddings.
pub(super) fn detect<'a>(path: &Path, keys: impl Iterator<Item = &'a str>) -> Result<Layout, CheckpointError> {
    let embeddings = POSITION_EMBEDDINGS.strip_prefix("image_encoder.").expect("the constant begins with its module");
    let mut others = Vec::new();
    let mut count = 0;
    for key in keys {
        for dictionary in DICTIONARIES {
            let Some(rest) = key.strip_prefix(dictionary) else { continue };
            let full = |prefix: &&&str| rest.strip_prefix(**prefix) == Some(POSITION_EMBEDDINGS);
            if let Some(prefix) = PREFIXES.iter().find(full) {
                // `model.` alone is both Hugging Face's prefix and a dictionary's name; the keys are the same.
                return Ok(Layout { dictionary, prefix, encoder_only: false });
            }
            let encoder = |prefix: &&&str| rest.strip_prefix(**prefix) == Some(embeddings);
            if let Some(prefix) = ENCODER_PREFIXES.iter().find(encoder) {
                return Ok(Layout { dictionary, prefix, encoder_only: true });
            }
        }
        count += 1;
        if others.len() < 3 {
            others.push(format!("`{key}`"));
        }
    }
    let found = if count == 0 { "no tensors".to_owned() } else { format!("{count} others: {}", others.join(", ")) };
    Err(CheckpointError::NotSegVol { path: path.to_owned(), expected: POSITION_EMBEDDINGS, found })
}

impl Layout {
    /// The layout's name: a published file with this layout, or the dictionary and prefix.
    pub(super) fn name(self) -> String {
        let known = match (self.dictionary, self.prefix, self.encoder_only) {
            ("model.", "module.", false) => "GitHub SegVol_v1.pth",
            ("", "model.", false) => "Hugging Face BAAI/SegVol",
            ("model_state_dict.", "", false) => "SegFM challenge",
            ("state_dict.", "model.encoder.", true) => "ViT_pretrain.ckpt, image encoder only",
            ("", "", false) => "keys without a prefix",
            (_, _, only) => {
                let only = if only { ", image encoder only" } else { "" };
                return format!("prefix {}{}{only}", self.dictionary, self.prefix);
            }
        };
        known.to_owned()
    }

    /// Where a key of the file belongs.
    pub(super) fn place(self, key: &str) -> Place {
        let Some(name) = key.strip_prefix(self.dictionary).and_then(|rest| rest.strip_prefix(self.prefix)) else {
            let top = key.split_once('.').map_or(key, |(top, _)| top);
            return if TRAINING_STATE.contains(&top) { Place::TrainingState } else { Place::Unknown };
        };
        if self.encoder_only {
            return Place::Model(format!("image_encoder.{name}"));
        }
        Place::Model(match name.strip_prefix(OLD_TEXT_TOWER) {
            Some(rest) => format!("{TEXT_TOWER}{rest}"),
            None => name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(key: &str) -> Layout {
        detect(Path::new("file"), [key].into_iter()).expect("a layout")
    }

    #[test]
    fn every_published_layout_is_known() {
        let embeddings = "patch_embedding.position_embeddings";
        for (prefix, name) in [
            ("model.module.image_encoder.", "GitHub SegVol_v1.pth"),
            ("model.image_encoder.", "Hugging Face BAAI/SegVol"),
            ("model_state_dict.image_encoder.", "SegFM challenge"),
            ("state_dict.model.encoder.", "ViT_pretrain.ckpt, image encoder only"),
            ("image_encoder.", "keys without a prefix"),
            ("module.image_encoder.", "prefix module."),
        ] {
            let layout = layout(&format!("{prefix}{embeddings}"));
            assert_eq!(layout.name(), name);
            let place = layout.place(&format!("{prefix}norm.weight"));
            assert_eq!(place, Place::Model("image_encoder.norm.weight".to_owned()));
        }
    }

    #[test]
    fn old_and_new_names_of_the_text_tower_are_one() {
        let layout = layout(POSITION_EMBEDDINGS);
        let new = layout.place("text_encoder.clip_text_model.final_layer_norm.weight");
        let old = layout.place("text_encoder.clip_text_model.text_model.final_layer_norm.weight");
        assert_eq!(new, old);
    }

    #[test]
    fn what_training_left_is_told_from_what_is_unknown() {
        let layout = layout(&format!("model.module.{POSITION_EMBEDDINGS}"));
        assert_eq!(layout.place("optimizer.state.0.exp_avg"), Place::TrainingState);
        assert_eq!(layout.place("model.image_encoder.norm.weight"), Place::Unknown);
        assert_eq!(layout.place("teacher.image_encoder.norm.weight"), Place::Unknown);
    }

    #[test]
    fn another_models_keys_are_refused_by_name() {
        let error = detect(Path::new("file"), ["fc.weight"].into_iter()).expect_err("not SegVol");
        assert!(error.to_string().contains("`fc.weight`"), "{error}");
    }
}
