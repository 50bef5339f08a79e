//! Finds the elements of a data set without reading their values, and checks that every length fits the file.
//!
//! The library that then reads the values sees only bytes that were walked here: it meets no length beyond the file, and no
//! sequence nested deeper than [`MAX_DEPTH`].
//!
//! # Source
//!
//! DICOM PS3.5, sections 7.1 (elements), 7.5 (sequences), A.4 (encapsulated pixels), and 6.2.2 note 2 (UN of undefined length).

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use crate::input::Bytes;

/// How deep sequences may be nested: the deepest of a CT have four levels.
const MAX_DEPTH: usize = 16;

/// How many elements a data set may have outside of sequences.
const MAX_ELEMENTS: usize = 1 << 16;

/// Items begin with this tag, and end with one of the others.
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// Whether each element states its type.
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

impl Encoding {
    pub(crate) const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub(crate) const EXPLICIT: Self = Self { explicit: true, big_endian: false };
    pub(crate) const BIG_ENDIAN: Self = Self { explicit: true, big_endian: true };

    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// One element: its tag, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) tag: Tag,
    /// Where the tag is.
    pub(crate) start: u64,
    /// Where the value is.
    pub(crate) value: u64,
    /// Bytes of the value; `None` if it ends with a delimiter.
    pub(crate) length: Option<u64>,
    vr: Option<[u8; 2]>,
}

impl Element {
    fn has_vr(&self, names: &[&[u8; 2]]) -> bool {
        self.vr.is_some_and(|vr| names.contains(&&vr))
    }

    /// Whether the value is words of 16 bits.
    pub(crate) fn is_words(&self) -> bool {
        self.vr.is_none() || self.has_vr(&[b"OW"])
    }

    /// Whether the library finds the same end of its value. Where it does not, it takes what follows for an element, whose length it
    /// believes: up to 4 GB of memory for a few bytes.
    fn is_read_alike(&self) -> bool {
        let Some(length) = self.length else {
            // Fragments are pixels to the library, and items of another type have the encoding of the file, not implicit types.
            let is_fragments = self.has_vr(&[b"OB", b"OW"]);
            return if self.tag == tags::PIXEL_DATA { is_fragments } else { !is_fragments && !self.has_vr(&[b"UN"]) };
        };
        // In the padding between elements the library sees one with a longer header.
        (self.tag, length) != (Tag(0, 0), 0) && length % self.bytes_of_a_value() == 0
    }

    /// Bytes of one value: the library rounds their number down.
    fn bytes_of_a_value(&self) -> u64 {
        let is_overlay = self.tag.group() >> 8 == 0x60 && self.tag.element() == 0x3000;
        match self.vr {
            Some(vr) => match &vr {
                b"US" | b"SS" | b"OW" => 2,
                b"UL" | b"SL" | b"FL" | b"AT" | b"OF" | b"OL" => 4,
                b"FD" | b"OD" | b"SV" | b"UV" | b"OV" => 8,
                _ => 1,
            },
            None if is_overlay || self.tag == tags::PIXEL_DATA => 2,
            None => match StandardDataDictionary.by_tag(self.tag).map(|entry| entry.vr().relaxed()) {
                Some(VR::US | VR::SS | VR::OW) => 2,
                Some(VR::UL | VR::SL | VR::FL | VR::AT | VR::OF | VR::OL) => 4,
                Some(VR::FD | VR::OD | VR::SV | VR::UV | VR::OV) => 8,
                _ => 1,
            },
        }
    }

    /// Whether the value is a sequence, of items that are read.
    fn is_sequence(&self) -> bool {
        match self.vr {
            Some(vr) => &vr == b"SQ" || (&vr == b"UN" && self.length.is_none()),
            None => {
                let entry = StandardDataDictionary.by_tag(self.tag);
                self.length.is_none() || entry.is_some_and(|entry| entry.vr().exact() == Some(VR::SQ))
            }
        }
    }
}

/// The elements of a data set, up to its pixels.
#[derive(Debug, Default)]
pub(crate) struct Elements {
    /// Each element, in the order of the file.
    pub(crate) found: Vec<Found>,
    /// Pixel Data.
    pub(crate) pixels: Option<Element>,
    /// Why the walk ended before the end of the data set; the elements before are usable.
    pub(crate) damage: Option<String>,
}

/// An element, and what a look into it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) element: Element,
    pub(crate) end: u64,
    /// The element, or the first one in it, whose end the library would find elsewhere: it must not read it.
    pub(crate) broken: Option<Tag>,
}

