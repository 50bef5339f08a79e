//! Two-way transformer: tokens attend to the image, the image attends to the tokens.
//!
//! The image has batch 1 and the tokens have one row per prompt. Broadcasting keeps it so for as long as it
//! can: the first block's projections of the image are made once, and only its last attention makes one
//! image per prompt.
//!
//! # Source
//!
//! BAAI-DCAI/SegVol@5768c97, `segment_anything_volumetric/modeling/transformer.py`.

use segvol_onnx::{Architecture, Value};

use crate::nn::{attention, layer_norm, linear};
use crate::weights::Module;

/// `image [1, N, C]`, its position code `[1, N, C]`, `tokens [B, T, C] -> tokens [B, T, C], image [B, N, C]`.
///
/// Position codes, of which the tokens' is the initial tokens, are added to queries and keys, never to values.
pub(crate) fn two_way_transformer(
    m: &Module,
    a: &Architecture,
    [image, image_code, tokens]: [&Value; 3],
) -> [Value; 2] {
    let token_code = tokens;
    let mut state = [tokens.clone(), image.clone()];
    for i in 0..a.mask_decoder.layers {
        let [tokens, image] = &state;
        state = block(&m.block("layers", i), a, [tokens, token_code, image, image_code], i == 0);
    }
    let [tokens, image] = state;

    let q = m.add(&tokens, token_code);
    let k = m.add(&image, image_code);
    let attended = cross_attention(&m.at("final_attn_token_to_image"), a, [&q, &k, &image]);
    let tokens = layer_norm(&m.at("norm_final_attn"), &m.add(&tokens, &attended), a.channels);
    [tokens, image]
}

/// One block, each step followed by its norm.
///
/// # Quirk
///
/// The first block's self-attention has no position code, and its result replaces the tokens: no residual.
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
        let q = m.add(tokens, token_code);
        m.add(tokens, &self_attention(&self_attn, a, [&q, &q, tokens]))
    };
    let tokens = norm("norm1", &tokens); // [B, T, C]

    let q = m.add(&tokens, token_code);
    let k = m.add(image, image_code);
    let attended = cross_attention(&m.at("cross_attn_token_to_image"), a, [&q, &k, image]);
    let tokens = norm("norm2", &m.add(&tokens, &attended));

    let tokens = norm("norm3", &m.add(&tokens, &mlp(&m.at("mlp"), a, &tokens)));

    let q = m.add(image, image_code);
    let k = m.add(&tokens, token_code);
    let attended = cross_attention(&m.at("cross_attn_image_to_token"), a, [&q, &k, &tokens]); // [B, N, C]
    let image = norm("norm4", &m.add(image, &attended));
    [tokens, image]
}

fn self_attention(m: &Module, a: &Architecture, qkv: [&Value; 3]) -> Value {
    projected_attention(m, a, qkv, a.channels)
}

/// Cross attention is half as wide as the tokens.
fn cross_attention(m: &Module, a: &Architecture, qkv: [&Value; 3]) -> Value {
    projected_attention(m, a, qkv, a.channels / 2)
}

fn projected_attention(m: &Module, a: &Architecture, [q, k, v]: [&Value; 3], width: usize) -> Value {
    let q = linear(&m.at("q_proj"), q, [a.channels, width]);
    let k = linear(&m.at("k_proj"), k, [a.channels, width]);
    let v = linear(&m.at("v_proj"), v, [a.channels, width]);
    let mixed = attention(m, [&q, &k, &v], [a.mask_decoder.heads, width], |scores| scores);
    linear(&m.at("out_proj"), &mixed, [width, a.channels])
}

fn mlp(m: &Module, a: &Architecture, x: &Value) -> Value {
    let hidden = m.relu(&linear(&m.at("lin1"), x, [a.channels, a.mask_decoder.mlp])); // [B, T, mlp]
    linear(&m.at("lin2"), &hidden, [a.mask_decoder.mlp, a.channels])
}
