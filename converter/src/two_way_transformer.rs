//! Two-way transformer: tokens attend to the image, the image attends to the tokens.
//!
//! The image has batch 1 and the tokens have batch `B`, one per prompt. Broadcasting keeps the image at batch 1 until
//! the last attention of the first block, which makes one image per prompt.
//!
//! There are thousands of image tokens and a dozen prompt tokens, so the image is never projected. The score of an
//! attention is `(q W) . x = q . (x W^T)`: instead of the image, the few prompt tokens are multiplied by the image's
//! projection, once per head. This is the same sum in another order with a fifth of the products (fewer products for up
//! to 48 prompt tokens).
//!
//! # Source
//!
//! BAAI-DCAI/SegVol@5768c97, `segment_anything_volumetric/modeling/transformer.py`.

use segvol_onnx::{Architecture, Value};

use crate::module::Module;
use crate::nn::{attention, layer_norm, linear};

/// `image [1, N, C]`, its position code `[1, N, C]`, `tokens [B, T, C] -> tokens [B, T, C], image [B, N, C]`, f32 to
/// f32.
///
/// Position codes are added to queries and keys, never to values. The tokens' position code is the initial
/// tokens.
pub(crate) fn two_way_transformer(
    m: &Module,
    a: &Architecture,
    [image, image_code, tokens]: [&Value; 3],
) -> [Value; 2] {
    let token_code = tokens;
    let mut state = [tokens.clone(), image.clone()];
    for i in 0..a.mask_decoder.layers {
        let [tokens, image] = &state; // [B, T, C], [1 or B, N, C]
        state = block(&m.block("layers", i), a, [tokens, token_code, image, image_code], i == 0);
    }
    let [tokens, image] = state;

    let q = m.add(&tokens, token_code); // [B, T, C]
    let k = m.add(&image, image_code); // [B, N, C]
    let attended = attention_to_image(&m.at("final_attn_token_to_image"), a, [&q, &k, &image]); // [B, T, C]
    let tokens = layer_norm(&m.at("norm_final_attn"), &m.add(&tokens, &attended), a.channels); // [B, T, C]
    [tokens, image]
}

/// One block, each step followed by its norm: `tokens` and their code `[B, T, C]`, `image [1 or B, N, C]`, its code
/// `[1, N, C] -> tokens [B, T, C], image [B, N, C]`, f32 to f32.
///
/// # Quirk
///
/// The first block's self-attention has no position code and no residual: its result replaces the tokens.
fn block(
    m: &Module,
    a: &Architecture,
    [tokens, token_code, image, image_code]: [&Value; 4],
    first: bool,
) -> [Value; 2] {
    let norm = |name: &str, x: &Value| layer_norm(&m.at(name), x, a.channels);

    let self_attn = m.at("self_attn");
    let tokens = if first {
        self_attention(&self_attn, a, [tokens, tokens, tokens])
    } else {
        let q = m.add(tokens, token_code); // [B, T, C]
        m.add(tokens, &self_attention(&self_attn, a, [&q, &q, tokens]))
    };
    let tokens = norm("norm1", &tokens); // [B, T, C]

    let placed = m.add(image, image_code); // [1 or B, N, C]
    let q = m.add(&tokens, token_code); // [B, T, C]
    let attended = attention_to_image(&m.at("cross_attn_token_to_image"), a, [&q, &placed, image]); // [B, T, C]
    let tokens = norm("norm2", &m.add(&tokens, &attended)); // [B, T, C]

    let tokens = norm("norm3", &m.add(&tokens, &mlp(&m.at("mlp"), a, &tokens))); // [B, T, C]

    let k = m.add(&tokens, token_code); // [B, T, C]
    let attended = attention_of_image(&m.at("cross_attn_image_to_token"), a, [&placed, &k, &tokens]); // [B, N, C]
    let image = norm("norm4", &m.add(image, &attended)); // [B, N, C]
    [tokens, image]
}

