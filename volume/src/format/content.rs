//! Recognises what a file is from its first bytes.

use std::borrow::Cow;
use std::fmt;

/// What a file is for, as far as a program that reads scans and models must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// NIfTI, compressed or not.
    Nifti,
    /// DICOM, or a folder of it.
    Dicom,
    /// A zip archive of files, perhaps of a DICOM series.
    Zip,
    /// NRRD, with its voxels or without.
    Nrrd,
    /// MetaImage, with its voxels or without.
    MetaImage,
    /// A checkpoint or a graph: weights of a model.
    Checkpoint,
    /// A folder with a manifest, as a bundle is.
    Bundle,
    /// Empty, or zeros where a header should be.
    Damaged,
    /// Anything else.
    Other,
}

/// What a file or folder is, and what to do with it where a scan is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recognised {
    /// What it is for.
    pub kind: Kind,
    /// The format, with an article: `a DICOM file`.
    pub what: Cow<'static, str>,
    /// The next step, as an imperative: `unpack it first`. Empty if there is none.
    pub next: Cow<'static, str>,
}

impl Recognised {
    /// Something that is neither a scan nor a model.
    pub(super) const fn new(what: &'static str, next: &'static str) -> Self {
        Self::of(Kind::Other, what, next)
    }

    pub(super) const fn of(kind: Kind, what: &'static str, next: &'static str) -> Self {
        Self { kind, what: Cow::Borrowed(what), next: Cow::Borrowed(next) }
    }
}

/// `a zip archive; unpack it first`
impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.next.is_empty() { Ok(()) } else { write!(f, "; {}", self.next) }
    }
}

/// The number of bytes that [`recognise`] looks at: enough for every format that it knows.
pub const RECOGNISED_BYTES: usize = 512;

/// The next step for DICOM, where it is not read.
#[cfg(feature = "dicom")]
pub(super) const CONVERT_DICOM: &str =
    "DICOM is read by the path of a folder, a zip archive or a file; here, give NIfTI, for example from dcm2niix";
/// The next step for DICOM.
#[cfg(not(feature = "dicom"))]
pub(super) const CONVERT_DICOM: &str = "this build does not read DICOM: convert the series to NIfTI first, for example with \
    dcm2niix, and give the .nii.gz that it writes";
/// The next step for formats of images that other programs read.
const CONVERT: &str = "convert it to NIfTI first, for example with 3D Slicer or SimpleITK";
const PICTURE: &str =
    "a picture has no Hounsfield units and no position in the patient: use the CT that it was made from";
const ARCHIVE: &str = "unpack it first, and give the NIfTI file inside";
const WEIGHTS: &str = "give a scan here";
const GET_AGAIN: &str = "the copy or the download did not finish: get the file again";
const DOWNLOAD: &str =
    "the download was probably answered with this page, for example to log in: download the file again";
const NOT_IMAGE: &str = "check the path";

/// Formats that begin with fixed bytes, in the order in which they are tried.
const MAGICS: &[(&[u8], Recognised)] = &[
    (b"\x89PNG", Recognised::new("a PNG picture", PICTURE)),
    (b"\xff\xd8\xff", Recognised::new("a JPEG picture", PICTURE)),
    (b"\0\0\0\x0cjP  ", Recognised::new("a JPEG 2000 picture", PICTURE)),
    (b"GIF8", Recognised::new("a GIF picture", PICTURE)),
    (b"II*\0", Recognised::new("a TIFF picture", PICTURE)),
    (b"MM\0*", Recognised::new("a TIFF picture", PICTURE)),
    (b"II+\0", Recognised::new("a TIFF picture", PICTURE)),
    (b"MM\0+", Recognised::new("a TIFF picture", PICTURE)),
    (b"%PDF", Recognised::new("a PDF document", NOT_IMAGE)),
    (
        b"\x93NUMPY",
        Recognised::new(
            "a NumPy array",
            "an array has no position in the patient: save it as NIfTI with its affine, for example with nibabel",
        ),
    ),
    (b"\x89HDF\r\n\x1a\n", Recognised::new("an HDF5 file (MINC 2, MATLAB 7.3, Keras)", CONVERT)),
    (b"CDF\x01", Recognised::new("a netCDF file (MINC 1)", CONVERT)),
    (b"CDF\x02", Recognised::new("a netCDF file (MINC 1)", CONVERT)),
    (
        b"MATLAB 5.0",
        Recognised::new("a MATLAB file", "save the volume as NIfTI with its affine, for example with niftiwrite"),
    ),
    (
        b"MATLAB 7.3",
        Recognised::new("a MATLAB file", "save the volume as NIfTI with its affine, for example with niftiwrite"),
    ),
    (b"BZh", Recognised::new("a bzip2 archive", ARCHIVE)),
    (b"\xfd7zXZ\0", Recognised::new("an xz archive", ARCHIVE)),
    (b"\x28\xb5\x2f\xfd", Recognised::new("a Zstandard archive", ARCHIVE)),
    (b"7z\xbc\xaf\x27\x1c", Recognised::new("a 7z archive", ARCHIVE)),
    (b"Rar!\x1a\x07", Recognised::new("a RAR archive", ARCHIVE)),
    (b"PK\x05\x06", Recognised::new("an empty zip archive", NOT_IMAGE)),
    (
        b"version https://git-lfs",
        Recognised::new(
            "a Git LFS pointer, not the file itself",
            "run `git lfs pull` in the repository to download it",
        ),
    ),
    (
        b"/annex/objects/",
        Recognised::new(
            "a git-annex pointer, not the file itself",
            "run `git annex get` (or `datalad get`) on it to download it",
        ),
    ),
    (b"outs:\n- md5:", Recognised::new("a DVC pointer, not the file itself", "run `dvc pull` to download it")),
    (
        b"\0\x05\x16\x07",
        Recognised::new(
            "an AppleDouble file, which macOS stores beside a file",
            "give the file without `._` before its name",
        ),
    ),
    (b"L\0\0\0\x01\x14\x02\0", Recognised::new("a Windows shortcut", "give the file that it points to")),
    (b"# vtk DataFile", Recognised::new("a VTK file", CONVERT)),
    (b"!INTERFILE", Recognised::new("an Interfile header", CONVERT)),
    (b"\x7fELF", Recognised::new("a program or library", NOT_IMAGE)),
];

