//! What can be wrong with a checkpoint.

use std::fmt;
use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system cannot read the file.
    #[error("cannot read checkpoint `{}`", path.display())]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The file is not a checkpoint, is damaged, or has an unsupported element type.
    #[error("checkpoint `{}`: {reason}", path.display())]
    Malformed {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is a checkpoint of another model.
    #[error("checkpoint `{}`: expected SegVol's tensors such as `{expected}`, found {found}", path.display())]
    NotSegVol {
        /// The checkpoint.
        path: PathBuf,
        /// A tensor that every SegVol checkpoint has.
        expected: &'static str,
        /// Tensors that the checkpoint has instead.
        found: String,
    },
    /// The file has the model several times, or not under the chosen name.
    #[error("checkpoint `{}`: {}", path.display(), several(chosen.as_deref(), found))]
    SeveralModels {
        /// The checkpoint.
        path: PathBuf,
        /// The dictionary that was chosen, if it does not have the model.
        chosen: Option<String>,
        /// The dictionaries that have it.
        found: Vec<String>,
    },
    /// Adapters such as LoRA's are not merged into the weights: without them, the fine-tuning would be lost.
    #[error("checkpoint `{}`: {}", path.display(), adapters(*layers, example, *with_model))]
    Adapters {
        /// The checkpoint.
        path: PathBuf,
        /// How many layers have an adapter.
        layers: usize,
        /// A tensor of one.
        example: String,
        /// Whether the model is in the file too.
        with_model: bool,
    },
    /// A folder has no checkpoint.
    #[error("folder `{}`: expected one checkpoint (.safetensors, .bin, .pth, .pt or .ckpt), found {found}", path.display())]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
        /// What is in it instead.
        found: String,
    },
    /// A folder has several checkpoints.
    #[error("folder `{}`: expected one checkpoint, found several: {}; give the path of one", path.display(), quoted(found))]
    SeveralFiles {
        /// The folder.
        path: PathBuf,
        /// Their names.
        found: Vec<String>,
    },
    /// The file is one of several parts of a checkpoint.
    #[error("checkpoint `{}`: {}", path.display(), one_part(*part, *parts, index.as_deref()))]
    Part {
        /// The file.
        path: PathBuf,
        /// Its number.
        part: u32,
        /// How many parts there are.
        parts: u32,
        /// The name of the index beside it, if there is one.
        index: Option<String>,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(OutOfMemory),
    /// Tensors are missing, unexpected, misshapen or unusable.
    #[error("checkpoint `{}`: {faults}", path.display())]
    Tensors {
        /// The checkpoint.
        path: PathBuf,
        /// Every fault that was found.
        faults: TensorFaults,
    },
}

fn quoted(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(FAULTS_SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(FAULTS_SHOWN);
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown}, and {more} more") }
}

fn adapters(layers: usize, example: &str, with_model: bool) -> String {
    let count = if layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
    let found = format!("LoRA or similar adapters of {count} (such as `{example}`)");
    let save = "then save model.state_dict()";
    if with_model {
        format!(
            "expected plain weights, found {found} that are not merged into them; without them the fine-tuning would be lost. \
             Merge them in Python: with peft, model = model.merge_and_unload(), {save}; with loralib, model.eval(), {save} \
             without the names that contain lora_; with your own code, add the adapters' product to each weight"
        )
    } else {
        format!(
            "expected a whole model, found only {found}. Load model and adapters in Python, merge them (with peft, \
             PeftModel.from_pretrained(model, folder).merge_and_unload()), {save}"
        )
    }
}

fn one_part(part: u32, parts: u32, index: Option<&str>) -> String {
    let found = format!("expected a whole checkpoint, found part {part} of {parts}");
    match index {
        Some(index) => format!("{found}; give the folder, or the index `{index}` beside it"),
        None => format!(
            "{found}, without the index that names all parts; download NAME.index.json and all parts into one folder, and give the folder"
        ),
    }
}

fn several(chosen: Option<&str>, found: &[String]) -> String {
    let found = quoted(found);
    match chosen {
        Some(chosen) => format!("expected the model in the dictionary `{chosen}`, found it in {found}"),
        None => format!("expected one model, found it in several dictionaries: {found}; choose one"),
    }
}

/// The shape that the model needs, in an error; empty if it is unknown.
fn needed(shape: &[usize]) -> String {
    if shape.is_empty() || shape.contains(&0) { "it in the model".to_owned() } else { format!("shape {shape:?}") }
}

/// A shape in the file, in an error.
pub fn shown(shape: &[usize]) -> String {
    match shape {
        [] => "a single number".to_owned(),
        shape if shape.contains(&0) => "a tensor without elements".to_owned(),
        shape => format!("{shape:?}"),
    }
}

