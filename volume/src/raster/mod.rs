//! What NRRD and MetaImage have in common: a header of text, and voxels after it or in other files.
//!
//! # Limits
//! - A header has at most [`MAX_HEADER`] bytes.
//! - A size in a header allocates no memory by itself. If the length of the file is known and the voxels are not compressed,
//!   the claim is checked against it first. Otherwise the memory grows as voxels arrive, up to twice the size of those that
//!   have arrived.
//! - A header names other files only in its own folder or in folders inside it: it comes from somewhere else, perhaps, and must
//!   not make a program read any file of this machine. Bytes from a reader have no folder, so they name no file.

mod data;
mod files;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory, Warning, WarningCode, printable};

use crate::affine::Affine;
use crate::format::Recognised;
use crate::grid::check_shape;
use crate::nifti::MAX_VOXELS;

pub(crate) use data::{Encoding, Layout, Start, check_skip, read};
pub(crate) use files::{Place, Places, pattern};

/// The maximum size of a header in bytes: 4 MiB, room for thousands of named segments or slices.
pub const MAX_HEADER: usize = 4 << 20;

/// Why a file cannot be read as NRRD or MetaImage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RasterError {
    /// The operating system cannot open or read the file.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// It is a file of another format.
    #[error("expected {expected}, found {found}")]
    OtherFormat {
        /// The format that was expected, with an article.
        expected: &'static str,
        /// What it is, and what to do with it.
        found: Recognised,
    },
    /// The value of a header field is not valid, or the field is absent.
    #[error("`{field}`: expected {expected}, found {found}")]
    Field {
        /// The field's name in the format's specification.
        field: &'static str,
        /// The values that are valid.
        expected: String,
        /// The field's value.
        found: String,
    },
    /// A line of the header is neither a field nor a comment.
    #[error("line {line} of the header: expected {expected}, found {found}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What a line may be.
        expected: &'static str,
        /// The line.
        found: String,
    },
    /// The header has no end.
    #[error("the file ends inside its header: expected {expected}, found the end of the file")]
    ShortHeader {
        /// What ends a header.
        expected: &'static str,
    },
    /// The header is larger than [`MAX_HEADER`].
    #[error("header: expected at most {MAX_HEADER} bytes, found more; is the file damaged?")]
    LargeHeader,
    /// There are more voxels than [`MAX_VOXELS`], or an axis has none.
    #[error("`{field}`: expected 1 to {MAX_VOXELS} voxels, found {shape:?}")]
    Shape {
        /// The field's name.
        field: &'static str,
        /// Voxels along i, j, k.
        shape: Vec<u64>,
    },
    /// A file with voxels must not be read, or cannot be.
    #[error("`{field}`: the voxels are in `{name}`: {reason}")]
    DataFile {
        /// The field that names the file.
        field: &'static str,
        /// The file, as the header names it.
        name: String,
        /// Why.
        reason: String,
    },
    /// The compressed stream is damaged.
    #[error("the {encoding} stream is damaged after {position} unpacked bytes ({reason}); get a new copy of the file")]
    Stream {
        /// The compression.
        encoding: &'static str,
        /// The number of bytes that could be unpacked.
        position: u64,
        /// The decoder's message.
        reason: String,
    },
    /// The file ends before its last voxel.
    #[error("{}the file ends before its last voxel: expected {expected} {unit}, found {found}", Prefix(.name))]
    ShortData {
        /// The file with the voxels, if it is not the header's own.
        name: Option<String>,
        /// How many bytes (of numbers as text: how many numbers) the header says.
        expected: u64,
        /// How many are there.
        found: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// A voxel is not a number of the type that the header says, or not a label where labels are expected.
    #[error("voxel number {index} (from 0): expected {expected}, found {found}")]
    Voxel {
        /// The voxel's number in the order of the file.
        index: u64,
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl RasterError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(error) => error.kind(),
            Self::Io(_)
            | Self::OtherFormat { .. }
            | Self::Field { .. }
            | Self::Line { .. }
            | Self::ShortHeader { .. }
            | Self::LargeHeader
            | Self::Shape { .. }
            | Self::DataFile { .. }
            | Self::Stream { .. }
            | Self::ShortData { .. }
            | Self::Voxel { .. } => ErrorKind::Input,
        }
    }

    pub(crate) fn field(field: &'static str, expected: impl Into<String>, found: impl AsRef<str>) -> Self {
        Self::Field { field, expected: expected.into(), found: shown(found.as_ref()) }
    }

    /// A field that must be there and is not.
    pub(crate) fn absent(field: &'static str, expected: impl Into<String>) -> Self {
        Self::Field { field, expected: expected.into(), found: "no such field".to_owned() }
    }
}

