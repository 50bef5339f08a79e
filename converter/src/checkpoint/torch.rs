//! Files of `torch.save`: zip archives, the pickle stream of PyTorch before 1.6, and tar archives.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::Path;

use pytorch_reader::{DType, FileFormat, PytorchError, PytorchReader};

use super::dtype::Dtype;
use super::tensor::{Source, Tensor};

/// The name of the file format, and the file's tensors by the dotted path through its dictionaries.
pub(super) fn tensors(path: &Path) -> Result<(&'static str, BTreeMap<String, Tensor>), String> {
    let reader = catch_unwind(|| PytorchReader::new(path));
    let reader = reader
        .unwrap_or_else(|_| Err(PytorchError::InvalidFormat("the reader panicked; the file is damaged".to_owned())));
    let reader = reader.map_err(|error| match error {
        // The archive's index is at its end.
        PytorchError::Zip(error) => format!("{error}; the file may be truncated"),
        error => error.to_string(),
    })?;
    let container = match reader.metadata().format_type {
        FileFormat::Zip => "torch zip",
        FileFormat::Legacy => "torch legacy",
        FileFormat::Tar => "torch tar",
        FileFormat::Pickle => "pickle",
    };
    // The reader returns a hash map, whose order differs from run to run.
    let tensors = reader.into_tensors().into_iter().map(|(name, tensor)| {
        let (dtype, shape) = (dtype(tensor.dtype()), tensor.shape().to_vec());
        (name, Tensor { dtype, shape, source: Source::Torch(tensor) })
    });
    Ok((container, tensors.collect()))
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::Float64,
        DType::F32 => Dtype::Float32,
        DType::F16 => Dtype::Float16,
        DType::BF16 => Dtype::BFloat16,
        DType::I64 => Dtype::Other("int64", 8),
        DType::I32 => Dtype::Other("int32", 4),
        DType::I16 => Dtype::Other("int16", 2),
        DType::I8 => Dtype::Other("int8", 1),
        DType::U64 => Dtype::Other("uint64", 8),
        DType::U32 => Dtype::Other("uint32", 4),
        DType::U16 => Dtype::Other("uint16", 2),
        DType::U8 => Dtype::Other("uint8", 1),
        DType::Bool => Dtype::Other("bool", 1),
    }
}
