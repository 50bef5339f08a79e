//! Arrays in the bodies of requests and replies ("NNIA").
//!
//! All numbers are little endian.
//!
//! | bytes           | contents                                                                              |
//! |-----------------|---------------------------------------------------------------------------------------|
//! | 4               | `NNIA`                                                                                |
//! | 1               | version: 1                                                                            |
//! | 1               | codec: 1 Zstandard, 2 LZ4                                                             |
//! | 1               | number of axes                                                                        |
//! | 1               | length of the type's name                                                             |
//! | that many       | NumPy's name of the type, such as `int16`                                             |
//! | 8 for each axis | its length, `i64`                                                                     |
//! | 4               | number of chunks                                                                      |
//! | for each chunk  | `u64` length when decoded, `u64` length, then the chunk ([`super::blosc`])            |
//!
//! The decoded chunks together are the elements of the array, in C order (the last axis runs fastest).

use half::f16;
use thiserror::Error;

use super::blosc::{self, Chunk, ChunkError};

#[cfg(test)]
mod tests;

const MAGIC: &[u8; 4] = b"NNIA";
const VERSION: u8 = 1;
const CODEC_ZSTD: u8 = 1;
const CODEC_LZ4: u8 = 2;
/// More axes than any array of the protocol has.
const MAX_AXES: usize = 8;

/// Why the bytes are not an array, or not one that is supported.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContainerError {
    /// The bytes do not begin as an array does.
    #[error("the body is not a packed array: it does not begin with NNIA")]
    Magic,
    /// The bytes end too early.
    #[error("the packed array is incomplete: it ends in its {0}")]
    Truncated(&'static str),
    /// Another version of the format.
    #[error("the packed array has version {0} of the format; version 1 is supported")]
    Version(u8),
    /// A codec that the format does not have.
    #[error("the packed array has the codec {0}; 1 (Zstandard) and 2 (LZ4) are supported")]
    Codec(u8),
    /// A type of elements that is not a number or bool.
    #[error("the packed array has elements of type {0:?}, which is not supported")]
    Element(String),
    /// No axes, or too many.
    #[error("the packed array has {0} axes; 1 to {MAX_AXES} are supported")]
    Axes(usize),
    /// An axis has no elements, or fewer.
    #[error("axis {axis} of the packed array has the length {length}; it must be at least 1")]
    Axis {
        /// The axis, from 0.
        axis: usize,
        /// Its length.
        length: i64,
    },
    /// The array needs more memory than the caller allows.
    #[error("the array is larger than {limit} bytes, the limit of this server")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// There is not enough memory for an array within the limit.
    #[error("there is not enough memory for an array of {0} bytes")]
    Memory(usize),
    /// The chunks do not add up to the array.
    #[error("the chunks of the packed array have {found} bytes, but its shape needs {expected}")]
    Sum {
        /// The bytes that the shape needs.
        expected: usize,
        /// The bytes that the chunks have; at least this number if there are more than expected.
        found: usize,
    },
    /// A chunk has another length than the container says.
    #[error("chunk {index} of the packed array has {found} bytes, but {said} are announced")]
    ChunkLength {
        /// The chunk, from 0.
        index: usize,
        /// The length that is announced.
        said: u64,
        /// The length in the header of the chunk.
        found: usize,
    },
    /// A chunk is not valid.
    #[error("chunk {index} of the packed array is not valid: {source}")]
    Chunk {
        /// The chunk, from 0.
        index: usize,
        /// What is wrong.
        source: ChunkError,
    },
    /// Something follows the last chunk.
    #[error("{0} bytes follow the packed array")]
    Trailing(usize),
}

/// The type of the elements of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 0 or 1 in one byte.
    Bool,
    /// 8 bits, signed.
    Int8,
    /// 8 bits.
    UInt8,
    /// 16 bits, signed.
    Int16,
    /// 16 bits.
    UInt16,
    /// 32 bits, signed.
    Int32,
    /// 32 bits.
    UInt32,
    /// 64 bits, signed.
    Int64,
    /// 64 bits.
    UInt64,
    /// Floating point with 16 bits.
    Float16,
    /// Floating point with 32 bits.
    Float32,
    /// Floating point with 64 bits.
    Float64,
}

impl Element {
    const ALL: [Self; 12] = [
        Self::Bool,
        Self::Int8,
        Self::UInt8,
        Self::Int16,
        Self::UInt16,
        Self::Int32,
        Self::UInt32,
        Self::Int64,
        Self::UInt64,
        Self::Float16,
        Self::Float32,
        Self::Float64,
    ];

