//! The files that a written graph names for its weights.
//!
//! [`crate::graph::External`] is the place of one initialiser. Here a graph is read back, and gets other names for the files.

use std::collections::BTreeSet;

use prost::Message;

use crate::proto::{DATA_LOCATION_EXTERNAL, ModelProto, TensorProto};

/// The key of a file's name in [`TensorProto::external_data`].
const LOCATION: &str = "location";

/// The names of all files that a graph reads weights from, as the graph spells them. `None` if `bytes` is no graph.
#[must_use]
pub fn files(bytes: &[u8]) -> Option<BTreeSet<String>> {
    let model = ModelProto::decode(bytes).ok()?;
    let tensors = model.graph.into_iter().flat_map(|graph| graph.initializer).filter(is_external);
    let entries = tensors.flat_map(|tensor| tensor.external_data).filter(|entry| entry.key == LOCATION);
    Some(entries.map(|entry| entry.value).collect())
}

/// The bytes of a graph that reads its weights from the file `to` where it read them from the file `from`. `None` if `bytes` has
/// anything that this version does not know and so would lose.
#[must_use]
pub fn renamed(bytes: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let mut model = ModelProto::decode(bytes).ok().filter(|model| model.encode_to_vec() == bytes)?;
    let tensors = model.graph.iter_mut().flat_map(|graph| &mut graph.initializer).filter(|tensor| is_external(tensor));
    for entry in tensors.flat_map(|tensor| &mut tensor.external_data) {
        if entry.key == LOCATION && entry.value == from {
            to.clone_into(&mut entry.value);
        }
    }
    Some(model.encode_to_vec())
}

fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DATA_LOCATION_EXTERNAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{External, Graph};
    use crate::stage::{Dim, TensorSpec};
    use crate::{ElementType, Value};

    fn model() -> Vec<u8> {
        let graph = Graph::new("test");
        let x = graph.input(&TensorSpec::float("x", [Dim::Fixed(2)]));
        let at = |offset| External { location: "test.weights".to_owned(), offset, length: 8 };
        let weight = |name, offset| graph.external(name, &[2], ElementType::Float32, &at(offset));
        let sum = |a: &Value, b: &Value| graph.node("Add", &[a, b], vec![]);
        let sum = sum(&sum(&x, &weight("a", 0)), &sum(&weight("b", 4096), &graph.scalar(1.0)));
        graph.output(&TensorSpec::float("y", [Dim::Fixed(2)]), &sum);
        graph.to_model().encode_to_vec()
    }

    #[test]
    fn only_the_name_of_the_file_changes() {
        let bytes = model();
        assert_eq!(files(&bytes), Some(["test.weights".to_owned()].into()));
        let moved = renamed(&bytes, "test.weights", "0123abcd").expect("all of it is known");
        assert_eq!(files(&moved), Some(["0123abcd".to_owned()].into()));
        assert_eq!(renamed(&moved, "0123abcd", "test.weights"), Some(bytes.clone()));
        assert_eq!(renamed(&bytes, "another", "0123abcd"), Some(bytes));
    }

    #[test]
    fn a_graph_with_anything_unknown_is_not_changed() {
        let bytes = model();
        // Field 25 of a model, which `proto.rs` does not have, as a varint.
        let newer = [&bytes[..], &[0xc8, 0x01, 1]].concat();
        assert_eq!(renamed(&newer, "test.weights", "0123abcd"), None);
        assert_eq!((files(b"no graph"), renamed(b"no graph", "a", "b")), (None, None));
    }
}
