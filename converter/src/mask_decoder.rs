//! Mask decoder: image and prompt tokens to mask logits.
//!
//! # Source
//!
//! BAAI-DCAI/SegVol@5768c97, `segment_anything_volumetric/modeling/mask_decoder.py`, with the one mask of
//! `multimask_output=False`.

use segvol_onnx::{Architecture, Value};

use crate::module::Module;
use crate::nn::{gelu_erf, layer_norm_joint, linear};
use crate::prompt_encoder::dense_position_code;
use crate::two_way_transformer::two_way_transformer;

/// Number of the model's mask tokens; the first makes the mask.
const MASK_TOKENS: usize = 4;

/// `image_embedding [1, N, C], sparse_embeddings [B, P, C], text_alignment [B, C/8] ->
/// low_res_logits [B, 4 Gd, 4 Gh, 4 Gw]`, f32 to f32.
///
/// Text is one vector that is added to that of the mask token: the released code multiplies both with the upscaled
/// image and adds the products. Without text the vector is zero, so the graph needs no variant.
pub(crate) fn mask_decoder(
    m: &Module,
    a: &Architecture,
    [image_embedding, sparse_embeddings, text_alignment]: [&Value; 3],
) -> Value {
    let decoder = m.at("mask_decoder");
    let prompt_encoder = m.at("prompt_encoder");

    let output_tokens = output_tokens(&decoder, a, text_alignment); // [B, 5, C]
    let tokens = m.concat(1, &[&output_tokens, sparse_embeddings]); // [B, 5+P, C]
    let no_mask = prompt_encoder.weight("no_mask_embed.weight", &[1, a.channels]); // [1, C]
    let image = m.add(image_embedding, &no_mask); // [1, N, C]
    let image_code = dense_position_code(&prompt_encoder, a); // [1, N, C]

    // [B, 5+P, C] and [B, N, C]
    let [tokens, image] = two_way_transformer(&decoder.at("transformer"), a, [&image, &image_code, &tokens]);

    let upscaled = output_upscaling(&decoder.at("output_upscaling"), a, &image); // [B, 64 N, C/8]
    // All tokens, although only the one after `iou_token` is used, and that one twice: for a matrix of one row or one
    // column ONNX Runtime has kernels of their own, whose rounding depends on the number of threads and prompts.
    let hyper = hypernetwork(&decoder.at("output_hypernetworks_mlps.0"), a, &m.to_compute(&tokens)); // [B, 5+P, C/8]
    let hyper = m.gather(1, &m.to_f32(&hyper), &m.ints(&[1, 1])); // [B, 2, C/8]
    let hyper = m.add(&hyper, &m.unsqueeze(1, text_alignment)); // [B, 2, C/8]

    let logits = m.mat_mul(&m.to_f32(&upscaled), &m.transpose(&hyper, &[0, 2, 1])); // [B, 64 N, 2]
    let logits = m.gather(2, &logits, &m.int(0)); // [B, 64 N]
    let [_, gh, gw] = a.grid_dhw().map(|n| n as i64);
    // In two steps, because ONNX Runtime's CUDA provider and TensorRT know at most eight axes. The first joins the depths of
    // both doublings with that of the grid, the second heights and widths.
    let logits = m.reshape(&logits, &[-1, gh * gw, 2, 4, 2, 4]); // [B Gd, Gh Gw, 2, 2 2, 2, 2 2]
    let logits = m.transpose(&logits, &[0, 2, 4, 1, 3, 5]); // [B Gd, 2, 2, Gh Gw, 2 2, 2 2]
    let logits = m.reshape(&logits, &[-1, gh, gw, 2, 2, 2, 2]); // [B 4 Gd, Gh, Gw, 2, 2, 2, 2]
    let logits = m.transpose(&logits, &[0, 1, 3, 5, 2, 4, 6]); // [B 4 Gd, Gh, 2, 2, Gw, 2, 2]
    let [d, h, w] = a.low_res_dhw().map(|n| n as i64);
    m.reshape(&logits, &[-1, d, h, w]) // [B, 4 Gd, 4 Gh, 4 Gw]
}

/// `iou_token` and the mask tokens for each prompt: `text_alignment [B, C/8] -> [B, 5, C]`, f32 to f32.
fn output_tokens(m: &Module, a: &Architecture, text_alignment: &Value) -> Value {
    let iou_token = m.weight("iou_token.weight", &[1, a.channels]); // [1, C]
    let mask_tokens = m.weight("mask_tokens.weight", &[MASK_TOKENS, a.channels]); // [4, C]
    let tokens = m.concat(0, &[&iou_token, &mask_tokens]); // [5, C]
    // Adding zeros [B, 1, 1] repeats the tokens B times without a shape that is known only at run time.
    let zeros = m.mul(&m.reduce_mean(1, text_alignment), &m.scalar(0.0)); // [B, 1]
    m.add(&m.unsqueeze(2, &zeros), &tokens) // [B, 5, C]
}

/// Upscales the image tokens four times along every axis: `[B, N, C] -> [B, 64 N, C/8]`, f32 to compute.
///
/// A transposed convolution with kernel size equal to its stride makes eight voxels of each voxel and mixes no two: it
/// is a linear layer. So voxels remain rows, in the order (grid, first doubling, second doubling), and only the logits
/// are moved to their places.
fn output_upscaling(m: &Module, a: &Architecture, image: &Value) -> Value {
    let (c, c4, c8) = (a.channels, a.channels / 4, a.channels / 8);
    let rows =
        |x: &Value, count: usize, width: usize| m.reshape(x, &[0, (count * a.image_tokens()) as i64, width as i64]);
    let x = rows(&conv_transpose_2x(&m.at("0"), &m.to_compute(image), [c, c4]), 8, c4); // [B, 8 N, C/4]
    let x = layer_norm_joint(&m.at("1"), &m.to_f32(&x), a.grid_dhw(), c4); // [B, 8 N, C/4]
    let x = gelu_erf(m, &m.to_compute(&x)); // [B, 8 N, C/4]
    let x = conv_transpose_2x(&m.at("3"), &x, [c4, c8]); // [B, 8 N, 8 C/8]
    // GELU before the reshape, so that ONNX Runtime adds the bias in the same pass.
    rows(&gelu_erf(m, &x), 64, c8) // [B, 64 N, C/8]
}

/// `nn.ConvTranspose3d(kernel_size=2, stride=2)` of voxels as rows: `x [B, V, inputs] -> [B, V, 8 outputs]`, compute to
/// compute.
fn conv_transpose_2x(m: &Module, x: &Value, [inputs, outputs]: [usize; 2]) -> Value {
    let stored = [inputs, outputs, 2, 2, 2];
    let shape = [inputs, 8 * outputs];
    let weight = m.operand_permuted("weight", &stored, (&[inputs, outputs, 8], &[0, 2, 1]), &shape);
    let bias = m.operand_computed("bias of eight", &[8 * outputs], ("bias", &[outputs]), |bias| bias.repeat(8));
    m.add(&m.mat_mul(x, &weight), &bias)
}

/// Three linear layers with ReLU between them: `x [B, T, C] -> [B, T, C/8]`, compute to compute.
fn hypernetwork(m: &Module, a: &Architecture, x: &Value) -> Value {
    let c = a.channels;
    let x = m.relu(&linear(&m.at("layers.0"), x, [c, c])); // [B, T, C]
    let x = m.relu(&linear(&m.at("layers.1"), &x, [c, c])); // [B, T, C]
    linear(&m.at("layers.2"), &x, [c, a.upscaled_channels()])
}
