//! The header of a `.safetensors` file, written before the numbers: the crate `safetensors` wants all of them in memory.
//!
//! # Format
//! Eight bytes with the length of a JSON object, little-endian; the object; the tensors without gaps. The object has an entry for each
//! tensor with `dtype`, `shape` and `data_offsets`, and `__metadata__`, whose values are strings. It is padded with blanks, so that
//! numbers begin at a multiple of 8. Keys are sorted, so the same content has the same bytes.

use serde_json::{Map, Value, json};

/// A tensor without its numbers.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// As safetensors writes it: `F64`, `I64`, `F32`, `F16`, `U8`.
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: u64,
}

/// The bytes before the numbers of the tensors, which follow in this order.
pub(crate) fn header(entries: &[Entry], metadata: &Map<String, Value>) -> Vec<u8> {
    // As text in JSON, except what is text already.
    let as_text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let strings: Map<String, Value> =
        metadata.iter().map(|(key, value)| (key.clone(), as_text(value).into())).collect();
    let mut object = Map::new();
    object.insert("__metadata__".to_owned(), strings.into());
    let mut begin = 0;
    for Entry { name, dtype, shape, bytes } in entries {
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + bytes]});
        object.insert((*name).to_owned(), entry);
        begin += bytes;
    }
    let mut text = Value::from(object).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

#[cfg(test)]
mod tests {
    use safetensors::{Dtype, SafeTensors};

    use super::*;

    #[test]
    fn the_library_reads_what_is_written() {
        let entries = [
            Entry { name: "b", dtype: "F64", shape: vec![2, 1], bytes: 16 },
            Entry { name: "a", dtype: "F16", shape: vec![3], bytes: 6 },
        ];
        let Value::Object(metadata) = json!({"text": "Größe ✓", "numbers": [1, 2]}) else {
            unreachable!("an object")
        };
        let mut bytes = header(&entries, &metadata);
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(bytes, header(&entries, &metadata), "the same bytes");
        bytes.extend((0..22).map(|n| n as u8));
        let read = SafeTensors::deserialize(&bytes).expect("a file");
        let tensor = read.tensor("a").expect("a tensor");
        assert_eq!(
            (tensor.dtype(), tensor.shape(), tensor.data()),
            (Dtype::F16, &[3][..], &[16, 17, 18, 19, 20, 21][..])
        );
        let (_, read) = SafeTensors::read_metadata(&bytes).expect("a header");
        let found = read.metadata().clone().expect("metadata");
        assert_eq!((found["text"].as_str(), found["numbers"].as_str()), ("Größe ✓", "[1,2]"));
    }
}
