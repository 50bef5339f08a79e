//! A DICOM file, written in parts: what grows with a scan is never in memory as objects.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use dicom_core::value::Value;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::text::{SpecificCharacterSet, TextCodec as _};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};

use super::values::text;
use crate::error::SegmentsError;

/// Which program writes: a UID of the kind that follows from a UUID, drawn once.
const IMPLEMENTATION_CLASS_UID: &str = "2.25.217853910561283917205543098134527164331";

/// UTF-8.
const UTF_8: &str = "ISO_IR 192";

/// A part of a data set. Parts are in the order of their tags.
pub(crate) enum Part<'a> {
    /// Elements.
    Elements(InMemDicomObject),
    /// A sequence, by its number of items, each of which is made when it is written. Their texts are ASCII.
    Items(Tag, usize, &'a dyn Fn(usize) -> InMemDicomObject),
    /// Pixel Data, at most [`MAX_PIXELS`] bytes. An odd number gets a zero byte.
    Pixels(VR, &'a [u8]),
}

/// How a data set is encoded: little endian in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Value representations are written.
    Explicit,
    /// They are not, so that every value may be longer than 64 KiB.
    Implicit,
}

/// The most bytes of Pixel Data: its length is an even number of 32 bits, and all ones have another meaning.
pub(crate) const MAX_PIXELS: u64 = u32::MAX as u64 - 1;

/// Writes a DICOM file atomically. The text is in the Specific Character Set of the first part if that can express the texts of all
/// elements, else in UTF-8.
///
/// # Errors
///
/// [`SegmentsError::Write`] if it cannot be written.
pub(crate) fn write_file(
    path: &Path,
    uids: [&str; 2],
    encoding: Encoding,
    parts: Vec<Part<'_>>,
) -> Result<(), SegmentsError> {
    let failed = |source| SegmentsError::Write { path: path.to_path_buf(), source };
    segvol_base::atomic_file::write(path, |file| write(file, uids, encoding, parts)).map_err(failed)
}

/// Writes the same bytes as [`write_file`] to any writer; the path of its error is empty.
pub(crate) fn write_to(
    writer: impl Write,
    uids: [&str; 2],
    encoding: Encoding,
    parts: Vec<Part<'_>>,
) -> Result<(), SegmentsError> {
    let failed = |source| SegmentsError::Write { path: Default::default(), source };
    write(writer, uids, encoding, parts).map_err(failed)
}

fn write(writer: impl Write, uids: [&str; 2], encoding: Encoding, mut parts: Vec<Part<'_>>) -> io::Result<()> {
    let charset = choose_charset(&mut parts);
    let mut out = BufWriter::with_capacity(1 << 16, writer);
    fill(&mut out, uids, encoding, charset, &parts)?;
    out.flush()
}

fn fill(
    out: &mut impl Write,
    [sop_class_uid, sop_instance_uid]: [&str; 2],
    encoding: Encoding,
    charset: SpecificCharacterSet,
    parts: &[Part<'_>],
) -> io::Result<()> {
    let syntax = match encoding {
        Encoding::Explicit => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        Encoding::Implicit => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
    };
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(sop_class_uid)
        .media_storage_sop_instance_uid(sop_instance_uid)
        .transfer_syntax(syntax.uid())
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name("SEGVOL")
        .build()
        .map_err(io::Error::other)?;
    out.write_all(&[0; 128])?;
    out.write_all(b"DICM")?;
    meta.write(&mut *out).map_err(io::Error::other)?;
    let encode = |object: &InMemDicomObject, bytes: &mut Vec<u8>| {
        object.write_dataset_with_ts_cs(bytes, &syntax, charset.clone()).map_err(io::Error::other)
    };
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Elements(elements) => {
                bytes.clear();
                encode(elements, &mut bytes)?;
                out.write_all(&bytes)?;
            }
            Part::Items(tag, count, item) => {
                header(out, encoding, *tag, VR::SQ, u32::MAX)?;
                for n in 0..*count {
                    bytes.clear();
                    encode(&item(n), &mut bytes)?;
                    out.write_all(&[0xfe, 0xff, 0x00, 0xe0])?;
                    out.write_all(&u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes())?;
                    out.write_all(&bytes)?;
                }
                out.write_all(&[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0])?;
            }
            Part::Pixels(vr, pixels) => {
                let length = pixels.len().next_multiple_of(2);
                header(out, encoding, tags::PIXEL_DATA, *vr, u32::try_from(length).map_err(io::Error::other)?)?;
                out.write_all(pixels)?;
                out.write_all(&[0][..length - pixels.len()])?;
            }
        }
    }
    Ok(())
}

/// The beginning of an element with a long value.
fn header(out: &mut impl Write, encoding: Encoding, tag: Tag, vr: VR, length: u32) -> io::Result<()> {
    out.write_all(&tag.group().to_le_bytes())?;
    out.write_all(&tag.element().to_le_bytes())?;
    if encoding == Encoding::Explicit {
        out.write_all(&vr.to_bytes())?;
        out.write_all(&[0, 0])?;
    }
    out.write_all(&length.to_le_bytes())
}

