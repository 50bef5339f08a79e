//! Text encoder: CLIP's text tower, and the linear layers that align it with the image.
//!
//! # Source
//!
//! transformers 4.18.0, `models/clip/modeling_clip.py`, `CLIPTextTransformer`;
//! BAAI-DCAI/SegVol@5768c97, `network/model.py`, `TextEncoder`.

use segvol_onnx::{Architecture, Value};

use crate::module::Module;
use crate::nn::{attention, layer_norm, linear, quick_gelu};

/// `input_ids [B, T] -> text_embedding [B, C], text_alignment [B, C/8]`, int64 to f32.
///
/// The alignment is the mask decoder's `txt_align_upscaled_embedding` of the embedding. It is in this graph because it
/// depends only on the text: it is computed once per name, not once per mask, and a prompt without text gives the
/// decoder zeros.
pub(crate) fn text_encoder(m: &Module, a: &Architecture, input_ids: &Value) -> [Value; 2] {
    let text = m.at("text_encoder");
    let [tokens, end] = clip_text_model(&text.at("clip_text_model"), a, input_ids); // [B, T, width], [B, 1, T]
    // Every token is projected, and only then the end token's row selected. A matrix of one row would use ONNX
    // Runtime's matrix-vector kernel, which rounds differently, and a name alone would differ from the same name in a
    // batch.
    let tokens = m.to_compute(&tokens); // [B, T, width]
    let embeddings = linear(&text.at("dim_align"), &tokens, [a.text_encoder.width, a.channels]); // [B, T, C]
    let align = m.at("mask_decoder.txt_align_upscaled_embedding");
    let alignments = linear(&align, &embeddings, [a.channels, a.upscaled_channels()]); // [B, T, C/8]
    [embeddings, alignments].map(|rows| m.squeeze(1, &m.mat_mul(&end, &m.to_f32(&rows))))
}

/// CLIP's text tower: `input_ids [B, T] -> tokens [B, T, width], end [B, 1, T]`, int64 to f32. `end` is 1 at the end
/// token's position and 0 elsewhere.
fn clip_text_model(m: &Module, a: &Architecture, input_ids: &Value) -> [Value; 2] {
    let t = &a.text_encoder;
    // Positions 0, 1, .. of every row are a running sum of ones, for any length.
    let ones = m.add(&m.mul(input_ids, &m.int(0)), &m.int(1)); // [B, T]
    let positions = m.sub(&m.cum_sum(1, &ones), &m.int(1)); // [B, T]

    let embeddings = m.at("embeddings");
    let tokens = embeddings.rows("token_embedding.weight", &[t.vocabulary, t.width], input_ids); // [B, T, width]
    let places = embeddings.rows("position_embedding.weight", &[t.context_length, t.width], &positions); // [B, T, width]
    let mut x = m.add(&tokens, &places); // [B, T, width]

    // A token attends to itself and to those before it.
    let later = m.greater(&m.unsqueeze(1, &positions), &m.unsqueeze(2, &positions)); // [B, T, T]
    let later = m.unsqueeze(1, &later); // [B, 1, T, T]
    for i in 0..t.layers {
        x = layer(&m.block("encoder.layers", i), a, &x, &later); // [B, T, width]
    }
    let x = layer_norm(&m.at("final_layer_norm"), &x, t.width); // [B, T, width]

    // The end token has the greatest id; its first position counts. In float32, for which every provider supports
    // ArgMax; ids are far below 2^24.
    let end = m.arg_max(1, &m.cast_to_f32(input_ids)); // [B, 1]
    let one_hot = m.cast_to_f32(&m.equal(&positions, &end)); // [B, T]
    [x, m.unsqueeze(1, &one_hot)]
}

/// `x [B, T, width]`, `later [B, 1, T, T] -> [B, T, width]`, f32 to f32.
fn layer(m: &Module, a: &Architecture, x: &Value, later: &Value) -> Value {
    let t = &a.text_encoder;
    let normal = m.to_compute(&layer_norm(&m.at("layer_norm1"), x, t.width)); // [B, T, width]
    let x = m.add(x, &m.to_f32(&self_attention(&m.at("self_attn"), a, &normal, later))); // [B, T, width]
    let mlp = m.at("mlp");
    let normal = m.to_compute(&layer_norm(&m.at("layer_norm2"), &x, t.width)); // [B, T, width]
    let hidden = linear(&mlp.at("fc1"), &normal, [t.width, t.mlp]); // [B, T, mlp]
    let mixed = linear(&mlp.at("fc2"), &quick_gelu(&mlp, &hidden), [t.mlp, t.width]); // [B, T, width]
    m.add(&x, &m.to_f32(&mixed))
}

/// `x [B, T, width]`, `later [B, 1, T, T] -> [B, T, width]`, compute to compute.
fn self_attention(m: &Module, a: &Architecture, x: &Value, later: &Value) -> Value {
    let (width, heads) = (a.text_encoder.width, a.text_encoder.heads);
    let project = |name: &str| linear(&m.at(name), x, [width, width]); // [B, T, width]
    let [q, k, v] = &["q_proj", "k_proj", "v_proj"].map(project);
    // The least float32 replaces minus infinity: its exponential is 0, and every row keeps a finite score.
    let mask = |scores: Value| m.r#where(later, &m.scalar(f32::MIN), &scores);
    let mixed = attention(m, [q, k, v], [heads, width], mask); // [B, T, width]
    linear(&m.at("out_proj"), &mixed, [width, width])
}
