//! Frames in every coding. The code streams are seeds of the fuzz targets, which `fuzz/seeds.py` writes: 10 rows and 12 columns of
//! 37 i + 101 j + 5 i j − 1000, scaled to the bits of each.

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::*;

/// A seed: how its pixels are stored, and its code stream.
fn seed(bytes: &'static [u8]) -> (PixelFormat, &'static [u8]) {
    let (&[rows, columns, allocated, stored, high, signed], stream) = bytes.split_first_chunk().expect("a header");
    (format(rows, columns, [allocated, stored, high], signed == 1), stream)
}

fn format(rows: u8, columns: u8, [allocated, stored, high]: [u8; 3], signed: bool) -> PixelFormat {
    let (rows, columns) = (rows.into(), columns.into());
    let [bits_allocated, bits_stored, high_bit] = [allocated, stored, high].map(u16::from);
    PixelFormat { rows, columns, bits_allocated, bits_stored, high_bit, signed }
}

macro_rules! seed {
    ($name:literal) => {
        seed(include_bytes!(concat!("../../../fuzz/corpus/dicom_", $name)))
    };
}

/// The values of the seeds.
fn values() -> Vec<i64> {
    (0..10).flat_map(|j| (0..12).map(move |i| 37 * i + 101 * j + 5 * i * j - 1000)).collect()
}

fn scaled(scale: impl Fn(i64) -> i64) -> Vec<i64> {
    values().into_iter().map(|value| scale(value + 1000)).collect()
}

const RLE: &str = "1.2.840.10008.1.2.5";
const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
const HIGH_THROUGHPUT: &str = "1.2.840.10008.1.2.4.201";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

fn all(format: PixelFormat, syntax: &str, data: PixelData, count: usize) -> Result<Vec<Vec<i64>>, PixelError> {
    let frames = Frames::new(format, &TransferSyntax::of(syntax), data, count)?;
    let decode = |index| {
        let mut values = vec![i64::MIN; format.pixels()];
        frames.decode(index, &mut values, |value| value).map(|()| values)
    };
    (0..frames.count()).map(decode).collect()
}

fn fragments(fragments: &[Vec<u8>]) -> PixelData<'_> {
    PixelData::Fragments { fragments, offsets: &[], extended: Vec::new() }
}

fn one(format: PixelFormat, syntax: &str, stream: &[u8]) -> Result<Vec<i64>, PixelError> {
    all(format, syntax, fragments(&[stream.to_vec()]), 1).map(|mut frames| frames.remove(0))
}

/// The message of the error for a code stream that replaces that of the seed.
fn refusal(format: PixelFormat, syntax: &str, stream: &[u8]) -> String {
    one(format, syntax, stream).expect_err("refused").to_string()
}

/// All seeds with their transfer syntax.
fn seeds() -> [((PixelFormat, &'static [u8]), &'static str); 10] {
    [
        (seed!("rle/sixteen_bits"), RLE),
        (seed!("rle/runs"), RLE),
        (seed!("jpeg/baseline"), BASELINE),
        (seed!("jpeg/lossless_12_bits"), LOSSLESS),
        (seed!("jpeg/lossless_16_bits"), LOSSLESS),
        (seed!("jpegls/lossless_signed"), JPEG_LS),
        (seed!("jpegls/near_2"), JPEG_LS),
        (seed!("j2k/lossless_signed"), JPEG_2000),
        (seed!("j2k/lossless_unsigned_12_bits"), JPEG_2000),
        (seed!("j2k/high_throughput"), HIGH_THROUGHPUT),
    ]
}

#[test]
fn every_coding_gives_the_stored_values() {
    let [runs_of_16, runs_of_8, baseline, lossless_12, lossless_16, ls, near, j2k, j2k_12, high] =
        seeds().map(|((format, stream), syntax)| one(format, syntax, stream).expect(syntax));
    let sixteen = scaled(|value| 36 * value);
    assert_eq!(runs_of_16, sixteen);
    let runs = [vec![7; 64], vec![9; 54], vec![1, 2]].concat();
    assert_eq!(runs_of_8, runs);
    assert_eq!(lossless_12, scaled(|value| value));
    assert_eq!(lossless_16, sixteen);
    assert_eq!(ls, values());
    assert_eq!(j2k, values());
    assert_eq!(j2k_12, scaled(|value| value));
    assert_eq!(high, sixteen);
    let furthest = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).max();
    assert_eq!(furthest(&near, &sixteen), Some(2));
    assert!(furthest(&baseline, &scaled(|value| value / 8)) <= Some(3), "{baseline:?}");
}

