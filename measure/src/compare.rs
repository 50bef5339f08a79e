//! Distances between two lists of numbers.

use serde::{Deserialize, Serialize};

/// Distance of numbers from the expected ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The largest `|found - expected|`.
    pub max_abs: f64,
    /// `|found - expected| / |expected|`, with Euclidean norms.
    pub relative_l2: f64,
    /// Cosine of the angle between both; 1 for the same direction.
    pub cosine: f64,
    /// Dice coefficient of the values above 0, if the numbers are logits.
    pub dice: Option<f64>,
}

impl Difference {
    /// The distance of lists that cannot be compared. It is finite, because JSON has no infinity.
    pub const FARTHEST: Self = Self { max_abs: f64::MAX, relative_l2: f64::MAX, cosine: 0.0, dice: None };

    /// The difference of numbers that are not logits. [`Difference::FARTHEST`] if a number is NaN or infinite, or if the
    /// lengths differ.
    #[must_use]
    pub fn of(found: &[f32], expected: &[f32]) -> Self {
        let (relative_l2, max_abs) = (relative_l2(found, expected), max_error(found, expected));
        if !relative_l2.is_finite() {
            return Self::FARTHEST;
        }
        Self { max_abs, relative_l2, cosine: cosine(found, expected), dice: None }
    }

    /// The difference of logits, whose signs define a mask.
    #[must_use]
    pub fn of_logits(found: &[f32], expected: &[f32]) -> Self {
        let above = |&logit: &f32| logit > 0.0;
        let dice = segvol::metrics::dice(found, expected, above, above);
        Self { dice: Some(dice), ..Self::of(found, expected) }
    }
}

/// `|found - expected| / |expected|`, with Euclidean norms. Infinite if a value is NaN or infinite, or if the lengths differ.
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

/// The largest `|found - expected|`. Infinite if a value is NaN or infinite, or if the lengths differ.
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
