//! Finds the model in a checkpoint, whatever its keys are wrapped in, and SegVol's own name for each key.
//!
//! | file                                     | keys begin with            |
//! |------------------------------------------|----------------------------|
//! | `SegVol_v1.pth` (GitHub)                 | `model.module.`            |
//! | `pytorch_model.bin`, `model.safetensors` | `model.`                   |
//! | SegFM challenge                          | `model_state_dict.`        |
//! | `ViT_pretrain.ckpt`                      | `state_dict.model.encoder.` |
//!
//! Programs that save a model put it into dictionaries of any name, and wrap it or parts of it (`DataParallel`, `torch.compile`,
//! FSDP, activation checkpointing). So the keys are read as a tree, and compared with the tree of the model's own keys:
//!
//! - The **scope** is the path to the modules of the model. A file may have the model only once; copies in training state,
//!   and averages next to the model, are left alone.
//! - A **wrapper** is a node inside the scope that is no part of the model, and the only child of one that is. It is removed
//!   from the names. transformers before version 5 wrote `text_model.` inside the text tower's names: it is such a node.
//! - Everything outside the scope is ignored, except parts of the model: a model in two places would be converted by half.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use segvol_onnx::Architecture;

use crate::error::CheckpointError;
use crate::seeded;

/// A tensor that every SegVol checkpoint has. Its key shows the layout.
pub(crate) const POSITION_EMBEDDINGS: &str = "image_encoder.patch_embedding.position_embeddings";

const IMAGE_ENCODER: &str = "image_encoder";

/// The modules of the model.
const MODULES: [&str; 4] = [IMAGE_ENCODER, "mask_decoder", "prompt_encoder", "text_encoder"];

/// Where a checkpoint has its model, if it has several: the others are averages, teachers and backups.
const DICTIONARIES: [&str; 9] =
    ["model", "module", "model_state_dict", "state_dict", "net", "network", "weights", "params", ""];

/// What training stores next to a model's dictionary (PyTorch loops and Lightning). It may contain copies of the model.
const TRAINING_STATE: [&str; 13] = [
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
    "optim",
];

/// The most places that an error lists.
const MAX_LISTED: usize = 8;

/// Keys with more nodes than this are not the model's. The trees are walked by recursion.
const MAX_NODES: usize = 64;

/// The layout of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// What the keys begin with, with a dot at its end; empty if they begin with the model's modules.
    scope: String,
    /// The keys lack `image_encoder.`, because the file has no other module.
    encoder_only: bool,
    /// Nodes that were removed inside the scope.
    wrappers: BTreeSet<String>,
    /// SegVol's name of each key in the scope.
    names: BTreeMap<String, String>,
    /// Keys outside the scope that are a part of a model.
    strays: BTreeSet<String>,
}

/// Where a key belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// To the model, under SegVol's name.
    Model(String),
    /// To the training state, or to anything else next to the model.
    Ignored,
    /// To a part of a model outside the scope.
    Unknown,
}

/// Names as a tree of their nodes, which dots separate.
#[derive(Debug, Default)]
struct Tree<'a> {
    children: BTreeMap<&'a str, Tree<'a>>,
    /// Whether a tensor has this name.
    is_tensor: bool,
}

impl<'a> Tree<'a> {
    fn of(keys: impl Iterator<Item = &'a str>) -> Self {
        let mut root = Self::default();
        for key in keys.filter(|key| key.split('.').count() <= MAX_NODES) {
            let leaf = key.split('.').fold(&mut root, |tree, node| tree.children.entry(node).or_default());
            leaf.is_tensor = true;
        }
        root
    }

    /// A child; all numbers are one.
    fn child(&self, node: &str) -> Option<&Self> {
        let is_number = !node.is_empty() && node.bytes().all(|byte| byte.is_ascii_digit());
        self.children.get(if is_number { "#" } else { node })
    }
}

/// The model's own keys, with `#` for every number.
static MODEL: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut keys: Vec<String> = seeded::keys(&Architecture::RELEASED).into_iter().map(|(key, _)| key).collect();
    keys.push("text_encoder.clip_text_model.embeddings.position_ids".to_owned());
    let number = |node: &str| if node.bytes().all(|byte| byte.is_ascii_digit()) { "#" } else { node }.to_owned();
    keys.iter().map(|key| key.split('.').map(number).collect::<Vec<_>>().join(".")).collect()
});