#[test]
fn bits_outside_of_the_stored_value_do_not_count() {
    let cells = [0xf123u16, 0x0fff, 0x8800, 0x17ff];
    let unsigned = format(2, 2, [16, 12, 11], false);
    let signed = format(2, 2, [16, 12, 11], true);
    let upper = format(2, 2, [16, 12, 15], true);
    let decode = |format, data| all(format, IMPLICIT, data, 1).expect("decoded").remove(0);
    assert_eq!(decode(unsigned, PixelData::Words(&cells)), [0x123, 0xfff, 0x800, 0x7ff]);
    assert_eq!(decode(signed, PixelData::Words(&cells)), [0x123, -1, -2048, 2047]);
    assert_eq!(decode(upper, PixelData::Words(&cells)), [-0xee, 0xff, -0x780, 0x17f]);
    let full = format(2, 2, [16, 16, 15], false);
    assert_eq!(decode(full, PixelData::Words(&cells)), cells.map(i64::from));
    let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
    assert_eq!(decode(signed, PixelData::Bytes(&bytes)), [0x123, -1, -2048, 2047]);
    let longs = [0xffff_ffffu32, 0x8000_0000, 5, 0x7fff_ffff];
    let whole = |signed| format(2, 2, [32, 32, 31], signed);
    assert_eq!(decode(whole(false), PixelData::Longs(&longs)), longs.map(i64::from));
    assert_eq!(decode(whole(true), PixelData::Longs(&longs)), [-1, i32::MIN.into(), 5, i32::MAX.into()]);
}

#[test]
fn words_are_read_in_the_order_of_the_transfer_syntax() {
    let decode = |bits: u8, syntax, data, count| {
        all(format(1, 3, [bits, bits, bits - 1], true), syntax, data, count).expect("decoded").concat()
    };
    let bytes = [0, 1, 0xff, 0xfe, 0x80, 0];
    assert_eq!(decode(16, IMPLICIT, PixelData::Bytes(&bytes), 1), [256, -257, 128]);
    assert_eq!(decode(16, BIG_ENDIAN, PixelData::Bytes(&bytes), 1), [1, -2, -32768]);
    let wide = [bytes, bytes].concat();
    assert_eq!(decode(32, BIG_ENDIAN, PixelData::Bytes(&wide), 1), [0x1_fffe, -0x7fff_ffff, -0x1_8000]);
    // Two values of 8 bits in a word: the first in its low byte. The second frame starts inside of a word.
    let words = [0x0201u16, 0xff03, 0x05fe];
    for syntax in [IMPLICIT, BIG_ENDIAN] {
        assert_eq!(decode(8, syntax, PixelData::Words(&words), 2), [1, 2, 3, -1, -2, 5]);
    }
    assert_eq!(decode(8, BIG_ENDIAN, PixelData::Bytes(&[1, 2, 3, 0]), 1), [1, 2, 3]);
    let words = [1u16, 2, 3, 4, 5, 6];
    assert_eq!(decode(32, IMPLICIT, PixelData::Words(&words), 1), [0x2_0001, 0x4_0003, 0x6_0005]);
    assert_eq!(decode(32, BIG_ENDIAN, PixelData::Words(&words), 1), [0x1_0002, 0x3_0004, 0x5_0006]);
}

