//! Runs of bytes in a file or in memory, and tensors as strided views of them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use segvol_base::memory::check_available_if_large;

/// A run of bytes. Copies of it share the file or the memory.
#[derive(Debug, Clone)]
pub struct Region {
    bytes: Bytes,
    offset: u64,
    length: u64,
}

#[derive(Debug, Clone)]
enum Bytes {
    File(Arc<Mutex<File>>),
    Memory(Arc<[u8]>),
}

impl Region {
    /// A whole file.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn of_file(mut file: File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self { bytes: Bytes::File(Arc::new(Mutex::new(file))), offset: 0, length })
    }

    /// Bytes that are in memory already.
    pub fn of_memory(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let length = bytes.len() as u64;
        Self { bytes: Bytes::Memory(bytes), offset: 0, length }
    }

    /// Number of bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A part of it; `None` if it ends before the part does.
    pub fn part(&self, offset: u64, length: u64) -> Option<Self> {
        offset.checked_add(length).filter(|end| *end <= self.length)?;
        Some(Self { bytes: self.bytes.clone(), offset: self.offset + offset, length })
    }

    /// A reader of the bytes from the start.
    pub fn reader(&self) -> RegionReader {
        RegionReader { region: self.clone(), at: 0 }
    }

    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// What the operating system says, or that there are not so many bytes.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let part = self.part(offset, length as u64).ok_or_else(|| damaged("its bytes end early"))?;
        let mut bytes = vec![0; length];
        part.reader().read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("the file became shorter while it was read"),
            _ => error,
        })?;
        Ok(bytes)
    }
}

/// Reads a region from front to back.
#[derive(Debug)]
pub struct RegionReader {
    region: Region,
    at: u64,
}

impl RegionReader {
    /// Passes over bytes; at most to the end.
    pub fn skip(&mut self, count: u64) {
        self.at = self.at.saturating_add(count).min(self.region.length);
    }
}

