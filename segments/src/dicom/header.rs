//! What an object takes over from the images of its scan.

use std::collections::BTreeSet;
use std::sync::Arc;

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;
use segvol_base::{Warning, WarningCode};
use segvol_dicom::SourceSeries;
use segvol_volume::Grid;

use super::DicomOptions;
use super::uids::Fingerprint;
use super::values::{code_item, empty, fits_lo, item_sequence, text};
use crate::Provenance;
use crate::codes::Code;
use crate::error::SegmentsError;

/// Attributes of the patient, the study and the frame of reference that are copied. Those of type 2 are written without a value
/// if the source has none.
const COPIED: [(Tag, Kind); 17] = [
    (tags::SPECIFIC_CHARACTER_SET, Kind::Optional),
    (tags::STUDY_DATE, Kind::Type2),
    (tags::STUDY_TIME, Kind::Type2),
    (tags::ACCESSION_NUMBER, Kind::Type2),
    (tags::REFERRING_PHYSICIAN_NAME, Kind::Type2),
    (tags::STUDY_DESCRIPTION, Kind::Optional),
    (tags::PATIENT_NAME, Kind::Type2),
    (tags::PATIENT_ID, Kind::Type2),
    (tags::ISSUER_OF_PATIENT_ID, Kind::Optional),
    (tags::PATIENT_BIRTH_DATE, Kind::Type2),
    (tags::PATIENT_SEX, Kind::Type2),
    (tags::PATIENT_AGE, Kind::Optional),
    (tags::PATIENT_SIZE, Kind::Optional),
    (tags::PATIENT_WEIGHT, Kind::Optional),
    (tags::PATIENT_IDENTITY_REMOVED, Kind::Optional),
    (tags::DEIDENTIFICATION_METHOD, Kind::Optional),
    (tags::STUDY_ID, Kind::Type2),
];

/// Attributes that are copied also if the patient must not be known.
const HARMLESS: [Tag; 1] = [tags::SPECIFIC_CHARACTER_SET];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Must be there, may be empty.
    Type2,
    /// May be absent.
    Optional,
}

/// Dates that say when the images were made, the best first, each with its time.
const DATES: [(Tag, Tag); 4] = [
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::STUDY_DATE, tags::STUDY_TIME),
];

/// The date and time of what has none: the first that DICOM can write.
const NO_DATE: [&str; 2] = ["19000101", "000000"];

/// An image of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageReference {
    pub(crate) sop_class_uid: String,
    pub(crate) sop_instance_uid: String,
    /// The frame of a file with several, from 1.
    pub(crate) frame: Option<u32>,
}

impl ImageReference {
    /// An item that refers to the image, and to its frame.
    pub(crate) fn item(&self) -> InMemDicomObject {
        let mut item = self.instance();
        if let Some(frame) = self.frame {
            item.put(text(tags::REFERENCED_FRAME_NUMBER, VR::IS, &frame.to_string()));
        }
        item
    }

    /// An item that refers to the file.
    fn instance(&self) -> InMemDicomObject {
        InMemDicomObject::from_element_iter([
            text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &self.sop_class_uid),
            text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &self.sop_instance_uid),
        ])
    }
}

/// What is new in an object.
pub(crate) struct NewObject<'a> {
    pub(crate) sop_class_uid: &'a str,
    pub(crate) sop_instance_uid: &'a str,
    pub(crate) series_instance_uid: &'a str,
    pub(crate) modality: &'a str,
    pub(crate) series_description: &'a str,
    /// Added to a thousand times the source's Series Number.
    pub(crate) series_offset: u32,
    pub(crate) provenance: &'a Provenance,
}

/// What an object takes over from the images of its scan.
pub(crate) struct Header {
    series: Arc<SourceSeries>,
    anonymous: bool,
    pub(crate) study_instance_uid: String,
    pub(crate) frame_of_reference_uid: String,
    /// When the images were made, DA and TM: an object of the same masks has the same bytes, so it has no clock.
    pub(crate) date_and_time: [String; 2],
    /// The image of each slice; `None` if it was interpolated, or its file says too little to refer to it.
    pub(crate) images: Vec<Option<ImageReference>>,
    /// What was made up.
    pub(crate) warnings: Vec<Warning>,
}

