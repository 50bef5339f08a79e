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
//! - A **wrapper** is a node inside the scope that is no part of the model, and has a part of it inside. It is removed
//!   from the names. transformers before version 5 wrote `text_model.` inside the text tower's names: it is such a node.
//! - Everything outside the scope is ignored, except parts of the model: a model in two places would be converted by half.
//! - Beside the model's modules, and beside what a wrapper wraps, names of training are ignored too: `loss`, `n_averaged`,
//!   `criterion.weight`. Any other tensor there is the model's, and an error if nothing takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tree::{Candidate, IMAGE_ENCODER, MAX_NODES, POSITION_EMBEDDINGS, Tree, candidates};
use crate::error::CheckpointError;

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

/// What training stores in the same dictionary as the model's modules: these words, alone or with others around them, such as
/// `val_loss` and `best_dice`.
const TRAINING_WORDS: [&str; 38] = [
    "averaged",
    "best",
    "callbacks",
    "config",
    "criteria",
    "criterion",
    "criterions",
    "dice",
    "epoch",
    "epochs",
    "hparams",
    "hyper",
    "hyperparameters",
    "iter",
    "iteration",
    "iterations",
    "loops",
    "loss",
    "losses",
    "lr",
    "metric",
    "metrics",
    "optim",
    "optimizer",
    "optimizers",
    "rng",
    "scaler",
    "scheduler",
    "schedulers",
    "seed",
    "step",
    "steps",
    "test",
    "train",
    "updates",
    "val",
    "valid",
    "validation",
];

/// The most places that an error lists.
const MAX_LISTED: usize = 8;

/// The layout of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// What the keys begin with, with a dot at its end; empty if they begin with the model's modules.
    pub scope: String,
    /// Nodes that were removed inside the scope.
    pub wrappers: BTreeSet<String>,
    /// The keys lack `image_encoder.`, because the file has no other module.
    encoder_only: bool,
    /// SegVol's name of each key in the scope.
    names: BTreeMap<String, String>,
    copies: Copies,
    /// Keys outside the scope that are a part of a model.
    strays: BTreeSet<String>,
}

/// Where other places in the file have the model too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copies {
    /// What their keys begin with, with a dot at the end.
    beside: BTreeSet<String>,
    /// The scope of a model that has this one inside it, such as an average.
    around: Option<String>,
}

impl Copies {
    fn new(scopes: &[String], scope: &str) -> Self {
        let others = || scopes.iter().filter(|other| *other != scope);
        // A copy inside the scope is beside the modules, with everything around it.
        let inside = |other: &str| other.strip_prefix(scope).map(|rest| scope.len() + top(rest).len());
        let beside = others()
            .filter(|other| !scope.starts_with(other.as_str()))
            .map(|other| inside(other).map_or_else(|| other.clone(), |end| other[..=end].to_owned()))
            .collect();
        Self { beside, around: others().find(|other| scope.starts_with(other.as_str())).cloned() }
    }

    fn have(&self, key: &str, scope: &str) -> bool {
        let around = self.around.as_ref().is_some_and(|around| key.starts_with(around) && !key.starts_with(scope));
        around || begins_with(key, &self.beside)
    }
}

/// Where a key belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// To the model, under SegVol's name.
    Model(String),
    /// To the training state, or to a whole copy of the model.
    Copy,
    /// To anything else next to the model.
    Beside,
    /// To a part of a model outside the scope.
    Stray,
}

/// The first node of a scope or key.
fn top(path: &str) -> &str {
    path.split_once('.').map_or(path, |(top, _)| top)
}

/// Whether a key begins with one of these paths, which end with a dot.
fn begins_with(key: &str, paths: &BTreeSet<String>) -> bool {
    key.match_indices('.').any(|(dot, _)| paths.contains(&key[..=dot]))
}

/// Whether a name is one that training gives to what is no weight.
fn is_of_training(node: &str) -> bool {
    let node = node.to_ascii_lowercase();
    let is_state = TRAINING_STATE.contains(&node.as_str()) || node.ends_with("_state");
    is_state || node.split(['_', '-']).any(|word| TRAINING_WORDS.contains(&word))
}

/// The length of what all scopes begin with, up to a dot.
fn common(scopes: &[String]) -> usize {
    let Some(first) = scopes.first() else { return 0 };
    let ends = first.match_indices('.').map(|(dot, _)| dot + 1);
    ends.take_while(|&end| scopes.iter().all(|scope| scope.starts_with(&first[..end]))).last().unwrap_or(0)
}