/// `q`, `k` and `v [B, T, C] -> [B, T, C]`, f32 to f32.
fn self_attention(m: &Module, a: &Architecture, [q, k, v]: [&Value; 3]) -> Value {
    let width = a.channels;
    let q = linear(&m.at("q_proj"), &m.to_compute(q), [width, width]); // [B, T, C]
    let k = linear(&m.at("k_proj"), &m.to_compute(k), [width, width]); // [B, T, C]
    let v = linear(&m.at("v_proj"), &m.to_compute(v), [width, width]); // [B, T, C]
    let mixed = attention(m, [&q, &k, &v], [a.mask_decoder.heads, width], |scores| scores); // [B, T, C]
    m.to_f32(&linear(&m.at("out_proj"), &mixed, [width, width]))
}

/// Tokens attend to the image: `tokens [B, T, C]`, `placed` and `image [1 or B, N, C] -> [B, T, C]`, f32 to f32.
/// `placed` is the image with its position code.
fn attention_to_image(m: &Module, a: &Architecture, [tokens, placed, image]: [&Value; 3]) -> Value {
    let heads = Heads::of(a);
    let q = heads.split(m, &linear(&m.at("q_proj"), &m.to_compute(tokens), heads.inward())); // [B, heads, T, c]
    let scores = m.transpose(&heads.scores(&m.at("k_proj"), &q, &m.to_compute(placed)), &[0, 2, 1]); // [B, heads T, N]
    let weights = m.to_compute(&m.softmax(-1, &scores)); // [B, heads T, N]
    // The image on the left: it has more rows than the weights, so ONNX Runtime's CPU provider divides the rows among
    // threads and prompts. Columns, which it would divide the other way round, change the order of the sums.
    let [image, weights] = [&m.to_compute(image), &weights].map(|x| m.transpose(x, &[0, 2, 1]));
    let mixed = m.transpose(&m.mat_mul(&image, &weights), &[0, 2, 1]); // [B, heads T, C]
    let mixed = m.mat_mul(&heads.unmerge(m, &mixed), &heads.columns(&m.at("v_proj"))); // [B, heads, T, c]
    let mixed = m.reshape(&m.transpose(&mixed, &[0, 2, 1, 3]), &[0, 0, heads.inner() as i64]); // [B, T, C/2]
    let mixed = m.add(&mixed, &m.at("v_proj").operand("bias", &[heads.inner()])); // as the weights add up to 1
    m.to_f32(&linear(&m.at("out_proj"), &mixed, heads.outward()))
}

/// The image attends to the tokens: `placed [1 or B, N, C]`, `keys` and `tokens [B, T, C] -> [B, N, C]`, f32 to f32.
/// `placed` is the image, and `keys` the tokens, with their position codes.
fn attention_of_image(m: &Module, a: &Architecture, [placed, keys, tokens]: [&Value; 3]) -> Value {
    let heads = Heads::of(a);
    let k = heads.split(m, &linear(&m.at("k_proj"), &m.to_compute(keys), heads.inward())); // [B, heads, T, c]
    let scores = heads.scores(&m.at("q_proj"), &k, &m.to_compute(placed)); // [B, N, heads T]
    let scores = m.reshape(&scores, &[0, 0, heads.count as i64, -1]); // [B, N, heads, T]
    let weights = m.reshape(&m.to_compute(&m.softmax(-1, &scores)), &[0, a.image_tokens() as i64, -1]); // [B, N, heads T]
    let v = heads.split(m, &linear(&m.at("v_proj"), &m.to_compute(tokens), heads.inward())); // [B, heads, T, c]
    let v = heads.merge(m, &m.mat_mul(&v, &heads.rows_out(&m.at("out_proj")))); // [B, heads T, C]
    m.to_f32(&m.add(&m.mat_mul(&weights, &v), &m.at("out_proj").operand("bias", &[a.channels])))
}

/// The sizes of a cross attention, whose inner width is half that of the tokens.
struct Heads {
    /// Width `C` of the tokens.
    width: usize,
    /// Number of heads.
    count: usize,
    /// Channels `c` per head.
    channels: usize,
}

