//! Python's pickles as a graph of objects. Nothing is imported or called: a call becomes an object that says what would
//! be called, with which arguments.
//!
//! An object that a pickle refers to twice is one object here too, even if its items follow the first reference: the
//! memo has references, as Python's has. So a graph may have cycles, and its paths may be far more than its objects:
//! whoever walks it must end both.
//!
//! # Limits
//!
//! Every instruction adds at most one value, and there are at most `MAX_VALUES`, so that memory stays bounded by a
//! compressed pickle too. Long texts and byte strings are not read; they are [`Node::Long`], with their place.
//!
//! # Source
//!
//! CPython's `Lib/pickle.py` and `Lib/pickletools.py`, protocols 0 to 5.

mod input;
mod objects;

use std::collections::HashMap;

use input::Input;
pub use objects::{Call, Global, MAX_RANK, Node, Objects, Value};

use crate::region::Region;

/// Most values of a pickle. The full model with an optimiser's state has 60,000.
const MAX_VALUES: usize = 1 << 22;

/// The pickle at the start of a region.
///
/// # Errors
///
/// A sentence if it is damaged, or has an instruction that needs what is not in the file.
pub fn read(region: &Region) -> Result<Objects, String> {
    let machine = Machine {
        input: Input::new(region),
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        values: 0,
    };
    machine.run()
}

/// Python's unpickler: a stack, marks in it, and a memo of objects.
struct Machine {
    input: Input,
    nodes: Vec<Node>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    values: usize,
}

impl Machine {
    fn run(mut self) -> Result<Objects, String> {
        while let op = self.input.byte()?
            && op != b'.'
        {
            self.step(op)?;
        }
        let root = self.pop()?;
        Ok(Objects::new(self.nodes, root, self.input.at))
    }

