//! Reads voxels: raw, compressed, or as text; from the header's file or from others.

use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use flate2::bufread::ZlibDecoder;
use segvol_base::{Warning, WarningCode, memory};

use super::{Place, Places, RasterError, shown};
use crate::nifti::{ByteOrder, CHUNK_BYTES, Datatype, GZIP_MAGIC, MAX_TRAILING, MAX_VOX_OFFSET, Members, convert};

/// The longest number as text.
const LONGEST_NUMBER: u64 = 512;

/// How voxels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Raw,
    /// gzip, of any number of members.
    Gzip,
    /// zlib, or gzip; of this many bytes if that is known.
    Zlib(Option<u64>),
    /// Numbers as text, separated by spaces, commas or line ends.
    Text,
}

/// Where voxels begin in a file, or after a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// After this many lines and then this many bytes; of compressed voxels, the bytes are unpacked ones.
    After { lines: u64, bytes: u64 },
    /// So that the last voxel is followed by this many bytes.
    FromEnd { trailing: u64 },
}

/// What the voxels are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) datatype: Datatype,
    pub(crate) order: ByteOrder,
    pub(crate) encoding: Encoding,
    pub(crate) start: Start,
    /// The number of values in all files together.
    pub(crate) values: usize,
}

/// What the values become in memory.
pub(crate) trait Element: Copy {
    /// What a value must be, for messages.
    const EXPECTED: &'static str;

    /// Appends the values in `bytes`. An error is the number of a value that cannot be converted, from 0, and the value.
    fn append(
        bytes: &[u8],
        datatype: Datatype,
        order: ByteOrder,
        values: &mut Vec<Self>,
    ) -> Result<(), (usize, String)>;

    /// A number that stood as text.
    fn of_number(number: f64) -> Option<Self>;
}

impl Element for f32 {
    const EXPECTED: &'static str = "a number of the type that the header says";

    fn append(
        bytes: &[u8],
        datatype: Datatype,
        order: ByteOrder,
        values: &mut Vec<f32>,
    ) -> Result<(), (usize, String)> {
        convert(bytes, datatype, order, None, values);
        Ok(())
    }

    fn of_number(number: f64) -> Option<Self> {
        Some(number as f32)
    }
}

/// Labels.
impl Element for u16 {
    const EXPECTED: &'static str = "a label, a whole number from 0 to 65535";

    fn append(
        bytes: &[u8],
        datatype: Datatype,
        order: ByteOrder,
        values: &mut Vec<u16>,
    ) -> Result<(), (usize, String)> {
        macro_rules! append {
            ($type:ty) => {{
                let decode = match order {
                    ByteOrder::Little => <$type>::from_le_bytes,
                    ByteOrder::Big => <$type>::from_be_bytes,
                };
                let (chunks, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                for (index, &chunk) in chunks.iter().enumerate() {
                    let value = decode(chunk);
                    let label = value as u16;
                    // Also true of NaN.
                    if label as $type != value {
                        return Err((index, value.to_string()));
                    }
                    values.push(label);
                }
            }};
        }
        match datatype {
            Datatype::U8 => values.extend(bytes.iter().map(|&value| u16::from(value))),
            // A byte would be cut to the label before it is compared.
            Datatype::I8 => {
                for (index, &value) in bytes.iter().enumerate() {
                    values.push(
                        u16::try_from(value.cast_signed()).map_err(|_| (index, value.cast_signed().to_string()))?,
                    );
                }
            }
            Datatype::U16 => append!(u16),
            // The same as for a byte.
            Datatype::I16 => {
                let decode = if order == ByteOrder::Little { i16::from_le_bytes } else { i16::from_be_bytes };
                for (index, &chunk) in bytes.as_chunks::<2>().0.iter().enumerate() {
                    let value = decode(chunk);
                    values.push(u16::try_from(value).map_err(|_| (index, value.to_string()))?);
                }
            }
            Datatype::U32 => append!(u32),
            Datatype::I32 => append!(i32),
            Datatype::U64 => append!(u64),
            Datatype::I64 => append!(i64),
            Datatype::F32 => append!(f32),
            Datatype::F64 => append!(f64),
        }
        Ok(())
    }

    fn of_number(number: f64) -> Option<Self> {
        (f64::from(number as u16) == number).then_some(number as u16)
    }
}

/// Reads all values. `here` is the reader after the header, and how many bytes it still has, if that is known. Returns the values
/// and the paths of the files that they were read from, apart from the header's own.
pub(crate) fn read<T: Element>(
    here: (impl BufRead, Option<u64>),
    place: &Place,
    places: Places<'_>,
    layout: Layout,
    warnings: &mut Vec<Warning>,
) -> Result<(Vec<T>, Vec<PathBuf>), RasterError> {
    let mut values = Values { all: Vec::new(), layout, warnings };
    let Place::Files(names) = place else {
        let (reader, length) = here;
        values.add(reader, length, None, layout.values)?;
        return Ok((values.all, Vec::new()));
    };
    let each = layout.values / names.len().max(1);
    if names.is_empty() || each * names.len() != layout.values {
        return Err(RasterError::field(
            places.field,
            format!("files for {} voxels", layout.values),
            format!("{} files", names.len()),
        ));
    }
    let mut paths = Vec::with_capacity(names.len());
    for name in names {
        let (reader, path, length) = places.open(name)?;
        paths.push(path);
        values.add(reader, Some(length), Some(name), each)?;
    }
    Ok((values.all, paths))
}

/// The values so far.
struct Values<'a, T> {
    all: Vec<T>,
    layout: Layout,
    warnings: &'a mut Vec<Warning>,
}

