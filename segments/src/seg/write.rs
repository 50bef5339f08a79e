//! Writes DICOM SEG.
//!
//! # Source
//!
//! DICOM PS3.3, A.51 and A.51.X (Label Map), C.8.20 (Segmentation modules), C.7.6.16 (functional groups), C.7.6.17 (dimensions).

use std::io::Write;
use std::path::Path;

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use segvol_base::Warning;

use super::frames::Frames;
use crate::codes::{self, Code, Codes};
use crate::dicom::{
    self, DicomOptions, Fingerprint, Header, NewObject, Part, Plane, code_item, code_sequence, fits_lo, item_sequence,
    number, planes, text, write_file, write_to,
};
use crate::error::SegmentsError;
use crate::{Provenance, Segment, Segments};

/// How a DICOM SEG holds the masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// One bit a voxel, frames for each object. Every reader knows it, and objects may overlap.
    #[default]
    Binary,
    /// One number a voxel, as in a label map (DICOM Supplement 243, 2024). Objects must not overlap.
    Labelmap,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Binary => "BINARY",
            Self::Labelmap => "LABELMAP",
        }
    }

    fn sop_class_uid(self) -> &'static str {
        match self {
            Self::Binary => uids::SEGMENTATION_STORAGE,
            Self::Labelmap => uids::LABEL_MAP_SEGMENTATION_STORAGE,
        }
    }
}

/// Writes the objects of a scan as one DICOM SEG, on the planes of the scan's own images.
///
/// Slices without a voxel of an object have no frame. A frame on a slice that was interpolated refers to no image. The write is atomic,
/// and the same scan, masks and options give the same bytes. Returns what was made up.
///
/// # Errors
///
/// Those of [`dicom::check`](crate::dicom::check); [`SegmentsError::Unfit`] if there are no objects, objects overlap in a label map, or
/// the file would be larger than DICOM allows; [`SegmentsError::Mask`]; [`SegmentsError::Memory`]; [`SegmentsError::Write`].
pub fn save(
    path: &Path,
    segments: &Segments<'_>,
    encoding: Encoding,
    options: &DicomOptions,
) -> Result<Vec<Warning>, SegmentsError> {
    made(segments, encoding, options, |uids, parts| write_file(path, uids, dicom::Encoding::Explicit, parts))
}

/// Writes the same bytes as [`save`] to any writer.
///
/// # Errors
///
/// The same as [`save`]; the path of [`SegmentsError::Write`] is empty.
pub fn write(
    writer: impl Write,
    segments: &Segments<'_>,
    encoding: Encoding,
    options: &DicomOptions,
) -> Result<Vec<Warning>, SegmentsError> {
    made(segments, encoding, options, |uids, parts| write_to(writer, uids, dicom::Encoding::Explicit, parts))
}

/// Makes the file and hands it over.
fn made(
    segments: &Segments<'_>,
    encoding: Encoding,
    options: &DicomOptions,
    hand_over: impl FnOnce([&str; 2], Vec<Part<'_>>) -> Result<(), SegmentsError>,
) -> Result<Vec<Warning>, SegmentsError> {
    let header = Header::new(&segments.grid, options)?;
    let planes = planes(&segments.grid)?;
    check(segments)?;
    let frames = match encoding {
        Encoding::Binary => Frames::binary(segments)?,
        Encoding::Labelmap => Frames::labelmap(segments)?,
    };
    let object = Object { segments, encoding, options, header: &header, planes: &planes, frames: &frames };
    let fingerprint = object.fingerprint();
    let sop_instance_uid = fingerprint.uid("instance", options);
    let vr = if frames.bits == 16 { VR::OW } else { VR::OB };
    let item = |n: usize| object.frame(n);
    let parts = vec![
        Part::Elements(object.elements(&fingerprint, &sop_instance_uid)),
        Part::Items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.places.len(), &item),
        Part::Pixels(vr, &frames.pixels),
    ];
    hand_over([encoding.sop_class_uid(), &sop_instance_uid], parts)?;
    Ok(header.warnings)
}

/// Refuses what no encoding can hold.
fn check(segments: &Segments<'_>) -> Result<(), SegmentsError> {
    let unfit = |reason: String| Err(SegmentsError::Unfit { what: "DICOM SEG", reason });
    let most = usize::from(u16::MAX);
    match segments.segments.len() {
        0 => return unfit("expected at least one object, found none".to_owned()),
        count if count > most => return unfit(format!("expected at most {most} objects, found {count}")),
        _ => {}
    }
    let [ni, nj, _] = segments.grid.shape_xyz();
    if ni > most || nj > most {
        return unfit(format!("expected slices of at most {most} × {most} voxels, found {ni} × {nj}"));
    }
    Ok(())
}

