//! The keys of a checkpoint as a tree, walked along the tree of the model's own keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use segvol_onnx::Architecture;

use crate::keys;

/// A tensor that every SegVol checkpoint has. Its key shows the layout.
pub const POSITION_EMBEDDINGS: &str = "image_encoder.patch_embedding.position_embeddings";

pub(super) const IMAGE_ENCODER: &str = "image_encoder";

/// Keys with more nodes than this are not the model's. The trees are walked by recursion.
pub(super) const MAX_NODES: usize = 64;

/// Names as a tree of their nodes, which dots separate.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    children: BTreeMap<&'a str, Tree<'a>>,
    /// Whether a tensor has this name.
    is_tensor: bool,
}

impl<'a> Tree<'a> {
    pub(super) fn of(keys: impl Iterator<Item = &'a str>) -> Self {
        let mut root = Self::default();
        for key in keys.filter(|key| key.split('.').count() <= MAX_NODES) {
            let leaf = key.split('.').fold(&mut root, |tree, node| tree.children.entry(node).or_default());
            leaf.is_tensor = true;
        }
        root
    }

    /// The tree of the model's own keys, with `#` for every number.
    pub(super) fn of_model() -> Tree<'static> {
        Tree::of(MODEL.iter().map(String::as_str))
    }

    /// A child of the model's tree; all numbers are one.
    fn child(&self, node: &str) -> Option<&Self> {
        let is_number = !node.is_empty() && node.bytes().all(|byte| byte.is_ascii_digit());
        self.children.get(if is_number { "#" } else { node })
    }

    /// Whether a part of the model begins here.
    fn begins(&self, model: &Tree<'_>) -> bool {
        self.children.keys().any(|node| model.child(node).is_some())
    }

    /// What this node gives to a part of the model, through wrappers if need be. `None` if it has anything else.
    fn gives(&self, model: &Tree<'_>) -> Option<Vec<&'a str>> {
        if self.begins(model) {
            return self
                .children
                .keys()
                .all(|node| model.child(node).is_some())
                .then(|| self.children.keys().copied().collect());
        }
        match self.children.first_key_value() {
            Some((_, child)) if self.children.len() == 1 && !child.is_tensor => child.gives(model),
            _ => None,
        }
    }

    /// Whether a part of the model begins here, or deeper.
    fn leads_to(&self, model: &Tree<'_>) -> bool {
        self.begins(model) || self.children.values().any(|child| child.leads_to(model))
    }

    /// The nodes that wrap a part of the model here: all of it, or what is not here and in no other node.
    fn wrappers(&self, model: &Tree<'_>) -> BTreeSet<&'a str> {
        if model.children.is_empty() {
            return BTreeSet::new();
        }
        let others = || self.children.iter().filter(|(node, child)| model.child(node).is_none() && !child.is_tensor);
        if !self.begins(model) {
            let leading: Vec<&str> =
                others().filter(|(_, child)| child.leads_to(model)).map(|(node, _)| *node).collect();
            if leading.len() == 1 {
                return leading.into_iter().collect();
            }
        }
        let given: Vec<(&str, Vec<&str>)> =
            others().filter_map(|(node, child)| Some((*node, child.gives(model)?))).collect();
        let mut count: BTreeMap<&str, usize> = self.children.keys().map(|node| (*node, 1)).collect();
        given.iter().flat_map(|(_, nodes)| nodes).for_each(|node| *count.entry(node).or_default() += 1);
        let alone = |nodes: &[&str]| nodes.iter().all(|node| count[node] == 1);
        given.iter().filter(|(_, nodes)| alone(nodes)).map(|(node, _)| *node).collect()
    }
}

static MODEL: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut keys: Vec<String> = keys::keys(&Architecture::RELEASED).into_iter().map(|(key, _)| key).collect();
    keys.push("text_encoder.clip_text_model.embeddings.position_ids".to_owned());
    let number = |node: &str| if node.bytes().all(|byte| byte.is_ascii_digit()) { "#" } else { node }.to_owned();
    keys.iter().map(|key| key.split('.').map(number).collect::<Vec<_>>().join(".")).collect()
});

/// A place in a file that has the model.
#[derive(Debug, Default)]
pub(super) struct Candidate {
    /// What the keys begin with, with a dot at its end.
    pub scope: String,
    /// The keys lack `image_encoder.`, because there is no other module.
    pub encoder_only: bool,
    /// SegVol's name of each key.
    pub names: BTreeMap<String, String>,
    /// Keys beside the model's modules, or beside what a wrapper wraps, in the order of the walk.
    pub beside: BTreeSet<String>,
    /// Nodes inside the scope that were removed.
    pub wrappers: BTreeSet<String>,
}

impl Candidate {
    /// Walks `keys` along the model's tree. `path` and `name` end with a dot, or are empty.
    fn walk(&mut self, keys: &Tree<'_>, model: Option<&Tree<'_>>, path: &str, name: &str) {
        let wrappers = model.map(|model| keys.wrappers(model)).unwrap_or_default();
        self.wrappers.extend(wrappers.iter().map(|node| (*node).to_owned()));
        for (node, child) in &keys.children {
            let path = format!("{path}{node}");
            if wrappers.contains(node) {
                self.walk(child, model, &format!("{path}."), name);
                continue;
            }
            let part = model.and_then(|model| model.child(node));
            let known = self.names.len();
            if child.is_tensor {
                self.names.insert(path.clone(), format!("{name}{node}"));
            }
            self.walk(child, part, &format!("{path}."), &format!("{name}{node}."));
            // The walk is at the model's root, or beside a wrapper.
            let is_beside = part.is_none() && (!wrappers.is_empty() || path == format!("{}{node}", self.scope));
            if is_beside && self.names.len() > known {
                self.beside.insert(path);
            }
        }
    }
}

/// Finds every place that has the model, or only its image encoder, and copies inside such a place.
pub(super) fn candidates(keys: &Tree<'_>, model: &Tree<'_>, scope: &str, found: &mut Vec<Candidate>) {
    let encoder = &model.children[IMAGE_ENCODER];
    let parts = [(false, IMAGE_ENCODER, model, ""), (true, "patch_embedding", encoder, "image_encoder.")];
    let mut here = None;
    for (encoder_only, first, part, name) in parts {
        if here.is_none() && keys.children.contains_key(first) {
            let mut walked = Candidate { scope: scope.to_owned(), encoder_only, ..Candidate::default() };
            walked.walk(keys, Some(part), scope, name);
            if walked.names.values().any(|name| name == POSITION_EMBEDDINGS) {
                found.push(walked);
                here = Some(part);
            }
        }
    }
    let others = keys.children.iter().filter(|(node, _)| here.is_none_or(|part| part.child(node).is_none()));
    for (node, child) in others {
        candidates(child, model, &format!("{scope}{node}."), found);
    }
}
