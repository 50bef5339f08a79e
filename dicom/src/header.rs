//! Reads a file up to its pixels: what it is, and where each of its images lies.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex as _;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::attributes::identifier;
use crate::elements::{Element, Elements, Encoding, Found, look_into, walk, walk_group};
use crate::input::{Bytes, Input};

/// How many bytes tell whether a file is DICOM.
pub(crate) const HEAD_BYTES: usize = 512;

/// Most bytes of one element that are given to the parser: the functional groups of 10,000 frames have about 30 MB.
const MAX_VALUE: u64 = 256 << 20;

/// Explicit VR Big Endian: retired, and still met.
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// The attributes that are read of every file.
const WANTED: &[Tag] = &[
    tags::SPECIFIC_CHARACTER_SET,
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::MODALITY,
    tags::SERIES_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::SLICE_THICKNESS,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_NUMBER,
    tags::ACQUISITION_NUMBER,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::FRAME_OF_REFERENCE_UID,
    tags::TEMPORAL_POSITION_IDENTIFIER,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::IMAGER_PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
    tags::LOSSY_IMAGE_COMPRESSION,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
];

/// Large or known attributes that only the presence of is asked for.
const NOTED: &[Tag] = &[
    tags::DIRECTORY_RECORD_SEQUENCE,
    tags::MODALITY_LUT_SEQUENCE,
    tags::FLOAT_PIXEL_DATA,
    tags::DOUBLE_FLOAT_PIXEL_DATA,
];

/// A DICOM file up to its pixels.
#[derive(Debug)]
pub(crate) struct Header {
    /// The Transfer Syntax UID; empty if the file does not say.
    pub(crate) transfer_syntax: String,
    /// How the data set is written.
    pub(crate) encoding: Encoding,
    /// Pixel Data.
    pub(crate) pixels: Option<Element>,
    /// Bytes of the file from the value of Pixel Data to its end.
    pub(crate) bytes_left: u64,
    /// Those of [`NOTED`] that are there.
    pub(crate) noted: Vec<Tag>,
    /// The attributes of [`WANTED`].
    pub(crate) object: InMemDicomObject,
    /// Why the file cannot be read to its pixels.
    pub(crate) damage: Option<String>,
}

/// Whether a file that begins with `head` is DICOM.
pub(crate) fn is_dicom(head: &[u8]) -> bool {
    head.get(128..132) == Some(b"DICM") || bare_encoding(head).is_some()
}

/// How a data set without preamble is written: two elements in the order of their tags are asked for.
fn bare_encoding(head: &[u8]) -> Option<Encoding> {
    [Encoding::EXPLICIT, Encoding::IMPLICIT, Encoding::BIG_ENDIAN].into_iter().find(|encoding| {
        let tag = |at: usize| {
            let [a, b, c, d] = *head.get(at..)?.first_chunk::<4>()?;
            let number =
                |bytes| if encoding.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
            Some((number([a, b]), number([c, d])))
        };
        let length_after = |at: usize| {
            let [a, b, c, d] = *head.get(at + 4..)?.first_chunk::<4>()?;
            let short = if encoding.big_endian { u16::from_be_bytes([c, d]) } else { u16::from_le_bytes([c, d]) };
            match (encoding.explicit, &[a, b]) {
                (true, b"OB" | b"OW" | b"UN" | b"SQ" | b"UT") => {
                    // A long length: the version in group 2 has 2 bytes.
                    let long = *head.get(at + 8..)?.first_chunk::<4>()?;
                    let long = if encoding.big_endian { u32::from_be_bytes(long) } else { u32::from_le_bytes(long) };
                    long.checked_add(4)
                }
                (true, [b'A'..=b'Z', b'A'..=b'Z']) => Some(u32::from(short)),
                (true, _) => None,
                (false, _) => Some(u32::from_le_bytes([a, b, c, d])),
            }
        };
        let Some(first @ (0x0002 | 0x0008, element)) = tag(0) else { return false };
        let Some(length) = length_after(0) else { return false };
        if element > 0x0100 || length > 256 || length % 2 != 0 {
            return false;
        }
        let next = 8 + length as usize;
        let Some(second) = tag(next) else { return false };
        second > first
            && matches!(second.0, 0x0002 | 0x0008 | 0x0010)
            && length_after(next).is_some_and(|length| length <= 1 << 16)
    })
}

/// How the data set after the preamble and group 2 is written, and where it begins.
struct Start {
    transfer_syntax: String,
    encoding: Encoding,
    at: u64,
}

