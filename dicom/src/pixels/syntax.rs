//! Transfer syntaxes: their names, and which are decoded.

use dicom_encoding::transfer_syntax::TransferSyntaxIndex as _;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use super::error::PixelError;

/// How frames are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// Words, one after another.
    Native {
        /// Whether the first byte of a word is its highest.
        big_endian: bool,
    },
    /// Runs of bytes, one segment for each byte of a value.
    Rle,
    /// JPEG with a cosine transform (8 bits) or a predictor (2 to 16 bits).
    Jpeg,
    /// JPEG-LS, lossless or near-lossless.
    JpegLs,
    /// JPEG 2000 Part 1, or Part 15 (high throughput).
    Jpeg2000,
}

/// The transfer syntaxes that are decoded.
///
/// # Source
///
/// DICOM PS3.6, table A-1.
const DECODED: [(&str, Coding); 15] = [
    ("1.2.840.10008.1.2", Coding::Native { big_endian: false }),
    ("1.2.840.10008.1.2.1", Coding::Native { big_endian: false }),
    ("1.2.840.10008.1.2.1.99", Coding::Native { big_endian: false }),
    ("1.2.840.10008.1.2.2", Coding::Native { big_endian: true }),
    ("1.2.840.10008.1.2.5", Coding::Rle),
    ("1.2.840.10008.1.2.4.50", Coding::Jpeg),
    ("1.2.840.10008.1.2.4.57", Coding::Jpeg),
    ("1.2.840.10008.1.2.4.70", Coding::Jpeg),
    ("1.2.840.10008.1.2.4.80", Coding::JpegLs),
    ("1.2.840.10008.1.2.4.81", Coding::JpegLs),
    ("1.2.840.10008.1.2.4.90", Coding::Jpeg2000),
    ("1.2.840.10008.1.2.4.91", Coding::Jpeg2000),
    ("1.2.840.10008.1.2.4.201", Coding::Jpeg2000),
    ("1.2.840.10008.1.2.4.202", Coding::Jpeg2000),
    ("1.2.840.10008.1.2.4.203", Coding::Jpeg2000),
];

/// Retired transfer syntaxes that the registry does not know.
///
/// # Source
///
/// DICOM PS3.6, table A-1.
const RETIRED: [(&str, &str); 14] = [
    ("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 & 5)"),
    ("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)"),
    ("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)"),
    ("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 & 12)"),
    ("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 & 13)"),
    ("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)"),
    ("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 & 18)"),
    ("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 & 19)"),
    ("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22)"),
    ("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23)"),
    ("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26)"),
    ("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27)"),
    ("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)"),
    ("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)"),
];

/// A transfer syntax, known or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferSyntax {
    uid: String,
    name: String,
    coding: Option<Coding>,
}

impl TransferSyntax {
    /// The transfer syntax with this UID. The padding of the attribute may still be there.
    #[must_use]
    pub fn of(uid: &str) -> Self {
        let uid = uid.trim_end_matches(['\0', ' ']);
        let coding = DECODED.iter().find(|(known, _)| *known == uid).map(|&(_, coding)| coding);
        let retired = RETIRED.iter().find(|(known, _)| *known == uid).map(|&(_, name)| name);
        let known = TransferSyntaxRegistry.get(uid).map(|syntax| syntax.name());
        let name = known.or(retired).unwrap_or("without a name in the standard");
        Self { uid: uid.to_owned(), name: name.to_owned(), coding }
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Its name in the standard, such as `JPEG 2000 Image Compression`, or "without a name in the standard".
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether frames in it can be decoded.
    #[must_use]
    pub fn is_decoded(&self) -> bool {
        self.coding.is_some()
    }

    /// Checks that frames in it can be decoded.
    ///
    /// # Errors
    ///
    /// [`PixelError::TransferSyntax`], with its name, if not.
    pub fn check(&self) -> Result<(), PixelError> {
        self.coding().map(|_| ())
    }

    /// How frames are coded.
    pub(super) fn coding(&self) -> Result<Coding, PixelError> {
        let unsupported = || PixelError::TransferSyntax { name: self.name.clone(), uid: self.uid.clone() };
        self.coding.ok_or_else(unsupported)
    }
}
