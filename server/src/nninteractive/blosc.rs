//! One chunk of Blosc2, the compressed form of the bytes of an array.
//!
//! | bytes | header of a chunk                                                                        |
//! |-------|------------------------------------------------------------------------------------------|
//! | 0     | version of the format                                                                    |
//! | 2     | flags: 0x02 stored, 0x05 header of 32 bytes, 0x10 blocks are not split; bits 5 to 7 codec |
//! | 3     | size of an item                                                                          |
//! | 4..8  | number of bytes when decoded                                                             |
//! | 8..12 | number of bytes in a block                                                               |
//! | 12..16| number of bytes of the chunk, with this header                                           |
//! | 16..22| filters, in the order in which they were applied                                         |
//! | 24..30| their settings                                                                           |
//! | 30..32| more flags; bits 4 to 6 of the last byte: all bytes are zero, …                           |
//!
//! Then come an `i32` for each block, which says where in the chunk it begins, and the blocks. A block consists of one stream, or
//! of one for each byte of an item. A stream is an `i32` with its length and the compressed bytes.
//!
//! Only what clients write is decoded: Zstandard and LZ4, with or without the filter that groups the bytes of items (shuffle).
//!
//! # Source
//! Blosc/c-blosc2, `README_CHUNK_FORMAT.rst`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::io::Read;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// Length of the header of a chunk.
const HEADER: usize = 32;
/// The largest block that is decoded. Blosc2 itself makes blocks of at most 4 MiB: larger ones do not fit the cache.
const MAX_BLOCK: usize = 64 << 20;
/// The length of the blocks that [`encode`] makes: a multiple of all sizes of items.
const BLOCK: usize = 256 << 10;
/// The largest chunk that [`encode`] makes, and that decoding accepts.
pub const MAX_CHUNK: usize = 1 << 30;

const STORED: u8 = 0x02;
const EXTENDED: u8 = 0x05;
const DELTA: u8 = 0x08;
const NOT_SPLIT: u8 = 0x10;
const CODEC_LZ4: u8 = 1;
const CODEC_ZSTD: u8 = 4;
const FILTER_NONE: u8 = 0;
const FILTER_SHUFFLE: u8 = 1;
const SPECIAL_ZERO: u8 = 1;
const SPECIAL_REPEATED: u8 = 3;

/// Why a chunk was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The chunk is shorter than its header.
    #[error("it is shorter than the header of a chunk")]
    Short,
    /// The header names another length than the chunk has.
    #[error("its header says that it has {said} bytes, but it has {found}")]
    Length {
        /// The length in the header.
        said: i32,
        /// The length of the chunk.
        found: usize,
    },
    /// A number in the header is not possible.
    #[error("its header contains a wrong {0}")]
    Header(&'static str),
    /// The chunk uses a feature of Blosc2 that is not supported here.
    #[error("it uses {0} of Blosc2, which is not supported")]
    Feature(&'static str),
    /// A block begins or ends outside of the chunk.
    #[error("block {0} lies outside of it")]
    Outside(usize),
    /// The compressed bytes of a block are not valid, or decode to another length.
    #[error("block {0} cannot be decompressed")]
    Corrupt(usize),
    /// There is not enough memory for a block.
    #[error("there is not enough memory for a block")]
    Memory,
}

/// How the bytes of a chunk are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zeros,
    /// Items that are all equal to the one after the header.
    Repeated,
    Stored,
    Blocks {
        block: usize,
        zstd: bool,
        split: bool,
        shuffle: bool,
    },
}

/// A chunk with a valid header.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    item: usize,
    decoded: usize,
    kind: Kind,
}

