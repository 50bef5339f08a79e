//! How files may be written, and what damaged and hostile ones do.

#[allow(dead_code, missing_docs, unreachable_pub)] // Each test file uses some of it.
mod writer;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use proptest::prelude::*;
use segvol_base::WarningCode;
use segvol_dicom::{Catalogue, DicomScan, ReadOptions, holds_dicom, read, read_bytes};
use tempfile::TempDir;
use writer::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn scan(path: &Path) -> DicomScan {
    read(path, &ReadOptions::default()).expect("a scan")
}

#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let message = read(path, &ReadOptions::default()).expect_err("no scan").to_string();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// Writes three slices, each by `bytes`.
fn three(bytes: impl Fn(Set) -> Vec<u8>) -> TempDir {
    let folder = folder();
    for k in 0..3 {
        fs::write(folder.path().join(format!("{k}")), bytes(image(k))).expect("written");
    }
    folder
}

#[test]
fn every_syntax_gives_the_same_voxels() {
    use Syntax::{Deflated, ExplicitBig, ExplicitLittle, ImplicitLittle};
    for syntax in [ImplicitLittle, ExplicitLittle, ExplicitBig, Deflated] {
        assert_eq!(scan(three(|image| image.file(syntax)).path()).voxels, hounsfield(0..3), "{syntax:?}");
        // Without the preamble.
        let bare = three(|image| image.file(syntax)[132..].to_vec());
        assert_eq!(scan(bare.path()).voxels, hounsfield(0..3), "{syntax:?} without preamble");
        // Zeros after the end.
        let padded = three(|image| [image.file(syntax), vec![0; 600]].concat());
        assert_eq!(scan(padded.path()).voxels, hounsfield(0..3), "{syntax:?} with zeros");
        if syntax == Deflated {
            continue;
        }
        // Without group 2, with the preamble and without.
        let alone = three(|image| image.encode(syntax));
        assert_eq!(scan(alone.path()).voxels, hounsfield(0..3), "{syntax:?} without group 2");
        let preamble = three(|image| [vec![0; 128], b"DICM".to_vec(), image.encode(syntax)].concat());
        assert_eq!(scan(preamble.path()).voxels, hounsfield(0..3), "{syntax:?} with a preamble only");
    }
    // All in one series.
    let mixed = folder();
    for (k, syntax) in [ImplicitLittle, ExplicitLittle, ExplicitBig, Deflated].into_iter().enumerate() {
        fs::write(mixed.path().join(format!("{k}")), image(k).file(syntax)).expect("written");
    }
    assert_eq!(scan(mixed.path()).voxels, hounsfield(0..4));
    let catalogue = Catalogue::open(mixed.path(), &ReadOptions::default()).expect("a list");
    assert_eq!(catalogue.series[0].transfer_syntaxes.len(), 4);
}

#[test]
fn group_2_may_hold_what_the_standard_forbids() {
    let long = three(|image| {
        let meta = Set::default()
            .text((2, 0), b"UL", [255, 255, 0, 0])
            .text((2, 0x10), b"UI", "1.2.840.10008.1.2.1 ")
            .text((2, 0x16), b"AE", "A TITLE\u{1} OF MORE THAN 16 BYTES");
        let meta = meta.encode(Syntax::ExplicitLittle);
        [vec![0; 128], b"DICM".to_vec(), meta, image.body(Syntax::ExplicitLittle)].concat()
    });
    assert_eq!(scan(long.path()).voxels, hounsfield(0..3));
}

#[test]
fn stored_values_are_masked_and_signed_and_padding_is_kept() {
    let wide = |k: usize| -> Vec<u16> { (0..12).map(|n| (100 * k + n) as u16).collect() };
    for (signed, vr) in [(0, b"US"), (1, b"US"), (1, b"SS")] {
        let folder = folder();
        for k in 0..3 {
            // 12 bits with rubbish above, and one voxel of padding: -2000, or 2096 without a sign.
            let mut pixels: Vec<u16> = wide(k).iter().map(|value| value | 0xa000).collect();
            pixels[5] = 0x0830 | 0x5000;
            let padding = if signed == 1 { (-2000_i16).cast_unsigned() } else { 2096 };
            let mut slice = image(k).pixels(&pixels).word(STORED, 12).word(HIGH, 11).word(SIGNED, signed);
            slice.0.insert(PADDING, (*vr, Value::Words(vec![padding])));
            slice.save(folder.path().join(format!("{k}")));
        }
        let found = scan(folder.path());
        let padding = if signed == 1 { -3024.0 } else { 1072.0 };
        let expected: Vec<f32> = (0..3).flat_map(wide).map(|value| f32::from(value) - 1024.0).collect();
        for (index, (found, expected)) in found.voxels.iter().zip(expected).enumerate() {
            assert_eq!(*found, if index % 12 == 5 { padding } else { expected }, "{signed}, {index}");
        }
        assert_eq!(found.padding_hu, Some([padding; 2]), "{signed} {vr:?}");
    }
}

