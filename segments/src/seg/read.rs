//! Reads DICOM SEG, also of other programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{DefaultDicomObject, InMemDicomObject};
use segvol_base::memory::check_available;
use segvol_base::{Warning, WarningCode, printable};
use segvol_dicom::pixels::{Frames, PixelData, PixelFormat, TransferSyntax};
use segvol_volume::{Grid, Mask};

use super::place::{FramePlane, place};
use crate::dicom::open;
use crate::error::SegmentsError;

/// The objects of a DICOM SEG on the grid of a scan.
#[derive(Debug, Clone, PartialEq)]
pub struct SegMasks {
    /// The segments in the order of the file. The background of a label map is left out.
    pub masks: Vec<SegMask>,
    /// What is unusual.
    pub warnings: Vec<Warning>,
}

/// A segment.
#[derive(Debug, Clone, PartialEq)]
pub struct SegMask {
    /// Its number in the file.
    pub number: u16,
    /// Its label.
    pub name: String,
    /// 1 inside.
    pub mask: Mask,
}

/// Whether objects of this SOP class are read: Segmentation and Label Map Segmentation.
#[must_use]
pub fn is_seg(sop_class_uid: &str) -> bool {
    [uids::SEGMENTATION_STORAGE, uids::LABEL_MAP_SEGMENTATION_STORAGE]
        .contains(&sop_class_uid.trim_end_matches(['\0', ' ']))
}

/// Reads the segments of a DICOM SEG: BINARY, LABELMAP, or FRACTIONAL, of which voxels above half of the highest value are inside.
///
/// Each frame must lie on voxels of `grid`. Its rows and columns may run in other directions than the scan's, and it may cover a part of
/// the scan. Slices without a frame are empty.
///
/// # Errors
///
/// [`SegmentsError::Unreadable`] if the file is no DICOM SEG, is damaged, or a frame is not on the grid; [`SegmentsError::Io`];
/// [`SegmentsError::Memory`].
pub fn read(path: &Path, grid: &Arc<Grid>) -> Result<SegMasks, SegmentsError> {
    let file = open(path)?;
    let unreadable = |reason: String| SegmentsError::Unreadable { path: path.to_path_buf(), reason };
    let seg = Seg::of(&file).map_err(unreadable)?;
    let numbers = seg.segments.clone();
    let needed = grid.voxels().saturating_mul(numbers.len());
    check_available::<u8>("the masks of a DICOM SEG", needed)?;
    let mut voxels: BTreeMap<u16, Vec<u8>> =
        numbers.iter().map(|(number, _)| (*number, vec![0; grid.voxels()])).collect();
    seg.fill(grid, &mut voxels).map_err(unreadable)?;
    let mut masks = Vec::with_capacity(numbers.len());
    for (number, name) in numbers {
        let voxels = voxels.remove(&number).ok_or_else(|| unreadable(format!("two segments have number {number}")))?;
        masks.push(SegMask { number, name, mask: Mask::from_labels(voxels, Arc::clone(grid))? });
    }
    let warnings = match seg.kind {
        Kind::Fractional { most } => {
            let message = format!(
                "`{}` is fractional: voxels with more than half of the highest value ({most}) are taken as inside",
                segvol_base::printable_path(path)
            );
            vec![Warning::new(WarningCode::TruthFractional, message)]
        }
        Kind::Binary | Kind::Labelmap => Vec::new(),
    };
    Ok(SegMasks { masks, warnings })
}

/// The labels of the segments, as [`read`] names them.
pub(crate) fn names(path: &Path, object: &InMemDicomObject) -> Result<Vec<String>, SegmentsError> {
    let unreadable = |reason: String| SegmentsError::Unreadable { path: path.to_path_buf(), reason };
    Ok(segments(object).map_err(unreadable)?.into_iter().map(|(_, name)| name).collect())
}

/// The numbers and labels of the segments, without the background of a label map.
fn segments(object: &InMemDicomObject) -> Result<Vec<(u16, String)>, String> {
    let segments = items(object.get(tags::SEGMENT_SEQUENCE)).iter().map(|item| {
        let number = whole16(item, tags::SEGMENT_NUMBER, "Segment Number")?;
        let label = text_of(item, tags::SEGMENT_LABEL).filter(|label| !label.is_empty());
        Ok((number, label.unwrap_or_else(|| format!("segment {number}"))))
    });
    let mut segments: Vec<(u16, String)> = segments.collect::<Result<_, String>>()?;
    if segments.is_empty() {
        return Err("Segment Sequence: expected at least one segment, found none".to_owned());
    }
    if text_of(object, tags::SEGMENTATION_TYPE).as_deref() == Some("LABELMAP") {
        segments.retain(|(number, _)| *number != 0);
    }
    Ok(segments)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Binary,
    Labelmap,
    Fractional { most: u32 },
}

