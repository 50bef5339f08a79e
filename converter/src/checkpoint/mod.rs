//! Checkpoint files: file formats, key layouts and element types, all detected from the file's content.
//!
//! Opening reads names, shapes and element types; numbers are read one tensor at a time. Nothing in a file is executed:
//! `pickle` reads the objects of a pickle and records its calls, and `rebuild` knows what those of tensors would make. A
//! size that a file states is compared with the file's length before memory is allocated.

mod dtype;
mod foreign;
mod layout;
mod numpy;
mod pickle;
mod rebuild;
mod region;
mod safetensors;
mod state;
mod tar;
mod tensor;
mod torch;
mod unread;
mod zip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use dtype::Dtype;
pub(crate) use layout::POSITION_EMBEDDINGS;
pub use tensor::Tensor;

use crate::error::{CheckpointError, TensorFault, TensorFaults};

/// A checkpoint: its tensors under SegVol's own names. Their numbers are not read yet.
#[derive(Debug)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The file format, such as `torch zip`.
    pub container: &'static str,
    /// The layout of its keys, such as `GitHub SegVol_v1.pth`.
    pub layout: String,
    /// Number of tensors next to the model that are no part of it, such as an optimiser's or an average's.
    pub training_state: usize,
    /// The dictionaries and values that have these tensors, sorted.
    pub ignored: Vec<String>,
    tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads names, shapes and element types of a checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if the file cannot be opened, [`CheckpointError::Malformed`] if it is not a checkpoint
    /// or is damaged, [`CheckpointError::NotSegVol`] if it is a checkpoint of another model,
    /// [`CheckpointError::SeveralModels`] if it has several and none is in a usual place,
    /// [`CheckpointError::Tensors`] if a part of the model is in another place than the rest, or a tensor is larger than
    /// the file.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::open_from(path, None)
    }

    /// As [`Checkpoint::open`], with the name of the dictionary that has the model, if the file has several models.
    ///
    /// # Errors
    ///
    /// As for [`Checkpoint::open`], and [`CheckpointError::SeveralModels`] if the dictionary does not have the model.
    pub fn open_from(path: &Path, dictionary: Option<&str>) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.to_owned(), source };
        let malformed = |reason| CheckpointError::Malformed { path: path.to_owned(), reason };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            let found = foreign::folder(path).unwrap_or_else(|| "a folder".to_owned());
            return Err(malformed(format!("expected a file, found {found}")));
        }
        let bytes = metadata.len();
        if bytes == 0 {
            return Err(malformed("expected a checkpoint, found an empty file".to_owned()));
        }
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(foreign::HEAD_BYTES).read_to_end(&mut head).map_err(io)?;
        if let Some(found) = foreign::by_head(&head) {
            return Err(malformed(format!("expected a checkpoint, found {found}")));
        }

        let (container, stored) = if safetensors::begins(&head) {
            ("safetensors", safetensors::tensors(file, bytes).map_err(malformed)?)
        } else {
            let other = || {
                let found = foreign::by_contents(path, &file).map_err(io)?;
                Ok(found.map(|found| malformed(format!("expected a checkpoint, found {found}"))))
            };
            match torch::tensors(path) {
                Ok((_, tensors)) if tensors.is_empty() => match other()? {
                    Some(error) => return Err(error),
                    None => return Err(malformed("expected tensors, found none".to_owned())),
                },
                Ok(found) => found,
                Err(reason) => return Err(other()?.unwrap_or_else(|| malformed(reason))),
            }
        };
        let layout = layout::detect(path, stored.keys().map(String::as_str), dictionary)?;

        let mut tensors = BTreeMap::new();
        let mut faults = Vec::new();
        let mut training_state = 0;
        let mut ignored = BTreeSet::new();
        for (key, tensor) in stored {
            match layout.place(&key) {
                layout::Place::Model(name) => {
                    let size = tensor.elements() as u128 * tensor.dtype.size() as u128; // At most 2^68.
                    if size > u128::from(bytes) {
                        let reason = format!("expected at most the file's {bytes} bytes, found {size} bytes");
                        faults.push(TensorFault::Unreadable { name: name.clone(), reason });
                    }
                    if let Some(unread::Unread::Damaged(reason)) = tensor.why_unread() {
                        faults.push(TensorFault::Unreadable { name: name.clone(), reason: reason.clone() });
                    }
                    if tensors.insert(name.clone(), tensor).is_some() {
                        let reason = "expected one tensor of that name, found two keys for it".to_owned();
                        faults.push(TensorFault::Unreadable { name, reason });
                    }
                }
                layout::Place::Ignored => {
                    training_state += 1;
                    ignored.insert(key.split_once('.').map_or(key.as_str(), |(top, _)| top).to_owned());
                }
                layout::Place::Unknown => faults.push(TensorFault::Unexpected { name: key }),
            }
        }
        let all = tensors.iter().map(|(name, tensor): (&String, &Tensor)| (name.as_str(), tensor.why_unread()));
        if let Some(reason) = unread::summary(all) {
            return Err(malformed(reason));
        }
        if !faults.is_empty() {
            return Err(CheckpointError::Tensors { path: path.to_owned(), faults: TensorFaults(faults) });
        }
        let layout = layout.name();
        let ignored = ignored.into_iter().collect();
        Ok(Self { path: path.to_owned(), bytes, container, layout, training_state, ignored, tensors })
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
pub(crate) fn check_memory<T>(name: &str, count: usize) -> Result<(), TensorFault> {
    segvol_base::memory::check_available_if_large::<T>(format!("tensor `{name}`"), count)
        .map_err(|source| TensorFault::Memory { name: name.to_owned(), source })
}