#[test]
fn each_slice_has_its_own_scale() {
    let folder = folder();
    let scales = [(1.0, -1024.0), (-2.0, 0.5), (0.001, -10.0)];
    for (k, (slope, intercept)) in scales.into_iter().enumerate() {
        image(k).numbers(SLOPE, &[slope]).numbers(INTERCEPT, &[intercept]).save(folder.path().join(format!("{k}")));
    }
    let found = scan(folder.path());
    for (index, found) in found.voxels.iter().enumerate() {
        let (slope, intercept) = scales[index / 12];
        let stored = f64::from(stored(index % 4, index / 4 % 3, index / 12));
        assert_eq!(*found, (stored * slope + intercept) as f32);
    }
    let without = three(|image| image.without(SLOPE).without(INTERCEPT).file(Syntax::ExplicitLittle));
    let found = scan(without.path());
    assert_eq!(found.voxels[0], f32::from(stored(0, 0, 0)));
    assert_eq!(found.warnings[0].code, WarningCode::DicomRescale);
    let other = three(|image| image.text(RESCALE_TYPE, b"LO", "US").file(Syntax::ExplicitLittle));
    assert_eq!(scan(other.path()).warnings[0].code, WarningCode::DicomRescale);
}

/// A file with several frames: of each, its slice, and its scale.
fn multi_frame(slices: &[usize]) -> Set {
    let pixels: Vec<u16> =
        slices.iter().flat_map(|k| (0..3).flat_map(move |j| (0..4).map(move |i| stored(i, j, *k)))).collect();
    let own = slices.iter().map(|k| {
        let position = Set::default().numbers(POSITION, &[-10.0, -20.0, 30.0 + 2.0 * *k as f64]);
        let values = Set::default().numbers(SLOPE, &[1.0 + *k as f64]).numbers(INTERCEPT, &[-1024.0]);
        Set::default().items((0x20, 0x9113), vec![position]).items((0x28, 0x9145), vec![values])
    });
    let measures = Set::default().numbers(SPACING, &[0.75, 0.5]).numbers(THICKNESS, &[2.0]);
    let orientation = Set::default().numbers(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    let shared = Set::default().items((0x28, 0x9110), vec![measures]).items((0x20, 0x9116), vec![orientation]);
    let plain = [POSITION, ORIENTATION, SPACING, THICKNESS, SLOPE, INTERCEPT].into_iter().fold(image(0), Set::without);
    plain
        .text(FRAMES, b"IS", slices.len().to_string())
        .items((0x5200, 0x9229), vec![shared])
        .items((0x5200, 0x9230), own.collect())
        .pixels(&pixels)
}

#[test]
fn frames_are_sorted_by_position_each_with_its_own_scale() {
    let expected: Vec<f32> = (0..5)
        .flat_map(|k| (0..12).map(move |n| f32::from(stored(n % 4, n / 4, k)) * (1.0 + k as f32) - 1024.0))
        .collect();
    for syntax in [Syntax::ExplicitLittle, Syntax::ImplicitLittle, Syntax::ExplicitBig, Syntax::Deflated] {
        let folder = folder();
        let path = folder.path().join("one");
        fs::write(&path, multi_frame(&[3, 0, 4, 1, 2]).file(syntax)).expect("written");
        for path in [&path, folder.path()] {
            let found = scan(path);
            assert_eq!((found.shape_xyz, &found.voxels), ([4, 3, 5], &expected), "{syntax:?}");
            let numbers: Vec<_> = found.source.slices.iter().flatten().map(|slice| slice.frame_number).collect();
            assert_eq!(numbers, [2, 4, 5, 1, 3].map(Some));
        }
    }
    // Two files of one series, taken together from a folder.
    let folder = folder();
    multi_frame(&[4, 1]).save(folder.path().join("a"));
    multi_frame(&[0, 3, 2]).save(folder.path().join("b"));
    assert_eq!(scan(folder.path()).voxels, expected);
    // Fewer positions than frames.
    multi_frame(&[0, 3, 2]).text(FRAMES, b"IS", "4").save(folder.path().join("b"));
    refused(folder.path(), &["`b`", "4 frames"]);
}

#[test]
fn damaged_files_of_a_series_are_named_and_never_skipped() {
    let whole = image(1).file(Syntax::ExplicitLittle);
    let position = whole.windows(4).position(|bytes| bytes == [0x20, 0, 0x32, 0]).expect("a position");
    for cut in
        (140..whole.len() - 1).step_by(2).filter(|cut| cut % 14 == 0 || (position - 20..position + 20).contains(cut))
    {
        let folder = three(|image| image.file(Syntax::ExplicitLittle));
        fs::write(folder.path().join("1"), &whole[..cut]).expect("written");
        refused(folder.path(), &["`1`"]);
        fs::remove_file(folder.path().join("1")).expect("removed");
        fs::write(folder.path().join("9"), &whole[..cut]).expect("written");
        refused(folder.path(), &["`9`"]);
    }
    let folder = three(|image| image.file(Syntax::ExplicitLittle));
    fs::write(folder.path().join("3.dcm"), "").expect("written");
    let found = scan(folder.path());
    assert_eq!(found.warnings[0].code, WarningCode::DicomImagesUnused);
}

#[test]
fn attributes_that_say_nothing_are_refused_by_name() {
    const IMAGER: (u16, u16) = (0x18, 0x1164);
    for (odd, words) in [
        (image(1).text(POSITION, b"DS", "1\\2\\NaN"), ["Image Position (Patient)", "NaN"]),
        (image(1).text(POSITION, b"DS", "1\\2"), ["Image Position (Patient)", "3 numbers"]),
        (image(1).numbers(POSITION, &[0.0, 0.0, 1e300]), ["Image Position (Patient)", "1"]),
        (image(1).text(ORIENTATION, b"DS", "a\\b\\c\\d\\e\\f"), ["Image Orientation (Patient)", "6 numbers"]),
        (image(1).without(SPACING), ["no Pixel Spacing", "`1`"]),
        (image(1).without(SPACING).numbers(IMAGER, &[1.0, 1.0]), ["Imager Pixel Spacing", "detector"]),
        (image(1).numbers(SPACING, &[0.0, 1.0]), ["Pixel Spacing", "above 0"]),
        (image(1).numbers(SLOPE, &[0.0]), ["Rescale Slope", "0"]),
        (image(1).text(SLOPE, b"DS", "one"), ["Rescale Slope", "one"]),
        (image(1).word(STORED, 17), ["Bits Stored", "17"]),
        (image(1).without(ROWS), ["Rows", "`1`"]),
        (image(1).word(ROWS, 4), ["pixel data", "expected 32"]),
    ] {
        let folder = three(|image| image.file(Syntax::ExplicitLittle));
        odd.save(folder.path().join("1"));
        refused(folder.path(), &words);
    }
}

/// Said before anything is decoded, and in the list.
#[test]
fn a_transfer_syntax_that_is_not_decoded_is_named() {
    let folder = three(|image| {
        let bytes = image.file(Syntax::ExplicitLittle);
        let at = bytes.windows(20).position(|bytes| bytes == b"1.2.840.10008.1.2.1\0").expect("its transfer syntax");
        [&bytes[..at], b"1.2.840.10008.1.2.9\0", &bytes[at + 20..]].concat()
    });
    refused(folder.path(), &["1.2.840.10008.1.2.9", "not supported"]);
    let catalogue = Catalogue::open(folder.path(), &ReadOptions::default()).expect("a list");
    assert!(catalogue.series[0].problem.as_ref().is_some_and(|problem| problem.contains("not supported")));
}

#[test]
fn descriptions_are_read_in_their_character_set() {
    for (set, bytes) in [("ISO_IR 192", "Schädel".as_bytes().to_vec()), ("ISO_IR 100", b"Sch\xe4del".to_vec())] {
        let folder =
            three(|image| image.text((8, 5), b"CS", set).text(DESCRIPTION, b"LO", &bytes).file(Syntax::ExplicitLittle));
        let catalogue = Catalogue::open(folder.path(), &ReadOptions::default()).expect("a list");
        assert_eq!(catalogue.series[0].description.as_deref(), Some("Schädel"), "{set}");
    }
    // Neither an unknown set nor bytes that it does not have keep a scan from being read.
    for (set, bytes) in [("ISO_IR 999", b"a\xff\xfe"), ("ISO_IR 192", b"a\xff\xfe"), ("GARBAGE\\X", b"\x1b$B")] {
        let folder =
            three(|image| image.text((8, 5), b"CS", set).text(DESCRIPTION, b"LO", bytes).file(Syntax::ExplicitLittle));
        assert_eq!(scan(folder.path()).voxels, hounsfield(0..3), "{set}");
    }
}

#[test]
fn a_list_names_no_patient() {
    let folder = three(|image| image.file(Syntax::ExplicitLittle));
    let catalogue = Catalogue::open(folder.path(), &ReadOptions::default()).expect("a list");
    let text = format!("{catalogue:?}");
    assert!(!text.contains("Nobody"), "{text}");
    let patient = catalogue.series[0].patient.clone().expect("a patient");
    assert_eq!((patient.len(), catalogue.patients()), (12, vec![patient.as_str()]));
    let other = three(|image| image.text((0x10, 0x20), b"LO", "2").file(Syntax::ExplicitLittle));
    let other = Catalogue::open(other.path(), &ReadOptions::default()).expect("a list");
    assert_ne!(other.series[0].patient, Some(patient));
}

fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file(*name, options).expect("an entry");
        archive.write_all(bytes).expect("memory");
    }
    archive.finish().expect("an archive").into_inner()
}

