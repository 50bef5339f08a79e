//! A file of stage outputs: how programs compare their results.
//!
#![doc = include_str!("../../docs/stage-outputs.md")]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use segvol::Tensor;
use segvol_base::{ErrorKind, OutOfMemory};

/// The largest file that is read. The outputs of a full-size model with the masks of many scans are smaller.
const MAX_BYTES: u64 = 16 << 30;

/// The outputs of a model's stages, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// Numbers, by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Masks, by name: 1 in the mask, 0 outside.
    pub masks: BTreeMap<String, Vec<u8>>,
    /// How the outputs were made: `tool`, `provider`, `precision`, `ms.STAGE` and others.
    pub metadata: BTreeMap<String, String>,
}

/// Why a file of stage outputs cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file cannot be read.
    #[error("stage outputs `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("stage outputs `{}`: cannot write: {source}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The file does not have the format that [`crate::record`] describes.
    #[error("stage outputs `{}`: {reason}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl RecordError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Bad { .. } => ErrorKind::Input,
            Self::Output { .. } => ErrorKind::Runtime,
            Self::Memory(_) => ErrorKind::Memory,
        }
    }
}

impl Record {
    /// Reads a file, gzipped or not.
    ///
    /// # Errors
    ///
    /// [`RecordError::Io`] if it cannot be read; [`RecordError::Bad`] if it is not safetensors, or contains an element type
    /// that is not supported.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let io = |source| RecordError::Io { path: path.to_owned(), source };
        let bad = |reason: String| RecordError::Bad { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        File::open(path).map_err(io)?.take(MAX_BYTES).read_to_end(&mut bytes).map_err(io)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut unpacked = Vec::new();
            MultiGzDecoder::new(&bytes[..]).take(MAX_BYTES).read_to_end(&mut unpacked).map_err(io)?;
            bytes = unpacked;
        }
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut record = Self { metadata, ..Self::default() };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
        for (name, view) in file.iter() {
            let (shape, data) = (view.shape(), view.data());
            let tensor = match view.dtype() {
                Dtype::F32 => Tensor::float(shape, numbers(data, f32::from_le_bytes)),
                Dtype::F16 => Tensor::float(shape, numbers(data, |two| f16::from_le_bytes(two).to_f32())),
                Dtype::BF16 => Tensor::float(shape, numbers(data, |two| bf16::from_le_bytes(two).to_f32())),
                Dtype::I64 => Tensor::int(shape, numbers(data, i64::from_le_bytes)),
                Dtype::U8 => {
                    record.masks.insert(name.to_owned(), data.to_vec());
                    continue;
                }
                other => {
                    return Err(bad(format!("tensor `{name}`: expected F32, F16, BF16, I64 or U8, found {other:?}")));
                }
            };
            record.tensors.insert(name.to_owned(), tensor);
        }
        Ok(record)
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// [`RecordError::Output`] with what the operating system says; [`RecordError::Memory`] if there is not enough memory.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        let bad =
            |error: safetensors::SafeTensorError| RecordError::Bad { path: path.to_owned(), reason: error.to_string() };
        let values = self.tensors.values().map(|tensor| tensor.shape().iter().product::<usize>());
        let masks = self.masks.values().map(Vec::len);
        // Every tensor as bytes, and then all of them as one file.
        let count = 8 * values.sum::<usize>() + masks.sum::<usize>();
        let what = format!("the stage outputs in `{}`", path.display());
        segvol_base::memory::check_available_if_large::<[u8; 2]>(what, count)?;
        let bytes: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let shape = tensor.shape().to_vec();
                let entry = match tensor {
                    Tensor::Float { values, .. } => {
                        (Dtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
                    }
                    Tensor::Int { values, .. } => {
                        (Dtype::I64, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
                    }
                };
                (name.as_str(), entry)
            })
            .chain(self.masks.iter().map(|(name, mask)| (name.as_str(), (Dtype::U8, vec![mask.len()], mask.clone()))))
            .collect();
        let mut views = BTreeMap::new();
        for (name, (dtype, shape, bytes)) in &bytes {
            views.insert(*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(bad)?);
        }
        let metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(bad)?;
        segvol_base::atomic_file::write(path, |mut file| file.write_all(&bytes))
            .map_err(|source| RecordError::Output { path: path.to_owned(), source })
    }

    /// The values of a float tensor that the file contains completely.
    #[must_use]
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name)?.floats()
    }

    /// The values of `found` and of this record that can be compared: all of them, or those at the places that the file
    /// contains. `found` is NaN at a place beyond its end. `None` if the file does not contain the output.
    #[must_use]
    pub fn matching(&self, name: &str, found: &[f32]) -> Option<(Vec<f32>, Vec<f32>)> {
        if let Some(expected) = self.floats(name) {
            return Some((found.to_vec(), expected.to_vec()));
        }
        let index = self.tensors.get(&format!("{name}@index"))?.ints()?;
        let value = self.floats(&format!("{name}@value"))?;
        let at = |&i: &i64| usize::try_from(i).ok().and_then(|i| found.get(i)).copied().unwrap_or(f32::NAN);
        Some((index.iter().map(at).collect(), value.to_vec()))
    }

    /// The prefixes of the cases: empty for the seeded one, `CASE/` for the others.
    #[must_use]
    pub fn prefixes(&self) -> Vec<String> {
        let names = self.tensors.keys().filter_map(|name| name.strip_suffix("window"));
        let mut prefixes: Vec<String> = names.filter(|prefix| prefix.ends_with('/')).map(str::to_owned).collect();
        prefixes.insert(0, String::new());
        prefixes
    }
}

fn numbers<T, const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|&bytes| read(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn record() -> Record {
        let mut record = Record::default();
        record.tensors.insert("image_embedding".to_owned(), Tensor::float(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        record.tensors.insert("ct/window".to_owned(), Tensor::float(&[1], vec![0.5]));
        record.tensors.insert("input_ids".to_owned(), Tensor::int(&[1, 2], vec![7, 9]));
        record.tensors.insert("box.sparse@index".to_owned(), Tensor::int(&[2], vec![1, 5]));
        record.tensors.insert("box.sparse@value".to_owned(), Tensor::float(&[2], vec![0.25, 0.75]));
        record.masks.insert("ct/mask.liver".to_owned(), vec![0, 1, 1]);
        record.metadata.insert("provider".to_owned(), "cpu".to_owned());
        record
    }

    #[test]
    fn a_record_survives_its_file_gzipped_or_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let (plain, packed) = (dir.path().join("r.safetensors"), dir.path().join("r.safetensors.gz"));
        record().write(&plain).expect("written");
        assert_eq!(Record::read(&plain).expect("read"), record());
        let mut gzip =
            flate2::write::GzEncoder::new(File::create(&packed).expect("a file"), flate2::Compression::fast());
        gzip.write_all(&std::fs::read(&plain).expect("read")).expect("packed");
        gzip.finish().expect("packed");
        assert_eq!(Record::read(&packed).expect("read"), record());
        std::fs::write(&plain, b"not safetensors").expect("written");
        assert!(matches!(Record::read(&plain), Err(RecordError::Bad { .. })));
    }

    #[test]
    fn sampled_outputs_are_compared_where_they_are_known() {
        let (found, expected) = record().matching("box.sparse", &[0.0, 0.25]).expect("known");
        assert_eq!(expected, [0.25, 0.75]);
        assert!(found[0] == 0.25 && found[1].is_nan());
        assert_eq!(record().matching("all.sparse", &[]), None);
        assert_eq!(record().prefixes(), ["", "ct/"]);
    }
}