    fn step(&mut self, op: u8) -> Result<(), String> {
        match op {
            0x80 => match self.input.byte()? {
                0..=5 => Ok(()),
                other => Err(format!("its pickle has protocol {other}; expected 0 to 5")),
            },
            0x95 => self.input.exact::<8>().map(drop), // A frame's length.
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.byte_as(Value::Int),
            b'M' => self.bytes_as(|raw| Value::Int(u16::from_le_bytes(raw).into())),
            b'J' => self.bytes_as(|raw| Value::Int(i32::from_le_bytes(raw).into())),
            b'G' => self.bytes_as(|_: [u8; 8]| Value::Number),
            b'I' | b'L' | b'F' => self.number_line(),
            0x8a | 0x8b => self.long(op),
            b'U' | b'C' | 0x8c => self.string(op, 1),
            b'T' | b'B' | b'X' => self.string(op, 4),
            0x8d | 0x8e | 0x96 => self.string(op, 8),
            b'V' => {
                let text = self.input.escaped_line()?;
                self.object(Node::Text(text.into()))
            }
            b'S' => {
                let text = self.input.line()?;
                self.object(Node::Text(text.trim_matches(['\'', '"']).into()))
            }
            b')' | b']' | 0x8f => self.object(Node::List(Vec::new())),
            b'}' => self.object(Node::Dict(Vec::new())),
            b't' | b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.object(Node::List(items))
            }
            0x85..=0x87 => self.tuple(usize::from(op - 0x84)),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.object(Node::Dict(pairs(&items)?))
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(&items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[(key, value)])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&pairs(&items)?)
            }
            b'(' => self.mark(),
            b'0' | b'1' | b'2' => self.rearrange(op),
            b'p' | b'q' | b'r' | 0x94 => self.memoize(op),
            b'g' | b'h' | b'j' => self.recall(op),
            b'c' | 0x93 | b'P' | b'Q' => self.name(op),
            b'R' | 0x81 | 0x92 | b'i' | b'o' => self.call(op),
            b'b' => self.build(),
            0x98 => Ok(()), // A buffer becomes read-only.
            0x97 => Err("its pickle keeps buffers outside the file; save it with torch.save".to_owned()),
            0x82..=0x84 => {
                Err("its pickle uses an extension registry of its program; save it with torch.save".to_owned())
            }
            _ => Err(format!("its pickle is damaged: there is no instruction {op:#04x}")),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("its pickle has more than {MAX_VALUES} values; save only the model's state_dict()"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn object(&mut self, node: Node) -> Result<(), String> {
        let number = self.nodes.len() as u32; // At most `MAX_VALUES`.
        self.nodes.push(node);
        self.push(Value::Object(number))
    }

    fn pop(&mut self) -> Result<Value, String> {
        match self.stack.len() > self.marks.last().copied().unwrap_or(0) {
            true => self.stack.pop().ok_or_else(underflow),
            false => Err(underflow()),
        }
    }

    /// The object on top of the stack, which stays there.
    fn top(&mut self) -> Result<&mut Node, String> {
        let top = self.pop()?;
        self.stack.push(top);
        let Value::Object(number) = top else { return Err(underflow()) };
        self.nodes.get_mut(number as usize).ok_or_else(underflow)
    }

    fn mark(&mut self) -> Result<(), String> {
        if self.marks.len() >= MAX_VALUES {
            return Err(underflow());
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn byte_as(&mut self, value: impl Fn(i64) -> Value) -> Result<(), String> {
        let byte = self.input.byte()?;
        self.push(value(byte.into()))
    }

    fn bytes_as<const N: usize>(&mut self, value: impl Fn([u8; N]) -> Value) -> Result<(), String> {
        let bytes = self.input.exact()?;
        self.push(value(bytes))
    }

    /// A number in decimal; `00` and `01` are booleans.
    fn number_line(&mut self) -> Result<(), String> {
        let line = self.input.line()?;
        let line = line.trim_end_matches(['L', '\r']);
        self.push(match line {
            "00" => Value::Bool(false),
            "01" => Value::Bool(true),
            _ => line.parse().map_or(Value::Number, Value::Int),
        })
    }

    /// A two's complement integer of any length, its least significant byte first.
    fn long(&mut self, op: u8) -> Result<(), String> {
        let length = match op {
            0x8a => self.input.byte()?.into(),
            _ => u32::from_le_bytes(self.input.exact()?).into(),
        };
        let value = match self.input.string(length, false)? {
            Node::Bytes(bytes) if bytes.len() <= 8 => {
                let sign = if bytes.last().is_some_and(|last| last >> 7 == 1) { 0xff } else { 0 };
                let mut raw = [sign; 8];
                raw[..bytes.len()].copy_from_slice(&bytes);
                Value::Int(i64::from_le_bytes(raw))
            }
            _ => Value::Number,
        };
        self.push(value)
    }

    /// A text or byte string after its length, which has `width` bytes.
    fn string(&mut self, op: u8, width: usize) -> Result<(), String> {
        let length = match width {
            1 => self.input.byte()?.into(),
            4 => u32::from_le_bytes(self.input.exact()?).into(),
            _ => u64::from_le_bytes(self.input.exact()?),
        };
        let node = self.input.string(length, matches!(op, 0x8c | b'X' | 0x8d))?;
        self.object(node)
    }

    fn tuple(&mut self, length: usize) -> Result<(), String> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.object(Node::List(items))
    }

    fn append(&mut self, values: &[Value]) -> Result<(), String> {
        match self.top()? {
            Node::List(items) => items.extend_from_slice(values),
            Node::Call(call) => call.items.extend_from_slice(values),
            _ => return Err("its pickle is damaged: it appends to an object without items".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, added: &[(Value, Value)]) -> Result<(), String> {
        match self.top()? {
            Node::Dict(pairs) => pairs.extend_from_slice(added),
            Node::Call(call) => call.pairs.extend_from_slice(added),
            _ => return Err("its pickle is damaged: it sets items of an object without keys".to_owned()),
        }
        Ok(())
    }

    /// Removes the top of the stack, or all to a mark; or doubles the top.
    fn rearrange(&mut self, op: u8) -> Result<(), String> {
        match op {
            // As in CPython, a mark on top is removed too.
            b'0' if self.marks.last() == Some(&self.stack.len()) => drop(self.marks.pop()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            _ => {
                let top = self.pop()?;
                self.stack.push(top);
                self.push(top)?;
            }
        }
        Ok(())
    }

    fn memoize(&mut self, op: u8) -> Result<(), String> {
        let number = match op {
            b'p' => self.input.number()?,
            b'q' => self.input.byte()?.into(),
            b'r' => u32::from_le_bytes(self.input.exact()?),
            _ => self.memo.len() as u32,
        };
        let top = self.pop()?;
        self.stack.push(top);
        if self.memo.len() >= MAX_VALUES {
            return Err(format!("its pickle refers to more than {MAX_VALUES} values"));
        }
        self.memo.insert(number, top);
        Ok(())
    }

    fn recall(&mut self, op: u8) -> Result<(), String> {
        let number = match op {
            b'g' => self.input.number()?,
            b'h' => self.input.byte()?.into(),
            _ => u32::from_le_bytes(self.input.exact()?),
        };
        let value = self.memo.get(&number).ok_or("its pickle is damaged: it refers to an object that it lacks")?;
        self.push(*value)
    }

    /// The name of a class or function, or of an object outside the pickle.
    fn name(&mut self, op: u8) -> Result<(), String> {
        match op {
            b'c' => {
                let global = Global { module: self.input.line()?, name: self.input.line()? };
                self.object(Node::Global(Box::new(global)))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |value| self.text(value).ok_or("its pickle is damaged: the name of a class is no text");
                let global = Global { module: text(module)?, name: text(name)? };
                self.object(Node::Global(Box::new(global)))
            }
            b'P' => {
                let text = self.input.line()?;
                self.object(Node::Text(text.into()))?;
                let text = self.pop()?;
                self.object(Node::Persistent(text))
            }
            _ => {
                let id = self.pop()?;
                self.object(Node::Persistent(id))
            }
        }
    }

    fn text(&self, value: Value) -> Option<String> {
        let Value::Object(number) = value else { return None };
        match self.nodes.get(number as usize)? {
            Node::Text(text) => Some(text.to_string()),
            _ => None,
        }
    }

    fn call(&mut self, op: u8) -> Result<(), String> {
        let (callable, args) = match op {
            b'i' => {
                self.name(b'c')?;
                let callable = self.pop()?;
                (callable, self.pop_to_mark()?)
            }
            b'o' => {
                let mut args = self.pop_to_mark()?;
                if args.is_empty() {
                    return Err(underflow());
                }
                (args.remove(0), args)
            }
            0x92 => {
                let (keywords, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                (class, vec![args, keywords])
            }
            _ => {
                let args = self.pop()?;
                let callable = self.pop()?;
                return self.result(callable, args);
            }
        };
        self.object(Node::List(args))?;
        let args = self.pop()?;
        self.result(callable, args)
    }

    fn result(&mut self, callable: Value, args: Value) -> Result<(), String> {
        let call = Call { callable, args, items: Vec::new(), pairs: Vec::new(), state: Value::None };
        self.object(Node::Call(Box::new(call)))
    }

    /// Sets an object's state. That of a list or dictionary is its attributes, which are no items.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        if let Node::Call(call) = self.top()? {
            call.state = state;
        }
        Ok(())
    }
}

fn underflow() -> String {
    "its pickle is damaged: it uses a value that it lacks".to_owned()
}

/// Keys and values that take turns.
fn pairs(items: &[Value]) -> Result<Vec<(Value, Value)>, String> {
    match items.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect()),
        _ => Err("its pickle is damaged: it has a key without a value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Objects, String> {
        read(&Region::of_memory(bytes))
    }

    #[test]
    fn an_object_with_two_names_is_one_object() {
        // d = {"x": 1}; {"a": d, "b": d}, with the reference before the items.
        let bytes = b"\x80\x02}q\0(X\x01\0\0\0a}q\x01X\x01\0\0\0bh\x01uh\x01X\x01\0\0\0xK\x01s0.";
        let objects = parsed(bytes).expect("a pickle");
        let pairs = objects.dict(objects.root).expect("a dictionary");
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0].1, pairs[1].1);
        assert_eq!(objects.dict(pairs[1].1).map(<[_]>::len), Some(1));
        assert_eq!(objects.length, bytes.len() as u64);
    }

    #[test]
    fn a_cycle_is_a_graph() {
        let objects = parsed(b"\x80\x02]q\0h\0a.").expect("a pickle");
        assert_eq!(objects.list(objects.root), Some(&[objects.root][..]));
    }

    #[test]
    fn calls_are_kept_and_not_made() {
        for bytes in [
            &b"cposix\nsystem\n(Vtouch x\ntR}b."[..],
            b"(Vtouch x\niposix\nsystem\n}b.",
            b"(cposix\nsystem\nVtouch x\no}b.",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x07touch x\x85R}b.",
        ] {
            let objects = parsed(bytes).expect("a pickle");
            let call = objects.call(objects.root).expect("a call");
            let global = objects.global(call.callable).expect("a function");
            assert_eq!((global.module.as_str(), global.name.as_str()), ("posix", "system"));
            assert_eq!(objects.text(objects.list(call.args).expect("arguments")[0]), Some("touch x"));
            assert!(objects.dict(call.state).is_some());
        }
    }

    #[test]
    fn numbers_of_every_protocol_are_read() {
        for (bytes, value) in [
            (&b"I7\n."[..], Value::Int(7)),
            (b"I01\n.", Value::Bool(true)),
            (b"L-3L\n.", Value::Int(-3)),
            (b"F1.5\n.", Value::Number),
            (b"\x8a\x01\xff.", Value::Int(-1)),
            (b"\x8a\x00.", Value::Int(0)),
            (b"\x8a\x09\0\0\0\0\0\0\0\0\x01.", Value::Number),
            (b"J\xfe\xff\xff\xff.", Value::Int(-2)),
            (b"M\x01\x02.", Value::Int(513)),
            (b"N.", Value::None),
        ] {
            assert_eq!(parsed(bytes).expect("a pickle").root, value, "{bytes:?}");
        }
    }

    #[test]
    fn texts_of_protocol_0_are_escaped() {
        let objects = parsed(b"V\xe9\\u000a\\u005cn\\U0001f600\n.").expect("a pickle");
        assert_eq!(objects.text(objects.root), Some("\u{e9}\n\\n\u{1f600}"));
    }

    #[test]
    fn long_strings_stay_where_they_are() {
        let text = "x".repeat(5000);
        let bytes = [b"\x80\x02X\x88\x13\0\0", text.as_bytes(), b"K\x05\x86."].concat();
        let objects = parsed(&bytes).expect("a pickle");
        let items = objects.list(objects.root).expect("a tuple");
        let Some(Node::Long(long)) = objects.get(items[0]) else { panic!("{items:?}") };
        assert!(long.is_text);
        assert_eq!(long.region.read(0, 5000).expect("read"), text.as_bytes());
        assert_eq!(items[1], Value::Int(5));
    }

    #[test]
    fn damage_is_named_and_never_a_panic() {
        for (bytes, part) in [
            (&b""[..], "ends early"),
            (b"\x80\x06.", "protocol 6"),
            (b"K", "ends early"),
            (b"X\xff\xff\xff\xffabc.", "expected 4294967295 bytes"),
            (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "expected 18446744073709551615 bytes"),
            (b"t.", "lacks"),
            (b"(\x85.", "lacks"),
            (b"K\x01K\x02s.", "lacks"),
            (b"}K\x01s.", "lacks"),
            (b"}(K\x01u.", "without a value"),
            (b"X\x01\0\0\0aK\x01a.", "without items"),
            (b"h\x07.", "refers to an object"),
            (b"\xfe.", "no instruction 0xfe"),
            (b"\x97.", "outside the file"),
            (b"cposix", "ends early"),
            (b"(o.", "lacks"),
        ] {
            let error = parsed(bytes).expect_err("damaged");
            assert!(error.contains(part), "{bytes:?}: {error}");
        }
        let many = [&[b'N'; MAX_VALUES + 1][..], b"."].concat();
        assert!(parsed(&many).expect_err("too many").contains("more than"));
    }
}
