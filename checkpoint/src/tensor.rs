//! One tensor of a checkpoint, and where its bytes are.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use super::dtype::Dtype;
use super::unread::Unread;
use segvol_archive::region::View;

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
    Torch(View),
    Safetensors(Span),
    /// A file that is opened again for every read.
    Reopen(Box<dyn Reopen>),
    /// Nowhere: the tensor cannot be read.
    Unread(Unread),
}

/// A tensor of a file that is not kept open.
pub(super) trait Reopen: std::fmt::Debug + Send + Sync {
    /// The bytes as they are stored, row-major.
    fn read(&self) -> io::Result<Vec<u8>>;
}

impl Tensor {
    /// A tensor of which only the name is known.
    pub(super) fn unread(why: Unread) -> Self {
        Self { dtype: Dtype::Other("unreadable", 1), shape: Vec::new(), source: Source::Unread(why) }
    }

    /// Why the tensor cannot be read; `None` if it can.
    pub(super) fn why_unread(&self) -> Option<&Unread> {
        match &self.source {
            Source::Unread(why) => Some(why),
            Source::Torch(_) | Source::Safetensors(_) | Source::Reopen(_) => None,
        }
    }

    /// Number of elements; `usize::MAX` if there are more.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().fold(1, |product, size| product.saturating_mul(*size))
    }

    /// The bytes as they are stored, row-major.
    pub(super) fn read(&self) -> std::io::Result<Vec<u8>> {
        match &self.source {
            Source::Torch(view) => view.read(),
            Source::Safetensors(span) => span.read(),
            Source::Reopen(place) => place.read(),
            Source::Unread(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why.to_string())),
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
