//! The probability at which logits become a mask: the one place that knows it.

/// The threshold of the released code: a voxel is in the mask if its probability is above one half, where its logit is positive.
pub const RELEASED_THRESHOLD: f64 = 0.5;

/// A threshold of probabilities, kept as a logit. It cuts the masks that a study hands out. The region of interest and the prompts
/// in windows are not its concern: there a logit counts if it is positive, as in the released code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold(f32);

impl Threshold {
    /// The threshold of a probability between 0 and 1, both excluded. That of one half is exactly the logit 0.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "logits are float32")]
    pub fn of(probability: f64) -> Self {
        Self((probability / (1.0 - probability)).ln() as f32)
    }

    /// Whether a voxel with this logit is in the mask. NaN, which is outside the crop, is not.
    #[must_use]
    pub fn is_inside(self, logit: f32) -> bool {
        logit > self.0
    }
}

/// Whether a probability can be a threshold.
#[must_use]
pub fn is_threshold(probability: f64) -> bool {
    probability > 0.0 && probability < 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_half_is_the_released_rule_and_every_threshold_is_finite() {
        assert_eq!(Threshold::of(RELEASED_THRESHOLD), Threshold(0.0));
        let smallest = f32::from_bits(1);
        assert!(Threshold::of(0.5).is_inside(smallest) && !Threshold::of(0.5).is_inside(0.0));
        for probability in [f64::MIN_POSITIVE, 1e-9, 0.1, 0.9, 1.0 - f64::EPSILON / 2.0] {
            assert!(is_threshold(probability) && Threshold::of(probability).0.is_finite(), "{probability}");
        }
        assert!(!Threshold::of(1e-300).is_inside(f32::NAN));
        for probability in [0.0, 1.0, -0.5, 50.0, f64::NAN, f64::INFINITY] {
            assert!(!is_threshold(probability), "{probability}");
        }
    }

    #[test]
    fn a_logit_is_inside_where_its_probability_is_above_the_threshold() {
        for probability in [0.05_f64, 0.3, 0.5, 0.7, 0.99] {
            for step in -200_i16..=200 {
                let logit = f32::from(step) / 20.0;
                let own = 1.0 / (1.0 + (-f64::from(logit)).exp());
                if (own - probability).abs() > 1e-6 {
                    assert_eq!(Threshold::of(probability).is_inside(logit), own > probability, "{logit} {probability}");
                }
            }
        }
    }
}