impl Heads {
    fn of(a: &Architecture) -> Self {
        Self { width: a.channels, count: a.mask_decoder.heads, channels: a.channels / 2 / a.mask_decoder.heads }
    }

    /// The inner width, `heads c`.
    fn inner(&self) -> usize {
        self.count * self.channels
    }

    /// Inputs and outputs of a projection to the inner width.
    fn inward(&self) -> [usize; 2] {
        [self.width, self.inner()]
    }

    /// Inputs and outputs of a projection from the inner width.
    fn outward(&self) -> [usize; 2] {
        [self.inner(), self.width]
    }

    /// `[B, T, C/2] -> [B, heads, T, c]`.
    fn split(&self, m: &Module, x: &Value) -> Value {
        m.transpose(&m.reshape(x, &[0, 0, self.count as i64, self.channels as i64]), &[0, 2, 1, 3])
    }

    /// Scaled scores of `image` and tokens that are projected already: `tokens [B, heads, T, c]`, `image [1 or B, N, C]
    /// -> [B, N, heads T]`, compute to f32. `projection` is that of the image.
    fn scores(&self, projection: &Module, tokens: &Value, image: &Value) -> Value {
        let m = projection;
        let tokens = m.mul(tokens, &m.compute_scalar(1.0 / (self.channels as f32).sqrt())); // [B, heads, T, c]
        let inner = [self.inner()];
        let bias = m.operand_permuted("bias", &inner, (&inner, &[0]), &[self.count, self.channels, 1]); // [heads, c, 1]
        let bias = m.reshape(&m.mat_mul(&tokens, &bias), &[0, 1, -1]); // [B, 1, heads T]
        let tokens = self.merge(m, &m.mat_mul(&tokens, &self.rows(m))); // [B, heads T, C]
        m.add(&m.to_f32(&m.mat_mul(image, &m.transpose(&tokens, &[0, 2, 1]))), &m.to_f32(&bias))
    }

    /// `[B, heads, T, C] -> [B, heads T, C]`.
    fn merge(&self, m: &Module, x: &Value) -> Value {
        m.reshape(x, &[0, -1, self.width as i64])
    }

    /// `[B, heads T, C] -> [B, heads, T, C]`.
    fn unmerge(&self, m: &Module, x: &Value) -> Value {
        m.reshape(x, &[0, self.count as i64, -1, self.width as i64])
    }

    /// A projection's weight, `[heads c, C]` in the checkpoint, as `[heads, c, C]`, to multiply projected tokens by.
    fn rows(&self, m: &Module) -> Value {
        let (n, c) = (self.count, self.channels);
        m.operand_permuted("weight", &[n * c, self.width], (&[n, c, self.width], &[0, 1, 2]), &[n, c, self.width])
    }

    /// The last projection's weight, `[C, heads c]` in the checkpoint, as `[heads, c, C]`.
    fn rows_out(&self, m: &Module) -> Value {
        let (n, c, width) = (self.count, self.channels, self.width);
        m.operand_permuted("weight", &[width, n * c], (&[width, n, c], &[1, 2, 0]), &[n, c, width])
    }

    /// A projection's weight, `[heads c, C]` in the checkpoint, as `[heads, C, c]`, to project tokens per head.
    fn columns(&self, m: &Module) -> Value {
        let (n, c) = (self.count, self.channels);
        m.operand_permuted("weight", &[n * c, self.width], (&[n, c, self.width], &[0, 2, 1]), &[n, self.width, c])
    }
}

/// `x [B, T, C] -> [B, T, C]`, f32 to f32.
fn mlp(m: &Module, a: &Architecture, x: &Value) -> Value {
    let hidden = m.relu(&linear(&m.at("lin1"), &m.to_compute(x), [a.channels, a.mask_decoder.mlp])); // [B, T, mlp]
    m.to_f32(&linear(&m.at("lin2"), &hidden, [a.mask_decoder.mlp, a.channels]))
}
