//! NIfTI files: `.nii` and `.nii.gz`, versions 1 and 2, both byte orders.
//!
//! A file is a header of 348 (version 1) or 540 (version 2) bytes, four bytes that say whether extensions follow, the
//! extensions, and from `vox_offset` on the voxels, `i` fastest. What this reader asks of one:
//!
//! - `sizeof_hdr` MUST be 348 or 540 in one of the byte orders, which are those of everything after it;
//! - `magic` MUST say that header and voxels are one file (a detached `.hdr`/`.img` pair is refused);
//! - `dim[0]` MUST be 3 to 7, `dim[1..=3]` at least 1, and every further one in use 1: one volume;
//! - `datatype` MUST be an integer or a float of 8 to 64 bits; `bitpix` SHOULD agree, and is not believed;
//! - `vox_offset` MUST be a whole number behind the header, or 0 for "right behind it";
//! - gzip is told by content, not by name; several members are read as one.
//!
//! A size that a header claims allocates nothing: it is checked against the file's length where that tells it, else
//! memory grows as voxels arrive, to twice what has arrived at most. So a plain file of N bytes takes at most 4 N bytes
//! (from 8 bits to float32), and a compressed one 8 times what it unpacks to, of which gzip's format makes at most
//! 1032 N; a megabyte of buffers comes to either.
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

pub use header::{ByteOrder, Datatype, Header, Version};
pub use read::{NiftiVolume, read, read_from, read_header};
pub use write::{Voxels, write, write_as, write_to};

/// The most voxels that a volume may have: 2^31, 8 GiB as float32 (1290 x 1290 x 1290).
pub const MAX_VOXELS: u64 = 1 << 31;

/// The most bytes that may stand before the voxels: 256 MiB, far above any header extension.
pub const MAX_VOX_OFFSET: u64 = 1 << 28;

/// Why a file cannot be read as a NIfTI volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NiftiError {
    /// The operating system says so.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// The compressed stream is damaged.
    #[error("gzip stream, after {position} bytes of contents: expected intact data, found damage ({reason})")]
    Gzip {
        /// How many bytes could be unpacked.
        position: u64,
        /// What the decoder says.
        reason: String,
    },
    /// Header and voxels are two files.
    #[error(
        "`magic`: expected one file with header and voxels, found {found} of a detached pair; join them into one .nii"
    )]
    Detached {
        /// Which half this is.
        found: &'static str,
    },
    /// A header field holds something else than it may.
    #[error("`{field}`: expected {expected}, found {found}")]
    Field {
        /// The field, as the format's specification spells it.
        field: &'static str,
        /// What may stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Voxels are of a type that is no intensity.
    #[error("`datatype`: expected an integer or a float of 8 to 64 bits, found {code} ({name})")]
    Datatype {
        /// The field's value.
        code: i16,
        /// What the specification calls it.
        name: &'static str,
    },
    /// More voxels than [`MAX_VOXELS`].
    #[error("`dim`: expected at most {limit} voxels, found {shape:?}")]
    TooLarge {
        /// What the header claims, `(i, j, k)`.
        shape: [u64; 3],
        /// [`MAX_VOXELS`].
        limit: u64,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The file ends inside its header.
    #[error("header: expected {expected} bytes, found {found}")]
    ShortHeader {
        /// How long the header is.
        expected: u64,
        /// How long the file is.
        found: u64,
    },
    /// The file ends before its last voxel.
    #[error("voxels: expected {expected} bytes from `vox_offset` {vox_offset} on, found {found}")]
    ShortData {
        /// What the header claims.
        expected: u64,
        /// What the file holds.
        found: u64,
        /// Where voxels start.
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
            | Self::Detached { .. }
            | Self::Field { .. }
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
