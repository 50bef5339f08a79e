//! Numbers of int8: levels and scales of weights and activations.
//!
//! Weights are symmetric around zero, with one scale per output. Activations have a zero point and one scale.
//!
//! A ViT has a few channels whose activations are far larger than the rest, and one scale for all channels would leave
//! the rest only a few levels. Where a LayerNorm precedes the layer, each channel is divided by a factor in the
//! LayerNorm and the weight's row is multiplied by it. The product stays the same, and both operands have narrower
//! ranges.
//!
//! # Source
//!
//! Xiao et al., SmoothQuant, 2022, arXiv:2211.10438: equation 4 with a migration strength of 0.5.

use rayon::prelude::*;
use segvol_onnx::Activation;

/// Largest level of a symmetric operand, whose zero point is 0: -128 is not used.
const SYMMETRIC_LEVELS: f32 = 127.0;

/// Largest level of an activation, which is a uint8.
const ACTIVATION_LEVELS: f32 = 255.0;

/// A quantised weight of a linear layer.
#[derive(Debug)]
pub(crate) struct Int8Weight {
    /// Levels `[inputs, outputs]`, row-major.
    pub values: Vec<i8>,
    /// `[outputs]`: a level times this is the weight.
    pub scales: Vec<f32>,
    /// `[inputs]`: factors that the LayerNorm before the layer is divided by; `None` without a calibration or
    /// LayerNorm.
    pub smoothing: Option<Vec<f32>>,
    /// Range of the layer's input after smoothing; `None` without a calibration.
    pub activation: Option<Range>,
}

/// Scale and zero point of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub scale: f32,
    pub zero: u8,
}

impl Int8Weight {
    /// Quantises `weight [outputs, inputs]`, and smooths it if a LayerNorm precedes the layer and its activations were
    /// `seen` by a calibration.
    pub(crate) fn new(weight: &[f32], inputs: usize, seen: Option<&Activation>, after_norm: bool) -> Self {
        let smoothing = seen.filter(|_| after_norm).map(|seen| smoothing(weight, inputs, seen));
        let factor = |input: usize| smoothing.as_ref().map_or(1.0, |factors: &Vec<f32>| factors[input]);
        let scale = |row: &[f32]| {
            let smoothed = row.iter().enumerate().map(|(input, weight)| weight * factor(input));
            positive(magnitude(smoothed) / SYMMETRIC_LEVELS)
        };
        let scales: Vec<f32> = weight.par_chunks_exact(inputs).map(scale).collect();
        let mut values = vec![0; weight.len()];
        values.par_chunks_mut(scales.len()).enumerate().for_each(|(input, column)| {
            let factor = factor(input);
            for ((value, row), scale) in column.iter_mut().zip(weight.chunks_exact(inputs)).zip(&scales) {
                let level = (row[input] * factor / scale).round_ties_even();
                *value = level.clamp(-SYMMETRIC_LEVELS, SYMMETRIC_LEVELS) as i8;
            }
        });
        let activation = seen.map(|seen| Range::of(seen, smoothing.as_deref()));
        Self { values, scales, smoothing, activation }
    }
}

/// `sqrt(largest activation / largest weight)` of each input channel, `[inputs]`.
fn smoothing(weight: &[f32], inputs: usize, seen: &Activation) -> Vec<f32> {
    let mut largest = vec![0.0_f32; inputs];
    for row in weight.chunks_exact(inputs) {
        for (largest, weight) in largest.iter_mut().zip(row) {
            *largest = largest.max(weight.abs());
        }
    }
    largest.iter().zip(seen.magnitude()).map(|(weight, activation)| positive((activation / weight).sqrt())).collect()
}

impl Range {
    /// The smallest range that contains 0 and all activations that were `seen`, each channel divided by its factor.
    fn of(seen: &Activation, smoothing: Option<&[f32]>) -> Self {
        let factor = |channel: usize| smoothing.map_or(1.0, |factors| factors[channel]);
        let ends = |ends: &[f32], extreme: fn(f32, f32) -> f32| {
            ends.iter().enumerate().map(|(channel, end)| end / factor(channel)).fold(0.0, extreme)
        };
        let (min, max) = (ends(&seen.min, f32::min), ends(&seen.max, f32::max));
        let scale = positive((max - min) / ACTIVATION_LEVELS);
        Self { scale, zero: (-min / scale).round_ties_even() as u8 }
    }
}

/// The largest absolute value.
fn magnitude(values: impl IntoIterator<Item = f32>) -> f32 {
    values.into_iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// A scale or factor of 0, or one that is not finite, comes from a channel of zeros, for which any number will do: 1.
fn positive(scale: f32) -> f32 {
    if scale.is_normal() { scale.abs() } else { 1.0 }
}

/// The scale of a symmetric int8 operand whose activations were `seen` by a calibration.
pub(crate) fn symmetric_scale(seen: &Activation) -> f32 {
    positive(magnitude(seen.magnitude()) / SYMMETRIC_LEVELS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two outputs of three inputs, the second input an outlier in the activation.
    const WEIGHT: [f32; 6] = [1.0, 0.5, -0.25, 0.1, -0.2, 0.0];

    fn seen() -> Activation {
        Activation { min: vec![-1.0, -40.0, 0.0], max: vec![1.0, 8.0, 2.0] }
    }

    #[test]
    fn a_weight_is_within_half_a_step_and_transposed() {
        let quantised = Int8Weight::new(&WEIGHT, 3, None, true);
        assert_eq!(quantised.scales, [1.0 / 127.0, 0.2 / 127.0]);
        for output in 0..2 {
            for input in 0..3 {
                let scale = quantised.scales[output];
                let found = f32::from(quantised.values[2 * input + output]) * scale;
                assert!((found - WEIGHT[3 * output + input]).abs() <= 0.5001 * scale, "{output}, {input}");
            }
        }
        assert!(quantised.smoothing.is_none() && quantised.activation.is_none());
    }

    #[test]
    fn smoothing_moves_the_outlier_into_the_weight() {
        let quantised = Int8Weight::new(&WEIGHT, 3, Some(&seen()), true);
        let factors = quantised.smoothing.expect("a LayerNorm comes before");
        assert_eq!(factors, [1.0, (40.0_f32 / 0.5).sqrt(), (2.0_f32 / 0.25).sqrt()]);
        // After division the outlier's channel reaches from -40 / 8.94 to 8 / 8.94.
        let Range { scale, zero } = quantised.activation.expect("seen");
        let (min, max) = (-40.0 / factors[1], 1.0);
        assert!((scale - (max - min) / 255.0).abs() < 1e-6, "{scale}");
        assert_eq!(zero, (-min / scale).round() as u8);
        let plain = Int8Weight::new(&WEIGHT, 3, Some(&seen()), false).activation.expect("seen");
        assert!(plain.scale > 5.0 * scale, "without smoothing the step is {} instead of {scale}", plain.scale);
    }

    #[test]
    fn a_channel_of_zeros_is_no_division_by_zero() {
        let silent = Activation { min: vec![0.0; 3], max: vec![0.0; 3] };
        let quantised = Int8Weight::new(&[0.0; 6], 3, Some(&silent), true);
        assert_eq!(quantised.scales, [1.0, 1.0]);
        assert_eq!(quantised.smoothing, Some(vec![1.0; 3]));
        assert_eq!(quantised.activation, Some(Range { scale: 1.0, zero: 0 }));
    }
}
