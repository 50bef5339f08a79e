//! What one file says about its images: whose they are, where each lies, and how its stored values become Hounsfield units.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use sha2::{Digest as _, Sha256};

use crate::attributes::{count, identifier, items, number, numbers, text, texts};
use crate::elements::{Element, Encoding};
use crate::header::{Header, other_object, read_header};
use crate::input::Input;
use crate::pixels::PixelFormat;

/// Most frames of one file.
const MAX_FRAMES: u32 = 1 << 20;

/// A file with at least one image, or one that is damaged.
#[derive(Debug)]
pub(crate) struct ImageFile {
    pub(crate) input: Input,
    pub(crate) transfer_syntax: String,
    pub(crate) encoding: Encoding,
    pub(crate) pixels: Option<Element>,
    pub(crate) format: Option<PixelFormat>,
    pub(crate) patient: Option<String>,
    pub(crate) study: Option<String>,
    /// Empty if the file has none.
    pub(crate) series: String,
    pub(crate) frame_of_reference: Option<String>,
    pub(crate) sop_class: Option<String>,
    pub(crate) sop_instance: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) modality: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) is_lossy: bool,
    /// Pixel Padding Value and Pixel Padding Range Limit, as stored values.
    pub(crate) padding: Option<[i64; 2]>,
    /// Whether frames are numbered.
    pub(crate) has_frames: bool,
    pub(crate) frames: Vec<Frame>,
    /// Why none of its images can be part of a scan: with this it is passed over.
    pub(crate) passed_over: Option<String>,
    /// Why its images cannot be read although they should be part of a scan.
    pub(crate) fault: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) position: [f64; 3],
    pub(crate) orientation: [f64; 6],
    pub(crate) spacing: [f64; 2],
    pub(crate) thickness: Option<f64>,
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    pub(crate) has_rescale: bool,
    pub(crate) rescale_type: Option<String>,
    pub(crate) image_type: String,
    /// What tells images at the same place apart: a name and a value.
    pub(crate) marks: Vec<(&'static str, String)>,
}

impl ImageFile {
    /// Reads the header of a file.
    ///
    /// # Errors
    ///
    /// A part of a sentence if it cannot be read at all.
    pub(crate) fn read(input: Input) -> Result<Self, String> {
        let header = read_header(&input)?;
        let object = &header.object;
        let mut file = Self {
            patient: patient(object),
            study: identifier(object, tags::STUDY_INSTANCE_UID),
            series: identifier(object, tags::SERIES_INSTANCE_UID).unwrap_or_default(),
            frame_of_reference: identifier(object, tags::FRAME_OF_REFERENCE_UID),
            sop_class: identifier(object, tags::SOP_CLASS_UID),
            sop_instance: identifier(object, tags::SOP_INSTANCE_UID),
            number: text(object, tags::SERIES_NUMBER),
            modality: text(object, tags::MODALITY),
            description: text(object, tags::SERIES_DESCRIPTION),
            is_lossy: text(object, tags::LOSSY_IMAGE_COMPRESSION).as_deref() == Some("01"),
            padding: None,
            format: None,
            has_frames: false,
            frames: Vec::new(),
            passed_over: other_object(object),
            fault: header.damage.clone(),
            pixels: header.pixels,
            encoding: header.encoding,
            transfer_syntax: header.transfer_syntax.clone(),
            input,
        };
        if file.passed_over.is_none() && file.fault.is_none() {
            match file.images(&header) {
                Ok(()) => {}
                Err(NoImages::PassedOver(reason)) => file.passed_over = Some(reason),
                Err(NoImages::Fault(reason)) => file.fault = Some(reason),
            }
        }
        Ok(file)
    }