    /// NumPy's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::UInt8 => "uint8",
            Self::Int16 => "int16",
            Self::UInt16 => "uint16",
            Self::Int32 => "int32",
            Self::UInt32 => "uint32",
            Self::Int64 => "int64",
            Self::UInt64 => "uint64",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
        }
    }

    /// The type with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|element| element.name() == name)
    }

    /// The number of bytes of one element.
    pub fn size(self) -> u8 {
        match self {
            Self::Bool | Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 | Self::Float16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 => 8,
        }
    }

    /// Whether the type is a floating-point number.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Float32 | Self::Float64)
    }
}

/// An array of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    element: Element,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// The type of the elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The lengths of the axes, each at least 1.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in C order, little endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements in C order as `f32`. Integers beyond 2^24 and `float64` are rounded to the nearest `f32`.
    pub fn to_f32(&self) -> Vec<f32> {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // The documented rounding.
        match self.element {
            Element::Bool => self.map(|[byte]: [u8; 1]| f32::from(u8::from(byte != 0))),
            Element::Int8 => self.map(|bytes| f32::from(i8::from_le_bytes(bytes))),
            Element::UInt8 => self.map(|bytes| f32::from(u8::from_le_bytes(bytes))),
            Element::Int16 => self.map(|bytes| f32::from(i16::from_le_bytes(bytes))),
            Element::UInt16 => self.map(|bytes| f32::from(u16::from_le_bytes(bytes))),
            Element::Int32 => self.map(|bytes| i32::from_le_bytes(bytes) as f32),
            Element::UInt32 => self.map(|bytes| u32::from_le_bytes(bytes) as f32),
            Element::Int64 => self.map(|bytes| i64::from_le_bytes(bytes) as f32),
            Element::UInt64 => self.map(|bytes| u64::from_le_bytes(bytes) as f32),
            Element::Float16 => self.map(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Element::Float32 => self.map(f32::from_le_bytes),
            Element::Float64 => self.map(|bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    /// Which elements are greater than 0, in C order. NaN is not.
    pub fn positive(&self) -> Vec<bool> {
        match self.element {
            Element::Bool | Element::UInt8 => self.map(|[byte]: [u8; 1]| byte != 0),
            Element::Int8 => self.map(|bytes| i8::from_le_bytes(bytes) > 0),
            Element::Int16 => self.map(|bytes| i16::from_le_bytes(bytes) > 0),
            Element::UInt16 => self.map(|bytes| u16::from_le_bytes(bytes) > 0),
            Element::Int32 => self.map(|bytes| i32::from_le_bytes(bytes) > 0),
            Element::UInt32 => self.map(|bytes| u32::from_le_bytes(bytes) > 0),
            Element::Int64 => self.map(|bytes| i64::from_le_bytes(bytes) > 0),
            Element::UInt64 => self.map(|bytes| u64::from_le_bytes(bytes) > 0),
            Element::Float16 => self.map(|bytes| f16::from_le_bytes(bytes) > f16::ZERO),
            Element::Float32 => self.map(|bytes| f32::from_le_bytes(bytes) > 0.0),
            Element::Float64 => self.map(|bytes| f64::from_le_bytes(bytes) > 0.0),
        }
    }

    /// All elements, converted. `SIZE` is the size of one.
    fn map<const SIZE: usize, To>(&self, convert: impl Fn([u8; SIZE]) -> To) -> Vec<To> {
        self.bytes.as_chunks().0.iter().map(|&bytes| convert(bytes)).collect()
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize, part: &'static str) -> Result<&'a [u8], ContainerError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ContainerError::Truncated(part))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self, part: &'static str) -> Result<[u8; LENGTH], ContainerError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ContainerError::Truncated(part))?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The chunks of an array that has `length` bytes.
    fn chunks(&mut self, length: usize) -> Result<Vec<Chunk<'a>>, ContainerError> {
        let count = u32::from_le_bytes(self.array("number of chunks")?);
        let mut chunks = Vec::new();
        let mut found = 0;
        for index in 0..usize::try_from(count).unwrap_or(usize::MAX) {
            let said = u64::from_le_bytes(self.array("chunks")?);
            let bytes = usize::try_from(u64::from_le_bytes(self.array("chunks")?)).unwrap_or(usize::MAX);
            let bytes = self.take(bytes, "chunks")?;
            let chunk = Chunk::new(bytes).map_err(|source| ContainerError::Chunk { index, source })?;
            if u64::try_from(chunk.decoded_len()) != Ok(said) {
                return Err(ContainerError::ChunkLength { index, said, found: chunk.decoded_len() });
            }
            found += chunk.decoded_len(); // At most `length` before, and a chunk has at most 1 GiB.
            if found > length {
                return Err(ContainerError::Sum { expected: length, found });
            }
            chunks.push(chunk);
        }
        if found != length {
            return Err(ContainerError::Sum { expected: length, found });
        }
        Ok(chunks)
    }
}

/// An array whose headers have been read.
#[derive(Debug, Clone)]
pub struct Packed<'a> {
    element: Element,
    shape: Vec<usize>,
    length: usize,
    chunks: Vec<Chunk<'a>>,
}

impl<'a> Packed<'a> {
    /// Reads the header of an array and those of its chunks, and checks that the chunks add up to the array. Nothing is decoded yet:
    /// this needs memory for a list of the chunks, which is shorter than the body.
    ///
    /// # Errors
    /// [`ContainerError`]; also for an array that needs more than `max_bytes`.
    pub fn new(body: &'a [u8], max_bytes: usize) -> Result<Self, ContainerError> {
        let mut rest = Rest(body.strip_prefix(MAGIC).ok_or(ContainerError::Magic)?);
        let [version, codec, axes, name] = rest.array("header")?;
        if version != VERSION {
            return Err(ContainerError::Version(version));
        }
        if ![CODEC_ZSTD, CODEC_LZ4].contains(&codec) {
            return Err(ContainerError::Codec(codec));
        }
        let name = String::from_utf8_lossy(rest.take(usize::from(name), "type")?);
        let element = Element::named(&name).ok_or_else(|| ContainerError::Element(name.into_owned()))?;
        let axes = usize::from(axes);
        if !(1..=MAX_AXES).contains(&axes) {
            return Err(ContainerError::Axes(axes));
        }
        let mut shape = Vec::with_capacity(axes);
        let mut length = usize::from(element.size());
        for axis in 0..axes {
            let number = i64::from_le_bytes(rest.array("shape")?);
            if number < 1 {
                return Err(ContainerError::Axis { axis, length: number });
            }
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            length = length
                .checked_mul(number)
                .filter(|&length| length <= max_bytes)
                .ok_or(ContainerError::TooLarge { limit: max_bytes })?;
            shape.push(number);
        }
        let chunks = rest.chunks(length)?;
        if !rest.0.is_empty() {
            return Err(ContainerError::Trailing(rest.0.len()));
        }
        Ok(Self { element, shape, length, chunks })
    }

    /// The type of the elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The lengths of the axes, each at least 1.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of bytes of the array when decoded.
    pub fn decoded_len(&self) -> usize {
        self.length
    }

    /// Decodes the array. This needs memory for [`decoded_len`](Self::decoded_len) bytes, and for at most four blocks of a chunk.
    ///
    /// # Errors
    /// [`ContainerError`] if a chunk is not valid, or there is not enough memory.
    pub fn decode(self) -> Result<Array, ContainerError> {
        let Self { element, shape, length, chunks } = self;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| ContainerError::Memory(length))?;
        for (index, chunk) in chunks.iter().enumerate() {
            let begin = bytes.len();
            bytes.resize(begin + chunk.decoded_len(), 0);
            chunk.decode_into(&mut bytes[begin..]).map_err(|source| ContainerError::Chunk { index, source })?;
        }
        Ok(Array { element, shape, bytes })
    }
}