#[test]
fn the_header_says_the_sign_whatever_the_code_stream_says() {
    // The code stream is unsigned, with 12 bits.
    let (unsigned, stream) = seed!("j2k/lossless_unsigned_12_bits");
    let wrapped = scaled(|value| if value >= 2048 { value - 4096 } else { value });
    assert_eq!(one(PixelFormat { signed: true, ..unsigned }, JPEG_2000, stream).expect("decoded"), wrapped);
    let wider = PixelFormat { signed: true, bits_stored: 16, high_bit: 15, ..unsigned };
    assert_eq!(one(wider, JPEG_2000, stream).expect("decoded"), wrapped);
    // And here signed, with 16.
    let (signed, stream) = seed!("j2k/lossless_signed");
    let wrapped: Vec<i64> = values().into_iter().map(|value| value & 0xffff).collect();
    assert_eq!(one(PixelFormat { signed: false, ..signed }, JPEG_2000, stream).expect("decoded"), wrapped);
    let narrow: Vec<i64> = values().into_iter().map(|value| value & 0xff).collect();
    let low = PixelFormat { signed: false, bits_stored: 8, high_bit: 7, ..signed };
    assert_eq!(one(low, JPEG_2000, stream).expect("decoded"), narrow);
    let high: Vec<i64> = values().into_iter().map(|value| value >> 4).collect();
    let shifted = PixelFormat { bits_stored: 12, ..signed };
    assert_eq!(one(shifted, JPEG_2000, stream).expect("decoded"), high);
}

#[test]
fn frames_are_found_by_tables_by_fragments_or_by_their_starts() {
    let (format, stream) = seed!("j2k/lossless_unsigned_12_bits");
    let expected = vec![scaled(|value| value); 2];
    let (a, b) = stream.split_at(100);
    let both = [a.to_vec(), b.to_vec(), stream.to_vec()];
    let data = |offsets: &'static [u32], extended: &[[u64; 2]]| PixelData::Fragments {
        fragments: &both,
        offsets,
        extended: extended.to_vec(),
    };
    let second = 8 + 100 + 8 + (stream.len() as u64 - 100);
    let offset: &'static [u32] = Box::leak(Box::new([0, second as u32]));
    let length = stream.len() as u64;
    for data in [
        data(&[], &[]),
        data(offset, &[]),
        data(&[], &[[0, length], [second, length]]),
        data(&[0, 7], &[]),
        data(&[0, 0], &[[0, length], [second, length + 2]]),
    ] {
        assert_eq!(all(format, JPEG_2000, data.clone(), 2).as_ref(), Ok(&expected), "{data:?}");
    }
    let whole = [stream.to_vec(), stream.to_vec()];
    assert_eq!(all(format, JPEG_2000, fragments(&whole), 2), Ok(expected));
    assert_eq!(all(format, JPEG_2000, fragments(&both[..2]), 1).expect("decoded").len(), 1);

    let message = |fragments, count| all(format, JPEG_2000, fragments, count).expect_err("refused").to_string();
    assert_eq!(message(fragments(&whole), 3), "frame 3: it is missing: expected 3 frames, found 2 fragments");
    let other = [a.to_vec(), b.to_vec(), b.to_vec()];
    assert_eq!(
        message(fragments(&other), 2),
        "Pixel Data: expected 2 frames, as Number of Frames says, found 3 fragments, 1 of which start like a frame, and no offset table"
    );
    assert_eq!(message(fragments(&[]), 1), "frame 1: it is missing: expected 1 frames, found 0 fragments");
}

#[test]
fn native_pixels_must_be_as_many_as_the_frames_need() {
    let format = format(2, 3, [16, 12, 11], false);
    let bytes = [7u8; 100];
    let frames = |length: usize, count| {
        Frames::new(format, &TransferSyntax::of(IMPLICIT), PixelData::Bytes(&bytes[..length]), count)
    };
    assert_eq!(frames(12, 1).map(|frames| frames.surplus_bytes()), Ok(0));
    assert_eq!(frames(20, 1).map(|frames| frames.surplus_bytes()), Ok(8));
    let message = |length, count| frames(length, count).expect_err("refused").to_string();
    assert_eq!(message(11, 1), "Pixel Data: expected 12 bytes for 1 x 2 rows x 3 columns of 16 bits, found 11 bytes");
    assert_eq!(
        message(35, 3),
        "frame 3: its pixels are cut off: expected 36 bytes for 3 x 2 rows x 3 columns of 16 bits, found 35 bytes"
    );
    assert!(message(24, 1).ends_with("found 24 bytes: Number of Frames does not fit"));
    assert!(message(24, usize::MAX).starts_with("frame 3: its pixels are cut off"));
    assert_eq!(message(24, 0), "Number of Frames: expected at least 1, found 0");
    // One byte more makes the length even.
    let odd = super::tests::format(1, 3, [8, 8, 7], false);
    let odd = Frames::new(odd, &TransferSyntax::of(IMPLICIT), PixelData::Bytes(&bytes[..4]), 1);
    assert_eq!(odd.map(|frames| frames.surplus_bytes()), Ok(0));
}