/// Walks from `at` to Pixel Data or the end of the file.
pub(crate) fn walk(bytes: &mut Bytes, at: u64, encoding: Encoding) -> Elements {
    let mut elements = Elements::default();
    if let Err(damage) = walk_into(bytes, at, encoding, |_| true, &mut elements) {
        elements.damage = Some(damage);
    }
    elements
}

/// Walks from `at` to the first element that is not part of a group, and says where that is.
pub(crate) fn walk_group(
    bytes: &mut Bytes,
    at: u64,
    encoding: Encoding,
    group: u16,
) -> Result<(Elements, u64), String> {
    let mut elements = Elements::default();
    let end = walk_into(bytes, at, encoding, |tag| tag.group() == group, &mut elements)?;
    Ok((elements, end))
}

fn walk_into(
    bytes: &mut Bytes,
    mut at: u64,
    encoding: Encoding,
    wanted: impl Fn(Tag) -> bool,
    elements: &mut Elements,
) -> Result<u64, String> {
    while at < bytes.length() {
        let tag = bytes.peek::<4>(at).map_err(|error| error.to_string())?;
        if let Some([a, b, c, d]) = tag
            && !wanted(Tag(encoding.u16([a, b]), encoding.u16([c, d])))
        {
            return Ok(at);
        }
        let Some(element) = element_at(bytes, at, encoding)? else {
            // Up to 7 bytes, or zeros, after the last element.
            return match bytes.length() - at < 8 {
                true => Ok(at),
                false => Err(format!("its data set is damaged at byte {at}")),
            };
        };
        if element.tag == Tag(0, 0) && element.length == Some(0) {
            return Ok(at);
        }
        if element.tag == tags::PIXEL_DATA {
            elements.pixels = Some(element);
            let end = element.value.checked_add(element.length.unwrap_or_default());
            return match end.is_some_and(|end| end <= bytes.length()) {
                true => Ok(at),
                false => Err("its pixel data is longer than the file, which is truncated".to_owned()),
            };
        }
        let found = look_into(bytes, element, encoding)?;
        if elements.found.len() >= MAX_ELEMENTS {
            return Err(format!("its data set has more than {MAX_ELEMENTS} elements"));
        }
        elements.found.push(found);
        at = found.end;
    }
    Ok(at)
}

/// The element at a place; `None` if the bytes are none.
fn element_at(bytes: &mut Bytes, at: u64, encoding: Encoding) -> Result<Option<Element>, String> {
    let io = |error: std::io::Error| error.to_string();
    let Some([a, b, c, d, e, f, g, h]) = bytes.peek::<8>(at).map_err(io)? else { return Ok(None) };
    let tag = Tag(encoding.u16([a, b]), encoding.u16([c, d]));
    let length = |length: u32| (length != u32::MAX).then_some(u64::from(length));
    if !encoding.explicit || tag.group() == 0xfffe {
        let length = length(encoding.u32([e, f, g, h]));
        return Ok(Some(Element { tag, start: at, value: at + 8, length, vr: None }));
    }
    let vr = [e, f];
    if tag == Tag(0, 0) && vr == [0, 0] {
        return Ok(Some(Element { tag, start: at, value: at + 8, length: Some(0), vr: None }));
    }
    if !vr.iter().all(u8::is_ascii_uppercase) {
        return Ok(None);
    }
    // All others, also unknown ones, have a long length: PS3.5, 7.1.2. The library reads them so, too.
    if !SHORT.contains(&&vr) {
        let Some(long) = bytes.peek::<4>(at + 8).map_err(io)? else { return Ok(None) };
        return Ok(Some(Element { tag, start: at, value: at + 12, length: length(encoding.u32(long)), vr: Some(vr) }));
    }
    let length = Some(u64::from(encoding.u16([g, h])));
    Ok(Some(Element { tag, start: at, value: at + 8, length, vr: Some(vr) }))
}

/// Types whose length has 2 bytes.
const SHORT: [&[u8; 2]; 21] = [
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
    b"ST", b"TM", b"UI", b"UL", b"US",
];

/// What is being walked through.
struct Level {
    kind: LevelKind,
    start: u64,
    /// Where it ends; `None` if with a delimiter.
    end: Option<u64>,
    encoding: Encoding,
}

#[derive(PartialEq)]
enum LevelKind {
    Sequence,
    Item,
    /// Items whose bytes are not elements.
    Fragments,
}

