//! Image encoder: MONAI's ViT over patches of the window.
//!
//! # Source
//!
//! monai 0.9.0, `networks/nets/vit.py`, `networks/blocks/{patchembedding,transformerblock,selfattention,mlp}.py`.

use segvol_onnx::{Architecture, Value, Variant};

use crate::int8;
use crate::nn::{attention, gelu_erf, layer_norm, layer_norm_before, linear, linear_without_bias};
use crate::weights::Module;

/// `image [B, 1, D, H, W] -> image_embedding [B, N, C]`, full to full. Between the blocks, `x` is full.
pub(crate) fn image_encoder(m: &Module, a: &Architecture, image: &Value, variant: Variant) -> Value {
    let mut x = patch_embedding(&m.at("patch_embedding").not_quantised(), a, image); // [B, N, C]
    for i in 0..a.image_encoder.layers {
        x = block(&m.block("blocks", i), a, &x, variant, i == 0);
    }
    layer_norm(&m.at("norm"), &x, a.channels)
}

/// `b c (gd pd) (gh ph) (gw pw) -> b (gd gh gw) (pd ph pw c)`, a linear layer, and a learned position.
fn patch_embedding(m: &Module, a: &Architecture, image: &Value) -> Value {
    let [gd, gh, gw] = a.grid_dhw().map(|n| n as i64);
    let [pd, ph, pw] = a.patch_dhw.map(|n| n as i64);
    let (tokens, voxels) = (a.image_tokens(), a.patch_dhw.iter().product::<usize>());

    let x = m.reshape(image, &[0, gd, pd, gh, ph, gw, pw]); // the one input channel falls away
    let x = m.transpose(&x, &[0, 1, 3, 5, 2, 4, 6]); // [B, gd, gh, gw, pd, ph, pw]
    let x = m.reshape(&x, &[0, tokens as i64, voxels as i64]); // [B, N, pd ph pw]
    let x = linear(&m.at("patch_embeddings.1"), &m.half(&x), [voxels, a.channels]); // [B, N, C]
    m.add(&m.full(&x), &m.weight("position_embeddings", &[1, tokens, a.channels]))
}

/// In the `first` block the MLP is never int8: there is little yet that its output is added to, and on the demo model its
/// rounding outweighed that of all other layers together (docs/precision.md).
fn block(m: &Module, a: &Architecture, x: &Value, variant: Variant, first: bool) -> Value {
    let (width, hidden) = (a.channels, a.image_encoder.mlp);
    let attn = m.at("attn");
    let normal = layer_norm_before(&m.at("norm1"), &attn.at("qkv"), x, [width, 3 * width]);
    let x = m.add(x, &m.full(&self_attention(&attn, a, &normal, variant)));
    let mlp_module = if first { m.at("mlp").not_quantised() } else { m.at("mlp") };
    let normal = layer_norm_before(&m.at("norm2"), &mlp_module.at("linear1"), &x, [width, hidden]);
    m.add(&x, &m.full(&mlp(&mlp_module, a, &normal)))
}

/// The `3 C` outputs of `qkv` are ordered `(q|k|v, head, channel)`.
///
/// This is the one attention that has a fused variant: ONNX Runtime's kernel takes neither a batch that
/// differs between queries and keys (mask decoder) nor, without leaving its fast path, a causal mask
/// (text encoder).
fn self_attention(m: &Module, a: &Architecture, x: &Value, variant: Variant) -> Value {
    let (width, heads) = (a.channels, a.image_encoder.heads);
    let qkv = linear_without_bias(&m.at("qkv"), x, [width, 3 * width]); // [B, N, 3 C]
    let [q, k, v] = m.split(-1, &qkv, [width; 3]); // [B, N, C] each
    let (q, k) = (int8::operand(&m.at("q"), &q, width), int8::operand(&m.at("k"), &k, width));
    let mixed = if variant.is_fused() {
        m.multi_head_attention(&q, &k, &v, heads)
    } else {
        attention(m, [&q, &k, &v], [heads, width], |scores| scores)
    };
    linear(&m.at("out_proj"), &mixed, [width, width])
}

fn mlp(m: &Module, a: &Architecture, x: &Value) -> Value {
    let (width, hidden) = (a.channels, a.image_encoder.mlp);
    let x = gelu_erf(m, &linear(&m.at("linear1"), x, [width, hidden])); // [B, N, mlp]
    linear(&m.at("linear2"), &x, [hidden, width])
}