/// Decodes an array that needs at most `max_bytes`: [`Packed::new`], then [`Packed::decode`].
///
/// # Errors
/// [`ContainerError`].
pub fn decode(body: &[u8], max_bytes: usize) -> Result<Array, ContainerError> {
    Packed::new(body, max_bytes)?.decode()
}

/// Encodes an array, with LZ4.
///
/// `bytes` are the elements in C order, little endian: as many as the shape needs. Otherwise clients refuse the array.
pub fn encode(element: Element, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
    let name = element.name();
    let mut body = MAGIC.to_vec();
    body.extend_from_slice(&[VERSION, CODEC_LZ4, le_byte(shape.len()), le_byte(name.len())]);
    body.extend_from_slice(name.as_bytes());
    for &length in shape {
        body.extend_from_slice(&le(length));
    }
    let chunks = bytes.len().div_ceil(blosc::MAX_CHUNK);
    body.extend_from_slice(&u32::try_from(chunks).unwrap_or(u32::MAX).to_le_bytes());
    for chunk in bytes.chunks(blosc::MAX_CHUNK) {
        let encoded = blosc::encode(chunk, element.size());
        body.extend_from_slice(&le(chunk.len()));
        body.extend_from_slice(&le(encoded.len()));
        body.extend_from_slice(&encoded);
    }
    body
}

/// A length of memory, which fits any 64-bit number.
fn le(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes()
}

/// A number of axes, or the length of a name in [`Element::name`].
fn le_byte(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}