#[test]
fn a_zip_is_read_like_a_folder_and_its_names_lead_nowhere() {
    let file = |k| image(k).file(Syntax::ExplicitLittle);
    let bytes = zipped(&[
        ("a b/1", file(1)),
        ("../../../tmp/escaped", file(0)),
        ("/etc/2", file(2)),
        ("a b/._1", vec![0, 5, 0x16, 7]),
        ("__MACOSX/a b/._2", file(1)),
        ("notes.txt", b"text".to_vec()),
        ("DICOMDIR", file(9)),
    ]);
    let folder = folder();
    let path = folder.path().join("scan.zip");
    fs::write(&path, &bytes).expect("written");
    let before = fs::read_dir(folder.path()).expect("a folder").count();
    assert!(holds_dicom(&path).expect("readable"));
    assert_eq!(scan(&path).voxels, hounsfield(0..3));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), before);
    assert_eq!(read_bytes(bytes.clone(), &ReadOptions::default()).expect("a scan").voxels, hounsfield(0..3));

    fs::write(&path, &bytes[..bytes.len() - 30]).expect("written");
    refused(&path, &["truncated"]);
    // A wrong checksum.
    let mut damaged = bytes.clone();
    let at = damaged.windows(4).position(|bytes| bytes == b"DICM").expect("a file");
    damaged[at + 700] ^= 1;
    fs::write(&path, &damaged).expect("written");
    refused(&path, &["checksum"]);
    // Encrypted entries: bit 0 of the flags in the directory.
    let mut encrypted = bytes;
    while let Some(at) = encrypted.windows(4).position(|bytes| bytes == b"PK\x01\x02") {
        encrypted[at + 8] |= 1;
        encrypted[at] = b'p';
    }
    encrypted
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| bytes == b"pK\x01\x02")
        .map(|(at, _)| at)
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|at| encrypted[at] = b'P');
    fs::write(&path, &encrypted).expect("written");
    refused(&path, &["encrypted"]);
    fs::write(&path, zipped(&[("notes.txt", b"text".to_vec())])).expect("written");
    assert!(!holds_dicom(&path).expect("readable"));
    refused(&path, &["no DICOM", "1 file"]);
}

