//! What was done to a mask, for reports.

use std::fmt;

use serde::Serialize;

use crate::settings::Neighbours;

/// A step of the postprocessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The components of the prompt were kept.
    KeepWithPrompt,
    /// The mask was smoothed.
    Smooth,
    /// Holes were filled.
    FillHoles,
    /// Small components were removed.
    MinVolume,
    /// The largest component was kept.
    LargestComponent,
}

impl Operation {
    /// The name of the step in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KeepWithPrompt => "keep_with_prompt",
            Self::Smooth => "smooth",
            Self::FillHoles => "fill_holes",
            Self::MinVolume => "min_volume",
            Self::LargestComponent => "largest_component",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one step did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Which step.
    pub step: Operation,
    /// Its number: millimetres of the smoothing, millilitres of the smallest component; `None` for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Components of the mask before the step; `None` for steps that do not look at them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<usize>,
    /// Those of them that were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components_removed: Option<usize>,
    /// Holes that were filled; `None` for other steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holes_filled: Option<usize>,
    /// Voxels that came into the mask.
    pub voxels_added: u64,
    /// Voxels that were taken out of the mask.
    pub voxels_removed: u64,
    /// Volume that came into the mask, in millilitres.
    pub added_ml: f64,
    /// Volume that was taken out of the mask, in millilitres.
    pub removed_ml: f64,
}

/// What was done to the mask of one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// What connects the voxels of a component.
    pub neighbours: Neighbours,
    /// Voxels of the mask as the model made it.
    pub voxels_before: u64,
    /// Voxels of the mask after all steps.
    pub voxels_after: u64,
    /// The steps, in the order in which they ran. A step that could not run, such as the choice by a prompt without a place, is not
    /// here, and there is a warning.
    pub steps: Vec<Step>,
}
