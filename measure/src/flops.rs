//! Floating-point operations of each stage, counted from the model's sizes. Every multiplication in a matrix product or
//! convolution counts as two operations, because it is followed by an addition. Element-wise operations do not count.
//!
//! The counts are those of the graphs that the converter writes. The released program needs more, because its mask
//! decoder projects the image tokens themselves.

use segvol_onnx::{Architecture, Stage};

/// The size of the inputs of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Windows, names or prompts.
    pub batch: usize,
    /// Token ids of a name (text encoder), or tokens of a prompt (prompt encoder, mask decoder).
    pub tokens: usize,
}

/// Operations of one run of a stage.
#[must_use]
pub fn of_stage(stage: Stage, a: &Architecture, load: Load) -> f64 {
    match stage {
        Stage::ImageEncoder => image_encoder(a, load.batch),
        Stage::TextEncoder => text_encoder(a, load.batch, load.tokens),
        Stage::PromptEncoder => prompt_encoder(a, load.batch, load.tokens),
        Stage::MaskDecoder => mask_decoder(a, load.batch, load.tokens),
    }
}

/// Operations of a product of `[m, k]` and `[k, n]`.
fn product(m: usize, k: usize, n: usize) -> f64 {
    2.0 * m as f64 * k as f64 * n as f64
}

/// Operations of the scores of `queries` against `keys` and of the weighted sum of values. `width` is that of all heads
/// together.
fn attention(queries: usize, keys: usize, width: usize) -> f64 {
    2.0 * product(queries, width, keys)
}

/// Patches to tokens, then per block: queries, keys and values at once, attention, its projection, and the MLP.
#[must_use]
pub fn image_encoder(a: &Architecture, batch: usize) -> f64 {
    let (n, c, mlp) = (a.image_tokens(), a.channels, a.image_encoder.mlp);
    let patches = product(n, a.patch_dhw.iter().product(), c);
    let block = product(n, c, 3 * c) + attention(n, n, c) + product(n, c, c) + 2.0 * product(n, c, mlp);
    batch as f64 * (patches + a.image_encoder.layers as f64 * block)
}

/// Per layer: four projections, attention, and the MLP. Then `dim_align` and the alignment of every token, and the
/// selection of the end token's rows, which is a product in the graph.
#[must_use]
pub fn text_encoder(a: &Architecture, batch: usize, length: usize) -> f64 {
    let (t, text) = (length, &a.text_encoder);
    let layer =
        4.0 * product(t, text.width, text.width) + attention(t, t, text.width) + 2.0 * product(t, text.width, text.mlp);
    let align = product(t, text.width, a.channels) + product(t, a.channels, a.upscaled_channels());
    let choose = product(1, t, a.channels) + product(1, t, a.upscaled_channels());
    batch as f64 * (text.layers as f64 * layer + align + choose)
}

/// The position encoding of every token: its coordinates times a matrix of `C / 2` columns.
#[must_use]
pub fn prompt_encoder(a: &Architecture, batch: usize, tokens: usize) -> f64 {
    batch as f64 * product(tokens, 3, a.channels / 2)
}

/// The two-way transformer over the prompt's tokens and the model's five, the upscaling of the image, and its product
/// with the mask token, all of it per prompt.
///
/// The graph multiplies the image's projection matrices with the few tokens, once per head, instead of with the image.
#[must_use]
pub fn mask_decoder(a: &Architecture, batch: usize, tokens: usize) -> f64 {
    let (n, c, half) = (a.image_tokens(), a.channels, a.channels / 2);
    let t = 5 + tokens;
    // Tokens of all heads, each with the width of the image tokens.
    let all = a.mask_decoder.heads * t;
    let project = product(t, c, half);
    // The product with the image's projection and its bias, then with the image.
    let scores = product(t, half, c) + product(t, half, 1) + product(n, c, all);
    let to_image = project + scores + product(all, n, c) + product(t, c, half) + product(t, half, c);
    let of_image = 2.0 * project + scores + product(t, half, c) + product(n, all, c);
    let itself = 4.0 * product(t, c, c) + attention(t, t, c);
    let block = itself + to_image + 2.0 * product(t, c, a.mask_decoder.mlp) + of_image;

    let (quarter, eighth) = (c / 4, a.upscaled_channels());
    // Each voxel becomes eight, twice. The norm in between computes its last two means, over the rows and slices of the
    // window, as products.
    let [slices, rows, _] = a.grid_dhw();
    let norm = 2.0 * (product(slices, rows, 1) + product(1, slices, 1));
    let upscaling = product(n, c, 8 * quarter) + norm + product(8 * n, quarter, 8 * eighth);
    let hypernetwork = 2.0 * product(t, c, c) + product(t, c, eighth);
    // The vector of the mask is there twice: see `converter/src/mask_decoder.rs`.
    let logits = product(64 * n, eighth, 2);
    let prompt = a.mask_decoder.layers as f64 * block + to_image + upscaling + hypernetwork + logits;
    batch as f64 * prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand for the released sizes: 2048 tokens 768 wide, twelve blocks.
    #[test]
    fn the_released_image_encoder_takes_506_gflop_a_window() {
        let (n, c) = (2048.0_f64, 768.0_f64);
        let block = 2.0 * n * c * (3.0 * c + c + 8.0 * c) + 4.0 * n * n * c;
        let expected = 2.0 * n * 1024.0 * c + 12.0 * block;
        assert_eq!(image_encoder(&Architecture::RELEASED, 1), expected);
        assert!((expected / 1e9 - 505.7).abs() < 1.0, "{expected}");
        assert_eq!(image_encoder(&Architecture::RELEASED, 3), 3.0 * expected);
    }

    #[test]
    fn the_decoder_s_upscaling_is_most_of_it_and_longer_prompts_take_more() {
        let a = Architecture::RELEASED;
        let upscaling = 2.0 * 2048.0 * 768.0 * 1536.0 + 2.0 * 16384.0 * 192.0 * 768.0;
        let [three, four] = [3, 4].map(|tokens| mask_decoder(&a, 1, tokens));
        assert!(three > upscaling && three < 3.0 * upscaling, "{three:e}, of which {upscaling:e}");
        assert!(four > three && mask_decoder(&a, 5, 3) == 5.0 * three);
    }
}
