//! Reads headers that are written here by hand. What the writer has written is read in the tests of NRRD.

mod reading;

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use reading::{codes, refused, volume};
use segvol_base::WarningCode;
use segvol_volume::Volume;

const HEADER: &str = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n\
    TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -10 20 30\nCenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\n\
    ElementSpacing = 0.5 0.75 2\nDimSize = 3 4 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n";

fn plain() -> Vec<u8> {
    (-12..12_i16).flat_map(i16::to_le_bytes).collect()
}

fn voxels() -> Vec<f32> {
    (-12..12).map(|n| n as f32).collect()
}

/// The header with these fields instead of those of the same names; without a value, a field is left out.
fn with(changes: &[(&str, &str)]) -> String {
    let mut lines: Vec<String> = HEADER.lines().map(str::to_owned).collect();
    for (name, value) in changes {
        let is_it = |line: &String| line.split(" = ").next() == Some(name);
        let line = format!("{name} = {value}");
        match (lines.iter().position(is_it), value.is_empty()) {
            (Some(at), true) => drop(lines.remove(at)),
            (Some(at), false) => lines[at] = line,
            (None, _) => lines.insert(2, line),
        }
    }
    lines.join("\n") + "\n"
}

fn file(changes: &[(&str, &str)]) -> Vec<u8> {
    [with(changes).into_bytes(), plain()].concat()
}

const PLAIN_ROWS: [[f64; 4]; 3] = [[-0.5, 0.0, 0.0, 10.0], [0.0, -0.75, 0.0, -20.0], [0.0, 0.0, 2.0, 30.0]];

#[test]
fn fields_have_several_names() {
    for changes in [
        &[][..],
        &[("Offset", ""), ("Position", "-10 20 30")],
        &[("Offset", ""), ("Origin", "-10 20 30")],
        &[("TransformMatrix", ""), ("Rotation", "1 0 0 0 1 0 0 0 1")],
        &[("TransformMatrix", ""), ("Orientation", "1 0 0 0 1 0 0 0 1")],
        &[("ElementSpacing", ""), ("ElementSize", "0.5 0.75 2")],
        &[("ElementSize", "9 9 9")],
        &[("BinaryDataByteOrderMSB", ""), ("ElementByteOrderMSB", "False")],
        &[("ObjectType", ""), ("Comment", "a comment = with a sign"), ("Name", "x")],
        &[("CenterOfRotation", "5 5 5")],
        &[("ElementNumberOfChannels", "1"), ("HeaderSize", "0"), ("Modality", "MET_MOD_CT")],
        &[("ElementDataFile", "Local")],
        &[("ElementToIntensityFunctionSlope", "1"), ("ElementToIntensityFunctionOffset", "0.0")],
    ] {
        let found = volume(&file(changes));
        assert_eq!((found.voxels(), found.shape_xyz()), (&voxels()[..], [3, 4, 2]), "{changes:?}");
        assert_eq!((found.grid().affine().rows(), codes(&found)), (PLAIN_ROWS, vec![]), "{changes:?}");
    }
    let windows = [with(&[]).replace('\n', "\r\n").into_bytes(), plain()].concat();
    assert_eq!(volume(&windows).voxels(), voxels());
}

