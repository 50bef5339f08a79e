//! What a segmentation of a series must know about it: identifiers, attributes to copy, and the plane of each slice.

use dicom_object::InMemDicomObject;

/// The series that a scan was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSeries {
    /// Study Instance UID; `None` if it is absent or empty.
    pub study_instance_uid: Option<String>,
    /// Series Instance UID; `None` if it is absent or empty.
    pub series_instance_uid: Option<String>,
    /// Frame of Reference UID; `None` if it is absent or empty.
    pub frame_of_reference_uid: Option<String>,
    /// Modality, such as CT.
    pub modality: Option<String>,
    /// All attributes of the first image's file but pixels, overlays, curves and private ones: patient, study, series, equipment.
    pub attributes: InMemDicomObject,
    /// One per k, in the order of the volume; `None` where a missing slice was interpolated.
    pub slices: Vec<Option<SourceSlice>>,
}

/// A series about which nothing is known.
impl Default for SourceSeries {
    fn default() -> Self {
        Self {
            study_instance_uid: None,
            series_instance_uid: None,
            frame_of_reference_uid: None,
            modality: None,
            attributes: InMemDicomObject::new_empty(),
            slices: Vec::new(),
        }
    }
}

/// One image of a series, or one frame of a file with several.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceSlice {
    /// SOP Class UID; `None` if it is absent or empty.
    pub sop_class_uid: Option<String>,
    /// SOP Instance UID; `None` if it is absent or empty.
    pub sop_instance_uid: Option<String>,
    /// The number of the frame in its file, from 1; `None` for a file with one image.
    pub frame_number: Option<u32>,
    /// Image Position (Patient) of the slice, LPS+ millimetres.
    pub position_mm: [f64; 3],
    /// Image Orientation (Patient): the directions of a row (towards greater i) and of a column (towards greater j).
    pub orientation: [f64; 6],
    /// Pixel Spacing in millimetres: between rows (along j), between columns (along i).
    pub pixel_spacing_mm: [f64; 2],
    /// Slice Thickness in millimetres, if it is stated.
    pub slice_thickness_mm: Option<f64>,
}
