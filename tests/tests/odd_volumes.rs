//! Unusual scans. Each one gives a result, a result with a warning, or an error that says what is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use segvol::intensity::IntensityError;
use segvol::nifti::{Datatype, Header};
use segvol::volume::Affine;
use segvol::{Error, Mask, Model, Options, Prompt, Provider, Volume, VolumeError, Warning};
use segvol_tests::seeded::uniform01;
use segvol_tests::{bundle, folder, models};

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("odd_volumes");
    let bundle = bundle::seeded(&folder, &models::tiny(), &BTreeMap::new());
    Model::open(&bundle, &Options::default().provider(Provider::Cpu)).expect("a bundle")
});

const SHAPE: [usize; 3] = [40, 30, 20];

/// A ball of tissue in air, with noise.
fn ball([x, y, z]: [usize; 3]) -> Vec<f32> {
    let at = |n: usize, size: usize| (n as f64 + 0.5) / size as f64 * 2.0 - 1.0;
    let voxel = |index: usize| {
        let (i, j, k) = (index % x, index / x % y, index / (x * y));
        at(i, x).powi(2) + at(j, y).powi(2) + at(k, z).powi(2) < 0.8
    };
    let noise = uniform01("ball");
    (0..x * y * z).zip(noise).map(|(n, noise)| (if voxel(n) { 40.0 } else { -1000.0 } + 50.0 * noise) as f32).collect()
}

fn volume(shape: [usize; 3], voxels: Vec<f32>) -> Volume {
    Volume::new(shape, voxels, Affine::from_spacing([0.8, 0.8, 2.5])).expect("a volume")
}

/// The warnings of the study, and the mask of a text prompt, which must be on the volume's grid.
fn segmented(volume: Volume) -> Result<(Vec<Warning>, Mask), Error> {
    let shape = volume.shape_xyz();
    let study = MODEL.study(volume)?;
    let found = study.segment(&Prompt::text("liver"))?;
    assert!(found.logits().expect("memory").iter().all(|logit| logit.is_finite()));
    let mask = found.mask().expect("memory");
    assert_eq!(mask.shape_xyz(), shape);
    Ok((study.warnings().to_vec(), mask))
}

fn error(volume: Volume) -> Error {
    segmented(volume).expect_err("no mask")
}

/// A file with a header that `change` modifies.
fn file(folder: &Path, voxels: &[i16], change: impl FnOnce(&mut Header)) -> PathBuf {
    let mut header = volume(SHAPE, ball(SHAPE)).grid().nifti_header().into_owned();
    (header.datatype, header.bitpix) = (Datatype::I16, 16);
    change(&mut header);
    let mut bytes = header.encode(0, "");
    bytes.extend(voxels.iter().flat_map(|voxel| voxel.to_le_bytes()));
    let path = folder.join("scan.nii");
    fs::write(&path, bytes).expect("written");
    path
}

fn rounded(voxels: &[f32]) -> Vec<i16> {
    voxels.iter().map(|&voxel| voxel as i16).collect()
}

#[track_caller]
fn assert_warns(warnings: &[Warning], part: &str) {
    assert!(warnings.iter().any(|warning| warning.message.contains(part)), "no {part:?} in {warnings:?}");
}

#[test]
fn an_ordinary_scan_has_a_mask_and_no_warning() {
    let (warnings, mask) = segmented(volume(SHAPE, ball(SHAPE))).expect("segmented");
    assert_eq!(warnings, Vec::<Warning>::new());
    assert!(mask.count(1) > 0);
}

#[test]
fn axes_of_one_voxel_have_a_mask_and_a_warning() {
    for shape in [[1, 30, 20], [40, 1, 20], [40, 30, 1], [40, 1, 1], [1, 30, 1], [1, 1, 20]] {
        let (warnings, _) = segmented(volume(shape, ball(shape))).unwrap_or_else(|error| panic!("{shape:?}: {error}"));
        assert_warns(&warnings, "fills only");
    }
    let one = error(volume([1, 1, 1], vec![40.0]));
    assert!(matches!(one, Error::Intensity(IntensityError::Constant { value: 40.0 })), "{one}");
}

#[test]
fn scans_without_contrast_are_refused() {
    for value in [0.0, -1024.0, 3071.0, f32::MIN_POSITIVE] {
        let found = error(volume(SHAPE, vec![value; 24_000]));
        assert!(matches!(found, Error::Intensity(IntensityError::Constant { .. })), "{value}: {found}");
        assert!(found.to_string().contains("contrast"), "{found}");
    }
}

#[test]
fn voxels_that_are_no_numbers_are_named() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut voxels = ball(SHAPE);
        voxels[(7 * 30 + 5) * 40 + 3] = value;
        let found = error(volume(SHAPE, voxels));
        let Error::Intensity(IntensityError::VoxelsNotFinite { first_ijk, count, .. }) = found else {
            panic!("{found}")
        };
        assert_eq!((first_ijk, count), ([3, 5, 7], 1));
        assert!(
            found.to_string().starts_with("1 of the scan's voxels is NaN or infinite; the first is (3, 5, 7)"),
            "{found}"
        );
    }
}