impl Header {
    /// Takes over what the images of a scan have.
    ///
    /// # Errors
    ///
    /// [`SegmentsError::NotDicom`]; [`SegmentsError::Missing`], with all that is missing; [`SegmentsError::UidRoot`].
    pub(crate) fn new(grid: &Grid, options: &DicomOptions) -> Result<Self, SegmentsError> {
        options.check()?;
        let series = Arc::clone(grid.dicom().ok_or(SegmentsError::NotDicom)?);
        let mut missing = Missing::default();
        let made = made_up(&series, grid);
        let study_instance_uid =
            missing.or(&series.study_instance_uid, "Study Instance UID (0020,000D)", || made.uid("study", options));
        if is_empty(&series.series_instance_uid) {
            missing.named.push("Series Instance UID (0020,000E)");
        }
        let frame_of_reference_uid =
            missing.or(&series.frame_of_reference_uid, "Frame of Reference UID (0020,0052)", || {
                made.uid("frame of reference", options)
            });
        let slices: Vec<_> = series.slices.iter().flatten().collect();
        if slices.iter().any(|slice| is_empty(&slice.sop_class_uid)) {
            missing.named.push("SOP Class UID (0008,0016)");
        }
        if slices.iter().any(|slice| is_empty(&slice.sop_instance_uid)) {
            missing.named.push("SOP Instance UID (0008,0018)");
        }
        let date = DATES.iter().find_map(|&(date, time)| Some([value(&series, date)?, value(&series, time)?]));
        let day_only = || DATES.iter().find_map(|&(date, _)| Some([value(&series, date)?, NO_DATE[1].to_owned()]));
        let date_and_time = match date.or_else(day_only) {
            _ if options.anonymous => NO_DATE.map(str::to_owned),
            Some(found) => found,
            None => {
                missing.named.push("a date, such as Study Date (0008,0020)");
                NO_DATE.map(str::to_owned)
            }
        };
        let warnings = missing.into_warnings(options)?;
        let images = match is_empty(&series.series_instance_uid) {
            true => vec![None; series.slices.len()],
            false => series.slices.iter().map(|slice| slice.as_ref().and_then(reference)).collect(),
        };
        let anonymous = options.anonymous;
        Ok(Self { series, anonymous, study_instance_uid, frame_of_reference_uid, date_and_time, images, warnings })
    }

    /// The Series Instance UID of the images; `None` if they have none.
    pub(crate) fn source_series_uid(&self) -> Option<&str> {
        self.series.series_instance_uid.as_deref().map(str::trim).filter(|uid| !uid.is_empty())
    }

