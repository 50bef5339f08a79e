//! Warnings about a prompt that is probably a mistake.

use segvol_base::{Warning, WarningCode};
use segvol_scan::Scan;
use segvol_volume::grid::corners;
use segvol_volume::{Marks, PointLabel};

use crate::prompt::{Prompt, Space};

/// Checks a prompt against the scan. `marks` are its points and box in voxels of the file.
#[must_use]
pub fn prompt_warnings(prompt: &Prompt, marks: &Marks, scan: &Scan) -> Vec<Warning> {
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
        let voxel = scan.seen_voxel(mark.0).filter(|&voxel| scan.crop.contains(voxel));
        if voxel.is_some_and(|voxel| scan.air.surrounds(voxel)) {
            warn(WarningCode::PromptInAir, format!("point {} is in air", position(prompt.space, given.0)));
        }
    }
    if let Some(marked) = &marks.bounding_box {
        let corners = corners(marked.min, marked.max).into_iter().map(|corner| scan.seen_voxel(corner));
        if let Some(corners) = corners.collect::<Option<Vec<[usize; 3]>>>() {
            let along = |axis: usize| corners.iter().map(move |corner| corner[axis]);
            let low = [0, 1, 2].map(|axis| along(axis).min().unwrap_or_default());
            let high = [0, 1, 2].map(|axis| along(axis).max().unwrap_or_default());
            if scan.crop.meets(low, high) && scan.air.share(low, high) > 0.99 {
                warn(WarningCode::PromptInAir, "the box contains only air".to_owned());
            }
        }
    }
    warnings
}

/// A position as the user gave it.
#[must_use]
pub fn position(space: Space, [x, y, z]: [f64; 3]) -> String {
    format!("({x}, {y}, {z}) in space `{}`", space.name())
}
