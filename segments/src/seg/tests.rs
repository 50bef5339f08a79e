//! Files that are written are parsed by `dicom-object` alone, and read again.

use std::path::Path;
use std::sync::Arc;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject, OpenFileOptions};
use segvol_dicom::{SourceSeries, SourceSlice};
use segvol_volume::{Affine, Grid, Mask, MaskError};

use super::*;
use crate::dicom::{check, ds};
use crate::{DicomOptions, Provenance, Segment, Segments, SegmentsError};

/// Columns, rows, slices: 5 × 3 pixels are no whole number of bytes.
const SHAPE: [usize; 3] = [5, 3, 4];

/// A tilted stack: slices are shifted along a column, as a gantry shifts them.
const SHIFT_MM: [f64; 3] = [0.0, 1.25, 5.0];

fn element(tag: Tag, vr: VR, value: &str) -> dicom_object::mem::InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

fn series() -> SourceSeries {
    let orientation = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let slice = |k: usize| SourceSlice {
        sop_class_uid: Some("1.2.840.10008.5.1.4.1.1.2".to_owned()),
        sop_instance_uid: Some(format!("1.2.3.{k}")),
        frame_number: None,
        position_mm: std::array::from_fn(|axis| [-100.5, -80.25, 40.0][axis] + k as f64 * SHIFT_MM[axis]),
        orientation,
        pixel_spacing_mm: [0.75, 0.7],
        slice_thickness_mm: Some(5.0),
    };
    let attributes = InMemDicomObject::from_element_iter([
        element(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        element(tags::PATIENT_NAME, VR::PN, "Müller^Jörg"),
        element(tags::PATIENT_ID, VR::LO, "4711"),
        element(tags::PATIENT_BIRTH_DATE, VR::DA, "19500102"),
        element(tags::STUDY_DATE, VR::DA, "20200304"),
        element(tags::ACQUISITION_DATE, VR::DA, "20200305"),
        element(tags::ACQUISITION_TIME, VR::TM, "101112.5"),
        element(tags::SERIES_NUMBER, VR::IS, "7"),
        element(tags::INSTITUTION_NAME, VR::LO, "Hospital"),
    ]);
    SourceSeries {
        study_instance_uid: Some("1.2.3.100".to_owned()),
        series_instance_uid: Some("1.2.3.200".to_owned()),
        frame_of_reference_uid: Some("1.2.3.300".to_owned()),
        modality: Some("CT".to_owned()),
        attributes,
        slices: (0..SHAPE[2]).map(|k| Some(slice(k))).collect(),
    }
}

fn grid_of(series: SourceSeries) -> Arc<Grid> {
    let [x, y, z] = SHIFT_MM;
    let lps = Affine::new([[0.7, 0.0, x, -100.5], [0.0, 0.75, y, -80.25], [0.0, 0.0, z, 40.0]]);
    Arc::new(Grid::new(SHAPE, Affine::from_lps(lps)).expect("a grid").with_dicom(Arc::new(series)))
}

fn provenance() -> Provenance {
    Provenance { algorithm: "SegVol".to_owned(), version: "0.1.0".to_owned(), bundle_sha256: "a".repeat(64) }
}

/// Objects with voxels at these indices.
fn save_objects(
    path: &Path,
    grid: &Arc<Grid>,
    objects: &[(&str, &[usize])],
    encoding: Encoding,
    options: &DicomOptions,
) -> Result<Vec<segvol_base::Warning>, SegmentsError> {
    let masks: Vec<Vec<u8>> = objects
        .iter()
        .map(|(_, inside)| (0..grid.voxels()).map(|voxel| u8::from(inside.contains(&voxel))).collect())
        .collect();
    let mask = |index: usize| -> Result<Mask, MaskError> { Mask::from_labels(masks[index].clone(), Arc::clone(grid)) };
    let segments =
        objects.iter().zip(1..).map(|((name, _), label)| Segment { name: (*name).to_owned(), label }).collect();
    let segments = Segments { grid: Arc::clone(grid), segments, mask: &mask, provenance: provenance() };
    save(path, &segments, encoding, options)
}

const LIVER: &[usize] = &[0, 4, 7, 14, 15, 29, 59];
const TUMOUR: &[usize] = &[7, 29, 30];

fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.element(tag).expect("a sequence").items().expect("items")
}

fn first(object: &InMemDicomObject, tag: Tag) -> &InMemDicomObject {
    &items(object, tag)[0]
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    object.element(tag).expect("an element").to_str().expect("text").trim_end_matches(['\0', ' ']).to_owned()
}

