//! One object of a call to a study.

use segvol_base::Warning;
use segvol_onnx::PromptLabel;
use segvol_volume::PointLabel;

use crate::stages::{TextEmbedding, WindowPrompt};
use segvol_prompt::{BoxDhw, ExactBox, PlacedPrompt};

/// # Quirk
///
/// Where there is nothing that a box could contain, there still is a box. Its six coordinates are -1 and are embedded like any
/// others.
pub(crate) const EMPTY_BOX: [f32; 6] = [-1.0; 6];

/// One object of a call: its prompt in voxels of the zoom-out window, and its encoded text.
pub(crate) struct Object {
    pub(crate) prompt: PlacedPrompt,
    /// The only prompt in the profile [`Profile::Segfm`](super::Profile::Segfm).
    pub(crate) exact_box: Option<ExactBox>,
    pub(crate) text: Option<TextEmbedding>,
    pub(crate) warnings: Vec<Warning>,
}

impl Object {
    /// The user's box in voxels of the crop, if the region contains it whatever the mask is.
    pub(crate) fn in_crop(&self) -> Option<BoxDhw> {
        self.exact_box?.in_crop
    }

    /// The prompt for the zoom-out window, as input of the prompt encoder.
    #[allow(clippy::cast_precision_loss)] // Voxels of a window are far below 2^24.
    pub(crate) fn in_zoom_out_window(&self) -> WindowPrompt<'_> {
        let point = |&(voxel, label): &([usize; 3], PointLabel)| {
            let label = match label {
                PointLabel::Foreground => PromptLabel::Foreground,
                PointLabel::Background => PromptLabel::Background,
            };
            (voxel.map(|c| c as f32), label)
        };
        let corners = |[[d0, h0, w0], [d1, h1, w1]]: BoxDhw| [d0, h0, w0, d1, h1, w1].map(|c| c as f32);
        let bounding_box = match self.exact_box {
            Some(exact) => Some(exact.in_window.map_or(EMPTY_BOX, corners)),
            None => self.prompt.bounding_box.map(corners),
        };
        WindowPrompt { points: self.prompt.points.iter().map(point).collect(), bounding_box, text: self.text.as_ref() }
    }
}