/// Reads group 2 ourselves: the library refuses files over an application title of more than 16 bytes.
fn start(bytes: &mut Bytes) -> Result<Start, String> {
    let io = |error: std::io::Error| error.to_string();
    let head_bytes = bytes.length().min(HEAD_BYTES as u64);
    let head = bytes.take(0, head_bytes)?;
    let after_preamble = if head.get(128..132) == Some(b"DICM") { 132 } else { 0 };
    let rest = bytes.take(after_preamble, (bytes.length() - after_preamble).min(HEAD_BYTES as u64))?;
    let guess = |rest: &[u8]| bare_encoding(rest).unwrap_or(Encoding::IMPLICIT);
    if !rest.starts_with(&[2, 0]) {
        return Ok(Start { transfer_syntax: String::new(), encoding: guess(&rest), at: after_preamble });
    }
    let types = bytes.peek::<6>(after_preamble).map_err(io)?.unwrap_or_default();
    let explicit = types[4..].iter().all(u8::is_ascii_uppercase);
    let encoding = if explicit { Encoding::EXPLICIT } else { Encoding::IMPLICIT };
    let (group, at) = walk_group(bytes, after_preamble, encoding, 2)?;
    let transfer_syntax = identifier_of(bytes, &group, tags::TRANSFER_SYNTAX_UID)?;
    let encoding = match transfer_syntax.as_str() {
        "" => {
            let rest = bytes.take(at, (bytes.length() - at).min(HEAD_BYTES as u64))?;
            guess(&rest)
        }
        uids::IMPLICIT_VR_LITTLE_ENDIAN => Encoding::IMPLICIT,
        BIG_ENDIAN => Encoding::BIG_ENDIAN,
        _ => Encoding::EXPLICIT,
    };
    Ok(Start { transfer_syntax, encoding, at })
}

