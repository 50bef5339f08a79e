//! Graphs and their weights on disk.
//!
//! A weights file holds tensors of one or more element types, little-endian and row-major, one after the other. Each
//! starts at a multiple of [`ALIGNMENT`], so that a runtime can map the file instead of copying it; the gaps are filled
//! with zeros. All graphs of a stage refer to offsets in the same file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::graph::External;
use crate::manifest::{FileEntry, hex};
use crate::proto::ModelProto;

/// Tensors of a weights file start at multiples of this, in bytes: a multiple of the page size of every supported
/// system.
pub const ALIGNMENT: u64 = 4096;

/// Tensors of fewer bytes are stored in the graph's own file, where shape inference and constant folding can use them.
pub const INLINE_BELOW_BYTES: usize = 1024;

/// The place of each tensor in a weights file that is not written yet.
#[derive(Debug, Clone)]
pub struct WeightsLayout {
    file_name: String,
    places: BTreeMap<String, External>,
    end: u64,
}

impl WeightsLayout {
    /// An empty file of that name.
    #[must_use]
    pub fn new(file_name: &str) -> Self {
        Self { file_name: file_name.to_owned(), places: BTreeMap::new(), end: 0 }
    }

    /// The place of a tensor, if it already has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&External> {
        self.places.get(name)
    }

    /// Assigns the next place to a tensor of `length` bytes; a tensor that has a place keeps it.
    pub fn place(&mut self, name: &str, length: u64) -> External {
        if let Some(external) = self.places.get(name) {
            return external.clone();
        }
        let offset = self.end.next_multiple_of(ALIGNMENT);
        self.end = offset + length;
        let external = External { location: self.file_name.clone(), offset, length };
        self.places.insert(name.to_owned(), external.clone());
        external
    }
}

/// Writes a file from start to end and computes its hash at the same time.
#[derive(Debug)]
pub struct HashedFile {
    file: File,
    digest: Sha256,
    written: u64,
}

impl HashedFile {
    /// Creates the file, which must not exist yet.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create_new(path)?, digest: Sha256::new(), written: 0 })
    }

    /// Fills with zeros up to `offset`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if the file is already longer, otherwise the operating system's error.
    pub fn pad_to(&mut self, offset: u64) -> io::Result<()> {
        let gap = offset.checked_sub(self.written).ok_or(io::ErrorKind::InvalidInput)?;
        io::copy(&mut io::Read::take(io::repeat(0), gap), self)?;
        Ok(())
    }

    /// Waits until the bytes are on disk and returns the file's entry for the manifest.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn finish(self, name: &str) -> io::Result<FileEntry> {
        self.file.sync_all()?;
        let sha256 = hex(&self.digest.finalize());
        Ok(FileEntry { name: name.to_owned(), bytes: self.written, sha256 })
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.digest.update(&bytes[..n]);
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes bytes to `DIR/NAME` and returns the file's entry for the manifest.
///
/// # Errors
///
/// The operating system's error.
pub fn save_bytes(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<FileEntry> {
    let mut file = HashedFile::create(&dir.join(name))?;
    file.write_all(bytes)?;
    file.finish(name)
}

/// Writes a graph to `DIR/NAME` and returns the file's entry for the manifest.
///
/// # Errors
///
/// The operating system's error.
pub fn save_model(dir: &Path, name: &str, model: &ModelProto) -> io::Result<FileEntry> {
    save_bytes(dir, name, &model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::sha256_file;

    #[test]
    fn tensors_begin_at_pages_and_keep_their_place() {
        let mut layout = WeightsLayout::new("w");
        assert_eq!(layout.place("a", 5000).offset, 0);
        assert_eq!(layout.place("b", 4).offset, 8192);
        assert_eq!(layout.place("a", 5000).offset, 0);
        assert_eq!(layout.place("c", 4).offset, 12288);
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("w");
        let mut file = HashedFile::create(&path).expect("a file");
        file.write_all(b"abc").expect("written");
        file.pad_to(10).expect("padded");
        assert!(file.pad_to(9).is_err());
        let entry = file.finish("w").expect("finished");
        assert_eq!((entry.bytes, entry.sha256), (10, sha256_file(&path).expect("hashed")));
    }
}
