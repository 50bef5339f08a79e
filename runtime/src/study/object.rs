//! One object of a call to a study.

use segvol_base::Warning;
use segvol_onnx::PromptLabel;
use segvol_volume::PointLabel;

use crate::stages::{TextEmbedding, WindowPrompt};
use segvol_prompt::PlacedPrompt;

/// One object of a call: its prompt in voxels of the zoom-out window, and its encoded text.
pub(crate) struct Object {
    pub(crate) prompt: PlacedPrompt,
    pub(crate) text: Option<TextEmbedding>,
    pub(crate) warnings: Vec<Warning>,
}

impl Object {
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
        let bounding_box =
            self.prompt.bounding_box.map(|[[d0, h0, w0], [d1, h1, w1]]| [d0, h0, w0, d1, h1, w1].map(|c| c as f32));
        WindowPrompt { points: self.prompt.points.iter().map(point).collect(), bounding_box, text: self.text.as_ref() }
    }
}