impl<T: Element> Values<'_, T> {
    /// Adds `count` values of a file.
    fn add(
        &mut self,
        mut reader: impl BufRead,
        length: Option<u64>,
        name: Option<&str>,
        count: usize,
    ) -> Result<(), RasterError> {
        let size = self.layout.datatype.bytes();
        let expected = count as u64 * size as u64; // at most 2^31 * 8: no overflow
        let short = |found: u64| RasterError::ShortData {
            name: name.map(|name| shown(name).trim_matches('"').to_owned()),
            expected,
            found,
            unit: "bytes of voxels",
        };
        let mut left = length;
        if let Start::After { lines, .. } = self.layout.start {
            for _ in 0..lines {
                let read = skip_line(&mut reader)?;
                if read == 0 {
                    return Err(short(0));
                }
                left = left.map(|left| left.saturating_sub(read));
            }
        }
        let skipped = match (self.layout.start, left) {
            (Start::After { bytes, .. }, _) => bytes,
            (Start::FromEnd { trailing }, Some(left)) => left
                .checked_sub(trailing)
                .and_then(|end| end.checked_sub(expected))
                .ok_or_else(|| short(left.saturating_sub(trailing)))?,
            (Start::FromEnd { .. }, None) => {
                let reason = "a file whose length is known, because the voxels begin so many bytes before its end";
                return Err(RasterError::field("byte skip", reason, "a stream"));
            }
        };
        match self.layout.encoding {
            Encoding::Raw => {
                if let Some(left) = left {
                    if left.saturating_sub(skipped) < expected {
                        return Err(short(left.saturating_sub(skipped)));
                    }
                    // The length was just checked. Only then is memory allocated for all voxels at once.
                    self.reserve(count)?;
                }
                let mut stream = Stream { reader: &mut reader, packed: None, position: 0 };
                self.add_stream(&mut stream, skipped, count, &short)?;
                let trailing = match (self.layout.start, left) {
                    (Start::FromEnd { .. }, _) => 0,
                    (_, Some(left)) => left - skipped - expected,
                    (_, None) => stream.trailing()?,
                };
                self.warn_of_trailing(trailing, name);
            }
            Encoding::Text => {
                if io::copy(&mut (&mut reader).take(skipped), &mut io::sink())? < skipped {
                    return Err(short(0));
                }
                self.add_text(&mut reader, name, count)?;
            }
            Encoding::Gzip => {
                let mut members = Members::new(reader);
                let mut stream = Stream { reader: &mut members, packed: Some("gzip"), position: 0 };
                self.add_stream(&mut stream, skipped, count, &short)?;
                let trailing = stream.trailing()?;
                self.warn_of_trailing(trailing, name);
                if members.has_trailing_bytes() {
                    let message = "the bytes after the gzip stream are not gzip data and were ignored";
                    self.warnings.push(Warning::new(WarningCode::TrailingBytes, message));
                }
            }
            Encoding::Zlib(packed) => {
                let mut reader = reader.take(packed.unwrap_or(u64::MAX));
                let trailing = if reader.fill_buf()?.first() == Some(&GZIP_MAGIC[0]) {
                    let mut members = Members::new(reader);
                    let mut stream = Stream { reader: &mut members, packed: Some("gzip"), position: 0 };
                    self.add_stream(&mut stream, skipped, count, &short)?;
                    stream.trailing()?
                } else {
                    let mut decoder = ZlibDecoder::new(reader);
                    let mut stream = Stream { reader: &mut decoder, packed: Some("zlib"), position: 0 };
                    self.add_stream(&mut stream, skipped, count, &short)?;
                    stream.trailing()?
                };
                self.warn_of_trailing(trailing, name);
            }
        }
        Ok(())
    }

    fn reserve(&mut self, more: usize) -> Result<(), RasterError> {
        Ok(memory::reserve("the voxels", &mut self.all, more)?)
    }

    /// Makes room for `arrived` values: at most twice what has arrived, and never more than the header promises.
    fn grow(&mut self, arrived: usize) -> Result<(), RasterError> {
        if self.all.capacity() - self.all.len() < arrived {
            let left = self.layout.values - self.all.len();
            self.reserve(arrived.max(self.all.len()).min(left))?;
        }
        Ok(())
    }

    fn add_stream(
        &mut self,
        stream: &mut Stream<'_>,
        skipped: u64,
        count: usize,
        short: &impl Fn(u64) -> RasterError,
    ) -> Result<(), RasterError> {
        let (datatype, order) = (self.layout.datatype, self.layout.order);
        let size = datatype.bytes();
        let mut buffer = Vec::new();
        let bytes = CHUNK_BYTES.min(count.saturating_mul(size)).max(1 << 12);
        memory::reserve("a chunk of the file", &mut buffer, bytes)?;
        buffer.resize(bytes, 0);
        while stream.position < skipped {
            let wanted = (skipped - stream.position).min(buffer.len() as u64) as usize;
            if stream.fill(&mut buffer[..wanted])? < wanted {
                return Err(short(0));
            }
        }
        let (first, mut done) = (self.all.len(), 0);
        while done < count {
            let wanted = ((count - done) * size).min(buffer.len() / size * size);
            let found = stream.fill(&mut buffer[..wanted])?;
            if found < wanted {
                return Err(short((done * size + found) as u64));
            }
            self.grow(wanted / size)?;
            T::append(&buffer[..wanted], datatype, order, &mut self.all).map_err(|(index, found)| {
                RasterError::Voxel { index: (first + done + index) as u64, expected: T::EXPECTED, found }
            })?;
            done += wanted / size;
        }
        Ok(())
    }

    fn add_text(&mut self, reader: &mut impl BufRead, name: Option<&str>, count: usize) -> Result<(), RasterError> {
        let first = self.all.len();
        let mut word = Vec::new();
        while self.all.len() - first < count {
            let index = self.all.len() as u64;
            if !next_word(reader, &mut word)? {
                return Err(RasterError::ShortData {
                    name: name.map(|name| shown(name).trim_matches('"').to_owned()),
                    expected: count as u64,
                    found: index - first as u64,
                    unit: "numbers",
                });
            }
            let text = String::from_utf8_lossy(&word);
            let number = text.parse::<f64>().ok().filter(|&number| fits(self.layout.datatype, number));
            let value = number.and_then(T::of_number);
            let value =
                value.ok_or_else(|| RasterError::Voxel { index, expected: T::EXPECTED, found: shown(&text) })?;
            self.grow(1)?;
            self.all.push(value);
        }
        if next_word(reader, &mut word)? {
            let message = "there are more numbers after the last voxel, which were ignored";
            self.warnings.push(Warning::new(WarningCode::TrailingBytes, message));
        }
        Ok(())
    }

    fn warn_of_trailing(&mut self, trailing: u64, name: Option<&str>) {
        if trailing > 0 {
            let more = if trailing >= MAX_TRAILING { "at least " } else { "" };
            let file = name.map(|name| format!(" of {}", shown(name))).unwrap_or_default();
            let message = format!("{more}{trailing} bytes after the last voxel{file} were ignored");
            self.warnings.push(Warning::new(WarningCode::TrailingBytes, message));
        }
    }
}

