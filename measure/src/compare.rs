//! How far two lists of numbers are apart.

use serde::{Deserialize, Serialize};

/// How far numbers are from those that were expected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The greatest `|found - expected|`.
    pub max_abs: f64,
    /// `|found - expected| / |expected|`, Euclidean lengths.
    pub relative_l2: f64,
    /// Cosine of the angle between both; 1 where they point the same way.
    pub cosine: f64,
    /// Dice's coefficient of what is above 0 on both sides, where the numbers are logits.
    pub dice: Option<f64>,
}

impl Difference {
    /// What cannot be compared. Finite, since JSON has no infinity.
    pub const FARTHEST: Self = Self { max_abs: f64::MAX, relative_l2: f64::MAX, cosine: 0.0, dice: None };

    /// Of numbers that are not logits. A number that is not finite, or another length, is [`Difference::FARTHEST`].
    #[must_use]
    pub fn of(found: &[f32], expected: &[f32]) -> Self {
        let (relative_l2, max_abs) = (relative_l2(found, expected), max_error(found, expected));
        if !relative_l2.is_finite() {
            return Self::FARTHEST;
        }
        Self { max_abs, relative_l2, cosine: cosine(found, expected), dice: None }
    }

    /// Of logits, whose signs make a mask.
    #[must_use]
    pub fn of_logits(found: &[f32], expected: &[f32]) -> Self {
        let above = |&logit: &f32| logit > 0.0;
        let dice = segvol::metrics::dice(found, expected, above, above);
        Self { dice: Some(dice), ..Self::of(found, expected) }
    }
}

/// `|found - expected| / |expected|`, both Euclidean lengths; infinite if a value is not finite, or lengths differ.
#[must_use]
pub fn relative_l2(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() || found.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    let square = |x: f64| x * x;
    let error: f64 = found.iter().zip(expected).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    let scale: f64 = expected.iter().map(|&b| square(f64::from(b))).sum();
    (error / scale.max(f64::MIN_POSITIVE)).sqrt()
}

/// The largest `|found - expected|`; infinite if a value is not finite, or lengths differ.
#[must_use]
pub fn max_error(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() || found.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    found.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs()).fold(0.0, f64::max)
}

fn cosine(found: &[f32], expected: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let lengths = (dot(found, found) * dot(expected, expected)).sqrt();
    if lengths > 0.0 { dot(found, expected) / lengths } else { f64::from(u8::from(found == expected)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_relative_to_the_expected_values() {
        let found = Difference::of(&[3.0, 5.0], &[3.0, 4.0]);
        assert_eq!((found.relative_l2, found.max_abs, found.dice), (0.2, 1.0, None));
        assert!((found.cosine - 29.0 / (34.0_f64.sqrt() * 5.0)).abs() < 1e-12);
        let same = Difference::of(&[3.0, 4.0], &[3.0, 4.0]);
        assert_eq!((same.relative_l2, same.max_abs, same.cosine), (0.0, 0.0, 1.0));
    }

    #[test]
    fn signs_of_logits_make_the_mask() {
        let found = Difference::of_logits(&[1.0, -1.0, 1.0, 1.0], &[1.0, -1.0, -1.0, 1.0]);
        assert_eq!(found.dice, Some(0.8));
    }

    #[test]
    fn not_a_number_or_another_length_is_the_worst_of_all() {
        for (found, expected) in [(&[f32::NAN][..], &[1.0][..]), (&[1.0, 2.0], &[1.0])] {
            assert_eq!(relative_l2(found, expected), f64::INFINITY);
            assert_eq!(max_error(found, expected), f64::INFINITY);
            assert_eq!(Difference::of(found, expected), Difference::FARTHEST);
        }
    }
}
