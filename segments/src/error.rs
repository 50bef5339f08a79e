//! Why segments cannot be written or read.

use std::io;
use std::path::PathBuf;

use segvol_base::{ErrorKind, OutOfMemory};
use segvol_volume::MaskError;

/// Why segments cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", segvol_base::printable_path(path))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot write: {source}", segvol_base::printable_path(path))]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The scan does not come from DICOM.
    #[error(
        "the scan does not come from DICOM: a DICOM SEG or RTSTRUCT refers to the images of a series, so it needs a DICOM scan"
    )]
    NotDicom,
    /// The images lack what an object must state.
    #[error("the scan's DICOM files lack what a DICOM SEG or RTSTRUCT must state: {}", attributes.join(", "))]
    Missing {
        /// The attributes, each with its tag.
        attributes: Vec<&'static str>,
    },
    /// The root of new UIDs is none.
    #[error("UID root {root:?}: {reason}")]
    UidRoot {
        /// The root.
        root: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The masks are not on the planes of the slices.
    #[error("the masks are not on the planes of the scan's slices: {reason}")]
    OffPlanes {
        /// What is where.
        reason: String,
    },
    /// A file cannot hold the objects.
    #[error("{what}: {reason}")]
    Unfit {
        /// The kind of file.
        what: &'static str,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// A file with segments cannot be read.
    #[error("{}: {reason}", segvol_base::printable_path(path))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What was expected, and what was found.
        reason: String,
    },
    /// A file with segments has no such object.
    #[error("{}: expected an object with {wanted}, found only {}", segvol_base::printable_path(path), segvol_base::printable(&found.join(", ")))]
    NoObject {
        /// The file.
        path: PathBuf,
        /// What was looked for: a name, or a number.
        wanted: String,
        /// The names in the file.
        found: Vec<String>,
    },
    /// Several objects of a file have a name or a number.
    #[error("{}: expected one object with {wanted}, found {}", segvol_base::printable_path(path), segvol_base::printable(&found.join(", ")))]
    SeveralObjects {
        /// The file.
        path: PathBuf,
        /// What was looked for: a name, or a number.
        wanted: String,
        /// Their names in the file.
        found: Vec<String>,
    },
    /// A DICOM file is damaged.
    #[cfg(feature = "dicom")]
    #[error(transparent)]
    Dicom(#[from] segvol_dicom::DicomError),
    /// A mask cannot be made.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl SegmentsError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. }
            | Self::Missing { .. }
            | Self::OffPlanes { .. }
            | Self::Unreadable { .. }
            | Self::NoObject { .. }
            | Self::SeveralObjects { .. } => ErrorKind::Input,
            Self::Write { .. } => ErrorKind::Runtime,
            Self::NotDicom | Self::UidRoot { .. } | Self::Unfit { .. } => ErrorKind::Usage,
            #[cfg(feature = "dicom")]
            Self::Dicom(error) => error.kind(),
            Self::Mask(error) => error.kind(),
            Self::Memory(error) => error.kind(),
        }
    }
}
