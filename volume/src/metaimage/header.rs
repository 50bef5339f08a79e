//! MetaImage headers.

use std::collections::BTreeMap;
use std::io::BufRead;

use segvol_base::{Warning, WarningCode};

use crate::affine::Affine;
use crate::nifti::{ByteOrder, Datatype};
use crate::raster::{self, Encoding, Lines, Place, RasterError, check_skip, checked, numbers, pattern, shown};

/// The field that names files.
pub(super) const DATA_FILE: &str = "ElementDataFile";

/// A header, as far as it is used.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) shape_xyz: [usize; 3],
    pub(super) datatype: Datatype,
    pub(super) order: ByteOrder,
    pub(super) encoding: Encoding,
    pub(super) place: Place,
    /// The bytes before the voxels; `None` if the voxels end with the file.
    pub(super) header_size: Option<u64>,
    /// The number of axes.
    axes: usize,
    /// All fields, by their names.
    fields: BTreeMap<String, String>,
    /// The size of the header in bytes.
    pub(super) bytes: u64,
}

impl Header {
    /// Reads a header, and leaves `reader` at the first byte after it.
    pub(super) fn read<R: BufRead>(reader: R) -> Result<(Self, R), RasterError> {
        let mut lines = Lines::new(reader, "`ElementDataFile`, which is the last field");
        let mut fields = BTreeMap::new();
        let mut list = Vec::new();
        loop {
            let line = lines.required()?;
            if line.trim().is_empty() {
                continue;
            }
            let Some((name, value)) = line.split_once('=').or_else(|| line.split_once(':')) else {
                let expected = "`Field = value`";
                return Err(RasterError::Line { line: lines.number(), expected, found: shown(&line) });
            };
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            let is_last = name == DATA_FILE;
            if is_last && value.split_whitespace().next() == Some("LIST") {
                while let Some(line) = lines.next()? {
                    if !line.trim().is_empty() {
                        list.push(line.trim().to_owned());
                    }
                }
            }
            if name != "Comment" && fields.insert(name, value).is_some() {
                let found = format!("a second {}", shown(&line));
                return Err(RasterError::Line { line: lines.number(), expected: "every field once", found });
            }
            if is_last {
                break;
            }
        }
        let bytes = lines.bytes();
        Ok((Self::of(fields, list, bytes)?, lines.into_reader()))
    }

