//! Reads headers that are written here by hand, and what the writer has written.

mod reading;

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use reading::{codes, refused, volume};
use segvol_base::WarningCode;
use segvol_volume::format::Format;
use segvol_volume::grid::Grid;
use segvol_volume::mask::Mask;
use segvol_volume::nrrd::*;
use segvol_volume::{Affine, raster};
use segvol_volume::{Volume, VolumeError};

const SPACE: &str =
    "space: left-posterior-superior\nspace directions: (0.5,0,0) (0,0.75,0) (0,0,2)\nspace origin: (-10,20,30)\n";
const RAW: &str = "type: short\ndimension: 3\nsizes: 3 4 2\nencoding: raw\nendian: little\n";

/// A file: these fields, an empty line, and int16 voxels from -12 on.
fn file(fields: &str) -> Vec<u8> {
    with_data(fields, &(-12..12_i16).flat_map(i16::to_le_bytes).collect::<Vec<_>>())
}

fn with_data(fields: &str, data: &[u8]) -> Vec<u8> {
    [b"NRRD0004\n".as_slice(), fields.as_bytes(), b"\n", data].concat()
}

fn voxels() -> Vec<f32> {
    (-12..12).map(|n| n as f32).collect()
}

#[test]
fn spaces_are_read_as_their_names_say() {
    let of = |space: &str| {
        let text = SPACE.replace("space: left-posterior-superior", space);
        let found = volume(&file(&format!("{RAW}{text}")));
        assert_eq!(found.voxels(), voxels(), "{space}");
        (found.grid().affine().rows(), codes(&found))
    };
    let signed =
        |x: f64, y: f64| [[0.5 * x, 0.0, 0.0, -10.0 * x], [0.0, 0.75 * y, 0.0, 20.0 * y], [0.0, 0.0, 2.0, 30.0]];
    for (space, x, y) in [
        ("space: left-posterior-superior", -1.0, -1.0),
        ("space: LPS", -1.0, -1.0),
        ("Space: Left_Posterior_Superior", -1.0, -1.0),
        ("space: RAS", 1.0, 1.0),
        ("space: right-anterior-superior", 1.0, 1.0),
        ("space: LAS", -1.0, 1.0),
        ("space: left anterior superior", -1.0, 1.0),
    ] {
        assert_eq!(of(space), (signed(x, y), vec![]), "{space}");
    }
    // What names no patient is LPS, as ITK reads it.
    for space in ["space dimension: 3", "space: scanner-xyz", "space: 3D-right-handed"] {
        assert_eq!(of(space), (signed(-1.0, -1.0), vec![WarningCode::AffineMissing]), "{space}");
    }
    for space in ["space: LPST", "space: right-anterior-superior-time", "space: RPI", "space dimension: 2"] {
        refused(&file(&format!("{RAW}{}", SPACE.replace("space: left-posterior-superior", space))), &["`space"]);
    }
}