#[test]
fn directions_are_in_the_rows_of_the_matrix() {
    // Axis i points to the back, j to the feet, k to the left.
    let found = volume(&file(&[("TransformMatrix", "0 1 0 0 0 -1 1 0 0"), ("AnatomicalOrientation", "ASR")]));
    let expected = [[0.0, 0.0, -2.0, 10.0], [-0.5, 0.0, 0.0, -20.0], [0.0, -0.75, 0.0, 30.0]];
    assert_eq!((found.grid().affine().rows(), codes(&found)), (expected, vec![]));
    // A tilted gantry.
    let found = volume(&file(&[("TransformMatrix", "1 0 0 0 1 0 0 0.6 0.8")]));
    assert_eq!(found.grid().affine().rows()[1], [0.0, -0.75, -1.2, -20.0]);
    assert_eq!(codes(&found), [WarningCode::AxesSheared]);
    let found = volume(&file(&[("TransformMatrix", ""), ("ElementSpacing", "")]));
    assert_eq!(found.grid().spacing_mm(), [1.0; 3]);
    assert_eq!(codes(&found), [WarningCode::SpacingRepaired, WarningCode::AffineMissing]);
    for (letters, warned) in
        [("LAI", true), ("RPI", true), ("IAR", true), ("???", false), ("RAI", false), ("rai", false)]
    {
        let found = volume(&file(&[("AnatomicalOrientation", letters)]));
        let expected = if warned { vec![WarningCode::HeaderRepaired] } else { vec![] };
        assert_eq!((found.grid().affine().rows(), codes(&found)), (PLAIN_ROWS, expected), "{letters}");
    }
}

#[test]
fn all_types_are_read_in_both_orders() {
    macro_rules! check {
        ($type:ty, $($name:literal),+) => {{
            let values = [0 as $type, 1 as $type, 100 as $type, <$type>::MAX, <$type>::MIN, 7 as $type];
            for name in [$($name),+] {
                for (msb, bytes) in [("False", values.map(<$type>::to_le_bytes)), ("True", values.map(<$type>::to_be_bytes))] {
                    for field in ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"] {
                        let header = with(&[("DimSize", "1 2 3"), ("ElementType", name), (field, msb)]);
                        let found = volume(&[header.as_bytes(), bytes.as_flattened()].concat());
                        assert_eq!(found.voxels(), values.map(|value| value as f32), "{name} {msb}");
                    }
                }
            }
        }};
    }
    check!(i8, "MET_CHAR");
    check!(u8, "MET_UCHAR");
    check!(i16, "MET_SHORT");
    check!(u16, "MET_USHORT");
    check!(i32, "MET_INT", "MET_LONG");
    check!(u32, "MET_UINT", "MET_ULONG");
    check!(i64, "MET_LONG_LONG");
    check!(u64, "MET_ULONG_LONG");
    check!(f32, "MET_FLOAT");
    check!(f64, "MET_DOUBLE");
    for name in ["MET_OTHER", "MET_FLOAT_ARRAY", "MET_STRING", "short"] {
        refused(&file(&[("ElementType", name)]), &["`ElementType`", name]);
    }
}

#[test]
fn compressed_voxels_are_zlib_or_gzip() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&plain()).expect("memory");
    let zlib = zlib.finish().expect("memory");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain()).expect("memory");
    let gzip = gzip.finish().expect("memory");
    for packed in [&zlib, &gzip] {
        let size = packed.len().to_string();
        for changes in [
            &[("CompressedData", "True"), ("CompressedDataSize", size.as_str())][..],
            &[("CompressedData", "True")],
            &[("CompressedData", "True"), ("CompressedDataSize", "0")],
        ] {
            let bytes = [with(changes).as_bytes(), packed].concat();
            assert_eq!((volume(&bytes).voxels(), codes(&volume(&bytes))), (&voxels()[..], vec![]));
            refused(&bytes[..bytes.len() - packed.len() / 2], &["ends before its last voxel"]);
        }
        let bytes = [with(&[("CompressedData", "True"), ("CompressedDataSize", "9")]).as_bytes(), packed].concat();
        refused(&bytes, &["ends before its last voxel"]);
    }
    let mut damaged = zlib.clone();
    damaged[3] ^= 0xff;
    let header = with(&[("CompressedData", "True")]);
    let error = Volume::read(&[header.as_bytes(), &damaged].concat()[..]).expect_err("damaged").to_string();
    assert!(error.contains("zlib stream is damaged") || error.contains("ends before"), "{error}");
    let end = zlib.len() - 1;
    let mut damaged = zlib;
    damaged[end] ^= 1;
    refused(&[header.as_bytes(), &damaged].concat(), &["zlib stream is damaged"]);
}

