//! JPEG (8 bits, or lossless) and JPEG-LS. The segments before the first value are read here, so that nothing is decoded whose
//! size is not that of the image; the values are decoded by other crates.
//!
//! # Source
//!
//! ITU-T T.81 (JPEG), annexes B and H; ITU-T T.87 (JPEG-LS), annex C.

use jpeg_decoder::Decoder;

/// What a code stream says about itself, without the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The second byte of the marker of its frame: which process.
    process: u8,
    /// Bits of a value.
    pub precision: u16,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Values of a pixel.
    pub components: u8,
    /// Where the values start.
    values: usize,
    /// Values after which the coding starts anew; 0 if it does not.
    restart: u16,
    /// The right shift of lossless JPEG.
    shift: u8,
    /// How JPEG-LS interleaves components.
    interleave: u8,
}

/// Sequential, 8 bits, Huffman coding; with 8 bits, extended is the same with more tables.
const BASELINE: u8 = 0xc0;
const EXTENDED: u8 = 0xc1;
/// Lossless, Huffman coding.
const LOSSLESS: u8 = 0xc3;
/// JPEG-LS.
const LS: u8 = 0xf7;

/// Reads the segments up to the values.
pub(super) fn header(stream: &[u8]) -> Result<Header, String> {
    const ENDS: &str = "expected a JPEG header, found the end of the code stream inside of it";
    if !stream.starts_with(&[0xff, 0xd8]) {
        return Err("expected a JPEG code stream, found other bytes".to_owned());
    }
    let mut header: Option<Header> = None;
    let mut restart = 0;
    let mut at = 2;
    loop {
        let &[0xff, marker] = stream.get(at..at + 2).ok_or(ENDS)? else {
            return Err(format!("expected a JPEG segment at byte {at}, found none"));
        };
        // Any number of bytes 255 may fill the space before a marker.
        if marker == 0xff {
            at += 1;
            continue;
        }
        if matches!(marker, 0x00..=0x01 | 0xd0..=0xd9) {
            return Err(format!("expected a JPEG segment at byte {at}, found the marker {marker:#x}"));
        }
        let length = stream.get(at + 2..at + 4).ok_or(ENDS)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let segment = stream.get(at + 4..at + 2 + length.max(2)).ok_or(ENDS)?;
        at += 2 + length.max(2);
        match (marker, segment) {
            (0xc0..=0xcf | LS, &[precision, r1, r0, c1, c0, components, ..])
                if !matches!(marker, 0xc4 | 0xc8 | 0xcc) =>
            {
                if header.is_some() {
                    return Err("expected one JPEG frame header, found several".to_owned());
                }
                let size = [[r1, r0], [c1, c0]].map(|pair| usize::from(u16::from_be_bytes(pair)));
                let precision = precision.into();
                let empty = (0, 0, 0, 0);
                let (values, restart, shift, interleave) = empty;
                header =
                    Some(Header { process: marker, precision, size, components, values, restart, shift, interleave });
            }
            (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | LS, _) => return Err(ENDS.to_owned()),
            (0xdd, &[high, low, ..]) => restart = u16::from_be_bytes([high, low]),
            (0xda, &[1, _, _, _, interleave, approximation, ..]) => {
                let header = header.ok_or("expected a JPEG frame header before the values, found none")?;
                return Ok(Header { values: at, restart, shift: approximation & 15, interleave, ..header });
            }
            (0xda, _) => return Err("expected one scan of one component, found another".to_owned()),
            _ => {}
        }
    }
}

