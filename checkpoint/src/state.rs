//! The tensors of a pickle, each by the dotted path through dictionaries, lists, modules and other objects.
//!
//! An object with two paths gives its tensors both names, as `torch.load` does. A path ends where it meets one of its own
//! objects again.
//!
//! | object                                  | what is walked                                                      |
//! |-----------------------------------------|---------------------------------------------------------------------|
//! | dictionary, `OrderedDict`, other subclass | its items                                                           |
//! | list, tuple, set                        | its items, named by their numbers                                   |
//! | `torch.nn.Module`                       | what its `state_dict()` has: parameters, buffers that persist, modules |
//! | another object                          | its attributes                                                      |

use std::collections::{BTreeMap, BTreeSet};

use super::rebuild::{self, Container, Made};
use super::tensor::{Source, Tensor};
use super::unread::Unread;
use segvol_archive::pickle::{Call, Node, Objects, Value};

/// Dictionaries in dictionaries are walked so far. A model's names have at most 64 parts, so that no part of one is deeper.
const MAX_DEPTH: usize = 100;

/// Most objects that are walked again under another name: the full model with its optimiser fits in 30 times.
const MAX_REPEATS: usize = 1 << 15;

/// Most items that are looked at: objects may share a long list, and each looks at all of it.
const MAX_WORK: usize = 1 << 22;

/// Most bytes of all names together. Those of the full model have 20 kB.
const MAX_NAME_BYTES: usize = 4 << 20;

/// The tables of a `torch.nn.Module`.
const TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// All tensors of a pickle. Those that cannot be read are there too: they matter only in the model.
///
/// # Errors
///
/// A sentence if the pickle is one tensor, or has far more paths than objects.
pub(super) fn tensors(objects: &Objects, container: &Container) -> Result<BTreeMap<String, Tensor>, String> {
    let mut walk = Walk {
        objects,
        container,
        tensors: BTreeMap::new(),
        owners: BTreeMap::new(),
        path: String::new(),
        parents: Vec::new(),
        seen: BTreeSet::new(),
        repeats: 0,
        work: 0,
        name_bytes: 0,
    };
    walk.value(objects.root)?;
    match walk.tensors.contains_key("") {
        true => Err("expected a dictionary of tensors, found one tensor".to_owned()),
        false => Ok(walk.tensors),
    }
}

struct Walk<'a> {
    objects: &'a Objects,
    container: &'a Container,
    tensors: BTreeMap<String, Tensor>,
    /// The object that gave each name.
    owners: BTreeMap<String, u32>,
    path: String,
    /// The objects that the path leads through.
    parents: Vec<u32>,
    seen: BTreeSet<u32>,
    repeats: usize,
    work: usize,
    name_bytes: usize,
}

type Walked = Result<(), String>;

impl<'a> Walk<'a> {
    fn value(&mut self, value: Value) -> Walked {
        let Value::Object(number) = value else { return Ok(()) };
        let Some(node) = self.objects.get(value) else { return Ok(()) };
        if matches!(node, Node::Text(_) | Node::Bytes(_) | Node::Long(_) | Node::Global(_))
            || self.parents.contains(&number)
            || self.parents.len() >= MAX_DEPTH
        {
            return Ok(());
        }
        if !self.seen.insert(number) {
            self.repeats += 1;
            if self.repeats > MAX_REPEATS {
                return Err(format!("its pickle refers to the same objects more than {MAX_REPEATS} times"));
            }
        }
        self.spend(node)?;
        self.parents.push(number);
        let walked = match node {
            Node::Dict(pairs) => self.entries(&self.named(pairs)),
            Node::List(items) => self.items(items),
            Node::Call(call) => self.call(number, call),
            Node::Persistent(id) => match rebuild::persistent(self.objects, self.container, *id) {
                Some(made) => self.insert(number, made),
                None => Ok(()),
            },
            Node::Text(_) | Node::Bytes(_) | Node::Long(_) | Node::Global(_) => Ok(()),
        };
        self.parents.pop();
        walked
    }

    /// Counts the items that a visit of an object looks at.
    fn spend(&mut self, node: &Node) -> Walked {
        let objects = self.objects;
        let length = |value: Value| match objects.get(value) {
            Some(Node::List(items)) => items.len(),
            Some(Node::Dict(pairs)) => pairs.len(),
            Some(Node::Call(call)) => call.items.len() + call.pairs.len(),
            _ => 0,
        };
        // An argument may be a list of pairs, and a state has tables.
        let deep = |value: Value| {
            let inner: usize = match objects.get(value) {
                Some(Node::List(items)) => items.iter().take(4).map(|item| length(*item)).sum(),
                Some(Node::Dict(pairs)) => pairs.iter().map(|(_, value)| length(*value)).sum(),
                _ => 0,
            };
            length(value).saturating_add(inner)
        };
        self.work = self.work.saturating_add(match node {
            Node::List(items) => items.len(),
            Node::Dict(pairs) => pairs.len(),
            Node::Call(call) => call.items.len() + call.pairs.len() + deep(call.args) + deep(call.state),
            Node::Text(_) | Node::Bytes(_) | Node::Long(_) | Node::Global(_) | Node::Persistent(_) => 0,
        });
        match self.work > MAX_WORK {
            true => Err("its pickle refers to long lists too often".to_owned()),
            false => Ok(()),
        }
    }

    /// Walks a value under one more name.
    fn child(&mut self, name: &str, value: Value) -> Walked {
        if !matches!(value, Value::Object(_)) {
            return Ok(());
        }
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let walked = self.value(value);
        self.path.truncate(length);
        walked
    }

    fn entries(&mut self, entries: &BTreeMap<String, Value>) -> Walked {
        entries.iter().try_for_each(|(name, value)| self.child(name, *value))
    }

