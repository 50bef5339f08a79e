//! Writes masks as contours.

use std::io::Write;
use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use segvol_base::{Warning, memory};
use segvol_volume::mask::Labels;
use segvol_volume::{Grid, Mask};

use super::coordinates::{decimals, written};
use super::outline::{Corner, Outliner, Slice};
use crate::codes::{self, Codes};
use crate::dicom::{
    DicomOptions, Encoding, Fingerprint, Header, NewObject, Part, Plane, code_sequence, empty, fits_lo, item_sequence,
    planes, text, write_file, write_to,
};
use crate::error::SegmentsError;
use crate::{Segment, Segments};

/// What a Structure Set is called in lists, at most 16 characters.
const LABEL: &str = "segvol";

/// Added to a thousand times the Series Number of the source.
const SERIES_OFFSET: u32 = 2;

/// The SOP class of studies: retired, but what a Structure Set still refers to them by.
const STUDY_CLASS: &str = "1.2.840.10008.3.1.2.3.1";

/// The SNOMED CT code of the category of organs.
const ANATOMICAL_STRUCTURE: &str = "123037004";

/// The contours of an object.
struct Contours {
    segment: Segment,
    /// The name in the file: unique, at most 64 characters.
    name: String,
    /// In the order of k.
    polygons: Vec<(usize, Vec<Corner>)>,
}

/// Writes an RT Structure Set: closed planar contours on the planes of the source's slices, half a voxel outside of the outermost
/// voxels' centres. A hole is reached through a channel of no width (a keyhole). Coordinates are rounded to 0.1 µm, or less for
/// voxels below 0.1 mm. An object without voxels is an ROI without contours.
///
/// The file appears whole or not at all; the same masks and settings give the same bytes. Returns what was made up because the
/// source lacks it.
///
/// # Errors
///
/// [`SegmentsError::NotDicom`], [`SegmentsError::Missing`], [`SegmentsError::UidRoot`] and [`SegmentsError::OffPlanes`] as
/// [`check`](crate::dicom::check); [`SegmentsError::Unfit`] if coordinates have too many digits; [`SegmentsError::Mask`] and
/// [`SegmentsError::Memory`]; [`SegmentsError::Write`] if the file cannot be written.
pub fn save(path: &Path, segments: &Segments<'_>, options: &DicomOptions) -> Result<Vec<Warning>, SegmentsError> {
    // Implicit, because the points of one contour may need more than 64 KiB.
    made(segments, options, |uids, parts| write_file(path, uids, Encoding::Implicit, parts))
}

/// Writes the same bytes as [`save`] to any writer.
///
/// # Errors
///
/// The same as [`save`]; the path of [`SegmentsError::Write`] is empty.
pub fn write(
    writer: impl Write,
    segments: &Segments<'_>,
    options: &DicomOptions,
) -> Result<Vec<Warning>, SegmentsError> {
    made(segments, options, |uids, parts| write_to(writer, uids, Encoding::Implicit, parts))
}

/// Makes the file and hands it over.
fn made(
    segments: &Segments<'_>,
    options: &DicomOptions,
    hand_over: impl FnOnce([&str; 2], Vec<Part<'_>>) -> Result<(), SegmentsError>,
) -> Result<Vec<Warning>, SegmentsError> {
    let grid = &segments.grid;
    let header = Header::new(grid, options)?;
    let planes = planes(grid)?;
    let decimals = decimals_of(grid, &planes)?;
    let contours = outlined(segments)?;

    let fingerprint = fingerprint(&header, segments, &contours, options);
    let [instance, series] = ["instance", "series"].map(|what| fingerprint.uid(what, options));
    let mut object = header.object(&NewObject {
        sop_class_uid: uids::RT_STRUCTURE_SET_STORAGE,
        sop_instance_uid: &instance,
        series_instance_uid: &series,
        modality: "RTSTRUCT",
        series_description: "segvol contours",
        series_offset: SERIES_OFFSET,
        provenance: &segments.provenance,
    });
    add_structure_set(&mut object, &header, segments, &contours, options);

    let contour_items = |n: usize| roi_contour(n, &contours[n], &header, &planes, decimals);
    let observations = |n: usize| observation(n, &contours[n]);
    let approval = InMemDicomObject::from_element_iter([text(tags::APPROVAL_STATUS, VR::CS, "UNAPPROVED")]);
    let parts = vec![
        Part::Elements(object),
        Part::Items(tags::ROI_CONTOUR_SEQUENCE, contours.len(), &contour_items),
        Part::Items(tags::RTROI_OBSERVATIONS_SEQUENCE, contours.len(), &observations),
        Part::Elements(approval),
    ];
    hand_over([uids::RT_STRUCTURE_SET_STORAGE, &instance], parts)?;
    Ok(header.warnings)
}

/// The decimals of all coordinates.
fn decimals_of(grid: &Grid, planes: &[Plane]) -> Result<usize, SegmentsError> {
    let [ni, nj, _] = grid.shape_xyz();
    let corners = [[0, 0], [ni, 0], [0, nj], [ni, nj]];
    let points = planes.iter().flat_map(|plane| corners.map(|corner| point(plane, corner.map(|n| n as u32))));
    let farthest = points.flatten().map(f64::abs).fold(0.0, f64::max);
    decimals(grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min), farthest)
}