/// Whatever the order of the file's axes, its own index is named, and the first in the file's order.
#[test]
fn voxels_that_are_no_numbers_are_named_as_the_file_counts_them() {
    let axes: [[[f64; 3]; 3]; 4] = [
        [[-0.8, 0.0, 0.0], [0.0, -0.8, 0.0], [0.0, 0.0, 2.5]],
        [[0.0, 0.0, 0.8], [0.8, 0.0, 0.0], [0.0, -2.5, 0.0]],
        [[0.0, 0.8, 0.0], [0.0, 0.0, -0.8], [-2.5, 0.0, 0.0]],
        [[0.6, 0.5, 0.0], [-0.5, 0.6, 0.0], [0.0, 0.0, -2.5]],
    ];
    for columns in axes {
        let mut voxels = ball(SHAPE);
        for [i, j, k] in [[30, 20, 10], [11, 5, 9], [12, 5, 9], [10, 6, 9], [0, 0, 19]] {
            voxels[(k * 30 + j) * 40 + i] = f32::NAN;
        }
        let affine = Affine::new(columns.map(|[a, b, c]| [a, b, c, 7.0]));
        let found = error(Volume::new(SHAPE, voxels, affine).expect("a volume"));
        let Error::Intensity(IntensityError::VoxelsNotFinite { first_ijk, count, .. }) = found else {
            panic!("{found}")
        };
        assert_eq!((first_ijk, count), ([11, 5, 9], 5), "{columns:?}");
        assert!(
            found.to_string().starts_with("5 of the scan's voxels are NaN or infinite; the first is (11, 5, 9)"),
            "{found}"
        );
    }
}

/// Magnetic resonance: no air at -1000. The model was trained on CT, so there is only a warning.
#[test]
fn intensities_of_magnetic_resonance_have_a_mask_and_a_warning() {
    let voxels = ball(SHAPE).into_iter().map(|voxel| (voxel + 1000.0) * 1.7).collect();
    let (warnings, _) = segmented(volume(SHAPE, voxels)).expect("segmented");
    assert_warns(&warnings, "do not look like Hounsfield units");
}

/// Metal and padding values. The percentiles of the foreground limit their effect.
#[test]
fn the_extremes_of_int16_have_a_mask() {
    let folder = folder!();
    let mut voxels = rounded(&ball(SHAPE));
    for at in 0..12 {
        voxels[at * 1999] = if at % 2 == 0 { i16::MAX } else { i16::MIN };
    }
    let found = Volume::open(file(folder.path(), &voxels, |_| ())).expect("a scan");
    let (_, mask) = segmented(found).expect("segmented");
    assert!(mask.count(1) > 0);

    // Only these two values.
    let voxels: Vec<i16> = ball(SHAPE).iter().map(|&voxel| if voxel > 0.0 { i16::MAX } else { i16::MIN }).collect();
    let only = Volume::open(file(folder.path(), &voxels, |_| ())).expect("a scan");
    let found = error(only);
    assert!(matches!(found, Error::Intensity(IntensityError::Constant { .. })), "{found}");
}

#[test]
fn lengths_in_metres_are_converted_or_warned_of() {
    let folder = folder!();
    let voxels = rounded(&ball(SHAPE));
    let in_metres = |header: &mut Header| {
        for row in &mut header.srow {
            *row = row.map(|value| value / 1000.0);
        }
        header.pixdim[1..4].iter_mut().for_each(|value| *value /= 1000.0);
    };
    // The header says that lengths are in metres.
    let path = file(folder.path(), &voxels, |header| {
        in_metres(header);
        header.xyzt_units = 1;
    });
    let said = Volume::open(path).expect("a scan");
    assert_warns(said.warnings(), "metres");
    let spacing = said.grid().spacing_mm();
    assert!((0..3).all(|axis| (spacing[axis] - [0.8, 0.8, 2.5][axis]).abs() < 1e-6), "{spacing:?}");

    // The header does not say so: lengths are taken as millimetres, with a warning.
    let silent = Volume::open(file(folder.path(), &voxels, in_metres)).expect("a scan");
    assert_warns(silent.warnings(), "spacing");
    let (warnings, _) = segmented(silent).expect("segmented");
    assert_warns(&warnings, "spacing");
}

#[test]
fn spacings_of_zero_or_less_are_replaced_with_a_warning_or_refused() {
    let folder = folder!();
    let voxels = rounded(&ball(SHAPE));
    for (spacing, taken) in [(0.0, 1.0), (-2.5, 2.5)] {
        let path = file(folder.path(), &voxels, |header| {
            (header.sform_code, header.qform_code) = (0, 0);
            header.pixdim = [1.0, 0.8, 0.8, spacing, 0.0, 0.0, 0.0, 0.0];
        });
        let found = Volume::open(path).expect("a scan");
        assert_warns(found.warnings(), "pixdim[3]");
        assert!((found.grid().spacing_mm()[2] - taken).abs() < 1e-6, "{spacing}");
        let (warnings, _) = segmented(found).expect("segmented");
        assert_warns(&warnings, "pixdim[3]");
    }
    // A row of zeros in the affine: the axes are not independent.
    let path = file(folder.path(), &voxels, |header| header.srow[2] = [0.0; 4]);
    let found = Volume::open(path).expect_err("no third axis");
    assert!(matches!(found, VolumeError::File { .. }) && found.to_string().contains("srow"), "{found}");
    let found =
        Volume::new([1, 1, 2], vec![0.0; 2], Affine::from_spacing([1.0, 0.0, 1.0])).expect_err("no second axis");
    assert!(matches!(found, VolumeError::Affine(_)), "{found}");
}