#[cfg(unix)]
#[test]
fn pipes_are_not_opened_and_links_lead_in_no_circle() {
    use std::os::unix::fs::symlink;
    let folder = three(|image| image.file(Syntax::ExplicitLittle));
    symlink(folder.path(), folder.path().join("circle")).expect("a link");
    symlink("/dev/zero", folder.path().join("device")).expect("a link");
    symlink("nowhere", folder.path().join("broken")).expect("a link");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    assert_eq!(scan(folder.path()).voxels, hounsfield(0..3));
    refused(&pipe, &["neither a file nor a folder"]);
}

/// Sequences nested without end must not exhaust the stack, whoever reads them.
#[test]
fn deep_nesting_is_refused() {
    for (levels, is_read) in [(8, true), (100_000, false)] {
        // Sequences and items of undefined length.
        let open = [0x40, 0, 0x75, 2, b'S', b'Q', 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255];
        let shut = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
        let folder = three(|image| {
            let bytes = image.file(Syntax::ExplicitLittle);
            let pixels = bytes.windows(4).position(|bytes| bytes == [0xe0, 0x7f, 0x10, 0]).expect("pixels");
            [&bytes[..pixels], &open.repeat(levels), &shut.repeat(levels), &bytes[pixels..]].concat()
        });
        let found = read(folder.path(), &ReadOptions::default());
        assert_eq!(found.is_ok(), is_read, "{levels}");
        if let Err(error) = found {
            assert!(error.to_string().contains("nested"), "{error}");
        }
    }
}