#[test]
fn geometry_without_directions_is_that_of_itk() {
    let of = |fields: &str| {
        let found = volume(&file(&format!("{RAW}{fields}")));
        (found.grid().affine().rows(), codes(&found))
    };
    let (rows, warned) = of("spacings: 0.5 0.75 2\n");
    assert_eq!(rows, [[-0.5, 0.0, 0.0, 0.0], [0.0, -0.75, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]);
    assert_eq!(warned, [WarningCode::AffineMissing]);
    let (rows, _) = of("spacings: 0.5 0.75 2\naxis mins: 10 20 30\ncenters: cell node ???\n");
    assert_eq!(rows.map(|row| row[3]), [-10.25, -20.0, 31.0]);
    let (rows, _) = of("axis mins: 0 0 0\naxismaxs: 6 3 4\ncenterings: cell node cell\n");
    assert_eq!([rows[0][0], rows[1][1], rows[2][2]], [-2.0, -1.0, 2.0]);
    let (rows, warned) = of("");
    assert_eq!([rows[0][0], rows[1][1], rows[2][2]], [-1.0, -1.0, 1.0]);
    assert_eq!(warned, [WarningCode::AffineMissing, WarningCode::SpacingRepaired]);
    refused(&file(&format!("{RAW}space: LPS\nspacings: 1 1 1\n")), &["`space directions`", "no such field"]);
    refused(&file(&format!("{RAW}spacings: 1 1\n")), &["`spacings`", "3 spacings"]);
    refused(&file(&format!("{RAW}spacings: 1 -1 1\n")), &["`spacings`", "more than 0"]);
}

#[test]
fn units_are_converted_to_millimetres() {
    let of = |units: &str| {
        let found = volume(&file(&format!("{RAW}{SPACE}space units: {units}\n")));
        (found.grid().spacing_mm(), codes(&found))
    };
    assert_eq!(of("\"mm\" \"mm\" \"mm\""), ([0.5, 0.75, 2.0], vec![]));
    assert_eq!(of("\"cm\" \"cm\" \"cm\""), ([5.0, 7.5, 20.0], vec![WarningCode::UnitConverted]));
    assert_eq!(of("\"apples\" \"mm\" \"mm\"").1, [WarningCode::UnitUnknown]);
    refused(&file(&format!("{RAW}{SPACE}space units: \"mm\" \"cm\" \"mm\"\n")), &["`space units`", "the same unit"]);
    let found = volume(&file(&format!("{RAW}spacings: 0.05 0.05 0.1\nunits: \"cm\" \"cm\" \"cm\"\n")));
    assert_eq!(found.grid().spacing_mm(), [0.5, 0.5, 1.0]);
}

#[test]
fn all_types_are_read_under_all_their_names_in_both_orders() {
    macro_rules! check {
        ($type:ty, $($name:literal),+) => {{
            let values = [0 as $type, 1 as $type, 100 as $type, <$type>::MAX, <$type>::MIN, 7 as $type];
            let expected = values.map(|value| value as f32);
            for name in [$($name),+] {
                for (order, bytes) in [("little", values.map(<$type>::to_le_bytes)), ("big", values.map(<$type>::to_be_bytes))] {
                    let fields = format!("type: {name}\ndimension: 3\nsizes: 1 2 3\nencoding: raw\nendian: {order}\n{SPACE}");
                    let found = volume(&with_data(&fields, bytes.as_flattened()));
                    assert_eq!(found.voxels(), expected, "{name} {order}");
                }
            }
        }};
    }
    check!(i8, "signed char", "int8", "int8_t");
    check!(u8, "uchar", "unsigned char", "uint8", "uint8_t", "UINT8");
    check!(i16, "short", "short int", "signed short", "signed short int", "int16", "int16_t");
    check!(u16, "ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t");
    check!(i32, "int", "signed int", "int32", "int32_t");
    check!(u32, "uint", "unsigned int", "uint32", "uint32_t");
    check!(
        i64,
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t"
    );
    check!(u64, "ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t");
    check!(f32, "float");
    check!(f64, "double");
    for name in ["block", "complex", "half", ""] {
        refused(&file(&RAW.replace("short", name)), &["`type`", "float or double"]);
    }
}

#[test]
fn encodings_give_the_same_voxels() {
    let plain: Vec<u8> = (-12..12_i16).flat_map(i16::to_le_bytes).collect();
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    };
    let fields = |encoding: &str| RAW.replace("raw", encoding) + SPACE;
    let text = (-12..12).map(|n| n.to_string()).collect::<Vec<_>>();
    let (front, back) = plain.split_at(13);
    for (encoding, data) in [
        ("raw", plain.clone()),
        ("gzip", gzip(&plain)),
        ("gz", [gzip(front), gzip(back)].concat()),
        ("GZIP", gzip(&plain)),
        ("ascii", text.join("\n").into_bytes()),
        ("text", format!("  {}\n", text.join(", ")).into_bytes()),
        ("txt", text.join(" ").into_bytes()),
    ] {
        let found = volume(&with_data(&fields(encoding), &data));
        assert_eq!((found.voxels(), codes(&found)), (&voxels()[..], vec![]), "{encoding}");
        let short = with_data(&fields(encoding), &data[..data.len() / 2]);
        refused(
            &short,
            &[
                "ends before its last voxel",
                if encoding.starts_with('t') || encoding == "ascii" { "24 numbers" } else { "48 bytes" },
            ],
        );
        let more: &[u8] =
            if data[0].is_ascii() && encoding != "raw" && !encoding.eq_ignore_ascii_case("gzip") && encoding != "gz" {
                b" 7"
            } else {
                b"more"
            };
        let longer = volume(&with_data(&fields(encoding), &[&data, more].concat()));
        assert_eq!((longer.voxels(), codes(&longer)), (&voxels()[..], vec![WarningCode::TrailingBytes]), "{encoding}");
    }
    for encoding in ["hex", "bzip2", "bz2", "zrl"] {
        refused(&file(&fields(encoding)), &["`encoding`", "raw, gzip or ascii", encoding]);
    }
    let mut damaged = gzip(&plain);
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    refused(&with_data(&fields("gzip"), &damaged), &["gzip stream is damaged"]);
    let odd = text.join(" ").replace(" 7 ", " 7.5 ");
    refused(&with_data(&fields("ascii"), odd.as_bytes()), &["voxel number 19", "7.5"]);
    refused(&with_data(&fields("ascii"), b"1 2 99999 4"), &["voxel number 2", "99999"]);
    let floats = fields("ascii").replace("short", "float");
    let found = volume(&with_data(&floats, (0..24).map(|n| format!("{n}.5e0 ")).collect::<String>().as_bytes()));
    assert_eq!(found.voxels()[3], 3.5);
}

