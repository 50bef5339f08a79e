//! Image encoder: MONAI's ViT over patches of the window.
//!
//! # Source
//!
//! monai 0.9.0, `networks/nets/vit.py`, `networks/blocks/{patchembedding,transformerblock,selfattention,mlp}.py`.

use segvol_onnx::{Architecture, Value, Variant};

use crate::int8;
use crate::module::Module;
use crate::nn::{attention, gelu_erf, layer_norm, layer_norm_before, linear, linear_without_bias};

/// `image [B, 1, D, H, W] -> image_embedding [B, N, C]`, f32 to f32.
pub(crate) fn image_encoder(m: &Module, a: &Architecture, image: &Value, variant: Variant) -> Value {
    let mut x = patch_embedding(&m.at("patch_embedding"), a, image); // [B, N, C]
    for i in 0..a.image_encoder.layers {
        x = block(&m.block("blocks", i), a, &x, variant); // [B, N, C]
    }
    layer_norm(&m.at("norm"), &x, a.channels)
}

/// `image [B, 1, D, H, W] -> [B, N, C]`, f32 to f32: `b c (gd pd) (gh ph) (gw pw) -> b (gd gh gw) (pd ph pw c)`, a
/// linear layer, and a learned position.
fn patch_embedding(m: &Module, a: &Architecture, image: &Value) -> Value {
    let [gd, gh, gw] = a.grid_dhw().map(|n| n as i64);
    let [pd, ph, pw] = a.patch_dhw.map(|n| n as i64);
    let (tokens, voxels) = (a.image_tokens(), a.patch_dhw.iter().product::<usize>());

    let x = m.reshape(image, &[0, gd, pd, gh, ph, gw, pw]); // [B, gd, pd, gh, ph, gw, pw], without the one channel
    let x = m.transpose(&x, &[0, 1, 3, 5, 2, 4, 6]); // [B, gd, gh, gw, pd, ph, pw]
    let x = m.reshape(&x, &[0, tokens as i64, voxels as i64]); // [B, N, pd ph pw]
    let x = linear(&m.at("patch_embeddings.1"), &m.to_compute(&x), [voxels, a.channels]); // [B, N, C]
    m.add(&m.to_f32(&x), &m.weight("position_embeddings", &[1, tokens, a.channels]))
}

/// `x [B, N, C] -> [B, N, C]`, f32 to f32.
fn block(m: &Module, a: &Architecture, x: &Value, variant: Variant) -> Value {
    let (width, hidden) = (a.channels, a.image_encoder.mlp);
    let (attn, mlp) = (m.at("attn"), m.at("mlp"));
    let normal = layer_norm_before(&m.at("norm1"), &attn.at("qkv"), x, [width, 3 * width]); // [B, N, C]
    let x = m.add(x, &m.to_f32(&self_attention(&attn, a, &normal, variant))); // [B, N, C]
    let normal = layer_norm_before(&m.at("norm2"), &mlp.at("linear1"), &x, [width, hidden]); // [B, N, C]
    m.add(&x, &m.to_f32(&self::mlp(&mlp, a, &normal)))
}

/// `x [B, N, C] -> [B, N, C]`, compute to compute. The `3 C` outputs of `qkv` are ordered `(q|k|v, head, channel)`.
///
/// This is the only attention with a fused variant. ONNX Runtime's kernel does not support a batch that differs between
/// queries and keys (mask decoder), and leaves its fast path for a causal mask (text encoder).
fn self_attention(m: &Module, a: &Architecture, x: &Value, variant: Variant) -> Value {
    let (width, heads) = (a.channels, a.image_encoder.heads);
    let qkv = linear_without_bias(&m.at("qkv"), x, [width, 3 * width]); // [B, N, 3 C]
    let [q, k, v] = m.split(-1, &qkv, [width; 3]); // [B, N, C] each
    let q = int8::operand(&m.at("q"), &q, width); // [B, N, C]
    let k = int8::operand(&m.at("k"), &k, width); // [B, N, C]
    let mixed = if variant.is_fused() {
        m.multi_head_attention(&q, &k, &v, heads)
    } else {
        attention(m, [&q, &k, &v], [heads, width], |scores| scores)
    }; // [B, N, C]
    linear(&m.at("out_proj"), &mixed, [width, width])
}

/// `x [B, N, C] -> [B, N, C]`, compute to compute.
fn mlp(m: &Module, a: &Architecture, x: &Value) -> Value {
    let (width, hidden) = (a.channels, a.image_encoder.mlp);
    let x = gelu_erf(m, &linear(&m.at("linear1"), x, [width, hidden])); // [B, N, mlp]
    linear(&m.at("linear2"), &x, [hidden, width])
}