    /// The attributes of patient, study, series, equipment, frame of reference and SOP that every object has.
    pub(crate) fn object(&self, new: &NewObject<'_>) -> InMemDicomObject {
        let mut object = InMemDicomObject::new_empty();
        for (tag, kind) in COPIED {
            let copied = self.series.attributes.get(tag).filter(|_| !self.anonymous || HARMLESS.contains(&tag));
            let copied = copied.filter(|element| element.items().is_none() && element.vr() != VR::UN);
            let vr = StandardDataDictionary.by_tag(tag).map_or(VR::LO, |entry| entry.vr().relaxed());
            match copied {
                Some(element) => drop(object.put(element.clone())),
                None if kind == Kind::Type2 => drop(object.put(empty(tag, vr))),
                None => {}
            }
        }
        if self.anonymous {
            self.anonymise(&mut object);
        } else if let Some(methods) = self.series.attributes.get(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE) {
            let items = methods.items().unwrap_or_default().iter().map(public_only).collect();
            object.put(item_sequence(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, items));
        }
        let [date, time] = &self.date_and_time;
        let Provenance { algorithm, version, bundle_sha256 } = new.provenance;
        // LO holds the 64 digits of a SHA-256 exactly.
        let serial = if bundle_sha256.is_empty() { version } else { bundle_sha256 };
        let or_name = |value: &str| if value.trim().is_empty() { "segvol".to_owned() } else { fits_lo(value) };
        for element in [
            text(tags::SOP_CLASS_UID, VR::UI, new.sop_class_uid),
            text(tags::SOP_INSTANCE_UID, VR::UI, new.sop_instance_uid),
            text(tags::MODALITY, VR::CS, new.modality),
            text(tags::MANUFACTURER, VR::LO, "segvol"),
            text(tags::MANUFACTURER_MODEL_NAME, VR::LO, &or_name(algorithm)),
            text(tags::DEVICE_SERIAL_NUMBER, VR::LO, &or_name(serial)),
            text(tags::SOFTWARE_VERSIONS, VR::LO, &or_name(version)),
            text(tags::SERIES_DATE, VR::DA, date),
            text(tags::SERIES_TIME, VR::TM, time),
            text(tags::SERIES_DESCRIPTION, VR::LO, &fits_lo(new.series_description)),
            text(tags::SERIES_INSTANCE_UID, VR::UI, new.series_instance_uid),
            text(tags::SERIES_NUMBER, VR::IS, &self.series_number(new.series_offset).to_string()),
            text(tags::STUDY_INSTANCE_UID, VR::UI, &self.study_instance_uid),
            text(tags::FRAME_OF_REFERENCE_UID, VR::UI, &self.frame_of_reference_uid),
            self.position_reference(),
            text(tags::INSTANCE_NUMBER, VR::IS, "1"),
        ] {
            object.put(element);
        }
        object
    }

    /// Replaces what says who the patient is.
    ///
    /// # Source
    ///
    /// DICOM PS3.15, annex E, Basic Application Level Confidentiality Profile with the Retain UIDs Option. All else of the profile
    /// is not copied in the first place.
    fn anonymise(&self, object: &mut InMemDicomObject) {
        // UIDs are kept, so that this number says nothing that the study's UID does not say.
        let mut study = Fingerprint::new("patient", &DicomOptions::default());
        study.add(self.study_instance_uid.as_bytes());
        let methods = [
            Code::new("113100", "DCM", "Basic Application Confidentiality Profile"),
            Code::new("113110", "DCM", "Retain UIDs Option"),
        ];
        for element in [
            text(tags::PATIENT_NAME, VR::PN, "Anonymous"),
            text(tags::PATIENT_ID, VR::LO, &study.short()),
            text(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"),
            text(tags::DEIDENTIFICATION_METHOD, VR::LO, "segvol: new object, UIDs kept"),
            item_sequence(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, methods.iter().map(code_item).collect()),
        ] {
            object.put(element);
        }
    }

    fn position_reference(&self) -> dicom_object::mem::InMemElement {
        let found = value(&self.series, tags::POSITION_REFERENCE_INDICATOR).filter(|_| !self.anonymous);
        found.map_or_else(
            || empty(tags::POSITION_REFERENCE_INDICATOR, VR::LO),
            |found| text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, &found),
        )
    }

    fn series_number(&self, offset: u32) -> u32 {
        let found = value(&self.series, tags::SERIES_NUMBER).and_then(|number| number.parse::<u32>().ok());
        // IS is a signed number of 32 bits.
        let source = found.filter(|&number| number < 2_000_000).unwrap_or(1);
        source * 1000 + offset
    }