#[test]
fn lines_and_bytes_before_the_voxels_are_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain: Vec<u8> = (-12..12_i16).flat_map(i16::to_le_bytes).collect();
    let data = [b"one line\nanother\n12345".as_slice(), &plain, b"!!"].concat();
    let read = |fields: &str| {
        let path = folder.path().join("ct.nrrd");
        fs::write(&path, with_data(&format!("{RAW}{SPACE}{fields}"), &data)).expect("written");
        Volume::open(path)
    };
    for fields in ["line skip: 2\nbyte skip: 5\n", "lineskip: 2\nbyteskip: 5\n", "byte skip: 22\n", "byte skip: -3\n"] {
        let found = read(fields).expect(fields);
        assert_eq!(found.voxels(), voxels(), "{fields}");
        let expected: &[WarningCode] = if fields.contains('-') { &[] } else { &[WarningCode::TrailingBytes] };
        assert_eq!(codes(&found), expected, "{fields}");
    }
    for (fields, part) in [
        ("byte skip: 99999999999\n", "expected 48 bytes of voxels, found 0"),
        ("byte skip: -999\n", "expected 48 bytes"),
        ("line skip: -1\n", "`line skip`"),
        ("line skip: 99999999\n", "found 0"),
        ("byte skip: many\n", "`byte skip`"),
    ] {
        let error = read(fields).expect_err(fields).to_string();
        assert!(error.contains(part) && error.contains("ct.nrrd"), "{error}");
    }
    // A reader's length is not known.
    refused(&file(&format!("{RAW}{SPACE}byte skip: -1\n")), &["`byte skip`", "stream"]);
    let gzip = RAW.replace("raw", "gzip");
    refused(&file(&format!("{gzip}{SPACE}byte skip: -1\n")), &["`byte skip`"]);
    refused(&file(&format!("{gzip}{SPACE}byte skip: 99999999999\n")), &["`byte skip`", "at most"]);
}

#[test]
fn voxels_are_read_from_the_files_that_a_header_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("raw")).expect("made");
    let plain: Vec<u8> = (-12..12_i16).flat_map(i16::to_le_bytes).collect();
    let (a, b) = plain.split_at(24);
    for (name, bytes) in [("ct 1.raw", &plain[..]), ("raw/s07.raw", a), ("raw/s09.raw", b)] {
        fs::write(at(name), bytes).expect("written");
    }
    for (n, row) in plain.chunks(6).enumerate() {
        fs::write(at(&format!("row{n}.raw")), row).expect("written");
    }
    let read = |data: &str| {
        let path = at("ct.nhdr");
        fs::write(&path, format!("NRRD0005\r\n{}{data}", format!("{RAW}{SPACE}").replace('\n', "\r\n")))
            .expect("written");
        Volume::open(path)
    };
    let rows: String = (0..8).map(|n| format!("row{n}.raw\n")).collect();
    for data in [
        "data file: ct 1.raw\n",
        "datafile: ./ct 1.raw\r\n\r\n",
        "Data File: raw/s%02d.raw 7 9 2\n",
        "data file: raw/s%02d.raw 7 9 2 3\n",
        "data file: raw/s%02d.raw 7 9 2 2",
        "data file: LIST\nraw/s07.raw\nraw/s09.raw\n",
        &format!("data file: LIST 1\n{rows}"),
        "data file: row%d.raw 0 7 1 1\n",
    ] {
        let found = read(data).unwrap_or_else(|error| panic!("{data}: {error}"));
        assert_eq!(found.voxels(), voxels(), "{data}");
        // No output may replace them.
        let files = segvol_volume::files_of(&at("ct.nhdr"));
        assert!(files.len() > 1 && files.iter().all(|file| file.is_file()), "{files:?}");
        assert_eq!(found.grid().data_files().len(), files.len() - 1);
    }
    for (data, part) in [
        ("data file: missing.raw\n", "cannot read"),
        ("data file: ../ct 1.raw\n", "in the header's folder"),
        ("data file: /etc/passwd\n", "in the header's folder"),
        ("data file: raw\n", "found a folder"),
        ("data file: LIST\nraw/s07.raw\n", "expected 2 files, found 1 files"),
        ("data file: row%d.raw 0 7 1 3\n", "a part of 2 files"),
        ("data file: LIST 7\nraw/s07.raw\n", "from 1 to 3"),
        ("data file: raw/s%02d.raw 7 8 1 1\n", "expected 8 files"),
        ("data file: raw/s%02d.raw 1 9999999 1\n", "at most"),
        (
            "data file: raw/s07.raw\n",
            "`raw/s07.raw`: the file ends before its last voxel: expected 48 bytes of voxels, found 24",
        ),
        ("data file: \n", "the name of a file"),
    ] {
        let error = read(data).expect_err(data).to_string();
        assert!(error.contains(part) && error.contains("ct.nhdr"), "{data}: {error}");
    }
    let error = Volume::read(
        &b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 1 1 1\nspacings: 1 1 1\nencoding: raw\ndata file: a.raw\n"[..],
    );
    assert!(error.expect_err("no folder").to_string().contains("open the header by its path"));
}

