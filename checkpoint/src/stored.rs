//! What one file stores: its format, and its tensors under the names that it gives them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::tensor::Tensor;
use super::{foreign, safetensors, torch};
use crate::error::{CheckpointError, TensorFault, TensorFaults};

/// The tensors of a file, or of several files together.
#[derive(Debug)]
pub(super) struct Stored {
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// The file format, such as `torch zip`.
    pub container: String,
    pub tensors: BTreeMap<String, Tensor>,
}

/// Reads names, shapes and element types of one file. A file without tensors is none that is damaged.
pub(super) fn read(path: &Path) -> Result<Stored, CheckpointError> {
    let io = |source| CheckpointError::Io { path: path.to_owned(), source };
    let malformed = |reason| CheckpointError::Malformed { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    if bytes == 0 {
        return Err(malformed("expected a checkpoint, found an empty file".to_owned()));
    }
    let mut head = Vec::new();
    file.by_ref().take(foreign::HEAD_BYTES).read_to_end(&mut head).map_err(io)?;
    if let Some(found) = foreign::by_head(&head) {
        return Err(malformed(format!("expected a checkpoint, found {found}")));
    }
    let (container, tensors) = if safetensors::begins(&head) {
        ("safetensors", safetensors::tensors(file, bytes).map_err(malformed)?)
    } else {
        let other = || {
            let found = foreign::by_contents(path, &file).map_err(io)?;
            Ok(found.map(|found| malformed(format!("expected a checkpoint, found {found}"))))
        };
        match torch::tensors(path) {
            Ok((container, tensors)) => match tensors.is_empty().then(other).transpose()?.flatten() {
                Some(error) => return Err(error),
                None => (container, tensors),
            },
            Err(reason) => return Err(other()?.unwrap_or_else(|| malformed(reason))),
        }
    };
    // At most 2^68 bytes.
    let size = |tensor: &Tensor| tensor.elements() as u128 * tensor.dtype.size() as u128;
    let too_large = tensors.iter().filter(|(_, tensor)| size(tensor) > u128::from(bytes)).map(|(name, tensor)| {
        let reason = format!("expected at most the file's {bytes} bytes, found {} bytes", size(tensor));
        TensorFault::Unreadable { name: name.clone(), reason }
    });
    let faults: Vec<TensorFault> = too_large.collect();
    if !faults.is_empty() {
        return Err(CheckpointError::Tensors { path: path.to_owned(), faults: TensorFaults(faults) });
    }
    Ok(Stored { bytes, container: container.to_owned(), tensors })
}