/// Where an element ends. Sequences in it are walked.
pub(crate) fn look_into(bytes: &mut Bytes, element: Element, encoding: Encoding) -> Result<Found, String> {
    let length = bytes.length();
    let mut broken = (!element.is_read_alike()).then_some(element.tag);
    let damaged = |at: u64, what: &str| format!("its element {} is damaged at byte {at}: {what}", element.tag);
    let within = |at: u64, count: u64| at.checked_add(count).filter(|end| *end <= length);
    let mut levels = match nested(&element, encoding) {
        Some(level) => vec![level],
        None => {
            let count = element.length.unwrap_or_default();
            let end = within(element.value, count);
            let end = end.ok_or_else(|| damaged(element.start, "it is longer than the file, which is truncated"))?;
            return Ok(Found { element, end, broken });
        }
    };
    let mut at = element.value;
    while let Some(Level { kind, start, end, encoding }) = levels.last() {
        let encoding = *encoding;
        if let Some(end) = *end
            && at >= end
        {
            if at > end || end > length {
                return Err(damaged(at, "a sequence is longer than stated"));
            }
            levels.pop();
            continue;
        }
        let found = element_at(bytes, at, encoding)?;
        let found = found.ok_or_else(|| damaged(at, "it ends early, or the file is truncated"))?;
        match (kind, found.tag) {
            (LevelKind::Sequence | LevelKind::Fragments, SEQUENCE_END) | (LevelKind::Item, ITEM_END) => {
                at += 8;
                levels.pop();
            }
            (LevelKind::Sequence, ITEM) => {
                at += 8;
                let end = found.length.map(|count| within(at, count)).unwrap_or(Some(0));
                let end = end.ok_or_else(|| damaged(at, "an item is longer than the file"))?;
                let end = found.length.is_some().then_some(end);
                levels.push(Level { kind: LevelKind::Item, start: at, end, encoding });
            }
            (LevelKind::Fragments, ITEM) => {
                let length = found.length.unwrap_or(u64::MAX);
                // The first item is a table of numbers of four bytes.
                if at == *start && length % 4 != 0 {
                    broken.get_or_insert(element.tag);
                }
                let end = within(at + 8, length);
                at = end.ok_or_else(|| damaged(at, "a fragment is longer than the file"))?;
            }
            (LevelKind::Item, tag) if tag.group() != 0xfffe => {
                at = found.value;
                if !found.is_read_alike() {
                    broken.get_or_insert(found.tag);
                }
                match nested(&found, encoding) {
                    Some(level) => levels.push(level),
                    None => {
                        let end = within(at, found.length.unwrap_or_default());
                        at = end.ok_or_else(|| damaged(at, "a value is longer than the file"))?;
                    }
                }
            }
            (_, tag) => return Err(damaged(at, &format!("found {tag} where an item or its end must be"))),
        }
        if levels.len() > 2 * MAX_DEPTH {
            return Err(damaged(at, &format!("sequences are nested more than {MAX_DEPTH} deep")));
        }
    }
    Ok(Found { element, end: at, broken })
}

/// What an element holds, if it is not one value.
fn nested(element: &Element, encoding: Encoding) -> Option<Level> {
    let end = element.length.map(|length| element.value.saturating_add(length));
    if element.length.is_none() && element.has_vr(&[b"OB", b"OW"]) {
        return Some(Level { kind: LevelKind::Fragments, start: element.value, end, encoding });
    }
    let encoding = match element.has_vr(&[b"UN"]) {
        true => Encoding::IMPLICIT,
        false => encoding,
    };
    let start = element.value;
    (element.length.is_none() || element.is_sequence()).then_some(Level {
        kind: LevelKind::Sequence,
        start,
        end,
        encoding,
    })
}

/// The fragments of encapsulated Pixel Data, with the offset table first: where each is, and its length.
pub(crate) fn fragments(bytes: &mut Bytes, pixels: &Element, encoding: Encoding) -> Result<Vec<(u64, u64)>, String> {
    let mut at = pixels.value;
    let mut found = Vec::new();
    loop {
        let Some(item) = element_at(bytes, at, encoding)? else {
            // Some programs leave the last delimiter out.
            return match found.len() > 1 && at >= bytes.length() {
                true => Ok(found),
                false => Err("its pixel data ends early: the file is truncated".to_owned()),
            };
        };
        match (item.tag, item.length) {
            (SEQUENCE_END, _) => return Ok(found),
            (ITEM, Some(length)) => {
                let end = item.value.checked_add(length).filter(|end| *end <= bytes.length());
                at = end.ok_or("its pixel data ends early: the file is truncated")?;
                found.push((item.value, length));
            }
            (tag, _) => {
                return Err(format!("its pixel data is damaged at byte {at}: found {tag} where a fragment must be"));
            }
        }
    }
}
