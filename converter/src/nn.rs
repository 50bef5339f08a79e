//! The layers of `torch.nn` that SegVol is made of, in ONNX operators.
//!
//! At precision fp16, "half" is float16, the element type of matrix products, and "full" is float32; at the others both
//! are float32. Each function says which it takes and gives.

use std::f32::consts::SQRT_2;

use segvol_onnx::Value;

use crate::int8;
use crate::weights::Module;

/// torch's default epsilon, and SegVol's everywhere.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// `nn.Linear`: `x [.., inputs] -> [.., outputs]`, half to half.
pub(crate) fn linear(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let product = linear_without_bias(m, x, [inputs, outputs]);
    m.add(&product, &m.operand("bias", &[outputs]))
}

/// `nn.Linear(bias=False)`, half to half. torch keeps the weight as `[outputs, inputs]`; the graph has it transposed,
/// so that no runtime has to.
pub(crate) fn linear_without_bias(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    m.observe(x, inputs);
    match m.int8([inputs, outputs], false) {
        Some((weight, fixed)) => int8::mat_mul(m, x, &weight, [inputs, outputs], fixed),
        None => m.mat_mul(x, &m.operand_transposed("weight", [outputs, inputs])),
    }
}

/// `nn.LayerNorm` over the last axis, full to full.
pub(crate) fn layer_norm(m: &Module, x: &Value, width: usize) -> Value {
    m.layer_normalization(x, &m.weight("weight", &[width]), &m.weight("bias", &[width]), LAYER_NORM_EPSILON)
}

/// `nn.LayerNorm` over the last axis whose only reader is the linear layer `next`, full to half. At precision int8 it
/// takes on what smooths the layer's input.
pub(crate) fn layer_norm_before(m: &Module, next: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let int8 = next.int8([inputs, outputs], true);
    let Some(factors) = int8.as_ref().and_then(|(weight, _)| weight.smoothing.as_ref()) else {
        return m.half(&layer_norm(m, x, inputs));
    };
    let divided = |name: &str| {
        let divide = |values: &[f32]| values.iter().zip(factors).map(|(value, factor)| value / factor).collect();
        m.computed(&format!("{name}.smoothed"), &[inputs], (name, &[inputs]), divide)
    };
    m.layer_normalization(x, &divided("weight"), &divided("bias"), LAYER_NORM_EPSILON)
}

/// `nn.LayerNorm` over `[C, 2 Gd, 2 Gh, 2 Gw]` jointly, of `x [B, 8 N, C]` whose rows are those voxels in the order
/// (grid, doubling); full to full.
///
/// Each mean is taken axis by axis. `LayerNormalization`, or one `ReduceMean` over millions of elements,
/// adds them up in one float32 and is off by 6.5e-5 at the full model's size; the chain is off by 8e-8.
/// The last mean is a matrix product per batch entry: for a batch of one, ONNX Runtime would take the last
/// `ReduceMean` as one over everything, which adds in another order than one over the rows of a larger batch,
/// and a prompt alone would differ from the same prompt in a batch.
pub(crate) fn layer_norm_joint(m: &Module, x: &Value, grid_dhw: [usize; 3], channels: usize) -> Value {
    let [d, h, w] = grid_dhw;
    #[allow(clippy::cast_precision_loss)] // Some slices.
    let slices = m.scalar(d as f32);
    let ones = m.floats("ones", &[1, 1, d], &vec![1.0; d]);
    let mean = |x: &Value| {
        let means = m.reshape(&m.reduce_mean(2, x), &[0, d as i64, h as i64, 8 * w as i64]);
        let means = m.reduce_mean(2, &m.reduce_mean(3, &means)); // [B, Gd, 1, 1]
        m.div(&m.mat_mul(&ones, &m.reshape(&means, &[0, 0, 1])), &slices) // [B, 1, 1]
    };
    let stored = [channels, 2 * d, 2 * h, 2 * w];
    let by_row: (&[usize], &[usize]) = (&[channels, d, 2, h, 2, w, 2], &[1, 3, 5, 2, 4, 6, 0]);
    let affine = |name: &str| m.weight_permuted(name, &stored, by_row, &[8 * d * h * w, channels]);

    let centred = m.sub(x, &mean(x));
    let variance = mean(&m.mul(&centred, &centred)); // [B, 1, 1]
    let deviation = m.sqrt(&m.add(&variance, &m.scalar(LAYER_NORM_EPSILON)));
    let normal = m.div(&centred, &deviation);
    m.add(&m.mul(&normal, &affine("weight")), &affine("bias"))
}

/// `nn.GELU()`: `x/2 (1 + erf(x / sqrt 2))`, exact; half to half.
///
/// Written with `Erf`, which every provider has; ONNX Runtime makes one kernel of the five nodes.
pub(crate) fn gelu_erf(m: &Module, x: &Value) -> Value {
    let erf = m.erf(&m.div(x, &m.number(SQRT_2)));
    m.mul(&m.mul(x, &m.add(&erf, &m.number(1.0))), &m.number(0.5))
}

/// CLIP's activation: `x sigmoid(1.702 x)`; half to half.
pub(crate) fn quick_gelu(m: &Module, x: &Value) -> Value {
    m.mul(x, &m.sigmoid(&m.mul(x, &m.number(1.702))))
}

/// Attention of `q` to `k`, weighing `v`, in standard operators; half to half, the softmax full.
///
/// `q [B, T, width]`, `k` and `v [B', S, width]` give `[B, T, width]`, where `B'` or `B` may be 1. `mask`
/// turns full scores `[B, heads, T, S]` into masked ones.
pub(crate) fn attention(
    m: &Module,
    [q, k, v]: [&Value; 3],
    [heads, width]: [usize; 2],
    mask: impl FnOnce(Value) -> Value,
) -> Value {
    let channels = width / heads;
    let split = |x: &Value| m.reshape(x, &[0, 0, heads as i64, channels as i64]); // [B, T, heads, channels]
    let scale = m.number(1.0 / (channels as f32).sqrt());
    let q = m.transpose(&split(&m.mul(q, &scale)), &[0, 2, 1, 3]); // [B, heads, T, channels]
    let k = m.transpose(&split(k), &[0, 2, 3, 1]); // [B, heads, channels, S]
    let v = m.transpose(&split(v), &[0, 2, 1, 3]); // [B, heads, S, channels]
    let scores = mask(m.full(&m.mat_mul(&q, &k))); // [B, heads, T, S]
    let mixed = m.mat_mul(&m.half(&m.softmax(-1, &scores)), &v); // [B, heads, T, channels]
    m.reshape(&m.transpose(&mixed, &[0, 2, 1, 3]), &[0, 0, width as i64]) // [B, T, width]
}