#[test]
fn another_size_than_that_of_the_image_is_refused_before_decoding() {
    for ((format, stream), syntax) in seeds() {
        if syntax == RLE {
            continue;
        }
        let expected = [12, 10];
        let turned = PixelFormat { rows: 12, columns: 10, ..format };
        assert_eq!(one(turned, syntax, stream), Err(PixelError::Size { number: 1, expected, found: [10, 12] }));
        let narrow = PixelFormat { bits_allocated: 8, bits_stored: 8, high_bit: 7, ..format };
        let narrow = one(narrow, syntax, stream);
        match format.bits_allocated {
            8 => assert!(narrow.is_ok()),
            _ => assert!(narrow.expect_err("refused").to_string().contains("expected 1 to 8 bits")),
        }
    }
    let (format, stream) = seed!("rle/sixteen_bits");
    let more = PixelFormat { rows: 11, ..format };
    assert_eq!(refusal(more, RLE, stream), "frame 1: expected 132 values in RLE segment 1, found 120");
    let wide = PixelFormat { bits_allocated: 32, ..format };
    assert_eq!(refusal(wide, RLE, stream), "frame 1: expected 4 RLE segments for 32 Bits Allocated, found 2");
}

#[test]
fn no_part_of_a_code_stream_passes_for_the_whole() {
    for ((format, stream), syntax) in seeds() {
        // The last bytes may be padding, or a marker whose absence hides nothing.
        for length in 0..stream.len() - 8 {
            let found = one(format, syntax, &stream[..length]);
            assert!(found.is_err(), "{syntax}: {length} of {} bytes", stream.len());
        }
    }
}

/// The stream with other bytes at a place.
fn with(stream: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = stream.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    changed
}

/// Where a JPEG 2000 code stream says its sizes.
const SIZES: usize = 8;

fn find(stream: &[u8], bytes: &[u8]) -> usize {
    stream.windows(bytes.len()).position(|window| window == bytes).expect("these bytes")
}

#[test]
fn what_decoders_would_get_wrong_is_refused() {
    let (format, stream) = seed!("jpeg/lossless_12_bits");
    let scan = find(stream, &[0xff, 0xda]);
    let message = |stream: &[u8]| refusal(format, LOSSLESS, stream);
    let restart = [&stream[..scan], &[0xff, 0xdd, 0, 4, 0, 12], &stream[scan..]].concat();
    assert_eq!(message(&restart), "frame 1: restart intervals in lossless JPEG are not supported");
    assert_eq!(message(&with(stream, scan + 9, &[1])), "frame 1: point transforms in lossless JPEG are not supported");
    let frame = find(stream, &[0xff, 0xc3]);
    assert_eq!(
        message(&with(stream, frame + 1, &[0xc2])),
        "frame 1: expected baseline or lossless JPEG, found progressive JPEG"
    );
    assert!(message(&with(stream, frame + 4, &[0])).contains("expected 1 to 16 bits"));
    assert_eq!(message(&with(stream, frame + 9, &[3])), "frame 1: expected one component, found 3");
    let end = stream.len() - 2 - usize::from(stream.ends_with(&[0]));
    let scans = [&stream[..end], &stream[scan..]].concat();
    assert!(message(&scans).ends_with("found the marker 0xda"), "{}", message(&scans));

    // A tile that is missing would be black.
    let (format, stream) = seed!("j2k/lossless_signed");
    let tiles = with(stream, SIZES + 16, &6u32.to_be_bytes());
    let message = |stream: &[u8]| refusal(format, JPEG_2000, stream);
    assert_eq!(message(&tiles), "frame 1: expected 2 tiles, found 1");
}