/// A file, as far as it is looked at before its pixels.
struct Seg<'a> {
    file: &'a DefaultDicomObject,
    kind: Kind,
    rows: usize,
    columns: usize,
    bits: u16,
    /// Number and label, in the order of the file.
    segments: Vec<(u16, String)>,
    frames: &'a [InMemDicomObject],
}

impl<'a> Seg<'a> {
    fn of(file: &'a DefaultDicomObject) -> Result<Self, String> {
        let class = text_of(file, tags::SOP_CLASS_UID).unwrap_or_default();
        if !is_seg(&class) {
            let modality = text_of(file, tags::MODALITY).unwrap_or_default();
            return Err(format!(
                "expected a DICOM SEG, found modality {:?}, SOP class {class:?}",
                printable(&modality)
            ));
        }
        let kind = match text_of(file, tags::SEGMENTATION_TYPE).as_deref() {
            Some("BINARY") => Kind::Binary,
            Some("LABELMAP") => Kind::Labelmap,
            Some("FRACTIONAL") => {
                Kind::Fractional { most: whole(file, tags::MAXIMUM_FRACTIONAL_VALUE, "Maximum Fractional Value")? }
            }
            other => {
                let found = printable(other.unwrap_or("none")).into_owned();
                return Err(format!("Segmentation Type: expected BINARY, LABELMAP or FRACTIONAL, found {found}"));
            }
        };
        let rows = usize::from(whole16(file, tags::ROWS, "Rows")?);
        let columns = usize::from(whole16(file, tags::COLUMNS, "Columns")?);
        let bits = whole16(file, tags::BITS_ALLOCATED, "Bits Allocated")?;
        let expected: &[u16] = if kind == Kind::Binary { &[1] } else { &[8, 16] };
        if rows == 0 || columns == 0 || !expected.contains(&bits) {
            return Err(format!(
                "expected frames with {expected:?} bits a voxel, found {rows} × {columns} voxels of {bits} bits"
            ));
        }
        let count = whole(file, tags::NUMBER_OF_FRAMES, "Number of Frames")? as usize;
        let frames = items(file.get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE));
        if count == 0 || frames.len() != count {
            let what = "Per-frame Functional Groups Sequence";
            return Err(format!("{what}: expected an item for each of {count} frames, found {}", frames.len()));
        }
        let segments = segments(file)?;
        Ok(Self { file, kind, rows, columns, bits, segments, frames })
    }

    /// Sets the voxels of each segment.
    fn fill(&self, grid: &Grid, voxels: &mut BTreeMap<u16, Vec<u8>>) -> Result<(), String> {
        let shared = items(self.file.get(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)).first();
        let pixels = Pixels::of(self)?;
        // The pixels are there, so a small file asks for no large frame unless it is compressed.
        check_available::<u32>("a frame of a DICOM SEG", self.rows * self.columns)
            .map_err(|error| error.to_string())?;
        let mut values = vec![0_u32; self.rows * self.columns];
        for (n, item) in self.frames.iter().enumerate() {
            let in_frame = |reason: String| format!("frame {}: {reason}", n + 1);
            pixels.frame(n, &mut values).map_err(in_frame)?;
            let segment = match self.kind {
                Kind::Labelmap => None,
                Kind::Binary | Kind::Fractional { .. } => {
                    let group = group(item, shared, tags::SEGMENT_IDENTIFICATION_SEQUENCE)
                        .ok_or_else(|| in_frame("expected a Segment Identification Sequence, found none".to_owned()))?;
                    Some(
                        whole16(group, tags::REFERENCED_SEGMENT_NUMBER, "Referenced Segment Number")
                            .map_err(in_frame)?,
                    )
                }
            };
            let placed = place(&self.plane(item, shared).map_err(in_frame)?, grid).map_err(in_frame)?;
            for (at, &value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
                let number = match (segment, self.kind) {
                    (None, _) => value as u16,
                    (Some(_), Kind::Fractional { most }) if 2 * u64::from(value) <= u64::from(most) => continue,
                    (Some(number), _) => number,
                };
                if number == 0 && self.kind == Kind::Labelmap {
                    continue;
                }
                let mask = voxels.get_mut(&number).ok_or_else(|| in_frame(format!("there is no segment {number}")))?;
                let (column, row) = (at % self.columns, at / self.columns);
                let voxel = placed.voxel(column, row, grid.shape_xyz()).ok_or_else(|| {
                    in_frame(format!(
                        "the voxel in column {column}, row {row} is in a segment, but outside of the scan"
                    ))
                })?;
                mask[voxel] = 1;
            }
        }
        Ok(())
    }

    fn plane(&self, item: &InMemDicomObject, shared: Option<&InMemDicomObject>) -> Result<FramePlane, String> {
        let of = |sequence: Tag, tag: Tag, name: &str| {
            let element = group(item, shared, sequence).and_then(|group| group.get(tag));
            element
                .and_then(|element| element.to_multi_float64().ok())
                .ok_or_else(|| format!("expected {name}, found none"))
        };
        let wrong = |name: &str, count: usize| format!("{name}: expected {count} numbers");
        let position = of(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT, "Image Position (Patient)")?;
        let orientation =
            of(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT, "Image Orientation (Patient)")?;
        let spacing = of(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING, "Pixel Spacing")?;
        Ok(FramePlane {
            position_mm: position.try_into().map_err(|_| wrong("Image Position (Patient)", 3))?,
            orientation: orientation.try_into().map_err(|_| wrong("Image Orientation (Patient)", 6))?,
            pixel_spacing_mm: spacing.try_into().map_err(|_| wrong("Pixel Spacing", 2))?,
            rows: self.rows,
            columns: self.columns,
        })
    }
}