struct Object<'a> {
    segments: &'a Segments<'a>,
    encoding: Encoding,
    options: &'a DicomOptions,
    header: &'a Header,
    planes: &'a [Plane],
    frames: &'a Frames,
}

impl Object<'_> {
    /// All that the file says.
    fn fingerprint(&self) -> Fingerprint {
        let Segments { grid, segments, provenance, .. } = self.segments;
        let mut fingerprint = Fingerprint::new(self.encoding.name(), self.options);
        self.header.add_to(&mut fingerprint);
        let Provenance { algorithm, version, bundle_sha256 } = provenance;
        for text in [algorithm, version, bundle_sha256] {
            fingerprint.add(text.as_bytes());
        }
        for segment in segments {
            fingerprint.add(segment.name.as_bytes());
            fingerprint.add(&segment.label.to_le_bytes());
        }
        fingerprint.add(format!("{:?} {:?} {:?}", grid.shape_xyz(), self.planes, self.frames.places).as_bytes());
        fingerprint.add(&self.frames.pixels);
        fingerprint
    }

    /// All but the frames.
    fn elements(&self, fingerprint: &Fingerprint, sop_instance_uid: &str) -> InMemDicomObject {
        let Frames { places, bits, overlap, .. } = self.frames;
        let [ni, nj, _] = self.segments.grid.shape_xyz();
        let mut object = self.header.object(&NewObject {
            sop_class_uid: self.encoding.sop_class_uid(),
            sop_instance_uid,
            series_instance_uid: &fingerprint.uid("series", self.options),
            modality: "SEG",
            series_description: "segvol segmentation",
            series_offset: 1,
            provenance: &self.segments.provenance,
        });
        let [date, time] = &self.header.date_and_time;
        for element in [
            DataElement::new(
                tags::IMAGE_TYPE,
                VR::CS,
                PrimitiveValue::Strs(["DERIVED", "PRIMARY"].map(str::to_owned).to_vec().into()),
            ),
            text(tags::CONTENT_DATE, VR::DA, date),
            text(tags::CONTENT_TIME, VR::TM, time),
            text(tags::CONTENT_LABEL, VR::CS, "SEGMENTATION"),
            text(tags::CONTENT_DESCRIPTION, VR::LO, "Objects segmented by a model"),
            text(tags::CONTENT_CREATOR_NAME, VR::PN, "segvol^"),
            count(tags::SAMPLES_PER_PIXEL, 1),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            text(tags::NUMBER_OF_FRAMES, VR::IS, &places.len().to_string()),
            count(tags::ROWS, nj),
            count(tags::COLUMNS, ni),
            count(tags::BITS_ALLOCATED, usize::from(*bits)),
            count(tags::BITS_STORED, usize::from(*bits)),
            count(tags::HIGH_BIT, usize::from(*bits) - 1),
            count(tags::PIXEL_REPRESENTATION, 0),
            text(tags::SEGMENTATION_TYPE, VR::CS, self.encoding.name()),
            text(tags::SEGMENTS_OVERLAP, VR::CS, if *overlap { "YES" } else { "NO" }),
            self.segment_sequence(fingerprint),
            item_sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![self.shared()]),
        ] {
            object.put(element);
        }
        self.header
            .lossy()
            .into_iter()
            .chain(self.header.referenced_series())
            .for_each(|element| drop(object.put(element)));
        if self.encoding == Encoding::Labelmap {
            object.put(count(tags::PIXEL_PADDING_VALUE, 0));
        }
        let organization = fingerprint.uid("dimensions", self.options);
        let uid = || text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization);
        object.put(item_sequence(
            tags::DIMENSION_ORGANIZATION_SEQUENCE,
            vec![InMemDicomObject::from_element_iter([uid()])],
        ));
        let index = |pointer: Tag, group: Tag, label: &str| {
            InMemDicomObject::from_element_iter([
                uid(),
                DataElement::new(tags::DIMENSION_INDEX_POINTER, VR::AT, PrimitiveValue::from(pointer)),
                DataElement::new(tags::FUNCTIONAL_GROUP_POINTER, VR::AT, PrimitiveValue::from(group)),
                text(tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label),
            ])
        };
        let number = index(tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE, "Segment Number");
        let place = index(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Image Position Patient");
        let indices = match self.encoding {
            Encoding::Binary => vec![number, place],
            Encoding::Labelmap => vec![place],
        };
        object.put(item_sequence(tags::DIMENSION_INDEX_SEQUENCE, indices));
        object
    }

    fn segment_sequence(&self, fingerprint: &Fingerprint) -> InMemElement {
        let objects = self.segments.segments.iter().enumerate();
        let mut items: Vec<_> = objects.map(|(index, segment)| self.segment(index, segment, fingerprint)).collect();
        if self.encoding == Encoding::Labelmap {
            items.insert(0, background());
        }
        item_sequence(tags::SEGMENT_SEQUENCE, items)
    }

    fn segment(&self, index: usize, segment: &Segment, fingerprint: &Fingerprint) -> InMemDicomObject {
        let Codes { category, kind, modifier, region, region_modifier, color } = codes::of_name(&segment.name);
        let Provenance { algorithm, version, bundle_sha256 } = &self.segments.provenance;
        let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { fits_lo(text) };
        let is_interactive = self.options.interactive.contains(&segment.label);
        let kind_of_algorithm = if is_interactive { "SEMIAUTOMATIC" } else { "AUTOMATIC" };
        let with_modifier = |tag: Tag, code: &Code, modifier_tag: Tag, modifier: Option<&Code>| {
            let mut item = code_item(code);
            modifier.into_iter().for_each(|modifier| drop(item.put(code_sequence(modifier_tag, modifier))));
            item_sequence(tag, vec![item])
        };
        let mut item = InMemDicomObject::from_element_iter([
            count(tags::SEGMENT_NUMBER, index + 1),
            text(tags::SEGMENT_LABEL, VR::LO, &fits_lo(&segment.name)),
            text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, kind_of_algorithm),
            text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, &or_unknown(algorithm)),
            code_sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, &category),
            with_modifier(
                tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE,
                &kind,
                tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE,
                modifier.as_ref(),
            ),
            DataElement::new(
                tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE,
                VR::US,
                PrimitiveValue::U16(cie_lab(color).to_vec().into()),
            ),
            text(tags::TRACKING_ID, VR::UT, &segment.name),
            text(tags::TRACKING_UID, VR::UI, &fingerprint.uid(&format!("segment {}", index + 1), self.options)),
        ]);
        if let Some(region) = &region {
            let modifier = tags::ANATOMIC_REGION_MODIFIER_SEQUENCE;
            item.put(with_modifier(tags::ANATOMIC_REGION_SEQUENCE, region, modifier, region_modifier.as_ref()));
        }
        if fits_lo(&segment.name) != segment.name {
            item.put(text(tags::SEGMENT_DESCRIPTION, VR::ST, &segment.name.chars().take(1024).collect::<String>()));
        }
        let mut identification = InMemDicomObject::from_element_iter([
            code_sequence(tags::ALGORITHM_FAMILY_CODE_SEQUENCE, &Code::new("123110", "DCM", "Artificial Intelligence")),
            text(tags::ALGORITHM_NAME, VR::LO, &or_unknown(algorithm)),
            text(tags::ALGORITHM_VERSION, VR::LO, &or_unknown(version)),
        ]);
        if !bundle_sha256.is_empty() {
            identification.put(text(tags::ALGORITHM_PARAMETERS, VR::LT, &format!("bundle SHA-256 {bundle_sha256}")));
        }
        item.put(item_sequence(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![identification]));
        item
    }

    /// What all frames have in common.
    fn shared(&self) -> InMemDicomObject {
        let [first, .., last] = self.planes else { return self.shared_of(&self.planes[0], None) };
        let normal = first.normal();
        let along: f64 = (0..3).map(|axis| (last.position_mm[axis] - first.position_mm[axis]) * normal[axis]).sum();
        self.shared_of(first, Some(along.abs() / (self.planes.len() - 1) as f64))
    }

    fn shared_of(&self, plane: &Plane, between_slices_mm: Option<f64>) -> InMemDicomObject {
        let spacing = self.segments.grid.spacing_mm();
        let thickness = plane.thickness_mm.filter(|&mm| mm > 0.0).or(between_slices_mm).unwrap_or(spacing[2]);
        let mut measures = InMemDicomObject::from_element_iter([
            number(tags::SLICE_THICKNESS, [thickness]),
            number(tags::PIXEL_SPACING, plane.pixel_spacing_mm),
        ]);
        between_slices_mm.into_iter().for_each(|mm| drop(measures.put(number(tags::SPACING_BETWEEN_SLICES, [mm]))));
        let orientation = number(tags::IMAGE_ORIENTATION_PATIENT, plane.orientation);
        InMemDicomObject::from_element_iter([
            item_sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![InMemDicomObject::from_element_iter([orientation])]),
            item_sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]),
        ])
    }

    /// The functional groups of a frame.
    fn frame(&self, n: usize) -> InMemDicomObject {
        let (index, k) = self.frames.places[n];
        let segment = index + 1;
        // Slices are counted from 1, whether they have frames or not.
        let indices = match self.encoding {
            Encoding::Binary => vec![segment as u32, k as u32 + 1],
            Encoding::Labelmap => vec![k as u32 + 1],
        };
        let content = DataElement::new(tags::DIMENSION_INDEX_VALUES, VR::UL, PrimitiveValue::U32(indices.into()));
        let position = number(tags::IMAGE_POSITION_PATIENT, self.planes[k].position_mm);
        let mut frame = InMemDicomObject::from_element_iter([
            item_sequence(tags::FRAME_CONTENT_SEQUENCE, vec![InMemDicomObject::from_element_iter([content])]),
            item_sequence(tags::PLANE_POSITION_SEQUENCE, vec![InMemDicomObject::from_element_iter([position])]),
        ]);
        if self.encoding == Encoding::Binary {
            let number = count(tags::REFERENCED_SEGMENT_NUMBER, segment);
            frame.put(item_sequence(
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                vec![InMemDicomObject::from_element_iter([number])],
            ));
        }
        if let Some(image) = &self.header.images[k] {
            let mut source = image.item();
            source.put(text(tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES"));
            source.put(code_sequence(
                tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
                &Code::new("121322", "DCM", "Source Image for Image Processing Operation"),
            ));
            let derivation = InMemDicomObject::from_element_iter([
                item_sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]),
                code_sequence(tags::DERIVATION_CODE_SEQUENCE, &Code::new("113076", "DCM", "Segmentation")),
            ]);
            frame.put(item_sequence(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]));
        }
        frame
    }
}

