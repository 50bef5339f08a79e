//! NRRD headers: the fields that say where the voxels are, what they are, and where they lie in the patient.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::nifti::{ByteOrder, Datatype};
use crate::raster::{Encoding, Lines, Place, RasterError, Start, check_skip, numbers, pattern, shown};

/// The most axes of a file. NRRD's own limit is 16.
const MAX_AXES: usize = 16;

/// A header, as far as it is used.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Values along each axis, the fastest first.
    pub(crate) sizes: Vec<u64>,
    pub(crate) datatype: Datatype,
    pub(crate) order: ByteOrder,
    pub(crate) encoding: Encoding,
    pub(crate) place: Place,
    pub(crate) start: Start,
    /// The other fields by their names, in lower case and without spaces.
    pub(crate) fields: BTreeMap<String, String>,
    /// Key and value pairs, `key:=value`.
    pub(crate) text: BTreeMap<String, String>,
    /// The size of the header in bytes.
    pub(crate) bytes: u64,
}

impl Header {
    /// Reads a header, and leaves `reader` at the first byte after it.
    pub(crate) fn read<R: BufRead>(reader: R) -> Result<(Self, R), RasterError> {
        let mut lines = Lines::new(reader, "an empty line, or `data file`");
        let magic = lines.required()?;
        if !matches!(magic.as_bytes(), [b'N', b'R', b'R', b'D', b'0', b'0', b'0', b'1'..=b'5']) {
            return Err(RasterError::Line { line: 1, expected: "NRRD0001 to NRRD0005", found: shown(&magic) });
        }
        let mut found = Found { fields: BTreeMap::new(), text: BTreeMap::new(), list: None };
        // Without a data file, the header ends with an empty line. With one, it may also end with the file.
        loop {
            let line = match lines.next()? {
                Some(line) if line.is_empty() => break,
                Some(line) => line,
                None if found.fields.contains_key("datafile") => break,
                None => lines.required()?,
            };
            found.take(&line, lines.number())?;
            if found.list.is_some() {
                break; // The names follow.
            }
        }
        if let Some(names) = &mut found.list {
            while let Some(line) = lines.next()? {
                if !line.trim().is_empty() {
                    names.push(line);
                }
            }
        }
        let bytes = lines.bytes();
        Ok((found.header(bytes)?, lines.into_reader()))
    }

    /// The value of a field, if it is there.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

/// What is found while the lines are read.
struct Found {
    fields: BTreeMap<String, String>,
    text: BTreeMap<String, String>,
    /// The names after `data file: LIST`.
    list: Option<Vec<String>>,
}

impl Found {
    fn take(&mut self, line: &str, number: usize) -> Result<(), RasterError> {
        if line.starts_with('#') {
            return Ok(());
        }
        let separator = line.find(": ").into_iter().chain(line.find(":=")).chain(line.find(":\t")).min();
        // A field without a value may lack the space.
        let separator = separator.or_else(|| line.ends_with(':').then(|| line.len() - 1));
        let Some(at) = separator else {
            let expected = "`field: value`, `key:=value`, or a comment that begins with #";
            return Err(RasterError::Line { line: number, expected, found: shown(line) });
        };
        let (name, rest) = line.split_at(at);
        if let Some(value) = rest.strip_prefix(":=") {
            self.text.insert(unescaped(name), unescaped(value));
            return Ok(());
        }
        let name: String = name.to_ascii_lowercase().chars().filter(|c| *c != ' ').collect();
        let name = match name.as_str() {
            "centerings" => "centers".to_owned(),
            _ => name,
        };
        let value = rest[1..].trim().to_owned();
        if name == "datafile" && value.split_whitespace().next() == Some("LIST") {
            self.list = Some(Vec::new());
        }
        if self.fields.insert(name, value).is_some() {
            let expected = "every field once";
            return Err(RasterError::Line { line: number, expected, found: format!("a second {}", shown(line)) });
        }
        Ok(())
    }