/// Where a corner of voxels is, LPS+ millimetres.
fn point(plane: &Plane, [i, j]: Corner) -> [f64; 3] {
    plane.place(f64::from(i) - 0.5, f64::from(j) - 0.5)
}

/// The contours of all objects. Their masks are in memory one at a time.
fn outlined(segments: &Segments<'_>) -> Result<Vec<Contours>, SegmentsError> {
    let [ni, nj, _] = segments.grid.shape_xyz();
    memory::check_available::<u8>("the outlines of a slice", 2 * ni * nj)?;
    let mut outliner = Outliner::new([ni, nj]);
    let mut names: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for (index, segment) in segments.segments.iter().enumerate() {
        let polygons = polygons((segments.mask)(index)?, &mut outliner)?;
        let name = unique(&segment.name, &names);
        names.push(name.clone());
        all.push(Contours { segment: segment.clone(), name, polygons });
    }
    Ok(all)
}

/// A name of at most 64 characters that no other has.
fn unique(name: &str, others: &[String]) -> String {
    let plain = fits_lo(name);
    let is_new = |name: &String| !others.contains(name);
    let numbered = (2_usize..).map(|n| {
        let number = format!(" ({n})");
        plain.chars().take(64 - number.len()).chain(number.chars()).collect::<String>()
    });
    std::iter::once(plain.clone()).chain(numbered).find(is_new).unwrap_or(plain)
}

fn polygons(mask: Mask, outliner: &mut Outliner) -> Result<Vec<(usize, Vec<Corner>)>, SegmentsError> {
    let [ni, nj, _] = mask.shape_xyz();
    let Some((min, max)) = mask.bounding_box_ijk(1) else { return Ok(Vec::new()) };
    let mut inside = vec![0_u8; ni * nj];
    let mut found = Vec::new();
    for k in min[2]..=max[2] {
        let range = k * ni * nj..(k + 1) * ni * nj;
        match mask.labels() {
            Labels::U8(labels) => {
                inside.iter_mut().zip(&labels[range]).for_each(|(inside, &label)| *inside = u8::from(label == 1));
            }
            Labels::U16(labels) => {
                inside.iter_mut().zip(&labels[range]).for_each(|(inside, &label)| *inside = u8::from(label == 1));
            }
        }
        let slice = outliner.polygons(&Slice::new(&inside, [ni, nj]));
        memory::check_available::<Corner>("contours", slice.iter().map(Vec::len).sum())?;
        found.extend(slice.into_iter().map(|mut polygon| {
            polygon.shrink_to_fit();
            (k, polygon)
        }));
    }
    Ok(found)
}

/// What the file's UIDs follow from.
fn fingerprint(header: &Header, segments: &Segments<'_>, contours: &[Contours], options: &DicomOptions) -> Fingerprint {
    let mut fingerprint = Fingerprint::new("RTSTRUCT", options);
    header.add_to(&mut fingerprint);
    let provenance = &segments.provenance;
    for text in [&provenance.algorithm, &provenance.version, &provenance.bundle_sha256] {
        fingerprint.add(text.as_bytes());
    }
    fingerprint.add(format!("{:?} {:?}", segments.grid.shape_xyz(), segments.grid.affine().rows()).as_bytes());
    for Contours { segment, name, polygons } in contours {
        fingerprint.add(format!("{} {:?} {name:?}", segment.label, segment.name).as_bytes());
        fingerprint.add(&polygons.len().to_le_bytes());
        for (k, polygon) in polygons {
            let corners = polygon.iter().flatten().flat_map(|n| n.to_le_bytes());
            fingerprint.add(&k.to_le_bytes().into_iter().chain(corners).collect::<Vec<u8>>());
        }
    }
    fingerprint
}