fn opened(path: &Path) -> DefaultDicomObject {
    OpenFileOptions::new().open_file(path).expect("a DICOM file")
}

struct Written {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
    grid: Arc<Grid>,
}

fn written(objects: &[(&str, &[usize])], encoding: Encoding) -> Written {
    let (folder, grid) = (tempfile::tempdir().expect("a folder"), grid_of(series()));
    let path = folder.path().join("seg.dcm");
    let warnings = save_objects(&path, &grid, objects, encoding, &DicomOptions::default()).expect("written");
    assert_eq!(warnings, []);
    Written { _folder: folder, path, grid }
}

#[test]
fn bits_and_places_are_those_of_the_masks() {
    let Written { path, .. } =
        &written(&[("liver", LIVER), ("liver tumor", TUMOUR), ("spleen", &[])], Encoding::Binary);
    let file = opened(path);
    let bytes = file.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes").into_owned();
    let frames = items(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    // Slices 0, 1 and 3 of the first object, 0, 1 and 2 of the second; none of the third.
    let mut found: Vec<(String, usize)> = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let number = text(first(frame, tags::SEGMENT_IDENTIFICATION_SEQUENCE), tags::REFERENCED_SEGMENT_NUMBER);
        let position =
            first(frame, tags::PLANE_POSITION_SEQUENCE).element(tags::IMAGE_POSITION_PATIENT).expect("a position");
        let position = position.to_multi_float64().expect("numbers");
        let k = ((position[2] - 40.0) / 5.0).round() as usize;
        assert_eq!(position, [-100.5, -80.25 + 1.25 * k as f64, 40.0 + 5.0 * k as f64]);
        for at in 0..15 {
            let bit = 15 * n + at;
            if bytes[bit / 8] >> (bit % 8) & 1 == 1 {
                found.push((number.clone(), 15 * k + at));
            }
        }
        let source = first(first(frame, tags::DERIVATION_IMAGE_SEQUENCE), tags::SOURCE_IMAGE_SEQUENCE);
        assert_eq!(text(source, tags::REFERENCED_SOP_INSTANCE_UID), format!("1.2.3.{k}"));
        assert!(source.get(tags::REFERENCED_FRAME_NUMBER).is_none());
        let purpose = first(source, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE);
        assert_eq!(text(purpose, tags::CODE_VALUE), "121322");
        let indices =
            first(frame, tags::FRAME_CONTENT_SEQUENCE).element(tags::DIMENSION_INDEX_VALUES).expect("indices");
        assert_eq!(indices.to_multi_int::<usize>().expect("numbers"), [number.parse().expect("a number"), k + 1]);
    }
    let expected = LIVER.iter().map(|&at| ("1".to_owned(), at)).chain(TUMOUR.iter().map(|&at| ("2".to_owned(), at)));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!((frames.len(), text(&file, tags::NUMBER_OF_FRAMES)), (6, "6".to_owned()));
    assert_eq!(bytes.len(), (6_usize * 15).div_ceil(8));
    assert_eq!(text(&file, tags::SEGMENTS_OVERLAP), "YES");
    assert_eq!(items(&file, tags::SEGMENT_SEQUENCE).len(), 3, "an empty object keeps its place");
}