/// Finds the layout from the keys of a file. `chosen` names the dictionary that has the model, if there are several.
pub(super) fn detect<'a>(
    path: &Path,
    keys: impl Iterator<Item = &'a str>,
    chosen: Option<&str>,
) -> Result<Layout, CheckpointError> {
    let keys: Vec<&str> = keys.collect();
    let mut found = Vec::new();
    candidates(&Tree::of(keys.iter().copied()), &Tree::of_model(), "", &mut found);
    let scopes: Vec<String> = found.iter().map(|candidate| candidate.scope.clone()).collect();
    if found.is_empty() {
        let others: Vec<String> = keys.iter().take(3).map(|key| format!("`{key}`")).collect();
        let found = match keys.len() {
            0 => "no tensors".to_owned(),
            1 => format!("another one: {}", others.join(", ")),
            count => format!("{count} others: {}", others.join(", ")),
        };
        return Err(CheckpointError::NotSegVol { path: path.to_owned(), expected: POSITION_EMBEDDINGS, found });
    }
    let Candidate { scope, encoder_only, mut names, beside, wrappers } = choose(path, found, &scopes, chosen)?;

    let copies = Copies::new(&scopes, &scope);
    let of_a_model = |key: &str| key.split('.').any(|node| MODULES.contains(&node));
    let ignored: BTreeSet<String> = beside
        .into_iter()
        .filter(|path| is_of_training(path.rsplit('.').next().unwrap_or(path)))
        .map(|path| path + ".")
        .collect();
    names.retain(|key, _| {
        let ends = key.match_indices('.').map(|(dot, _)| dot);
        let beside = ends.chain([key.len()]).find(|&end| ignored.contains(&format!("{}.", &key[..end])));
        !copies.have(key, &scope) && beside.is_none_or(|end| of_a_model(&key[end..]))
    });
    let is_stray = |key: &&&str| {
        let inside = key.starts_with(&scope);
        let too_deep = key.split('.').count() > MAX_NODES;
        let kept = TRAINING_STATE.contains(&top(key)) || copies.have(key, &scope);
        (inside && too_deep) || (!inside && !kept && of_a_model(key))
    };
    let strays = keys.iter().filter(is_stray).map(|key| (*key).to_owned()).collect();
    Ok(Layout { scope, wrappers, encoder_only, names, copies, strays })
}

/// The one place that has the model: the chosen one, the only one, or the usual one.
fn choose(
    path: &Path,
    found: Vec<Candidate>,
    scopes: &[String],
    chosen: Option<&str>,
) -> Result<Candidate, CheckpointError> {
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
    if let Some(chosen) = chosen {
        let chosen = format!("{}.", chosen.trim_end_matches('.'));
        let (first, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|candidate| candidate.scope.starts_with(&chosen));
        let anywhere = |candidate: &Candidate| format!(".{}", candidate.scope).contains(&format!(".{chosen}"));
        return one_of(if first.is_empty() { others.into_iter().filter(anywhere).collect() } else { first });
    }
    if found.len() == 1 {
        return one_of(found);
    }
    let common = common(scopes);
    let first = |candidate: &Candidate| top(&candidate.scope[common..]).to_owned();
    let usual = |candidate: &Candidate| DICTIONARIES.contains(&first(candidate).as_str());
    let (usual, others): (Vec<_>, Vec<_>) = found.into_iter().partition(usual);
    if !usual.is_empty() {
        return one_of(usual);
    }
    let kept = |candidate: &Candidate| !TRAINING_STATE.contains(&first(candidate).as_str());
    one_of(others.into_iter().filter(kept).collect())
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
        let wrappers: Vec<&str> = self.news().collect();
        if wrappers.is_empty() { known } else { format!("{known}, without {}", wrappers.join(", ")) }
    }

    /// The wrappers that are no part of a published layout: the old name inside the text tower is no news.
    pub(super) fn news(&self) -> impl Iterator<Item = &str> {
        self.wrappers.iter().map(String::as_str).filter(|name| *name != "text_model")
    }

    /// Where a key of the file belongs.
    pub(super) fn place(&self, key: &str) -> Place {
        match self.names.get(key) {
            Some(name) => Place::Model(name.clone()),
            None if self.strays.contains(key) => Place::Stray,
            None if self.copies.have(key, &self.scope) || TRAINING_STATE.contains(&top(key)) => Place::Copy,
            None => Place::Beside,
        }
    }

    /// The dictionary or value of an ignored key: its path to the first node that is not on the way to the model. Of a value inside
    /// a module, the whole path.
    pub(super) fn origin<'k>(&self, key: &'k str) -> &'k str {
        if key.strip_prefix(&self.scope).is_some_and(|rest| MODULES.contains(&top(rest))) {
            return key;
        }
        let ends = key.match_indices('.').map(|(dot, _)| dot).chain([key.len()]);
        let mut ends = ends.skip_while(|&end| self.scope.starts_with(&format!("{}.", &key[..end])));
        &key[..ends.next().unwrap_or(key.len())]
    }
}

#[cfg(test)]
mod tests {
    use segvol_onnx::Architecture;

    use super::*;
    use crate::keys;

