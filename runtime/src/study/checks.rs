//! Warnings about a mask that contradicts its prompt.

use segvol_base::{Warning, WarningCode};
use segvol_volume::{Marks, PointLabel};

use super::segmentation::Segmentation;
use segvol_prompt::{Prompt, position};

/// From this share of the region on, a mask is said to fill it. An ellipsoid fills 0.52 of its own box.
const FULL: f64 = 0.95;

/// Checks a mask against its prompt. `marks` are the prompt's points in voxels of the file.
pub(crate) fn of_mask(found: &Segmentation, prompt: &Prompt, marks: &Marks) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message: String| {
        warnings.push(Warning::new(code, format!("object {:?}: {message}", found.name())));
    };
    let voxels = found.voxels();
    if voxels.zoom_in == 0 {
        let pass = if voxels.zoom_out == 0 {
            "the zoom-out pass found no foreground"
        } else {
            "no foreground is left after zoom-in"
        };
        warn(WarningCode::MaskEmpty, format!("the mask is empty: {pass}"));
        return warnings;
    }
    let (share, where_) = found.filled();
    if share >= FULL {
        warn(WarningCode::MaskFillsRegion, format!("the mask fills {:.1} % of {where_}", 100.0 * share));
    }
    for (label, said) in [
        (PointLabel::Foreground, "leaves out a point that is inside the object"),
        (PointLabel::Background, "contains a point that is outside the object"),
    ] {
        let inside = label == PointLabel::Foreground;
        let mut wrong = Vec::new();
        for (given, mark) in prompt.points.iter().zip(&marks.points).filter(|(given, _)| given.1 == label) {
            let in_mask = found.scan.oriented_voxel(mark.0).is_some_and(|voxel| found.contains(voxel));
            if in_mask != inside {
                wrong.push(position(prompt.space, given.0));
            }
        }
        if let Some(first) = wrong.first() {
            let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
            warn(WarningCode::MaskContradictsPoint, format!("the mask {said}: {first}{more}"));
        }
    }
    warnings
}