#[test]
fn the_header_is_that_of_the_study() {
    let Written { path, .. } = &written(&[("right kidney", LIVER), ("liver tumor", &[])], Encoding::Binary);
    let file = opened(path);
    for (tag, expected) in [
        (tags::SPECIFIC_CHARACTER_SET, "ISO_IR 100"),
        (tags::PATIENT_NAME, "Müller^Jörg"),
        (tags::PATIENT_ID, "4711"),
        (tags::PATIENT_SEX, ""),
        (tags::ACCESSION_NUMBER, ""),
        (tags::STUDY_DATE, "20200304"),
        (tags::CONTENT_DATE, "20200305"),
        (tags::CONTENT_TIME, "101112.5"),
        (tags::SERIES_NUMBER, "7001"),
        (tags::STUDY_INSTANCE_UID, "1.2.3.100"),
        (tags::FRAME_OF_REFERENCE_UID, "1.2.3.300"),
        (tags::MODALITY, "SEG"),
        (tags::LOSSY_IMAGE_COMPRESSION, "00"),
    ] {
        assert_eq!(text(&file, tag), expected, "{tag}");
    }
    assert!(file.get(tags::INSTITUTION_NAME).is_none(), "what a segmentation needs is copied, and no more");
    assert_eq!(text(&file, tags::DEVICE_SERIAL_NUMBER), "a".repeat(64));
    let reference = first(&file, tags::REFERENCED_SERIES_SEQUENCE);
    assert_eq!(text(reference, tags::SERIES_INSTANCE_UID), "1.2.3.200");
    assert_eq!(items(reference, tags::REFERENCED_INSTANCE_SEQUENCE).len(), 4);
    let shared = first(&file, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    let measures = first(shared, tags::PIXEL_MEASURES_SEQUENCE);
    assert_eq!(text(measures, tags::PIXEL_SPACING), "0.75\\0.7");
    assert_eq!(text(measures, tags::SPACING_BETWEEN_SLICES), "5", "along the normal, not along the slant");
    let segments = items(&file, tags::SEGMENT_SEQUENCE);
    let kind = first(&segments[0], tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE);
    assert_eq!(
        (text(kind, tags::CODE_VALUE), text(kind, tags::CODE_MEANING)),
        ("64033007".to_owned(), "Kidney".to_owned())
    );
    let side = first(kind, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE);
    assert_eq!(text(side, tags::CODE_MEANING), "Right");
    assert_eq!(text(first(&segments[1], tags::ANATOMIC_REGION_SEQUENCE), tags::CODE_MEANING), "Liver");
    assert_eq!(text(&segments[0], tags::SEGMENT_ALGORITHM_TYPE), "AUTOMATIC");
    let algorithm = first(&segments[0], tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE);
    assert_eq!(text(first(algorithm, tags::ALGORITHM_FAMILY_CODE_SEQUENCE), tags::CODE_VALUE), "123110");
}

#[test]
fn a_label_map_has_numbers_and_a_background() {
    let Written { path, .. } = &written(&[("liver", LIVER), ("spleen", &[1, 31])], Encoding::Labelmap);
    let file = opened(path);
    assert_eq!(text(&file, tags::SOP_CLASS_UID), "1.2.840.10008.5.1.4.1.1.66.7");
    let bytes = file.element(tags::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes");
    let mut expected = [0_u8; 60];
    LIVER.iter().for_each(|&at| expected[at] = 1);
    [1, 31].iter().for_each(|&at| expected[at] = 2);
    assert_eq!(bytes.as_ref(), expected);
    let segments = items(&file, tags::SEGMENT_SEQUENCE);
    let numbers: Vec<String> = segments.iter().map(|segment| text(segment, tags::SEGMENT_NUMBER)).collect();
    assert_eq!(numbers, ["0", "1", "2"]);
    let frame = first(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    assert!(frame.get(tags::SEGMENT_IDENTIFICATION_SEQUENCE).is_none());
    assert_eq!(items(&file, tags::DIMENSION_INDEX_SEQUENCE).len(), 1);
}

#[test]
fn what_is_written_is_read() {
    for encoding in [Encoding::Binary, Encoding::Labelmap] {
        let objects: [(&str, &[usize]); 3] = [("liver", LIVER), ("Läsion", &[1, 31]), ("nothing", &[])];
        let Written { path, grid, .. } = &written(&objects, encoding);
        let SegMasks { masks, warnings } = read(path, grid).expect("read");
        assert_eq!(warnings, []);
        let found: Vec<(u16, &str, Vec<usize>)> = masks
            .iter()
            .map(|SegMask { number, name, mask }| {
                (*number, name.as_str(), (0..60).filter(|&at| mask.labels().get(at) == Some(1)).collect())
            })
            .collect();
        let expected: Vec<_> = objects.iter().zip(1..).map(|((name, at), n)| (n, *name, at.to_vec())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn nothing_at_all_is_one_empty_frame() {
    for encoding in [Encoding::Binary, Encoding::Labelmap] {
        let Written { path, grid, .. } = &written(&[("liver", &[]), ("spleen", &[])], encoding);
        assert_eq!(text(&opened(path), tags::NUMBER_OF_FRAMES), "1");
        let masks = read(path, grid).expect("read").masks;
        assert!(masks.len() == 2 && masks.iter().all(|found| found.mask.count(1) == 0));
    }
}

#[test]
fn the_same_content_gives_the_same_bytes_and_other_content_other_uids() {
    let folder = tempfile::tempdir().expect("a folder");
    let grid = grid_of(series());
    let bytes = |objects: &[(&str, &[usize])], encoding, options: &DicomOptions| {
        let path = folder.path().join("a.dcm");
        save_objects(&path, &grid, objects, encoding, options).expect("written");
        (
            std::fs::read(&path).expect("bytes"),
            text(&opened(&path), tags::SOP_INSTANCE_UID),
            text(&opened(&path), tags::SERIES_INSTANCE_UID),
        )
    };
    let plain = DicomOptions::default();
    let base = bytes(&[("liver", LIVER)], Encoding::Binary, &plain);
    assert_eq!(base, bytes(&[("liver", LIVER)], Encoding::Binary, &plain));
    let others = [
        bytes(&[("liver", TUMOUR)], Encoding::Binary, &plain),
        bytes(&[("spleen", LIVER)], Encoding::Binary, &plain),
        bytes(&[("liver", LIVER)], Encoding::Labelmap, &plain),
        bytes(&[("liver", LIVER)], Encoding::Binary, &plain.clone().uid_root(Some("1.2.9".to_owned()))),
        bytes(&[("liver", LIVER)], Encoding::Binary, &plain.clone().anonymous(true)),
        bytes(&[("liver", LIVER)], Encoding::Binary, &plain.clone().interactive([1])),
    ];
    for (n, other) in others.iter().enumerate() {
        assert!(other.1 != base.1 && other.2 != base.2 && other.1 != other.2, "{n}");
    }
    assert!(others[3].1.starts_with("1.2.9.") && others[3].2.starts_with("1.2.9."));
}

#[test]
fn refusals_name_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.dcm");
    let save = |grid: &Arc<Grid>, objects: &[(&str, &[usize])], encoding, options: &DicomOptions| {
        let error = save_objects(&path, grid, objects, encoding, options).expect_err("refused").to_string();
        assert!(!path.exists(), "nothing is written");
        error
    };
    let plain = DicomOptions::default();
    let grid = grid_of(series());
    let overlap = save(&grid, &[("liver", LIVER), ("liver tumor", TUMOUR)], Encoding::Labelmap, &plain);
    assert!(overlap.contains("\"liver\" and \"liver tumor\" share 2 voxels"), "{overlap}");
    assert!(save(&grid, &[], Encoding::Binary, &plain).contains("at least one object"));
    let nifti = Arc::new(Grid::new(SHAPE, *grid.affine()).expect("a grid"));
    assert!(save(&nifti, &[("liver", LIVER)], Encoding::Binary, &plain).contains("needs a DICOM scan"));
    let root = plain.clone().uid_root(Some("1..2".to_owned()));
    assert!(save(&grid, &[("liver", LIVER)], Encoding::Binary, &root).contains("UID root"));

    // Rows and columns of the grid exchanged, as a reader might that guesses.
    let mut turned = series();
    turned.slices.iter_mut().flatten().for_each(|slice| slice.orientation = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    assert!(save(&grid_of(turned), &[("liver", LIVER)], Encoding::Binary, &plain).contains("not on the planes"));
    let mut reversed = series();
    reversed.slices.reverse();
    assert!(save(&grid_of(reversed), &[("liver", LIVER)], Encoding::Binary, &plain).contains("not on the planes"));

    // A mask on another grid.
    let other = Arc::new(Grid::new(SHAPE, Affine::from_spacing([1.0; 3])).expect("a grid"));
    let mask = |_| Mask::from_labels(vec![1_u8; 60], Arc::clone(&other));
    let segments = vec![Segment { name: "liver".to_owned(), label: 1 }];
    let segments = Segments { grid, segments, mask: &mask, provenance: provenance() };
    let error = super::save(&path, &segments, Encoding::Binary, &plain).expect_err("another grid").to_string();
    assert!(error.contains("\"liver\" is on another grid"), "{error}");
}

#[test]
fn all_that_is_missing_is_named_at_once_and_made_up_only_if_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.dcm");
    let mut bare = series();
    (bare.study_instance_uid, bare.series_instance_uid, bare.frame_of_reference_uid) =
        (None, Some(" ".to_owned()), None);
    bare.attributes = InMemDicomObject::new_empty();
    bare.slices.iter_mut().flatten().for_each(|slice| slice.sop_instance_uid = None);
    let grid = grid_of(bare);
    let error = check(&grid, &DicomOptions::default()).expect_err("missing").to_string();
    for part in [
        "Study Instance UID (0020,000D)",
        "Series Instance UID",
        "Frame of Reference UID",
        "SOP Instance UID",
        "a date",
    ] {
        assert!(error.contains(part), "no {part} in {error}");
    }
    assert!(!error.contains("SOP Class UID"), "{error}");
    let options = DicomOptions::default().fill_missing(true);
    let warnings = save_objects(&path, &grid, &[("liver", LIVER)], Encoding::Binary, &options).expect("written");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.contains("Frame of Reference UID (0020,0052)"), "{}", warnings[0]);
    assert_eq!(warnings, check(&grid, &options).expect("filled"));
    let file = opened(&path);
    assert!(text(&file, tags::FRAME_OF_REFERENCE_UID).starts_with("2.25."));
    assert_eq!(text(&file, tags::CONTENT_DATE), "19000101");
    assert!(file.get(tags::REFERENCED_SERIES_SEQUENCE).is_none(), "nobody has such an image");
    assert!(first(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(tags::DERIVATION_IMAGE_SEQUENCE).is_none());
    assert_eq!(read(&path, &grid).expect("read").masks[0].mask.count(1), LIVER.len() as u64);
}

#[test]
fn an_anonymous_object_says_nothing_about_the_patient() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.dcm");
    let options = DicomOptions::default().anonymous(true);
    save_objects(&path, &grid_of(series()), &[("liver", LIVER)], Encoding::Binary, &options).expect("written");
    let bytes = std::fs::read(&path).expect("bytes");
    for secret in ["4711", "ller", "1950", "2020", "1011", "Hospital"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
    let file = opened(&path);
    assert_eq!(
        (text(&file, tags::PATIENT_NAME), text(&file, tags::PATIENT_IDENTITY_REMOVED)),
        ("Anonymous^".to_owned(), "YES".to_owned())
    );
    assert_eq!(text(&file, tags::STUDY_INSTANCE_UID), "1.2.3.100", "the link to the images stays");
    assert_eq!(text(first(&file, tags::REFERENCED_SERIES_SEQUENCE), tags::SERIES_INSTANCE_UID), "1.2.3.200");
}

#[test]
fn frames_refer_to_frames_of_a_file_and_to_nothing_where_a_slice_was_filled() {
    let mut enhanced = series();
    for (slice, number) in enhanced.slices.iter_mut().flatten().zip(1..) {
        (slice.sop_instance_uid, slice.frame_number) = (Some("1.2.3.9".to_owned()), Some(number));
    }
    enhanced.slices[1] = None;
    let grid = grid_of(enhanced);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.dcm");
    let voxels: Vec<usize> = (0..60).collect();
    save_objects(&path, &grid, &[("liver", &voxels)], Encoding::Binary, &DicomOptions::default()).expect("written");
    let file = opened(&path);
    let numbers: Vec<Option<String>> = items(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .iter()
        .map(|frame| {
            let derivation = frame.get(tags::DERIVATION_IMAGE_SEQUENCE)?.items()?.first()?;
            Some(text(first(derivation, tags::SOURCE_IMAGE_SEQUENCE), tags::REFERENCED_FRAME_NUMBER))
        })
        .collect();
    assert_eq!(numbers, [Some("1".to_owned()), None, Some("3".to_owned()), Some("4".to_owned())]);
    let instances = items(first(&file, tags::REFERENCED_SERIES_SEQUENCE), tags::REFERENCED_INSTANCE_SEQUENCE);
    assert_eq!(instances.len(), 1, "one file");
    let position = first(&items(&file, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)[1], tags::PLANE_POSITION_SEQUENCE);
    assert_eq!(text(position, tags::IMAGE_POSITION_PATIENT), format!("-100.5\\{}\\45", ds(-79.0)));
}

#[test]
fn damaged_files_are_errors() {
    let Written { path, grid, .. } = &written(&[("liver", LIVER)], Encoding::Binary);
    let whole = std::fs::read(path).expect("bytes");
    let cut = path.with_extension("cut");
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1, whole.len() - 3]) {
        std::fs::write(&cut, &whole[..length]).expect("written");
        if let Ok(found) = read(&cut, grid) {
            assert!(length > whole.len() - 3, "{length} of {}: {found:?}", whole.len());
        }
    }
    let error = read(&path.with_extension("absent"), grid).expect_err("absent");
    assert!(matches!(error, SegmentsError::Io { .. }));
}

#[test]
fn long_and_odd_names_are_written() {
    let long = "liver ".repeat(40);
    let objects: [(&str, &[usize]); 3] = [(&long, &[1]), ("a\\b\n", &[2]), ("肝臓", &[3])];
    let Written { path, .. } = &written(&objects, Encoding::Binary);
    let file = opened(path);
    let segments = items(&file, tags::SEGMENT_SEQUENCE);
    let label = text(&segments[0], tags::SEGMENT_LABEL);
    assert!(label.chars().count() <= 64 && label.ends_with("..."), "{label}");
    assert_eq!(text(&segments[0], tags::SEGMENT_DESCRIPTION), long.trim());
    assert_eq!(
        (text(&segments[1], tags::SEGMENT_LABEL), text(&segments[2], tags::SEGMENT_LABEL)),
        ("a b".to_owned(), "肝臓".to_owned())
    );
    assert_eq!(text(&file, tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
    assert_eq!(text(&file, tags::PATIENT_NAME), "Müller^Jörg");
}