    /// Fills in the images.
    fn images(&mut self, header: &Header) -> Result<(), NoImages> {
        let object = &header.object;
        if header.pixels.is_none() {
            let float = header.noted.iter().any(|tag| *tag != tags::MODALITY_LUT_SEQUENCE);
            let what = if float { "an image of floating-point numbers" } else { "without pixels" };
            return Err(NoImages::PassedOver(what.to_owned()));
        }
        let shared = items(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        let per_frame = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        let frames = count(object, tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        self.has_frames = shared.is_some() || !per_frame.is_empty() || frames > 1;
        let groups =
            |frame: u32| Groups { object, shared, own: per_frame.get(frame as usize - 1).filter(|_| self.has_frames) };
        if frames > 1 && per_frame.is_empty() {
            return Err(NoImages::PassedOver("several frames without positions".to_owned()));
        }
        if frames > MAX_FRAMES || (!per_frame.is_empty() && per_frame.len() != frames as usize) {
            let found = per_frame.len();
            return Err(NoImages::Fault(format!("it has {frames} frames, and positions of {found}")));
        }
        let has_position = |frame: u32| groups(frame).has(&POSITION) && groups(frame).has(&ORIENTATION);
        if !(1..=frames).any(has_position) {
            return Err(NoImages::PassedOver("without a position in the patient".to_owned()));
        }
        let samples = count(object, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        if samples != 1 {
            return Err(NoImages::PassedOver(format!("a colour image ({samples} samples per pixel)")));
        }
        let photometric = text(object, tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default();
        if !["", "MONOCHROME1", "MONOCHROME2"].contains(&photometric.as_str()) {
            return Err(NoImages::PassedOver(format!("a colour image ({photometric})")));
        }
        if header.noted.contains(&tags::MODALITY_LUT_SEQUENCE)
            && number(object, tags::RESCALE_SLOPE).ok().flatten().is_none()
        {
            return Err(NoImages::Fault("it has a Modality LUT Sequence instead of Rescale Slope".to_owned()));
        }
        let format = pixel_format(object)?;
        self.format = Some(format);
        self.padding = padding(object, format);
        self.frames = (1..=frames).map(|number| groups(number).frame(number)).collect::<Result<_, _>>()?;
        self.check_length(frames)
    }

    /// Whether pixels that are not compressed are all there.
    fn check_length(&self, frames: u32) -> Result<(), NoImages> {
        let (Some(format), Some(length)) = (self.format, self.pixels.and_then(|pixels| pixels.length)) else {
            return Ok(());
        };
        let bits = (format.rows * format.columns) as u64 * u64::from(frames) * u64::from(format.bits_allocated);
        let needed = bits.div_ceil(8);
        if length < needed {
            let reason = format!(
                "its pixel data has {length} bytes: expected {needed} for {} x {} x {frames}",
                format.columns, format.rows
            );
            return Err(NoImages::Fault(reason));
        }
        Ok(())
    }
}

/// Why a file has no usable images.
enum NoImages {
    PassedOver(String),
    Fault(String),
}

impl From<String> for NoImages {
    fn from(reason: String) -> Self {
        Self::Fault(reason)
    }
}

/// An attribute, and the functional group that holds it in a file with several frames.
struct Place {
    group: &'static [Tag],
    tag: Tag,
    name: &'static str,
}

const fn place(group: &'static [Tag], tag: Tag, name: &'static str) -> Place {
    Place { group, tag, name }
}

const VALUES: &[Tag] = &[tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE];
const MEASURES: &[Tag] = &[tags::PIXEL_MEASURES_SEQUENCE];
const CONTENT: &[Tag] = &[tags::FRAME_CONTENT_SEQUENCE];
const POSITION: Place =
    place(&[tags::PLANE_POSITION_SEQUENCE], tags::IMAGE_POSITION_PATIENT, "Image Position (Patient)");
const ORIENTATION: Place =
    place(&[tags::PLANE_ORIENTATION_SEQUENCE], tags::IMAGE_ORIENTATION_PATIENT, "Image Orientation (Patient)");
const SPACING: Place = place(MEASURES, tags::PIXEL_SPACING, "Pixel Spacing");
const THICKNESS: Place = place(MEASURES, tags::SLICE_THICKNESS, "Slice Thickness");
const SLOPE: Place = place(VALUES, tags::RESCALE_SLOPE, "Rescale Slope");
const INTERCEPT: Place = place(VALUES, tags::RESCALE_INTERCEPT, "Rescale Intercept");
const RESCALE_TYPE: Place = place(VALUES, tags::RESCALE_TYPE, "Rescale Type");
const FRAME_TYPE: Place =
    place(&[tags::CT_IMAGE_FRAME_TYPE_SEQUENCE, tags::MR_IMAGE_FRAME_TYPE_SEQUENCE], tags::FRAME_TYPE, "Frame Type");
const ACQUISITION: Place = place(&[], tags::ACQUISITION_NUMBER, "Acquisition Number");
const FRAME_ACQUISITION: Place = place(CONTENT, tags::FRAME_ACQUISITION_NUMBER, "Frame Acquisition Number");
const TEMPORAL: Place = place(&[], tags::TEMPORAL_POSITION_IDENTIFIER, "Temporal Position Identifier");
const TEMPORAL_INDEX: Place = place(CONTENT, tags::TEMPORAL_POSITION_INDEX, "Temporal Position Index");
const STACK: Place = place(CONTENT, tags::STACK_ID, "Stack ID");

/// Where the attributes of one frame are looked up: its own functional groups, those of all frames, the file.
struct Groups<'a> {
    object: &'a InMemDicomObject,
    shared: Option<&'a InMemDicomObject>,
    own: Option<&'a InMemDicomObject>,
}

impl Groups<'_> {
    /// The data sets that may hold an attribute, the most specific first.
    fn holders(&self, place: &Place) -> impl Iterator<Item = &InMemDicomObject> {
        let groups = [self.own, self.shared].into_iter().flatten();
        let inner = groups.flat_map(move |object| {
            let group: &'static [Tag] = place.group;
            group.iter().filter_map(move |tag| items(object, *tag).first())
        });
        inner.chain(std::iter::once(self.object))
    }

    fn has(&self, place: &Place) -> bool {
        self.holders(place).any(|object| text(object, place.tag).is_some())
    }

    fn text(&self, place: &Place) -> Option<String> {
        self.holders(place).find_map(|object| text(object, place.tag))
    }

    fn numbers<const N: usize>(&self, place: &Place) -> Result<Option<[f64; N]>, String> {
        let holder = self.holders(place).find(|object| text(object, place.tag).is_some());
        let Some(holder) = holder else { return Ok(None) };
        numbers(holder, place.tag).map_err(|found| {
            let numbers = if N == 1 { "a number".to_owned() } else { format!("{N} numbers") };
            format!("its {} must be {numbers}, found `{found}`", place.name)
        })
    }

    fn needed<const N: usize>(&self, place: &Place) -> Result<[f64; N], String> {
        self.numbers(place)?.ok_or_else(|| format!("it has no {}", place.name))
    }

    fn frame(&self, number: u32) -> Result<Frame, String> {
        let spacing = match self.numbers::<2>(&SPACING)? {
            Some(spacing) if spacing.iter().all(|spacing| *spacing > 0.0) => spacing,
            Some([j, i]) => return Err(format!("its Pixel Spacing must be above 0, found {j} and {i} mm")),
            None if text(self.object, tags::IMAGER_PIXEL_SPACING).is_some() => {
                return Err(
                    "it has no Pixel Spacing; Imager Pixel Spacing is that of the detector, not of the patient"
                        .to_owned(),
                );
            }
            None => return Err("it has no Pixel Spacing".to_owned()),
        };
        let [slope, intercept] = [&SLOPE, &INTERCEPT].map(|place| self.numbers::<1>(place));
        let (slope, intercept) = (slope?.map(|[slope]| slope), intercept?.map(|[intercept]| intercept));
        if slope == Some(0.0) {
            return Err("its Rescale Slope is 0".to_owned());
        }
        let own_type =
            self.holders(&FRAME_TYPE).map(|object| texts(object, FRAME_TYPE.tag)).find(|types| !types.is_empty());
        let mut image_type = own_type.unwrap_or_else(|| texts(self.object, tags::IMAGE_TYPE)).join("\\");
        image_type.make_ascii_uppercase();
        let marks = [&ACQUISITION, &FRAME_ACQUISITION, &TEMPORAL, &TEMPORAL_INDEX, &STACK];
        let marks = marks.into_iter().filter_map(|place| Some((place.name, self.text(place)?))).collect();
        let thickness = self.numbers::<1>(&THICKNESS).ok().flatten().map(|[thickness]| thickness);
        Ok(Frame {
            number,
            position: self.needed(&POSITION)?,
            orientation: self.needed(&ORIENTATION)?,
            spacing,
            thickness: thickness.filter(|thickness| *thickness > 0.0),
            slope: slope.unwrap_or(1.0),
            intercept: intercept.unwrap_or(0.0),
            has_rescale: slope.is_some() && intercept.is_some(),
            rescale_type: self.text(&RESCALE_TYPE),
            image_type,
            marks,
        })
    }
}

impl Frame {
    /// Whether it is an overview picture, which is never part of a scan.
    pub(crate) fn is_localizer(&self) -> bool {
        self.image_type.split('\\').any(|value| value.trim() == "LOCALIZER")
    }
}

/// The first 12 digits of the SHA-256 of Patient ID, a zero byte, and Patient's Name.
fn patient(object: &InMemDicomObject) -> Option<String> {
    let [id, name] = [tags::PATIENT_ID, tags::PATIENT_NAME].map(|tag| text(object, tag));
    if id.is_none() && name.is_none() {
        return None;
    }
    let hash = Sha256::digest(format!("{}\0{}", id.unwrap_or_default(), name.unwrap_or_default()));
    Some(hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn pixel_format(object: &InMemDicomObject) -> Result<PixelFormat, String> {
    let needed = |tag, name: &str| count(object, tag).ok_or_else(|| format!("it has no {name}, or not a whole number"));
    let (rows, columns) = (needed(tags::ROWS, "Rows")?, needed(tags::COLUMNS, "Columns")?);
    if rows == 0 || columns == 0 || rows > 0xffff || columns > 0xffff {
        return Err(format!("its Rows and Columns must be 1 to 65535, found {rows} and {columns}"));
    }
    let allocated = needed(tags::BITS_ALLOCATED, "Bits Allocated")?;
    let stored = count(object, tags::BITS_STORED).unwrap_or(allocated);
    let high = count(object, tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
    let bits = |bits: u32| u16::try_from(bits).unwrap_or(u16::MAX);
    let format = PixelFormat {
        rows: rows as usize,
        columns: columns as usize,
        bits_allocated: bits(allocated),
        bits_stored: bits(stored),
        high_bit: bits(high),
        signed: count(object, tags::PIXEL_REPRESENTATION) == Some(1),
    };
    format.check().map_err(|error| error.to_string())?;
    Ok(format)
}

/// The padding as stored values: it may be written unsigned although pixels are signed, and the other way round.
fn padding(object: &InMemDicomObject, format: PixelFormat) -> Option<[i64; 2]> {
    let all = 1_i64 << format.bits_allocated;
    let stored = |tag| {
        let value = number(object, tag).ok()?? as i64;
        Some(match format.signed {
            true if value >= all / 2 => value - all,
            false if value < 0 => value + all,
            _ => value,
        })
    };
    let value = stored(tags::PIXEL_PADDING_VALUE)?;
    let limit = stored(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
    Some([value.min(limit), value.max(limit)])
}
