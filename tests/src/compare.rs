//! Tolerances, and the error measures that they apply to.
//!
//! Each tolerance has a near miss in `near_misses.rs` that it must reject: a wrong function with a similar result.

pub use segvol_measure::compare::{max_error, relative_l2};

/// Stage outputs at float32. An independent float32 implementation differs from the released code by at most 6e-6, this
/// one by at most 4.2e-6. The most similar wrong function, tanh-GELU in the mask decoder, differs by 3.6e-4.
pub const STAGE: f64 = 2e-5;

/// The image embedding at float32. It needs few sums, so its error is smaller: at most 5.4e-7, at full size. With a
/// LayerNorm epsilon of 1e-6 instead of 1e-5 the error is 9.2e-6.
pub const IMAGE_EMBEDDING: f64 = 3e-6;

/// Logits of a whole segmentation, which has more sums than a stage. An independent implementation differs by 1.4e-6.
pub const LOGITS: f64 = 1e-4;

/// Normalised intensities and their zoom-out image. The released code computes means in float32, this one in float64.
/// The rounding changes the result by at most 1.5e-6.
pub const INTENSITY: f64 = 1.5e-6;

/// Image embedding from a checkpoint in float16, 11 significant bits per weight.
pub const FROM_FLOAT16: f64 = 2e-3;

/// Image embedding from a checkpoint in bfloat16, 8 significant bits per weight.
pub const FROM_BFLOAT16: f64 = 1e-2;

/// Image embedding at precision fp16. Weights and the values between nodes have 11 significant bits. It differs by at
/// most 5.1e-4; with attention scaled by 0.26 instead of 0.25 it differs by 2.4e-3.
pub const FP16_IMAGE_EMBEDDING: f64 = 1e-3;

/// Any other stage output at precision fp16, which has the errors of the image embedding and of the decoder: at most
/// 1.7e-3.
pub const FP16: f64 = 4e-3;

/// Any stage output at precision int8. It differs by at most 1.8e-2; with zero points that are wrong by six levels it
/// differs by at least 3 times the tolerance.
pub const INT8: f64 = 4e-2;

/// The sign of a logit may differ from the golden's only if the golden logit is smaller than this fraction of the
/// logits' standard deviation.
pub const SIGN_MARGIN: f64 = 1e-4;

/// The number of voxels whose logit has the wrong sign although the golden logit exceeds [`SIGN_MARGIN`].
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
        // The standard deviation is 1, so the margin is 1e-4.
        assert_eq!(wrong_signs(&[-1.0, 1.0, -1.0, 1.0], &[1.0, -1.0, -1.0, 1.0]), 2);
        assert_eq!(wrong_signs(&[1e-5, -1.0, 1.0], &[-1e-5, -1.0, 1.0]), 0);
    }
}
