//! Interactive evaluation: a box first, then clicks, each at the centre of the largest error.
//!
//! It follows the challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation" of CVPR 2025. `docs/evaluation.md`
//! says what is the same and what is not.

use segvol::Warning;
use segvol::metrics::Scores;
use serde::{Deserialize, Serialize};

use crate::written_file::WrittenFile;

/// Clicks of the challenge.
pub const CLICKS: usize = 5;

/// The most clicks that can be asked for.
pub const MAX_CLICKS: usize = 100;

/// One structure of one case, with its box and its clicks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The structure's name.
    pub structure: String,
    /// Its value in the label map, the least one if it has several; 0 if it has a file of its own.
    pub value: u16,
    /// All its values in the label map, if it has more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<u16>,
    /// Voxels of the truth.
    pub truth_voxels: u64,
    /// The box, then one step for each click.
    pub steps: Vec<Step>,
    /// Area under the curve of Dice over the clicks: see [`area_over_clicks`].
    pub dice_auc: Option<f64>,
    /// The same of the surface Dice.
    pub surface_dice_auc: Option<f64>,
}

/// The mask after the box, or after a click.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The click that this step adds; `None` for the box, and if the mask before was equal to the truth: then the step has that
    /// mask again.
    pub click: Option<Click>,
    /// The scores of its mask.
    pub scores: Scores,
    /// Warnings of the pipeline about its prompt.
    pub warnings: Vec<Warning>,
    /// Its mask as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<WrittenFile>,
    /// Its probabilities as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<WrittenFile>,
}

/// A click that corrects a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Click {
    /// Its voxel in the file.
    pub voxel_ijk: [usize; 3],
    /// What the voxel is.
    pub label: ClickLabel,
    /// Voxels of the error that it lies in.
    pub error_voxels: u64,
}

/// Which side of the truth a click is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClickLabel {
    /// In the structure: the mask lacked it.
    Foreground,
    /// Not in the structure: the mask had it.
    Background,
}

impl Session {
    /// A session with these steps.
    pub(crate) fn new(structure: &crate::cases::Structure, truth_voxels: u64, steps: Vec<Step>) -> Self {
        let after_clicks = |figure: fn(&Scores) -> f64| {
            let figures: Vec<f64> = steps.iter().skip(1).map(|step| figure(&step.scores)).collect();
            area_over_clicks(&figures)
        };
        Self {
            structure: structure.name.clone(),
            value: structure.value,
            values: structure.values.clone(),
            truth_voxels,
            dice_auc: after_clicks(|scores| scores.dice),
            surface_dice_auc: after_clicks(|scores| scores.surface_dice),
            steps,
        }
    }
}

/// The area under a curve through the figures after each click, by the trapezoidal rule with a distance of 1 between clicks. The
/// step before the first click is not in it. So five clicks of the best figure, 1, have the area 4. `None` for fewer than two
/// clicks.
///
/// # Source
/// JunMa11/CVPR-MedSegFMCompetition@0045605, `CVPR25_iter_eval.py`, `integrate.cumulative_trapezoid` over the last five steps.
#[must_use]
pub fn area_over_clicks(figures: &[f64]) -> Option<f64> {
    (figures.len() > 1).then(|| figures.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy: `cumulative_trapezoid([0.1, 0.4, 0.5, 0.9, 1.0], np.arange(5))[-1]` is 2.35.
    #[test]
    fn an_area_is_that_of_trapezoids_between_clicks() {
        let area = area_over_clicks(&[0.1, 0.4, 0.5, 0.9, 1.0]).expect("clicks");
        assert!((area - 2.35).abs() < 1e-12, "{area}");
        assert_eq!(area_over_clicks(&[1.0; 5]), Some(4.0));
        assert_eq!((area_over_clicks(&[]), area_over_clicks(&[1.0])), (None, None));
    }
}
