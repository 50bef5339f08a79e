//! The sizes of one SegVol model, which determine the shapes of every stage.

use serde::{Deserialize, Serialize};

/// The sizes of a SegVol model.
///
/// All of them follow from the checkpoint's shapes, except the window, the patch and the numbers of heads: if these are
/// not the released ones, a `config.json` next to the checkpoint gives them.
///
/// # Source
///
/// BAAI-DCAI/SegVol@5768c97, `inference_demo.py`, `segment_anything_volumetric/build_sam.py`,
/// `segment_anything_volumetric/modeling/prompt_encoder.py`, `config/clip/config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Voxels `[D, H, W]` of the image encoder's input window: `[32, 256, 256]` as released.
    pub window_dhw: [usize; 3],
    /// Voxels `[D, H, W]` of one image token: `[4, 16, 16]` as released.
    pub patch_dhw: [usize; 3],
    /// Width `C` of image, text and prompt tokens: 768 as released. A multiple of 8.
    pub channels: usize,
    /// Image encoder: hidden width of the MLP, blocks, attention heads.
    pub image_encoder: Transformer,
    /// Text encoder (CLIP's text tower).
    pub text_encoder: TextTransformer,
    /// Mask decoder: hidden width of the MLP, two-way blocks, attention heads.
    pub mask_decoder: Transformer,
}

/// The sizes of a transformer whose width is [`Architecture::channels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    /// Hidden width of the MLP.
    pub mlp: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
}

/// The sizes of CLIP's text tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextTransformer {
    /// Width of the tower's tokens, before `dim_align` projects them to [`Architecture::channels`].
    pub width: usize,
    /// Hidden width of the MLP.
    pub mlp: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Rows of the token embedding: every token id is smaller.
    pub vocabulary: usize,
    /// Longest sequence of token ids: 77 as released.
    pub context_length: usize,
}

impl Architecture {
    /// The released model's sizes.
    pub const RELEASED: Self = Self {
        window_dhw: [32, 256, 256],
        patch_dhw: [4, 16, 16],
        channels: 768,
        image_encoder: Transformer { mlp: 3072, layers: 12, heads: 12 },
        text_encoder: TextTransformer {
            width: 512,
            mlp: 2048,
            layers: 12,
            heads: 8,
            vocabulary: 49408,
            context_length: 77,
        },
        mask_decoder: Transformer { mlp: 2048, layers: 2, heads: 8 },
    };

    /// Image tokens per axis, `[D, H, W]`: the window divided by the patch.
    #[must_use]
    pub fn grid_dhw(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.window_dhw[axis] / self.patch_dhw[axis])
    }

    /// Number of image tokens `N`.
    #[must_use]
    pub fn image_tokens(&self) -> usize {
        self.grid_dhw().iter().product()
    }

    /// Shape `[D, H, W]` of the decoder's logits: four times the grid.
    #[must_use]
    pub fn low_res_dhw(&self) -> [usize; 3] {
        self.grid_dhw().map(|n| 4 * n)
    }

    /// Channels of the upscaled image embedding, and of the text's projection onto it: `C / 8`.
    #[must_use]
    pub fn upscaled_channels(&self) -> usize {
        self.channels / 8
    }
}