/// The module of the Structure Set: what it refers to, and the names of the ROIs.
fn add_structure_set(
    object: &mut InMemDicomObject,
    header: &Header,
    segments: &Segments<'_>,
    contours: &[Contours],
    options: &DicomOptions,
) {
    let [date, time] = &header.date_and_time;
    let item = |elements: Vec<_>| InMemDicomObject::from_element_iter(elements);
    let mut frame = item(vec![text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &header.frame_of_reference_uid)]);
    if let Some(series) = header.source_series_uid().filter(|_| header.images.iter().any(Option::is_some)) {
        let images = header.images.iter().flatten().map(|image| image.item()).collect();
        let series = item(vec![
            text(tags::SERIES_INSTANCE_UID, VR::UI, series),
            item_sequence(tags::CONTOUR_IMAGE_SEQUENCE, images),
        ]);
        let study = item(vec![
            text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, STUDY_CLASS),
            text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &header.study_instance_uid),
            item_sequence(tags::RT_REFERENCED_SERIES_SEQUENCE, vec![series]),
        ]);
        frame.put(item_sequence(tags::RT_REFERENCED_STUDY_SEQUENCE, vec![study]));
    }
    let rois = contours.iter().enumerate().map(|(n, Contours { segment, name, .. })| {
        let is_interactive = options.interactive.contains(&segment.label);
        item(vec![
            text(tags::ROI_NUMBER, VR::IS, &(n + 1).to_string()),
            text(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, &header.frame_of_reference_uid),
            text(tags::ROI_NAME, VR::LO, name),
            text(tags::ROI_GENERATION_ALGORITHM, VR::CS, if is_interactive { "SEMIAUTOMATIC" } else { "AUTOMATIC" }),
            text(tags::ROI_GENERATION_DESCRIPTION, VR::LO, &fits_lo(&segments.provenance.algorithm)),
        ])
    });
    let rois = rois.collect();
    for element in [
        empty(tags::OPERATORS_NAME, VR::PN),
        text(tags::STRUCTURE_SET_LABEL, VR::SH, LABEL),
        text(tags::STRUCTURE_SET_NAME, VR::LO, &fits_lo(&segments.provenance.algorithm)),
        text(tags::STRUCTURE_SET_DATE, VR::DA, date),
        text(tags::STRUCTURE_SET_TIME, VR::TM, time),
        item_sequence(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE, vec![frame]),
        item_sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, rois),
    ] {
        object.put(element);
    }
}

/// An item of the ROI Contour Sequence.
fn roi_contour(n: usize, roi: &Contours, header: &Header, planes: &[Plane], decimals: usize) -> InMemDicomObject {
    let color = codes::of_name(&roi.segment.name).color.map(|channel| channel.to_string());
    let mut item = InMemDicomObject::from_element_iter([
        DataElement::new(tags::ROI_DISPLAY_COLOR, VR::IS, PrimitiveValue::Strs(color.into_iter().collect())),
        text(tags::REFERENCED_ROI_NUMBER, VR::IS, &(n + 1).to_string()),
    ]);
    let contour = |(number, (k, polygon)): (usize, &(usize, Vec<Corner>))| {
        let data: Vec<String> =
            polygon.iter().flat_map(|&corner| point(&planes[*k], corner)).map(|mm| written(mm, decimals)).collect();
        let mut contour = InMemDicomObject::from_element_iter([
            text(tags::CONTOUR_NUMBER, VR::IS, &(number + 1).to_string()),
            text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR"),
            text(tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, &polygon.len().to_string()),
            DataElement::new(tags::CONTOUR_DATA, VR::DS, PrimitiveValue::from(data.join("\\"))),
        ]);
        if let Some(image) = &header.images[*k] {
            contour.put(item_sequence(tags::CONTOUR_IMAGE_SEQUENCE, vec![image.item()]));
        }
        contour
    };
    if !roi.polygons.is_empty() {
        item.put(item_sequence(tags::CONTOUR_SEQUENCE, roi.polygons.iter().enumerate().map(contour).collect()));
    }
    item
}

/// An item of the RT ROI Observations Sequence.
fn observation(n: usize, roi: &Contours) -> InMemDicomObject {
    let Codes { category, kind, .. } = codes::of_name(&roi.segment.name);
    let number = (n + 1).to_string();
    // Whether a lesion is a target volume is for a person to say.
    let interpreted = if category.value == ANATOMICAL_STRUCTURE { "ORGAN" } else { "" };
    InMemDicomObject::from_element_iter([
        text(tags::OBSERVATION_NUMBER, VR::IS, &number),
        text(tags::REFERENCED_ROI_NUMBER, VR::IS, &number),
        code_sequence(tags::RTROI_IDENTIFICATION_CODE_SEQUENCE, &kind),
        text(tags::RTROI_INTERPRETED_TYPE, VR::CS, interpreted),
        empty(tags::ROI_INTERPRETER, VR::PN),
    ])
}