#[test]
fn a_file_with_voxels_of_the_scan_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let (header, data) = (folder.path().join("ct.nhdr"), folder.path().join("voxels.nrrd"));
    fs::write(&data, (-12..12_i16).flat_map(i16::to_le_bytes).collect::<Vec<_>>()).expect("written");
    fs::write(&header, format!("NRRD0004\n{RAW}{SPACE}data file: voxels.nrrd\n")).expect("written");
    let before = fs::read(&data).expect("read");
    let found = Volume::open(&header).expect("a scan");
    assert!(matches!(found.save(&data), Err(VolumeError::OverScan { .. })));
    assert!(matches!(found.save(&header), Err(VolumeError::Name { .. })));
    let mask = Mask::from_labels(vec![1_u8; 24], found.grid().clone()).expect("a mask");
    assert!(matches!(mask.save(&data), Err(segvol_volume::MaskError::OverScan { .. })));
    assert_eq!(fs::read(&data).expect("read"), before);
    found.save(folder.path().join("copy.nrrd")).expect("another file");
}

#[test]
fn a_fourth_axis_may_only_have_one_value() {
    let of =
        |fields: &str| file(&format!("type: short\nencoding: raw\nendian: little\ndimension: 4\nspace: LPS\n{fields}"));
    let directions = "(0.5,0,0) (0,0.75,0) (0,0,2)";
    for fields in [
        format!("sizes: 1 3 4 2\nkinds: list domain domain domain\nspace directions: none {directions}\n"),
        format!("sizes: 3 4 2 1\nspace directions: {directions} none\n"),
        format!("sizes: 3 4 2 1\nspace directions: {directions} (nan,nan,nan)\n"),
    ] {
        let found = volume(&of(&fields));
        assert_eq!((found.shape_xyz(), found.grid().spacing_mm()), ([3, 4, 2], [0.5, 0.75, 2.0]));
    }
    let fields = format!("sizes: 3 2 2 2\nkinds: vector domain domain domain\nspace directions: none {directions}\n");
    refused(&of(&fields), &["`sizes`", "one value for each voxel", "3 (axis 1, \"vector\")"]);
    refused(&of("sizes: 1 3 4 2\nspace directions: (1,0,0) (0,1,0) none none\n"), &["three axes of space"]);
    let bare = "type: short\nencoding: raw\nendian: little\ndimension: 4\n";
    assert_eq!(volume(&file(&format!("{bare}sizes: 3 4 2 1\nspacings: 1 1 1 1\n"))).shape_xyz(), [3, 4, 2]);
    assert_eq!(volume(&file(&format!("{bare}sizes: 1 3 4 2\nspacings: 1 1 1 1\n"))).shape_xyz(), [3, 4, 2]);
    let kinds = "sizes: 1 3 4 2\nkinds: time space space space\nspacings: nan 1 1 1\n";
    assert_eq!(volume(&file(&format!("{bare}{kinds}"))).shape_xyz(), [3, 4, 2]);
    refused(&file(&format!("{bare}sizes: 3 2 2 2\nspacings: 1 1 1 1\n")), &["`dimension`", "three axes of space"]);
}