/// What a file that begins with `bytes` is; `None` if that cannot be told. A compressed NIfTI file is
/// recognised as gzip: unpack the first bytes and ask again.
///
/// `bytes` are the first [`RECOGNISED_BYTES`] bytes, or all of a shorter file. Fewer bytes recognise fewer formats.
#[must_use]
pub fn recognise(bytes: &[u8]) -> Option<Recognised> {
    let found = |what, next| Some(Recognised::new(what, next));
    if bytes.is_empty() {
        return Some(Recognised::of(Kind::Damaged, "an empty file", GET_AGAIN));
    }
    // DICOM files may begin with the bytes of another format, because the first 128 bytes are free.
    if bytes.get(128..132) == Some(b"DICM") || is_dicom_without_preamble(bytes) {
        return Some(Recognised::of(Kind::Dicom, "a DICOM file", CONVERT_DICOM));
    }
    let sizes = bytes.first_chunk::<4>().map(|bytes| [i32::from_le_bytes(*bytes), i32::from_be_bytes(*bytes)]);
    if let Some(size) = sizes.into_iter().flatten().find(|size| matches!(size, 348 | 540)) {
        return recognise_nifti(bytes, size);
    }
    if let Some((_, recognised)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return Some(recognised.clone());
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(recognise_zip(bytes));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return found("a WebP picture", PICTURE);
    }
    if bytes.starts_with(b"BM")
        && bytes.get(14..18).is_some_and(|size| matches!(size, [12 | 40 | 52 | 56 | 108 | 124, 0, 0, 0]))
    {
        return found("a BMP picture", PICTURE);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return found("a tar archive", ARCHIVE);
    }
    if is_mgh(bytes) {
        return found("a FreeSurfer volume (.mgh, .mgz)", "convert it to NIfTI first, for example with mri_convert");
    }
    let weights = |what| Some(Recognised::of(Kind::Checkpoint, what, WEIGHTS));
    if let [0x80, 2..=5, ..] = bytes {
        return weights("a Python pickle, such as an older PyTorch checkpoint");
    }
    if is_onnx(bytes) {
        return weights("an ONNX graph");
    }
    // The length of the JSON text that follows.
    if let Some((length, text)) = bytes.split_first_chunk::<8>()
        && u64::from_le_bytes(*length) <= 100 << 20
        && text.starts_with(b"{\"")
    {
        return weights("a safetensors file");
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return Some(Recognised::of(Kind::Damaged, "a file of zeros", GET_AGAIN));
    }
    recognise_text(bytes)
}

/// A file whose first four bytes are the size of a NIfTI header.
fn recognise_nifti(bytes: &[u8], size: i32) -> Option<Recognised> {
    let magic = if size == 348 { bytes.get(344..348)? } else { bytes.get(4..8)? };
    if magic.starts_with(b"n+") || magic.starts_with(b"ni") {
        return Some(Recognised::of(Kind::Nifti, "a NIfTI file", ""));
    }
    let analyze = size == 348 && magic.iter().all(|&byte| byte == 0);
    analyze.then_some(Recognised::new(
        "an Analyze 7.5 header, whose voxels are in an .img file",
        "Analyze does not say where left and right are: convert the original DICOM series to NIfTI, or this pair if you \
         know its orientation",
    ))
}

