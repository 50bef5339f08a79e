//! Reads the voxels of a NIfTI file as float32.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use segvol_base::{Warning, WarningCode, memory};

use super::gzip::{MAGIC, Members};
use super::{ByteOrder, Datatype, Header, NiftiError};
use crate::format::{Kind, recognise, recognise_missing, recognise_path, recognise_unpacked};

/// The number of bytes that are read and converted at once.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// The maximum number of bytes after the voxels that are read, to reach the checksum at the end of a compressed stream.
pub(crate) const MAX_TRAILING: u64 = 1 << 26;

/// A file's header and voxels.
#[derive(Clone, Debug)]
pub struct NiftiVolume {
    /// The file's header.
    pub header: Header,
    /// The voxels after scaling with `scl_slope` and `scl_inter`, i fastest, then j, k.
    pub voxels: Vec<f32>,
    /// What is unusual about the file, in plain words.
    pub warnings: Vec<Warning>,
}

/// Reads the NIfTI file at `path`, compressed or not.
///
/// # Errors
/// - [`NiftiError::Io`] if the file cannot be opened or read, or is a folder.
/// - The errors of [`Header::parse`].
/// - [`NiftiError::Field`] if `scl_inter` is not finite although it is used.
/// - [`NiftiError::ShortData`] if the file ends before its last voxel.
/// - [`NiftiError::Gzip`] if the compressed stream is damaged.
/// - [`NiftiError::Memory`] if there is not enough memory for the voxels.
pub fn read(path: &Path) -> Result<NiftiVolume, NiftiError> {
    let (file, bytes) = open(path)?;
    read_from(file, bytes).map_err(|error| not_voxels_alone(path, error))
}

/// Reads only the header of the NIfTI file at `path`, compressed or not. The header is not compared with the voxels.
///
/// # Errors
/// [`NiftiError::Io`] if the file cannot be opened or read, or is a folder; [`NiftiError::Gzip`] if the compressed
/// stream is damaged; the errors of [`Header::parse`].
pub fn read_header(path: &Path) -> Result<Header, NiftiError> {
    let (mut file, _) = open(path)?;
    let header = if file.fill_buf()?.first() == Some(&MAGIC[0]) {
        read_contents_header(Members::new(file), true)
    } else {
        read_contents_header(file, false)
    };
    header.map_err(|error| not_voxels_alone(path, error))
}

fn read_contents_header(reader: impl Read, gzip: bool) -> Result<Header, NiftiError> {
    read_header_from(&mut Counted { reader, position: 0, gzip })
}

/// Opens a file. Also returns its length in bytes; `None` if it has no length, such as a pipe.
pub(crate) fn open(path: &Path) -> Result<(BufReader<File>, Option<u64>), NiftiError> {
    let other = |found| NiftiError::OtherFormat { found };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(recognise_missing(path).map_or_else(|| error.into(), other));
        }
        // Windows does not open folders.
        Err(error) if !path.is_dir() => return Err(error.into()),
        Err(_) => return Err(folder(path)),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(folder(path));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((BufReader::with_capacity(1 << 18, file), bytes))
}

/// The error for a folder where a file is expected.
fn folder(path: &Path) -> NiftiError {
    match recognise_path(path) {
        Ok(Some(found)) => NiftiError::OtherFormat { found },
        Ok(None) => io::Error::new(io::ErrorKind::IsADirectory, "expected a file, found a folder").into(),
        Err(error) => error.into(),
    }
}

/// Replaces the error for an `.img` file, which has no header, by one that says what the file is.
pub(crate) fn not_voxels_alone(path: &Path, error: NiftiError) -> NiftiError {
    match error {
        NiftiError::Field { field: "sizeof_hdr", .. } if has_extension(path, "img") => {
            NiftiError::Detached { found: "the voxels (.img)" }
        }
        NiftiError::OtherFormat { found } if found.kind == Kind::Damaged && has_extension(path, "img") => {
            NiftiError::Detached { found: "the voxels (.img)" }
        }
        other => other,
    }
}

/// Whether the name ends in this extension, or in this extension and `.gz`.
fn has_extension(path: &Path, extension: &str) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, found)| found == extension)
}