/// The keys of one scope that were recognised, with their names.
#[derive(Default)]
struct Found {
    names: BTreeMap<String, String>,
    wrappers: BTreeSet<String>,
}

impl Found {
    /// Walks `keys` along the model's tree. `path` and `name` end with a dot, or are empty.
    fn walk(&mut self, keys: &Tree<'_>, model: Option<&Tree<'_>>, path: &str, name: &str) {
        if let (Some(model), Some((wrapper, inside))) = (model, keys.children.first_key_value())
            && keys.children.len() == 1
            && !keys.is_tensor
            && !inside.is_tensor
            && model.child(wrapper).is_none()
            && !model.children.is_empty()
        {
            self.wrappers.insert((*wrapper).to_owned());
            return self.walk(inside, Some(model), &format!("{path}{wrapper}."), name);
        }
        for (node, child) in &keys.children {
            let model = model.and_then(|model| model.child(node));
            if child.is_tensor {
                self.names.insert(format!("{path}{node}"), format!("{name}{node}"));
            }
            self.walk(child, model, &format!("{path}{node}."), &format!("{name}{node}."));
        }
    }

    fn has_the_model(&self) -> bool {
        self.names.values().any(|name| name == POSITION_EMBEDDINGS)
    }
}

/// A place in the file that has the model.
struct Candidate {
    scope: String,
    encoder_only: bool,
    found: Found,
}

/// Finds every place that has the model, or only its image encoder.
fn candidates(keys: &Tree<'_>, model: &Tree<'_>, scope: &str, found: &mut Vec<Candidate>) {
    let mut add = |encoder_only: bool, part: &Tree<'_>, name: &str| {
        let mut walked = Found::default();
        walked.walk(keys, Some(part), scope, name);
        let has = walked.has_the_model();
        if has {
            found.push(Candidate { scope: scope.to_owned(), encoder_only, found: walked });
        }
        has
    };
    if keys.children.contains_key(IMAGE_ENCODER) && add(false, model, "") {
        return;
    }
    let encoder = &model.children[IMAGE_ENCODER];
    if keys.children.contains_key("patch_embedding") && add(true, encoder, "image_encoder.") {
        return;
    }
    for (node, child) in &keys.children {
        candidates(child, model, &format!("{scope}{node}."), found);
    }
}

/// The first node of a scope or key.
fn top(path: &str) -> &str {
    path.split_once('.').map_or(path, |(top, _)| top)
}

/// Finds the layout from the keys of a file. `chosen` names the dictionary that has the model, if there are several.
pub(super) fn detect<'a>(
    path: &Path,
    keys: impl Iterator<Item = &'a str>,
    chosen: Option<&str>,
) -> Result<Layout, CheckpointError> {
    let keys: Vec<&str> = keys.collect();
    let (tree, model) = (Tree::of(keys.iter().copied()), Tree::of(MODEL.iter().map(String::as_str)));
    let mut found = Vec::new();
    candidates(&tree, &model, "", &mut found);
    let scopes: Vec<String> = found.iter().map(|candidate| candidate.scope.clone()).collect();
    if found.is_empty() {
        let others: Vec<String> = keys.iter().take(3).map(|key| format!("`{key}`")).collect();
        let found = match keys.len() {
            0 => "no tensors".to_owned(),
            count => format!("{count} others: {}", others.join(", ")),
        };
        return Err(CheckpointError::NotSegVol { path: path.to_owned(), expected: POSITION_EMBEDDINGS, found });
    }
    let one_of = |places: Vec<Candidate>| -> Result<Candidate, CheckpointError> {
        let count = places.len();
        match <[Candidate; 1]>::try_from(places) {
            Ok([one]) => Ok(one),
            Err(_) => Err(CheckpointError::SeveralModels {
                path: path.to_owned(),
                chosen: chosen.filter(|_| count == 0).map(str::to_owned),
                found: scopes.iter().map(|scope| scope.trim_end_matches('.').to_owned()).take(MAX_LISTED).collect(),
            }),
        }
    };
    let candidate = match chosen {
        Some(chosen) => {
            let chosen = format!("{}.", chosen.trim_end_matches('.'));
            one_of(found.into_iter().filter(|candidate| candidate.scope.starts_with(&chosen)).collect())?
        }
        None if found.len() == 1 => one_of(found)?,
        None => {
            let usual = |candidate: &Candidate| DICTIONARIES.contains(&top(&candidate.scope));
            let (usual, others): (Vec<_>, Vec<_>) = found.into_iter().partition(usual);
            if usual.is_empty() {
                let kept = |candidate: &Candidate| !TRAINING_STATE.contains(&top(&candidate.scope));
                one_of(others.into_iter().filter(kept).collect())?
            } else {
                one_of(usual)?
            }
        }
    };
    let Candidate { scope, encoder_only, found: Found { names, wrappers } } = candidate;
    let copies: BTreeSet<&str> = scopes.iter().map(String::as_str).collect();
    let is_stray = |key: &&&str| {
        let inside = key.starts_with(&scope);
        let copied = key.match_indices('.').any(|(dot, _)| copies.contains(&key[..=dot]));
        let of_a_model = key.split('.').any(|node| MODULES.contains(&node));
        let too_deep = key.split('.').count() > MAX_NODES;
        (inside && too_deep) || (!inside && !copied && of_a_model && !TRAINING_STATE.contains(&top(key)))
    };
    let strays = keys.iter().filter(is_stray).map(|key| (*key).to_owned()).collect();
    Ok(Layout { scope, encoder_only, wrappers, names, strays })
}