/// A DICOM data set without the 128 bytes and `DICM` before it: two elements in the order of their tags, little-endian,
/// with or without the types of the values.
fn is_dicom_without_preamble(bytes: &[u8]) -> bool {
    let tag = |at: usize| {
        let [a, b, c, d] = *bytes.get(at..)?.first_chunk::<4>()?;
        Some((u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
    };
    let length_after = |at: usize| {
        let [a, b, c, d] = *bytes.get(at + 4..)?.first_chunk::<4>()?;
        Some(match &[a, b] {
            b"OB" | b"OW" | b"UN" | b"SQ" | b"UT" => return None,
            // The type of the value, then 16 bits of length.
            [b'A'..=b'Z', b'A'..=b'Z'] => u32::from(u16::from_le_bytes([c, d])),
            _ => u32::from_le_bytes([a, b, c, d]),
        })
    };
    let Some(first @ (0x0002 | 0x0008, element)) = tag(0) else { return false };
    let Some(length) = length_after(0) else { return false };
    if element > 0x0100 || length > 256 || length % 2 != 0 {
        return false;
    }
    let Some(second) = tag(8 + length as usize) else { return false };
    second > first
        && matches!(second.0, 0x0002 | 0x0008 | 0x0010)
        && length_after(8 + length as usize).is_some_and(|length| length <= 1 << 16)
}

/// FreeSurfer's MGH: version 1, four lengths and a type, big-endian.
fn is_mgh(bytes: &[u8]) -> bool {
    let word = |at: usize| Some(i32::from_be_bytes(*bytes.get(4 * at..)?.first_chunk::<4>()?));
    word(0) == Some(1)
        && (1..=4).all(|at| word(at).is_some_and(|length| (1..=1 << 20).contains(&length)))
        && word(5).is_some_and(|kind| (0..=10).contains(&kind))
}

/// An ONNX model: the version of the format, then mostly the name of the program that wrote it.
fn is_onnx(bytes: &[u8]) -> bool {
    let [8, 1..=30, 0x12, length, ref name @ ..] = *bytes else { return false };
    let Some(name) = name.get(..usize::from(length)) else { return false };
    length > 0 && name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// A zip archive, by the name of its first file.
fn recognise_zip(bytes: &[u8]) -> Recognised {
    let name = || {
        let [low, high] = *bytes.get(26..)?.first_chunk::<2>()?;
        bytes.get(30..30 + usize::from(u16::from_le_bytes([low, high])))
    };
    let name = String::from_utf8_lossy(name().unwrap_or_default()).to_lowercase();
    if name.ends_with(".npy") {
        return Recognised::new(
            "a NumPy archive (.npz)",
            "an array has no position in the patient: save it as NIfTI with its affine, for example with nibabel",
        );
    }
    if ["/data.pkl", "/byteorder", "/version", "/.format_version"].iter().any(|end| name.ends_with(end)) {
        return Recognised::of(Kind::Checkpoint, "a PyTorch checkpoint", WEIGHTS);
    }
    if name == "[content_types].xml" {
        return Recognised::new("a document of an office program", NOT_IMAGE);
    }
    Recognised::of(Kind::Zip, "a zip archive", ARCHIVE)
}

/// Formats that are text, by their first words.
fn recognise_text(bytes: &[u8]) -> Option<Recognised> {
    let found = |what, next| Some(Recognised::new(what, next));
    let of = |kind, what| Some(Recognised::of(kind, what, ""));
    let head = &bytes[..bytes.len().min(RECOGNISED_BYTES)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    let starts = |begin: &str| lower.starts_with(begin);
    let line_starts = |begin: &str| lower.lines().any(|line| line.trim_start().starts_with(begin));
    if starts("nrrd000") {
        // The voxels may follow the text, so only what is before them is text.
        return if line_starts("data file:") || line_starts("datafile:") {
            of(Kind::Nrrd, "an NRRD header (.nhdr), whose voxels are in another file")
        } else {
            of(Kind::Nrrd, "an NRRD file")
        };
    }
    if line_starts("objecttype") && lower.contains("ndims") || starts("ndims") || starts("objecttype") {
        return if lower.lines().any(|line| line.starts_with("elementdatafile") && !line.contains("local")) {
            of(Kind::MetaImage, "a MetaImage header (.mhd), whose voxels are in another file")
        } else {
            of(Kind::MetaImage, "a MetaImage file (.mha, .mhd)")
        };
    }
    // A UTF-8 character may be cut off at the end.
    let plain = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let printable = |c: char| !c.is_control() || c.is_ascii_whitespace();
    if !plain || text.is_empty() || !text.chars().all(printable) {
        return None;
    }
    if starts("<!doctype html") || starts("<html") || starts("<head") || starts("<body") || lower.contains("<html") {
        return found("an HTML page", DOWNLOAD);
    }
    if starts("<?xml") || starts("<!--") || starts("<gifti") || starts("<vtkfile") || starts("<error") {
        return found("an XML file", DOWNLOAD);
    }
    if starts("{") || starts("[{") || starts("[") {
        return found("a JSON file", NOT_IMAGE);
    }
    found("a text file", NOT_IMAGE)
}