/// The pixels of all frames.
enum Pixels<'a> {
    Bits(std::borrow::Cow<'a, [u8]>),
    Values(Box<Frames<'a>>),
}

impl<'a> Pixels<'a> {
    fn of(seg: &Seg<'a>) -> Result<Self, String> {
        let count = seg.frames.len();
        if seg.bits == 1 {
            let element = seg.file.get(tags::PIXEL_DATA).ok_or("expected Pixel Data, found none")?;
            let bytes =
                element.value().primitive().ok_or("expected frames of single bits without compression")?.to_bytes();
            let expected = (seg.rows * seg.columns).checked_mul(count).map(|bits| bits.div_ceil(8));
            return match expected.filter(|&expected| bytes.len() >= expected) {
                Some(_) => Ok(Self::Bits(bytes)),
                None => Err(format!("the pixels are cut off: {} bytes for {count} frames", bytes.len())),
            };
        }
        // Colours of a palette are for display; the values are the segments all the same.
        let format = PixelFormat {
            rows: seg.rows,
            columns: seg.columns,
            bits_allocated: seg.bits,
            bits_stored: seg.bits,
            high_bit: seg.bits - 1,
            signed: false,
        };
        let syntax = TransferSyntax::of(seg.file.meta().transfer_syntax());
        let data = PixelData::of(seg.file).map_err(|error| error.to_string())?;
        let frames = Frames::new(format, &syntax, data, count).map_err(|error| error.to_string())?;
        Ok(Self::Values(Box::new(frames)))
    }

    /// The values of a frame, the columns of a row side by side.
    fn frame(&self, n: usize, values: &mut [u32]) -> Result<(), String> {
        match self {
            Self::Bits(bytes) => {
                let first = n * values.len();
                for (at, value) in values.iter_mut().enumerate() {
                    let bit = first + at;
                    *value = u32::from(bytes[bit / 8] >> (bit % 8) & 1);
                }
                Ok(())
            }
            Self::Values(frames) => frames.decode(n, values, |value| value as u32).map_err(|error| error.to_string()),
        }
    }
}

/// The first item of a functional group of a frame, or of all frames.
fn group<'a>(
    frame: &'a InMemDicomObject,
    shared: Option<&'a InMemDicomObject>,
    sequence: Tag,
) -> Option<&'a InMemDicomObject> {
    let first = |object: &'a InMemDicomObject| items(object.get(sequence)).first();
    first(frame).or_else(|| shared.and_then(first))
}

fn items(element: Option<&InMemElement>) -> &[InMemDicomObject] {
    element.and_then(|element| element.items()).unwrap_or_default()
}

fn text_of(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    Some(text.trim_end_matches(['\0', ' ']).trim_start().to_owned())
}

/// A whole number of 16 bits.
fn whole16(object: &InMemDicomObject, tag: Tag, name: &str) -> Result<u16, String> {
    let found = whole(object, tag, name)?;
    u16::try_from(found).map_err(|_| format!("{name}: expected a whole number up to 65535, found {found}"))
}

/// A whole number of 32 bits.
fn whole(object: &InMemDicomObject, tag: Tag, name: &str) -> Result<u32, String> {
    let element = object.get(tag).ok_or_else(|| format!("expected {name}, found none"))?;
    element.to_int().map_err(|_| format!("{name}: expected a whole number"))
}
