//! Why pixels cannot be decoded.

use segvol_base::{ErrorKind, OutOfMemory};

/// Why the pixels of an image cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PixelError {
    /// Pixels in this transfer syntax are not decoded.
    #[error(
        "transfer syntax {name} ({uid}) is not supported: convert the images to another one, for example Explicit VR Little Endian"
    )]
    TransferSyntax {
        /// Its name in the standard, or that it has none.
        name: String,
        /// Its UID, as the file has it.
        uid: String,
    },
    /// An attribute is missing, or has a value that a CT image cannot have.
    #[error("{attribute}: expected {expected}, found {found}")]
    Attribute {
        /// Its name in the standard.
        attribute: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The pixels of one frame are missing or damaged.
    #[error("frame {number}: {reason}")]
    Frame {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// The code stream of one frame has another size than the image.
    #[error(
        "frame {number}: expected {} rows of {} columns, as Rows and Columns say, found {} rows of {} columns in its code stream",
        expected[0], expected[1], found[0], found[1]
    )]
    Size {
        /// Which, from 1.
        number: usize,
        /// Rows and Columns.
        expected: [usize; 2],
        /// Rows and columns of the code stream.
        found: [usize; 2],
    },
    /// The pixels cannot be divided into frames.
    #[error("Pixel Data: {reason}")]
    Data {
        /// What was expected, and what was found.
        reason: String,
    },
    /// There is not enough memory to decode a frame.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl PixelError {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Memory(error) => error.kind(),
            _ => ErrorKind::Input,
        }
    }
}