/// Keeps the Specific Character Set of the first part if it can express all texts, else sets UTF-8. ASCII needs none.
fn choose_charset(parts: &mut [Part<'_>]) -> SpecificCharacterSet {
    let mut texts = Vec::new();
    for part in &*parts {
        if let Part::Elements(elements) = part {
            collect_texts(elements, &mut texts);
        }
    }
    let Some(Part::Elements(elements)) = parts.first_mut() else { return SpecificCharacterSet::default() };
    let code = elements.get(tags::SPECIFIC_CHARACTER_SET).and_then(|element| element.to_str().ok()).unwrap_or_default();
    let charset = SpecificCharacterSet::from_code(code.trim());
    let expresses = |charset: &SpecificCharacterSet| {
        let is_same = |text: &String| {
            charset.encode(text).is_ok_and(|bytes| charset.decode(&bytes).is_ok_and(|decoded| decoded == *text))
        };
        texts.iter().all(is_same)
    };
    match charset.filter(|charset| !code.trim().is_empty() && expresses(charset)) {
        Some(charset) => charset,
        None if texts.iter().all(|text| text.is_ascii()) => {
            elements.remove_element(tags::SPECIFIC_CHARACTER_SET);
            SpecificCharacterSet::default()
        }
        None => {
            elements.put(text(tags::SPECIFIC_CHARACTER_SET, VR::CS, UTF_8));
            SpecificCharacterSet::ISO_IR_192
        }
    }
}

fn collect_texts(object: &InMemDicomObject, texts: &mut Vec<String>) {
    for element in object {
        match element.value() {
            Value::Primitive(value) => {
                texts.extend(value.to_multi_str().iter().filter(|text| !text.is_ascii()).cloned())
            }
            Value::Sequence(items) => items.items().iter().for_each(|item| collect_texts(item, texts)),
            Value::PixelSequence(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use dicom_object::OpenFileOptions;

    use super::*;
    use crate::dicom::item_sequence;

    /// Writes two elements in this character set and reads them with `dicom-object`'s own reader.
    fn round_trip(charset: &str, name: &str) -> (Option<String>, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.dcm");
        let elements = InMemDicomObject::from_element_iter([
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, charset),
            text(tags::PATIENT_NAME, VR::PN, name),
        ]);
        write_file(&path, ["1.2.3", "1.2.4"], Encoding::Explicit, vec![Part::Elements(elements)]).expect("written");
        let file = OpenFileOptions::new().open_file(&path).expect("a file");
        let value = |tag| file.get(tag).map(|element| element.to_str().expect("a text").into_owned());
        (value(tags::SPECIFIC_CHARACTER_SET), value(tags::PATIENT_NAME).expect("a name"))
    }

    #[test]
    fn a_character_set_is_kept_if_it_can_express_the_text() {
        for (charset, name, expected) in [
            ("ISO_IR 100", "Müller^Ä", Some("ISO_IR 100")),
            ("ISO_IR 100", "plain", Some("ISO_IR 100")),
            ("ISO_IR 100", "肝臓", Some("ISO_IR 192")),
            ("ISO_IR 144", "Печень", Some("ISO_IR 144")),
            ("", "plain", None),
            ("", "Müller", Some("ISO_IR 192")),
            ("nonsense", "Müller", Some("ISO_IR 192")),
        ] {
            assert_eq!(round_trip(charset, name), (expected.map(str::to_owned), name.to_owned()), "{charset}");
        }
    }

    #[test]
    fn parts_are_one_data_set() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.dcm");
        let item = |n: usize| {
            let inner = InMemDicomObject::from_element_iter([text(tags::CODE_VALUE, VR::SH, &"x".repeat(n))]);
            InMemDicomObject::from_element_iter([item_sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![inner])])
        };
        for encoding in [Encoding::Explicit, Encoding::Implicit] {
            let elements = |tag, vr, value| InMemDicomObject::from_element_iter([text(tag, vr, value)]);
            let parts = vec![
                Part::Elements(elements(tags::PATIENT_NAME, VR::PN, "Müller")),
                Part::Items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, 3, &item),
                Part::Elements(elements(Tag(0x6001, 0x0010), VR::LO, "plain")),
                Part::Pixels(VR::OW, &[1, 2, 3]),
            ];
            write_file(&path, ["1.2.3", "1.2.4"], encoding, parts).expect("written");
            let file = OpenFileOptions::new().open_file(&path).expect("a file");
            let frames =
                file.element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).expect("frames").items().expect("items");
            let code = |frame: &InMemDicomObject| {
                let inner =
                    frame.element(tags::SEGMENT_IDENTIFICATION_SEQUENCE).expect("a group").items().expect("items");
                inner[0].element(tags::CODE_VALUE).expect("a code").to_str().expect("text").trim().to_owned()
            };
            assert_eq!(frames.iter().map(code).collect::<Vec<_>>(), ["", "x", "xx"]);
            let pixels = file.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes");
            assert_eq!(pixels.as_ref(), [1, 2, 3, 0]);
            assert_eq!(file.element(tags::PATIENT_NAME).expect("a name").to_str().expect("a text"), "Müller");
            assert_eq!(file.meta().media_storage_sop_instance_uid(), "1.2.4");
        }
    }
}
