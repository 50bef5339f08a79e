//! JPEG 2000, Part 1 and Part 15 (high throughput). The main header and the headers of the tiles are read here, so that nothing
//! is decoded whose size is not that of the image, or that would take far more memory than it; the values are decoded by
//! OpenJPEG, translated to Rust.
//!
//! # Source
//!
//! ITU-T T.800 (JPEG 2000), annexes A, B and I; ITU-T T.814 (high throughput).

use std::collections::BTreeSet;

use jpeg2k::{DecodeParameters, Image};

use super::jpeg::fenced;

/// What a code stream says about itself, without the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    /// Bits of a value.
    pub precision: u16,
    /// Whether values have a sign.
    pub signed: bool,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Values of a pixel.
    components: u16,
    /// Rows and columns of a tile that are in the image, at most.
    tile: [u64; 2],
    /// How many tiles there are.
    tiles: u64,
    /// Numbers of the tiles that have values.
    found: BTreeSet<u64>,
    /// How values are divided: by the main header, and by tiles that have their own.
    divisions: Vec<Division>,
}

/// How the values of a tile are divided into parts that are coded one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Division {
    layers: u64,
    /// Binary logarithms of rows and columns of a code block.
    block: [u32; 2],
    /// Binary logarithms of rows and columns of a precinct, for each resolution, the lowest first.
    precincts: Vec<[u32; 2]>,
}

/// The code stream in a JP2 file, which DICOM does not allow but some writers store; or all bytes, if this is none.
pub(super) fn code_stream(bytes: &[u8]) -> &[u8] {
    if bytes.get(4..8) != Some(b"jP  ") {
        return bytes;
    }
    let mut rest = bytes;
    while let Some((&[a, b, c, d, kind @ ..], _)) = rest.split_first_chunk::<8>() {
        let length = match u32::from_be_bytes([a, b, c, d]) as usize {
            0 => rest.len(),
            length => length,
        };
        match (&kind, rest.get(8..length), rest.get(length..)) {
            (b"jp2c", Some(stream), _) => return stream,
            (_, Some(_), Some(next)) => rest = next,
            _ => break,
        }
    }
    bytes
}

const SOC: [u8; 2] = [0xff, 0x4f];
const SIZ: u8 = 0x51;
const COD: u8 = 0x52;
const COC: u8 = 0x53;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;
const EOC: u8 = 0xd9;

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 2).map(|two| u64::from(u16::from_be_bytes([two[0], two[1]])))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some((u16_at(bytes, at)? << 16) | u16_at(bytes, at + 2)?)
}

/// Reads the main header and the headers of all parts of tiles.
pub(super) fn header(stream: &[u8]) -> Result<Header, String> {
    const ENDS: &str = "expected a JPEG 2000 header, found the end of the code stream inside of it";
    if !stream.starts_with(&[SOC[0], SOC[1], 0xff, SIZ]) {
        return Err("expected a JPEG 2000 code stream, found other bytes".to_owned());
    }
    let mut header: Option<Header> = None;
    let mut at = 2;
    // Where the next part of a tile starts; 0: it reaches to the end.
    let mut next_part = 0;
    loop {
        let Some(&[0xff, marker]) = stream.get(at..at + 2) else {
            return Err(match stream.len().saturating_sub(at) {
                0 | 1 => ENDS.to_owned(),
                _ => format!("expected a JPEG 2000 marker at byte {at}, found none"),
            });
        };
        match marker {
            SOD => {
                if next_part == 0 {
                    break;
                }
                if next_part < at + 2 {
                    return Err(format!(
                        "expected a part of a tile that ends after byte {at}, found one that ends before it"
                    ));
                }
                at = next_part;
                // Without the last marker, all values may still be there.
                if at >= stream.len() {
                    break;
                }
                continue;
            }
            EOC => break,
            _ => {}
        }
        let length = u16_at(stream, at + 2).ok_or(ENDS)? as usize;
        let segment = stream.get(at + 4..at + 2 + length.max(2)).ok_or(ENDS)?;
        match marker {
            SIZ if header.is_none() => header = Some(siz(segment).ok_or(ENDS)??),
            SIZ => return Err("expected one JPEG 2000 image size, found several".to_owned()),
            SOT => {
                let header = header.as_mut().ok_or(ENDS)?;
                header.found.insert(u16_at(segment, 0).ok_or(ENDS)?);
                let part = u32_at(segment, 2).ok_or(ENDS)? as usize;
                next_part = if part == 0 { 0 } else { at.saturating_add(part) };
            }
            COD | COC => {
                let header = header.as_mut().ok_or(ENDS)?;
                let division = if marker == COD {
                    let layers = u16_at(segment, 2).ok_or(ENDS)?;
                    division(segment.first(), segment.get(5..), layers)
                } else {
                    let layers = header.divisions.first().map_or(1, |first| first.layers);
                    division(segment.get(1), segment.get(2..), layers)
                };
                header.divisions.push(division.ok_or(ENDS)??);
            }
            _ => {}
        }
        at += 2 + length.max(2);
    }
    header.ok_or_else(|| ENDS.to_owned())
}

