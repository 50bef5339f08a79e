//! Zip archives: the directory at their end, and their entries as storages.
//!
//! Only what PyTorch and common tools write is read: entries that are stored or deflated, in one file, with ZIP64. A
//! directory's sizes count, and every one of them is compared with the file.
//!
//! # Source
//!
//! PKWARE, `APPNOTE.TXT` 6.3.10, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).

use std::collections::BTreeMap;

use segvol_base::printable;

use crate::region::{Region, Storage};

/// The end of the directory, and the longest comment after it.
const END_BYTES: u64 = 22;
const MAX_COMMENT: u64 = 0xffff;

/// Longest directory that is read: that of the full model with an optimiser has 100 kB.
const MAX_DIRECTORY: u64 = 64 << 20;

/// How many bytes a byte of deflate can become, at most: 258 for each two bits.
const MAX_RATIO: u64 = 1032;

/// An archive's directory.
#[derive(Debug)]
pub struct Archive {
    region: Region,
    entries: BTreeMap<String, Entry>,
}

/// An entry, as the directory describes it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    is_encrypted: bool,
    method: u16,
    crc32: u32,
    stored: u64,
    length: u64,
    header: u64,
}

impl Archive {
    /// Reads the directory.
    ///
    /// # Errors
    ///
    /// A sentence if it is missing or damaged.
    pub fn read(region: Region) -> Result<Self, String> {
        let io = |error: std::io::Error| error.to_string();
        let bytes = region.length();
        let tail_bytes = bytes.min(END_BYTES + MAX_COMMENT);
        let tail = region.read(bytes - tail_bytes, tail_bytes as usize).map_err(io)?;
        let cut = || {
            format!(
                "the zip archive has no directory at its end, after {bytes} bytes; the file is truncated, download it again"
            )
        };
        let is_end = |at: &usize| {
            let comment = Fields(&tail[*at..]).u16(20);
            tail[*at..].starts_with(b"PK\x05\x06") && comment.is_some_and(|n| usize::from(n) == tail.len() - at - 22)
        };
        let end = (0..tail.len().saturating_sub(21)).rev().find(is_end).ok_or_else(cut)?;
        let fields = Fields(&tail[end..]);
        let damaged = || "the zip archive's directory is damaged".to_owned();
        let (mut count, mut length, mut start) = (
            u64::from(fields.u16(10).ok_or_else(damaged)?),
            u64::from(fields.u32(12).ok_or_else(damaged)?),
            u64::from(fields.u32(16).ok_or_else(damaged)?),
        );
        if let Some(locator) = end.checked_sub(20).map(|at| Fields(&tail[at..end]))
            && locator.0.starts_with(b"PK\x06\x07")
        {
            let at = locator.u64(8).ok_or_else(damaged)?;
            let wide = region.read(at, 56).map_err(|_| damaged())?;
            let fields = Fields(&wide);
            if !wide.starts_with(b"PK\x06\x06") {
                return Err(damaged());
            }
            count = fields.u64(32).ok_or_else(damaged)?;
            length = fields.u64(40).ok_or_else(damaged)?;
            start = fields.u64(48).ok_or_else(damaged)?;
        }
        let directory = region.part(start, length).filter(|_| length <= MAX_DIRECTORY).ok_or_else(damaged)?;
        let directory = directory.read(0, length as usize).map_err(io)?;
        let mut entries = BTreeMap::new();
        let mut left = &directory[..];
        for _ in 0..count {
            let (name, entry, length) = Entry::read(left).ok_or_else(damaged)?;
            left = &left[length..];
            if entries.insert(name.clone(), entry).is_some() {
                return Err(format!("the zip archive has two entries `{}`", printable(&name)));
            }
        }
        Ok(Self { region, entries })
    }

    /// The names of all entries, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.keys().map(String::as_str)
    }

    /// Bytes of all entries when they are unpacked. None is read beyond what the directory states.
    #[must_use]
    pub fn unpacked_bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.length).fold(0, u64::saturating_add)
    }

    /// An entry's bytes.
    ///
    /// # Errors
    ///
    /// A sentence if there is no such entry, or it cannot be read.
    pub fn storage(&self, name: &str) -> Result<Storage, String> {
        let shown = printable(name);
        let entry = self.entries.get(name).ok_or_else(|| format!("the zip archive has no entry `{shown}`"))?;
        if entry.is_encrypted {
            return Err("the zip archive is encrypted; unpack it first".to_owned());
        }
        let damaged = || format!("the zip archive's entry `{shown}` is damaged; the file may be truncated");
        let header = self.region.read(entry.header, 30).map_err(|_| damaged())?;
        let fields = Fields(&header);
        if !header.starts_with(b"PK\x03\x04") {
            return Err(damaged());
        }
        let (name, extra) = (fields.u16(26).ok_or_else(damaged)?, fields.u16(28).ok_or_else(damaged)?);
        let start = entry.header + 30 + u64::from(name) + u64::from(extra);
        let region = self.region.part(start, entry.stored).ok_or_else(damaged)?;
        // PyTorch writes 0 for no checksum.
        let crc32 = Some(entry.crc32).filter(|crc32| *crc32 != 0);
        match entry.method {
            0 if entry.stored == entry.length => Ok(Storage::Raw { region, crc32 }),
            0 => Err(damaged()),
            // Memory is checked for what the directory states, so that must be possible.
            8 if entry.length > entry.stored.saturating_mul(MAX_RATIO) => Err(damaged()),
            8 => Ok(Storage::Deflated { region, length: entry.length, crc32 }),
            method => Err(format!("the zip archive is compressed with method {method}; pack it without compression")),
        }
    }
}

impl Entry {
    /// The name and entry at the start of a directory, and its length there.
    fn read(directory: &[u8]) -> Option<(String, Self, usize)> {
        let fields = Fields(directory);
        if !directory.starts_with(b"PK\x01\x02") {
            return None;
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| fields.u16(at).map(usize::from));
        let (name, extra, comment) = (name?, extra?, comment?);
        let text = String::from_utf8_lossy(directory.get(46..46 + name)?).into_owned();
        let mut entry = Self {
            is_encrypted: fields.u16(8)? & 1 == 1,
            method: fields.u16(10)?,
            crc32: fields.u32(16)?,
            stored: fields.u32(20)?.into(),
            length: fields.u32(24)?.into(),
            header: fields.u32(42)?.into(),
        };
        let mut left = directory.get(46 + name..46 + name + extra)?;
        while let Some((kind, size)) = Fields(left).u16(0).zip(Fields(left).u16(2)) {
            let size = usize::from(size);
            let field = Fields(left.get(4..4 + size)?);
            if kind == 1 {
                // ZIP64: the values that do not fit, in this order.
                let mut at = 0;
                for value in [&mut entry.length, &mut entry.stored, &mut entry.header] {
                    if *value == u64::from(u32::MAX) {
                        *value = field.u64(at)?;
                        at += 8;
                    }
                }
            }
            left = &left[4 + size..];
        }
        // What is added to it stays far from the largest number.
        (entry.header < 1 << 62)
            .then_some((text, entry, 46 + name + extra + comment))
            .filter(|(.., length)| *length <= directory.len())
    }
}

/// Little-endian numbers at fixed places.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }
}