/// Whether a number is one of the type.
fn fits(datatype: Datatype, number: f64) -> bool {
    let within = |minimum: f64, beyond: f64| number.fract() == 0.0 && (minimum..beyond).contains(&number);
    match datatype {
        Datatype::U8 => within(0.0, 256.0),
        Datatype::I8 => within(-128.0, 128.0),
        Datatype::U16 => within(0.0, 65_536.0),
        Datatype::I16 => within(-32_768.0, 32_768.0),
        Datatype::U32 => within(0.0, 2f64.powi(32)),
        Datatype::I32 => within(-2f64.powi(31), 2f64.powi(31)),
        Datatype::U64 => within(0.0, 2f64.powi(64)),
        Datatype::I64 => within(-2f64.powi(63), 2f64.powi(63)),
        Datatype::F32 | Datatype::F64 => true,
    }
}

/// Reads the next word into `word`. `false` at the end of the file.
fn next_word(reader: &mut impl BufRead, word: &mut Vec<u8>) -> Result<bool, RasterError> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',' || *byte == 0;
    word.clear();
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(!word.is_empty());
        }
        let before = if word.is_empty() { bytes.iter().take_while(|byte| is_space(byte)).count() } else { 0 };
        let rest = &bytes[before..];
        let length = rest.iter().position(is_space);
        word.extend_from_slice(&rest[..length.unwrap_or(rest.len()).min(LONGEST_NUMBER as usize)]);
        let used = before + length.unwrap_or(rest.len());
        reader.consume(used);
        if (length.is_some() && !word.is_empty()) || word.len() as u64 >= LONGEST_NUMBER {
            return Ok(true);
        }
    }
}