#[test]
fn numbers_may_stand_as_text() {
    let text = (-12..12).map(|n| n.to_string()).collect::<Vec<_>>().join("\n ");
    let header = with(&[("BinaryData", "False")]);
    assert_eq!(volume(&[header.as_bytes(), text.as_bytes()].concat()).voxels(), voxels());
    refused(&[header.as_bytes(), &text.as_bytes()[..19]].concat(), &["24 numbers"]);
    refused(&file(&[("BinaryData", "False"), ("CompressedData", "True")]), &["`CompressedData`"]);
}

#[test]
fn voxels_are_read_from_the_files_that_a_header_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let plain = plain();
    let (a, b) = plain.split_at(24);
    let rows: Vec<&[u8]> = plain.chunks(6).collect();
    let front = [b"junk".as_slice(), &plain].concat();
    for (name, bytes) in
        [("ct one.raw", &plain[..]), ("s07.raw", a), ("s08.raw", b), ("front.raw", &front), ("short.raw", a)]
    {
        fs::write(at(name), bytes).expect("written");
    }
    for (n, row) in rows.iter().enumerate() {
        fs::write(at(&format!("row{n}")), row).expect("written");
    }
    let all_rows = (0..8).map(|n| format!("\nrow{n}")).collect::<String>();
    let read = |changes: &[(&str, &str)]| {
        fs::write(at("ct.mhd"), with(changes)).expect("written");
        Volume::open(at("ct.mhd"))
    };
    for changes in [
        &[("ElementDataFile", "ct one.raw")][..],
        &[("ElementDataFile", "s%02d.raw 7 8 1")],
        &[("ElementDataFile", "s%02d.raw 7 8")],
        &[("ElementDataFile", "LIST\ns07.raw\ns08.raw")],
        &[("ElementDataFile", "LIST 2\ns07.raw\ns08.raw")],
        &[("ElementDataFile", "LIST 2D\ns07.raw\ns08.raw")],
        &[("ElementDataFile", &format!("LIST 1{all_rows}"))],
        &[("ElementDataFile", "front.raw"), ("HeaderSize", "4")],
        &[("ElementDataFile", "front.raw"), ("HeaderSize", "-1")],
    ] {
        let found = read(changes).unwrap_or_else(|error| panic!("{changes:?}: {error}"));
        assert_eq!((found.voxels(), codes(&found)), (&voxels()[..], vec![]), "{changes:?}");
        let files = segvol_volume::files_of(&at("ct.mhd"));
        assert!(files.len() > 1 && files.iter().all(|file| file.is_file()), "{files:?}");
        assert_eq!(found.grid().data_files().len(), files.len() - 1);
    }
    for (changes, part) in [
        (&[("ElementDataFile", "missing.raw")][..], "cannot read"),
        (&[("ElementDataFile", "../ct one.raw")], "in the header's folder"),
        (&[("ElementDataFile", "/etc/passwd")], "in the header's folder"),
        (&[("ElementDataFile", "s%02d.raw 7 9 1")], "expected 2 files, found 3 files"),
        (&[("ElementDataFile", "LIST\ns07.raw")], "expected 2 files, found 1 files"),
        (&[("ElementDataFile", "LIST 9\ns07.raw")], "number of axes"),
        (&[("ElementDataFile", "short.raw")], "`short.raw`: the file ends before its last voxel"),
        (&[("ElementDataFile", "short.raw"), ("HeaderSize", "-1")], "expected 48 bytes of voxels, found 24"),
        (&[("ElementDataFile", "LIST\ns07.raw\ns08.raw"), ("CompressedData", "True")], "one file"),
    ] {
        let error = read(changes).expect_err(part).to_string();
        assert!(error.contains(part) && error.contains("ct.mhd"), "{changes:?}: {error}");
    }
    let mut local = with(&[("HeaderSize", "400")]).into_bytes();
    local.resize(400, b' ');
    fs::write(at("ct.mha"), [local, plain.clone()].concat()).expect("written");
    assert_eq!(Volume::open(at("ct.mha")).expect("read").voxels(), voxels());
    refused(&file(&[("HeaderSize", "4")]), &["`HeaderSize`", "bytes or more"]);
    refused(&file(&[("HeaderSize", "-1")]), &["stream"]);
}

