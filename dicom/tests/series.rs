//! Which images of a folder are a scan, where its voxels lie, and what is refused. Expected values are computed here.

#[allow(dead_code, missing_docs, unreachable_pub)] // Each test file uses some of it.
mod writer;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use segvol_base::{ErrorKind, WarningCode};
use segvol_dicom::{Catalogue, DicomError, DicomScan, ReadOptions, read};
use tempfile::TempDir;
use writer::*;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Writes images as files whose order is not theirs.
fn save_all(folder: &Path, images: impl IntoIterator<Item = Set>) {
    for (index, image) in images.into_iter().enumerate() {
        image.save(folder.join(format!("{}-{index}", 7 * index % 11)));
    }
}

fn scan(path: &Path) -> DicomScan {
    read(path, &ReadOptions::default()).expect("a scan")
}

fn refusal_with(path: &Path, options: &ReadOptions) -> String {
    let error = read(path, options).expect_err("no scan");
    assert_eq!(error.kind(), ErrorKind::Input);
    error.to_string()
}

#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let message = refusal_with(path, &ReadOptions::default());
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    // The list of what is there has the same words, if it is about one series.
    if path.is_dir()
        && let Ok(catalogue) = Catalogue::open(path, &ReadOptions::default())
        && let [series] = &catalogue.series[..]
        && let Some(problem) = &series.problem
    {
        assert!(message.contains(problem), "{problem}: {message}");
        assert_eq!(series.slices, None);
    }
}

fn codes(scan: &DicomScan) -> Vec<WarningCode> {
    scan.warnings.iter().map(|warning| warning.code).collect()
}

#[track_caller]
fn close(found: [[f64; 4]; 3], expected: [[f64; 4]; 3]) {
    let apart = found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart < 1e-9, "{found:?}, expected {expected:?}");
}

const PLAIN: [[f64; 4]; 3] = [[0.5, 0.0, 0.0, -10.0], [0.0, 0.75, 0.0, -20.0], [0.0, 0.0, 2.0, 30.0]];

#[test]
fn slices_are_sorted_by_position_whatever_their_names() {
    let folder = folder();
    save_all(folder.path(), [3, 0, 4, 1, 2].map(image));
    fs::write(folder.path().join("notes.txt"), "text").expect("written");
    fs::create_dir(folder.path().join(".hidden")).expect("a folder");
    fs::write(folder.path().join(".hidden/a"), image(9).file(Syntax::ExplicitLittle)).expect("written");
    let found = scan(folder.path());
    assert_eq!(found.shape_xyz, [4, 3, 5]);
    close(found.affine_lps, PLAIN);
    assert_eq!(found.voxels, hounsfield(0..5));
    assert_eq!(found.padding_hu, None);
    assert_eq!(codes(&found), []);
    let source = &found.source;
    assert_eq!(source.series_instance_uid.as_deref(), Some(UID));
    assert_eq!(source.study_instance_uid.as_deref(), Some("1.2.3"));
    assert_eq!(source.frame_of_reference_uid.as_deref(), Some("1.2.3.9"));
    for (k, slice) in source.slices.iter().enumerate() {
        let slice = slice.as_ref().expect("a slice");
        assert_eq!(slice.sop_instance_uid, Some(format!("{UID}.{k}")));
        assert_eq!(slice.position_mm, [-10.0, -20.0, 30.0 + 2.0 * k as f64]);
        assert_eq!((slice.frame_number, slice.pixel_spacing_mm), (None, [0.75, 0.5]));
    }
    let has = |group, element| source.attributes.get(dicom_core::Tag(group, element)).is_some();
    assert!(has(0x10, 0x10) && has(0x20, 0xd) && !has(0x7fe0, 0x10));
}