    fn items(&mut self, items: &[Value]) -> Walked {
        items.iter().enumerate().try_for_each(|(i, value)| self.child(&i.to_string(), *value))
    }

    /// The last value of each key. A key that is neither a text nor a number is named by its place.
    fn named(&self, pairs: &[(Value, Value)]) -> BTreeMap<String, Value> {
        let name = |i: usize, key: Value| self.objects.key(key).unwrap_or_else(|| format!("[{i}]"));
        pairs.iter().enumerate().map(|(i, (key, value))| (name(i, *key), *value)).collect()
    }

    /// The items of a dictionary or `OrderedDict`.
    fn dictionary(&self, value: Value) -> Option<BTreeMap<String, Value>> {
        match self.objects.get(value)? {
            Node::Dict(pairs) => Some(self.named(pairs)),
            Node::Call(call) => {
                let mut pairs = self.argument_pairs(call);
                pairs.extend_from_slice(&call.pairs);
                let is_dictionary = self.objects.global(call.callable)?.name.ends_with("Dict") || !pairs.is_empty();
                is_dictionary.then(|| self.named(&pairs))
            }
            _ => None,
        }
    }

    /// The pairs of `OrderedDict([(key, value), …])`, or of a class that takes a dictionary.
    fn argument_pairs(&self, call: &Call) -> Vec<(Value, Value)> {
        let first = self.objects.list(call.args).and_then(|args| args.first());
        if let Some(pairs) = first.and_then(|first| self.objects.dict(*first)) {
            return pairs.to_vec();
        }
        let items = first.and_then(|items| self.objects.list(*items)).unwrap_or_default();
        let pair = |item: &Value| match self.objects.list(*item) {
            Some([key, value]) => Some((*key, *value)),
            _ => None,
        };
        items.iter().map(pair).collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn call(&mut self, number: u32, call: &'a Call) -> Walked {
        if let Some(made) = rebuild::tensor(self.objects, self.container, call) {
            return self.insert(number, made);
        }
        let class = self.objects.global(call.callable);
        let name = class.map_or("", |class| class.name.as_str());
        if name.ends_with("Dict") || !call.pairs.is_empty() {
            // Attributes of a dictionary are no items.
            let mut entries = self.named(&self.argument_pairs(call));
            entries.extend(self.named(&call.pairs));
            return self.entries(&entries);
        }
        if let Some(attributes) = self.dictionary(call.state)
            && let [Some(parameters), Some(buffers), Some(modules)] =
                TABLES.map(|table| attributes.get(table).and_then(|table| self.dictionary(*table)))
        {
            let left_out = attributes.get("_non_persistent_buffers_set").map(|names| self.texts(*names));
            let keeps = |name: &String| !left_out.as_ref().is_some_and(|names| names.contains(name));
            self.entries(&parameters)?;
            self.entries(&buffers.into_iter().filter(|(name, _)| keeps(name)).collect())?;
            return self.entries(&modules);
        }
        let before = self.tensors.len();
        self.items(&call.items)?;
        // Attributes; or of a class with slots, those in its dictionary and those in its slots.
        let states = self.objects.list(call.state).unwrap_or(std::slice::from_ref(&call.state));
        for state in states {
            match self.dictionary(*state) {
                Some(attributes) => self.entries(&attributes)?,
                None => self.value(*state)?,
            }
        }
        let args = self.objects.list(call.args).unwrap_or_default();
        // Collections, and classes made of a dictionary.
        if let Some(first) = args.first()
            && (matches!(name, "set" | "frozenset" | "list" | "tuple" | "deque") || self.objects.dict(*first).is_some())
        {
            return self.value(*first);
        }
        // What an unknown function makes of a tensor is unknown too.
        let takes_tensor = args.iter().any(|arg| self.is_tensor(*arg));
        if takes_tensor && self.tensors.len() == before {
            let name = class.map_or_else(|| name.to_owned(), |class| format!("{}.{name}", class.module));
            return self.insert(number, Err(Unread::of_class(&name)));
        }
        Ok(())
    }

    /// Whether a value is a tensor or a storage.
    fn is_tensor(&self, value: Value) -> bool {
        match self.objects.get(value) {
            Some(Node::Persistent(_)) => true,
            Some(Node::Call(call)) => rebuild::tensor(self.objects, self.container, call).is_some(),
            _ => false,
        }
    }

    /// The texts of a list or set.
    fn texts(&self, value: Value) -> BTreeSet<String> {
        let mut items: Vec<Value> = self.objects.list(value).unwrap_or_default().to_vec();
        if let Some(call) = self.objects.call(value) {
            let first = self.objects.list(call.args).and_then(|args| args.first());
            items.extend(first.and_then(|items| self.objects.list(*items)).unwrap_or_default());
            items.extend(&call.items);
        }
        items.iter().filter_map(|item| self.objects.text(*item)).map(str::to_owned).collect()
    }

    /// Adds a tensor under the present path.
    fn insert(&mut self, number: u32, made: Made) -> Walked {
        self.name_bytes += self.path.len();
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(format!("the names of its tensors have more than {MAX_NAME_BYTES} bytes"));
        }
        let unread = match self.owners.insert(self.path.clone(), number) {
            Some(other) if other != number => Some(Unread::Damaged("two values have this name".to_owned())),
            Some(_) | None => None,
        };
        let tensor = match (made, unread) {
            (Ok((dtype, view)), None) => Tensor { dtype, shape: view.shape().to_vec(), source: Source::Torch(view) },
            (Err(unread), None) | (_, Some(unread)) => Tensor::unread(unread),
        };
        self.tensors.insert(self.path.clone(), tensor);
        Ok(())
    }
}
