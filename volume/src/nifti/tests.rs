//! Reads files of every kind that are made here byte by byte, and reads what was written with the `nifti` crate, an
//! independent implementation.

use std::io::Write as _;

use ::nifti::{NiftiObject as _, RandomAccessNiftiVolume as _, ReaderOptions};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::format::Format;
use crate::mask::{Mask, MaskError, save_logits};
use crate::volume::{Volume, VolumeError};

/// The bytes of a file, with its fields at the offsets of `nifti1.h` and `nifti2.h`.
#[derive(Clone)]
struct File {
    version: Version,
    order: ByteOrder,
    bytes: Vec<u8>,
}

impl File {
    const SHAPE: [i64; 3] = [3, 4, 2];

    /// A valid file: int16, unscaled, sform and qform, 24 voxels from -1000 on.
    fn new(version: Version, order: ByteOrder) -> Self {
        let size = version.header_bytes();
        let mut file = Self { version, order, bytes: vec![0; size + 4] };
        file.put(0, (size as i32).to_le_bytes());
        match version {
            Version::One => file.bytes[344..348].copy_from_slice(b"n+1\0"),
            Version::Two => file.bytes[4..12].copy_from_slice(b"n+2\0\r\n\x1a\n"),
        }
        file.dim([3, Self::SHAPE[0], Self::SHAPE[1], Self::SHAPE[2], 1, 1, 1, 1]);
        file.pixdim([1.0, 0.5, 0.75, 2.0, 0.0, 0.0, 0.0, 0.0]);
        file.slope(0.0, 0.0);
        match version {
            Version::One => file.put(108, 352.0_f32.to_le_bytes()),
            Version::Two => file.put(168, 544_i64.to_le_bytes()),
        }
        file.codes(1, 2);
        file.units(10);
        file.geometry(
            [0.0, 0.0, 1.0, 40.0, 30.0, -20.0],
            [[-0.5, 0.0, 0.0, 40.0], [0.0, -0.75, 0.0, 30.0], [0.0, 0.0, 2.0, -20.0]],
        );
        let values: Vec<i16> = (0..24).map(|n| n - 1000).collect();
        file.voxels(4, values.into_iter().map(i16::to_le_bytes))
    }

    fn put<const N: usize>(&mut self, offset: usize, mut bytes: [u8; N]) {
        if self.order == ByteOrder::Big {
            bytes.reverse();
        }
        self.bytes[offset..offset + N].copy_from_slice(&bytes);
    }

    fn real(&mut self, offsets: (usize, usize), index: usize, value: f64) {
        match self.version {
            Version::One => self.put(offsets.0 + 4 * index, (value as f32).to_le_bytes()),
            Version::Two => self.put(offsets.1 + 8 * index, value.to_le_bytes()),
        }
    }

    fn dim(&mut self, dim: [i64; 8]) {
        for (index, value) in dim.into_iter().enumerate() {
            match self.version {
                Version::One => self.put(40 + 2 * index, (value as i16).to_le_bytes()),
                Version::Two => self.put(16 + 8 * index, value.to_le_bytes()),
            }
        }
    }

    fn pixdim(&mut self, pixdim: [f64; 8]) {
        (0..8).for_each(|index| self.real((76, 104), index, pixdim[index]));
    }

    fn slope(&mut self, slope: f64, intercept: f64) {
        self.real((112, 176), 0, slope);
        self.real((112, 176), 1, intercept);
    }

    fn codes(&mut self, qform: i16, sform: i16) {
        match self.version {
            Version::One => {
                self.put(252, qform.to_le_bytes());
                self.put(254, sform.to_le_bytes());
            }
            Version::Two => {
                self.put(344, i32::from(qform).to_le_bytes());
                self.put(348, i32::from(sform).to_le_bytes());
            }
        }
    }

    fn units(&mut self, units: u8) {
        match self.version {
            Version::One => self.put(123, [units]),
            Version::Two => self.put(500, i32::from(units).to_le_bytes()),
        }
    }

    fn geometry(&mut self, quaternion_and_offset: [f64; 6], srow: [[f64; 4]; 3]) {
        (0..6).for_each(|index| self.real((256, 352), index, quaternion_and_offset[index]));
        (0..12).for_each(|index| self.real((280, 400), index, srow.as_flattened()[index]));
    }

    fn datatype(&mut self, code: i16, bits: i16) {
        let offset = if self.version == Version::One { 70 } else { 12 };
        self.put(offset, code.to_le_bytes());
        self.put(offset + 2, bits.to_le_bytes());
    }

    /// Replaces the voxels with little-endian ones of this type.
    fn voxels<const N: usize>(mut self, code: i16, values: impl Iterator<Item = [u8; N]>) -> Self {
        self.datatype(code, 8 * N as i16);
        self.bytes.truncate(self.version.header_bytes() + 4);
        for mut value in values {
            if self.order == ByteOrder::Big {
                value.reverse();
            }
            self.bytes.extend(value);
        }
        self
    }

    fn read(&self) -> Result<NiftiVolume, NiftiError> {
        read_bytes(&self.bytes)
    }