/// What is no object, in a label map.
fn background() -> InMemDicomObject {
    let background = Code::new("125040", "DCM", "Background");
    InMemDicomObject::from_element_iter([
        count(tags::SEGMENT_NUMBER, 0),
        text(tags::SEGMENT_LABEL, VR::LO, "Background"),
        text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "MANUAL"),
        code_sequence(
            tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE,
            &Code::snomed("309825002", "Spatial and Relational Concept"),
        ),
        code_sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, &background),
    ])
}

/// A number of 16 bits.
fn count(tag: Tag, value: usize) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16))
}

/// A colour as DICOM recommends it for display: L*, a*, b* in 16 bits each.
///
/// # Source
///
/// DICOM PS3.3, C.10.7.1.1. The white point is D65, as dcmtk, dcmqi and viewers take it.
fn cie_lab(rgb: [u8; 3]) -> [u16; 3] {
    let linear = rgb.map(|channel| {
        let c = f64::from(channel) / 255.0;
        if c > 0.04045 { ((c + 0.055) / 1.055).powf(2.4) } else { c / 12.92 }
    });
    let row = |row: [f64; 3], white: f64| (0..3).map(|n| row[n] * linear[n]).sum::<f64>() / white;
    let root = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = root(row([0.4124564, 0.3575761, 0.1804375], 0.950456));
    let y = root(row([0.2126729, 0.7151522, 0.0721750], 1.0));
    let z = root(row([0.0193339, 0.1191920, 0.9503041], 1.088754));
    let (l, a, b) = (116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z));
    let scaled = |value: f64| (value * 65535.0).round().clamp(0.0, 65535.0) as u16;
    [scaled(l / 100.0), scaled((a + 128.0) / 255.0), scaled((b + 128.0) / 255.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inverse, as viewers compute it.
    fn rgb([l, a, b]: [u16; 3]) -> [u8; 3] {
        let (l, a, b) = (f64::from(l) / 655.35, f64::from(a) / 257.0 - 128.0, f64::from(b) / 257.0 - 128.0);
        let y = (l + 16.0) / 116.0;
        let cube = |t: f64| if t > 0.2068966 { t.powi(3) } else { (t - 16.0 / 116.0) / 7.787 };
        let (x, y, z) = (cube(a / 500.0 + y) * 0.950456, cube(y), cube(y - b / 200.0) * 1.088754);
        [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]].map(
            |row| {
                let linear = row[0] * x + row[1] * y + row[2] * z;
                let c = if linear > 0.0031308 { 1.055 * linear.powf(1.0 / 2.4) - 0.055 } else { 12.92 * linear };
                (c * 255.0).round().clamp(0.0, 255.0) as u8
            },
        )
    }

    #[test]
    fn colours_come_back_from_cie_lab() {
        assert_eq!(cie_lab([0; 3]), [0, 32896, 32896]);
        assert!(
            cie_lab([255; 3]).iter().zip([65535, 32896, 32896]).all(|(a, b)| a.abs_diff(b) < 40),
            "{:?}",
            cie_lab([255; 3])
        );
        for color in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [221, 130, 101], [40, 140, 40], [1, 2, 3], [255, 255, 254]]
        {
            let found = rgb(cie_lab(color));
            assert!(found.iter().zip(color).all(|(a, b)| a.abs_diff(b) <= 1), "{color:?}: {found:?}");
        }
    }
}
