//! Divides Pixel Data into frames, and decodes one of them.

use std::borrow::Cow;
use std::ops::Range;

use dicom_core::value::{PrimitiveValue, Value};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use segvol_base::memory::check_available_if_large;

use super::error::PixelError;
use super::format::PixelFormat;
use super::syntax::{Coding, TransferSyntax};
use super::values::Cell;
use super::{jpeg, jpeg2000, rle};

/// The value of Pixel Data, as `dicom-object` reads it.
#[derive(Debug, Clone, PartialEq)]
pub enum PixelData<'a> {
    /// VR OB or UN: bytes in the order of the file.
    Bytes(&'a [u8]),
    /// VR OW: words of 16 bits.
    Words(&'a [u16]),
    /// VR OL: words of 32 bits.
    Longs(&'a [u32]),
    /// Encapsulated: items with parts of code streams.
    Fragments {
        /// The items after the first.
        fragments: &'a [Vec<u8>],
        /// The first item: where the frames start, in bytes from the second item; may be empty.
        offsets: &'a [u32],
        /// Extended Offset Table and Extended Offset Table Lengths: start and length of each frame; may be empty.
        extended: Vec<[u64; 2]>,
    },
}

fn data(reason: impl Into<String>) -> PixelError {
    PixelError::Data { reason: reason.into() }
}

impl<'a> PixelData<'a> {
    /// Finds the pixels of an image.
    ///
    /// # Errors
    ///
    /// [`PixelError::Data`] if there are none, [`PixelError::Attribute`] if its offset tables cannot be read.
    pub fn of(object: &'a InMemDicomObject) -> Result<Self, PixelError> {
        let Some(element) = object.get(tags::PIXEL_DATA) else {
            let floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
            return Err(if floats.iter().any(|&tag| object.get(tag).is_some()) {
                data("expected whole numbers, found Float Pixel Data")
            } else {
                data("expected the image's pixels, found no such attribute")
            });
        };
        match element.value() {
            Value::Primitive(PrimitiveValue::U8(bytes)) => Ok(Self::Bytes(bytes)),
            Value::Primitive(PrimitiveValue::U16(words)) => Ok(Self::Words(words)),
            Value::Primitive(PrimitiveValue::U32(longs)) => Ok(Self::Longs(longs)),
            Value::Primitive(PrimitiveValue::Empty) => Ok(Self::Bytes(&[])),
            Value::Primitive(_) | Value::Sequence(_) => {
                Err(data(format!("expected value representation OB or OW, found {}", element.vr())))
            }
            Value::PixelSequence(sequence) => {
                let starts = table(object, tags::EXTENDED_OFFSET_TABLE, "Extended Offset Table")?;
                let lengths = table(object, tags::EXTENDED_OFFSET_TABLE_LENGTHS, "Extended Offset Table Lengths")?;
                if starts.len() != lengths.len() {
                    return Err(PixelError::Attribute {
                        attribute: "Extended Offset Table Lengths",
                        expected: format!("{} lengths, one for each offset", starts.len()),
                        found: lengths.len().to_string(),
                    });
                }
                let extended = starts.into_iter().zip(lengths).map(|(start, length)| [start, length]).collect();
                Ok(Self::Fragments { fragments: sequence.fragments(), offsets: sequence.offset_table(), extended })
            }
        }
    }
}

fn table(object: &InMemDicomObject, tag: dicom_core::Tag, attribute: &'static str) -> Result<Vec<u64>, PixelError> {
    let Some(element) = object.get(tag) else { return Ok(Vec::new()) };
    let unreadable = |_| PixelError::Attribute {
        attribute,
        expected: "numbers of 64 bits (OV)".to_owned(),
        found: element.vr().to_string().to_owned(),
    };
    element.value().to_multi_int().map_err(unreadable)
}

/// The frames of one image.
#[derive(Debug)]
pub struct Frames<'a> {
    format: PixelFormat,
    coding: Coding,
    data: PixelData<'a>,
    /// The fragments of each frame; empty for native pixels.
    parts: Vec<Part>,
    count: usize,
    surplus: usize,
}

/// Bytes that decoders take for each pixel of a code stream, at most.
const WHILE_DECODING: usize = 24;

/// Where the code stream of one frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    fragments: Range<usize>,
    /// Its length in bytes, if it is shorter than its fragments.
    length: Option<usize>,
}

