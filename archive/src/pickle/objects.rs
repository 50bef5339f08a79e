//! The objects that a pickle describes.

use std::sync::Arc;

use crate::region::Region;

/// A value: small ones, or the number of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Python's None.
    None,
    /// True or False.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A number that no tensor's description has: a fraction, or an integer beyond 64 bits.
    Number,
    /// An object, by its number.
    Object(u32),
}

/// Most axes of a tensor, as in PyTorch.
pub const MAX_RANK: usize = 64;

impl Value {
    /// A number that is no less than zero.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Int(number) => usize::try_from(number).ok(),
            Self::None | Self::Bool(_) | Self::Number | Self::Object(_) => None,
        }
    }
}

/// An object.
#[derive(Debug)]
pub enum Node {
    /// A short text.
    Text(Arc<str>),
    /// A short byte string.
    Bytes(Arc<[u8]>),
    /// A long text or byte string, unread.
    Long(Box<Long>),
    /// A tuple, list or set.
    List(Vec<Value>),
    /// A dictionary: its keys and values, as they were set.
    Dict(Vec<(Value, Value)>),
    /// A class or function.
    Global(Box<Global>),
    /// An object outside the pickle: PyTorch's storages.
    Persistent(Value),
    /// What a call would return.
    Call(Box<Call>),
}

/// A text or byte string, and its place.
#[derive(Debug)]
pub struct Long {
    /// Where it is.
    pub region: Region,
    /// Whether it is a text.
    pub is_text: bool,
}

/// The name of a class or function.
#[derive(Debug)]
pub struct Global {
    /// The module that has it.
    pub module: String,
    /// Its name there.
    pub name: String,
}

/// A call, and what is set on its result.
#[derive(Debug)]
pub struct Call {
    /// The class or function.
    pub callable: Value,
    /// Its arguments.
    pub args: Value,
    /// What is appended to the result.
    pub items: Vec<Value>,
    /// What is set as its items.
    pub pairs: Vec<(Value, Value)>,
    /// What is set as its state.
    pub state: Value,
}

/// The objects of a pickle.
#[derive(Debug)]
pub struct Objects {
    nodes: Vec<Node>,
    /// The pickle's own value.
    pub root: Value,
    /// The pickle's length in bytes: another may follow.
    pub length: u64,
}

impl Objects {
    pub(super) fn new(nodes: Vec<Node>, root: Value, length: u64) -> Self {
        Self { nodes, root, length }
    }

    /// An object.
    pub fn get(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Object(number) => self.nodes.get(number as usize),
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Number => None,
        }
    }

    /// All objects, in the order in which the pickle makes them.
    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// A short text. Python 2 writes one as bytes.
    pub fn text(&self, value: Value) -> Option<&str> {
        match self.get(value)? {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A key, which may be a text or a number.
    pub fn key(&self, value: Value) -> Option<String> {
        match value {
            Value::Int(number) => Some(number.to_string()),
            value => self.text(value).map(str::to_owned),
        }
    }

    /// A shape or strides.
    pub fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let list = match self.get(value)? {
            // torch.Size
            Node::Call(call) => self.list(*self.list(call.args)?.first()?)?,
            _ => self.list(value)?,
        };
        if list.len() > MAX_RANK {
            return None;
        }
        list.iter().map(|item| item.size()).collect()
    }

    /// The items of a tuple or list.
    pub fn list(&self, value: Value) -> Option<&[Value]> {
        match self.get(value)? {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values of a dictionary, as they were set: a later one replaces an earlier one.
    pub fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.get(value)? {
            Node::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// A class or function.
    pub fn global(&self, value: Value) -> Option<&Global> {
        match self.get(value)? {
            Node::Global(global) => Some(global),
            _ => None,
        }
    }

    /// What a call would return.
    pub fn call(&self, value: Value) -> Option<&Call> {
        match self.get(value)? {
            Node::Call(call) => Some(call),
            _ => None,
        }
    }
}