/// Reads a NIfTI file, compressed or not, from `reader`. `file_bytes` is the length of the file; `None` if it is not
/// known.
///
/// # Errors
/// The same as [`read`].
pub fn read_from(mut reader: impl BufRead, file_bytes: Option<u64>) -> Result<NiftiVolume, NiftiError> {
    // The first byte is enough: no NIfTI header starts with it.
    if reader.fill_buf()?.first() == Some(&MAGIC[0]) {
        let mut members = Members::new(reader);
        let mut volume = read_contents(&mut Counted { reader: &mut members, position: 0, gzip: true }, None)?;
        if members.has_trailing_bytes() {
            let message = "the bytes after the gzip stream are not gzip data and were ignored";
            volume.warnings.push(Warning::new(WarningCode::TrailingBytes, message));
        }
        Ok(volume)
    } else {
        read_contents(&mut Counted { reader, position: 0, gzip: false }, file_bytes)
    }
}

/// A reader that counts the bytes read, and turns the decoder's errors into [`NiftiError::Gzip`].
struct Counted<R> {
    reader: R,
    position: u64,
    gzip: bool,
}

impl<R: Read> Counted<R> {
    /// Fills `buffer`, or less if the reader ends. Returns the number of bytes read.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, NiftiError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The compressed stream is cut off. The caller reports what is missing.
                Err(error) if self.gzip && error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) if self.gzip => {
                    let position = self.position + filled as u64;
                    return Err(NiftiError::Gzip { position, reason: error.to_string() });
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }
}

/// Reads a header and its voxels. `bytes` is the length of the unpacked contents; `None` if it is not known, as for a
/// compressed file.
fn read_contents<R: Read>(reader: &mut Counted<R>, bytes: Option<u64>) -> Result<NiftiVolume, NiftiError> {
    let header = read_header_from(reader)?;
    let mut warnings = Vec::new();
    let datatype = header.datatype;
    if usize::try_from(header.bitpix) != Ok(8 * datatype.bytes()) {
        let message = format!(
            "`bitpix`: expected {} for `datatype` {}, found {}; `datatype` is used",
            8 * datatype.bytes(),
            datatype.code(),
            header.bitpix
        );
        warnings.push(Warning::new(WarningCode::HeaderRepaired, message));
    }
    let scaling = scaling(&header, &mut warnings)?;

    let voxels = header.voxels();
    let expected = voxels as u64 * datatype.bytes() as u64; // at most 2^31 * 8: no overflow
    let short = |found: u64| NiftiError::ShortData { expected, found, vox_offset: header.vox_offset };
    if let Some(bytes) = bytes.filter(|&bytes| bytes < header.vox_offset + expected) {
        return Err(short(bytes.saturating_sub(header.vox_offset)));
    }
    // If the length is known, it was just checked. Only then is memory allocated for all voxels at once.
    let values = reserved(Vec::new(), if bytes.is_some() { voxels } else { 0 })?;
    skip(reader, header.vox_offset, &short)?;

    let values = read_voxels(reader, &header, scaling, values, &short)?;
    let trailing = trailing_bytes(reader)?;
    if trailing > 0 {
        let more = if trailing >= MAX_TRAILING { "at least " } else { "" };
        let message = format!("{more}{trailing} bytes after the last voxel were ignored");
        warnings.push(Warning::new(WarningCode::TrailingBytes, message));
    }
    Ok(NiftiVolume { header, voxels: values, warnings })
}

fn read_header_from<R: Read>(reader: &mut Counted<R>) -> Result<Header, NiftiError> {
    let mut bytes = [0; 540];
    let found = reader.fill(&mut bytes[..348])?;
    // What the file is, if it is something other than NIfTI.
    let other = |bytes: &[u8], gzip: bool| {
        let found = if gzip { recognise_unpacked(bytes) } else { recognise(bytes) };
        found.filter(|found| found.kind != Kind::Nifti)
    };
    let is_nifti = |bytes: &[u8]| match bytes.first_chunk::<4>() {
        Some(sizeof_hdr) => Header::recognise(*sizeof_hdr),
        None => Err(NiftiError::ShortHeader { expected: 348, found: bytes.len() as u64 }),
    };
    let (version, _) = is_nifti(&bytes[..found]).map_err(|error| {
        other(&bytes[..found], reader.gzip).map_or(error, |found| NiftiError::OtherFormat { found })
    })?;
    let size = version.header_bytes();
    let found = if found == 348 && size > 348 { 348 + reader.fill(&mut bytes[348..size])? } else { found };
    Header::parse(&bytes[..found]).map_err(|error| match error {
        NiftiError::Field { field: "magic", .. } => {
            other(&bytes[..found], reader.gzip).map_or(error, |found| NiftiError::OtherFormat { found })
        }
        error => error,
    })
}