    fn affine(&self) -> Result<(crate::affine::Affine, Vec<segvol_base::Warning>), NiftiError> {
        let mut warnings = Vec::new();
        let affine = self.read()?.header.affine(&mut warnings)?;
        Ok((affine, warnings))
    }
}

fn read_bytes(bytes: &[u8]) -> Result<NiftiVolume, NiftiError> {
    read_from(bytes, Some(bytes.len() as u64))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn kinds() -> impl Iterator<Item = (Version, ByteOrder)> {
    [Version::One, Version::Two].into_iter().flat_map(|v| [ByteOrder::Little, ByteOrder::Big].map(|order| (v, order)))
}

fn expected_voxels() -> Vec<f32> {
    (0..24).map(|n| n as f32 - 1000.0).collect()
}

fn field_of(result: Result<impl Sized, NiftiError>) -> &'static str {
    match result {
        Err(NiftiError::Field { field, .. }) => field,
        Err(other) => panic!("not a field: {other}"),
        Ok(_) => panic!("read"),
    }
}

#[test]
fn both_versions_and_byte_orders() {
    for (version, order) in kinds() {
        let volume = File::new(version, order).read().expect("good");
        assert_eq!((volume.header.version, volume.header.byte_order), (version, order));
        assert_eq!(volume.header.shape_xyz, [3, 4, 2]);
        assert_eq!(volume.voxels, expected_voxels());
        assert!(volume.warnings.is_empty(), "{:?}", volume.warnings);
    }
}

#[test]
fn every_datatype() {
    for (version, order) in kinds() {
        macro_rules! check {
            ($code:literal, $type:ty, $values:expr) => {{
                let values: [$type; 4] = $values;
                let mut file = File::new(version, order).voxels($code, values.iter().map(|value| value.to_le_bytes()));
                file.dim([3, 2, 2, 1, 1, 1, 1, 1]);
                assert_eq!(file.read().expect("good").voxels, values.map(|v| v as f32), "{}", stringify!($type));
                file.slope(2.0, -1024.0);
                let scaled = values.map(|v| (v as f64 * 2.0 - 1024.0) as f32);
                assert_eq!(file.read().expect("good").voxels, scaled, "{}", stringify!($type));
            }};
        }
        check!(2, u8, [0, 1, 200, 255]);
        check!(256, i8, [-128, -1, 0, 127]);
        check!(512, u16, [0, 1, 40_000, 65_535]);
        check!(4, i16, [-32_768, -1024, 0, 32_767]);
        check!(768, u32, [0, 1, 70_000, u32::MAX]);
        check!(8, i32, [i32::MIN, -1, 0, 70_000]);
        check!(1280, u64, [0, 1, 70_000, u64::MAX]);
        check!(1024, i64, [i64::MIN, -1, 0, 70_000]);
        check!(16, f32, [-1024.5, -0.0, 3.25, 1e30]);
        check!(64, f64, [-1024.5, 1e-3, 3.25, 1e30]);
    }
}

#[test]
fn other_datatypes_are_refused_by_name() {
    for (code, name) in [
        (1, "one bit"),
        (32, "complex64"),
        (128, "RGB24"),
        (1536, "float128"),
        (1792, "complex128"),
        (2048, "complex256"),
        (2304, "RGBA32"),
        (0, "unknown"),
        (-7, "not in the specification"),
    ] {
        let mut file = File::new(Version::One, ByteOrder::Little);
        file.datatype(code, 8);
        let error = file.read().expect_err("no intensity").to_string();
        assert!(error.contains(name) && error.contains(&code.to_string()), "{error}");
    }
}

#[test]
fn slope_0_nan_or_infinite_means_unscaled() {
    for (version, order) in kinds() {
        for (slope, warnings) in [(0.0, 0), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 0)] {
            let mut file = File::new(version, order);
            file.slope(slope, if slope == 1.0 { 0.0 } else { 100.0 });
            let volume = file.read().expect("good");
            assert_eq!(volume.voxels, expected_voxels(), "slope {slope}");
            assert_eq!(volume.warnings.len(), warnings, "slope {slope}");
        }
        let mut file = File::new(version, order);
        file.slope(1.0, f64::NAN);
        assert_eq!(field_of(file.read()), "scl_inter");
    }
}

#[test]
fn gzip_is_told_by_content_and_may_have_several_members() {
    for (version, order) in kinds() {
        let bytes = File::new(version, order).bytes;
        assert_eq!(read_bytes(&gzip(&bytes)).expect("good").voxels, expected_voxels());
        for cut in [1, 3, 348, 352, bytes.len() - 1, bytes.len()] {
            let members = [gzip(&bytes[..cut]), gzip(&[]), gzip(&bytes[cut..])].concat();
            let volume = read_bytes(&members).expect("good");
            assert_eq!(volume.voxels, expected_voxels(), "cut at {cut}");
            assert!(volume.warnings.is_empty());
        }
    }
}