/// A library that counts values reads two bytes of an `UL` as none, and what follows as an element, of 4 GB for example. Such an element
/// is named if it counts, also inside of sequences, and passed over if it does not.
#[test]
fn a_length_that_does_not_fit_the_type_is_refused_by_name() {
    let two_bytes = |image: Set, tag: (u16, u16), vr: &[u8; 2]| {
        let mut image = image;
        image.0.insert(tag, (*vr, Value::Bytes(vec![16, 0])));
        image
    };
    for (vr, tag, words) in [
        (b"UL", (0x0028, 0x0100), &["(0028,0100)", "cannot be read"][..]),
        (b"FD", (0x0028, 0x0030), &["(0028,0030)", "cannot be read"]),
        (b"OV", (0x0008, 0x0008), &["(0008,0008)", "cannot be read"]),
    ] {
        refused(three(|image| two_bytes(image, tag, vr).file(Syntax::ExplicitLittle)).path(), words);
    }
    // Nobody asks for this one.
    scan(three(|image| two_bytes(image, (0x0019, 0x1001), b"FL").file(Syntax::ExplicitLittle)).path());
    let inner = two_bytes(Set::default(), (0x0020, 0x9057), b"UL");
    let groups = three(|image| image.items((0x5200, 0x9229), vec![inner.clone()]).file(Syntax::ExplicitLittle));
    refused(groups.path(), &["(5200,9229)", "cannot be read"]);
    // Zeros where an element must be, and a sequence of unknown type, whose items have implicit types.
    let zeros: &[u8] = &[0xfe, 0xff, 0, 0xe0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let unknown: &[u8] = &[
        0xfe, 0xff, 0, 0xe0, 20, 0, 0, 0, 0x28, 0, 0x10, 0x91, b'U', b'N', 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0xdd,
        0xe0, 0, 0, 0, 0,
    ];
    for item in [zeros, unknown] {
        let groups = three(|image| {
            let bytes = image.file(Syntax::ExplicitLittle);
            let pixels = bytes.windows(4).position(|bytes| bytes == [0xe0, 0x7f, 0x10, 0]).expect("pixels");
            let header = [&[0, 0x52, 0x29, 0x92, b'S', b'Q', 0, 0][..], &(item.len() as u32).to_le_bytes()].concat();
            [&bytes[..pixels], &header, item, &bytes[pixels..]].concat()
        });
        refused(groups.path(), &["(5200,9229)", "cannot be read"]);
    }
}

/// Damages bytes of a valid file.
fn damaged(mut bytes: Vec<u8>, changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    for (at, byte) in changes {
        let at = at % bytes.len();
        bytes[at] = *byte;
    }
    bytes.truncate(bytes.len() - cut % bytes.len() / 4);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No damage makes the reader panic, or gives a scan of another size than it says.
    #[test]
    fn damaged_files_are_read_or_refused(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 0..6),
        cut in any::<usize>(),
        kind in 0..5_usize,
    ) {
        use Syntax::{Deflated, ExplicitBig, ExplicitLittle, ImplicitLittle};
        let syntax = [ExplicitLittle, ImplicitLittle, ExplicitBig, Deflated, ExplicitLittle][kind];
        let file = if kind == 4 { zipped(&[("a", image(0).file(syntax)), ("b", image(1).file(syntax))]) } else {
            multi_frame(&[1, 0]).file(syntax)
        };
        let bytes = damaged(file, &changes, if cut % 2 == 0 { 0 } else { cut });
        if let Ok(scan) = read_bytes(bytes, &ReadOptions::default().fill_gaps(true)) {
            prop_assert_eq!(scan.voxels.len(), scan.shape_xyz.iter().product::<usize>());
            prop_assert_eq!(scan.source.slices.len(), scan.shape_xyz[2]);
            prop_assert!(scan.affine_lps.iter().flatten().all(|number| number.is_finite()));
        }
    }
}