#[test]
fn what_a_segmentation_copies_has_no_private_attributes_and_overlays() {
    let folder = folder();
    let odd = |k| {
        image(k).text((0x9, 0x10), b"LO", "ACME").text((0x6000, 0x3000), b"OW", "ab").text((8, 0x80), b"LO", "Clinic")
    };
    save_all(folder.path(), [0, 1].map(odd));
    let attributes = scan(folder.path()).source.attributes.clone();
    let tags: Vec<_> = attributes.tags().collect();
    assert!(tags.contains(&dicom_core::Tag(8, 0x80)));
    assert!(tags.iter().all(|tag| tag.group() % 2 == 0 && tag.group() < 0x6000), "{tags:?}");
}

#[test]
fn a_tilted_gantry_is_kept_as_shear() {
    let folder = folder();
    // The planes are tilted by 15 degrees about x, and the table moves along z.
    let (sine, cosine) = 15_f64.to_radians().sin_cos();
    save_all(folder.path(), (0..4).map(|k| image(k).numbers(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, cosine, -sine])));
    let found = scan(folder.path());
    let rows = [[0.5, 0.0, 0.0, -10.0], [0.0, 0.75 * cosine, 0.0, -20.0], [0.0, -0.75 * sine, 2.0, 30.0]];
    close(found.affine_lps, rows);
    assert_eq!(found.voxels, hounsfield(0..4));
    assert_eq!(codes(&found), [WarningCode::AxesSheared]);
    assert!(found.warnings[0].message.contains("15 degrees"));
    let catalogue = Catalogue::open(folder.path(), &ReadOptions::default()).expect("a list");
    assert!((catalogue.series[0].tilt_degrees.expect("a scan") - 15.0).abs() < 1e-9);
}

#[test]
fn missing_slices_are_refused_by_place_or_filled_when_asked() {
    let folder = folder();
    save_all(folder.path(), [0, 1, 4, 5, 7].map(image));
    refused(folder.path(), &["3 slices are missing", "z = 32 mm", "z = 38 mm", "z = 40 mm", "6 mm", "2 mm apart"]);
    let error = read(folder.path(), &ReadOptions::default()).expect_err("no scan");
    assert!(matches!(error, DicomError::Refused { is_missing_slices: true, .. }));
    let found = read(folder.path(), &ReadOptions::default().fill_gaps(true)).expect("filled");
    assert_eq!(found.shape_xyz, [4, 3, 8]);
    close(found.affine_lps, PLAIN);
    // The voxels of a slice grow evenly with k.
    for (found, expected) in found.voxels.iter().zip(hounsfield(0..8)) {
        assert!((found - expected).abs() < 1e-3);
    }
    let missing: Vec<usize> = (0..8).filter(|k| found.source.slices[*k].is_none()).collect();
    assert_eq!(missing, [2, 3, 6]);
    assert_eq!(codes(&found), [WarningCode::DicomSlicesFilled]);
    assert!(found.warnings[0].message.contains("z = 38 mm"), "{}", found.warnings[0]);
}

#[test]
fn uneven_gaps_are_refused_even_when_gaps_may_be_filled() {
    let folder = folder();
    let at = |k: usize, z: f64| image(k).numbers(POSITION, &[-10.0, -20.0, z]);
    let images = [at(0, 0.0), at(1, 2.0), at(2, 4.0), at(3, 5.1), at(4, 7.1)];
    save_all(folder.path(), images);
    for fill_gaps in [false, true] {
        let message = refusal_with(folder.path(), &ReadOptions::default().fill_gaps(fill_gaps));
        assert!(message.contains("not evenly spaced") && message.contains("1.1 mm"), "{message}");
    }
    let sideways = self::folder();
    let shifted = |k: usize| image(k).numbers(POSITION, &[if k == 2 { -9.0 } else { -10.0 }, -20.0, 2.0 * k as f64]);
    save_all(sideways.path(), (0..5).map(shifted));
    refused(sideways.path(), &["straight line", "z = 4 mm"]);
}

#[test]
fn rounded_positions_are_even() {
    let folder = folder();
    let noise = [0.0, 0.01, -0.008, 0.009, -0.01, 0.004];
    save_all(
        folder.path(),
        (0..6).map(|k| image(k).numbers(POSITION, &[-10.0, -20.0, 30.0 + 0.7 * k as f64 + noise[k]])),
    );
    let found = scan(folder.path());
    assert!((found.affine_lps[2][2] - (3.5 + 0.004) / 5.0).abs() < 1e-12);
    assert_eq!(found.voxels, hounsfield(0..6));
}