#[test]
fn what_is_wrong_in_a_header_is_named() {
    let good = format!("{RAW}{SPACE}");
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        file(&good.replacen(from, to, 1))
    };
    volume(&file(&format!(
        "# comment\nkey:=value: x\ncontent: a:=b\nmeasurement frame: (1,0,0) (0,1,0) (0,0,1)\nunknown: 7\n{good}"
    )));
    refused(&with("type: short\n", ""), &["`type`", "no such field"]);
    refused(&with("dimension: 3", "dimension: 0"), &["`dimension`", "1 to 16", "\"0\""]);
    refused(&with("dimension: 3", "dimension: 2"), &["`sizes`", "2 whole numbers"]);
    refused(&with("sizes: 3 4 2", "sizes: 3 4 x"), &["`sizes`", "\"3 4 x\""]);
    refused(&with("sizes: 3 4 2", "sizes: 3 0 2"), &["`sizes`", "[3, 0, 2]"]);
    refused(&with("sizes: 3 4 2", "sizes: 4000000 4000000 4000000"), &["`sizes`", "2147483648"]);
    refused(&with("sizes: 3 4 2", "sizes: -3 4 2"), &["`sizes`"]);
    refused(&with("endian: little\n", ""), &["`endian`", "little or big"]);
    refused(&with("endian: little", "endian: middle"), &["`endian`", "middle"]);
    refused(&with("encoding: raw\n", ""), &["`encoding`"]);
    refused(&with("(0,0,2)", "(0,0)"), &["`space directions`", "3 vectors"]);
    refused(&with("(0,0,2)", ""), &["`space directions`"]);
    refused(&with("(0,0,2)", "(0,1,0)"), &["`space directions`", "three independent axes"]);
    refused(&with("(0,0,2)", "(0,0,inf)"), &["`space directions`", "finite"]);
    refused(&with("(-10,20,30)", "(-10,20)"), &["`space origin`"]);
    refused(&with("(-10,20,30)", "(nan,20,30)"), &["`space origin`"]);
    refused(&with("type: short", "type short"), &["line 2", "type short"]);
    refused(&with("type: short", "type: short\ntype: short"), &["line 3", "every field once"]);
    refused(b"NRRD0009\ntype: short\n\n", &["line 1", "NRRD0001 to NRRD0005"]);
    refused(b"NRRD0004\ntype: short\n", &["ends inside its header"]);
    let long = [b"NRRD0004\n# ".as_slice(), &vec![b'x'; raster::MAX_HEADER]].concat();
    refused(&long, &["at most 4194304 bytes"]);
    // A size alone allocates nothing.
    let claim = format!("{RAW}{SPACE}").replace("sizes: 3 4 2", "sizes: 1290 1290 1290");
    refused(&file(&claim), &["expected 4293378000 bytes of voxels, found 48"]);
    refused(&file(&claim.replace("raw", "gzip")), &["gzip stream is damaged"]);
}

#[test]
fn versions_differ_only_in_their_magic() {
    for version in 1..=5 {
        let bytes = file(&format!("{RAW}{SPACE}"));
        let bytes = [format!("NRRD000{version}").as_bytes(), &bytes[8..]].concat();
        assert_eq!(volume(&bytes).voxels(), voxels());
    }
}

