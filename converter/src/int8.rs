//! Linear layers with int8 weights and uint8 activations, and int8 operands of products without weights.
//!
//! Weights are symmetric, with a scale per output. Activations have a zero point, and one scale: known beforehand from
//! a calibration (`QuantizeLinear`, which OpenVINO makes integer kernels of), or found while running
//! (`DynamicQuantizeLinear`, of which ONNX Runtime's CPU provider makes one kernel with the product).
//!
//! Where ranges are known beforehand, attention's queries and keys are int8 too. Its weights over the values are not: of
//! a row that looks everywhere at once, each of thousands is less than half a level.
//!
//! A ViT has a few channels that are far larger than the rest, and one scale for all would leave the rest a handful of
//! levels. Where a LayerNorm comes before the layer, each channel is divided by a factor there and the weight's row
//! multiplied by it: the product stays the same, and both sides have narrower ranges.
//!
//! # Source
//!
//! Xiao et al., SmoothQuant, 2022, arXiv:2211.10438: equation 4 with a migration strength of 0.5.

use std::rc::Rc;

use rayon::prelude::*;
use segvol_onnx::proto::data_type;
use segvol_onnx::{Activation, Value};

use crate::weights::{Module, Source};

/// Largest magnitude of a weight, and of another operand whose zero is 0: -128 is not used, so that the range is symmetric.
const SYMMETRIC_LEVELS: f32 = 127.0;

/// Levels of a quantised activation, beside zero.
const ACTIVATION_LEVELS: f32 = 255.0;

/// A quantised weight of a linear layer.
#[derive(Debug)]
pub(crate) struct Int8Weight {
    /// `[inputs, outputs]`, row-major.
    values: Vec<i8>,
    /// Per output: a quantised weight times this is the weight.
    scales: Vec<f32>,
    /// Per input: what the LayerNorm before the layer is divided by.
    pub(crate) smoothing: Option<Vec<f32>>,
    /// What the layer takes, after smoothing.
    activation: Option<Range>,
}

/// Scale and zero point of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    scale: f32,
    zero: u8,
}

impl Int8Weight {
    /// Quantises `weight [outputs, inputs]`; smooths it too if a LayerNorm comes before the layer.
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

/// One factor per input: `sqrt(largest activation / largest weight)` of the channel.
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
    /// The range that holds 0 and all that was seen, each channel divided by its factor.
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

/// `x [B, N, channels]`, an operand of a product without weights, through int8 where its range is known beforehand, and
/// else as it is. `m` is the operand's name. Symmetric: of two operands, OpenVINO's kernel takes none with a zero point.
pub(crate) fn operand(m: &Module, x: &Value, channels: usize) -> Value {
    m.observe(x, channels);
    let Some(seen) = m.seen_where_fixed(channels) else { return x.clone() };
    let scale = m.scalar(positive(magnitude(seen.magnitude()) / SYMMETRIC_LEVELS));
    let zero = m.inline("zero point of int8", &[], data_type::INT8, vec![0]);
    rounded(m, x, &scale, &zero)
}

/// `x` to a quantised activation's levels and back.
fn rounded(m: &Module, x: &Value, scale: &Value, zero: &Value) -> Value {
    m.dequantize_linear(None, &m.quantize_linear(x, scale, zero), scale, zero)
}

fn magnitude(values: impl IntoIterator<Item = f32>) -> f32 {
    values.into_iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// A scale or a factor that is 0 or not finite belongs to a channel of zeros: 1 serves it.
fn positive(scale: f32) -> f32 {
    if scale.is_normal() { scale.abs() } else { 1.0 }
}

/// `x [B, N, inputs]` times the layer's weight: `[B, N, outputs]`, float32 to float32.
pub(crate) fn mat_mul(
    m: &Module,
    x: &Value,
    weight: &Rc<Int8Weight>,
    [inputs, outputs]: [usize; 2],
    fixed: bool,
) -> Value {
    let bytes = weight.values.iter().map(|value| value.cast_unsigned()).collect();
    let values = m.added("weight.int8", &[inputs, outputs], data_type::INT8, Source::Bytes(bytes));
    let scales = m.added("weight.scale", &[outputs], data_type::FLOAT, Source::Computed(weight.scales.clone()));
    match weight.activation {
        Some(Range { scale, zero }) if fixed => {
            let scale = m.scalar(scale);
            let zero = m.inline(&format!("zero point {zero}"), &[], data_type::UINT8, vec![zero]);
            let x = rounded(m, x, &scale, &zero);
            let weight_zero = m.added("weight.zero", &[outputs], data_type::INT8, Source::Bytes(vec![0; outputs]));
            m.mat_mul(&x, &m.dequantize_linear(Some(1), &values, &scales, &weight_zero))
        }
        _ => {
            let [x, scale, zero] = m.dynamic_quantize_linear(x);
            let product = m.cast_to_float(&m.mat_mul_integer(&x, &values, &zero));
            m.mul(&product, &m.mul(&scale, &scales))
        }
    }
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
