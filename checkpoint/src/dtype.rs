//! Element types of checkpoints, and their numbers as float32.

use half::{bf16, f16};
use rayon::prelude::*;

/// Element type of a checkpoint's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE 754 binary64.
    Float64,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary16.
    Float16,
    /// The upper half of a binary32.
    BFloat16,
    /// Another type, with its name and its size in bytes. Only `position_ids` may have one.
    Other(&'static str, usize),
}

impl Dtype {
    /// The type of a storage's class, such as `FloatStorage`; `None` if it has no plain numbers.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Self::of_torch(match class.strip_suffix("Storage")? {
            "Double" => "float64",
            "Float" => "float32",
            "Half" => "float16",
            "BFloat16" => "bfloat16",
            "Long" => "int64",
            "Int" => "int32",
            "Short" => "int16",
            "Char" => "int8",
            "Byte" => "uint8",
            "Bool" => "bool",
            "ComplexDouble" => "complex128",
            "ComplexFloat" => "complex64",
            _ => return None,
        })
    }

    /// The type that PyTorch calls `torch.NAME`; `None` if it does not have a whole number of bytes.
    pub(super) fn of_torch(name: &str) -> Option<Self> {
        const OTHERS: [(&str, usize); 17] = [
            ("int64", 8),
            ("int32", 4),
            ("int16", 2),
            ("int8", 1),
            ("uint64", 8),
            ("uint32", 4),
            ("uint16", 2),
            ("uint8", 1),
            ("bool", 1),
            ("complex128", 16),
            ("complex64", 8),
            ("complex32", 4),
            ("float8_e4m3fn", 1),
            ("float8_e4m3fnuz", 1),
            ("float8_e5m2", 1),
            ("float8_e5m2fnuz", 1),
            ("float8_e8m0fnu", 1),
        ];
        match name {
            "float64" => Some(Self::Float64),
            "float32" => Some(Self::Float32),
            "float16" => Some(Self::Float16),
            "bfloat16" => Some(Self::BFloat16),
            _ => OTHERS.iter().find(|(known, _)| *known == name).map(|(known, size)| Self::Other(known, *size)),
        }
    }

    /// The name that PyTorch gives the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float64 => "float64",
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::BFloat16 => "bfloat16",
            Self::Other(name, _) => name,
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Float64 => 8,
            Self::Float32 => 4,
            Self::Float16 | Self::BFloat16 => 2,
            Self::Other(_, size) => size,
        }
    }

    /// Whether the elements are floating-point numbers, as a graph's weights must be.
    #[must_use]
    pub fn is_float(self) -> bool {
        !matches!(self, Self::Other(..))
    }
}

/// Elements per task: a few hundred kilobytes, so that all cores share one tensor evenly.
const CHUNK: usize = 1 << 16;

/// Little-endian elements as little-endian float32; `None` if they are not floating-point numbers. float64 is rounded
/// to nearest, and becomes infinite if it is too large.
pub(super) fn to_f32(dtype: Dtype, bytes: Vec<u8>) -> Option<Vec<u8>> {
    match dtype {
        Dtype::Float32 => Some(bytes),
        Dtype::Float64 => Some(map(&bytes, |raw| f64::from_le_bytes(raw) as f32)),
        Dtype::Float16 => Some(map(&bytes, |raw| f16::from_le_bytes(raw).to_f32())),
        Dtype::BFloat16 => Some(map(&bytes, |raw| bf16::from_le_bytes(raw).to_f32())),
        Dtype::Other(..) => None,
    }
}

fn map<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32 + Sync) -> Vec<u8> {
    let mut values = vec![0; bytes.len() / N * size_of::<f32>()];
    values.par_chunks_mut(CHUNK * size_of::<f32>()).zip(bytes.par_chunks(CHUNK * N)).for_each(|(values, bytes)| {
        for (value, raw) in values.as_chunks_mut().0.iter_mut().zip(bytes.as_chunks().0) {
            *value = number(*raw).to_le_bytes();
        }
    });
    values
}

/// The index and value of the first little-endian float32 number that is NaN or infinite.
pub(super) fn first_not_finite(values: &[u8]) -> Option<(usize, f32)> {
    let values = values.as_chunks().0;
    let number = |raw: &[u8; 4]| f32::from_le_bytes(*raw);
    let chunk = values.par_chunks(CHUNK).position_first(|chunk| {
        // No early exit: the loop is one pass of vector instructions.
        !chunk.iter().fold(true, |finite, raw| finite & number(raw).is_finite())
    })?;
    let start = chunk * CHUNK;
    let within = values[start..].iter().position(|raw| !number(raw).is_finite());
    let index = start + within.expect("the chunk has a number that is not finite");
    Some((index, number(&values[index])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn every_float_type_is_widened_or_rounded() {
        let f64s: Vec<u8> = [1.0_f64, -0.1, 1e300].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(to_f32(Dtype::Float64, f64s), Some(bytes(&[1.0, -0.1, f32::INFINITY])));
        assert_eq!(to_f32(Dtype::Float32, bytes(&[1.0, -2.0])), Some(bytes(&[1.0, -2.0])));
        assert_eq!(to_f32(Dtype::Float16, vec![0x00, 0x3c, 0x00, 0xc0]), Some(bytes(&[1.0, -2.0])));
        assert_eq!(to_f32(Dtype::BFloat16, vec![0x80, 0x3f, 0x00, 0xc0]), Some(bytes(&[1.0, -2.0])));
        assert_eq!(to_f32(Dtype::Other("int64", 8), vec![0; 8]), None);
    }

    #[test]
    fn types_are_known_by_pytorchs_names() {
        assert_eq!(Dtype::of_storage("HalfStorage"), Some(Dtype::Float16));
        assert_eq!(Dtype::of_storage("ComplexFloatStorage"), Some(Dtype::Other("complex64", 8)));
        assert_eq!(Dtype::of_torch("bfloat16"), Some(Dtype::BFloat16));
        assert_eq!(Dtype::of_torch("float8_e5m2"), Some(Dtype::Other("float8_e5m2", 1)));
        for unknown in ["QInt8Storage", "UntypedStorage", "Float"] {
            assert_eq!(Dtype::of_storage(unknown), None);
        }
        assert_eq!(Dtype::of_torch("uint4"), None);
    }

    #[test]
    fn the_first_bad_number_is_named_wherever_it_is() {
        let mut values = vec![0.5; 3 * CHUNK + 7];
        assert_eq!(first_not_finite(&bytes(&values)), None);
        values[3 * CHUNK + 2] = f32::INFINITY;
        assert_eq!(first_not_finite(&bytes(&values)), Some((3 * CHUNK + 2, f32::INFINITY)));
        values[CHUNK - 1] = f32::NEG_INFINITY;
        assert_eq!(first_not_finite(&bytes(&values)), Some((CHUNK - 1, f32::NEG_INFINITY)));
        values[CHUNK - 1] = f32::NAN;
        assert!(first_not_finite(&bytes(&values)).is_some_and(|(index, found)| index == CHUNK - 1 && found.is_nan()));
    }
}
