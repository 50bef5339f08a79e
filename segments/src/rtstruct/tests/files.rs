//! Masks to files and back.

use std::path::Path;
use std::sync::Arc;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, open_file};
use segvol_dicom::{SourceSeries, SourceSlice};
use segvol_volume::mask::Labels;
use segvol_volume::{Affine, Grid, Mask, MaskError};

use crate::dicom::{items, text, text_of};
use crate::{DicomOptions, Provenance, Segment, Segments, SegmentsError, read};

/// Where the slices of a scan are, LPS+ millimetres.
#[derive(Clone, Copy)]
struct Geometry {
    /// Directions of rows and columns.
    orientation: [f64; 6],
    /// Between rows, between columns.
    pixel_spacing_mm: [f64; 2],
    origin_mm: [f64; 3],
    /// From slice to slice.
    step_mm: [f64; 3],
}

const AXIAL: Geometry = Geometry {
    orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    pixel_spacing_mm: [0.9, 0.7],
    origin_mm: [-120.3, -99.7, 801.25],
    step_mm: [0.0, 0.0, 2.5],
};

fn geometries() -> [(&'static str, Geometry); 5] {
    let (sin, cos) = (17.0_f64.to_radians().sin(), 17.0_f64.to_radians().cos());
    let oblique = [0.8, 0.36, 0.48, -0.6, 0.48, 0.64];
    [
        ("axial", AXIAL),
        ("reversed", Geometry { step_mm: [0.0, 0.0, -2.5], ..AXIAL }),
        // The normal is not along z, the step is.
        ("tilted", Geometry { orientation: [1.0, 0.0, 0.0, 0.0, cos, -sin], ..AXIAL }),
        ("oblique", Geometry { orientation: oblique, step_mm: [0.0, -2.4, 1.8], ..AXIAL }),
        ("tiny voxels", Geometry { pixel_spacing_mm: [0.012, 0.009], step_mm: [0.0, 0.0, 0.02], ..AXIAL }),
    ]
}

/// A scan's grid; `slices` says which images there are.
fn grid(shape: [usize; 3], geometry: Geometry, slices: impl Fn(usize) -> bool) -> Arc<Grid> {
    let Geometry { orientation, pixel_spacing_mm, origin_mm, step_mm } = geometry;
    let rows = [0, 1, 2].map(|axis| {
        let [i, j] = [orientation[axis] * pixel_spacing_mm[1], orientation[axis + 3] * pixel_spacing_mm[0]];
        [i, j, step_mm[axis], origin_mm[axis]]
    });
    let slice = |k: usize| SourceSlice {
        sop_class_uid: Some(uids::CT_IMAGE_STORAGE.to_owned()),
        sop_instance_uid: Some(format!("1.2.3.{}", k + 1)),
        frame_number: None,
        position_mm: [0, 1, 2].map(|axis| origin_mm[axis] + k as f64 * step_mm[axis]),
        orientation,
        pixel_spacing_mm,
        slice_thickness_mm: None,
    };
    let series = SourceSeries {
        study_instance_uid: Some("1.2.1".to_owned()),
        series_instance_uid: Some("1.2.2".to_owned()),
        frame_of_reference_uid: Some("1.2.9".to_owned()),
        modality: Some("CT".to_owned()),
        attributes: InMemDicomObject::from_element_iter([
            text(tags::PATIENT_NAME, VR::PN, "Müller^Jörg"),
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
            text(tags::STUDY_DATE, VR::DA, "20200102"),
            text(tags::STUDY_TIME, VR::TM, "030405"),
        ]),
        slices: (0..shape[2]).map(|k| slices(k).then(|| slice(k))).collect(),
    };
    let affine = Affine::from_lps(Affine::new(rows));
    Arc::new(Grid::new(shape, affine).expect("a grid").with_dicom(Arc::new(series)))
}

/// Voxels with many borders, the same for the same seed.
fn noise(grid: &Arc<Grid>, seed: u64) -> Mask {
    let [ni, nj, _] = grid.shape_xyz();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let labels: Vec<u8> = (0..grid.voxels())
        .map(|index| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // The last slice has nothing, the first is full.
            match index / (ni * nj) {
                0 => 1,
                k if k + 1 == grid.shape_xyz()[2] => 0,
                _ => u8::from(random >> 33 & 3 != 0),
            }
        })
        .collect();
    Mask::from_labels(labels, Arc::clone(grid)).expect("a mask")
}

