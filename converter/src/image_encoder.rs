//! Image encoder: MONAI's ViT over patches of the window.
//!
//! # Source
//!
//! monai 0.9.0, `networks/nets/vit.py`, `networks/blocks/{patchembedding,transformerblock,selfattention,mlp}.py`.

use segvol_onnx::{Architecture, Value, Variant};

use crate::nn::{attention, gelu_erf, layer_norm, linear, linear_without_bias};
use crate::weights::Module;

/// `image [B, 1, D, H, W] -> image_embedding [B, N, C]`.
pub(crate) fn image_encoder(m: &Module, a: &Architecture, image: &Value, variant: Variant) -> Value {
    let mut x = patch_embedding(&m.at("patch_embedding"), a, image); // [B, N, C]
    for i in 0..a.image_encoder.layers {
        x = block(&m.block("blocks", i), a, &x, variant);
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
    let x = linear(&m.at("patch_embeddings.1"), &x, [voxels, a.channels]); // [B, N, C]
    m.add(&x, &m.weight("position_embeddings", &[1, tokens, a.channels]))
}

fn block(m: &Module, a: &Architecture, x: &Value, variant: Variant) -> Value {
    let attended = self_attention(&m.at("attn"), a, &layer_norm(&m.at("norm1"), x, a.channels), variant);
    let x = m.add(x, &attended);
    let mixed = mlp(&m.at("mlp"), a, &layer_norm(&m.at("norm2"), &x, a.channels));
    m.add(&x, &mixed)
}

/// The `3 C` outputs of `qkv` are ordered `(q|k|v, head, channel)`.
///
/// This is the one attention that has a fused variant: ONNX Runtime's kernel takes neither a batch that
/// differs between queries and keys (mask decoder) nor, without leaving its fast path, a causal mask
/// (text encoder).
fn self_attention(m: &Module, a: &Architecture, x: &Value, variant: Variant) -> Value {
    let (width, heads) = (a.channels, a.image_encoder.heads);
    let qkv = linear_without_bias(&m.at("qkv"), x, [width, 3 * width]); // [B, N, 3 C]
    let [q, k, v] = &m.split(-1, &qkv, [width; 3]); // [B, N, C] each
    let mixed = match variant {
        Variant::Portable => attention(m, [q, k, v], [heads, width], |scores| scores),
        Variant::Fused => m.multi_head_attention(q, k, v, heads),
    };
    linear(&m.at("out_proj"), &mixed, [width, width])
}

fn mlp(m: &Module, a: &Architecture, x: &Value) -> Value {
    let (width, hidden) = (a.channels, a.image_encoder.mlp);
    let x = gelu_erf(m, &linear(&m.at("linear1"), x, [width, hidden])); // [B, N, mlp]
    linear(&m.at("linear2"), &x, [hidden, width])
}
