//! Checkpoint files: file formats, key layouts and element types, all detected from the file's content.
//!
//! Opening reads names, shapes and element types; numbers are read one tensor at a time. Nothing in a file is executed:
//! `pickle` reads the objects of a pickle and records its calls, and `rebuild` knows what those of tensors would make. A
//! size that a file states is compared with the file's length before memory is allocated.

#![forbid(unsafe_code)]

mod adapters;
mod dtype;
pub mod error;
mod foreign;
pub mod keys;
mod layout;
mod location;
mod numpy;
mod rebuild;
mod safetensors;
mod shards;
mod state;
mod stored;
mod tar;
mod tensor;
mod torch;
mod tree;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use dtype::Dtype;
pub use error::{CheckpointError, TensorFault, TensorFaults};
pub use location::Location;
pub use tensor::Tensor;
pub use tree::POSITION_EMBEDDINGS;

use layout::Place;
use stored::Stored;

/// A checkpoint: its tensors under SegVol's own names. Their numbers are not read yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file, or the index of several files.
    pub path: PathBuf,
    /// Every file that has a part of it, sorted: the file itself, or the index and its shards.
    pub files: Vec<PathBuf>,
    /// Files of the same folder that have the same model in another format, and were not taken.
    pub passed_over: Vec<PathBuf>,
    /// The size of all its files in bytes.
    pub bytes: u64,
    /// The file format, such as `torch zip`.
    pub container: String,
    /// The layout of its keys, such as `GitHub SegVol_v1.pth`.
    pub layout: String,
    /// What was done with the names of the file's tensors.
    pub keys: Keys,
    /// Tensors that belong to a part of the model and are in another place than the rest. Empty unless extra tensors are allowed.
    pub strays: Vec<String>,
    /// Whether tensors that no part of the model uses are allowed.
    pub allow_extra: bool,
    tensors: BTreeMap<String, Tensor>,
}

/// How the names of a checkpoint's tensors became those of the model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// What the names of the model's tensors begin with, with a dot at its end; empty if they begin with the model's modules.
    pub prefix: String,
    /// Parts of names that were removed inside the model, such as `_orig_mod`, sorted.
    pub wrappers: Vec<String>,
    /// Number of tensors next to the model that are no part of it, such as an optimiser's or an average's.
    pub training_state: usize,
    /// The dictionaries and values that have these tensors, sorted.
    pub ignored: Vec<String>,
}

/// How to read a checkpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading<'a> {
    /// The dictionary that has the model, if the file has several models.
    pub dictionary: Option<&'a str>,
    /// Leave out tensors inside the model that no part of it uses, instead of refusing them.
    pub allow_extra: bool,
}

