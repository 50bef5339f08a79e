//! Values of a pickle that have tensors inside, and are not plain tensors: what they are, and the way to a plain file.

use std::fmt;

use segvol_base::printable;

/// Why a tensor cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is of another kind: what its values are, in the plural, and the next step.
    Foreign { what: String, way: &'static str },
    /// The file contradicts itself, as a sentence.
    Damaged(String),
}

const GATHER: &str = "gather them before saving: get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)) \
    of torch.distributed.checkpoint.state_dict, or full_tensor() of each";
const DEQUANTISE: &str = "save the weights as they were before quantisation, or dequantize() of each";
const PLAIN: &str = "save plain tensors: torch.save(model.state_dict(), file)";

/// Classes and functions by the last part of their names; what their values are; the next step.
const KINDS: &[(&str, &str, &str)] = &[
    ("DTensor", "DTensors, which are parts of a distributed model", GATHER),
    ("ShardedTensor", "ShardedTensors, which are parts of a distributed model", GATHER),
    ("AsyncCollectiveTensor", "AsyncCollectiveTensors, which are parts of a distributed model", GATHER),
    ("_rebuild_sparse_tensor", "sparse tensors", "save to_dense() of each"),
    ("_rebuild_sparse_csr_tensor", "sparse tensors", "save to_dense() of each"),
    ("_rebuild_qtensor", "quantised tensors", DEQUANTISE),
    ("_rebuild_nested_tensor", "nested tensors", PLAIN),
    ("NestedTensor", "nested tensors", PLAIN),
    (
        "_rebuild_meta_tensor_no_storage",
        "meta tensors, which have no numbers",
        "load the model's weights before saving it",
    ),
    ("FakeTensor", "fake tensors, which have no numbers", "load the model's weights before saving it"),
    ("_load_from_bytes", "tensors that pickle.dump wrote", "save them with torch.save"),
    ("_mareconstruct", "masked NumPy arrays", "save tensors, for example torch.from_numpy(array.filled(0)) of each"),
];

/// What a file has of the packages in which quantised tensors are defined.
const QUANTISERS: [&str; 4] = ["torchao", "bitsandbytes", "quanto", "hqq"];

/// One line of Python that makes tensors of a dictionary of arrays.
const FROM_NUMPY: &str = "make tensors of them: {name: torch.from_numpy(array) for name, array in state.items()}";

impl Unread {
    /// A value of a class or function, by its name with or without its module.
    pub(super) fn of_class(name: &str) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        if let Some((_, what, way)) = KINDS.iter().find(|(kind, ..)| *kind == last) {
            return Self::Foreign { what: (*what).to_owned(), way };
        }
        let quantised = QUANTISERS.iter().any(|package| name.contains(package)) || last.starts_with("Q");
        let what = format!("objects of `{}`", printable(name));
        Self::Foreign { what, way: if quantised { DEQUANTISE } else { PLAIN } }
    }

    /// A NumPy array that is not one of plain numbers.
    pub(super) fn of_numpy(what: &str) -> Self {
        Self::Foreign { what: format!("NumPy arrays with {}", printable(what)), way: FROM_NUMPY }
    }

    /// Whether values of a class or function have no plain numbers, by the last part of its name.
    pub(super) fn is_known(name: &str) -> bool {
        KINDS.iter().any(|(kind, ..)| *kind == name)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { what, way } => write!(f, "expected a plain tensor, found one of {what}; {way}"),
            Self::Damaged(reason) => f.write_str(reason),
        }
    }
}

/// All values of other kinds among tensors with these names, as one sentence; `None` if there are none.
pub(super) fn summary<'a>(tensors: impl Iterator<Item = (&'a str, Option<&'a Unread>)>) -> Option<String> {
    let (mut count, mut foreign, mut first) = (0_usize, 0_usize, None);
    for (name, unread) in tensors {
        count += 1;
        if let Some(Unread::Foreign { what, way }) = unread {
            foreign += 1;
            first.get_or_insert((name, what, way));
        }
    }
    let (name, what, way) = first?;
    let name = printable(name);
    Some(format!(
        "expected plain tensors, found that {foreign} of the model's {count} are {what}, such as `{name}`; {way}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_with_the_way_to_a_plain_file() {
        for (class, what, way) in [
            ("torch.distributed.tensor.DTensor", "DTensors", "full_tensor()"),
            ("torch.distributed._shard.sharded_tensor.api.ShardedTensor", "ShardedTensors", "full_state_dict=True"),
            ("_load_from_bytes", "pickle.dump", "torch.save"),
            ("torchao.dtypes.affine_quantized_tensor.AffineQuantizedTensor", "AffineQuantizedTensor", "dequantize()"),
            ("torch.QInt8Storage", "QInt8Storage", "dequantize()"),
            ("mine.Special\u{1b}", "`mine.Special\\u{1b}`", "state_dict()"),
        ] {
            let message = Unread::of_class(class).to_string();
            assert!(message.contains(what) && message.contains(way), "{message}");
        }
    }

    #[test]
    fn many_values_are_one_sentence() {
        let (distributed, damaged) = (Unread::of_class("DTensor"), Unread::Damaged("short".to_owned()));
        let tensors = [("a", None), ("b", Some(&distributed)), ("c", Some(&damaged)), ("d", Some(&distributed))];
        let message = summary(tensors.into_iter()).expect("two");
        assert!(message.contains("2 of the model's 4 are DTensors") && message.contains("`b`"), "{message}");
        assert_eq!(summary([("a", None), ("c", Some(&damaged))].into_iter()), None);
    }
}