#[test]
fn damaged_gzip_is_an_error_and_padding_behind_it_a_warning() {
    let bytes = File::new(Version::One, ByteOrder::Little).bytes;
    let mut packed = gzip(&bytes);
    let sum = packed.len() - 8;
    packed[sum] ^= 1;
    assert!(matches!(read_bytes(&packed), Err(NiftiError::Gzip { .. })), "a wrong checksum");
    packed[sum] ^= 1;
    packed.extend([0; 512]);
    let volume = read_bytes(&packed).expect("good");
    assert_eq!(volume.voxels, expected_voxels());
    assert_eq!(volume.warnings.len(), 1);
}

#[test]
fn bytes_behind_the_voxels_are_a_warning() {
    let mut bytes = File::new(Version::Two, ByteOrder::Big).bytes;
    bytes.extend([7; 5]);
    for bytes in [gzip(&bytes), bytes] {
        let volume = read_bytes(&bytes).expect("good");
        assert_eq!(volume.voxels, expected_voxels());
        assert!(volume.warnings[0].message.starts_with("5 bytes"), "{:?}", volume.warnings);
    }
}

#[test]
fn missing_bytes_are_counted() {
    for (version, order) in kinds() {
        let bytes = File::new(version, order).bytes;
        let short = &bytes[..bytes.len() - 3];
        for bytes in [short.to_vec(), gzip(short)] {
            match read_bytes(&bytes) {
                Err(NiftiError::ShortData { expected: 48, found: 45, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        // Cut off inside the compressed stream.
        let packed = gzip(&bytes);
        assert!(matches!(
            read_bytes(&packed[..packed.len() - 20]),
            Err(NiftiError::ShortData { .. } | NiftiError::ShortHeader { .. })
        ));
        assert!(matches!(read_bytes(&bytes[..200]), Err(NiftiError::ShortHeader { found: 200, .. })));
    }
    assert!(matches!(read_bytes(&[0x5c, 0x01]), Err(NiftiError::ShortHeader { found: 2, .. })));
    assert!(matches!(read_bytes(&[]), Err(NiftiError::OtherFormat { .. })));
}

#[test]
fn a_claimed_size_allocates_nothing() {
    let mut file = File::new(Version::Two, ByteOrder::Little);
    file.dim([3, 1 << 10, 1 << 10, 1 << 11, 1, 1, 1, 1]);
    for bytes in [gzip(&file.bytes), file.bytes.clone()] {
        assert!(matches!(read_bytes(&bytes), Err(NiftiError::ShortData { expected: 0x1_0000_0000, found: 48, .. })));
        // Without a known length, as with a pipe.
        assert!(matches!(read_from(&bytes[..], None), Err(NiftiError::ShortData { found: 48, .. })));
    }
    for shape in [[1 << 11, 1 << 10, 1 << 11], [i64::MAX; 3], [1 << 32, 1 << 32, 1]] {
        file.dim([3, shape[0], shape[1], shape[2], 1, 1, 1, 1]);
        assert!(matches!(file.read(), Err(NiftiError::TooLarge { .. })), "{shape:?}");
    }
}

#[test]
fn fields_that_cannot_be_are_named() {
    for (version, order) in kinds() {
        let with = |change: &dyn Fn(&mut File)| {
            let mut file = File::new(version, order);
            change(&mut file);
            field_of(file.read())
        };
        assert_eq!(with(&|file| file.put(0, 349_i32.to_le_bytes())), "sizeof_hdr");
        assert_eq!(with(&|file| file.dim([2, 3, 4, 1, 1, 1, 1, 1])), "dim[0]");
        assert_eq!(with(&|file| file.dim([8, 3, 4, 2, 1, 1, 1, 1])), "dim[0]");
        assert_eq!(with(&|file| file.dim([3, 0, 4, 2, 1, 1, 1, 1])), "dim[1]");
        assert_eq!(with(&|file| file.dim([3, 3, -4, 2, 1, 1, 1, 1])), "dim[2]");
        assert_eq!(with(&|file| file.dim([4, 3, 4, 2, 5, 1, 1, 1])), "dim[4]");
        assert_eq!(with(&|file| file.dim([5, 3, 4, 2, 1, 3, 1, 1])), "dim[5]");
        assert_eq!(with(&|file| file.dim([5, 3, 4, 2, 0, 3, 0, 0])), "dim[5]");
        assert_eq!(with(&|file| file.dim([4, 3, 4, 2, -1, 1, 1, 1])), "dim[4]");
        let offset = |value: f64| {
            with(&|file| match version {
                Version::One => file.put(108, (value as f32).to_le_bytes()),
                Version::Two => file.put(168, (value as i64).to_le_bytes()),
            })
        };
        assert_eq!(offset(100.0), "vox_offset");
        assert_eq!(offset(-352.0), "vox_offset");
        assert_eq!(offset(1e15), "vox_offset");
    }
    for value in [f32::NAN, f32::INFINITY, 352.5] {
        let mut file = File::new(Version::One, ByteOrder::Little);
        file.put(108, value.to_le_bytes());
        assert_eq!(field_of(file.read()), "vox_offset");
    }
    let mut file = File::new(Version::One, ByteOrder::Little);
    file.bytes[344..348].copy_from_slice(b"n+7\0");
    assert_eq!(field_of(file.read()), "magic");
}

#[test]
fn four_axes_with_one_volume_and_unused_axes_are_read() {
    for (version, order) in kinds() {
        for dim in [
            [4, 3, 4, 2, 1, 1, 1, 1],
            [7, 3, 4, 2, 1, 1, 1, 1],
            [3, 3, 4, 2, 0, 0, 0, 0],
            [3, 3, 4, 2, 9, -9, 9, 9],
            [4, 3, 4, 2, 0, 0, 0, 0],
            [5, 3, 4, 2, 1, 0, 9, 9],
            [7, 3, 4, 2, 0, 1, 0, 1],
        ] {
            let mut file = File::new(version, order);
            file.dim(dim);
            assert_eq!(file.read().expect("good").voxels, expected_voxels(), "{dim:?}");
        }
    }
}

#[test]
fn extensions_are_skipped_and_offset_0_means_right_behind_the_header() {
    for (version, order) in kinds() {
        let mut file = File::new(version, order);
        let header = version.header_bytes() + 4;
        let offset = |file: &mut File, value: usize| match version {
            Version::One => file.put(108, (value as f32).to_le_bytes()),
            Version::Two => file.put(168, (value as i64).to_le_bytes()),
        };
        offset(&mut file, 0);
        assert_eq!(file.read().expect("good").voxels, expected_voxels());
        offset(&mut file, header + 32_000);
        file.bytes.splice(header..header, vec![9; 32_000]);
        assert_eq!(file.read().expect("good").voxels, expected_voxels());
        assert_eq!(read_bytes(&gzip(&file.bytes)).expect("good").voxels, expected_voxels());
    }
}

#[test]
fn detached_pairs_are_refused_by_name() {
    let mut file = File::new(Version::One, ByteOrder::Big);
    file.bytes[344..348].copy_from_slice(b"ni1\0");
    assert!(matches!(file.read(), Err(NiftiError::Detached { .. })));
    let mut file = File::new(Version::Two, ByteOrder::Big);
    file.bytes[4..7].copy_from_slice(b"ni2");
    assert!(matches!(file.read(), Err(NiftiError::Detached { .. })));
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("ct.img");
    std::fs::write(&path, [0; 400]).expect("written");
    assert!(matches!(read(&path), Err(NiftiError::Detached { .. })));
}

#[test]
fn sform_then_qform_then_spacing() {
    for (version, order) in kinds() {
        let mut file = File::new(version, order);
        file.geometry(
            [0.0, 0.0, 1.0, 4.0, 5.0, 6.0],
            [[-0.9, 0.0, 0.0, 1.0], [0.0, -0.9, 0.0, 2.0], [0.0, 0.0, -0.9, 3.0]],
        );
        file.pixdim([-1.0, 0.5, 0.75, 2.0, 0.0, 0.0, 0.0, 0.0]);
        file.codes(1, 1);
        let (affine, _) = file.affine().expect("good");
        assert!((affine.rows()[0][0] + 0.9).abs() < 1e-7);
        // A rotation by 180 degrees about z, and a negative `pixdim[0]`, which reverses k.
        file.codes(1, 0);
        let (affine, warnings) = file.affine().expect("good");
        assert_eq!(affine.rows(), [[-0.5, 0.0, 0.0, 4.0], [0.0, -0.75, 0.0, 5.0], [0.0, 0.0, -2.0, 6.0]]);
        assert!(warnings.is_empty());
        file.codes(0, -1);
        let (affine, warnings) = file.affine().expect("good");
        assert_eq!(affine.rows(), [[0.5, 0.0, 0.0, 0.0], [0.0, 0.75, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]);
        assert_eq!(warnings.len(), 1);
    }
}

#[test]
fn qform_is_a_rotation() {
    let mut file = File::new(Version::Two, ByteOrder::Little);
    // 90 degrees about x: j goes to z, k to -y.
    let half = 0.5_f64.sqrt();
    file.geometry([half, 0.0, 0.0, 1.0, 2.0, 3.0], [[0.0; 4]; 3]);
    file.pixdim([1.0, 0.5, 0.75, 2.0, 0.0, 0.0, 0.0, 0.0]);
    file.codes(1, 0);
    let (affine, _) = file.affine().expect("good");
    let expected = [[0.5, 0.0, 0.0, 1.0], [0.0, 0.0, -2.0, 2.0], [0.0, 0.75, 0.0, 3.0]];
    for (found, expected) in affine.rows().as_flattened().iter().zip(expected.as_flattened()) {
        assert!((found - expected).abs() < 1e-12, "{affine:?}");
    }
}

#[test]
fn unusable_affines_are_named_and_unusual_ones_warned_of() {
    for (version, order) in kinds() {
        let with = |change: &dyn Fn(&mut File)| {
            let mut file = File::new(version, order);
            change(&mut file);
            file.affine()
        };
        let field = |change: &dyn Fn(&mut File)| field_of(with(change));
        let warned = |change: &dyn Fn(&mut File)| {
            let (_, warnings) = with(change).expect("good");
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            warnings[0].message.clone()
        };
        let without_qform = |file: &mut File| file.codes(0, 2);
        assert_eq!(
            field(&|file| {
                without_qform(file);
                file.real((280, 400), 5, f64::NAN);
            }),
            "srow_y"
        );
        assert_eq!(
            field(&|file| {
                without_qform(file);
                file.geometry([0.0; 6], [[0.0; 4]; 3]);
            }),
            "srow_x, srow_y, srow_z"
        );
        let without_sform = |file: &mut File| file.codes(1, 0);
        assert_eq!(
            field(&|file| {
                without_sform(file);
                file.real((256, 352), 2, f64::INFINITY);
            }),
            "quatern_d"
        );
        assert_eq!(
            field(&|file| {
                without_sform(file);
                file.real((256, 352), 4, f64::NAN);
            }),
            "qoffset_y"
        );
        assert_eq!(
            field(&|file| {
                without_sform(file);
                file.real((76, 104), 3, f64::NAN);
            }),
            "pixdim[3]"
        );
        let zero = warned(&|file| {
            without_sform(file);
            file.real((76, 104), 3, 0.0);
        });
        assert!(zero.contains("pixdim[3]") && zero.contains("1 is used"), "{zero}");
        let negative = warned(&|file| {
            without_sform(file);
            file.real((76, 104), 1, -0.5);
        });
        assert!(negative.contains("pixdim[1]") && negative.contains("0.5 is used"), "{negative}");
        let long = warned(&|file| {
            without_sform(file);
            file.real((256, 352), 1, 1.0);
        });
        assert!(long.contains("quatern"), "{long}");
        let sheared = warned(&|file| {
            without_qform(file);
            file.real((280, 400), 1, 0.03);
        });
        assert!(sheared.contains("perpendicular"), "{sheared}");
        let unit = warned(&|file| file.units(5));
        assert!(unit.contains("xyzt_units"), "{unit}");
    }
}

#[test]
fn metres_and_micrometres_become_millimetres() {
    for (version, order) in kinds() {
        for (unit, factor) in [(0, 1.0), (2, 1.0), (10, 1.0), (1, 1e3), (3, 1e-3), (9, 1e3)] {
            let mut file = File::new(version, order);
            file.units(unit);
            file.codes(0, 2);
            let in_file = |mm: f64| mm / factor;
            file.pixdim([1.0, in_file(0.5), in_file(0.75), in_file(2.0), 0.0, 0.0, 0.0, 0.0]);
            file.geometry(
                [0.0; 6],
                [[in_file(-0.5), 0.0, 0.0, 1.0], [0.0, in_file(-0.75), 0.0, 2.0], [0.0, 0.0, in_file(2.0), 3.0]],
            );
            let (affine, warnings) = file.affine().expect("good");
            let expected = [0.5, 0.75, 2.0];
            assert!(affine.spacing_mm().iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-6), "{affine:?}");
            assert!((affine.rows()[2][3] - 3.0 * factor).abs() < 1e-12, "{affine:?}");
            assert_eq!(warnings.is_empty(), factor == 1.0);
        }
    }
}

#[test]
fn damaged_headers_never_panic() {
    for (version, order) in kinds() {
        let good = File::new(version, order).bytes;
        for position in 0..version.header_bytes() + 4 {
            for flip in [0x01, 0x02, 0x10, 0x40, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[position] ^= flip;
                for length in [Some(bytes.len() as u64), None] {
                    if let Ok(volume) = read_from(&bytes[..], length) {
                        assert_eq!(volume.voxels.len(), volume.header.voxels());
                        let _ = volume.header.affine(&mut Vec::new());
                    }
                }
            }
        }
        for length in 0..good.len() {
            assert!(read_bytes(&good[..length]).is_err(), "{length} bytes of {}", good.len());
        }
        let packed = gzip(&good);
        for position in 0..packed.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = packed.clone();
                bytes[position] ^= flip;
                let _ = read_bytes(&bytes);
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..700),
        kind in 0_usize..4,
        magic: bool,
    ) {
        let (version, order) = kinds().nth(kind).expect("four kinds");
        let good = File::new(version, order).bytes;
        let head = bytes.len().min(4);
        bytes[..head].copy_from_slice(&good[..head]);
        if magic && bytes.len() >= 348 {
            let field = if version == Version::One { 344..348 } else { 4..12 };
            bytes[field.clone()].copy_from_slice(&good[field]);
        }
        if let Ok(volume) = read_bytes(&bytes) {
            let _ = volume.header.affine(&mut Vec::new());
        }
    }

    #[test]
    fn a_mask_lies_where_its_scan_does_whatever_the_affine(
        rows in prop::array::uniform3(prop::array::uniform4(-300.0_f64..300.0)),
        shape in prop::array::uniform3(1_usize..6),
        compressed: bool,
    ) {
        let affine = crate::affine::Affine::new(rows);
        let voxels = shape.iter().product::<usize>();
        if affine.determinant().abs() < 1e-3 * affine.spacing_mm().iter().product::<f64>() {
            return Ok(()); // Nearly flat: rounding could make it singular.
        }
        let made = Volume::new(shape, vec![0.0; voxels], affine).expect("a volume");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(if compressed { "mask.nii.gz" } else { "mask.nii" });
        let labels: Vec<u8> = (0..voxels).map(|n| (n % 3) as u8).collect();
        let mask = Mask::from_labels(labels.clone(), made.grid().clone()).expect("a mask");
        mask.save(&path).expect("saved");
        // NIfTI-1 stores float32.
        let opened = Volume::open(&path).expect("our own file");
        prop_assert_eq!(opened.shape_xyz(), shape);
        prop_assert!(opened.voxels().iter().zip(&labels).all(|(&a, &b)| a == f32::from(b)));
        let float32 = rows.map(|row| row.map(|value| f64::from(value as f32)));
        prop_assert_eq!(opened.grid().affine().rows(), float32);
        // From file to file, nothing is rounded.
        let again = Mask::from_labels(labels, opened.grid().clone()).expect("a mask");
        let first = std::fs::read(&path).expect("read");
        let second = folder.path().join(if compressed { "again.nii.gz" } else { "again.nii" });
        again.save(&second).expect("saved");
        prop_assert_eq!(std::fs::read(&second).expect("read"), first);
    }

    #[test]
    fn what_is_written_is_read(
        kind in 0_usize..4,
        shape in prop::array::uniform3(1_usize..9),
        seed in any::<u32>(),
        compressed: bool,
    ) {
        let (version, order) = kinds().nth(kind).expect("four kinds");
        let mut header = File::new(version, order).read().expect("good").header;
        header.shape_xyz = shape;
        let value = |n: u32| f32::from_bits(n.wrapping_mul(seed | 1) >> 2);
        let values: Vec<f32> = (0..header.voxels() as u32).map(value).collect();
        let mut bytes = Vec::new();
        write_to(&mut bytes, &header, 0, Voxels::F32(&values)).expect("memory");
        let bytes = if compressed { gzip(&bytes) } else { bytes };
        let volume = read_bytes(&bytes).expect("good");
        prop_assert_eq!(&volume.voxels, &values);
        prop_assert!(volume.warnings.is_empty());
        let expected = Header {
            datatype: Datatype::F32,
            bitpix: 32,
            scl_slope: 1.0,
            vox_offset: version.first_voxel(),
            ..header
        };
        prop_assert_eq!(volume.header, expected);
    }
}

/// A volume from a file of this kind, and the folder of the file.
fn opened(version: Version, order: ByteOrder, name: &str) -> (Volume, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join(name);
    let bytes = File::new(version, order).bytes;
    std::fs::write(&path, if name.ends_with("gz") { gzip(&bytes) } else { bytes }).expect("written");
    (Volume::open(&path).expect("good"), folder)
}

#[test]
fn volumes_open_whatever_the_name_says() {
    for name in ["a.nii", "a.nii.gz", "no_extension", "a.b.c.NII"] {
        let (volume, _folder) = opened(Version::One, ByteOrder::Little, name);
        assert_eq!(volume.shape_xyz(), [3, 4, 2]);
        assert_eq!(volume.voxels(), expected_voxels());
        assert!((volume.grid().voxel_volume_ml() - 0.00075).abs() < 1e-12);
    }
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("ct.nii");
    for (make, expected) in [
        (None, "cannot read"),
        (Some(Vec::new()), "an empty file"),
        (Some(b"hello, world".to_vec()), "a text file"),
        (Some(vec![7; 400]), "`sizeof_hdr`"),
    ] {
        if let Some(bytes) = make {
            std::fs::write(&path, bytes).expect("written");
        }
        let error = Volume::open(&path).expect_err("bad").to_string();
        assert!(error.contains("ct.nii") && error.contains(expected), "{error}");
    }
    assert!(matches!(Volume::open(folder.path()), Err(VolumeError::File { .. })), "a folder");
}

#[test]
fn intensities_that_are_not_hounsfield_units_are_warned_of() {
    let affine = crate::affine::Affine::from_spacing([1.0; 3]);
    let volume = Volume::new([2, 1, 1], vec![0.0, 255.0], affine).expect("a volume");
    assert!(volume.warnings()[0].message.contains("Hounsfield"));
    let volume = Volume::new([2, 1, 1], vec![-1000.0, 255.0], affine).expect("a volume");
    assert!(volume.warnings().is_empty());
}

#[test]
fn volumes_without_a_file_are_checked() {
    let affine = crate::affine::Affine::from_spacing([1.0; 3]);
    assert!(matches!(
        Volume::new([2, 2, 2], vec![0.0; 7], affine),
        Err(VolumeError::Length { expected: 8, found: 7, .. })
    ));
    assert!(matches!(Volume::new([0, 2, 2], vec![], affine), Err(VolumeError::Shape { .. })));
    assert!(matches!(Volume::new([usize::MAX; 3], vec![], affine), Err(VolumeError::Shape { .. })));
    let flat = crate::affine::Affine::from_spacing([1.0, 1.0, 0.0]);
    assert!(matches!(Volume::new([1, 1, 1], vec![0.0], flat), Err(VolumeError::Affine(_))));
    // An axis that does not fit version 1's 16 bits.
    let long = Volume::new([40_000, 1, 1], vec![0.0; 40_000], affine).expect("a volume");
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("long.nii.gz");
    Mask::from_labels(vec![1_u8; 40_000], long.grid().clone()).expect("a mask").save(&path).expect("saved");
    let read = Volume::open(&path).expect("good");
    assert_eq!(read.shape_xyz(), [40_000, 1, 1]);
    assert_eq!(read.grid().affine(), long.grid().affine());
}

#[test]
fn masks_lie_on_the_grid_of_their_input() {
    for (version, order) in kinds() {
        for name in ["mask.nii", "mask.nii.gz"] {
            let (volume, folder) = opened(version, order, "ct.nii");
            let labels: Vec<u8> = (0..24).map(|n| n % 3).collect();
            let mask = Mask::from_labels(labels.clone(), volume.grid().clone()).expect("a mask");
            let path = folder.path().join(name);
            mask.save(&path).expect("saved");
            let contents = read(&path).expect("good");
            assert!(contents.voxels.iter().zip(&labels).all(|(&found, &label)| found == f32::from(label)));
            let expected = Header {
                datatype: Datatype::U8,
                bitpix: 8,
                scl_slope: 1.0,
                vox_offset: version.first_voxel(),
                ..volume.grid().header().expect("it came from a file").clone()
            };
            assert_eq!(contents.header, expected);
            // Two files and nothing else: no temporary file is left.
            assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 2);
            let again = folder.path().join(format!("again_{name}"));
            mask.save(&again).expect("saved");
            assert_eq!(std::fs::read(&path).expect("read"), std::fs::read(&again).expect("read"));
        }
    }
}

#[test]
fn the_nifti_crate_reads_masks_and_logits() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for extension in ["nii", "nii.gz"] {
            let (volume, folder) = opened(Version::One, order, "ct.nii");
            let path = folder.path().join(format!("mask.{extension}"));
            let labels: Vec<u16> = (0..24).map(|n| n * 100).collect();
            Mask::from_labels(labels.clone(), volume.grid().clone()).expect("a mask").save(&path).expect("saved");
            let object = ReaderOptions::new().read_file(&path).expect("another reader agrees");
            let header = object.header();
            assert_eq!((header.datatype, header.bitpix, header.intent_code), (512, 16, 1002));
            assert_eq!(&header.dim[..4], [3, 3, 4, 2]);
            assert_eq!((header.qform_code, header.sform_code, header.xyzt_units), (1, 2, 10));
            assert_eq!(header.pixdim[..4], [1.0, 0.5, 0.75, 2.0]);
            assert_eq!((header.scl_slope, header.scl_inter), (1.0, 0.0));
            assert_eq!((header.cal_min, header.cal_max), (0.0, 0.0));
            assert_eq!(header.vox_offset, 352.0);
            assert_eq!((header.quatern_b, header.quatern_c, header.quatern_d), (0.0, 0.0, 1.0));
            assert_eq!((header.quatern_x, header.quatern_y, header.quatern_z), (40.0, 30.0, -20.0));
            assert_eq!(header.srow_x, [-0.5, 0.0, 0.0, 40.0]);
            assert_eq!(header.srow_y, [0.0, -0.75, 0.0, 30.0]);
            assert_eq!(header.srow_z, [0.0, 0.0, 2.0, -20.0]);
            assert!(header.descrip.starts_with(concat!("segvol ", env!("CARGO_PKG_VERSION")).as_bytes()));
            let voxels = object.volume();
            for (index, &label) in labels.iter().enumerate() {
                let ijk = [index % 3, index / 3 % 4, index / 12].map(|n| n as u16);
                assert_eq!(voxels.get_f64(&ijk).expect("a voxel"), f64::from(label));
            }

            let path = folder.path().join(format!("logits.{extension}"));
            let logits: Vec<f32> = (0..24).map(|n| if n < 5 { f32::NAN } else { n as f32 - 7.5 }).collect();
            save_logits(&path, &logits, volume.grid()).expect("saved");
            let object = ReaderOptions::new().read_file(&path).expect("another reader agrees");
            assert_eq!((object.header().datatype, object.header().intent_code), (16, 0));
            let voxels = object.volume();
            for (index, logit) in logits.iter().enumerate() {
                let ijk = [index % 3, index / 3 % 4, index / 12].map(|n| n as u16);
                let found = voxels.get_f64(&ijk).expect("a voxel");
                assert!(found == f64::from(*logit) || found.is_nan() && logit.is_nan(), "{found} {logit}");
            }
        }
    }
}

