//! A NIfTI file's voxels as float32.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use segvol_base::memory;

use super::gzip::{MAGIC, Members};
use super::{ByteOrder, Datatype, Header, NiftiError};

/// Bytes that are read and converted at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes behind the voxels that are looked at, to check the compressed stream's end.
const MAX_TRAILING: u64 = 1 << 26;

/// A file's header and voxels.
#[derive(Clone, Debug)]
pub struct NiftiVolume {
    /// What the header says.
    pub header: Header,
    /// Scaled by `scl_slope` and `scl_inter`; i fastest, then j, k.
    pub voxels: Vec<f32>,
    /// What is unusual about the file.
    pub warnings: Vec<String>,
}

/// Reads the NIfTI file at `path`, compressed or not.
///
/// # Errors
/// [`NiftiError`], which names the field or the bytes that are wrong.
pub fn read(path: &Path) -> Result<NiftiVolume, NiftiError> {
    let (file, bytes) = open(path)?;
    read_from(file, bytes).map_err(|error| not_voxels_alone(path, error))
}

/// Reads the header alone of the NIfTI file at `path`, compressed or not: what is said there of the voxels is not
/// compared with them.
///
/// # Errors
/// [`NiftiError`], which names the field or the bytes that are wrong.
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

/// The file, and how long it is where that can be known.
fn open(path: &Path) -> Result<(BufReader<File>, Option<u64>), NiftiError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "expected a file, found a folder").into());
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((BufReader::with_capacity(1 << 18, file), bytes))
}

/// Says what an `.img` is, which has no header.
fn not_voxels_alone(path: &Path, error: NiftiError) -> NiftiError {
    match error {
        NiftiError::Field { field: "sizeof_hdr", .. } if has_extension(path, "img") => {
            NiftiError::Detached { found: "the voxels (.img)" }
        }
        other => other,
    }
}

/// Whether the name ends in this extension, perhaps compressed.
fn has_extension(path: &Path, extension: &str) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(_, found)| found == extension)
}

/// Reads a NIfTI file from `reader`. `file_bytes` is how long the file is, where that is known.
///
/// # Errors
/// [`NiftiError`], which names the field or the bytes that are wrong.
pub fn read_from(mut reader: impl BufRead, file_bytes: Option<u64>) -> Result<NiftiVolume, NiftiError> {
    // One byte is enough: no NIfTI header begins with it.
    if reader.fill_buf()?.first() == Some(&MAGIC[0]) {
        let mut members = Members::new(reader);
        let mut volume = read_contents(&mut Counted { reader: &mut members, position: 0, gzip: true }, None)?;
        if members.has_trailing_bytes() {
            volume.warnings.push("bytes after the gzip stream that are no gzip stream: ignored".into());
        }
        Ok(volume)
    } else {
        read_contents(&mut Counted { reader, position: 0, gzip: false }, file_bytes)
    }
}

/// A reader that knows how far it is, and says which errors are the compressed stream's.
struct Counted<R> {
    reader: R,
    position: u64,
    gzip: bool,
}

impl<R: Read> Counted<R> {
    /// Fills as much of `buffer` as there is.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, NiftiError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A compressed stream that is cut off: the caller says what is missing.
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

/// `bytes`: how much there is to read, where that is known; of a compressed file it is found by reading.
fn read_contents<R: Read>(reader: &mut Counted<R>, bytes: Option<u64>) -> Result<NiftiVolume, NiftiError> {
    let header = read_header_from(reader)?;
    let mut warnings = Vec::new();
    let datatype = header.datatype;
    if usize::try_from(header.bitpix) != Ok(8 * datatype.bytes()) {
        warnings.push(format!(
            "`bitpix`: expected {} for `datatype` {}, found {}; the datatype is believed",
            8 * datatype.bytes(),
            datatype.code(),
            header.bitpix
        ));
    }
    let scaling = scaling(&header, &mut warnings)?;

    let voxels = header.voxels();
    let expected = voxels as u64 * datatype.bytes() as u64; // at most 2^31 * 8
    let short = |found: u64| NiftiError::ShortData { expected, found, vox_offset: header.vox_offset };
    if let Some(bytes) = bytes.filter(|&bytes| bytes < header.vox_offset + expected) {
        return Err(short(bytes.saturating_sub(header.vox_offset)));
    }
    // A length that is known has just proved the claim.
    let values = reserved(Vec::new(), if bytes.is_some() { voxels } else { 0 })?;
    skip(reader, header.vox_offset, &short)?;

    let values = read_voxels(reader, &header, scaling, values, &short)?;
    let trailing = trailing_bytes(reader)?;
    if trailing > 0 {
        let more = if trailing >= MAX_TRAILING { "at least " } else { "" };
        warnings.push(format!("{more}{trailing} bytes after the last voxel: ignored"));
    }
    Ok(NiftiVolume { header, voxels: values, warnings })
}

fn read_header_from<R: Read>(reader: &mut Counted<R>) -> Result<Header, NiftiError> {
    let mut bytes = [0; 540];
    let found = reader.fill(&mut bytes[..348])?;
    let Some(sizeof_hdr) = bytes[..found].first_chunk::<4>() else {
        return Err(NiftiError::ShortHeader { expected: 348, found: found as u64 });
    };
    let (version, _) = Header::recognise(*sizeof_hdr)?;
    let size = version.header_bytes();
    let found = if found == 348 && size > 348 { 348 + reader.fill(&mut bytes[348..size])? } else { found };
    Header::parse(&bytes[..found])
}

/// `scl_slope` and `scl_inter`; `None` where voxels are taken as they are.
fn scaling(header: &Header, warnings: &mut Vec<String>) -> Result<Option<(f64, f64)>, NiftiError> {
    let (slope, intercept) = (header.scl_slope, header.scl_inter);
    if slope == 0.0 {
        return Ok(None);
    }
    if !slope.is_finite() {
        warnings.push(format!("`scl_slope` is {slope}: voxels are not scaled"));
        return Ok(None);
    }
    if !intercept.is_finite() {
        return Err(NiftiError::field("scl_inter", format!("a finite number beside `scl_slope` {slope}"), intercept));
    }
    Ok((slope != 1.0 || intercept != 0.0).then_some((slope, intercept)))
}

/// Reads up to the first voxel: extensions, which are not looked at.
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

/// Room for `more` voxels behind those that are there.
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
            // Twice what has arrived, and never more than there is to come.
            let more = (wanted / size).max(values.len()).min(voxels - values.len());
            values = reserved(values, more)?;
        }
        convert(&buffer[..wanted], datatype, header.byte_order, scaling, &mut values);
    }
    Ok(values)
}

/// Appends the voxels of `bytes` to `values`.
fn convert(bytes: &[u8], datatype: Datatype, order: ByteOrder, scaling: Option<(f64, f64)>, values: &mut Vec<f32>) {
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

/// How many bytes follow, up to [`MAX_TRAILING`]. Reading to the end is what checks a compressed stream's sum.
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
