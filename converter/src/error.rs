//! What can be wrong with a checkpoint, its companions or the place for the bundle.

use std::fmt;
use std::io;
use std::path::PathBuf;

use segvol_base::OutOfMemory;

/// Why a conversion stopped. Nothing is left behind in the place for the bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The checkpoint cannot be read, or is not a SegVol model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A `config.json` is not one, or contradicts the checkpoint.
    #[error("config `{}`: {reason}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint's shapes do not fit together, or not with the sizes that hold without a configuration.
    #[error(
        "`{name}`: expected {expected}, found {found} (without a config.json the released sizes hold; --config gives others)"
    )]
    Size {
        /// What has the wrong size.
        name: String,
        /// What it has to be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The text encoder needs a tokenizer and there is none.
    #[error(
        "no tokenizer: looked for tokenizer.json, or vocab.json with merges.txt, in `{}`; put it there or name it with --tokenizer",
        folder.display()
    )]
    NoTokenizer {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A tokenizer file is not one, or not one of this model.
    #[error("tokenizer `{}`: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The place for the bundle is taken.
    #[error("`{}` exists; --force replaces a bundle", path.display())]
    OutputExists {
        /// The place for the bundle.
        path: PathBuf,
    },
    /// The place for the bundle holds something that is not a bundle, which is never replaced.
    #[error("`{}`: expected a bundle or an empty folder to replace, found {found}", path.display())]
    OutputNotABundle {
        /// The place for the bundle.
        path: PathBuf,
        /// What makes it something else.
        found: String,
    },
    /// A file of the bundle, or the folder around it, could not be written.
    #[error("cannot write `{}`", path.display())]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A bundle that was to be inspected cannot be read.
    #[error(transparent)]
    Bundle(#[from] segvol_onnx::BundleError),
}

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refuses the file.
    #[error("cannot read checkpoint `{}`", path.display())]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no checkpoint, is damaged, or has an element that is not supported.
    #[error("checkpoint `{}`: {reason}", path.display())]
    Malformed {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is a checkpoint of something else.
    #[error("checkpoint `{}`: expected SegVol's tensors such as `{expected}`, found {found}", path.display())]
    NotSegVol {
        /// The checkpoint.
        path: PathBuf,
        /// A tensor that every SegVol checkpoint has.
        expected: &'static str,
        /// Names that the checkpoint has instead.
        found: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(OutOfMemory),
    /// Tensors are missing, left over, misshapen or unusable.
    #[error("checkpoint `{}`: {faults}", path.display())]
    Tensors {
        /// The checkpoint.
        path: PathBuf,
        /// Every fault that was found.
        faults: TensorFaults,
    },
}

/// What is wrong with one tensor of a checkpoint. Names are those without the layout's prefix.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFault {
    /// The model needs the tensor and the checkpoint lacks it.
    #[error("tensor `{name}`: expected shape {expected:?}, found no such tensor")]
    Missing {
        /// The tensor.
        name: String,
        /// The shape that the model needs.
        expected: Vec<usize>,
    },
    /// The tensor has another shape than the model needs.
    #[error("tensor `{name}`: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The shape that the model needs.
        expected: Vec<usize>,
        /// The shape in the checkpoint.
        found: Vec<usize>,
    },
    /// No part of the model takes the tensor, and it is not on the list of those that need not be exported.
    #[error("tensor `{name}`: expected a tensor of SegVol, found one that no part of the model takes")]
    Unexpected {
        /// The tensor.
        name: String,
    },
    /// The tensor's elements are no floating-point numbers.
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
        /// Row-major index of the element, in the tensor as the graph has it.
        index: usize,
        /// The element.
        found: f32,
    },
    /// There is not enough memory to convert the tensor.
    #[error("{source}")]
    Memory {
        /// The tensor.
        name: String,
        /// How much it needs.
        source: OutOfMemory,
    },
    /// The file does not have the tensor's bytes.
    #[error("tensor `{name}`: {reason}")]
    Unreadable {
        /// The tensor.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl TensorFault {
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

/// How many faults a message spells out.
const FAULTS_SHOWN: usize = 8;

/// One or more faults, in the order in which the model takes its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorFaults(pub Vec<TensorFault>);

impl TensorFaults {
    /// Adds faults of tensors that have none yet: one tensor may be looked at for several graphs.
    pub(crate) fn add(&mut self, faults: Vec<TensorFault>) {
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