/// The image's size and that of the tiles.
fn siz(segment: &[u8]) -> Option<Result<Header, String>> {
    let mut numbers = [0; 8];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = u32_at(segment, 2 + 4 * index)?;
    }
    let [right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top] = numbers;
    let components = u16_at(segment, 34)? as u16;
    let &[sample, dx, dy] = segment.get(36..39)? else { return None };
    if left >= right || top >= bottom || tile_width == 0 || tile_height == 0 || tiles_left > left || tiles_top > top {
        return Some(Err("expected an image inside of its tiles, found one outside".to_owned()));
    }
    if (dx, dy) != (1, 1) {
        return Some(Err(format!("expected a value for each pixel, found one for {dx} x {dy} pixels")));
    }
    let [width, height] = [right - left, bottom - top];
    let tiles = |start: u64, end: u64, size: u64| (end - start).div_ceil(size);
    Some(Ok(Header {
        precision: u16::from(sample & 0x7f) + 1,
        signed: sample & 0x80 != 0,
        size: [height as usize, width as usize],
        components,
        tile: [tile_height.min(height), tile_width.min(width)],
        tiles: tiles(tiles_left, right, tile_width) * tiles(tiles_top, bottom, tile_height),
        found: BTreeSet::new(),
        divisions: Vec::new(),
    }))
}

/// The parameters of COD and COC that say how values are divided.
fn division(style: Option<&u8>, parameters: Option<&[u8]>, layers: u64) -> Option<Result<Division, String>> {
    let (&levels, rest) = parameters?.split_first()?;
    let &[columns, rows, _, _, ref precincts @ ..] = rest else { return None };
    if levels > 32 {
        return Some(Err(format!("expected at most 32 resolutions, found {levels}")));
    }
    let resolutions = usize::from(levels) + 1;
    let precincts = if style? & 1 == 0 {
        vec![[15, 15]; resolutions]
    } else {
        precincts.get(..resolutions)?.iter().map(|&size| [u32::from(size >> 4), u32::from(size & 15)]).collect()
    };
    Some(Ok(Division { layers, block: [u32::from(rows & 15) + 2, u32::from(columns & 15) + 2], precincts }))
}

/// Bytes that OpenJPEG allocates for a tile, a precinct and a code block, rounded up.
const TILE: u64 = 8 << 10;
const PRECINCT: u64 = 256;
const BLOCK: u64 = 768;

/// Bytes that the parts of an image may take beside its values: for each pixel, and for an image of any size. Code blocks of 4 x 4
/// values, the smallest, take half as much.
const EACH_PIXEL: u64 = 128;
const EACH_IMAGE: u64 = 4 << 20;

impl Header {
    /// Checks that this is one component, and that its parts do not take far more memory than its values.
    fn check(&self, stream: &[u8]) -> Result<(), String> {
        if self.components != 1 {
            return Err(format!("expected one component, found {}", self.components));
        }
        // OpenJPEG leaves a tile that is missing black, without an error.
        if self.found.len() as u64 != self.tiles {
            return Err(format!("expected {} tiles, found {}", self.tiles, self.found.len()));
        }
        // Every layer has packets of at least one byte, and OpenJPEG takes time for each layer, with or without them.
        let layers = self.divisions.iter().map(|division| division.layers).max().unwrap_or(0);
        if layers > stream.len() as u64 {
            return Err(format!(
                "expected at most {} layers, the bytes of the code stream, found {layers}",
                stream.len()
            ));
        }
        let mut bytes = self.tiles.saturating_mul(TILE);
        for division in &self.divisions {
            bytes = bytes.saturating_add(division.bytes(self.tile));
        }
        let pixels = self.size[0] as u64 * self.size[1] as u64;
        let allowed = EACH_PIXEL * pixels + EACH_IMAGE;
        if bytes > allowed {
            return Err(format!(
                "expected a division into tiles, precincts and code blocks that takes at most {allowed} bytes for {pixels} values, found one of {bytes}"
            ));
        }
        Ok(())
    }
}

impl Division {
    /// Bytes that the parts of a tile of this many rows and columns take, at most.
    fn bytes(&self, tile: [u64; 2]) -> u64 {
        let levels = self.precincts.len() as u32 - 1;
        let (mut precincts, mut blocks, mut most) = (0u64, 0u64, 1u64);
        for (resolution, &precinct) in (0..).zip(&self.precincts) {
            // Three bands of half the size, or the lowest one.
            let (bands, halved) = if resolution == 0 { (1, 0) } else { (3, 1) };
            let parts = |axis: usize| {
                let length = (tile[axis] >> (levels - resolution)) + 2;
                let precincts = (length >> precinct[axis]) + 2;
                // A code block does not reach beyond its precinct.
                let block = self.block[axis].min(precinct[axis].saturating_sub(halved));
                (precincts, ((length >> halved) >> block) + precincts)
            };
            let ((rows, block_rows), (columns, block_columns)) = (parts(0), parts(1));
            precincts += bands * rows * columns;
            blocks += bands * block_rows * block_columns;
            most = most.max(rows * columns);
        }
        let packets = (self.layers + 1) * self.precincts.len() as u64 * most * 2;
        (precincts * PRECINCT).saturating_add(blocks * BLOCK).saturating_add(packets)
    }
}

/// Decodes a code stream and gives its values to `take`. The header must be that of the stream, and of the image's size.
pub(super) fn decode<T>(stream: &[u8], header: &Header, take: impl FnOnce(&[i32]) -> T) -> Result<T, String> {
    header.check(stream)?;
    fenced(|| {
        let image =
            Image::from_bytes_with(stream, DecodeParameters::new().strict(true)).map_err(|error| error.to_string())?;
        let pixels = header.size[0] * header.size[1];
        match image.components() {
            [component] if component.width() as usize * component.height() as usize == pixels => {
                Ok(take(component.data()))
            }
            components => {
                Err(format!("expected one component of {pixels} values, found {} components", components.len()))
            }
        }
    })
}