impl<'a> Frames<'a> {
    /// Divides the pixels of an image into `count` frames: Number of Frames, or 1 if the image has no such attribute.
    ///
    /// Encapsulated frames are found by the offset table; if there is none or it does not fit, every fragment is a frame, or a
    /// frame starts at each fragment that starts like a code stream.
    ///
    /// # Errors
    ///
    /// [`PixelError::TransferSyntax`] if the transfer syntax is not decoded, [`PixelError::Attribute`] as
    /// [`PixelFormat::check`], [`PixelError::Data`] or [`PixelError::Frame`] if the pixels of some frames are missing, or there
    /// are more than `count` frames.
    pub fn new(
        format: PixelFormat,
        syntax: &TransferSyntax,
        data: PixelData<'a>,
        count: usize,
    ) -> Result<Self, PixelError> {
        format.check()?;
        let coding = syntax.coding()?;
        if count == 0 {
            let (expected, found) = ("at least 1".to_owned(), "0".to_owned());
            return Err(PixelError::Attribute { attribute: "Number of Frames", expected, found });
        }
        let mut frames = Self { format, coding, data, parts: Vec::new(), count, surplus: 0 };
        match (&frames.data, coding) {
            (PixelData::Fragments { .. }, Coding::Native { .. }) => {
                return Err(self::data(format!("expected bytes, as in {}, found encapsulated frames", syntax.name())));
            }
            (PixelData::Fragments { fragments, offsets, extended }, _) => {
                frames.parts = parts(fragments, offsets, extended, count, coding, &format)?;
            }
            (_, Coding::Native { .. }) => frames.surplus = frames.native_surplus()?,
            _ => {
                return Err(self::data(format!(
                    "expected encapsulated frames, as in {}, found bytes without items",
                    syntax.name()
                )));
            }
        }
        Ok(frames)
    }

    /// How many frames there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// How the pixels are stored.
    #[must_use]
    pub fn format(&self) -> &PixelFormat {
        &self.format
    }

    /// Bytes after the last frame of native pixels, beside the one that makes the length even. They are not used.
    #[must_use]
    pub fn surplus_bytes(&self) -> usize {
        self.surplus
    }

    /// Checks the length of native pixels, and returns how many bytes are too many.
    fn native_surplus(&self) -> Result<usize, PixelError> {
        let (words, found) = match &self.data {
            PixelData::Bytes(bytes) => (1, bytes.len()),
            PixelData::Words(words) => (2, 2 * words.len()),
            PixelData::Longs(longs) => (4, 4 * longs.len()),
            PixelData::Fragments { .. } => return Ok(0),
        };
        if words == 4 && self.format.bytes() != 4 {
            let reason = format!(
                "expected value representation OW or OB for {} Bits Allocated, found OL",
                self.format.bits_allocated
            );
            return Err(data(reason));
        }
        let frame = self.format.pixels() * self.format.bytes();
        let expected = frame.saturating_mul(self.count);
        let shape = || {
            format!(
                "{expected} bytes for {} x {} rows x {} columns of {} bits",
                self.count, self.format.rows, self.format.columns, self.format.bits_allocated
            )
        };
        if found < expected {
            let reason = format!("expected {}, found {found} bytes", shape());
            return Err(match self.count {
                1 => data(reason),
                _ => {
                    PixelError::Frame { number: found / frame + 1, reason: format!("its pixels are cut off: {reason}") }
                }
            });
        }
        // A frame more is another image; some bytes more are somebody's padding.
        if found - expected >= frame.max(2) {
            return Err(data(format!("expected {}, found {found} bytes: Number of Frames does not fit", shape())));
        }
        Ok(found - expected - (expected % 2).min(found - expected))
    }