#[test]
fn a_code_stream_cannot_take_far_more_memory_than_its_image() {
    let (format, stream) = seed!("j2k/lossless_signed");
    // A tile, then a precinct, for each value.
    let large = PixelFormat { rows: 256, columns: 256, ..format };
    let sizes = [256u32, 256, 0, 0, 1, 1, 0, 0].map(u32::to_be_bytes).concat();
    let tiles = with(stream, SIZES, &sizes);
    let first = find(&tiles, &[0xff, 0x90]);
    let parts = (0..=65535u16).flat_map(|tile| {
        let mut part = vec![0xff, 0x90, 0, 10];
        part.extend(tile.to_be_bytes());
        part.extend([0, 0, 0, 14, 0, 1, 0xff, 0x93]);
        part
    });
    let tiles: Vec<u8> = tiles[..first].iter().copied().chain(parts).collect();
    let message = refusal(large, JPEG_2000, &tiles);
    assert!(message.contains("expected a division into tiles, precincts and code blocks"), "{message}");

    let sizes = [4096u32, 4096, 0, 0, 4096, 4096, 0, 0].map(u32::to_be_bytes).concat();
    let precincts = with(stream, SIZES, &sizes);
    let style = find(&precincts, &[0xff, 0x52]);
    let layers = refusal(format, JPEG_2000, &with(stream, style + 6, &[0xff; 2]));
    assert_eq!(
        layers,
        format!("frame 1: expected at most {} layers, the bytes of the code stream, found 65535", stream.len())
    );
    let levels = usize::from(precincts[style + 9]) + 1;
    let mut precincts = [&precincts[..style + 14], &vec![0x11; levels], &precincts[style + 14..]].concat();
    precincts[style + 3] += levels as u8;
    precincts[style + 4] |= 1;
    let large = PixelFormat { rows: 4096, columns: 4096, ..format };
    let message = refusal(large, JPEG_2000, &precincts);
    assert!(message.contains("expected a division into tiles, precincts and code blocks"), "{message}");
}

#[test]
fn damaged_runs_are_refused() {
    let (format, stream) = seed!("rle/sixteen_bits");
    let message = |stream: &[u8]| refusal(format, RLE, stream);
    assert_eq!(message(&stream[..60]), "frame 1: expected an RLE header of 64 bytes, found 60");
    assert_eq!(message(&with(stream, 0, &[3])), "frame 1: expected 2 RLE segments for 16 Bits Allocated, found 3");
    let outside = "frame 1: expected RLE segment";
    for at in [4, 8] {
        assert!(message(&with(stream, at, &[0xff; 4])).starts_with(outside));
        assert!(message(&with(stream, at, &[0; 4])).starts_with(outside));
    }
}

#[test]
fn attributes_are_checked_by_name() {
    let element = |tag: Tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let grey = |text: &str| DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, PrimitiveValue::from(text));
    let mut object = InMemDicomObject::new_empty();
    let whole = [
        (tags::SAMPLES_PER_PIXEL, 1, "Samples per Pixel"),
        (tags::ROWS, 2, "Rows"),
        (tags::COLUMNS, 3, "Columns"),
        (tags::BITS_ALLOCATED, 16, "Bits Allocated"),
        (tags::BITS_STORED, 12, "Bits Stored"),
        (tags::HIGH_BIT, 11, "High Bit"),
        (tags::PIXEL_REPRESENTATION, 1, "Pixel Representation"),
    ];
    for (tag, value, _) in whole {
        object.put(element(tag, value));
    }
    let expected = format(2, 3, [16, 12, 11], true);
    for text in ["MONOCHROME2", "MONOCHROME1 "] {
        object.put(grey(text));
        assert_eq!(PixelFormat::of(&object), Ok(expected));
    }
    for (tag, value, name) in whole {
        object.remove_element(tag);
        let found = PixelFormat::of(&object);
        if tag == tags::HIGH_BIT {
            assert_eq!(found, Ok(expected));
        } else {
            let message = found.expect_err(name).to_string();
            assert_eq!(message, format!("{name}: expected a whole number of 16 bits, found no such attribute"));
        }
        object.put(element(tag, value));
    }
    let mut refused = |tag, value, message: &str| {
        let before = object.get(tag).cloned().expect("an attribute");
        object.put(element(tag, value));
        assert_eq!(PixelFormat::of(&object).expect_err(message).to_string(), message);
        object.put(before);
    };
    refused(tags::ROWS, 0, "Rows: expected 1 to 65535, found 0");
    refused(tags::BITS_ALLOCATED, 1, "Bits Allocated: expected 8, 16 or 32, found 1");
    refused(tags::BITS_STORED, 17, "Bits Stored: expected 1 to 16, the Bits Allocated, found 17");
    refused(tags::BITS_STORED, 0, "Bits Stored: expected 1 to 16, the Bits Allocated, found 0");
    refused(tags::HIGH_BIT, 10, "High Bit: expected 11 to 15, for 12 Bits Stored of 16 Bits Allocated, found 10");
    refused(tags::HIGH_BIT, 16, "High Bit: expected 11 to 15, for 12 Bits Stored of 16 Bits Allocated, found 16");
    refused(
        tags::PIXEL_REPRESENTATION,
        2,
        "Pixel Representation: expected 0 (unsigned) or 1 (two's complement), found 2",
    );
    refused(tags::SAMPLES_PER_PIXEL, 3, "Samples per Pixel: expected 1, a grey value, found 3 (MONOCHROME1)");
    object.put(grey("PALETTE COLOR"));
    assert_eq!(
        PixelFormat::of(&object).expect_err("colour").to_string(),
        "Photometric Interpretation: expected MONOCHROME1 or MONOCHROME2, grey values, found PALETTE COLOR"
    );
}