/// Any invertible affine: also oblique, sheared and mirrored ones.
fn affines() -> impl Strategy<Value = Affine> {
    prop::array::uniform3(prop::array::uniform4(-3.0..3.0_f64)).prop_map(Affine::new).prop_filter(
        "invertible",
        |affine| {
            let spacing = affine.spacing_mm();
            affine.is_invertible() && affine.determinant().abs() > 0.05 * spacing.iter().product::<f64>()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_is_read_again(affine in affines(), shape in prop::array::uniform3(1..6_usize), kind in 0..4_u32) {
        let count: usize = shape.iter().product();
        let value = |n: usize| match kind {
            0 => n as f32 - 50.0,
            1 => n as f32 * 1000.0 - 40_000.0,
            2 => n as f32 / 3.0,
            _ => f32::from_bits(0x7f80_0000 - n as u32), // up to infinity
        };
        let voxels: Vec<f32> = (0..count).map(value).collect();
        let scan = Volume::new(shape, voxels.clone(), affine).expect("a volume");
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.nrrd", "a.mha", "a.nii", "a.nii.gz"] {
            let path = folder.path().join(name);
            scan.save(&path).expect("saved");
            let found = Volume::open(&path).expect("read");
            prop_assert_eq!(found.shape_xyz(), shape);
            prop_assert!(found.voxels().iter().zip(&voxels).all(|(a, b)| a == b), "{}", name);
            // float32 in NIfTI; MetaImage divides by the spacing and multiplies by it again.
            let tolerance = match name { "a.nrrd" => 0.0, "a.mha" => 1e-14, _ => 1e-6 };
            for (a, b) in found.grid().affine().rows().iter().flatten().zip(affine.rows().iter().flatten()) {
                prop_assert!((a - b).abs() <= tolerance, "{}: {} {}", name, a, b);
            }
            let bytes = fs::read(&path).expect("read");
            scan.save(&path).expect("saved");
            prop_assert_eq!(fs::read(&path).expect("read"), bytes, "the same bytes again");
        }
    }

    #[test]
    fn layers_are_read_as_they_were_written(layers in 1..4_usize, big in any::<bool>()) {
        let grid = Grid::new([2, 3, 2], Affine::from_spacing([1.0, 2.0, 3.0])).expect("a grid");
        let count = grid.voxels() * layers;
        let labels: Vec<u16> = (0..count).map(|n| if big { 300 } else { 0 } + n as u16).collect();
        let small: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
        let voxels = if big { segvol_volume::nifti::Voxels::U16(&labels) } else { segvol_volume::nifti::Voxels::U8(&small) };
        let mut bytes = Vec::new();
        let text = [("Segment0_Name".to_owned(), "left\nkid\\ney: a:=b".to_owned())];
        write(&mut bytes, &grid, layers, voxels, &text).expect("memory");
        let found = read_layers_of(&bytes[..], Some(bytes.len() as u64)).expect("layers");
        prop_assert_eq!((found.layers, found.labels), (layers, labels));
        prop_assert_eq!(&found.text["Segment0_Name"], &text[0].1);
        prop_assert_eq!(found.affine, *grid.affine());
    }
}

#[test]
fn masks_and_maps_are_written_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let scan = volume(&file(&format!("{RAW}{SPACE}")));
    let small = Mask::from_labels((0..24).collect::<Vec<u8>>(), scan.grid().clone()).expect("a mask");
    let large = Mask::from_labels((0..24).map(|n| n * 300).collect::<Vec<u16>>(), scan.grid().clone()).expect("a mask");
    for (name, format) in [
        ("m.nii", Format::Nifti),
        ("m.nii.gz", Format::NiftiGzip),
        ("m.NRRD", Format::Nrrd),
        ("m.mha", Format::MetaImage),
    ] {
        let path = folder.path().join(name);
        for (mask, step) in [(&small, 1), (&large, 300)] {
            mask.save(&path).expect("saved");
            let found = Volume::open(&path).expect("read");
            assert_eq!(found.voxels(), (0..24).map(|n| (n * step) as f32).collect::<Vec<_>>(), "{name}");
            assert_eq!(found.grid().affine(), scan.grid().affine(), "{name}");
            let mut written = Vec::new();
            mask.write(&mut written, format).expect("memory");
            assert_eq!(fs::read(&path).expect("read"), written, "{name}");
        }
        let map: Vec<f32> = (0..24).map(|n| if n == 3 { f32::NAN } else { n as f32 / 7.0 }).collect();
        segvol_volume::save_map(&path, &map, scan.grid()).expect("saved");
        let found = Volume::open(&path).expect("read");
        assert!(found.voxels().iter().zip(&map).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
    }
    // A comment changes neither voxels nor places.
    for name in ["c.nii", "c.nii.gz", "c.nrrd", "c.mha"] {
        let path = folder.path().join(name);
        small.save_with_comment(&path, "labels\n1 liver\n").expect("saved");
        let found = Volume::open(&path).expect("read");
        assert_eq!((found.voxels().len(), found.voxels()[5], codes(&found)), (24, 5.0, vec![]), "{name}");
        assert_eq!(found.grid().affine(), scan.grid().affine(), "{name}");
    }
    let bytes = fs::read(folder.path().join("c.nii")).expect("read");
    assert_eq!(bytes[348..360], [1, 0, 0, 0, 32, 0, 0, 0, 6, 0, 0, 0]);
    assert_eq!(&bytes[360..376], b"labels\n1 liver\n\0");
    for name in ["m.seg.nrrd", "m.nhdr", "m.mhd", "m.png", "nrrd"] {
        let error = small.save(folder.path().join(name)).expect_err(name).to_string();
        assert!(error.contains(".nii, .nii.gz, .nrrd or .mha"), "{error}");
    }
}