#[test]
fn what_is_wrong_in_a_header_is_named() {
    refused(&file(&[("NDims", "2")]), &["`NDims`", "3 axes"]);
    refused(&file(&[("NDims", "4")]), &["`DimSize`", "4 whole numbers"]);
    refused(&file(&[("ObjectType", "Tube")]), &["`ObjectType`", "Image"]);
    refused(&file(&[("ElementNumberOfChannels", "3")]), &["`ElementNumberOfChannels`", "1 value"]);
    refused(&file(&[("DimSize", "3 4 0")]), &["`DimSize`", "[3, 4, 0]"]);
    refused(&file(&[("DimSize", "3 4")]), &["`DimSize`"]);
    refused(&file(&[("DimSize", "4000000 4000000 4000000")]), &["`DimSize`", "2147483648"]);
    refused(&file(&[("ElementSpacing", "1 0 1")]), &["`ElementSpacing`", "above 0"]);
    refused(&file(&[("ElementSpacing", "1 nan 1")]), &["`ElementSpacing`"]);
    refused(&file(&[("TransformMatrix", "1 0 0 0 1 0")]), &["`TransformMatrix`", "9 numbers"]);
    refused(&file(&[("TransformMatrix", "1 0 0 1 0 0 0 0 1")]), &["`TransformMatrix`", "independent"]);
    refused(&file(&[("Offset", "1 2")]), &["`Offset`"]);
    refused(&file(&[("BinaryData", "perhaps")]), &["`BinaryData`", "True or False"]);
    refused(&file(&[("ElementToIntensityFunctionSlope", "2")]), &["`ElementToIntensityFunctionSlope`"]);
    refused(&file(&[("ElementType", "")]), &["`ElementType`", "no such field"]);
    refused(&file(&[("DimSize", "3 4 2\nDimSize = 3 4 2")]), &["line 12", "every field once"]);
    refused(b"ObjectType = Image\nNDims = 3\nstray\n", &["line 3", "stray"]);
    refused(b"ObjectType = Image\nNDims = 3\n", &["ends inside its header", "ElementDataFile"]);
    refused(&file(&[("DimSize", "1290 1290 1290")]), &["expected 4293378000 bytes of voxels, found 48"]);
    refused(&file(&[])[..file(&[]).len() - 1], &["expected 48 bytes of voxels, found 47"]);
    let longer = [file(&[]), vec![1, 2, 3]].concat();
    assert_eq!(codes(&volume(&longer)), [WarningCode::TrailingBytes]);
    let axes = [
        ("NDims", "4"),
        ("DimSize", "3 4 2 1"),
        ("ElementSpacing", "0.5 0.75 2 1"),
        ("Offset", "-10 20 30 0"),
        ("TransformMatrix", "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"),
    ];
    assert_eq!(volume(&file(&axes)).grid().affine().rows(), PLAIN_ROWS);
    refused(&file(&[("NDims", "4"), ("DimSize", "3 4 1 2")]), &["`DimSize`", "after the third"]);
}

/// A pipe hands out its bytes in small parts.
#[test]
fn a_scan_is_recognised_in_any_stream() {
    struct Slow<'a>(&'a [u8]);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = buffer.len().min(self.0.len()).min(3);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    assert_eq!(Volume::read(Slow(&file(&[]))).expect("read").voxels(), voxels());
}