impl<'a> Chunk<'a> {
    /// Reads the header of a chunk, and checks its numbers against each other and against the length of the chunk.
    ///
    /// # Errors
    /// [`ChunkError`] for a wrong header, and for features that clients do not use.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(ChunkError::Short)?;
        let number = |at: usize| i32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let said = number(12);
        if usize::try_from(said) != Ok(bytes.len()) {
            return Err(ChunkError::Length { said, found: bytes.len() });
        }
        let flags = header[2];
        if flags & EXTENDED != EXTENDED {
            return Err(ChunkError::Feature("the short header"));
        }
        if flags & DELTA != 0 {
            return Err(ChunkError::Feature("the delta filter"));
        }
        if header[30] != 0 {
            return Err(ChunkError::Feature("blocks of different lengths"));
        }
        if header[31] & 0x8f != 0 {
            return Err(ChunkError::Feature("a dictionary, another byte order or a lazy chunk"));
        }
        let item = usize::from(header[3]);
        if item == 0 {
            return Err(ChunkError::Header("size of an item"));
        }
        let decoded = usize::try_from(number(4))
            .ok()
            .filter(|length| (1..=MAX_CHUNK).contains(length))
            .ok_or(ChunkError::Header("length"))?;
        let after = bytes.len() - HEADER;
        let kind = match (header[31] >> 4) & 7 {
            SPECIAL_ZERO if after == 0 => Kind::Zeros,
            SPECIAL_REPEATED if after == item && decoded.is_multiple_of(item) => Kind::Repeated,
            SPECIAL_ZERO | SPECIAL_REPEATED => return Err(ChunkError::Header("length")),
            0 if flags & STORED != 0 && after == decoded => Kind::Stored,
            0 if flags & STORED != 0 => return Err(ChunkError::Header("length")),
            0 => Self::blocks(header, number(8), decoded)?,
            _ => return Err(ChunkError::Feature("chunks of NaNs or without values")),
        };
        Ok(Self { bytes, item, decoded, kind })
    }

    fn blocks(header: &[u8; HEADER], block: i32, decoded: usize) -> Result<Kind, ChunkError> {
        let block = usize::try_from(block)
            .ok()
            .filter(|&block| (1..=decoded.min(MAX_BLOCK)).contains(&block))
            .ok_or(ChunkError::Header("length of a block"))?;
        let zstd = match header[2] >> 5 {
            CODEC_ZSTD => true,
            CODEC_LZ4 => false,
            _ => return Err(ChunkError::Feature("another codec than Zstandard and LZ4")),
        };
        let split = header[2] & NOT_SPLIT == 0;
        if split && !block.is_multiple_of(usize::from(header[3])) {
            return Err(ChunkError::Header("length of a block"));
        }
        let mut shuffle = false;
        for (&filter, &setting) in header[16..22].iter().zip(&header[24..30]) {
            match filter {
                FILTER_NONE => {}
                FILTER_SHUFFLE if setting == 0 && !shuffle => shuffle = true,
                _ => return Err(ChunkError::Feature("another filter than shuffle")),
            }
        }
        Ok(Kind::Blocks { block, zstd, split, shuffle })
    }

    /// The number of bytes when decoded: 1 to [`MAX_CHUNK`].
    pub fn decoded_len(&self) -> usize {
        self.decoded
    }

    /// Decodes the chunk. In addition to `out`, this needs memory for at most four blocks, each of at most 64 MiB.
    ///
    /// `out` must have [`decoded_len`](Self::decoded_len) bytes.
    ///
    /// # Errors
    /// [`ChunkError`] if `out` has another length, or a block is not valid. `out` then has any contents.
    pub fn decode_into(&self, out: &mut [u8]) -> Result<(), ChunkError> {
        if out.len() != self.decoded {
            return Err(ChunkError::Header("length"));
        }
        let after = &self.bytes[HEADER..];
        match self.kind {
            Kind::Zeros => out.fill(0),
            Kind::Repeated => out.chunks_exact_mut(self.item).for_each(|item| item.copy_from_slice(after)),
            Kind::Stored => out.copy_from_slice(after),
            Kind::Blocks { block, shuffle, .. } => {
                let starts = 4 * self.decoded.div_ceil(block);
                let starts = after.get(..starts).ok_or(ChunkError::Outside(0))?;
                let mut shuffled = Vec::new();
                if shuffle {
                    shuffled.try_reserve_exact(block).map_err(|_| ChunkError::Memory)?;
                    shuffled.resize(block, 0);
                }
                for (index, (out, start)) in out.chunks_mut(block).zip(starts.as_chunks().0).enumerate() {
                    let start = usize::try_from(i32::from_le_bytes(*start)).ok();
                    let block = start
                        .filter(|&start| start >= HEADER + starts.len())
                        .and_then(|start| self.bytes.get(start..))
                        .ok_or(ChunkError::Outside(index))?;
                    if shuffle {
                        let shuffled = &mut shuffled[..out.len()];
                        self.block(index, block, shuffled)?;
                        unshuffle(shuffled, out, self.item);
                    } else {
                        self.block(index, block, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Decompresses the streams of one block.
    fn block(&self, index: usize, mut bytes: &[u8], out: &mut [u8]) -> Result<(), ChunkError> {
        let Kind::Blocks { block, zstd, split, .. } = self.kind else { return Ok(()) };
        // The last block is not split if it is shorter.
        let streams = if split && out.len() == block { self.item } else { 1 };
        for out in out.chunks_exact_mut(out.len() / streams) {
            let (length, rest) = bytes.split_first_chunk().ok_or(ChunkError::Outside(index))?;
            let length = i32::from_le_bytes(*length);
            if length == 0 {
                out.fill(0);
                bytes = rest;
            } else if length < 0 {
                // All bytes have the same value. One byte follows, whose lowest bit says so.
                let (&token, rest) = rest.split_first().ok_or(ChunkError::Outside(index))?;
                let value = u8::try_from(length.unsigned_abs()).ok().filter(|_| token & 1 != 0);
                out.fill(value.ok_or(ChunkError::Corrupt(index))?);
                bytes = rest;
            } else {
                let length = usize::try_from(length).map_err(|_| ChunkError::Outside(index))?;
                let (stream, rest) = rest.split_at_checked(length).ok_or(ChunkError::Outside(index))?;
                let whole = if length == out.len() {
                    out.copy_from_slice(stream);
                    true
                } else if zstd {
                    zstandard(stream, out)
                } else {
                    lz4_flex::block::decompress_into(stream, out).is_ok_and(|length| length == out.len())
                };
                if !whole {
                    return Err(ChunkError::Corrupt(index));
                }
                bytes = rest;
            }
        }
        Ok(())
    }
}

/// Decompresses one frame of Zstandard that has exactly the length of `out`. Returns whether that worked.
///
/// The decoder contains assertions. If one of them fails, the frame counts as invalid.
fn zstandard(mut frame: &[u8], out: &mut [u8]) -> bool {
    let decode = move || {
        // A new decoder does not allocate what the frame calls its window.
        let mut decoder = FrameDecoder::new();
        decoder.init(&mut frame).ok()?;
        (usize::try_from(decoder.content_size()) == Ok(out.len())).then_some(())?;
        // It stops after the first block (of at most 128 KiB) that makes more than `out` can take.
        decoder.decode_blocks(&mut frame, BlockDecodingStrategy::UptoBytes(out.len() + 1)).ok()?;
        let complete = decoder.is_finished() && frame.is_empty() && decoder.can_collect() == out.len();
        (complete && decoder.read(out).ok()? == out.len()).then_some(())
    };
    matches!(catch_unwind(AssertUnwindSafe(decode)), Ok(Some(())))
}

/// Undoes the grouping of the bytes of items: first come the first bytes of all items, then the second ones.
fn unshuffle(shuffled: &[u8], out: &mut [u8], item: usize) {
    let items = out.len() / item;
    let (grouped, rest) = shuffled.split_at(items * item);
    let (whole, last) = out.split_at_mut(items * item);
    last.copy_from_slice(rest);
    if items == 0 {
        return;
    }
    for (place, group) in grouped.chunks_exact(items).enumerate() {
        for (to, &from) in whole.iter_mut().skip(place).step_by(item).zip(group) {
            *to = from;
        }
    }
}

/// Compresses bytes as one chunk with LZ4. Masks become a few thousandths of their size.
///
/// `bytes` has 1 to [`MAX_CHUNK`] bytes, a multiple of `item`, the size of an item. Other lengths give an empty chunk, which no
/// client accepts.
pub fn encode(bytes: &[u8], item: u8) -> Vec<u8> {
    let length = bytes.len();
    let (Ok(decoded), Ok(block)) = (i32::try_from(length), i32::try_from(length.min(BLOCK))) else { return Vec::new() };
    let blocks = length.div_ceil(BLOCK);
    let mut chunk = vec![0; HEADER + 4 * blocks];
    chunk[..4].copy_from_slice(&[5, 1, EXTENDED | NOT_SPLIT | CODEC_LZ4 << 5, item]);
    chunk[4..8].copy_from_slice(&decoded.to_le_bytes());
    chunk[8..12].copy_from_slice(&block.to_le_bytes());
    let mut compressed = vec![0; lz4_flex::block::get_maximum_output_size(BLOCK)];
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        let start = le(chunk.len());
        chunk[HEADER + 4 * index..][..4].copy_from_slice(&start);
        if block.iter().all(|&byte| byte == 0) {
            chunk.extend_from_slice(&le(0));
            continue;
        }
        let stream = match lz4_flex::block::compress_into(block, &mut compressed) {
            Ok(length) if length < block.len() => &compressed[..length],
            _ => block,
        };
        chunk.extend_from_slice(&le(stream.len()));
        chunk.extend_from_slice(stream);
    }
    let whole = le(chunk.len());
    chunk[12..16].copy_from_slice(&whole);
    chunk
}

/// A length as chunks contain it. All lengths in a chunk of at most [`MAX_CHUNK`] decoded bytes fit.
fn le(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}