#[test]
fn pixel_data_is_found_as_it_was_read() {
    let mut object = InMemDicomObject::new_empty();
    assert!(PixelData::of(&object).expect_err("none").to_string().contains("found no such attribute"));
    object.put(DataElement::new(tags::FLOAT_PIXEL_DATA, VR::OF, PrimitiveValue::from(1.0f32)));
    assert!(PixelData::of(&object).expect_err("floats").to_string().contains("found Float Pixel Data"));
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16([1, 2].into_iter().collect())));
    assert_eq!(PixelData::of(&object), Ok(PixelData::Words(&[1, 2])));
    let sequence = PixelFragmentSequence::new(vec![0u32], vec![vec![1u8, 2]]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::from(sequence)));
    let table = |tag, number: u64| DataElement::new(tag, VR::OV, PrimitiveValue::from(number));
    object.put(table(tags::EXTENDED_OFFSET_TABLE, 0));
    let message = PixelData::of(&object).expect_err("no lengths").to_string();
    assert_eq!(message, "Extended Offset Table Lengths: expected 1 lengths, one for each offset, found 0");
    object.put(table(tags::EXTENDED_OFFSET_TABLE_LENGTHS, 2));
    let fragments = [vec![1, 2]];
    let expected = PixelData::Fragments { fragments: &fragments, offsets: &[0], extended: vec![[0, 2]] };
    assert_eq!(PixelData::of(&object), Ok(expected));

    let format = format(1, 1, [16, 16, 15], false);
    let frames =
        |syntax, data| Frames::new(format, &TransferSyntax::of(syntax), data, 1).expect_err("refused").to_string();
    assert!(frames(IMPLICIT, PixelData::of(&object).expect("fragments")).contains("found encapsulated frames"));
    assert!(frames(RLE, PixelData::Words(&[1])).contains("found bytes without items"));
}

#[test]
fn transfer_syntaxes_that_are_not_decoded_are_named() {
    for syntax in [IMPLICIT, BIG_ENDIAN, RLE, BASELINE, LOSSLESS, JPEG_LS, JPEG_2000, HIGH_THROUGHPUT] {
        assert!(TransferSyntax::of(&format!("{syntax}\0")).is_decoded(), "{syntax}");
    }
    let refused = |uid| TransferSyntax::of(uid).check().expect_err(uid).to_string();
    assert!(
        refused("1.2.840.10008.1.2.4.51")
            .starts_with("transfer syntax JPEG Extended (Process 2 & 4) (1.2.840.10008.1.2.4.51) is not supported")
    );
    assert!(refused("1.2.840.10008.1.2.4.55").contains("JPEG Full Progression"));
    assert!(refused("1.2.840.10008.1.2.4.102").contains("MPEG-4"));
    assert!(refused("1.2.840.10008.1.2.4.110").contains("JPEG XL"));
    assert!(refused("1.2.3").contains("without a name in the standard (1.2.3)"));
}
