//! Linear layers with int8 weights and uint8 activations, and int8 operands of matrix products without weights.
//!
//! The range of an activation is known from a calibration (`QuantizeLinear`, which OpenVINO compiles to integer
//! kernels) or measured at run time (`DynamicQuantizeLinear`, which ONNX Runtime's CPU provider fuses with the
//! product).
//!
//! With a calibration, the queries and keys of attention are int8 too. The attention weights are not: in a row that
//! attends to everything at once, each of thousands of weights is less than half a level.

use segvol_onnx::{ElementType, Value};

use crate::module::{Module, Quantised};
use crate::quantise::{Range, symmetric_scale};
use crate::weights::Source;

/// `x [B, N, inputs]` times the layer's weight: `[B, N, outputs]`, float32 to float32.
pub(crate) fn mat_mul(m: &Module, x: &Value, layer: &Quantised, [inputs, outputs]: [usize; 2]) -> Value {
    let weight = &layer.weight;
    let levels = weight.values.iter().map(|value| value.cast_unsigned()).collect();
    let levels = m.added("weight.int8", &[inputs, outputs], ElementType::Int8, Source::Bytes(levels));
    let scales = Source::Computed(weight.scales.clone());
    let scales = m.added("weight.scale", &[outputs], ElementType::Float32, scales); // [outputs]
    match layer.range {
        Some(Range { scale, zero }) => {
            let scale = m.scalar(scale);
            let zero = m.inline(&format!("zero point {zero}"), &[], ElementType::Uint8, vec![zero]);
            let x = rounded(m, x, &scale, &zero); // [B, N, inputs]
            let zeros = Source::Bytes(vec![0; outputs]);
            let zeros = m.added("weight.zero", &[outputs], ElementType::Int8, zeros); // [outputs]
            let weight = m.dequantize_linear(Some(1), &levels, &scales, &zeros); // [inputs, outputs]
            m.mat_mul(&x, &weight) // [B, N, outputs]
        }
        None => {
            let [x, scale, zero] = m.dynamic_quantize_linear(x); // [B, N, inputs], [], []
            let product = m.cast_to_f32(&m.mat_mul_integer(&x, &levels, &zero)); // [B, N, outputs]
            m.mul(&product, &m.mul(&scale, &scales))
        }
    }
}

/// `x [B, N, channels]`, an operand of a matrix product without weights, rounded to int8 if a calibration has given its
/// range, and unchanged otherwise. `m` is the operand's name.
///
/// The levels are symmetric, because OpenVINO's kernel for two such operands supports no zero point.
pub(crate) fn operand(m: &Module, x: &Value, channels: usize) -> Value {
    m.observe(x, channels);
    let Some(seen) = m.calibrated(channels) else { return x.clone() };
    let scale = m.scalar(symmetric_scale(seen));
    let zero = m.inline("zero point of int8", &[], ElementType::Int8, vec![0]);
    rounded(m, x, &scale, &zero)
}

/// `x` rounded to the levels of a quantised activation, as float32.
fn rounded(m: &Module, x: &Value, scale: &Value, zero: &Value) -> Value {
    m.dequantize_linear(None, &m.quantize_linear(x, scale, zero), scale, zero)
}