/// `scl_slope` and `scl_inter`; `None` if the voxels are not scaled.
fn scaling(header: &Header, warnings: &mut Vec<Warning>) -> Result<Option<(f64, f64)>, NiftiError> {
    let (slope, intercept) = (header.scl_slope, header.scl_inter);
    if slope == 0.0 {
        return Ok(None);
    }
    if !slope.is_finite() {
        let message = format!("`scl_slope` is {slope}: voxels are not scaled");
        warnings.push(Warning::new(WarningCode::HeaderRepaired, message));
        return Ok(None);
    }
    if !intercept.is_finite() {
        return Err(NiftiError::field(
            "scl_inter",
            format!("a finite number, because `scl_slope` is {slope}"),
            intercept,
        ));
    }
    Ok((slope != 1.0 || intercept != 0.0).then_some((slope, intercept)))
}

/// Skips the bytes up to the first voxel. They are extensions, which are not used.
fn skip<R: Read>(
    reader: &mut Counted<R>,
    vox_offset: u64,
    short: &impl Fn(u64) -> NiftiError,
) -> Result<(), NiftiError> {
    let mut buffer = [0; 1 << 14];
    while reader.position < vox_offset {
        let wanted = (vox_offset - reader.position).min(buffer.len() as u64) as usize;
        if reader.fill(&mut buffer[..wanted])? < wanted {
            return Err(short(0));
        }
    }
    Ok(())
}

/// Allocates memory for `more` voxels in addition to those in `values`.
fn reserved(mut values: Vec<f32>, more: usize) -> Result<Vec<f32>, NiftiError> {
    memory::reserve("the voxels", &mut values, more)?;
    Ok(values)
}

fn read_voxels<R: Read>(
    reader: &mut Counted<R>,
    header: &Header,
    scaling: Option<(f64, f64)>,
    mut values: Vec<f32>,
    short: &impl Fn(u64) -> NiftiError,
) -> Result<Vec<f32>, NiftiError> {
    let (datatype, voxels) = (header.datatype, header.voxels());
    let size = datatype.bytes();
    let bytes = CHUNK_BYTES.min(voxels.saturating_mul(size));
    let mut buffer = Vec::new();
    memory::reserve("a chunk of the file", &mut buffer, bytes)?;
    buffer.resize(bytes, 0);
    while values.len() < voxels {
        let wanted = (voxels - values.len()).saturating_mul(size).min(buffer.len());
        let found = reader.fill(&mut buffer[..wanted])?;
        if found < wanted {
            return Err(short((values.len() * size + found) as u64));
        }
        if values.capacity() - values.len() < wanted / size {
            // At most twice what has arrived, and never more than the header promises.
            let more = (wanted / size).max(values.len()).min(voxels - values.len());
            values = reserved(values, more)?;
        }
        convert(&buffer[..wanted], datatype, header.byte_order, scaling, &mut values);
    }
    Ok(values)
}

/// Converts the voxels in `bytes` to float32 and appends them to `values`.
pub(crate) fn convert(
    bytes: &[u8],
    datatype: Datatype,
    order: ByteOrder,
    scaling: Option<(f64, f64)>,
    values: &mut Vec<f32>,
) {
    macro_rules! append {
        ($type:ty) => {{
            const SIZE: usize = size_of::<$type>();
            let (chunks, _) = bytes.as_chunks::<SIZE>();
            let decode = match order {
                ByteOrder::Little => <$type>::from_le_bytes,
                ByteOrder::Big => <$type>::from_be_bytes,
            };
            match scaling {
                None => values.extend(chunks.iter().map(|&chunk| decode(chunk) as f32)),
                Some((slope, intercept)) => {
                    values.extend(chunks.iter().map(|&chunk| (decode(chunk) as f64 * slope + intercept) as f32))
                }
            }
        }};
    }
    match datatype {
        Datatype::U8 => append!(u8),
        Datatype::I8 => append!(i8),
        Datatype::U16 => append!(u16),
        Datatype::I16 => append!(i16),
        Datatype::U32 => append!(u32),
        Datatype::I32 => append!(i32),
        Datatype::U64 => append!(u64),
        Datatype::I64 => append!(i64),
        Datatype::F32 => append!(f32),
        Datatype::F64 => append!(f64),
    }
}

/// The number of bytes that follow, up to [`MAX_TRAILING`]. A compressed stream's checksum is verified only when the
/// stream is read to its end.
fn trailing_bytes<R: Read>(reader: &mut Counted<R>) -> Result<u64, NiftiError> {
    let mut buffer = [0; 1 << 14];
    let mut trailing = 0;
    while trailing < MAX_TRAILING {
        match reader.fill(&mut buffer)? {
            0 => break,
            found => trailing += found as u64,
        }
    }
    Ok(trailing)
}
