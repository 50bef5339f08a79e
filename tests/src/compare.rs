//! How near is near enough, and how that is measured.
//!
//! Each tolerance has a near miss in `near_misses.rs` that it must reject: a wrong function whose result is close.

pub use segvol_measure::compare::{max_error, relative_l2};

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

/// Image embedding at precision fp16: weights and what crosses between nodes have 11 significant bits. Here it differs by
/// at most 5.1e-4; with attention scaled by 0.26 instead of 0.25 by 2.4e-3.
pub const FP16_IMAGE_EMBEDDING: f64 = 1e-3;

/// Any other stage output at precision fp16, after the image embedding's error and the decoder's own: at most 1.7e-3.
pub const FP16: f64 = 4e-3;

/// Any stage output at precision int8: at most 1.8e-2; with zero points six levels off, by 3 times the tolerance and more.
pub const INT8: f64 = 4e-2;

/// A voxel may change sides only if its golden logit is below this share of the logits' deviation.
pub const SIGN_MARGIN: f64 = 1e-4;

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
    fn a_sign_counts_unless_the_golden_is_all_but_zero() {
        // Deviation 1: the margin is 1e-4.
        assert_eq!(wrong_signs(&[-1.0, 1.0, -1.0, 1.0], &[1.0, -1.0, -1.0, 1.0]), 2);
        assert_eq!(wrong_signs(&[1e-5, -1.0, 1.0], &[-1e-5, -1.0, 1.0]), 0);
    }
}