/// Reads to the end of a line. Returns the number of bytes; 0 at the end of the file.
fn skip_line(reader: &mut impl BufRead) -> Result<u64, RasterError> {
    let mut read = 0;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(read);
        }
        let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let used = end.unwrap_or(bytes.len());
        reader.consume(used);
        read += used as u64;
        if end.is_some() {
            return Ok(read);
        }
    }
}

/// Bytes as they are unpacked.
struct Stream<'a> {
    reader: &'a mut dyn Read,
    /// The compression, for messages.
    packed: Option<&'static str>,
    position: u64,
}

impl Stream<'_> {
    /// Fills `buffer`, or less if the stream ends. Returns the number of bytes read.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, RasterError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => match self.packed {
                    // The stream is cut off. The caller reports what is missing.
                    Some(_) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                    Some(encoding) => {
                        let position = self.position + filled as u64;
                        return Err(RasterError::Stream { encoding, position, reason: error.to_string() });
                    }
                    None => return Err(error.into()),
                },
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// The number of bytes that follow, up to [`MAX_TRAILING`]. A compressed stream's checksum is verified only when the stream
    /// is read to its end.
    fn trailing(&mut self) -> Result<u64, RasterError> {
        let mut buffer = [0; 1 << 14];
        let mut trailing = 0;
        while trailing < MAX_TRAILING {
            match self.fill(&mut buffer)? {
                0 => break,
                found => trailing += found as u64,
            }
        }
        Ok(trailing)
    }
}

/// Checks the number of bytes before the voxels: of compressed ones it is limited, because they must be unpacked.
pub(crate) fn check_skip(field: &'static str, encoding: Encoding, bytes: u64) -> Result<u64, RasterError> {
    let limit = match encoding {
        Encoding::Raw | Encoding::Text => u64::MAX,
        Encoding::Gzip | Encoding::Zlib(_) => MAX_VOX_OFFSET,
    };
    if bytes > limit {
        return Err(RasterError::field(field, format!("at most {limit} bytes"), bytes.to_string()));
    }
    Ok(bytes)
}
