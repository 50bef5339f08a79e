//! Cells of bits to stored values.

use super::format::PixelFormat;

/// How the stored value lies in a cell of Bits Allocated bits: masked, and with its sign extended.
///
/// A value is `cell << up >> down`, with a shift to the right that repeats the sign where the values have one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    up: u32,
    down: u32,
    signed: bool,
}

impl Cell {
    /// Cells as [`PixelFormat`] describes them: `stored` bits, the highest of which is bit `high` of the cell.
    pub(super) fn of(format: &PixelFormat) -> Self {
        Self::new(format.bits_stored, format.high_bit, format.signed)
    }

    /// Values of `stored` bits whose highest is bit `high` of the cell.
    pub(super) fn new(stored: u16, high: u16, signed: bool) -> Self {
        Self { up: 31 - u32::from(high), down: 32 - u32::from(stored), signed }
    }

    /// Values in a code stream of `precision` bits, which are at the lower end of the numbers that a decoder gives.
    ///
    /// If the code stream does not cover the cell up to High Bit, there is nothing below the stored value to cut off. `extended` is
    /// whether the decoder has extended the sign of values with fewer bits than Bits Stored; if not, the highest of their bits
    /// is the sign.
    pub(super) fn in_stream(format: &PixelFormat, precision: u16, extended: bool) -> Self {
        if precision > format.high_bit {
            return Self::of(format);
        }
        let stored = if extended { format.bits_stored } else { format.bits_stored.min(precision) };
        Self::new(stored, stored - 1, format.signed)
    }

    /// Writes the values of `cells` to `out` through `map`.
    #[inline(always)]
    pub(super) fn write<T>(self, cells: impl Iterator<Item = u32>, out: &mut [T], map: &impl Fn(i64) -> T) {
        // Two loops without a branch inside are several times faster than one with it.
        if self.signed {
            let (up, down) = (self.up, self.down);
            out.iter_mut().zip(cells).for_each(|(out, cell)| {
                *out = map(i64::from((cell << up).cast_signed() >> down));
            });
        } else {
            let (up, down) = (self.up, self.down);
            out.iter_mut().zip(cells).for_each(|(out, cell)| *out = map(i64::from((cell << up) >> down)));
        }
    }
}