/// An identifier in group 2; empty if it is not there.
fn identifier_of(bytes: &mut Bytes, group: &Elements, tag: Tag) -> Result<String, String> {
    let stated = match group.found.iter().find(|found| found.element.tag == tag) {
        Some(Found { element, end, .. }) if end - element.value <= 128 => {
            bytes.take(element.value, end - element.value)?
        }
        Some(_) | None => Vec::new(),
    };
    let stated = String::from_utf8_lossy(&stated);
    Ok(stated.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
}

/// The SOP class of a file, as its group 2 says; empty if it does not.
pub(crate) fn class_of(input: &Input) -> Result<String, String> {
    let mut bytes = input.open()?;
    let head = bytes.take(0, bytes.length().min(HEAD_BYTES as u64))?;
    if head.get(128..132) != Some(b"DICM") {
        return Ok(String::new());
    }
    let (group, _) = walk_group(&mut bytes, 132, Encoding::EXPLICIT, 2)?;
    identifier_of(&mut bytes, &group, tags::MEDIA_STORAGE_SOP_CLASS_UID)
}

/// Whether the data set of this transfer syntax is deflated.
fn is_deflated(transfer_syntax: &str) -> bool {
    [uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, uids::JPIP_REFERENCED_DEFLATE, uids::JPIPHTJ2K_REFERENCED_DEFLATE]
        .contains(&transfer_syntax)
}

/// The transfer syntax of a file, and its bytes, unpacked if they were deflated; elements begin at `at`.
fn opened(input: &Input) -> Result<(Start, Bytes), String> {
    let mut bytes = input.open()?;
    let mut start = start(&mut bytes)?;
    if is_deflated(&start.transfer_syntax) {
        bytes = bytes.inflated(start.at)?;
        start.at = 0;
    }
    Ok((start, bytes))
}

/// The bytes of a file in which [`Header::pixels`] lies.
pub(crate) fn open_pixels(input: &Input) -> Result<Bytes, String> {
    Ok(opened(input)?.1)
}

/// Reads a file up to its pixels.
///
/// # Errors
///
/// A part of a sentence if not even the first elements can be read.
pub(crate) fn read_header(input: &Input) -> Result<Header, String> {
    let (start, mut bytes) = opened(input)?;
    let elements = walk(&mut bytes, start.at, start.encoding);
    if elements.found.is_empty() && elements.pixels.is_none() {
        return Err(elements.damage.unwrap_or_else(|| "there are no elements in it, it may be truncated".to_owned()));
    }
    let noted = elements.found.iter().map(|found| found.element.tag).filter(|tag| NOTED.contains(tag)).collect();
    let object = parse(&mut bytes, &elements, start.encoding, |tag| WANTED.contains(&tag));
    let (object, unread) = object?;
    let damage = elements.damage.or_else(|| unread.map(|tag| format!("its element {tag} cannot be read")));
    Ok(Header {
        transfer_syntax: start.transfer_syntax,
        encoding: start.encoding,
        bytes_left: bytes.length() - elements.pixels.map_or(0, |pixels| pixels.value.min(bytes.length())),
        pixels: elements.pixels,
        noted,
        object,
        damage,
    })
}

/// All attributes of a file but pixels, overlays, curves, private ones and retired lengths of groups.
///
/// # Errors
///
/// A part of a sentence if the file cannot be read.
pub(crate) fn read_attributes(input: &Input) -> Result<InMemDicomObject, String> {
    let (start, mut bytes) = opened(input)?;
    let elements = walk(&mut bytes, start.at, start.encoding);
    let wanted = |tag: Tag| {
        let group = tag.group();
        let is_pixels = matches!(group, 0x5000..=0x50ff | 0x6000..=0x60ff | 0x7fe0) && group != 0x5200;
        group.is_multiple_of(2) && group >= 0x0008 && tag.element() != 0 && !is_pixels
    };
    let (mut object, _) = parse(&mut bytes, &elements, start.encoding, wanted)?;
    object.retain(|element| wanted(element.header().tag));
    Ok(object)
}

/// All attributes of a file but pixels and private ones.
///
/// # Errors
///
/// A part of a sentence if the file is damaged or truncated anywhere before its pixels.
pub(crate) fn read_whole(input: &Input) -> Result<InMemDicomObject, String> {
    let (start, mut bytes) = opened(input)?;
    let elements = walk(&mut bytes, start.at, start.encoding);
    if let Some(damage) = elements.damage {
        return Err(damage);
    }
    let wanted = |tag: Tag| tag.group().is_multiple_of(2) && tag.group() >= 0x0008 && tag.element() != 0;
    match parse(&mut bytes, &elements, start.encoding, wanted)? {
        (object, None) => Ok(object),
        (_, Some(tag)) => Err(format!("its element {tag} cannot be read")),
    }
}

/// Checks that every length in a file fits the file and the type of its element, also after the pixels, and that sequences are not nested
/// too deep.
///
/// # Errors
///
/// A part of a sentence.
pub(crate) fn check_lengths(input: &Input) -> Result<(), String> {
    let (start, mut bytes) = opened(input)?;
    let mut at = start.at;
    loop {
        let elements = walk(&mut bytes, at, start.encoding);
        let pixels = elements.pixels.map(|pixels| look_into(&mut bytes, pixels, start.encoding)).transpose();
        if let Some(damage) = elements.damage {
            return Err(damage);
        }
        let pixels = pixels?;
        if let Some(tag) = elements.found.iter().chain(&pixels).find_map(|found| found.broken) {
            return Err(format!("its element {tag} cannot be read: its length does not fit its type"));
        }
        match pixels {
            Some(pixels) => at = pixels.end,
            None => {
                let end = elements.found.last().map_or(at, |found| found.end);
                return check_zeros(&mut bytes, end);
            }
        }
    }
}

/// Checks that nothing but zeros follows the last element: other parsers go on after them, and take a length from there.
fn check_zeros(bytes: &mut Bytes, mut at: u64) -> Result<(), String> {
    const STEP: u64 = 1 << 16;
    // Up to 7 bytes are no element.
    while bytes.length().saturating_sub(at) >= 8 {
        let count = STEP.min(bytes.length() - at);
        if bytes.take(at, count)?.iter().any(|&byte| byte != 0) {
            return Err(format!("there are bytes after the last element, at byte {at} or later"));
        }
        at += count;
    }
    Ok(())
}

/// Reads the wanted elements. Where all of them together cannot be read, each is read alone, and the first that cannot be is
/// returned.
fn parse(
    bytes: &mut Bytes,
    elements: &Elements,
    encoding: Encoding,
    wanted: impl Fn(Tag) -> bool,
) -> Result<(InMemDicomObject, Option<Tag>), String> {
    let mut buffer = Vec::new();
    let mut parts = Vec::new();
    let mut character_set = 0..0;
    let mut unread = None;
    for Found { element, end, broken } in elements.found.iter().filter(|found| wanted(found.element.tag)) {
        if broken.is_some() {
            unread = unread.or(Some(element.tag));
            continue;
        }
        let length = end - element.start;
        if length + buffer.len() as u64 > MAX_VALUE {
            return Err(format!("its element {} is too large: {length} bytes", element.tag));
        }
        let start = buffer.len();
        buffer.extend(bytes.take(element.start, length)?);
        if element.tag == tags::SPECIFIC_CHARACTER_SET {
            character_set = start..buffer.len();
        }
        parts.push((element.tag, start..buffer.len()));
    }
    if let Some(object) = parse_bytes(&buffer, encoding) {
        return Ok((object, unread));
    }
    let mut object = InMemDicomObject::new_empty();
    for (tag, part) in parts {
        // With its character set before it.
        let mut alone = buffer[character_set.clone()].to_vec();
        if tag != tags::SPECIFIC_CHARACTER_SET {
            alone.extend_from_slice(&buffer[part]);
        }
        match parse_bytes(&alone, encoding).or_else(|| parse_bytes(&alone[character_set.len()..], encoding)) {
            Some(part) => part.into_iter().for_each(|element| drop(object.put(element))),
            None => unread = unread.or(Some(tag)),
        }
    }
    Ok((object, unread))
}

/// Calls the library that reads data sets: a panic in it becomes an error.
fn parse_bytes(bytes: &[u8], encoding: Encoding) -> Option<InMemDicomObject> {
    let uid = match encoding {
        Encoding::IMPLICIT => uids::IMPLICIT_VR_LITTLE_ENDIAN,
        Encoding::BIG_ENDIAN => BIG_ENDIAN,
        _ => uids::EXPLICIT_VR_LITTLE_ENDIAN,
    };
    let syntax = TransferSyntaxRegistry.get(uid)?;
    catch_unwind(AssertUnwindSafe(|| InMemDicomObject::read_dataset_with_ts(bytes, syntax))).ok()?.ok()
}

/// The name of a transfer syntax, as people say it.
pub(crate) fn transfer_syntax_name(uid: &str) -> String {
    match (uid, TransferSyntaxRegistry.get(uid)) {
        ("", _) => "not stated".to_owned(),
        (_, Some(syntax)) => syntax.name().to_owned(),
        (uid, None) => uid.to_owned(),
    }
}

/// What a SOP class is, in words: `a segmentation (Segmentation Storage)`; `None` if this is an image, or not known.
pub(crate) fn other_object(object: &InMemDicomObject) -> Option<String> {
    let class = identifier(object, tags::SOP_CLASS_UID)?;
    let known = NOT_SCANS.iter().find(|(uid, _)| *uid == class);
    if let Some((_, name)) = known {
        return Some((*name).to_owned());
    }
    let family = |prefix: &str, name: &str| class.starts_with(prefix).then(|| format!("{name} ({class})"));
    family("1.2.840.10008.5.1.4.1.1.88.", "a structured report")
        .or_else(|| family("1.2.840.10008.5.1.4.1.1.11.", "a presentation state"))
        .or_else(|| family("1.2.840.10008.5.1.4.1.1.104.", "an encapsulated document"))
        .or_else(|| family("1.2.840.10008.5.1.4.1.1.9.", "a waveform"))
        .or_else(|| {
            family("1.2.840.10008.5.1.4.1.1.481.", "a radiotherapy object").filter(|_| !class.ends_with(".481.1"))
        })
        .or_else(|| family("1.2.840.10008.5.1.4.1.1.66.", "registration, segmentation or raw data"))
}

/// SOP classes that are no scans although they may have pixels and positions.
const NOT_SCANS: &[(&str, &str)] = &[
    ("1.2.840.10008.1.3.10", "a directory (DICOMDIR)"),
    ("1.2.840.10008.5.1.4.1.1.66.4", "a segmentation (Segmentation Storage)"),
    ("1.2.840.10008.5.1.4.1.1.66.7", "a segmentation (Label Map Segmentation Storage)"),
    ("1.2.840.10008.5.1.4.1.1.66.5", "a segmentation (Surface Segmentation Storage)"),
    ("1.2.840.10008.5.1.4.1.1.66.1", "a registration (Spatial Registration Storage)"),
    ("1.2.840.10008.5.1.4.1.1.66.3", "a registration (Deformable Spatial Registration Storage)"),
    ("1.2.840.10008.5.1.4.1.1.66", "raw data (Raw Data Storage)"),
    ("1.2.840.10008.5.1.4.1.1.30", "a parametric map (Parametric Map Storage)"),
    ("1.2.840.10008.5.1.4.1.1.481.2", "a radiotherapy dose (RT Dose Storage)"),
    ("1.2.840.10008.5.1.4.1.1.481.3", "contours (RT Structure Set Storage)"),
    ("1.2.840.10008.5.1.4.1.1.481.5", "a radiotherapy plan (RT Plan Storage)"),
    ("1.2.840.10008.5.1.4.1.1.88.59", "a list of images (Key Object Selection Document Storage)"),
    ("1.2.840.10008.5.1.4.1.1.88.67", "a dose report (X-Ray Radiation Dose SR Storage)"),
    ("1.2.840.10008.5.1.4.1.1.11.1", "a presentation state (Grayscale Softcopy Presentation State Storage)"),
    ("1.2.840.10008.5.1.4.1.1.104.1", "a document (Encapsulated PDF Storage)"),
];
