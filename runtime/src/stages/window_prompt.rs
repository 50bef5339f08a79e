//! One prompt in one window, the input of the prompt encoder.

use segvol_onnx::PromptLabel;

use super::embedding::TextEmbedding;

/// One prompt in one window, the input of the prompt encoder.
///
/// The order of its tokens is part of the model: the points and their padding, then the corners of the box, then the text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WindowPrompt<'a> {
    /// Points in voxels of the window, `(d, h, w)`, with their labels.
    pub points: Vec<([f32; 3], PromptLabel)>,
    /// Box in voxels of the window, `(d0, h0, w0, d1, h1, w1)`, with an inclusive maximum.
    pub bounding_box: Option<[f32; 6]>,
    /// The encoded text.
    pub text: Option<&'a TextEmbedding>,
}

impl WindowPrompt<'_> {
    /// The tokens of the prompt: coordinates in voxels of the window, `(d, h, w)`, and the kind of token.
    ///
    /// # Quirk
    ///
    /// With points and without a box, one more "not a point" token follows, even if the points already contain one.
    ///
    /// # Source
    ///
    /// BAAI-DCAI/SegVol@5768c97, `segment_anything_volumetric/modeling/prompt_encoder.py`, `forward`.
    #[must_use]
    pub fn tokens(&self) -> Vec<([f32; 3], PromptLabel)> {
        let mut tokens = self.points.clone();
        if !self.points.is_empty() && self.bounding_box.is_none() {
            tokens.push(([0.0; 3], PromptLabel::NotAPoint));
        }
        if let Some([d0, h0, w0, d1, h1, w1]) = self.bounding_box {
            tokens.push(([d0, h0, w0], PromptLabel::BoxMin));
            tokens.push(([d1, h1, w1], PromptLabel::BoxMax));
        }
        if self.text.is_some() {
            tokens.push(([0.0; 3], PromptLabel::Text));
        }
        tokens
    }
}
