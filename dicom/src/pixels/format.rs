//! How the pixels of an image are stored.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::error::PixelError;

/// How the pixels of an image are stored.
///
/// | attribute | may be |
/// |---|---|
/// | Rows, Columns | 1 to 65535 |
/// | Bits Allocated | 8, 16 or 32 |
/// | Bits Stored | 1 to Bits Allocated |
/// | High Bit | Bits Stored − 1 to Bits Allocated − 1 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelFormat {
    /// Rows (j).
    pub rows: usize,
    /// Columns (i).
    pub columns: usize,
    /// Bits Allocated: 8, 16 or 32.
    pub bits_allocated: u16,
    /// Bits Stored.
    pub bits_stored: u16,
    /// High Bit.
    pub high_bit: u16,
    /// Whether Pixel Representation is 1: two's complement.
    pub signed: bool,
}

fn bad(attribute: &'static str, expected: impl Into<String>, found: impl ToString) -> PixelError {
    PixelError::Attribute { attribute, expected: expected.into(), found: found.to_string() }
}

/// The value of an attribute that holds one number.
fn number(object: &InMemDicomObject, tag: Tag, attribute: &'static str) -> Result<u16, PixelError> {
    let expected = "a whole number of 16 bits";
    match object.get(tag) {
        None => Err(bad(attribute, expected, "no such attribute")),
        Some(element) => element.to_int().map_err(|_| match element.to_str() {
            Ok(text) if text.trim().is_empty() => bad(attribute, expected, "an empty value"),
            Ok(text) => bad(attribute, expected, text.escape_debug()),
            Err(_) => bad(attribute, expected, "something else"),
        }),
    }
}

impl PixelFormat {
    /// Reads the attributes of an image, and checks that they are those of grey values. High Bit may be absent: it is then Bits
    /// Stored − 1.
    ///
    /// Photometric Interpretation MONOCHROME1 says that the lowest value is displayed white. It changes no Hounsfield units, so
    /// it is taken like MONOCHROME2.
    ///
    /// # Errors
    ///
    /// [`PixelError::Attribute`] if an attribute is missing, or not as [`PixelFormat`] says, or the image is in colour.
    pub fn of(object: &InMemDicomObject) -> Result<Self, PixelError> {
        let samples = number(object, tags::SAMPLES_PER_PIXEL, "Samples per Pixel")?;
        let interpretation = object.get(tags::PHOTOMETRIC_INTERPRETATION).and_then(|element| element.to_str().ok());
        let interpretation = interpretation.as_deref().unwrap_or_default().trim_end_matches(['\0', ' ']).trim_start();
        if samples != 1 {
            let found = format!("{samples} ({})", interpretation.escape_debug());
            return Err(bad("Samples per Pixel", "1, a grey value", found));
        }
        if !matches!(interpretation, "MONOCHROME1" | "MONOCHROME2") {
            let found = match interpretation {
                "" => "no value".to_owned(),
                other => other.escape_debug().to_string(),
            };
            return Err(bad("Photometric Interpretation", "MONOCHROME1 or MONOCHROME2, grey values", found));
        }
        let bits_stored = number(object, tags::BITS_STORED, "Bits Stored")?;
        let high_bit = match object.get(tags::HIGH_BIT) {
            None => bits_stored.saturating_sub(1),
            Some(_) => number(object, tags::HIGH_BIT, "High Bit")?,
        };
        let signed = match number(object, tags::PIXEL_REPRESENTATION, "Pixel Representation")? {
            0 => false,
            1 => true,
            other => return Err(bad("Pixel Representation", "0 (unsigned) or 1 (two's complement)", other)),
        };
        let format = Self {
            rows: number(object, tags::ROWS, "Rows")?.into(),
            columns: number(object, tags::COLUMNS, "Columns")?.into(),
            bits_allocated: number(object, tags::BITS_ALLOCATED, "Bits Allocated")?,
            bits_stored,
            high_bit,
            signed,
        };
        format.check().map(|()| format)
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    ///
    /// [`PixelError::Attribute`] names the first that does not.
    pub fn check(&self) -> Result<(), PixelError> {
        for (attribute, found) in [("Rows", self.rows), ("Columns", self.columns)] {
            if !(1..=65535).contains(&found) {
                return Err(bad(attribute, "1 to 65535", found));
            }
        }
        if !matches!(self.bits_allocated, 8 | 16 | 32) {
            return Err(bad("Bits Allocated", "8, 16 or 32", self.bits_allocated));
        }
        if !(1..=self.bits_allocated).contains(&self.bits_stored) {
            let expected = format!("1 to {}, the Bits Allocated", self.bits_allocated);
            return Err(bad("Bits Stored", expected, self.bits_stored));
        }
        if !(self.bits_stored - 1..self.bits_allocated).contains(&self.high_bit) {
            let expected = format!(
                "{} to {}, for {} Bits Stored of {} Bits Allocated",
                self.bits_stored - 1,
                self.bits_allocated - 1,
                self.bits_stored,
                self.bits_allocated
            );
            return Err(bad("High Bit", expected, self.high_bit));
        }
        Ok(())
    }

    /// Pixels of one frame.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.rows * self.columns
    }

    /// Bytes of one value.
    pub(super) fn bytes(&self) -> usize {
        usize::from(self.bits_allocated / 8)
    }
}