/// The name of a file before a message about it.
struct Prefix<'a>(&'a Option<String>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, "`{name}`: "))
    }
}

/// Text of a file in a message: in quotes, without control characters, and not longer than a line.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", printable(&short))
}

/// A scan that was read from NRRD or MetaImage.
#[derive(Clone, Debug)]
pub struct RasterVolume {
    /// Voxels along the file's axes i, j, k.
    pub shape_xyz: [usize; 3],
    /// From voxel indices to RAS+ millimetres. It can be inverted.
    pub affine: Affine,
    /// The voxels, i fastest, then j, k.
    pub voxels: Vec<f32>,
    /// What is unusual about the file, in plain words.
    pub warnings: Vec<Warning>,
    /// The files with the voxels, if these are not in the header's file.
    pub data_files: Vec<PathBuf>,
}

/// The lines of a header, with their numbers.
pub(crate) struct Lines<R> {
    reader: R,
    line: usize,
    bytes: usize,
    /// What the header is missing if the file ends in it.
    end: &'static str,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(reader: R, end: &'static str) -> Self {
        Self { reader, line: 0, bytes: 0, end }
    }

    /// The number of the last line, from 1.
    pub(crate) fn number(&self) -> usize {
        self.line
    }

    /// The number of bytes that were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The next line without its end; `None` at the end of the file. A byte that is not UTF-8 becomes `\u{fffd}`.
    pub(crate) fn next(&mut self) -> Result<Option<String>, RasterError> {
        let mut bytes = Vec::new();
        let most = MAX_HEADER + 1 - self.bytes;
        self.bytes += (&mut self.reader).take(most as u64).read_until(b'\n', &mut bytes)?;
        if self.bytes > MAX_HEADER {
            return Err(RasterError::LargeHeader);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        while let Some(b'\n' | b'\r') = bytes.last() {
            bytes.pop();
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// As [`next`](Self::next), if the file must not end here.
    pub(crate) fn required(&mut self) -> Result<String, RasterError> {
        self.next()?.ok_or(RasterError::ShortHeader { expected: self.end })
    }

    /// The reader, after the lines.
    pub(crate) fn into_reader(self) -> R {
        self.reader
    }
}

/// The numbers of a field, separated by spaces.
pub(crate) fn numbers<T: std::str::FromStr>(
    field: &'static str,
    text: &str,
    count: usize,
    what: &str,
) -> Result<Vec<T>, RasterError> {
    let found: Option<Vec<T>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    found
        .filter(|found| found.len() == count)
        .ok_or_else(|| RasterError::field(field, format!("{count} {what} separated by spaces"), text))
}

/// Checks the lengths of the axes: 1 to [`MAX_VOXELS`] voxels in total.
pub(crate) fn shape(field: &'static str, sizes: [u64; 3]) -> Result<[usize; 3], RasterError> {
    let error = || RasterError::Shape { field, shape: sizes.to_vec() };
    let mut shape = [0; 3];
    for (length, size) in shape.iter_mut().zip(sizes) {
        *length = usize::try_from(size).map_err(|_| error())?;
    }
    check_shape(shape).map_err(|_| error())?;
    Ok(shape)
}

/// The affine, if it can be used, and a warning if its axes are not perpendicular.
pub(crate) fn checked(field: &'static str, affine: Affine, warnings: &mut Vec<Warning>) -> Result<Affine, RasterError> {
    if !affine.is_invertible() {
        let found = format!("{:?}", affine.rows());
        return Err(RasterError::Field {
            field,
            expected: "finite numbers and three independent axes".to_owned(),
            found,
        });
    }
    let shear = affine.shear();
    if shear > 1e-3 {
        let message = format!(
            "the axes are not perpendicular (largest cosine {shear:.4}): volumes in mL are exact, but surface distances are not"
        );
        warnings.push(Warning::new(WarningCode::AxesSheared, message));
    }
    Ok(affine)
}
