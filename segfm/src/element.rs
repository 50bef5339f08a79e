//! The types of numbers in a NumPy array.

use half::f16;

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// `bool`
    Bool,
    /// `int8`
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint8`
    UInt8,
    /// `uint16`
    UInt16,
    /// `uint32`
    UInt32,
    /// `uint64`
    UInt64,
    /// `float16`
    Float16,
    /// `float32`
    Float32,
    /// `float64`
    Float64,
}

impl Element {
    /// All types, with NumPy's code and name, and the largest label that they hold exactly.
    const ALL: [(Self, &'static str, &'static str, u32); 12] = [
        (Self::Bool, "b1", "bool", 1),
        (Self::Int8, "i1", "int8", 127),
        (Self::Int16, "i2", "int16", 32_767),
        (Self::Int32, "i4", "int32", i32::MAX as u32),
        (Self::Int64, "i8", "int64", u32::MAX),
        (Self::UInt8, "u1", "uint8", 255),
        (Self::UInt16, "u2", "uint16", 65_535),
        (Self::UInt32, "u4", "uint32", u32::MAX),
        (Self::UInt64, "u8", "uint64", u32::MAX),
        (Self::Float16, "f2", "float16", 2048),
        (Self::Float32, "f4", "float32", 1 << 24),
        (Self::Float64, "f8", "float64", u32::MAX),
    ];

    fn row(self) -> (Self, &'static str, &'static str, u32) {
        Self::ALL[self as usize]
    }

    /// The type with NumPy's code, such as `f4`.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, ..)| *known == code).map(|(element, ..)| *element)
    }

    /// NumPy's code of the type, with the order of its bytes.
    pub(crate) fn description(self) -> String {
        let order = if self.size() == 1 { '|' } else { '<' };
        format!("{order}{}", self.row().1)
    }

    /// NumPy's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Bytes of one number.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::Int8 | Self::UInt8 => 1,
            Self::Int16 | Self::UInt16 | Self::Float16 => 2,
            Self::Int32 | Self::UInt32 | Self::Float32 => 4,
            Self::Int64 | Self::UInt64 | Self::Float64 => 8,
        }
    }

    /// The largest label, up to which all labels are numbers of this type.
    #[must_use]
    pub fn largest_label(self) -> u32 {
        self.row().3
    }

    /// A number as float32, as NumPy's `astype` gives it. `bytes` are [`Element::size`] bytes, the least significant first.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as `astype` does")]
    pub(crate) fn to_f32(self, bytes: &[u8]) -> f32 {
        let mut raw = [0; 8];
        raw[..self.size()].copy_from_slice(bytes);
        let unsigned = u64::from_le_bytes(raw);
        // The bits above those of the number are 0: shifting them out and back extends the sign.
        let above = 64 - 8 * self.size() as u32;
        let signed = (unsigned << above).cast_signed() >> above;
        match self {
            Self::Bool => f32::from(unsigned != 0),
            Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 => signed as f32,
            Self::UInt8 | Self::UInt16 | Self::UInt32 | Self::UInt64 => unsigned as f32,
            Self::Float16 => f16::from_bits(unsigned as u16).to_f32(),
            Self::Float32 => f32::from_bits(unsigned as u32),
            Self::Float64 => f64::from_bits(unsigned) as f32,
        }
    }

    /// A label of at most [`Element::largest_label`] as bytes, the least significant first, in the first [`Element::size`].
    #[allow(
        clippy::cast_precision_loss,
        reason = "labels are below the first whole number that the type does not have"
    )]
    pub(crate) fn of_label(self, label: u32) -> [u8; 8] {
        let bits = match self {
            Self::Float16 => u64::from(f16::from_f32(label as f32).to_bits()),
            Self::Float32 => u64::from((label as f32).to_bits()),
            Self::Float64 => f64::from(label).to_bits(),
            _ => u64::from(label),
        };
        bits.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_types() {
        for (element, code, ..) in Element::ALL {
            assert_eq!((element.row().0, Element::of_code(code)), (element, Some(element)));
            assert_eq!(code[1..].parse(), Ok(element.size()));
        }
        assert_eq!(Element::of_code("O"), None);
    }

    #[test]
    fn numbers_are_those_of_numpy() {
        for (element, bytes, value) in [
            (Element::Int8, &[0xff][..], -1.0),
            (Element::UInt8, &[0xff], 255.0),
            (Element::Int16, &[0x00, 0x80], -32768.0),
            (Element::UInt16, &[0x00, 0x80], 32768.0),
            (Element::Int32, &[0xfe, 0xff, 0xff, 0xff], -2.0),
            (Element::UInt32, &[0xff, 0xff, 0xff, 0xff], 4_294_967_296.0),
            (Element::Int64, &[0, 0, 0, 0, 0, 0, 0, 0x80], -9_223_372_036_854_775_808.0),
            (Element::UInt64, &[1, 0, 0, 0, 0, 0, 0, 0], 1.0),
            (Element::Float16, &[0x00, 0xbc], -1.0),
            (Element::Float32, &[0, 0, 0x80, 0x3f], 1.0),
            (Element::Float64, &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], 1.0),
            (Element::Bool, &[2], 1.0),
        ] {
            assert_eq!(element.to_f32(bytes), value, "{element:?}");
        }
    }

    #[test]
    fn every_label_is_read_back() {
        for (element, ..) in Element::ALL {
            for label in [0, 1, element.largest_label().min(1 << 20)] {
                let bytes = element.of_label(label);
                assert_eq!(element.to_f32(&bytes[..element.size()]), label as f32, "{element:?}");
            }
        }
    }
}