    /// Referenced Series Sequence: all files of the images; `None` if there is none to refer to.
    pub(crate) fn referenced_series(&self) -> Option<dicom_object::mem::InMemElement> {
        let uid = self.source_series_uid()?;
        let mut seen = BTreeSet::new();
        let new = |image: &&ImageReference| seen.insert(image.sop_instance_uid.clone());
        let instances: Vec<_> = self.images.iter().flatten().filter(new).map(ImageReference::instance).collect();
        if instances.is_empty() {
            return None;
        }
        let item = InMemDicomObject::from_element_iter([
            item_sequence(tags::REFERENCED_INSTANCE_SEQUENCE, instances),
            text(tags::SERIES_INSTANCE_UID, VR::UI, uid),
        ]);
        Some(item_sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![item]))
    }

    /// Adds what the object refers to, and what it takes over, to a fingerprint.
    pub(crate) fn add_to(&self, fingerprint: &mut Fingerprint) {
        for text in
            [&self.study_instance_uid, &self.frame_of_reference_uid, &self.date_and_time[0], &self.date_and_time[1]]
        {
            fingerprint.add(text.as_bytes());
        }
        fingerprint.add(self.source_series_uid().unwrap_or_default().as_bytes());
        for image in &self.images {
            let name = image
                .as_ref()
                .map_or_else(String::new, |image| format!("{} {:?}", image.sop_instance_uid, image.frame));
            fingerprint.add(name.as_bytes());
        }
        for (tag, _) in COPIED {
            fingerprint.add(value(&self.series, tag).unwrap_or_default().as_bytes());
        }
    }
}

/// What is missing in the source.
#[derive(Default)]
struct Missing {
    named: Vec<&'static str>,
}

impl Missing {
    /// A UID of the source, or one that is made up.
    fn or(&mut self, found: &Option<String>, name: &'static str, make: impl FnOnce() -> String) -> String {
        match found.as_deref().map(str::trim).filter(|uid| !uid.is_empty()) {
            Some(uid) => uid.to_owned(),
            None => {
                self.named.push(name);
                make()
            }
        }
    }

    fn into_warnings(self, options: &DicomOptions) -> Result<Vec<Warning>, SegmentsError> {
        match self.named {
            named if named.is_empty() => Ok(Vec::new()),
            named if options.fill_missing => {
                let message = format!(
                    "the scan's DICOM files lack {}: made up, or left out where an image cannot be named",
                    named.join(", ")
                );
                Ok(vec![Warning::new(WarningCode::DicomFilled, message)])
            }
            attributes => Err(SegmentsError::Missing { attributes }),
        }
    }
}

/// What made-up UIDs follow from.
fn made_up(series: &SourceSeries, grid: &Grid) -> Fingerprint {
    let mut content = Fingerprint::new("made up", &DicomOptions::default());
    for uid in [&series.study_instance_uid, &series.series_instance_uid, &series.frame_of_reference_uid] {
        content.add(uid.as_deref().unwrap_or_default().as_bytes());
    }
    for tag in [tags::PATIENT_ID, tags::PATIENT_NAME, tags::STUDY_DATE, tags::STUDY_TIME, tags::SERIES_NUMBER] {
        content.add(value(series, tag).unwrap_or_default().as_bytes());
    }
    content.add(format!("{:?} {:?}", grid.shape_xyz(), grid.affine().rows()).as_bytes());
    content
}

fn is_empty(uid: &Option<String>) -> bool {
    uid.as_deref().is_none_or(|uid| uid.trim().is_empty())
}

fn reference(slice: &segvol_dicom::SourceSlice) -> Option<ImageReference> {
    let filled = |uid: &Option<String>| uid.as_deref().map(str::trim).filter(|uid| !uid.is_empty()).map(str::to_owned);
    Some(ImageReference {
        sop_class_uid: filled(&slice.sop_class_uid)?,
        sop_instance_uid: filled(&slice.sop_instance_uid)?,
        frame: slice.frame_number,
    })
}

/// The text of an attribute of the source; `None` if it is absent or empty.
fn value(series: &SourceSeries, tag: Tag) -> Option<String> {
    let element = series.attributes.get(tag)?;
    let text = element.to_str().ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// An item without private attributes.
fn public_only(item: &InMemDicomObject) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(item.iter().filter(|element| element.header().tag.group() % 2 == 0).cloned())
}
