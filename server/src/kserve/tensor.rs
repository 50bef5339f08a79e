//! The input tensors: their types, shapes and elements, from lists in JSON or from bytes behind it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use segvol::volume::Affine;
use segvol_base::OutOfMemory;

use super::numbers::{self, Fp32, Int16};
use super::request::{Few, Input, Source, bad};
use crate::error::ApiError;

/// The most bytes of a document with prompts.
const MAX_PROMPTS_BYTES: usize = 4 << 20;

/// Bytes that are read at once; a whole number of elements of every type.
const BLOCK_BYTES: usize = 64 << 10;

/// A type of the image's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ImageType {
    Fp32,
    Int16,
}

/// The image of a request, before its voxels are read.
pub(super) struct Image<'a> {
    datatype: ImageType,
    /// `[K, J, I]`.
    shape: [usize; 3],
    voxels: usize,
    source: Source<'a>,
}

impl<'a> Image<'a> {
    /// Checks type, shape and size.
    pub(super) fn new((input, source): (Input<'a>, Source<'a>)) -> Result<Self, ApiError> {
        let (datatype, width) = match input.datatype.as_str() {
            "FP32" => (ImageType::Fp32, size_of::<f32>()),
            "INT16" => (ImageType::Int16, size_of::<i16>()),
            other => return Err(bad(format!("image: expected the datatype FP32 or INT16, found `{other}`"))),
        };
        let lengths = shape("image", &input.shape)?;
        let shape: [usize; 3] = lengths
            .as_slice()
            .try_into()
            .map_err(|_| bad(format!("image: expected a shape [K, J, I] of three lengths, found {lengths:?}")))?;
        let voxels = elements("image", &shape, width, source)?;
        Ok(Self { datatype, shape, voxels, source })
    }

    /// Voxels along i, j, k.
    pub(super) fn shape_xyz(&self) -> [usize; 3] {
        let [k, j, i] = self.shape;
        [i, j, k]
    }

    /// The number of voxels.
    pub(super) fn voxels(&self) -> usize {
        self.voxels
    }

    /// Reads the voxels: Hounsfield units, i fastest, then j, k.
    pub(super) fn read(&self, bytes: &mut Bytes<'_>) -> Result<Vec<f32>, ApiError> {
        let mut voxels = Vec::new();
        let needed = self.voxels.saturating_mul(size_of::<f32>());
        voxels.try_reserve_exact(self.voxels).map_err(|_| {
            segvol::Error::from(OutOfMemory { what: "the scan".into(), bytes: needed, reserve_bytes: 0 })
        })?;
        let failed = |reason| bad(format!("image: {reason}"));
        match (self.source, self.datatype) {
            (Source::Json(text), ImageType::Fp32) => {
                numbers::read(text, &self.shape, &mut |Fp32(voxel)| voxels.push(voxel)).map_err(failed)?;
            }
            (Source::Json(text), ImageType::Int16) => {
                numbers::read(text, &self.shape, &mut |Int16(voxel)| voxels.push(voxel)).map_err(failed)?;
            }
            (Source::Binary { start, bytes: count }, ImageType::Fp32) => bytes.each(start, count, |block| {
                voxels.extend(block.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)));
            })?,
            (Source::Binary { start, bytes: count }, ImageType::Int16) => bytes.each(start, count, |block| {
                voxels.extend(block.as_chunks().0.iter().map(|&two| f32::from(i16::from_le_bytes(two))));
            })?,
        }
        Ok(voxels)
    }
}

/// Reads the affine, `[3, 4]` or `[4, 4]`: from voxels (i, j, k, 1) to RAS+ millimetres.
pub(super) fn affine((input, source): (Input<'_>, Source<'_>), bytes: &mut Bytes<'_>) -> Result<Affine, ApiError> {
    if input.datatype != "FP64" {
        return Err(bad(format!("affine: expected the datatype FP64, found `{}`", input.datatype)));
    }
    let shape = shape("affine", &input.shape)?;
    if !matches!(shape[..], [3 | 4, 4]) {
        return Err(bad(format!("affine: expected the shape [3, 4] or [4, 4], found {shape:?}")));
    }
    let _ = elements("affine", &shape, size_of::<f64>(), source)?;
    let mut numbers = Vec::new();
    match source {
        Source::Json(text) => {
            let read = numbers::read(text, &shape, &mut |number: f64| numbers.push(number));
            read.map_err(|reason| bad(format!("affine: {reason}")))?;
        }
        Source::Binary { start, bytes: count } => bytes.each(start, count, |block| {
            numbers.extend(block.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight)));
        })?,
    }
    let (rows, more) = numbers.as_chunks::<4>();
    match (rows, more) {
        ([x, y, z], []) | ([x, y, z, [0.0, 0.0, 0.0, 1.0]], []) => Ok(Affine::new([*x, *y, *z])),
        _ => Err(bad("affine: expected 0, 0, 0, 1 as the fourth row".to_owned())),
    }
}

