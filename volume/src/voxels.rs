//! Voxels on their way into a file: their stored type, and their bytes.

use std::io::{self, Write};

use crate::nifti::{ByteOrder, Datatype};

/// Voxels to write, i fastest.
#[derive(Clone, Copy, Debug)]
pub enum Voxels<'a> {
    /// Labels up to 255.
    U8(&'a [u8]),
    /// Labels up to 65535.
    U16(&'a [u16]),
    /// Intensities, logits or probabilities.
    F32(&'a [f32]),
    /// Intensities that are all whole numbers from -32768 to 32767, written as int16.
    WholeI16(&'a [f32]),
    /// Intensities that are all whole numbers of 32 bits, written as int32.
    WholeI32(&'a [f32]),
}

impl<'a> Voxels<'a> {
    /// Intensities in the smallest type that holds each of them exactly: int16, int32 or float32. Minus 0 may become 0.
    pub(crate) fn exact(values: &'a [f32]) -> Self {
        // 2^31 itself does not fit, and all whole numbers below it that float32 has do.
        const LIMIT: f32 = 2_147_483_648.0;
        let mut fits_i16 = true;
        for &value in values {
            if value.fract() != 0.0 || !(-LIMIT..LIMIT).contains(&value) {
                return Self::F32(values); // Also NaN and infinity.
            }
            fits_i16 &= (-32_768.0..=32_767.0).contains(&value);
        }
        if fits_i16 { Self::WholeI16(values) } else { Self::WholeI32(values) }
    }

    /// The type in which the voxels are stored.
    pub(crate) fn datatype(&self) -> Datatype {
        match self {
            Self::U8(_) => Datatype::U8,
            Self::U16(_) => Datatype::U16,
            Self::F32(_) => Datatype::F32,
            Self::WholeI16(_) => Datatype::I16,
            Self::WholeI32(_) => Datatype::I32,
        }
    }

    /// The number of voxels.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::F32(values) | Self::WholeI16(values) | Self::WholeI32(values) => values.len(),
        }
    }

    /// Whether there are no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether they are labels: long runs of equal numbers, which compress well.
    pub(crate) fn are_labels(&self) -> bool {
        matches!(self, Self::U8(_) | Self::U16(_))
    }

    /// Writes the bytes of all voxels.
    pub(crate) fn write(&self, writer: &mut impl Write, order: ByteOrder) -> io::Result<()> {
        match self {
            Self::U8(values) => writer.write_all(values),
            Self::U16(values) => write_words(writer, values, order, u16::to_le_bytes, u16::to_be_bytes),
            Self::F32(values) => write_words(writer, values, order, f32::to_le_bytes, f32::to_be_bytes),
            Self::WholeI16(values) => {
                let (little, big) = (|v: f32| (v as i16).to_le_bytes(), |v: f32| (v as i16).to_be_bytes());
                write_words(writer, values, order, little, big)
            }
            Self::WholeI32(values) => {
                let (little, big) = (|v: f32| (v as i32).to_le_bytes(), |v: f32| (v as i32).to_be_bytes());
                write_words(writer, values, order, little, big)
            }
        }
    }
}

fn write_words<T: Copy, const N: usize>(
    writer: &mut impl Write,
    values: &[T],
    order: ByteOrder,
    little: fn(T) -> [u8; N],
    big: fn(T) -> [u8; N],
) -> io::Result<()> {
    let encode = if order == ByteOrder::Little { little } else { big };
    let mut bytes = Vec::with_capacity(N << 14);
    for chunk in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|&value| encode(value)));
        writer.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_type_that_loses_nothing_is_chosen() {
        let datatype = |values: &[f32]| Voxels::exact(values).datatype();
        assert_eq!(datatype(&[-1024.0, 3071.0, -32768.0, 32767.0, -0.0]), Datatype::I16);
        assert_eq!(datatype(&[0.0, 32768.0]), Datatype::I32);
        assert_eq!(datatype(&[0.0, -32769.0]), Datatype::I32);
        assert_eq!(datatype(&[-2_147_483_648.0, 2_147_483_520.0]), Datatype::I32);
        for odd in [0.5, 2_147_483_648.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-30, 1e30] {
            assert_eq!(datatype(&[0.0, odd, 1.0]), Datatype::F32, "{odd}");
        }
    }

    #[test]
    fn whole_numbers_are_written_as_they_are() {
        let mut bytes = Vec::new();
        Voxels::WholeI16(&[-2.0, 258.0]).write(&mut bytes, ByteOrder::Big).expect("memory");
        Voxels::WholeI32(&[-2.0, 65_538.0]).write(&mut bytes, ByteOrder::Little).expect("memory");
        assert_eq!(bytes, [0xff, 0xfe, 1, 2, 0xfe, 0xff, 0xff, 0xff, 2, 0, 1, 0]);
    }
}