/// What is wrong with one tensor of a checkpoint. Names are without the layout's prefix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFault {
    /// The model needs the tensor and the checkpoint lacks it.
    #[error("tensor `{name}`: expected {}, found no such tensor", needed(expected))]
    Missing {
        /// The tensor.
        name: String,
        /// The shape that the model needs; empty if it follows from tensors that cannot be used either.
        expected: Vec<usize>,
    },
    /// The tensor has another shape than the model needs.
    #[error("tensor `{name}`: expected {}, found {}", needed(expected), shown(found))]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that the model needs.
        expected: Vec<usize>,
        /// The shape in the checkpoint.
        found: Vec<usize>,
    },
    /// No part of the model uses the tensor, and it is not on the list of those that are left out.
    #[error("tensor `{name}`: expected only tensors of SegVol, found one that no part of the model uses")]
    Unexpected {
        /// The tensor.
        name: String,
    },
    /// The tensor's elements are not floating-point numbers.
    #[error("tensor `{name}`: expected float32, float16, bfloat16 or float64, found {found}")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its element type.
        found: &'static str,
    },
    /// An element is NaN or infinite as float32.
    #[error("tensor `{name}`: expected finite numbers, found {found} at element {index}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Row-major index of the element.
        index: usize,
        /// The element.
        found: f32,
    },
    /// An element is too large for float16.
    #[error("tensor `{name}`: expected magnitudes up to 65504 at precision fp16, found {found} at element {index}")]
    Float16 {
        /// The tensor.
        name: String,
        /// Row-major index of the element, in the graph's layout of the tensor.
        index: usize,
        /// The element.
        found: f32,
    },
    /// There is not enough memory to convert the tensor.
    #[error("{source}")]
    Memory {
        /// The tensor.
        name: String,
        /// How much memory is needed.
        source: OutOfMemory,
    },
    /// The tensor's numbers cannot be read, or are not usable.
    #[error("tensor `{name}`: {reason}")]
    Unreadable {
        /// The tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl CheckpointError {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. }
            | Self::Malformed { .. }
            | Self::NotSegVol { .. }
            | Self::SeveralModels { .. }
            | Self::Adapters { .. }
            | Self::NoCheckpoint { .. }
            | Self::SeveralFiles { .. }
            | Self::Part { .. } => ErrorKind::Input,
            Self::Memory(error) => error.kind(),
            Self::Tensors { faults, .. } => faults.kind(),
        }
    }
}

impl TensorFault {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. }
            | Self::Shape { .. }
            | Self::Unexpected { .. }
            | Self::Dtype { .. }
            | Self::NotFinite { .. }
            | Self::Float16 { .. }
            | Self::Unreadable { .. } => ErrorKind::Input,
            Self::Memory { source, .. } => source.kind(),
        }
    }

    /// The tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. }
            | Self::Shape { name, .. }
            | Self::Unexpected { name }
            | Self::Dtype { name, .. }
            | Self::NotFinite { name, .. }
            | Self::Float16 { name, .. }
            | Self::Memory { name, .. }
            | Self::Unreadable { name, .. } => name,
        }
    }
}

/// Number of faults that a message lists.
const FAULTS_SHOWN: usize = 8;

/// One or more faults, in the order in which the model uses its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorFaults(pub Vec<TensorFault>);

impl TensorFaults {
    /// The kind of failure: [`ErrorKind::Memory`] if memory was short for any tensor, otherwise [`ErrorKind::Input`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        let memory = self.0.iter().any(|fault| fault.kind() == ErrorKind::Memory);
        if memory { ErrorKind::Memory } else { ErrorKind::Input }
    }

    /// Adds faults of tensors that have none yet: one tensor may be checked for several graphs.
    pub fn add(&mut self, faults: Vec<TensorFault>) {
        for fault in faults {
            if self.0.iter().all(|known| known.name() != fault.name()) {
                self.0.push(fault);
            }
        }
    }
}

impl fmt::Display for TensorFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().take(FAULTS_SHOWN).enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(FAULTS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> PathBuf {
        PathBuf::from("file")
    }

    fn no_memory() -> OutOfMemory {
        segvol_base::memory::check_available::<u8>("a test", usize::MAX).expect_err("more than any machine has")
    }

    fn missing() -> TensorFault {
        TensorFault::Missing { name: "norm.bias".to_owned(), expected: vec![4] }
    }

    fn tensors(faults: Vec<TensorFault>) -> CheckpointError {
        CheckpointError::Tensors { path: path(), faults: TensorFaults(faults) }
    }

    #[test]
    fn an_error_of_a_checkpoint_is_a_bad_input_unless_memory_is_short() {
        let reason = || "broken".to_owned();
        let io = io::Error::from(io::ErrorKind::NotFound);
        let short = TensorFault::Memory { name: "norm.weight".to_owned(), source: no_memory() };
        for (error, kind) in [
            (CheckpointError::Io { path: path(), source: io }, ErrorKind::Input),
            (CheckpointError::Malformed { path: path(), reason: reason() }, ErrorKind::Input),
            (CheckpointError::NotSegVol { path: path(), expected: "a", found: "b".to_owned() }, ErrorKind::Input),
            (
                CheckpointError::Adapters { path: path(), layers: 2, example: "a".to_owned(), with_model: true },
                ErrorKind::Input,
            ),
            (CheckpointError::NoCheckpoint { path: path(), found: "an empty folder".to_owned() }, ErrorKind::Input),
            (CheckpointError::SeveralFiles { path: path(), found: vec!["a".to_owned()] }, ErrorKind::Input),
            (CheckpointError::Part { path: path(), part: 1, parts: 2, index: None }, ErrorKind::Input),
            (CheckpointError::Memory(no_memory()), ErrorKind::Memory),
            (tensors(vec![missing()]), ErrorKind::Input),
            (tensors(vec![missing(), short]), ErrorKind::Memory),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
