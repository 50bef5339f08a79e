//! NIfTI files: reading and writing `.nii` and `.nii.gz`, versions 1 and 2, both byte orders.
//!
//! # Layout
//! A file has four parts, in this order:
//!
//! 1. the header: 348 bytes (version 1) or 540 bytes (version 2);
//! 2. four bytes that say whether extensions follow;
//! 3. the extensions, which are skipped;
//! 4. from byte `vox_offset` on, the voxels, `i` fastest, then `j`, `k`.
//!
//! # What the reader accepts
//! - `sizeof_hdr` MUST be 348 or 540 in one of the two byte orders. It decides the version and the byte order of the
//!   whole file.
//! - `magic` MUST say that the header and the voxels are in the same file. A detached pair, `.hdr` and `.img`, is
//!   refused.
//! - `dim` MUST describe one volume: `dim[0]` is 3 to 7, `dim[1..=3]` are at least 1, and all further axes in use are
//!   1. Some writers leave further axes 0, which also means 1.
//! - `datatype` MUST be an integer or a float of 8 to 64 bits. `bitpix` SHOULD agree with it. If it does not,
//!   `datatype` is used and there is a warning.
//! - `vox_offset` MUST be a whole number that is at least the size of the header and the four bytes after it. 0 means
//!   exactly that place.
//! - `scl_slope` MAY be 0 or not finite: the voxels are then not scaled. Otherwise `scl_inter` MUST be finite.
//! - Compression is detected from the contents, not from the name. A gzip stream of several members is read as one.
//! - Bytes after the last voxel are ignored, with a warning.
//!
//! [`Header::affine`] says how the geometry is read.
//!
//! # Limits
//! - [`MAX_VOXELS`] and [`MAX_VOX_OFFSET`] limit what a header can request.
//! - A size in a header allocates no memory by itself, because a header of a few hundred bytes can claim any size. If
//!   the length of the file is known, the claim is checked against it first. Otherwise the memory grows as voxels
//!   arrive, up to twice the size of the voxels that have arrived.
//! - So an uncompressed file of N bytes needs at most 4 N bytes of memory (8-bit voxels become float32). A compressed
//!   file needs at most 8 times its unpacked size, and gzip unpacks N bytes to at most 1032 N bytes. Both need about 1
//!   MiB more for buffers.
//!
//! # Source
//! The NIfTI-1 and NIfTI-2 data formats, `nifti1.h` and `nifti2.h` (nifti.nimh.nih.gov).

mod geometry;
mod gzip;
mod header;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::io;

use segvol_base::{ErrorKind, OutOfMemory};

use crate::format::Recognised;

pub use crate::voxels::Voxels;
pub(crate) use gzip::{MAGIC as GZIP_MAGIC, Members};
pub use header::{ByteOrder, Datatype, Header, Version};
pub(crate) use read::{CHUNK_BYTES, MAX_TRAILING, convert, not_voxels_alone, open};
pub use read::{NiftiVolume, read, read_from, read_header};
pub use write::{write_gzip, write_to, write_with};

/// The maximum number of voxels of a volume: 2^31, which is 8 GiB as float32 (1290 x 1290 x 1290).
pub const MAX_VOXELS: u64 = 1 << 31;

/// The maximum of `vox_offset`: 256 MiB, far more than header extensions need.
pub const MAX_VOX_OFFSET: u64 = 1 << 28;

/// Why a file cannot be read as a NIfTI volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NiftiError {
    /// The operating system cannot open or read the file.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The compressed stream is damaged.
    #[error("the gzip stream is damaged after {position} unpacked bytes ({reason}); get a new copy of the file")]
    Gzip {
        /// The number of bytes that could be unpacked.
        position: u64,
        /// The decoder's message.
        reason: String,
    },
    /// It is a file of another format, or a folder.
    #[error("expected a NIfTI, NRRD or MetaImage file, found {found}")]
    OtherFormat {
        /// What it is, and what to do with it.
        found: Recognised,
    },
    /// The header and the voxels are in two files.
    #[error(
        "`magic`: expected header and voxels in one file, found only {found} of a .hdr/.img pair; convert it to one .nii"
    )]
    Detached {
        /// Which of the two files this is.
        found: &'static str,
    },
    /// The value of a header field is not valid.
    #[error("`{field}`: expected {expected}, found {found}")]
    Field {
        /// The field's name in the format's specification.
        field: &'static str,
        /// The values that are valid.
        expected: String,
        /// The field's value.
        found: String,
    },
    /// The header states two affines, and one puts a side of the patient where the other puts the opposite one.
    #[error(
        "the sform and the qform mirror each other: the axes i, j, k point to {sform} by the sform, to {qform} by the \
         qform, so {swapped} (corners are up to {corner_mm:.1} mm apart); nothing in the file says which is right: find \
         out, and choose one"
    )]
    Mirrored {
        /// Where the axes i, j, k point to by the sform, in words.
        sform: String,
        /// Where the axes i, j, k point to by the qform, in words.
        qform: String,
        /// Which sides of the patient are the other way round, in words.
        swapped: String,
        /// The largest distance between the two positions of a corner, in millimetres.
        corner_mm: f64,
    },
    /// The type of the voxels is not one for intensities.
    #[error("`datatype`: expected an integer or a float of 8 to 64 bits, found {code} ({name})")]
    Datatype {
        /// The field's value.
        code: i16,
        /// The type's name in the specification.
        name: &'static str,
    },
    /// There are more voxels than [`MAX_VOXELS`].
    #[error("`dim`: expected at most {limit} voxels, found {shape:?}")]
    TooLarge {
        /// The header's number of voxels along `(i, j, k)`.
        shape: [u64; 3],
        /// [`MAX_VOXELS`].
        limit: u64,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The file ends inside its header.
    #[error("the file ends inside its header: expected {expected} bytes, found {found}")]
    ShortHeader {
        /// The header's length in bytes.
        expected: u64,
        /// The file's length in bytes.
        found: u64,
    },
    /// The file ends before its last voxel.
    #[error(
        "the file ends before its last voxel: expected {expected} bytes from `vox_offset` {vox_offset} on, found {found}"
    )]
    ShortData {
        /// The size of the voxels according to the header, in bytes.
        expected: u64,
        /// The bytes of voxels in the file.
        found: u64,
        /// The position of the first voxel in the file, in bytes.
        vox_offset: u64,
    },
}

impl NiftiError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(error) => error.kind(),
            Self::Io(_)
            | Self::Gzip { .. }
            | Self::OtherFormat { .. }
            | Self::Detached { .. }
            | Self::Field { .. }
            | Self::Mirrored { .. }
            | Self::Datatype { .. }
            | Self::TooLarge { .. }
            | Self::ShortHeader { .. }
            | Self::ShortData { .. } => ErrorKind::Input,
        }
    }
}

impl NiftiError {
    fn field(field: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Field { field, expected: expected.into(), found: found.to_string() }
    }
}
