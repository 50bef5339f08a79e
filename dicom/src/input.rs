//! The bytes of one file: on the disk, or in a zip archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use flate2::read::DeflateDecoder;
use segvol_archive::zip::Archive;
use segvol_base::memory::{check_available_if_large, reserve};
use segvol_base::printable;

/// How many bytes are read at once when elements are looked at.
const WINDOW: usize = 64 << 10;

/// The largest file of an archive, and the largest deflated data set, that is unpacked into memory.
const MAX_UNPACKED: u64 = 8 << 30;

/// Where a file is.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// The name in messages: relative to the folder or archive.
    pub(crate) name: String,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Disk(PathBuf),
    Memory(Arc<[u8]>),
    Archive(Arc<Archive>),
}

impl Input {
    /// A file on the disk.
    pub(crate) fn on_disk(path: PathBuf, name: String) -> Self {
        Self { name, place: Place::Disk(path) }
    }

    /// An entry of an archive.
    pub(crate) fn in_archive(archive: Arc<Archive>, name: String) -> Self {
        Self { name, place: Place::Archive(archive) }
    }

    /// Bytes that are in memory already.
    pub(crate) fn in_memory(bytes: Arc<[u8]>) -> Self {
        Self { name: "the bytes".to_owned(), place: Place::Memory(bytes) }
    }

    /// The name, fit for a terminal.
    pub(crate) fn shown(&self) -> String {
        printable(&self.name).into_owned()
    }

    /// The first bytes; fewer if the file is shorter.
    pub(crate) fn head(&self, count: usize) -> Result<Vec<u8>, String> {
        match &self.place {
            Place::Disk(path) => {
                let mut head = Vec::new();
                let file = File::open(path).map_err(|error| error.to_string())?;
                file.take(count as u64).read_to_end(&mut head).map_err(|error| error.to_string())?;
                Ok(head)
            }
            Place::Memory(bytes) => Ok(bytes[..bytes.len().min(count)].to_vec()),
            Place::Archive(archive) => {
                let storage = archive.storage(&self.name)?;
                let count = storage.length().min(count as u64) as usize;
                storage.read(0, count).map_err(|error| error.to_string())
            }
        }
    }

    /// Opens the file. An entry of an archive is unpacked into memory, and its checksum is compared.
    pub(crate) fn open(&self) -> Result<Bytes, String> {
        match &self.place {
            Place::Disk(path) => {
                let file = File::open(path).map_err(|error| error.to_string())?;
                let length = file.metadata().map_err(|error| error.to_string())?.len();
                Ok(Bytes { store: Store::File(file), length, window: Vec::new(), start: 0 })
            }
            Place::Memory(bytes) => Ok(Bytes::in_memory(bytes.to_vec())),
            Place::Archive(archive) => {
                let storage = archive.storage(&self.name)?;
                let length = usize::try_from(storage.length()).unwrap_or(usize::MAX);
                if storage.length() > MAX_UNPACKED {
                    return Err(format!("it has {length} bytes; unpack the archive first"));
                }
                check_available_if_large::<u8>("a file of the archive", length).map_err(|error| error.to_string())?;
                Ok(Bytes::in_memory(storage.read(0, length).map_err(|error| error.to_string())?))
            }
        }
    }
}

/// The bytes of an open file, read in any order.
#[derive(Debug)]
pub(crate) struct Bytes {
    store: Store,
    length: u64,
    window: Vec<u8>,
    start: u64,
}

#[derive(Debug)]
enum Store {
    File(File),
    Memory(Vec<u8>),
}

impl Bytes {
    /// Bytes that are in memory.
    pub(crate) fn in_memory(bytes: Vec<u8>) -> Self {
        Self { length: bytes.len() as u64, store: Store::Memory(bytes), window: Vec::new(), start: 0 }
    }

    /// How many there are.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// A few bytes, for looking at elements one after the other. `None` if the file ends before.
    pub(crate) fn peek<const N: usize>(&mut self, at: u64) -> io::Result<Option<[u8; N]>> {
        if at.checked_add(N as u64).is_none_or(|end| end > self.length) {
            return Ok(None);
        }
        if let Store::Memory(bytes) = &self.store {
            return Ok(bytes[at as usize..].first_chunk().copied());
        }
        let end = self.start + self.window.len() as u64;
        if at < self.start || at + N as u64 > end {
            let count = (self.length - at).min(WINDOW as u64) as usize;
            let mut window = std::mem::take(&mut self.window);
            window.resize(count, 0);
            self.read(at, &mut window)?;
            (self.window, self.start) = (window, at);
        }
        Ok(self.window[(at - self.start) as usize..].first_chunk().copied())
    }

    /// Fills `buffer` from `at` on; an error if the file ends before.
    pub(crate) fn read(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &mut self.store {
            Store::File(file) => {
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(buffer)
            }
            Store::Memory(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                buffer.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    /// `length` bytes from `at` on. Their number is compared with the file's length before memory is allocated.
    pub(crate) fn take(&mut self, at: u64, length: u64) -> Result<Vec<u8>, String> {
        let end = at.checked_add(length).filter(|end| *end <= self.length);
        let Some(length) = end.and(usize::try_from(length).ok()) else {
            return Err("it ends early: it is truncated".to_owned());
        };
        check_available_if_large::<u8>("a part of a file", length).map_err(|error| error.to_string())?;
        let mut bytes = vec![0; length];
        self.read(at, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    /// The deflated bytes from `at` on, unpacked.
    pub(crate) fn inflated(mut self, at: u64) -> Result<Self, String> {
        let left = self.length.saturating_sub(at);
        let packed = self.take(at, left)?;
        let mut bytes = Vec::new();
        let mut decoder = DeflateDecoder::new(&packed[..]).take(MAX_UNPACKED + 1);
        let mut part = vec![0; 1 << 20];
        loop {
            let found = match decoder.read(&mut part) {
                Ok(0) => break,
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // What was unpacked so far may still say which series the file belongs to.
                Err(_) => break,
            };
            if bytes.capacity() - bytes.len() < found {
                let more = found.max(bytes.len().min(64 << 20));
                reserve("a deflated data set", &mut bytes, more).map_err(|error| error.to_string())?;
            }
            bytes.extend_from_slice(&part[..found]);
            if bytes.len() as u64 > MAX_UNPACKED {
                return Err(format!("its deflated data set has more than {MAX_UNPACKED} bytes"));
            }
        }
        Ok(Self::in_memory(bytes))
    }
}