    fn of(fields: BTreeMap<String, String>, list: Vec<String>, bytes: u64) -> Result<Self, RasterError> {
        let get = |name: &str| fields.get(name).map(String::as_str);
        let needed = |name: &'static str, expected: &str| get(name).ok_or_else(|| RasterError::absent(name, expected));
        if let Some(kind) = get("ObjectType").filter(|kind| *kind != "Image") {
            return Err(RasterError::field("ObjectType", "Image", kind));
        }
        let text = needed("NDims", "the number of axes")?;
        let axes: usize = text
            .parse()
            .ok()
            .filter(|axes| (3..=10).contains(axes))
            .ok_or_else(|| RasterError::field("NDims", "3 axes (up to 10 if the others have length 1)", text))?;
        let sizes: Vec<u64> = numbers("DimSize", needed("DimSize", "the length of each axis")?, axes, "whole numbers")?;
        if sizes[3..].iter().any(|&size| size != 1) {
            let found = format!("{sizes:?}");
            return Err(RasterError::Field {
                field: "DimSize",
                expected: "1 for each axis after the third".to_owned(),
                found,
            });
        }
        let shape_xyz = raster::shape("DimSize", [sizes[0], sizes[1], sizes[2]])?;
        if let Some(channels) = get("ElementNumberOfChannels").filter(|channels| *channels != "1") {
            return Err(RasterError::field("ElementNumberOfChannels", "1 value for each voxel", channels));
        }
        let datatype = datatype(needed("ElementType", "the type of the voxels")?)?;
        let is_true = |name: &'static str, otherwise: bool| -> Result<bool, RasterError> {
            match get(name).map(|text| text.as_bytes().first().copied()) {
                None => Ok(otherwise),
                Some(Some(b'T' | b't' | b'1')) => Ok(true),
                Some(Some(b'F' | b'f' | b'0')) => Ok(false),
                Some(_) => Err(RasterError::field(name, "True or False", get(name).unwrap_or_default())),
            }
        };
        let msb = is_true("ElementByteOrderMSB", is_true("BinaryDataByteOrderMSB", false)?)?;
        let encoding = match (is_true("BinaryData", true)?, is_true("CompressedData", false)?) {
            (true, false) => Encoding::Raw,
            (true, true) => {
                let size: Option<u64> = match get("CompressedDataSize") {
                    None => None,
                    Some(text) => Some(numbers("CompressedDataSize", text, 1, "whole number")?[0]),
                };
                Encoding::Zlib(size.filter(|&size| size > 0))
            }
            (false, false) => Encoding::Text,
            (false, true) => {
                return Err(RasterError::field("CompressedData", "False, because BinaryData is False", "True"));
            }
        };
        for (name, neutral) in [("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)] {
            if let Some(text) = get(name).filter(|text| text.parse() != Ok(neutral)) {
                // ITK does not apply them, so a reader cannot know what the writer meant.
                let expected =
                    format!("{neutral}, because programs disagree on whether it is applied; store Hounsfield units");
                return Err(RasterError::field(name, expected, text));
            }
        }
        let header_size = match get("HeaderSize") {
            None => Some(0),
            Some("-1") if encoding == Encoding::Raw => None,
            Some(text) => {
                let size: u64 =
                    numbers("HeaderSize", text, 1, "whole number, or -1 of voxels that are not compressed,")?[0];
                Some(size)
            }
        };
        if let Some(size) = header_size {
            check_skip("HeaderSize", encoding, size)?;
        }
        let place = place(needed(DATA_FILE, "LOCAL, or the name of a file")?, list, &sizes)?;
        let order = if msb { ByteOrder::Big } else { ByteOrder::Little };
        Ok(Self { shape_xyz, datatype, order, encoding, place, header_size, axes, fields, bytes })
    }

