//! Checkpoint tensors that no graph uses, each with its reason. Any other unused tensor is an error.

use std::collections::BTreeSet;

use segvol_onnx::manifest::NotExported;

use crate::checkpoint::Checkpoint;
use crate::error::TensorFault;

/// Name prefixes, and why the tensors are not exported.
const REASONS: [(&str, &str); 6] = [
    (
        "prompt_encoder.mask_downscaling.",
        "embeds a mask prompt with 2-D convolutions; the released model never calls it, nor was it trained",
    ),
    ("mask_decoder.iou_prediction_head.", "predicts a mask's quality, which the mask does not depend on"),
    ("mask_decoder.output_hypernetworks_mlps.1.", OTHER_MASKS),
    ("mask_decoder.output_hypernetworks_mlps.2.", OTHER_MASKS),
    ("mask_decoder.output_hypernetworks_mlps.3.", OTHER_MASKS),
    (
        "text_encoder.clip_text_model.embeddings.position_ids",
        "the numbers 0, 1, 2, ..; the graph counts positions itself",
    ),
];

const OTHER_MASKS: &str = "makes a further candidate mask; the released model uses the first";

/// The tensors that the graphs did not use: those on the list, and faults for all others.
pub(crate) fn leftovers(checkpoint: &Checkpoint, used: &BTreeSet<String>) -> (Vec<NotExported>, Vec<TensorFault>) {
    let (mut listed, mut faults) = (Vec::new(), Vec::new());
    for (name, _) in checkpoint.tensors().filter(|(name, _)| !used.contains(*name)) {
        let name = name.to_owned();
        match REASONS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            Some((_, reason)) => listed.push(NotExported { name, reason: (*reason).to_owned() }),
            None => faults.push(TensorFault::Unexpected { name }),
        }
    }
    (listed, faults)
}