fn saved(path: &Path, grid: &Arc<Grid>, masks: &[(&str, Mask)], options: &DicomOptions) -> Result<(), SegmentsError> {
    let mask = |index: usize| -> Result<Mask, MaskError> { Ok(masks[index].1.clone()) };
    let segment =
        |(index, (name, _)): (usize, &(&str, Mask))| Segment { name: (*name).to_owned(), label: index as u16 + 1 };
    let segments = Segments {
        grid: Arc::clone(grid),
        segments: masks.iter().enumerate().map(segment).collect(),
        mask: &mask,
        provenance: Provenance { algorithm: "SegVol".into(), version: "1".into(), bundle_sha256: "ab".into() },
    };
    crate::rtstruct::save(path, &segments, options).map(|warnings| assert!(warnings.is_empty()))
}

fn voxels(mask: &Mask) -> Vec<u16> {
    match mask.labels() {
        Labels::U8(labels) => labels.iter().map(|&label| u16::from(label)).collect(),
        Labels::U16(labels) => labels.clone(),
    }
}

#[test]
fn masks_come_back_voxel_for_voxel_whatever_the_geometry() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rtstruct.dcm");
    for (name, geometry) in geometries() {
        let grid = grid([13, 9, 5], geometry, |k| k != 2);
        for seed in 0..4 {
            let masks = [("liver", noise(&grid, seed)), ("Leberläsion", noise(&grid, seed + 50))];
            saved(&path, &grid, &masks, &DicomOptions::default()).expect("saved");
            let found = read(&path, &grid).expect("readable").expect("an RTSTRUCT");
            assert_eq!(found.names().collect::<Vec<_>>(), ["liver", "Leberläsion"]);
            assert!(found.warnings.is_empty());
            for (index, (_, mask)) in masks.iter().enumerate() {
                assert_eq!(voxels(&found.mask(index).expect("a mask")), voxels(mask), "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn another_geometry_gives_other_voxels_or_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rtstruct.dcm");
    let shape = [13, 9, 5];
    let own = grid(shape, AXIAL, |_| true);
    let mask = noise(&own, 7);
    saved(&path, &own, &[("liver", mask.clone())], &DicomOptions::default()).expect("saved");
    let on = |geometry: Geometry| {
        let masks = read(&path, &grid(shape, geometry, |_| true)).expect("readable").expect("an RTSTRUCT");
        masks.mask(0)
    };
    let [x, y, z] = AXIAL.origin_mm;
    assert_eq!(voxels(&on(AXIAL).expect("its own")), voxels(&mask));
    for near in [
        Geometry { origin_mm: [x + 0.35, y, z], ..AXIAL },
        Geometry { origin_mm: [x, y - 0.45, z], ..AXIAL },
        Geometry { pixel_spacing_mm: [0.7, 0.9], ..AXIAL },
        Geometry { orientation: [0.0, 1.0, 0.0, 1.0, 0.0, 0.0], ..AXIAL },
    ] {
        assert_ne!(voxels(&on(near).expect("a mask")), voxels(&mask));
    }
    for (far, said) in [
        (Geometry { origin_mm: [x, y, z + 1.0], ..AXIAL }, "from the nearest slice of the scan"),
        (Geometry { origin_mm: [x, y, z + 5.0], ..AXIAL }, "outside of the scan, in slice -2 of 0 to 4"),
        (Geometry { orientation: [1.0, 0.0, 0.0, 0.0, 0.8, 0.6], ..AXIAL }, "span slices"),
    ] {
        let error = on(far).expect_err("another place").to_string();
        assert!(error.contains("\"liver\": contour 1: ") && error.contains(said), "{error}");
    }
}

#[test]
fn a_file_refers_to_its_slices_and_names_its_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rtstruct.dcm");
    let grid = grid([6, 5, 4], AXIAL, |k| k != 1);
    let empty = Mask::from_labels(vec![0_u8; 120], Arc::clone(&grid)).expect("a mask");
    let full = Mask::from_labels(vec![1_u8; 120], Arc::clone(&grid)).expect("a mask");
    let long = "x".repeat(70);
    let masks = [("liver", full.clone()), ("liver tumor", empty), (long.as_str(), full.clone()), (long.as_str(), full)];
    let options = DicomOptions::default().interactive([3]);
    saved(&path, &grid, &masks, &options).expect("saved");
    let bytes = std::fs::read(&path).expect("bytes");
    saved(&path, &grid, &masks, &options).expect("saved");
    assert_eq!(std::fs::read(&path).expect("bytes"), bytes, "the same bytes");

    let file = open_file(&path).expect("DICOM");
    assert_eq!(file.meta().transfer_syntax().trim_end_matches('\0'), uids::IMPLICIT_VR_LITTLE_ENDIAN);
    let value = |object: &InMemDicomObject, tag| text_of(object, tag).unwrap_or_default();
    assert_eq!(value(&file, tags::PATIENT_NAME), "Müller^Jörg");
    assert_eq!(value(&file, tags::STRUCTURE_SET_DATE), "20200102");
    assert_eq!(value(&file, tags::APPROVAL_STATUS), "UNAPPROVED");
    let frame = &items(&file, tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE)[0];
    assert_eq!(value(frame, tags::FRAME_OF_REFERENCE_UID), "1.2.9");
    let study = &items(frame, tags::RT_REFERENCED_STUDY_SEQUENCE)[0];
    assert_eq!(value(study, tags::REFERENCED_SOP_INSTANCE_UID), "1.2.1");
    let series = &items(study, tags::RT_REFERENCED_SERIES_SEQUENCE)[0];
    let images = |object| -> Vec<String> {
        let images = items(object, tags::CONTOUR_IMAGE_SEQUENCE).iter();
        images.map(|image| value(image, tags::REFERENCED_SOP_INSTANCE_UID)).collect()
    };
    assert_eq!(images(series), ["1.2.3.1", "1.2.3.3", "1.2.3.4"]);

    let rois = items(&file, tags::STRUCTURE_SET_ROI_SEQUENCE);
    let names: Vec<String> = rois.iter().map(|roi| value(roi, tags::ROI_NAME)).collect();
    assert_eq!(names[..2], ["liver", "liver tumor"]);
    assert!(names[2].len() == 64 && names[3].len() == 64 && names[3].ends_with(" (2)"), "{names:?}");
    let algorithms: Vec<String> = rois.iter().map(|roi| value(roi, tags::ROI_GENERATION_ALGORITHM)).collect();
    assert_eq!(algorithms, ["AUTOMATIC", "AUTOMATIC", "SEMIAUTOMATIC", "AUTOMATIC"]);

    let contours = items(&file, tags::ROI_CONTOUR_SEQUENCE);
    assert_eq!(contours.len(), 4);
    assert!(contours[1].get(tags::CONTOUR_SEQUENCE).is_none(), "an object without voxels has no contours");
    let own = items(&contours[0], tags::CONTOUR_SEQUENCE);
    let references: Vec<Vec<String>> = own.iter().map(images).collect();
    assert_eq!(references, [vec!["1.2.3.1"], vec![], vec!["1.2.3.3"], vec!["1.2.3.4"]], "slice 1 was interpolated");
    // Half a voxel outside of the centres.
    assert_eq!(
        value(&own[2], tags::CONTOUR_DATA),
        "-120.65\\-100.15\\806.25\\-116.45\\-100.15\\806.25\\-116.45\\-95.65\\806.25\\-120.65\\-95.65\\806.25"
    );
    let observations = items(&file, tags::RTROI_OBSERVATIONS_SEQUENCE);
    let kinds: Vec<String> = observations.iter().map(|item| value(item, tags::RTROI_INTERPRETED_TYPE)).collect();
    assert_eq!(kinds, ["ORGAN", "", "", ""]);
    let code = &items(&observations[0], tags::RTROI_IDENTIFICATION_CODE_SEQUENCE)[0];
    assert_eq!((value(code, tags::CODE_VALUE), value(code, tags::CODE_MEANING)), ("10200004".into(), "Liver".into()));

    let found = read(&path, &grid).expect("readable").expect("an RTSTRUCT");
    assert!(voxels(&found.mask(1).expect("empty")).iter().all(|&label| label == 0));
    assert_eq!(found.find("Liver_Tumor").expect("the same name"), 1);
    assert_eq!(found.with_label(4).expect("the number of an ROI"), 3);
    let error = found.find("spleen").expect_err("no spleen").to_string();
    assert!(error.contains("\"spleen\"") && error.contains("liver, liver tumor, xxx"), "{error}");
    let error = found.with_label(9).expect_err("no such number").to_string();
    assert!(error.contains("number 9") && error.contains("liver tumor (2)"), "{error}");
}

/// A file of one ROI with these contours.
fn written(path: &Path, frame_of_reference: &str, contours: &[(&str, &str)]) {
    let contour = |&(kind, data): &(&str, &str)| {
        InMemDicomObject::from_element_iter([
            text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, kind),
            DataElement::new(tags::CONTOUR_DATA, VR::DS, PrimitiveValue::from(data)),
        ])
    };
    let sequence = |tag, items: Vec<InMemDicomObject>| crate::dicom::item_sequence(tag, items);
    let item = |elements: Vec<_>| InMemDicomObject::from_element_iter(elements);
    let object = item(vec![
        text(tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.77"),
        sequence(
            tags::STRUCTURE_SET_ROI_SEQUENCE,
            vec![item(vec![
                text(tags::ROI_NUMBER, VR::IS, "5 "),
                text(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, frame_of_reference),
                text(tags::ROI_NAME, VR::LO, "Liver"),
            ])],
        ),
        sequence(
            tags::ROI_CONTOUR_SEQUENCE,
            vec![item(vec![
                text(tags::REFERENCED_ROI_NUMBER, VR::IS, "5"),
                sequence(tags::CONTOUR_SEQUENCE, contours.iter().map(contour).collect()),
            ])],
        ),
    ]);
    let meta = dicom_object::FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .media_storage_sop_class_uid(uids::RT_STRUCTURE_SET_STORAGE)
        .media_storage_sop_instance_uid("1.2.77");
    object.with_meta(meta).expect("a file").write_to_file(path).expect("written");
}

const UNIT: Geometry = Geometry {
    orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    pixel_spacing_mm: [1.0, 1.0],
    origin_mm: [0.0; 3],
    step_mm: [0.0, 0.0, 2.0],
};

#[test]
fn contours_of_other_programs_are_filled_by_the_even_odd_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.dcm");
    let grid = grid([5, 5, 2], UNIT, |_| true);
    let outer = "-0.5\\-0.5\\2.01\\4.5\\-0.5\\2.01\\4.5\\4.5\\2.01\\-0.5\\4.5\\2.01";
    let inner = "0.5\\0.5\\2\\0.5\\3.5\\2\\3.5\\3.5\\2\\3.5\\0.5\\2 ";
    let ring: u16 = 25 - 9;
    for kind in ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"] {
        written(&path, "1.2.9", &[(kind, outer), (kind, inner), ("POINT", "1\\1\\0"), ("CLOSED_PLANAR", "")]);
        let found = read(&path, &grid).expect("readable").expect("an RTSTRUCT");
        let mask = voxels(&found.mask(found.find("liver").expect("by name")).expect("a mask"));
        assert_eq!((mask.iter().sum::<u16>(), mask[25..].iter().sum::<u16>(), mask[25 + 12]), (ring, ring, 0));
        assert!(
            found.warnings[0].message.contains("\"Liver\": 2 contours with fewer than 3 points"),
            "{:?}",
            found.warnings
        );
    }
    for (contour, said) in [
        (("OPEN_PLANAR", outer), "CLOSED_PLANAR, found \"OPEN_PLANAR\""),
        (("CLOSED_PLANAR", "0\\0\\0\\1\\0\\0\\1\\1"), "found 8 numbers"),
        (("CLOSED_PLANAR", "0\\0\\0\\1\\0\\0\\1\\one\\0"), "found \"one\""),
        (("CLOSED_PLANAR", "0\\0\\0\\1\\0\\0\\1\\NaN\\0"), "found \"NaN\""),
        (("CLOSED_PLANAR", "0\\0\\0\\1\\0\\0\\1\\1\\2"), "span slices 0.0 to 1.0"),
        (("CLOSED_PLANAR", "0\\0\\1\\1\\0\\1\\1\\1\\1"), "it lies 1.00 mm from the nearest slice"),
        (("CLOSED_PLANAR", "0\\0\\0\\1e308\\0\\0\\1\\1\\1e308"), "in millimetres, found 1e308"),
        (("CLOSED_PLANAR", "0\\0\\1e300\\1\\0\\1e300\\1\\1\\1e300"), "in millimetres, found 1e300"),
    ] {
        written(&path, "1.2.9", &[("CLOSED_PLANAR", outer), contour]);
        let found = read(&path, &grid).expect("readable").expect("an RTSTRUCT");
        let error = found.mask(0).expect_err(said).to_string();
        assert!(error.contains("\"Liver\": contour 2: ") && error.contains(said), "{error}");
    }
    written(&path, "1.2.10", &[("CLOSED_PLANAR", outer)]);
    let error = read(&path, &grid).expect_err("another Frame of Reference").to_string();
    assert!(error.contains("1.2.10") && error.contains("1.2.9"), "{error}");
}

#[test]
fn damaged_files_are_errors_and_nothing_worse() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rtstruct.dcm");
    let grid = grid([6, 5, 4], AXIAL, |_| true);
    saved(&path, &grid, &[("liver", noise(&grid, 3))], &DicomOptions::default()).expect("saved");
    let bytes = std::fs::read(&path).expect("bytes");
    let mut random = 88_172_645_463_325_252_u64;
    let mut draw = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 16) as usize % below
    };
    let mut refused = 0;
    for round in 0..400 {
        let mut damaged = bytes.clone();
        if round % 2 == 0 {
            damaged.truncate(draw(bytes.len()));
        }
        for _ in 0..round % 5 {
            let at = draw(damaged.len().max(1));
            if let Some(byte) = damaged.get_mut(at) {
                *byte = [0, 0xff, b'\\', 0x7f, *byte ^ 1][draw(5)];
            }
        }
        std::fs::write(&path, &damaged).expect("written");
        match read(&path, &grid) {
            Ok(Some(masks)) => {
                (0..masks.names().len()).for_each(|index| refused += usize::from(masks.mask(index).is_err()))
            }
            Ok(None) => {}
            Err(error) => {
                assert!(error.to_string().contains("rtstruct.dcm"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "{refused}");
}