    /// Decodes frame `index`, counted from 0: stored values, masked and with their sign, each through `map`. `out` holds Rows ×
    /// Columns values, the columns of a row side by side.
    ///
    /// # Errors
    ///
    /// [`PixelError::Frame`] if its code stream is damaged, [`PixelError::Size`] if it has another size than the image. What
    /// `out` then holds is not specified.
    ///
    /// # Panics
    ///
    /// If there is no such frame, or `out` has another length than the frame.
    pub fn decode<T>(&self, index: usize, out: &mut [T], map: impl Fn(i64) -> T) -> Result<(), PixelError> {
        assert!(index < self.count, "frame {index} of {}", self.count);
        let pixels = self.format.pixels();
        assert_eq!(out.len(), pixels, "values of a frame");
        let cell = Cell::of(&self.format);
        let first = index * pixels;
        let big = matches!(self.coding, Coding::Native { big_endian: true });
        match (&self.data, self.format.bytes()) {
            (PixelData::Bytes(bytes), 1) => cell.write(bytes[first..].iter().map(|&byte| byte.into()), out, &map),
            (PixelData::Bytes(bytes), 2) => {
                let (cells, _) = bytes[2 * first..].as_chunks::<2>();
                if big {
                    cell.write(cells.iter().map(|&cell| u16::from_be_bytes(cell).into()), out, &map);
                } else {
                    cell.write(cells.iter().map(|&cell| u16::from_le_bytes(cell).into()), out, &map);
                }
            }
            (PixelData::Bytes(bytes), _) => {
                let (cells, _) = bytes[4 * first..].as_chunks::<4>();
                if big {
                    cell.write(cells.iter().map(|&cell| u32::from_be_bytes(cell)), out, &map);
                } else {
                    cell.write(cells.iter().map(|&cell| u32::from_le_bytes(cell)), out, &map);
                }
            }
            // Two values in a word: the first is in its low byte, in any byte order (PS3.5, section 8.1.1).
            (PixelData::Words(words), 1) => {
                let cells = words[first / 2..].iter().flat_map(|word| word.to_le_bytes());
                cell.write(cells.skip(first % 2).map(u32::from), out, &map);
            }
            (PixelData::Words(words), 2) => cell.write(words[first..].iter().map(|&word| word.into()), out, &map),
            (PixelData::Words(words), _) => {
                let (cells, _) = words[2 * first..].as_chunks::<2>();
                let (low, high) = if big { (1, 0) } else { (0, 1) };
                let cells = cells.iter().map(|pair| u32::from(pair[low]) | (u32::from(pair[high]) << 16));
                cell.write(cells, out, &map);
            }
            (PixelData::Longs(longs), _) => cell.write(longs[first..].iter().copied(), out, &map),
            (PixelData::Fragments { fragments, .. }, _) => {
                let stream = self.parts[index].bytes(fragments);
                return self.decode_stream(index + 1, &stream, out, &map);
            }
        }
        Ok(())
    }

    /// Decodes the code stream of frame `number`, counted from 1.
    fn decode_stream<T>(
        &self,
        number: usize,
        stream: &[u8],
        out: &mut [T],
        map: &impl Fn(i64) -> T,
    ) -> Result<(), PixelError> {
        let format = &self.format;
        let damaged = |reason: String| PixelError::Frame { number, reason };
        check_available_if_large::<[u8; WHILE_DECODING]>("decoding a frame", out.len())?;
        let fits = |found: [usize; 2], precision: u16| {
            let expected = [format.rows, format.columns];
            if found != expected {
                return Err(PixelError::Size { number, expected, found });
            }
            if !(1..=format.bits_allocated).contains(&precision) {
                let allocated = format.bits_allocated;
                return Err(damaged(format!(
                    "expected 1 to {allocated} bits, as Bits Allocated says, found {precision}"
                )));
            }
            Ok(())
        };
        let values = match self.coding {
            Coding::Native { .. } => return Err(damaged("expected bytes, found a code stream".to_owned())),
            Coding::Rle => {
                let cells = rle::decode(stream, format).map_err(damaged)?;
                Cell::of(format).write(cells.into_iter(), out, map);
                return Ok(());
            }
            Coding::Jpeg2000 => {
                let stream = jpeg2000::code_stream(stream);
                let header = jpeg2000::header(stream).map_err(damaged)?;
                fits(header.size, header.precision)?;
                let cell = Cell::in_stream(format, header.precision, header.signed == format.signed);
                let write = |values: &[i32]| cell.write(values.iter().map(|value| value.cast_unsigned()), out, map);
                return jpeg2000::decode(stream, &header, write).map_err(damaged);
            }
            Coding::Jpeg | Coding::JpegLs => {
                let header = jpeg::header(stream).map_err(damaged)?;
                fits(header.size, header.precision)?;
                let (values, extended) = match self.coding {
                    Coding::JpegLs => (jpeg::decode_ls(stream, &header), false),
                    _ => (jpeg::decode(stream, &header), true),
                };
                let cell = Cell::in_stream(format, header.precision, extended);
                values.map(|values| (values, cell))
            }
        };
        let (values, cell) = values.map_err(damaged)?;
        cell.write(values.into_iter().map(u32::from), out, map);
        Ok(())
    }
}

