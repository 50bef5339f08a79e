//! Text encoder: CLIP's text tower, and the linear layers that align it with the image.
//!
//! # Source
//!
//! transformers 4.18.0, `models/clip/modeling_clip.py`, `CLIPTextTransformer`;
//! BAAI-DCAI/SegVol@5768c97, `network/model.py`, `TextEncoder`.

use segvol_onnx::{Architecture, Value};

use crate::nn::{attention, layer_norm, linear, quick_gelu};
use crate::weights::Module;

/// `input_ids [B, T] -> text_embedding [B, C], text_alignment [B, C/8]`.
///
/// The alignment is the mask decoder's `txt_align_upscaled_embedding` of the embedding. It lies in this
/// graph because it depends on the text alone: a name is aligned once, not once per mask, and a prompt
/// without text gives the decoder zeros.
pub(crate) fn text_encoder(m: &Module, a: &Architecture, input_ids: &Value) -> [Value; 2] {
    let text = m.at("text_encoder");
    let [tokens, end] = clip_text_model(&text.at("clip_text_model"), a, input_ids);
    // Every token is projected and the end token's row taken last: a matrix of one row would go through ONNX Runtime's
    // matrix-vector kernel, which rounds otherwise, and a name alone would differ from the same name in a batch.
    let embeddings = linear(&text.at("dim_align"), &m.half(&tokens), [a.text_encoder.width, a.channels]); // [B, T, C]
    let align = m.at("mask_decoder.txt_align_upscaled_embedding");
    let alignments = linear(&align, &embeddings, [a.channels, a.upscaled_channels()]); // [B, T, C/8]
    [embeddings, alignments].map(|rows| m.squeeze(1, &m.mat_mul(&end, &m.full(&rows))))
}

/// CLIP's text tower: full tokens `[B, T, width]`, and the end token's place as a row of zeros and one 1, `[B, 1, T]`.
fn clip_text_model(m: &Module, a: &Architecture, input_ids: &Value) -> [Value; 2] {
    let t = &a.text_encoder;
    // Positions 0, 1, .. of every row, from a running sum of ones: the length may be any.
    let ones = m.add(&m.mul(input_ids, &m.int(0)), &m.int(1));
    let positions = m.sub(&m.cum_sum(1, &ones), &m.int(1)); // [B, T]

    let embeddings = m.at("embeddings");
    let tokens = embeddings.rows("token_embedding.weight", &[t.vocabulary, t.width], input_ids);
    let places = embeddings.rows("position_embedding.weight", &[t.context_length, t.width], &positions);
    let mut x = m.add(&tokens, &places); // [B, T, width]

    // A token sees itself and those before it.
    let later = m.greater(&m.unsqueeze(1, &positions), &m.unsqueeze(2, &positions)); // [B, T, T]
    let later = m.unsqueeze(1, &later); // [B, 1, T, T]
    for i in 0..t.layers {
        x = layer(&m.block("encoder.layers", i), a, &x, &later);
    }
    let x = layer_norm(&m.at("final_layer_norm"), &x, t.width);

    // The first position of the greatest id, which is that of the end token. As float32, whose ArgMax every
    // provider has; ids are far below 2^24.
    let end = m.arg_max(1, &m.cast_to_float(input_ids)); // [B, 1]
    let one_hot = m.cast_to_float(&m.equal(&positions, &end)); // [B, T]
    [x, m.unsqueeze(1, &one_hot)]
}

fn layer(m: &Module, a: &Architecture, x: &Value, later: &Value) -> Value {
    let t = &a.text_encoder;
    let normal = m.half(&layer_norm(&m.at("layer_norm1"), x, t.width));
    let x = m.add(x, &m.full(&self_attention(&m.at("self_attn"), a, &normal, later)));
    let mlp = m.at("mlp");
    let normal = m.half(&layer_norm(&m.at("layer_norm2"), &x, t.width));
    let hidden = linear(&mlp.at("fc1"), &normal, [t.width, t.mlp]);
    let mixed = linear(&mlp.at("fc2"), &quick_gelu(&mlp, &hidden), [t.mlp, t.width]);
    m.add(&x, &m.full(&mixed))
}

fn self_attention(m: &Module, a: &Architecture, x: &Value, later: &Value) -> Value {
    let (width, heads) = (a.text_encoder.width, a.text_encoder.heads);
    let [q, k, v] = &["q_proj", "k_proj", "v_proj"].map(|name| linear(&m.at(name), x, [width, width]));
    // The least float32 stands for minus infinity: its exponential is 0, and no row is without a score.
    let mask = |scores: Value| m.r#where(later, &m.scalar(f32::MIN), &scores);
    let mixed = attention(m, [q, k, v], [heads, width], mask);
    linear(&m.at("out_proj"), &mixed, [width, width])
}
