//! Maps: one number for every voxel of a scan, such as a logit or a probability.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use half::f16;
use rayon::prelude::*;
use serde::Serialize;

use crate::grid::Grid;
use crate::mask::{MaskError, save_logits};

/// The floating-point type to which the numbers of a map are rounded.
///
/// NIfTI has no float16, and the readers that we know (nibabel, SimpleITK, ITK-SNAP, 3D Slicer) read no other format with a scan's
/// geometry and float16 voxels. So a map of float16 is stored as float32 whose values are those of float16, to the bit: a program
/// converts it to float16 without a loss, and every reader reads it. Its 13 lowest bits are 0, which gzip makes small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FloatType {
    /// Nothing is rounded: 24 significant bits.
    #[default]
    Float32,
    /// 11 significant bits: a probability from 0.5 to 1 changes by at most 0.00025, a smaller one by less. Numbers beyond 65504
    /// become 65504.
    Float16,
}

impl FloatType {
    /// The name, as it is written: `float32` or `float16`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
        }
    }

    /// Rounds every number to the nearest one of this type; NaN stays NaN.
    pub fn round(self, values: &mut [f32]) {
        if self == Self::Float16 {
            values.par_iter_mut().for_each(|value| *value = to_f16(*value).to_f32());
        }
    }
}

/// The nearest finite float16; NaN for NaN.
#[must_use]
pub fn to_f16(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

impl fmt::Display for FloatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FloatType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Float32, Self::Float16].into_iter().find(|known| known.name() == text);
        known.ok_or_else(|| format!("expected float32 or float16, found {text:?}"))
    }
}

/// Writes a map as float32 on the scan's grid, in the way in which [`Mask::save`](crate::Mask::save) writes labels.
///
/// | value    | shape                  | unit                                          |
/// |----------|------------------------|-----------------------------------------------|
/// | `values` | one per voxel, i fastest, then j, k | none; NaN for a voxel without a number |
///
/// # Errors
/// [`MaskError::Length`] if the number of values is not the grid's number of voxels; [`MaskError::Name`] if the name
/// does not end in `.nii`, `.nii.gz`, `.nrrd` or `.mha`; [`MaskError::OverScan`] if the file is the scan's own; [`MaskError::Io`] if the
/// file cannot be written.
pub fn save_map(path: impl AsRef<Path>, values: &[f32], grid: &Grid) -> Result<(), MaskError> {
    save_logits(path, values, grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float16_is_rounded_to_even_and_never_infinite() {
        let mut values = [1.0 / 3.0, 0.1, 1e-9, 70_000.0, -1e30, f32::NAN, 2049.0, 6e-8];
        let before = values;
        FloatType::Float32.round(&mut values);
        assert!(values.iter().zip(before).all(|(a, b)| a.to_bits() == b.to_bits()));
        FloatType::Float16.round(&mut values);
        let expected = [0.333_251_95, 0.099_975_586, 0.0, 65504.0, -65504.0, f32::NAN, 2048.0, 5.960_464_5e-8];
        for (found, expected) in values.iter().zip(expected) {
            assert!(*found == expected || found.is_nan() && expected.is_nan(), "{found} {expected}");
            assert_eq!(found.to_bits() & 0x1fff & if found.is_normal() { !0 } else { 0 }, 0, "{found}");
        }
    }

    #[test]
    fn the_error_of_a_probability_is_as_documented() {
        let of = |n: u32| n as f32 / 65_536.0;
        for n in 0..=65_536 {
            let mut value = [of(n)];
            FloatType::Float16.round(&mut value);
            assert!((value[0] - of(n)).abs() <= 0.00025 && (0.0..=1.0).contains(&value[0]), "{n}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for kind in [FloatType::Float32, FloatType::Float16] {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("fp16".parse::<FloatType>().is_err_and(|error| error.contains("float16")));
    }
}