impl Read for RegionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.region.length - self.at;
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let start = self.region.offset + self.at;
        let count = match &self.region.bytes {
            Bytes::File(file) => {
                let mut file = file.lock().map_err(|_| io::Error::other("another read of the file panicked"))?;
                file.seek(SeekFrom::Start(start))?;
                file.read(&mut buffer[..count])?
            }
            Bytes::Memory(bytes) => {
                let start = usize::try_from(start).expect("memory is shorter than the address space");
                buffer[..count].copy_from_slice(&bytes[start..start + count]);
                count
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// An error about contents, as a part of a sentence.
fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// The numbers of one or more tensors, as they are stored.
#[derive(Debug)]
pub enum Storage {
    /// The bytes themselves. A checksum covers all of them.
    Raw {
        /// The bytes.
        region: Region,
        /// Their checksum; `None` if there is none.
        crc32: Option<u32>,
    },
    /// Compressed with deflate; `length` bytes without compression.
    Deflated {
        /// The compressed bytes.
        region: Region,
        /// Number of bytes without compression.
        length: u64,
        /// Their checksum; `None` if there is none.
        crc32: Option<u32>,
    },
    /// A text whose characters are the bytes: pickle's protocol 2 has no other way to write bytes.
    Latin1(Region),
}

impl Storage {
    /// Number of bytes; for a text, the most that there may be.
    pub fn length(&self) -> u64 {
        match self {
            Self::Raw { region, .. } | Self::Latin1(region) => region.length(),
            Self::Deflated { length, .. } => *length,
        }
    }

    /// Exactly `length` bytes from `offset` on. A checksum is compared if these are all bytes.
    ///
    /// # Errors
    ///
    /// What the operating system says, or what is wrong with the bytes.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let whole = offset == 0 && length as u64 == self.length();
        let (bytes, crc32) = match self {
            Self::Raw { region, crc32 } => (region.read(offset, length)?, crc32),
            Self::Deflated { region, crc32, .. } => {
                let mut decoder = DeflateDecoder::new(region.reader());
                let skipped = io::copy(&mut (&mut decoder).take(offset), &mut io::sink()).map_err(inflating)?;
                let mut bytes = Vec::new();
                decoder.take(length as u64).read_to_end(&mut bytes).map_err(inflating)?;
                if skipped != offset || bytes.len() != length {
                    return Err(damaged("its compressed bytes end early"));
                }
                (bytes, crc32)
            }
            Self::Latin1(region) => (latin1(region, offset, length)?, &None),
        };
        match crc32 {
            Some(expected) if whole && crc(&bytes) != *expected => Err(damaged("its checksum is wrong")),
            Some(_) | None => Ok(bytes),
        }
    }
}

fn inflating(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() { error } else { damaged("its compressed bytes are damaged") }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The characters from number `offset` to the end of a UTF-8 text, `length` and all below U+0100, as bytes.
fn latin1(region: &Region, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let text = region.read(0, usize::try_from(region.length()).map_err(|_| damaged("its text is too long"))?)?;
    let text = str::from_utf8(&text).map_err(|_| damaged("its text is not UTF-8"))?;
    let skipped = usize::try_from(offset).map_err(|_| damaged("its text ends early"))?;
    // An array uses all of its text: more characters would be escapes.
    let bytes: Option<Vec<u8>> = text.chars().skip(skipped).map(|c| u8::try_from(c).ok()).collect();
    bytes.filter(|bytes| bytes.len() == length).ok_or_else(|| damaged("its text does not have one character per byte"))
}

/// A tensor: some elements of a storage.
#[derive(Debug, Clone)]
pub struct View {
    storage: Arc<Storage>,
    /// The first element's place in the storage, in bytes.
    start: u64,
    /// Elements of the storage from the first to the last that is used.
    extent: usize,
    shape: Vec<usize>,
    /// Elements between neighbours along each axis.
    strides: Vec<usize>,
    /// Bytes of one element.
    size: usize,
    big_endian: bool,
}

impl View {
    /// A view of elements with `size` bytes each, from element `offset` on.
    ///
    /// # Errors
    ///
    /// If an element is beyond the storage's first `reachable` bytes, as the end of a sentence.
    pub fn new(
        storage: Arc<Storage>,
        reachable: u64,
        size: usize,
        offset: usize,
        shape: &[usize],
        strides: &[usize],
    ) -> Result<Self, String> {
        let too_large = || format!("its shape {shape:?} with strides {strides:?} is too large");
        if shape.len() != strides.len() {
            return Err(format!("its shape {shape:?} has other axes than its strides {strides:?}"));
        }
        shape.iter().try_fold(size, |bytes, n| bytes.checked_mul(*n)).ok_or_else(too_large)?;
        let last = shape.iter().zip(strides).try_fold(0_usize, |last, (n, stride)| {
            n.saturating_sub(1).checked_mul(*stride).and_then(|steps| last.checked_add(steps))
        });
        let extent = match shape.contains(&0) {
            true => Some(0),
            false => last.and_then(|last| last.checked_add(1)),
        };
        let end = extent.and_then(|extent| extent.checked_add(offset)).and_then(|end| end.checked_mul(size));
        let (extent, end) = extent.zip(end).ok_or_else(too_large)?;
        let found = storage.length().min(reachable);
        if end as u64 > found {
            return Err(format!("expected {end} bytes of numbers, found {found}"));
        }
        let (shape, strides) = (shape.to_vec(), strides.to_vec());
        Ok(Self { storage, start: (offset * size) as u64, extent, shape, strides, size, big_endian: false })
    }

    /// A view of row-major elements that fill the start of a storage.
    ///
    /// # Errors
    ///
    /// As for [`View::new`].
    pub fn row_major(storage: Arc<Storage>, size: usize, shape: &[usize]) -> Result<Self, String> {
        let reachable = storage.length();
        Self::new(storage, reachable, size, 0, shape, &row_major(shape))
    }

    /// Sizes, outermost axis first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same view of numbers whose most significant byte comes first.
    pub fn big_endian(self, big_endian: bool) -> Self {
        Self { big_endian, ..self }
    }

    /// The elements, row-major and little-endian.
    ///
    /// # Errors
    ///
    /// What the operating system says, what is wrong with the bytes, or that there is not enough memory.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let length = self.extent * self.size;
        // A view may use a few elements of a large storage, and a compressed one is larger than the file.
        check_available_if_large::<u8>("a tensor's storage", length).map_err(io::Error::other)?;
        let mut bytes = self.storage.read(self.start, length)?;
        // The stride of an axis with one element means nothing.
        let axes = self.strides.iter().zip(row_major(&self.shape)).zip(&self.shape);
        if axes.into_iter().any(|((stride, expected), n)| *n > 1 && *stride != expected) {
            bytes = self.gather(&bytes);
        }
        if self.big_endian {
            bytes.chunks_exact_mut(self.size).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }

    /// The elements in row-major order.
    fn gather(&self, stored: &[u8]) -> Vec<u8> {
        let count: usize = self.shape.iter().product();
        let mut bytes = Vec::with_capacity(count * self.size);
        let mut index = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..count {
            bytes.extend_from_slice(&stored[at * self.size..(at + 1) * self.size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at = at.wrapping_add(self.strides[axis]);
                if index[axis] < self.shape[axis] {
                    break;
                }
                at = at.wrapping_sub(self.shape[axis].wrapping_mul(self.strides[axis]));
                index[axis] = 0;
            }
        }
        bytes
    }
}

/// The strides of elements without gaps, the last axis fastest.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// The strides of elements without gaps, the first axis fastest.
pub fn column_major(shape: &[usize]) -> Vec<usize> {
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    row_major(&reversed).into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn raw(bytes: &[u8]) -> Arc<Storage> {
        Arc::new(Storage::Raw { region: Region::of_memory(bytes), crc32: None })
    }

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> Result<Vec<u8>, String> {
        let stored: Vec<u8> = (0..12).collect();
        let view = View::new(raw(&stored), 12, 1, offset, shape, strides)?;
        view.read().map_err(|error| error.to_string())
    }

    #[test]
    fn strides_give_every_order_of_elements() {
        assert_eq!(view(0, &[3, 2], &[2, 1]), Ok(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(view(2, &[2, 3], &[1, 2]), Ok(vec![2, 4, 6, 3, 5, 7]));
        assert_eq!(view(5, &[2, 2, 1], &[0, 1, 9]), Ok(vec![5, 6, 5, 6]));
        assert_eq!(view(11, &[], &[]), Ok(vec![11]));
        assert_eq!(view(0, &[2, 1, 3], &[3, usize::MAX, 1]), Ok(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(view(0, &[3, 1, 2], &[1, usize::MAX, 3]), Ok(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(view(12, &[3, 0], &[1, 1]), Ok(vec![]));
        assert_eq!(column_major(&[2, 3, 4]), [1, 2, 6]);
        assert_eq!(row_major(&[2, 3, 4]), [12, 4, 1]);
    }

    #[test]
    fn a_view_beyond_its_storage_is_refused() {
        for (offset, shape, strides) in [
            (0, &[13][..], &[1][..]),
            (12, &[1], &[1]),
            (0, &[2], &[12]),
            (usize::MAX, &[1], &[1]),
            (0, &[usize::MAX, 2], &[0, 0]),
            (0, &[2, 2], &[usize::MAX, usize::MAX]),
            (0, &[2], &[1, 1]),
        ] {
            view(offset, shape, strides).expect_err("beyond the storage");
        }
        View::new(raw(&[0; 12]), 4, 4, 0, &[2], &[1]).expect_err("beyond what may be reached");
    }

    #[test]
    fn texts_and_compressed_bytes_are_read_from_any_place() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = Storage::Latin1(Region::of_memory(text.as_bytes()));
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&bytes).expect("memory");
        let region = Region::of_memory(encoder.finish().expect("memory"));
        let deflated = Storage::Deflated { region: region.clone(), length: 256, crc32: Some(crc(&bytes)) };
        for storage in [text, deflated] {
            assert_eq!(storage.read(0, 256).expect("read"), bytes);
            assert_eq!(storage.read(250, 6).expect("read"), bytes[250..]);
            storage.read(250, 7).expect_err("too far");
        }
        let wrong = Storage::Deflated { region, length: 256, crc32: Some(7) };
        assert_eq!(wrong.read(0, 256).expect_err("a wrong checksum").to_string(), "its checksum is wrong");
        let beyond = Storage::Latin1(Region::of_memory("a\u{100}".as_bytes()));
        beyond.read(0, 2).expect_err("no byte");
    }

    #[test]
    fn big_endian_numbers_are_turned() {
        let view = View::row_major(raw(&[0, 1, 0, 2]), 2, &[2]).expect("a view").big_endian(true);
        assert_eq!(view.read().expect("read"), [1, 0, 2, 0]);
    }
}