#[test]
fn several_images_at_one_place_are_refused_unless_they_are_copies() {
    let folder = folder();
    save_all(folder.path(), (0..4).map(|k| image(k).text(ACQUISITION, b"IS", "1")));
    let second = image(8).numbers(POSITION, &[-10.0, -20.0, 32.0]).text(ACQUISITION, b"IS", "2");
    second.save(folder.path().join("second"));
    refused(folder.path(), &["one position", "z = 32 mm", "`second`", "Acquisition Number differs: 1 (1 image), 2"]);

    fs::remove_file(folder.path().join("second")).expect("removed");
    // The same voxels under another UID, and with another scale of the same Hounsfield units.
    image(1).text(SOP_INSTANCE, b"UI", "9.9").save(folder.path().join("copy"));
    let halves: Vec<u16> = (0..3).flat_map(|j| (0..4).map(move |i| 2 * stored(i, j, 2))).collect();
    image(2).pixels(&halves).numbers(SLOPE, &[0.5]).save(folder.path().join("deep/er"));
    let found = scan(folder.path());
    assert_eq!(found.voxels, hounsfield(0..4));
    assert_eq!(codes(&found), [WarningCode::DicomCopies]);
    assert!(found.warnings[0].message.starts_with("2 exact copies"), "{}", found.warnings[0]);
}

#[test]
fn images_that_differ_in_more_than_place_are_refused() {
    for (odd, words) in [
        (image(3).numbers(ORIENTATION, &[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]), ["2 orientations", "1 image"]),
        (image(3).numbers(SPACING, &[0.75, 0.51]), ["2 Pixel Spacings", "0.51"]),
        (image(3).word(ROWS, 2), ["2 sizes", "4 x 2"]),
    ] {
        let folder = folder();
        save_all(folder.path(), [image(0), image(1), image(2), odd]);
        refused(folder.path(), &words);
    }
    // Rounded and slightly too long directions are directions.
    let folder = folder();
    let long =
        |k: usize| image(k).numbers(ORIENTATION, &[1.000_04, 0.000_02, 0.0, 0.0, 0.999_98 - 1e-5 * k as f64, 0.0]);
    save_all(folder.path(), (0..3).map(long));
    assert_eq!(scan(folder.path()).voxels, hounsfield(0..3));
    for wrong in [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.0; 6], [3.0, 0.0, 0.0, 0.0, 3.0, 0.0]] {
        let folder = self::folder();
        save_all(folder.path(), (0..3).map(|k| image(k).numbers(ORIENTATION, &wrong)));
        refused(folder.path(), &["Image Orientation", "perpendicular"]);
    }
}

#[test]
fn localizers_are_never_part_of_a_scan() {
    let folder = folder();
    let localizer =
        |k| image(k).text(IMAGE_TYPE, b"CS", "ORIGINAL\\PRIMARY\\LOCALIZER").numbers(POSITION, &[0.0, 0.0, 31.0]);
    save_all(folder.path(), [image(0), image(1), localizer(9), image(2)]);
    let found = scan(folder.path());
    assert_eq!(found.voxels, hounsfield(0..3));
    assert_eq!(codes(&found), [WarningCode::DicomImagesUnused]);

    let folder = self::folder();
    save_all(folder.path(), [image(0), image(1), localizer(9).text(SERIES, b"UI", "5.5").text(NUMBER, b"IS", "1")]);
    assert_eq!(codes(&scan(folder.path())), []);
    for wanted in ["5.5", "1"] {
        let message = refusal_with(folder.path(), &ReadOptions::default().series(Some(wanted.to_owned())));
        assert!(message.contains("localizer"), "{message}");
    }
    let alone = self::folder();
    localizer(0).save(alone.path().join("a"));
    refused(alone.path(), &["localizer"]);
    refused(&alone.path().join("a"), &["localizer"]);
}