#[test]
fn masks_count_and_bound_their_labels() {
    let (volume, _folder) = opened(Version::One, ByteOrder::Little, "ct.nii");
    let mut labels = vec![0_u8; 24];
    labels[1] = 2; // (1, 0, 0)
    labels[23] = 2; // (2, 3, 1)
    labels[3] = 1; // (0, 1, 0)
    let mask = Mask::from_labels(labels, volume.grid().clone()).expect("a mask");
    assert_eq!([0, 1, 2, 3, 300].map(|label| mask.count(label)), [21, 1, 2, 0, 0]);
    assert_eq!(mask.bounding_box_ijk(2), Some(([1, 0, 0], [2, 3, 1])));
    assert_eq!(mask.bounding_box_ijk(1), Some(([0, 1, 0], [0, 1, 0])));
    assert_eq!(mask.bounding_box_ijk(7), None);
    assert!((mask.volume_ml(2) - 0.0015).abs() < 1e-12);
}

#[test]
fn masks_that_cannot_be_written_are_refused() {
    let (volume, folder) = opened(Version::One, ByteOrder::Little, "ct.nii");
    assert!(matches!(
        Mask::from_labels(vec![0_u8; 23], volume.grid().clone()),
        Err(MaskError::Length { expected: 24, found: 23, .. })
    ));
    let mask = Mask::from_labels(vec![0_u8; 24], volume.grid().clone()).expect("a mask");
    for name in ["mask", "mask.seg.nrrd", "mask.gz", "mask.nii.gz.bak"] {
        assert!(matches!(mask.save(folder.path().join(name)), Err(MaskError::Name { .. })), "{name}");
    }
    let error = mask.save(folder.path().join("missing/mask.nii")).expect_err("no such folder").to_string();
    assert!(error.contains("missing"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    // Dots in a name are kept.
    mask.save(folder.path().join("1.3.12.2.nii")).expect("saved");
    assert!(folder.path().join("1.3.12.2.nii").exists());
}

/// The scan's own file is never replaced, whatever path leads to it. Another mask is.
#[test]
fn a_mask_is_not_saved_over_its_scan() {
    let (volume, folder) = opened(Version::One, ByteOrder::Little, "ct.nii");
    let at = |name: &str| folder.path().join(name);
    assert_eq!(volume.source(), Some(std::fs::canonicalize(at("ct.nii")).expect("a file").as_path()));
    let before = std::fs::read(at("ct.nii")).expect("read");
    let mask = Mask::from_labels(vec![0_u8; 24], volume.grid().clone()).expect("a mask");
    let mut paths = vec![at("ct.nii"), at("./ct.nii")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("ct.nii", at("link.nii")).expect("linked");
        std::fs::hard_link(at("ct.nii"), at("hard.nii")).expect("linked");
        paths.extend([at("link.nii"), at("hard.nii")]);
    }
    for path in paths {
        let error = mask.save(&path).expect_err("the scan");
        assert!(matches!(error, MaskError::OverScan { .. }), "{error}");
        assert_eq!(error.kind(), segvol_base::ErrorKind::Usage);
        let error = crate::mask::save_logits(&path, &[0.0; 24], volume.grid()).expect_err("the scan");
        assert!(matches!(error, MaskError::OverScan { .. }), "{error}");
    }
    assert_eq!(std::fs::read(at("ct.nii")).expect("read"), before);
    for _ in 0..2 {
        mask.save(at("mask.nii")).expect("saved");
    }
    // A volume that was read from a stream has no file.
    assert_eq!(Volume::read(before.as_slice()).expect("good").source(), None);
    assert_eq!(Volume::read(before.as_slice()).expect("good").grid(), volume.grid());
}

/// A temporary file is private. The finished file must have the permissions of any other new file.
#[cfg(unix)]
#[test]
fn masks_have_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let (volume, folder) = opened(Version::One, ByteOrder::Little, "ct.nii");
    let path = folder.path().join("mask.nii");
    Mask::from_labels(vec![0_u8; 24], volume.grid().clone()).expect("a mask").save(&path).expect("saved");
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).expect("a file").permissions().mode();
    assert_eq!(mode("mask.nii"), mode("ct.nii"));
}

/// Bytes from a network need no file: they give the same volume and the same mask as files do.
#[test]
fn readers_and_writers_do_what_paths_do() {
    for (version, order) in kinds() {
        let (volume, folder) = opened(version, order, "ct.nii");
        let bytes = std::fs::read(folder.path().join("ct.nii")).expect("read");
        let read = Volume::read(&bytes[..]).expect("a volume");
        assert_eq!((read.grid(), read.voxels()), (volume.grid(), volume.voxels()));

        let labels: Vec<u16> = (0..24).map(|n| n * 300).collect();
        let mask = Mask::from_labels(labels, read.grid().clone()).expect("a mask");
        for (name, format) in [("mask.nii", Format::Nifti), ("mask.nii.gz", Format::NiftiGzip)] {
            let path = folder.path().join(name);
            mask.save(&path).expect("saved");
            let mut written = Vec::new();
            mask.write(&mut written, format).expect("memory");
            assert_eq!(written, std::fs::read(&path).expect("read"), "{name}");
            assert_eq!(Volume::read(&written[..]).expect("our own bytes").grid().affine(), volume.grid().affine());
        }
        assert!(matches!(Volume::read(&bytes[..bytes.len() - 1]), Err(VolumeError::Contents(_))));
    }
}
