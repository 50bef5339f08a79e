//! One tensor of a checkpoint, and where its bytes are.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use super::dtype::Dtype;

/// A tensor of a checkpoint. Its numbers are not read yet.
#[derive(Debug)]
pub struct Tensor {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes, outermost axis first.
    pub shape: Vec<usize>,
    pub(super) source: Source,
}

/// Where a tensor's bytes are.
#[derive(Debug)]
pub(super) enum Source {
    Torch(pytorch_reader::Tensor),
    Safetensors(Span),
    /// A file that is opened again for every read.
    Reopen(Box<dyn Reopen>),
}

/// A tensor of a file that is not kept open.
pub(super) trait Reopen: std::fmt::Debug + Send + Sync {
    /// The bytes as they are stored, row-major.
    fn read(&self) -> io::Result<Vec<u8>>;
}

impl Tensor {
    /// Number of elements; `usize::MAX` if there are more.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().fold(1, |product, size| product.saturating_mul(*size))
    }

    /// The bytes as they are stored, row-major.
    pub(super) fn read(&self) -> std::io::Result<Vec<u8>> {
        match &self.source {
            Source::Torch(tensor) => tensor.read(),
            Source::Safetensors(span) => span.read(),
            Source::Reopen(place) => place.read(),
        }
    }
}

/// The place of a tensor's bytes in a file.
#[derive(Debug)]
pub(super) struct Span {
    pub file: Arc<Mutex<File>>,
    pub offset: u64,
    /// Number of bytes; opening has checked that they are within the file.
    pub length: usize,
}

impl Span {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        let mut file = self.file.lock().map_err(|_| io::Error::other("another read of the file panicked"))?;
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
