//! The layers of `torch.nn` that SegVol consists of, in ONNX operators.
//!
//! Each function says which element type it takes and returns: *f32*, or *compute*, the element type of the graph's
//! matrix products (float16 in a float16 graph, float32 in all others).

use std::f32::consts::SQRT_2;

use segvol_onnx::Value;

use crate::int8;
use crate::module::Module;

/// torch's default epsilon, which SegVol uses everywhere.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// `nn.Linear`: `x [.., inputs] -> [.., outputs]`, compute to compute.
pub(crate) fn linear(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let product = linear_without_bias(m, x, [inputs, outputs]); // [.., outputs]
    m.add(&product, &m.operand("bias", &[outputs]))
}

/// `nn.Linear(bias=False)`: `x [.., inputs] -> [.., outputs]`, compute to compute.
///
/// torch stores the weight as `[outputs, inputs]`. The graph has it transposed, so that no runtime has to do it.
pub(crate) fn linear_without_bias(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    m.observe(x, inputs);
    match m.quantised([inputs, outputs], false) {
        Some(layer) => int8::mat_mul(m, x, &layer, [inputs, outputs]),
        None => m.mat_mul(x, &m.operand_transposed("weight", [outputs, inputs])),
    }
}

/// `nn.LayerNorm` over the last axis: `x [.., width] -> [.., width]`, f32 to f32.
pub(crate) fn layer_norm(m: &Module, x: &Value, width: usize) -> Value {
    m.layer_normalization(x, &m.weight("weight", &[width]), &m.weight("bias", &[width]), LAYER_NORM_EPSILON)
}

/// `nn.LayerNorm` over the last axis whose only reader is the linear layer `next`: `x [.., inputs] -> [.., inputs]`,
/// f32 to compute. If `next` is int8 and calibrated, the norm is divided by the factors that smooth its input.
pub(crate) fn layer_norm_before(m: &Module, next: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let layer = next.quantised([inputs, outputs], true);
    let Some(factors) = layer.as_ref().and_then(|layer| layer.weight.smoothing.as_ref()) else {
        return m.to_compute(&layer_norm(m, x, inputs));
    };
    let divided = |name: &str| {
        let divide = |values: &[f32]| values.iter().zip(factors).map(|(value, factor)| value / factor).collect();
        m.computed(&format!("{name}.smoothed"), &[inputs], (name, &[inputs]), divide)
    };
    m.layer_normalization(x, &divided("weight"), &divided("bias"), LAYER_NORM_EPSILON)
}

/// `nn.LayerNorm` over `[C, 2 Gd, 2 Gh, 2 Gw]` jointly: `x [B, 8 N, C] -> [B, 8 N, C]`, f32 to f32. The rows of `x` are
/// those voxels in the order (grid, doubling).
///
/// Each mean is computed axis by axis. `LayerNormalization`, or one `ReduceMean` over millions of elements, adds them
/// up in one float32 and is off by 6.5e-5 at the full model's size; the chain is off by 8e-8. The last two means are
/// matrix products. A `ReduceMean` with few results chooses its order of sums by the number of results and of threads,
/// so a prompt alone would differ from the same prompt in a batch.
pub(crate) fn layer_norm_joint(m: &Module, x: &Value, grid_dhw: [usize; 3], channels: usize) -> Value {
    let [d, h, w] = grid_dhw;
    #[allow(clippy::cast_precision_loss)] // Some slices.
    let slices = m.scalar((d * h) as f32);
    let ones = m.floats("ones", &[1, 1, d], &vec![1.0; d]); // [1, 1, Gd]
    let ones_of_slice = m.floats("ones of a slice", &[h, 1], &vec![1.0; h]); // [Gh, 1]
    let mean = |x: &Value| {
        let means = m.reshape(&m.reduce_mean(2, x), &[0, d as i64, h as i64, 8 * w as i64]); // [B, Gd, Gh, 8 Gw]
        let means = m.reshape(&m.reduce_mean(3, &means), &[0, 0, h as i64]); // [B, Gd, Gh]
        m.div(&m.mat_mul(&ones, &m.mat_mul(&means, &ones_of_slice)), &slices) // [B, 1, 1]
    };
    let stored = [channels, 2 * d, 2 * h, 2 * w];
    let by_row: (&[usize], &[usize]) = (&[channels, d, 2, h, 2, w, 2], &[1, 3, 5, 2, 4, 6, 0]);
    let affine = |name: &str| m.weight_permuted(name, &stored, by_row, &[8 * d * h * w, channels]); // [8 N, C]

    let centred = m.sub(x, &mean(x)); // [B, 8 N, C]
    let variance = mean(&m.mul(&centred, &centred)); // [B, 1, 1]
    let deviation = m.sqrt(&m.add(&variance, &m.scalar(LAYER_NORM_EPSILON))); // [B, 1, 1]
    let normal = m.div(&centred, &deviation); // [B, 8 N, C]
    m.add(&m.mul(&normal, &affine("weight")), &affine("bias"))
}

/// `nn.GELU()`: `x/2 (1 + erf(x / sqrt 2))`, the exact form; any shape, compute to compute.
///
/// Written with `Erf`, which every provider supports; ONNX Runtime fuses the five nodes.
pub(crate) fn gelu_erf(m: &Module, x: &Value) -> Value {
    let erf = m.erf(&m.div(x, &m.compute_scalar(SQRT_2)));
    m.mul(&m.mul(x, &m.add(&erf, &m.compute_scalar(1.0))), &m.compute_scalar(0.5))
}

/// CLIP's activation: `x sigmoid(1.702 x)`; any shape, compute to compute.
pub(crate) fn quick_gelu(m: &Module, x: &Value) -> Value {
    m.mul(x, &m.sigmoid(&m.mul(x, &m.compute_scalar(1.702))))
}

/// Multi-head attention in standard operators: `q [B, T, width]`, `k` and `v [B', S, width] -> [B, T, width]`, where
/// `B` or `B'` may be 1; compute to compute, with the softmax in f32. `mask` receives the scores `[B, heads, T, S]` as
/// f32 and returns them masked.
pub(crate) fn attention(
    m: &Module,
    [q, k, v]: [&Value; 3],
    [heads, width]: [usize; 2],
    mask: impl FnOnce(Value) -> Value,
) -> Value {
    let channels = width / heads;
    let split = |x: &Value| m.reshape(x, &[0, 0, heads as i64, channels as i64]); // [B, T, heads, channels]
    let scale = m.compute_scalar(1.0 / (channels as f32).sqrt());
    let q = m.transpose(&split(&m.mul(q, &scale)), &[0, 2, 1, 3]); // [B, heads, T, channels]
    let k = m.transpose(&split(k), &[0, 2, 3, 1]); // [B, heads, channels, S]
    let v = m.transpose(&split(v), &[0, 2, 1, 3]); // [B, heads, S, channels]
    let scores = mask(m.to_f32(&m.mat_mul(&q, &k))); // [B, heads, T, S]
    let weights = m.to_compute(&m.softmax(-1, &scores)); // [B, heads, T, S]
    let mixed = m.mat_mul(&weights, &v); // [B, heads, T, channels]
    m.reshape(&m.transpose(&mixed, &[0, 2, 1, 3]), &[0, 0, width as i64]) // [B, T, width]
}
