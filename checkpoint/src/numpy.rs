//! NumPy arrays in a pickle.
//!
//! | protocol | spelling                                                                                       |
//! |----------|------------------------------------------------------------------------------------------------|
//! | all      | `numpy.core.multiarray._reconstruct(class, (0,), b"b")`, then the state `(version, shape, dtype, is_fortran, bytes)` |
//! | 5        | `numpy.core.numeric._frombuffer(bytes, dtype, shape, order)`                                    |
//!
//! NumPy 2 writes `numpy._core`. The bytes are a byte string, or before protocol 3 `_codecs.encode(text, "latin1")`.
//!
//! # Source
//!
//! NumPy 2.3, `numpy/_core/src/multiarray/methods.c` (`array_reduce`, `array_setstate`) and `descriptor.c`.

use std::sync::Arc;

use super::dtype::Dtype;
use super::unread::Unread;
use segvol_archive::pickle::{Call, Global, Node, Objects, Value};
use segvol_archive::region::{Region, Storage, View, column_major};

/// The array that `call` makes, if it makes one.
pub(super) fn array(objects: &Objects, global: &Global, call: &Call) -> Option<Result<(Dtype, View), Unread>> {
    let module = global.module.replace("numpy._core", "numpy.core");
    let args = objects.list(call.args).unwrap_or_default();
    match (module.as_str(), global.name.as_str()) {
        ("numpy.core.multiarray", "_reconstruct") => {
            let state = objects.list(call.state).unwrap_or_default();
            let [.., shape, dtype, is_fortran, bytes] = state else { return Some(Err(unknown("unknown contents"))) };
            Some(read(objects, *bytes, *dtype, *shape, *is_fortran == Value::Bool(true)))
        }
        ("numpy.core.numeric", "_frombuffer") => {
            let [bytes, dtype, shape, order] = args else { return Some(Err(unknown("unknown contents"))) };
            Some(read(objects, *bytes, *dtype, *shape, objects.text(*order) == Some("F")))
        }
        _ => None,
    }
}

fn unknown(what: &str) -> Unread {
    Unread::of_numpy(what)
}

fn read(
    objects: &Objects,
    bytes: Value,
    dtype: Value,
    shape: Value,
    is_fortran: bool,
) -> Result<(Dtype, View), Unread> {
    let (dtype, big_endian) = element(objects, dtype)?;
    let shape = objects.sizes(shape).ok_or_else(|| unknown("an unknown shape"))?;
    let storage = Arc::new(storage(objects, bytes).ok_or_else(|| unknown("an unknown encoding"))?);
    let view = match is_fortran {
        true => {
            let reachable = storage.length();
            View::new(storage, reachable, dtype.size(), 0, &shape, &column_major(&shape))
        }
        false => View::row_major(storage, dtype.size(), &shape),
    };
    Ok((dtype, view.map_err(Unread::Damaged)?.big_endian(big_endian)))
}

/// The type of the elements, and whether their most significant byte comes first.
fn element(objects: &Objects, value: Value) -> Result<(Dtype, bool), Unread> {
    let call = objects.call(value).ok_or_else(|| unknown("an unknown element type"))?;
    let named = objects.list(call.args).and_then(|args| args.first()).copied().unwrap_or(Value::None);
    let order = objects.list(call.state).and_then(|state| state.get(1)).and_then(|order| objects.text(*order));
    let name = match objects.global(named) {
        Some(global) => global.name.as_str(), // ml_dtypes.bfloat16
        None => objects.text(named).unwrap_or_default(),
    };
    let big_endian = order == Some(">") || name.starts_with('>');
    let name = name.trim_start_matches(['<', '>', '=', '|']);
    let dtype = match name {
        "f8" => Dtype::Float64,
        "f4" => Dtype::Float32,
        "f2" => Dtype::Float16,
        "bfloat16" => Dtype::BFloat16,
        "i8" => Dtype::Other("int64", 8),
        "i4" => Dtype::Other("int32", 4),
        "i2" => Dtype::Other("int16", 2),
        "i1" => Dtype::Other("int8", 1),
        "u8" => Dtype::Other("uint64", 8),
        "u4" => Dtype::Other("uint32", 4),
        "u2" => Dtype::Other("uint16", 2),
        "u1" => Dtype::Other("uint8", 1),
        "b1" => Dtype::Other("bool", 1),
        "c8" => Dtype::Other("complex64", 8),
        "c16" => Dtype::Other("complex128", 16),
        other => return Err(unknown(&format!("elements of type `{other}`"))),
    };
    Ok((dtype, big_endian))
}

/// The bytes of an array.
fn storage(objects: &Objects, value: Value) -> Option<Storage> {
    let raw = |region| Storage::Raw { region, crc32: None };
    match objects.get(value)? {
        Node::Bytes(bytes) => Some(raw(Region::of_memory(Arc::clone(bytes)))),
        Node::Long(long) if !long.is_text => Some(raw(long.region.clone())),
        Node::Call(call) => {
            let global = objects.global(call.callable)?;
            let args = objects.list(call.args)?;
            match (global.module.as_str(), global.name.as_str()) {
                ("_codecs", "encode") if objects.key(*args.get(1)?).as_deref() == Some("latin1") => {
                    match objects.get(args[0])? {
                        Node::Text(text) => Some(Storage::Latin1(Region::of_memory(Arc::clone(text)))),
                        Node::Long(long) if long.is_text => Some(Storage::Latin1(long.region.clone())),
                        _ => None,
                    }
                }
                // Of nothing, before protocol 3; of a byte string, in protocol 5.
                ("__builtin__" | "builtins", "bytes" | "bytearray") => match args {
                    [] => Some(raw(Region::of_memory([]))),
                    [bytes] => match objects.get(*bytes)? {
                        Node::Bytes(bytes) => Some(raw(Region::of_memory(Arc::clone(bytes)))),
                        Node::Long(long) if !long.is_text => Some(raw(long.region.clone())),
                        _ => None,
                    },
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}