/// Reads the document with the prompts.
pub(super) fn prompts((input, source): (Input<'_>, Source<'_>), bytes: &mut Bytes<'_>) -> Result<String, ApiError> {
    const PREFIX_BYTES: usize = size_of::<u32>();
    if input.datatype != "BYTES" {
        return Err(bad(format!("prompts: expected the datatype BYTES, found `{}`", input.datatype)));
    }
    if input.shape.0 != [1] {
        return Err(bad(format!("prompts: expected the shape [1], found {:?}", input.shape.0)));
    }
    let too_long = || bad(format!("prompts: expected at most {MAX_PROMPTS_BYTES} bytes, found more"));
    match source {
        Source::Json(text) => {
            let list =
                serde_json::from_str::<Few<String, 1>>(text).map_err(|error| bad(format!("prompts: {error}")))?;
            let document = list.0.into_iter().next();
            let document =
                document.ok_or_else(|| bad("prompts: expected a list of one text, found none".to_owned()))?;
            if document.len() > MAX_PROMPTS_BYTES { Err(too_long()) } else { Ok(document) }
        }
        Source::Binary { start, bytes: count } => {
            if count > (MAX_PROMPTS_BYTES + PREFIX_BYTES) as u64 {
                return Err(too_long());
            }
            let mut found = Vec::new();
            bytes.each(start, count, |block| found.extend_from_slice(block))?;
            let Some((&prefix, text)) = found.split_first_chunk::<PREFIX_BYTES>() else {
                return Err(bad(format!(
                    "prompts: expected a length of {PREFIX_BYTES} bytes first, found {count} bytes"
                )));
            };
            let stated = u32::from_le_bytes(prefix);
            if stated as usize != text.len() {
                let message = format!("the text states a length of {stated} bytes, and has {}", text.len());
                return Err(bad(format!("prompts: {message}")));
            }
            String::from_utf8(text.to_vec()).map_err(|_| bad("prompts: expected a text in UTF-8".to_owned()))
        }
    }
}

fn shape<const MOST: usize>(name: &str, lengths: &Few<u64, MOST>) -> Result<Vec<usize>, ApiError> {
    let length = |&length: &u64| usize::try_from(length).map_err(|_| overflow(name));
    lengths.0.iter().map(length).collect()
}

fn overflow(name: &str) -> ApiError {
    bad(format!("{name}: the shape has more elements than can be addressed"))
}

/// The number of elements, for which there are as many bytes as they need.
fn elements(name: &str, shape: &[usize], width: usize, source: Source<'_>) -> Result<usize, ApiError> {
    let elements = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
    let elements = elements.ok_or_else(|| overflow(name))?;
    let bytes = elements.checked_mul(width).ok_or_else(|| overflow(name))?;
    match source {
        Source::Binary { bytes: stated, .. } if stated != bytes as u64 => {
            let message = format!("the shape {shape:?} needs {bytes} bytes, and `binary_data_size` is {stated}");
            Err(bad(format!("{name}: {message}")))
        }
        // Each number takes a digit and a comma or bracket, so a shape that lies takes no memory.
        Source::Json(text) if text.len() / 2 < elements => {
            Err(bad(format!("{name}: the shape {shape:?} has more elements than `data`")))
        }
        _ => Ok(elements),
    }
}

/// The bytes behind the JSON of a request.
pub(super) struct Bytes<'a> {
    upload: &'a mut File,
    /// Where in the upload they begin.
    start: u64,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(upload: &'a mut File, start: u64) -> Self {
        Self { upload, start }
    }

    /// Takes a part of them, block by block.
    fn each(&mut self, start: u64, count: u64, mut take: impl FnMut(&[u8])) -> Result<(), ApiError> {
        let mut read = || {
            self.upload.seek(SeekFrom::Start(self.start + start))?;
            let mut block = vec![0; BLOCK_BYTES];
            let mut left = count;
            while left > 0 {
                let block = &mut block[..BLOCK_BYTES.min(usize::try_from(left).unwrap_or(BLOCK_BYTES))];
                self.upload.read_exact(block)?;
                take(block);
                left -= block.len() as u64;
            }
            Ok(())
        };
        read().map_err(|error: io::Error| ApiError::internal(format!("the upload cannot be read: {error}")))
    }
}
