//! Warnings about a prompt that is probably a mistake, and about a mask that contradicts its prompt.

use segvol_base::{Warning, WarningCode};
use segvol_volume::{Marks, PointLabel};

use super::segmentation::Segmentation;
use segvol_prompt::{Prompt, Space};
use segvol_scan::Scan;

/// From this share of the region on, a mask is said to fill it. An ellipsoid fills 0.52 of its own box.
const FULL: f64 = 0.95;

/// Checks a prompt against the scan. `marks` are its points and box in voxels of the file.
pub(crate) fn of_prompt(prompt: &Prompt, marks: &Marks, scan: &Scan) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message: String| {
        warnings.push(Warning::new(code, format!("object {:?}: {message}", prompt.name())));
    };
    let is_positive = |&(_, label): &([f64; 3], PointLabel)| label == PointLabel::Foreground;
    let positive = prompt.points.iter().any(is_positive);
    if !positive && !prompt.points.is_empty() && prompt.as_text().is_none() && prompt.bounding_box.is_none() {
        let message = "all points are outside the object, and nothing says what the object is; add a point inside, a box or a name";
        warn(WarningCode::PromptNegativeOnly, message.to_owned());
    }
    for (given, mark) in prompt.points.iter().zip(&marks.points).filter(|(given, _)| is_positive(given)) {
        // A point outside the crop was moved, and has a warning already.
        let voxel = scan.oriented_voxel(mark.0).filter(|&voxel| scan.crop.contains(voxel));
        if voxel.is_some_and(|voxel| scan.air.surrounds(voxel)) {
            warn(WarningCode::PromptInAir, format!("point {} is in air", place(prompt.space, given.0)));
        }
    }
    if let Some(marked) = &marks.bounding_box {
        let corners = [marked.min, marked.max].map(|corner| scan.oriented_voxel(corner));
        if let [Some(a), Some(b)] = corners {
            let low: [usize; 3] = std::array::from_fn(|axis| a[axis].min(b[axis]));
            let high: [usize; 3] = std::array::from_fn(|axis| a[axis].max(b[axis]));
            if scan.crop.meets(low, high) && scan.air.share(low, high) > 0.99 {
                warn(WarningCode::PromptInAir, "the box contains only air".to_owned());
            }
        }
    }
    warnings
}

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
                wrong.push(place(prompt.space, given.0));
            }
        }
        if let Some(first) = wrong.first() {
            let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
            warn(WarningCode::MaskContradictsPoint, format!("the mask {said}: {first}{more}"));
        }
    }
    warnings
}

/// A position as the user gave it.
fn place(space: Space, [x, y, z]: [f64; 3]) -> String {
    format!("({x}, {y}, {z}) in space `{}`", space.name())
}
