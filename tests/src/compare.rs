//! How near is near enough, and how that is measured.
//!
//! Each tolerance has a near miss in `near_misses.rs` that it must reject: a wrong function whose result is close.

/// Stage outputs, float32: an independent float32 implementation differs from the released code by at most 6e-6, this
/// one by 4.2e-6; the nearest wrong function that it must tell, tanh-GELU in the mask decoder, by 3.6e-4.
pub const STAGE: f64 = 2e-5;

/// The image embedding, float32: few sums stand between it and the window. Here it differs by at most 5.4e-7, at full
/// size; with a LayerNorm epsilon of 1e-6 instead of 1e-5 by 9.2e-6.
pub const IMAGE_EMBEDDING: f64 = 3e-6;

/// Logits at the end of the whole way: more sums than in a stage; an independent implementation sees 1.4e-6.
pub const LOGITS: f64 = 1e-4;

/// Normalised intensities and their zoom-out: one float32 rounding of means taken in float32 there and in
/// float64 here moves them by at most 1.5e-6.
pub const INTENSITY: f64 = 1.5e-6;

/// Image embedding from a checkpoint in float16, 11 significant bits per weight.
pub const FROM_FLOAT16: f64 = 2e-3;

/// Image embedding from a checkpoint in bfloat16, 8 significant bits per weight.
pub const FROM_BFLOAT16: f64 = 1e-2;

/// A voxel may change sides only if its golden logit is below this share of the logits' deviation.
pub const SIGN_MARGIN: f64 = 1e-4;

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

/// How many voxels are on the wrong side of 0 although their golden logit exceeds [`SIGN_MARGIN`].
#[must_use]
pub fn wrong_signs(found: &[f32], expected: &[f32]) -> usize {
    let n = expected.len() as f64;
    let mean = expected.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = expected.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let margin = SIGN_MARGIN * variance.sqrt();
    let sides = found.iter().zip(expected);
    sides.filter(|&(&a, &b)| f64::from(b).abs() > margin && (a > 0.0) != (b > 0.0)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_relative_to_the_expected_values() {
        assert_eq!(relative_l2(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(relative_l2(&[3.0, 5.0], &[3.0, 4.0]), 0.2);
        assert_eq!(max_error(&[3.0, 5.0], &[3.0, 4.0]), 1.0);
    }

    #[test]
    fn not_a_number_is_the_worst_of_all() {
        assert_eq!(relative_l2(&[f32::NAN], &[1.0]), f64::INFINITY);
        assert_eq!(max_error(&[f32::INFINITY], &[1.0]), f64::INFINITY);
        assert_eq!(relative_l2(&[1.0], &[1.0, 2.0]), f64::INFINITY);
    }

    #[test]
    fn a_sign_counts_unless_the_golden_is_all_but_zero() {
        // Deviation 1: the margin is 1e-4.
        assert_eq!(wrong_signs(&[-1.0, 1.0, -1.0, 1.0], &[1.0, -1.0, -1.0, 1.0]), 2);
        assert_eq!(wrong_signs(&[1e-5, -1.0, 1.0], &[-1e-5, -1.0, 1.0]), 0);
    }
}
