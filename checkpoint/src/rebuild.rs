//! The calls of a pickle that make tensors, and what they would make. Nothing is called.
//!
//! | function                                            | what it makes                                   |
//! |-----------------------------------------------------|-------------------------------------------------|
//! | `torch._utils._rebuild_tensor`, `_v2`, `_v3`         | a strided view of a storage                     |
//! | `torch._utils._rebuild_parameter`, `_with_state`     | its first argument                              |
//! | `torch._tensor._rebuild_from_type_v2`                | what its function makes, unless the class stores numbers in its own way |
//! | `numpy….multiarray._reconstruct`, `_frombuffer`      | an array (`super::numpy`)                       |
//!
//! # Source
//!
//! PyTorch 2.9, `torch/_utils.py`, `torch/_tensor.py` and `torch/serialization.py`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dtype::Dtype;
use super::numpy;
use super::unread::Unread;
use segvol_archive::pickle::{Call, Global, Node, Objects, Value};
use segvol_archive::region::{Storage, View};

/// What a container has besides its pickle.
#[derive(Debug, Default)]
pub(super) struct Container {
    /// Storages by the keys in the pickle.
    pub storages: BTreeMap<String, Arc<Storage>>,
    /// Tensors by the keys in the pickle, in the oldest format.
    pub tensors: BTreeMap<String, (Dtype, View)>,
    /// The most significant byte of a number comes first.
    pub big_endian: bool,
}

/// A tensor, or why it cannot be read.
pub(super) type Made = Result<(Dtype, View), Unread>;

/// A class that wraps another is followed so far: `Parameter` of a subclass of a tensor.
const MAX_WRAPPERS: usize = 8;

/// What `call` makes if that is a tensor.
pub(super) fn tensor(objects: &Objects, container: &Container, call: &Call) -> Option<Made> {
    Rebuild { objects, container }.call(call, 0)
}

/// The tensor that an object outside the pickle is, in the oldest format.
pub(super) fn persistent(objects: &Objects, container: &Container, id: Value) -> Option<Made> {
    let key = objects.key(id)?;
    container.tensors.get(&key).cloned().map(Ok)
}

/// A storage as a pickle refers to it.
pub(super) struct Reference {
    pub key: String,
    /// `None`: bytes, whose type the tensor says.
    pub dtype: Option<Dtype>,
    /// Number of elements.
    pub elements: u64,
    /// The first element that a tensor may use, and the one after the last.
    pub reach: (u64, u64),
}

impl Reference {
    /// Bytes of all elements.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.elements.checked_mul(self.size())
    }

    /// Bytes of one element.
    pub(super) fn size(&self) -> u64 {
        self.dtype.map_or(1, Dtype::size) as u64
    }

    /// `('storage', class, key, location, elements[, view])`, where the view is `None` or `(key, offset, elements)`.
    pub(super) fn read(objects: &Objects, id: Value) -> Result<Self, Unread> {
        let damaged = || Unread::Damaged("its storage has an unknown description".to_owned());
        let fields = objects.list(id).ok_or_else(damaged)?;
        let [tag, class, number, _, elements, rest @ ..] = fields else { return Err(damaged()) };
        if objects.text(*tag) != Some("storage") {
            return Err(damaged());
        }
        let class = objects.global(*class).map(|global| global.name.as_str()).or_else(|| objects.text(*class));
        let class = class.ok_or_else(damaged)?;
        let dtype = match class {
            "UntypedStorage" => None,
            class => Some(Dtype::of_storage(class).ok_or_else(|| Unread::of_class(&format!("torch.{class}")))?),
        };
        let elements = elements.size().ok_or_else(damaged)? as u64;
        let reach = match rest.first().and_then(|view| objects.list(*view)) {
            Some([_, offset, length]) => {
                let (offset, length) = (offset.size().ok_or_else(damaged)?, length.size().ok_or_else(damaged)?);
                (offset as u64, (offset as u64).saturating_add(length as u64).min(elements))
            }
            Some(_) => return Err(damaged()),
            None => (0, elements),
        };
        Ok(Self { key: objects.key(*number).ok_or_else(damaged)?, dtype, elements, reach })
    }
}

#[derive(Clone, Copy)]
struct Rebuild<'a> {
    objects: &'a Objects,
    container: &'a Container,
}

