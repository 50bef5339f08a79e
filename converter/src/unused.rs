//! Checkpoint tensors that no graph uses, each with its reason. Any other unused tensor is an error, unless extra tensors are
//! allowed: then it is a warning.

use std::collections::BTreeSet;

use segvol_base::{Warning, WarningCode};
use segvol_onnx::manifest::NotExported;

use crate::error::TensorFault;
use segvol_checkpoint::Checkpoint;

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

/// The reason of tensors that only the caller's permission leaves out.
const EXTRA: &str = "no part of the model uses it; left out because extra tensors were allowed";

/// The most tensors that the warning lists.
const MAX_LISTED: usize = 20;

/// The tensors that the graphs did not use: those on the list, and faults for all others unless they are allowed.
pub(crate) fn leftovers(checkpoint: &Checkpoint, used: &BTreeSet<String>) -> (Vec<NotExported>, Vec<TensorFault>) {
    let (mut listed, mut faults) = (Vec::new(), Vec::new());
    for (name, _) in checkpoint.tensors().filter(|(name, _)| !used.contains(*name)) {
        let name = name.to_owned();
        match REASONS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            Some((_, reason)) => listed.push(NotExported { name, reason: (*reason).to_owned() }),
            None if checkpoint.allow_extra => listed.push(NotExported { name, reason: EXTRA.to_owned() }),
            None => faults.push(TensorFault::Unexpected { name }),
        }
    }
    listed.extend(checkpoint.strays.iter().map(|name| NotExported { name: name.clone(), reason: EXTRA.to_owned() }));
    (listed, faults)
}

/// The warning about tensors that only the caller's permission leaves out; `None` if there are none.
pub(crate) fn warning(not_exported: &[NotExported]) -> Option<Warning> {
    let extra = not_exported.iter().filter(|tensor| tensor.reason == EXTRA);
    let names: Vec<String> = extra.map(|tensor| format!("`{}`", tensor.name)).collect();
    let (shown, more) = names.split_at(names.len().min(MAX_LISTED));
    let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
    let count = if names.len() == 1 { "1 tensor".to_owned() } else { format!("{} tensors", names.len()) };
    let message = format!(
        "{count} of the checkpoint left out, because no part of the model uses them: {}{more}",
        shown.join(", ")
    );
    (!names.is_empty()).then(|| Warning::new(WarningCode::TensorUnused, message))
}
