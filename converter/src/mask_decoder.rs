//! Mask decoder: image and prompt tokens to mask logits.
//!
//! # Source
//!
//! BAAI-DCAI/SegVol@5768c97, `segment_anything_volumetric/modeling/mask_decoder.py`, with the one mask of
//! `multimask_output=False`.

use segvol_onnx::{Architecture, Value};

use crate::nn::{gelu_erf, layer_norm_joint, linear};
use crate::prompt_encoder::dense_position_code;
use crate::two_way_transformer::two_way_transformer;
use crate::weights::Module;

/// Mask tokens of the model, of which the first gives the mask.
const MASK_TOKENS: usize = 4;

/// `image_embedding [1, N, C], sparse_embeddings [B, P, C], text_alignment [B, C/8] ->
/// low_res_logits [B, 4 Gd, 4 Gh, 4 Gw]`.
///
/// Text is one vector added to the mask token's: the released code multiplies both with the upscaled image
/// and adds the products. Without text the vector is zero, so no variant of the graph is needed.
pub(crate) fn mask_decoder(
    m: &Module,
    a: &Architecture,
    [image_embedding, sparse_embeddings, text_alignment]: [&Value; 3],
) -> Value {
    let decoder = m.at("mask_decoder");
    let prompt_encoder = m.at("prompt_encoder");

    let output_tokens = output_tokens(&decoder, a, text_alignment); // [B, 5, C]
    let tokens = m.concat(1, &[&output_tokens, sparse_embeddings]); // [B, 5+P, C]
    let no_mask = prompt_encoder.weight("no_mask_embed.weight", &[1, a.channels]);
    let image = m.add(image_embedding, &no_mask); // [1, N, C]
    let image_code = dense_position_code(&prompt_encoder, a); // [1, N, C]

    let [tokens, image] = two_way_transformer(&decoder.at("transformer"), a, [&image, &image_code, &tokens]);

    let upscaled = output_upscaling(&decoder.at("output_upscaling"), a, &image); // [B, C/8, 4Gd, 4Gh, 4Gw]
    // All tokens, though only that after `iou_token` is taken: a matrix of one row would go through ONNX Runtime's
    // matrix-vector kernel, which rounds otherwise, and a prompt alone would differ from the same prompt in a batch.
    let hyper = hypernetwork(&decoder.at("output_hypernetworks_mlps.0"), a, &tokens); // [B, 5+P, C/8]
    let hyper = m.add(&m.gather(1, &hyper, &m.int(1)), text_alignment); // [B, C/8]

    let [d, h, w] = a.low_res_dhw().map(|n| n as i64);
    let voxels = m.reshape(&upscaled, &[0, 0, d * h * w]); // [B, C/8, 4Gd 4Gh 4Gw]
    let logits = m.mat_mul(&m.unsqueeze(1, &hyper), &voxels); // [B, 1, 4Gd 4Gh 4Gw]
    m.reshape(&logits, &[0, d, h, w])
}

/// `iou_token` and the mask tokens, once per prompt: `[B, 5, C]`.
fn output_tokens(m: &Module, a: &Architecture, text_alignment: &Value) -> Value {
    let iou_token = m.weight("iou_token.weight", &[1, a.channels]);
    let mask_tokens = m.weight("mask_tokens.weight", &[MASK_TOKENS, a.channels]);
    let tokens = m.concat(0, &[&iou_token, &mask_tokens]); // [5, C]
    // Zeros [B, 1, 1] bring the batch in without a shape that is known only when the graph runs.
    let zeros = m.mul(&m.reduce_mean(1, text_alignment), &m.scalar(0.0)); // [B, 1]
    m.add(&m.unsqueeze(2, &zeros), &tokens)
}

/// Image tokens `[B, N, C]`, upscaled four times along every axis: `[B, C/8, 4Gd, 4Gh, 4Gw]`.
fn output_upscaling(m: &Module, a: &Architecture, image: &Value) -> Value {
    let (c, c4, c8) = (a.channels, a.channels / 4, a.channels / 8);
    let [d, h, w] = a.grid_dhw();
    let x = m.transpose(image, &[0, 2, 1]); // [B, C, N]
    let x = m.reshape(&x, &[0, 0, d as i64, h as i64, w as i64]); // [B, C, Gd, Gh, Gw]
    let x = conv_transpose_2x(&m.at("0"), &x, [c, c4]); // [B, C/4, 2Gd, 2Gh, 2Gw]
    let x = layer_norm_joint(&m.at("1"), &x, &[c4, 2 * d, 2 * h, 2 * w]);
    let x = gelu_erf(m, &x);
    let x = conv_transpose_2x(&m.at("3"), &x, [c4, c8]); // [B, C/8, 4Gd, 4Gh, 4Gw]
    gelu_erf(m, &x)
}

/// `nn.ConvTranspose3d(kernel_size=2, stride=2)`.
fn conv_transpose_2x(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let weight = m.weight("weight", &[inputs, outputs, 2, 2, 2]);
    m.conv_transpose_3d(x, &weight, &m.weight("bias", &[outputs]), 2)
}

/// Three linear layers, ReLU between: `[B, T, C] -> [B, T, C/8]`.
fn hypernetwork(m: &Module, a: &Architecture, x: &Value) -> Value {
    let c = a.channels;
    let x = m.relu(&linear(&m.at("layers.0"), x, [c, c]));
    let x = m.relu(&linear(&m.at("layers.1"), &x, [c, c]));
    linear(&m.at("layers.2"), &x, [c, a.upscaled_channels()])
}