    /// The layout of a file that has these keys besides a whole model under each of `scopes`.
    fn layout_of(scopes: &[&str], others: &[&str], chosen: Option<&str>) -> Result<Layout, CheckpointError> {
        let mut keys: Vec<String> = others.iter().map(|key| (*key).to_owned()).collect();
        for scope in scopes {
            keys.extend(keys::keys(&Architecture::RELEASED).into_iter().map(|(key, _)| format!("{scope}{key}")));
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
        let keys = keys::keys(&Architecture::RELEASED);
        let encoder = keys.iter().filter_map(|(key, _)| key.strip_prefix("image_encoder."));
        let keys: Vec<String> = encoder.map(|key| format!("state_dict.model.encoder.{key}")).collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        assert_eq!(layout.name(), "ViT_pretrain.ckpt, image encoder only");
        assert_place(&layout, "state_dict.model.encoder.norm.weight", NORM);
    }

    #[test]
    fn wrappers_inside_the_model_are_removed() {
        let keys: Vec<String> = keys::keys(&Architecture::RELEASED)
            .into_iter()
            .map(|(key, _)| {
                key.replace("image_encoder.", "image_encoder._orig_mod.")
                    .replace("blocks.0.", "blocks.0._checkpoint_wrapped_module._fsdp_wrapped_module.")
                    .replace("clip_text_model.", "clip_text_model.text_model.")
            })
            .collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        let names: BTreeSet<&String> = layout.names.values().collect();
        let expected = keys::keys(&Architecture::RELEASED);
        assert_eq!(names, expected.iter().map(|(key, _)| key).collect());
        let wrappers = "_checkpoint_wrapped_module, _fsdp_wrapped_module, _orig_mod";
        assert_eq!(layout.name(), format!("keys without a prefix, without {wrappers}"));
    }

    #[test]
    fn wrappers_of_some_parts_of_a_module_are_removed() {
        let keys: Vec<String> = keys::keys(&Architecture::RELEASED)
            .into_iter()
            .map(|(key, _)| {
                key.replace("text_encoder.clip_text_model.", "text_encoder.model.net.clip_text_model.0.")
                    .replace("image_encoder.blocks.1.", "image_encoder.blocks.network.1.")
                    .replace("image_encoder.norm.", "image_encoder.module.norm.")
            })
            .chain(["image_encoder.module.n_averaged".to_owned(), "mask_decoder.n_averaged".to_owned()])
            .collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        let expected = keys::keys(&Architecture::RELEASED);
        let found: BTreeSet<&String> = layout.names.values().collect();
        let missing: Vec<&String> = expected.iter().map(|(key, _)| key).filter(|key| !found.contains(key)).collect();
        // A wrapper with anything else in it is none.
        let norm = ["image_encoder.norm.bias", "image_encoder.norm.weight"];
        assert!(
            missing.len() == 2 && norm.iter().all(|key| missing.iter().any(|missing| missing == key)),
            "{missing:?}"
        );
        assert_place(&layout, "mask_decoder.n_averaged", "mask_decoder.n_averaged");
    }

    #[test]
    fn what_is_beside_a_wrapped_module_is_no_part_of_it() {
        let keys: Vec<String> = keys::keys(&Architecture::RELEASED)
            .into_iter()
            .map(|(key, _)| key.replace("image_encoder.", "image_encoder.module."))
            .chain(["image_encoder.n_averaged".to_owned(), "image_encoder.head".to_owned()])
            .collect();
        let layout = detect(Path::new("file"), keys.iter().map(String::as_str), None).expect("a layout");
        assert_place(&layout, "image_encoder.module.norm.weight", NORM);
        assert_eq!(layout.place("image_encoder.n_averaged"), Place::Beside);
        assert_eq!(layout.origin("image_encoder.n_averaged"), "image_encoder.n_averaged");
        assert_eq!(layout.origin("optimizer.state.0"), "optimizer");
        assert_place(&layout, "image_encoder.head", "image_encoder.head");
    }

    #[test]
    fn an_adapter_beside_a_layer_is_no_wrapper() {
        let layer = "image_encoder.blocks.0.attn.out_proj.";
        let keys: Vec<String> = keys::keys(&Architecture::RELEASED)
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
            assert!(matches!(layout.place(key), Place::Beside | Place::Copy), "{key}");
        }
        assert_eq!(layout.place(stray), Place::Stray);
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
            (&["state_dict.", "state_dict.ema.module."], None, "prefix state_dict."),
            (&["state_dict.", "state_dict.ema.module."], Some("ema"), "prefix state_dict.ema.module."),
            (&["", "ema."], Some("ema"), "prefix ema."),
            (&["state_dict.model.", "state_dict.ema."], None, "prefix state_dict.model."),
        ] {
            let layout = layout_of(scopes, &[], chosen).unwrap_or_else(|error| panic!("{scopes:?}: {error}"));
            assert_eq!(layout.name(), expected, "{scopes:?}");
            // A whole copy is left alone.
            assert!(layout.strays.is_empty(), "{scopes:?}");
            assert_eq!(layout.names.len(), keys::keys(&Architecture::RELEASED).len(), "{scopes:?}");
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
        assert_eq!(layout.place(&deep), Place::Stray);
    }
}