impl Layout {
    /// The layout's name: a published file with this layout, or what the keys begin with. Then the wrappers.
    pub(super) fn name(&self) -> String {
        let only = if self.encoder_only { ", image encoder only" } else { "" };
        let known = match (self.scope.as_str(), self.encoder_only) {
            ("model.module.", false) => "GitHub SegVol_v1.pth".to_owned(),
            ("model.", false) => "Hugging Face BAAI/SegVol".to_owned(),
            ("model_state_dict.", false) => "SegFM challenge".to_owned(),
            ("state_dict.model.encoder.", true) => "ViT_pretrain.ckpt, image encoder only".to_owned(),
            ("", _) => format!("keys without a prefix{only}"),
            (scope, _) => format!("prefix {scope}{only}"),
        };
        // The old name inside the text tower is no news.
        let wrappers: Vec<&str> =
            self.wrappers.iter().map(String::as_str).filter(|name| *name != "text_model").collect();
        if wrappers.is_empty() { known } else { format!("{known}, without {}", wrappers.join(", ")) }
    }

    /// Where a key of the file belongs.
    pub(super) fn place(&self, key: &str) -> Place {
        match self.names.get(key) {
            Some(name) => Place::Model(name.clone()),
            None if self.strays.contains(key) => Place::Unknown,
            None => Place::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of a file that has these keys besides a whole model under each of `scopes`.
    fn layout_of(scopes: &[&str], others: &[&str], chosen: Option<&str>) -> Result<Layout, CheckpointError> {
        let mut keys: Vec<String> = others.iter().map(|key| (*key).to_owned()).collect();
        for scope in scopes {
            keys.extend(seeded::keys(&Architecture::RELEASED).into_iter().map(|(key, _)| format!("{scope}{key}")));
        }
        detect(Path::new("file"), keys.iter().map(String::as_str), chosen)
    }

    #[track_caller]
    fn assert_place(layout: &Layout, key: &str, name: &str) {
        assert_eq!(layout.place(key), Place::Model(name.to_owned()), "{key} in {}", layout.name());
    }

    const NORM: &str = "image_encoder.norm.weight";

    #[test]
    fn every_published_layout_is_known() {
        for (scope, name) in [
            ("model.module.", "GitHub SegVol_v1.pth"),
            ("model.", "Hugging Face BAAI/SegVol"),
            ("model_state_dict.", "SegFM challenge"),
            ("", "keys without a prefix"),
            ("module.", "prefix module."),
            ("net.network._orig_mod.module.", "prefix net.network._orig_mod.module."),
        ] {
            let layout = layout_of(&[scope], &[], None).expect("a layout");
            assert_eq!(layout.name(), name);
            assert_place(&layout, &format!("{scope}{NORM}"), NORM);
        }
        let keys = seeded::keys(&Architecture::RELEASED);
        let encoder = keys.iter().filter_map(|(key, _)| key.strip_prefix("image_encoder."));
        let keys: Vec<String> = encoder.map(|key| format!("state_dict.model.encoder.{key}")).collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        assert_eq!(layout.name(), "ViT_pretrain.ckpt, image encoder only");
        assert_place(&layout, "state_dict.model.encoder.norm.weight", NORM);
    }

    #[test]
    fn wrappers_inside_the_model_are_removed() {
        let keys: Vec<String> = seeded::keys(&Architecture::RELEASED)
            .into_iter()
            .map(|(key, _)| {
                key.replace("image_encoder.", "image_encoder._orig_mod.")
                    .replace("blocks.0.", "blocks.0._checkpoint_wrapped_module._fsdp_wrapped_module.")
                    .replace("clip_text_model.", "clip_text_model.text_model.")
            })
            .collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        let names: BTreeSet<&String> = layout.names.values().collect();
        let expected = seeded::keys(&Architecture::RELEASED);
        assert_eq!(names, expected.iter().map(|(key, _)| key).collect());
        let wrappers = "_checkpoint_wrapped_module, _fsdp_wrapped_module, _orig_mod";
        assert_eq!(layout.name(), format!("keys without a prefix, without {wrappers}"));
    }

    #[test]
    fn an_adapter_beside_a_layer_is_no_wrapper() {
        let layer = "image_encoder.blocks.0.attn.out_proj.";
        let keys: Vec<String> = seeded::keys(&Architecture::RELEASED)
            .into_iter()
            .map(|(key, _)| key.replace(layer, &format!("{layer}base_layer.")))
            .chain(["lora_A", "lora_B"].map(|part| format!("{layer}{part}.default.weight")))
            .collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        let (base, part) = (format!("{layer}base_layer.weight"), format!("{layer}lora_A.default.weight"));
        assert_place(&layout, &base, &base);
        assert_place(&layout, &part, &part);
    }

    #[test]
    fn what_is_beside_the_model_is_ignored_and_half_a_model_is_not() {
        let others =
            ["loss", "epoch", "rng", "optim.state.0.exp_avg", "optimizer.state.0.image_encoder.exp_avg", "n_averaged"];
        let stray = "teacher.image_encoder.norm.weight";
        let layout = layout_of(&["model."], &[&others[..], &[stray]].concat(), None).expect("a layout");
        for key in others {
            assert_eq!(layout.place(key), Place::Ignored, "{key}");
        }
        assert_eq!(layout.place(stray), Place::Unknown);
        // Inside the scope everything is the model's, known or not.
        let layout = layout_of(&["model."], &["model.head.weight"], None).expect("a layout");
        assert_place(&layout, "model.head.weight", "head.weight");
    }

    #[test]
    fn of_several_models_the_usual_dictionary_or_the_chosen_one_is_taken() {
        for (scopes, chosen, expected) in [
            (&["model.", "ema.module."][..], None, "Hugging Face BAAI/SegVol"),
            (&["callbacks.best.", "model."], None, "Hugging Face BAAI/SegVol"),
            (&["callbacks.best."], None, "prefix callbacks.best."),
            (&["model.", "ema.module."], Some("ema"), "prefix ema.module."),
            (&["student.", "teacher."], Some("student"), "prefix student."),
        ] {
            let layout = layout_of(scopes, &[], chosen).unwrap_or_else(|error| panic!("{scopes:?}: {error}"));
            assert_eq!(layout.name(), expected, "{scopes:?}");
            // A whole copy is left alone.
            assert!(layout.strays.is_empty(), "{scopes:?}");
        }
        for (scopes, chosen) in [(&["student.", "teacher."][..], None), (&["student.", "teacher."], Some("stud"))] {
            let error = layout_of(scopes, &[], chosen).expect_err("two models").to_string();
            assert!(error.contains("`student`") && error.contains("`teacher`"), "{error}");
        }
    }

    #[test]
    fn another_models_keys_and_hostile_ones_are_refused_by_name() {
        let error = detect(Path::new("file"), ["fc.weight"].into_iter(), None).expect_err("not SegVol");
        assert!(error.to_string().contains("`fc.weight`"), "{error}");
        let deep = format!("model.{}weight", "a.".repeat(100_000));
        assert!(detect(Path::new("file"), [deep.as_str()].into_iter(), None).is_err());
        let layout = layout_of(&["model."], &[&deep], None).expect("a layout");
        assert_eq!(layout.place(&deep), Place::Unknown);
    }
}