#[test]
fn one_of_several_series_must_be_chosen() {
    let folder = folder();
    let other = |k: usize| {
        image(k + 5).text(SERIES, b"UI", "5.6.7\0").text(NUMBER, b"IS", " 08").text(DESCRIPTION, b"LO", "bone")
    };
    save_all(&folder.path().join("a"), (0..3).map(image));
    save_all(&folder.path().join("b"), (0..3).map(other));
    let message = refusal_with(folder.path(), &ReadOptions::default());
    for word in [UID, "5.6.7", "number 7", "number 08", "\"bone\"", "3 slices of 4 x 3"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    let chosen = |series: &str| read(folder.path(), &ReadOptions::default().series(Some(series.to_owned())));
    for (series, slices) in [(UID, 0..3), ("7", 0..3), ("5.6.7", 5..8), (" 5.6.7 ", 5..8), ("8", 5..8)] {
        assert_eq!(chosen(series).expect(series).voxels, hounsfield(slices), "{series}");
    }
    let message = chosen("9").expect_err("no such series").to_string();
    assert!(message.contains("`9`") && message.contains(UID) && message.contains("5.6.7"), "{message}");
    save_all(&folder.path().join("c"), (0..3).map(|k| other(k).text(SERIES, b"UI", "5.6.8")));
    let message = chosen("8").expect_err("two of them").to_string();
    assert!(message.contains("found 2") && message.contains("5.6.7") && message.contains("5.6.8"), "{message}");
}

#[test]
fn a_damaged_series_beside_the_scan_is_named_and_another_modality_is_not_asked_about() {
    let folder = folder();
    save_all(&folder.path().join("a"), (0..3).map(image));
    save_all(&folder.path().join("b"), [0, 1, 3].map(|k| image(k).text(SERIES, b"UI", "5.6.7")));
    let found = scan(folder.path());
    assert_eq!(codes(&found), [WarningCode::DicomImagesUnused]);
    assert!(found.warnings[0].message.contains("a slice is missing"), "{}", found.warnings[0]);
    save_all(
        &folder.path().join("c"),
        (0..3).map(|k| image(k).text(SERIES, b"UI", "5.6.8").text(MODALITY, b"CS", "PT")),
    );
    assert_eq!(scan(folder.path()).source.modality.as_deref(), Some("CT"));
    let alone = scan(&folder.path().join("c"));
    assert_eq!(codes(&alone), [WarningCode::DicomModality]);
}

#[test]
fn a_series_may_have_no_uid_and_lie_in_several_folders() {
    let folder = folder();
    for k in 0..3 {
        image(k).text(SERIES, b"UI", "").text(SOP_INSTANCE, b"UI", "").save(folder.path().join(format!("{k}/x")));
    }
    image(3).without(SERIES).save(folder.path().join("y"));
    let found = scan(folder.path());
    assert_eq!(found.voxels, hounsfield(0..4));
    assert_eq!(found.source.series_instance_uid, None);
    assert_eq!(found.source.slices[0].as_ref().expect("a slice").sop_instance_uid, None);
}

#[test]
fn one_slice_stands_for_its_series_in_its_own_folder() {
    let folder = folder();
    save_all(&folder.path().join("a"), (0..3).map(image));
    image(0).text(SERIES, b"UI", "5.5").save(folder.path().join("a/other"));
    image(3).save(folder.path().join("a/below/deep"));
    image(4).save(folder.path().join("above"));
    assert_eq!(scan(&folder.path().join("a/0-0")).voxels, hounsfield(0..3));
    let one = scan(&folder.path().join("above"));
    assert_eq!(one.shape_xyz, [4, 3, 1]);
    // One image alone: as thick as it says.
    assert_eq!(one.affine_lps[2], [0.0, 0.0, 2.0, 38.0]);
    image(4).without(THICKNESS).save(folder.path().join("above"));
    refused(&folder.path().join("above"), &["Slice Thickness"]);
}

#[test]
fn what_is_not_a_ct_image_is_passed_over_or_named() {
    let folder = folder();
    save_all(folder.path(), (0..3).map(image));
    let segmentation = image(0).text(SOP_CLASS, b"UI", "1.2.840.10008.5.1.4.1.1.66.4").text(SERIES, b"UI", "5.5");
    segmentation.save(folder.path().join("seg.dcm"));
    let contours =
        image(0).without(PIXELS).text(SOP_CLASS, b"UI", "1.2.840.10008.5.1.4.1.1.481.3").text(SERIES, b"UI", "5.6");
    contours.save(folder.path().join("rt.dcm"));
    let report = image(0).without(PIXELS).without(POSITION).text(SOP_CLASS, b"UI", "1.2.840.10008.5.1.4.1.1.88.67");
    report.text(SERIES, b"UI", "5.7").save(folder.path().join("dose"));
    image(0).without(POSITION).text(SERIES, b"UI", "5.8").save(folder.path().join("sheet"));
    assert_eq!(codes(&scan(folder.path())), []);
    refused(&folder.path().join("seg.dcm"), &["a segmentation"]);
    refused(&folder.path().join("rt.dcm"), &["RT Structure Set"]);
    refused(&folder.path().join("dose"), &["dose report"]);
    refused(&folder.path().join("sheet"), &["without a position"]);
    let catalogue = Catalogue::open(folder.path(), &ReadOptions::default()).expect("a list");
    assert_eq!(catalogue.series.len(), 5);
    assert_eq!(catalogue.series.iter().filter(|series| series.problem.is_none()).count(), 1);
    // In the scan's own series it is said.
    image(0).without(POSITION).save(folder.path().join("own"));
    assert_eq!(codes(&scan(folder.path())), [WarningCode::DicomImagesUnused]);

    let without = self::folder();
    segmentation.save(without.path().join("seg.dcm"));
    refused(without.path(), &["a segmentation", "5.5"]);
    refused(self::folder().path(), &["there are no files"]);
}

/// A rotation by angles about z, y, x: the directions of rows, columns, and the normal.
fn rotation([a, b, c]: [f64; 3]) -> [[f64; 3]; 3] {
    let ((sa, ca), (sb, cb), (sc, cc)) = (a.sin_cos(), b.sin_cos(), c.sin_cos());
    [
        [ca * cb, sa * cb, -sb],
        [ca * sb * sc - sa * cc, sa * sb * sc + ca * cc, cb * sc],
        [ca * sb * cc + sa * sc, sa * sb * cc - ca * sc, cb * cc],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the directions, the tilt, the spacing and the order: each voxel is at its image's own place.
    #[test]
    fn every_voxel_is_where_its_image_puts_it(
        angles in [-3.2..3.2_f64, -3.2..3.2_f64, -3.2..3.2_f64],
        origin in [-500.0..500.0_f64, -500.0..500.0_f64, -500.0..500.0_f64],
        tilt in [-1.0..1.0_f64, -1.0..1.0_f64],
        spacing in [0.1..4.0_f64, 0.1..4.0_f64, 0.3..10.0_f64],
        order in Just([0_usize, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let folder = folder();
        let [row, column, normal] = rotation(angles);
        let step: [f64; 3] =
            std::array::from_fn(|axis| spacing[2] * (normal[axis] + tilt[0] * row[axis] + tilt[1] * column[axis]));
        let position = |k: usize| -> [f64; 3] { std::array::from_fn(|axis| origin[axis] + k as f64 * step[axis]) };
        save_all(folder.path(), order.map(|k| {
            image(k)
                .numbers(POSITION, &position(k))
                .numbers(ORIENTATION, &[row, column].concat())
                .numbers(SPACING, &[spacing[1], spacing[0]])
        }));
        let found = scan(folder.path());
        prop_assert_eq!(&found.voxels, &hounsfield(0..5));
        for (axis, of_axis) in found.affine_lps.iter().enumerate() {
            let expected = [row[axis] * spacing[0], column[axis] * spacing[1], step[axis], origin[axis]];
            for (found, expected) in of_axis.iter().zip(expected) {
                prop_assert!((found - expected).abs() < 1e-9, "{:?}", found);
            }
        }
    }
}