impl Rebuild<'_> {
    fn call(self, call: &Call, depth: usize) -> Option<Made> {
        let global = self.objects.global(call.callable)?;
        if let Some(array) = numpy::array(self.objects, global, call) {
            return Some(array);
        }
        self.function(global, call.args, depth)
    }

    /// What a function makes of these arguments.
    fn function(self, global: &Global, args: Value, depth: usize) -> Option<Made> {
        let args = self.objects.list(args).unwrap_or_default();
        if depth > MAX_WRAPPERS {
            return Some(Err(Unread::of_class("torch.Tensor")));
        }
        match (global.module.as_str(), global.name.as_str()) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(self.view(args, None)),
            ("torch._utils", "_rebuild_tensor_v3") => Some(self.view(args, args.get(6).copied())),
            (
                "torch._utils",
                "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
                | "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_device_tensor_from_numpy",
            ) => self.call(self.objects.call(*args.first()?)?, depth + 1),
            ("torch._tensor", "_rebuild_from_type_v2") => {
                let [function, class, args, rest @ ..] = args else { return None };
                let class = self.objects.global(*class)?;
                let name = format!("{}.{}", class.module, class.name);
                let state = rest.first().copied().unwrap_or(Value::None);
                let made = self.function(self.objects.global(*function)?, *args, depth + 1)?;
                // The state of a quantised or distributed tensor says what its numbers mean.
                let own = matches!(class.module.as_str(), "torch" | "torch.nn.parameter");
                let plain = own || (!Unread::is_known(&class.name) && !self.has_storage(state));
                Some(made.and_then(|tensor| if plain { Ok(tensor) } else { Err(Unread::of_class(&name)) }))
            }
            ("torch._utils", "_rebuild_wrapper_subclass") => {
                let class = self.objects.global(*args.first()?)?;
                Some(Err(Unread::of_class(&format!("{}.{}", class.module, class.name))))
            }
            (module, name) if Unread::is_known(name) => Some(Err(Unread::of_class(&format!("{module}.{name}")))),
            _ => None,
        }
    }

    /// Whether a state has a storage in itself, in its attributes or in their calls.
    fn has_storage(self, state: Value) -> bool {
        let mut left = vec![(state, 0)];
        let mut steps = 0;
        while let Some((value, depth)) = left.pop() {
            steps += 1;
            // A large state is not that of a plain tensor.
            if steps > 200 || depth > 8 {
                return true;
            }
            let mut add = |value: Value| left.push((value, depth + 1));
            match self.objects.get(value) {
                Some(Node::Persistent(_)) => return true,
                Some(Node::List(items)) => items.iter().for_each(|item| add(*item)),
                Some(Node::Dict(pairs)) => pairs.iter().for_each(|(_, value)| add(*value)),
                Some(Node::Call(call)) => {
                    [call.args, call.state].into_iter().for_each(&mut add);
                    call.items.iter().for_each(|item| add(*item));
                    call.pairs.iter().for_each(|(_, value)| add(*value));
                }
                Some(Node::Text(_) | Node::Bytes(_) | Node::Long(_) | Node::Global(_)) | None => {}
            }
        }
        false
    }

    /// `(storage, offset, shape, strides, …)`, and the element type if the storage does not have it.
    fn view(self, args: &[Value], dtype: Option<Value>) -> Made {
        let damaged = |what: &str| Unread::Damaged(format!("its {what} cannot be read"));
        let [storage, offset, shape, strides, ..] = args else { return Err(damaged("description")) };
        let reference = match self.objects.get(*storage) {
            Some(Node::Persistent(id)) => Reference::read(self.objects, *id)?,
            Some(Node::Call(call)) => {
                let class = self.objects.global(call.callable);
                return Err(class.map_or_else(|| damaged("storage"), |class| Unread::of_class(&class.name)));
            }
            _ => return Err(damaged("storage")),
        };
        let dtype = match dtype.map(|dtype| self.objects.global(dtype)) {
            Some(Some(global)) => {
                Dtype::of_torch(&global.name).ok_or_else(|| Unread::of_class(&format!("torch.{}", global.name)))?
            }
            Some(None) => return Err(damaged("element type")),
            None => reference.dtype.ok_or_else(|| damaged("element type"))?,
        };
        if reference.dtype.is_some_and(|stored| stored != dtype) {
            return Err(damaged("element type"));
        }
        let offset = offset.size().ok_or_else(|| damaged("offset"))?;
        let shape = self.objects.sizes(*shape).ok_or_else(|| damaged("shape"))?;
        let strides = self.objects.sizes(*strides).ok_or_else(|| damaged("strides"))?;
        let missing = || Unread::Damaged("its numbers are not in the file".to_owned());
        let storage = self.container.storages.get(&reference.key).ok_or_else(missing)?;
        let first = usize::try_from(reference.reach.0).map_err(|_| damaged("offset"))?;
        let offset = offset.checked_add(first).ok_or_else(|| damaged("offset"))?;
        let reachable = reference.reach.1.saturating_mul(reference.size());
        let view = View::new(Arc::clone(storage), reachable, dtype.size(), offset, &shape, &strides);
        let view = view.map_err(Unread::Damaged)?;
        Ok((dtype, view.big_endian(self.container.big_endian)))
    }
}