    /// The numbers of the first of these fields that is there.
    fn numbers(&self, names: &[&'static str], count: usize) -> Result<Option<(&'static str, Vec<f64>)>, RasterError> {
        let Some((name, text)) = names.iter().find_map(|&name| Some((name, self.fields.get(name)?))) else {
            return Ok(None);
        };
        Ok(Some((name, numbers(name, text, count, "numbers")?)))
    }

    /// From voxel indices to RAS+ millimetres.
    pub(super) fn affine(&self, warnings: &mut Vec<Warning>) -> Result<Affine, RasterError> {
        let axes = self.axes;
        let first = |values: Vec<f64>| [values[0], values[1], values[2]];
        let spacing = match self.numbers(&["ElementSpacing", "ElementSize"], axes)? {
            Some((field, values)) => {
                let spacing = first(values);
                if !spacing.iter().all(|&value| value > 0.0 && value.is_finite()) {
                    return Err(RasterError::field(field, "spacings above 0", format!("{spacing:?}")));
                }
                spacing
            }
            None => {
                let message = "the file gives no spacing (`ElementSpacing`): 1 mm is assumed";
                warnings.push(Warning::new(WarningCode::SpacingRepaired, message));
                [1.0; 3]
            }
        };
        let origin =
            self.numbers(&["Offset", "Position", "Origin"], axes)?.map_or([0.0; 3], |(_, values)| first(values));
        let matrix = self.numbers(&["TransformMatrix", "Rotation", "Orientation"], axes * axes)?;
        let field = matrix.as_ref().map_or("ElementSpacing", |(field, _)| field);
        let direction = match matrix {
            Some((_, rows)) => [0, 1, 2].map(|row| [0, 1, 2].map(|axis| rows[axis * axes + row])),
            None => {
                let message = "there is no `TransformMatrix`: the file does not give the patient's orientation; the axes are \
                               assumed to point to the patient's left, back and head, as ITK does, so check left and right";
                warnings.push(Warning::new(WarningCode::AffineMissing, message));
                [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
            }
        };
        let affine = Affine::from_lps(Affine::from_parts(spacing, direction, origin));
        // Without a negative zero.
        let affine = checked(field, Affine::new(affine.rows().map(|row| row.map(|value| value + 0.0))), warnings)?;
        self.compare_with_anatomy(&affine, warnings);
        Ok(affine)
    }

    /// Warns if `AnatomicalOrientation` says something else than the directions.
    fn compare_with_anatomy(&self, affine: &Affine, warnings: &mut Vec<Warning>) {
        // Each letter says where its axis comes from: RAI are axes to the left, the back and the head.
        let Some(stated) = self.fields.get("AnatomicalOrientation").filter(|text| text.len() == 3) else { return };
        let (rows, spacing) = (affine.rows(), affine.spacing_mm());
        let contradicts = |(axis, letter): (usize, char)| {
            let (row, sign) = match letter.to_ascii_uppercase() {
                'L' => (0, 1.0),
                'R' => (0, -1.0),
                'P' => (1, 1.0),
                'A' => (1, -1.0),
                'I' => (2, 1.0),
                'S' => (2, -1.0),
                _ => return false,
            };
            sign * rows[row][axis] / spacing[axis] < 0.5 // 60 degrees
        };
        if stated.chars().enumerate().any(contradicts) {
            let message = format!(
                "`AnatomicalOrientation` is {}, but the directions say something else: they are used, as ITK does, so check \
                 left and right",
                shown(stated)
            );
            warnings.push(Warning::new(WarningCode::HeaderRepaired, message));
        }
    }
}

/// Where the voxels are.
fn place(text: &str, list: Vec<String>, sizes: &[u64]) -> Result<Place, RasterError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (names, axes) = match words[..] {
        [] => return Err(RasterError::field(DATA_FILE, "LOCAL, or the name of a file", text)),
        [word] if word.eq_ignore_ascii_case("local") => return Ok(Place::Here),
        ["LIST"] => (list, None),
        ["LIST", axes] => (list, Some(axes.trim_end_matches(['D', 'd']))),
        [name, first, last, ref rest @ ..] if name.contains('%') && rest.len() <= 1 => {
            let range = [first, last, rest.first().copied().unwrap_or("1")].join(" ");
            let range = numbers(DATA_FILE, &range, 3, "whole numbers after the name")?;
            (pattern(DATA_FILE, name, [range[0], range[1], range[2]])?, None)
        }
        _ => return Ok(Place::Files(vec![text.to_owned()])),
    };
    let axes = axes.map_or(Some(2), |axes| axes.parse().ok()).filter(|axes| (1..=sizes.len()).contains(axes));
    let axes = axes.ok_or_else(|| RasterError::field(DATA_FILE, "LIST, and the number of axes in each file", text))?;
    let expected = sizes[axes.min(sizes.len())..].iter().product::<u64>();
    if names.len() as u64 != expected {
        let found = format!("{} files", names.len());
        return Err(RasterError::Field { field: DATA_FILE, expected: format!("{expected} files"), found });
    }
    Ok(Place::Files(names))
}

fn datatype(text: &str) -> Result<Datatype, RasterError> {
    Ok(match text {
        "MET_CHAR" => Datatype::I8,
        "MET_UCHAR" => Datatype::U8,
        "MET_SHORT" => Datatype::I16,
        "MET_USHORT" => Datatype::U16,
        // Four bytes, whatever a C compiler makes of it.
        "MET_INT" | "MET_LONG" => Datatype::I32,
        "MET_UINT" | "MET_ULONG" => Datatype::U32,
        "MET_LONG_LONG" => Datatype::I64,
        "MET_ULONG_LONG" => Datatype::U64,
        "MET_FLOAT" => Datatype::F32,
        "MET_DOUBLE" => Datatype::F64,
        _ => {
            let expected = "an integer or float type, such as MET_SHORT or MET_FLOAT";
            return Err(RasterError::field("ElementType", expected, text));
        }
    })
}