impl Part {
    /// The code stream.
    fn bytes<'a>(&self, fragments: &'a [Vec<u8>]) -> Cow<'a, [u8]> {
        let own = &fragments[self.fragments.clone()];
        let length = self.length.unwrap_or(usize::MAX);
        match own {
            [one] => Cow::Borrowed(&one[..length.min(one.len())]),
            several => {
                let mut stream = several.concat();
                stream.truncate(length);
                Cow::Owned(stream)
            }
        }
    }
}

/// Divides fragments into frames.
fn parts(
    fragments: &[Vec<u8>],
    offsets: &[u32],
    extended: &[[u64; 2]],
    count: usize,
    coding: Coding,
    format: &PixelFormat,
) -> Result<Vec<Part>, PixelError> {
    if count == 1 && !fragments.is_empty() {
        return Ok(vec![Part { fragments: 0..fragments.len(), length: None }]);
    }
    if fragments.len() < count {
        let reason = format!("expected {count} frames, found {} fragments", fragments.len());
        return Err(PixelError::Frame { number: fragments.len() + 1, reason: format!("it is missing: {reason}") });
    }
    let whole = |range: Range<usize>| Part { fragments: range, length: None };
    if let Some(starts) = starts_at(fragments, extended.iter().map(|&[start, _]| start), count) {
        let ranges = ranges(&starts, fragments.len());
        let length = |range: &Range<usize>| fragments[range.clone()].iter().map(Vec::len).sum::<usize>();
        if ranges.iter().zip(extended).all(|(range, &[_, bytes])| bytes <= length(range) as u64) {
            let part = |(range, &[_, bytes]): (Range<usize>, &[u64; 2])| Part {
                fragments: range,
                length: usize::try_from(bytes).ok(),
            };
            return Ok(ranges.into_iter().zip(extended).map(part).collect());
        }
    }
    if let Some(starts) = starts_at(fragments, offsets.iter().map(|&start| start.into()), count) {
        return Ok(ranges(&starts, fragments.len()).into_iter().map(whole).collect());
    }
    if fragments.len() == count {
        return Ok((0..count).map(|index| whole(index..index + 1)).collect());
    }
    let starts: Vec<usize> =
        (0..fragments.len()).filter(|&index| starts_like_a_frame(&fragments[index], coding, format)).collect();
    if starts.len() == count && starts.first() == Some(&0) {
        return Ok(ranges(&starts, fragments.len()).into_iter().map(whole).collect());
    }
    let table =
        if offsets.is_empty() && extended.is_empty() { "no offset table" } else { "an offset table that does not fit" };
    Err(data(format!(
        "expected {count} frames, as Number of Frames says, found {} fragments, {} of which start like a frame, and {table}",
        fragments.len(),
        starts.len()
    )))
}

/// The fragments at which frames start by an offset table, if it fits: one offset for each frame, in ascending order, each that of
/// a fragment, and the first that of the first.
fn starts_at(fragments: &[Vec<u8>], offsets: impl ExactSizeIterator<Item = u64>, count: usize) -> Option<Vec<usize>> {
    if offsets.len() != count {
        return None;
    }
    let mut starts = Vec::new();
    let (mut index, mut at) = (0, 0);
    for offset in offsets {
        while at < offset && index < fragments.len() {
            // Tag and length of an item are 8 bytes; items have even lengths.
            at += 8 + (fragments[index].len() as u64).next_multiple_of(2);
            index += 1;
        }
        if at != offset || index == fragments.len() || starts.last() == Some(&index) {
            return None;
        }
        starts.push(index);
    }
    (starts.first() == Some(&0)).then_some(starts)
}

/// From each start to the next.
fn ranges(starts: &[usize], end: usize) -> Vec<Range<usize>> {
    let ends = starts[1..].iter().copied().chain([end]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Whether a fragment starts as the code stream of a frame does.
fn starts_like_a_frame(fragment: &[u8], coding: Coding, format: &PixelFormat) -> bool {
    match coding {
        Coding::Native { .. } => false,
        // The number of segments, and the offset of the first: behind the header.
        Coding::Rle => {
            fragment.starts_with(&(format.bytes() as u32).to_le_bytes()) && fragment.get(4..8) == Some(&[64, 0, 0, 0])
        }
        Coding::Jpeg | Coding::JpegLs => fragment.starts_with(&[0xff, 0xd8, 0xff]),
        Coding::Jpeg2000 => fragment.starts_with(&[0xff, 0x4f, 0xff, 0x51]) || fragment.get(4..8) == Some(b"jP  "),
    }
}