impl Header {
    /// Checks that this is a process that is decoded, and that one scan holds all values. Returns where they end.
    fn check(&self, stream: &[u8], processes: &[u8], named: &str) -> Result<usize, String> {
        if !processes.contains(&self.process) {
            let found = match self.process {
                BASELINE => "baseline JPEG",
                EXTENDED => "extended sequential JPEG",
                0xc2 => "progressive JPEG",
                LOSSLESS => "lossless JPEG",
                LS => "JPEG-LS",
                0xc5..=0xc7 | 0xcd..=0xcf => "hierarchical JPEG",
                _ => "JPEG with arithmetic coding",
            };
            return Err(format!("expected {named}, found {found}"));
        }
        if self.components != 1 {
            return Err(format!("expected one component, found {}", self.components));
        }
        if !(2..=16).contains(&self.precision) {
            return Err(format!("expected values of 2 to 16 bits, found {}", self.precision));
        }
        // Markers do not occur between values: a byte 255 is followed by 0 there, or, in JPEG-LS, by less than 128.
        let stuffed = |byte: u8| if self.process == LS { byte < 0x80 } else { byte == 0 };
        let values = &stream[self.values..];
        let is_marker =
            |&(_, pair): &(usize, &[u8])| pair[0] == 0xff && !stuffed(pair[1]) && !matches!(pair[1], 0xd0..=0xd7);
        let mut markers = values.windows(2).enumerate().filter(is_marker);
        let end = markers.next().map_or(values.len(), |(at, _)| at);
        // Any number of bytes 255 may fill the space before a marker.
        match values[end..].iter().find(|&&byte| byte != 0xff) {
            Some(0xd9) => Ok(self.values + end),
            Some(other) => Err(format!("expected the end of the image after its values, found the marker {other:#x}")),
            None => Err("expected the end of the image after its values, found the end of the bytes".to_owned()),
        }
    }
}

/// Decodes JPEG with 8 bits, or lossless with 2 to 16. The header must be that of the stream, and of the image's size.
pub(super) fn decode(stream: &[u8], header: &Header) -> Result<Vec<u16>, String> {
    header.check(stream, &[BASELINE, EXTENDED, LOSSLESS], "baseline or lossless JPEG")?;
    if header.process == LOSSLESS {
        // jpeg-decoder gives wrong values for both, without an error.
        if header.restart != 0 {
            return Err("restart intervals in lossless JPEG are not supported".to_owned());
        }
        if header.shift != 0 {
            return Err("point transforms in lossless JPEG are not supported".to_owned());
        }
    } else if header.precision != 8 {
        return Err(format!("expected 8 bits, as in baseline JPEG, found {}", header.precision));
    }
    let bytes = fenced(|| Decoder::new(stream).decode().map_err(|error| error.to_string()))?;
    let pixels = header.size[0] * header.size[1];
    // Values of 8 bits are bytes; values of fewer bits are not.
    if bytes.len() == pixels {
        Ok(bytes.into_iter().map(u16::from).collect())
    } else if bytes.len() == 2 * pixels {
        Ok(bytes.as_chunks().0.iter().map(|&pair| u16::from_ne_bytes(pair)).collect())
    } else {
        Err(format!("expected {pixels} values, found {} bytes", bytes.len()))
    }
}

/// Decodes JPEG-LS, lossless or near-lossless. The header must be that of the stream, and of the image's size.
pub(super) fn decode_ls(stream: &[u8], header: &Header) -> Result<Vec<u16>, String> {
    let end = header.check(stream, &[LS], "JPEG-LS")?;
    if header.interleave != 0 {
        return Err(format!("expected no interleaving of one component, found mode {}", header.interleave));
    }
    let [rows, columns] = header.size;
    // The decoder expects the last marker right after the values, without bytes 255 that fill space.
    let stream = [&stream[..end], &[0xff, 0xd9]].concat();
    let (values, ..) =
        fenced(|| jpegls::decode(&stream, columns as u32, rows as u32).map_err(|error| error.to_string()))?;
    if values.len() != rows * columns {
        return Err(format!("expected {} values, found {}", rows * columns, values.len()));
    }
    Ok(values)
}

/// Calls another crate's decoder, which may panic on a hostile code stream: a panic becomes an error.
pub(super) fn fenced<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => Err("the decoder panicked; the code stream is damaged".to_owned()),
    }
}