impl Checkpoint {
    /// Reads names, shapes and element types of a checkpoint: a file, an index of several files, or a folder with one
    /// checkpoint ([`Location::of`]).
    ///
    /// # Errors
    ///
    /// As for [`Location::of`], and [`CheckpointError::Malformed`] if a file is not a checkpoint or is damaged,
    /// [`CheckpointError::NotSegVol`] if it is a checkpoint of another model, [`CheckpointError::SeveralModels`] if it has
    /// several and none is in a usual place, [`CheckpointError::Adapters`] if adapters such as LoRA's are not merged,
    /// [`CheckpointError::Tensors`] if a part of the model is in another place than the rest, or a tensor is larger than
    /// the file.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_with(path, Reading::default())
    }

    /// As [`Checkpoint::open`], with options.
    ///
    /// # Errors
    ///
    /// As for [`Checkpoint::open`], and [`CheckpointError::SeveralModels`] if the dictionary does not have the model.
    pub fn open_with(path: &Path, reading: Reading<'_>) -> Result<Self, CheckpointError> {
        let location = Location::of(path)?;
        let Stored { bytes, container, tensors: stored } = location.load()?;
        let path = location.path.clone();
        if stored.is_empty() {
            return Err(CheckpointError::Malformed { path, reason: "expected tensors, found none".to_owned() });
        }
        let keys = || stored.keys().map(String::as_str);
        let adapted = |adapters: adapters::Adapters, with_model| {
            let adapters::Adapters { layers, example } = adapters;
            CheckpointError::Adapters { path: path.clone(), layers, example, with_model }
        };
        let layout = match layout::detect(&path, keys(), reading.dictionary) {
            Ok(layout) => layout,
            Err(error @ CheckpointError::NotSegVol { .. }) => {
                return Err(adapters::find(keys()).map_or(error, |adapters| adapted(adapters, false)));
            }
            Err(error) => return Err(error),
        };
        if let Some(adapters) = adapters::find(keys().filter(|key| layout.place(key) != Place::Copy)) {
            return Err(adapted(adapters, true));
        }

        let mut tensors = BTreeMap::new();
        let (mut faults, mut strays) = (Vec::new(), Vec::new());
        let mut training_state = 0;
        let mut ignored = BTreeSet::new();
        for (key, tensor) in stored {
            match layout.place(&key) {
                Place::Model(name) => {
                    if let Some(unread::Unread::Damaged(reason)) = tensor.why_unread() {
                        faults.push(TensorFault::Unreadable { name: name.clone(), reason: reason.clone() });
                    }
                    if tensors.insert(name.clone(), tensor).is_some() {
                        let reason = "expected one tensor of that name, found two keys for it".to_owned();
                        faults.push(TensorFault::Unreadable { name, reason });
                    }
                }
                Place::Copy | Place::Beside => {
                    training_state += 1;
                    ignored.insert(layout.origin(&key).to_owned());
                }
                Place::Stray if reading.allow_extra => strays.push(key),
                Place::Stray => faults.push(TensorFault::Unexpected { name: key }),
            }
        }
        let all = tensors.iter().map(|(name, tensor): (&String, &Tensor)| (name.as_str(), tensor.why_unread()));
        if let Some(reason) = unread::summary(all) {
            return Err(CheckpointError::Malformed { path, reason });
        }
        if !faults.is_empty() {
            return Err(CheckpointError::Tensors { path, faults: TensorFaults(faults) });
        }
        Ok(Self {
            path,
            files: location.files,
            passed_over: location.passed_over,
            bytes,
            container,
            layout: layout.name(),
            keys: Keys {
                wrappers: layout.news().map(str::to_owned).collect(),
                prefix: layout.scope,
                training_state,
                ignored: ignored.into_iter().collect(),
            },
            strays,
            allow_extra: reading.allow_extra,
            tensors,
        })
    }

    /// The tensors under SegVol's names, sorted.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// A tensor by SegVol's name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Whether any tensor's name starts with `prefix`.
    #[must_use]
    pub fn has(&self, prefix: &str) -> bool {
        self.tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
    }

    /// Whether the file has the image encoder and no other part of the model.
    #[must_use]
    pub fn is_encoder_only(&self) -> bool {
        self.tensors.keys().all(|name| name.starts_with("image_encoder."))
    }

    /// Number of the model's tensors per element type.
    #[must_use]
    pub fn dtypes(&self) -> BTreeMap<String, usize> {
        let mut dtypes = BTreeMap::new();
        for tensor in self.tensors.values() {
            *dtypes.entry(tensor.dtype.name().to_owned()).or_default() += 1;
        }
        dtypes
    }

    /// A tensor's numbers as little-endian float32, row-major.
    ///
    /// # Errors
    ///
    /// A [`TensorFault`] with the tensor's name if the tensor is missing, its elements are not floating-point numbers,
    /// its bytes cannot be read, a number is not finite, or there is not enough memory.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, TensorFault> {
        let missing = || TensorFault::Missing { name: name.to_owned(), expected: Vec::new() };
        let tensor = self.get(name).ok_or_else(missing)?;
        // The stored tensor (float64 at most) and its float32 copy; later a second float32 copy and a smaller one.
        check_memory::<[f32; 3]>(name, tensor.elements())?;
        let bytes = tensor
            .read()
            .map_err(|error| TensorFault::Unreadable { name: name.to_owned(), reason: error.to_string() })?;
        let values = dtype::to_f32(tensor.dtype, bytes)
            .ok_or_else(|| TensorFault::Dtype { name: name.to_owned(), found: tensor.dtype.name() })?;
        match dtype::first_not_finite(&values) {
            None => Ok(values),
            Some((index, found)) => Err(TensorFault::NotFinite { name: name.to_owned(), index, found }),
        }
    }
}

/// An error if there is not enough memory for `count` elements that are made from a tensor.
///
/// # Errors
///
/// [`TensorFault::Memory`], with the name of the tensor.
pub fn check_memory<T>(name: &str, count: usize) -> Result<(), TensorFault> {
    segvol_base::memory::check_available_if_large::<T>(format!("tensor `{name}`"), count)
        .map_err(|source| TensorFault::Memory { name: name.to_owned(), source })
}
