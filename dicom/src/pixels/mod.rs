//! Stored values of one frame, from whatever transfer syntax it is in.

/// How the pixels of an image are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelFormat {
    /// Rows (j) and Columns (i).
    pub rows: usize,
    /// Columns (i).
    pub columns: usize,
    /// Bits Allocated: 1, 8, 16 or 32.
    pub bits_allocated: u16,
    /// Bits Stored.
    pub bits_stored: u16,
    /// High Bit.
    pub high_bit: u16,
    /// Whether Pixel Representation is 1: two's complement.
    pub signed: bool,
}