    fn header(mut self, bytes: u64) -> Result<Header, RasterError> {
        let needed = |name: &'static str, expected: &str| {
            let field = self.fields.get(&name.replace(' ', ""));
            field.map(String::as_str).ok_or_else(|| RasterError::absent(name, expected))
        };
        let axes = needed("dimension", "the number of axes")?;
        let dimension = axes.parse().ok().filter(|axes| (1..=MAX_AXES).contains(axes));
        let dimension = dimension
            .ok_or_else(|| RasterError::field("dimension", format!("a number of axes from 1 to {MAX_AXES}"), axes))?;
        let sizes: Vec<u64> =
            numbers("sizes", needed("sizes", "the length of each axis")?, dimension, "whole numbers")?;
        let datatype = datatype(needed("type", "the type of the voxels")?)?;
        let encoding = encoding(needed("encoding", "how the voxels are stored")?)?;
        let order = match (self.fields.get("endian").map(|text| text.to_ascii_lowercase()).as_deref(), encoding) {
            (Some("little"), _) => ByteOrder::Little,
            (Some("big"), _) => ByteOrder::Big,
            (None, Encoding::Text) => ByteOrder::Little,
            (None, _) if datatype.bytes() == 1 => ByteOrder::Little,
            (None, _) => return Err(RasterError::absent("endian", "little or big")),
            (Some(other), _) => return Err(RasterError::field("endian", "little or big", other)),
        };
        let number = |name: &'static str| -> Result<i64, RasterError> {
            let Some(text) = self.fields.get(&name.replace(' ', "")) else { return Ok(0) };
            text.parse().map_err(|_| RasterError::field(name, "a whole number", text))
        };
        let lines = number("line skip")?;
        let lines =
            u64::try_from(lines).map_err(|_| RasterError::field("line skip", "0 or more", lines.to_string()))?;
        let start = match number("byte skip")? {
            skip @ 0.. => Start::After { lines, bytes: check_skip("byte skip", encoding, skip.cast_unsigned())? },
            // -1: the voxels end with the file; -1 - n: n bytes before that.
            skip if encoding == Encoding::Raw => Start::FromEnd { trailing: skip.unsigned_abs() - 1 },
            skip => {
                return Err(RasterError::field("byte skip", "0 or more, unless the encoding is raw", skip.to_string()));
            }
        };
        let place = self.place(&sizes)?;
        for name in ["dimension", "sizes", "type", "encoding", "endian", "lineskip", "byteskip", "datafile"] {
            self.fields.remove(name);
        }
        Ok(Header { sizes, datatype, order, encoding, place, start, fields: self.fields, text: self.text, bytes })
    }

    /// Where the voxels are.
    fn place(&mut self, sizes: &[u64]) -> Result<Place, RasterError> {
        const FIELD: &str = "data file";
        let Some(text) = self.fields.get("datafile") else { return Ok(Place::Here) };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (names, axes) = match (self.list.take(), &words[..]) {
            (Some(names), ["LIST"]) => (names, None),
            (Some(names), ["LIST", axes]) => (names, Some(*axes)),
            (None, [name, first, last, step, rest @ ..]) if name.contains('%') && rest.len() <= 1 => {
                let range = numbers(FIELD, &[*first, *last, *step].join(" "), 3, "whole numbers after the name")?;
                let names = pattern(FIELD, name, [range[0], range[1], range[2]])?;
                (names, rest.first().copied())
            }
            _ if text.is_empty() => return Err(RasterError::field(FIELD, "the name of a file", text)),
            _ => return Ok(Place::Files(vec![text.clone()])),
        };
        // Each file has the values of the first `axes` axes.
        let axes = match axes {
            None => sizes.len() - 1,
            Some(axes) => axes.parse().ok().filter(|axes| (1..=sizes.len()).contains(axes)).ok_or_else(|| {
                RasterError::field(FIELD, format!("a number of axes in each file from 1 to {}", sizes.len()), text)
            })?,
        };
        let files = names.len() as u64;
        let last = sizes[sizes.len() - 1];
        let expected = sizes[axes..].iter().try_fold(1_u64, |all, &size| all.checked_mul(size)).unwrap_or(u64::MAX);
        // Files with all axes are slabs along the last one.
        let fits = if axes == sizes.len() { files > 0 && last.is_multiple_of(files) } else { files == expected };
        if !fits {
            let expected =
                if axes == sizes.len() { format!("a part of {last} files") } else { format!("{expected} files") };
            return Err(RasterError::Field { field: FIELD, expected, found: format!("{files} files") });
        }
        Ok(Place::Files(names))
    }
}

/// A key or a value without its escapes: `\n` for a line end, `\\` for a backslash.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('n') => out.push('\n'),
                Some('\\') | None => out.push('\\'),
                Some(other) => out.extend(['\\', other]),
            },
            c => out.push(c),
        }
    }
    out
}

fn datatype(text: &str) -> Result<Datatype, RasterError> {
    let name = text.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(match name.as_str() {
        "signed char" | "int8" | "int8_t" => Datatype::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Datatype::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Datatype::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Datatype::U16,
        "int" | "signed int" | "int32" | "int32_t" => Datatype::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Datatype::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Datatype::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Datatype::U64,
        "float" => Datatype::F32,
        "double" => Datatype::F64,
        _ => {
            let expected = "an integer type of 8 to 64 bits, float or double";
            return Err(RasterError::field("type", expected, text));
        }
    })
}

fn encoding(text: &str) -> Result<Encoding, RasterError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "raw" => Encoding::Raw,
        "gzip" | "gz" => Encoding::Gzip,
        "ascii" | "text" | "txt" => Encoding::Text,
        _ => {
            let expected = "raw, gzip or ascii (3D Slicer and SimpleITK write gzip)";
            return Err(RasterError::field("encoding", expected, text));
        }
    })
}
