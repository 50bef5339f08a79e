//! The layers of `torch.nn` that SegVol is made of, in ONNX operators.

use std::f32::consts::SQRT_2;

use segvol_onnx::{Graph, Value};

use crate::weights::Module;

/// torch's default epsilon, and SegVol's everywhere.
const LAYER_NORM_EPSILON: f32 = 1e-5;

/// `nn.Linear`: `x [.., inputs] -> [.., outputs]`.
pub(crate) fn linear(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let product = linear_without_bias(m, x, [inputs, outputs]);
    m.add(&product, &m.weight("bias", &[outputs]))
}

/// `nn.Linear(bias=False)`. torch keeps the weight as `[outputs, inputs]`; the graph has it transposed, so
/// that no runtime has to.
pub(crate) fn linear_without_bias(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    m.mat_mul(x, &m.weight_transposed("weight", [outputs, inputs]))
}

/// `nn.LayerNorm` over the last axis.
pub(crate) fn layer_norm(m: &Module, x: &Value, width: usize) -> Value {
    m.layer_normalization(x, &m.weight("weight", &[width]), &m.weight("bias", &[width]), LAYER_NORM_EPSILON)
}

/// `nn.LayerNorm` over `[C, 2 Gd, 2 Gh, 2 Gw]` jointly, of `x [B, 8 N, C]` whose rows are those voxels in the order
/// (grid, doubling).
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

/// `nn.GELU()`: `x/2 (1 + erf(x / sqrt 2))`, exact.
///
/// Written with `Erf`, which every provider has; ONNX Runtime makes one kernel of the five nodes.
pub(crate) fn gelu_erf(g: &Graph, x: &Value) -> Value {
    let erf = g.erf(&g.div(x, &g.scalar(SQRT_2)));
    g.mul(&g.mul(x, &g.add(&erf, &g.scalar(1.0))), &g.scalar(0.5))
}

/// CLIP's activation: `x sigmoid(1.702 x)`.
pub(crate) fn quick_gelu(g: &Graph, x: &Value) -> Value {
    g.mul(x, &g.sigmoid(&g.mul(x, &g.scalar(1.702))))
}

/// Attention of `q` to `k`, weighing `v`, in standard operators.
///
/// `q [B, T, width]`, `k` and `v [B', S, width]` give `[B, T, width]`, where `B'` or `B` may be 1. `mask`
/// turns scores `[B, heads, T, S]` into masked ones.
pub(crate) fn attention(
    g: &Graph,
    [q, k, v]: [&Value; 3],
    [heads, width]: [usize; 2],
    mask: impl FnOnce(Value) -> Value,
) -> Value {
    let channels = width / heads;
    let split = |x: &Value| g.reshape(x, &[0, 0, heads as i64, channels as i64]); // [B, T, heads, channels]
    let scale = g.scalar(1.0 / (channels as f32).sqrt());
    let q = g.transpose(&split(&g.mul(q, &scale)), &[0, 2, 1, 3]); // [B, heads, T, channels]
    let k = g.transpose(&split(k), &[0, 2, 3, 1]); // [B, heads, channels, S]
    let v = g.transpose(&split(v), &[0, 2, 1, 3]); // [B, heads, S, channels]
    let scores = mask(g.mat_mul(&q, &k)); // [B, heads, T, S]
    let mixed = g.mat_mul(&g.softmax(-1, &scores), &v); // [B, heads, T, channels]
    g.reshape(&g.transpose(&mixed, &[0, 2, 1, 3]), &[0, 0, width as i64]) // [B, T, width]
}
