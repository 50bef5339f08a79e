//! The figures of one object.

use segvol::metrics::Scores;
use serde::Serialize;

/// A figure that tables, statistics and comparisons have a column for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Dice's coefficient.
    Dice,
    /// Normalised surface Dice.
    SurfaceDice,
    /// 95 % Hausdorff distance in millimetres.
    #[serde(rename = "hausdorff95_mm")]
    Hausdorff95,
    /// Volume found minus the truth's, in millilitres.
    VolumeErrorMl,
    /// The same as a share of the truth's.
    VolumeErrorRelative,
}

impl Figure {
    /// All figures, in the order of tables.
    pub const ALL: [Self; 5] =
        [Self::Dice, Self::SurfaceDice, Self::Hausdorff95, Self::VolumeErrorMl, Self::VolumeErrorRelative];

    /// Those for which one of two values is better, which comparisons have.
    pub const COMPARED: [Self; 3] = [Self::Dice, Self::SurfaceDice, Self::Hausdorff95];

    /// The name in JSON and CSV.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dice => "dice",
            Self::SurfaceDice => "surface_dice",
            Self::Hausdorff95 => "hausdorff95_mm",
            Self::VolumeErrorMl => "volume_error_ml",
            Self::VolumeErrorRelative => "volume_error_relative",
        }
    }

    /// The name for people, with the unit.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Dice => "Dice",
            Self::SurfaceDice => "Surface Dice",
            Self::Hausdorff95 => "95 % Hausdorff distance, mm",
            Self::VolumeErrorMl => "Volume error, mL",
            Self::VolumeErrorRelative => "Volume error as a share of the truth",
        }
    }

    /// Decimal places for people.
    #[must_use]
    pub fn digits(self) -> usize {
        match self {
            Self::Dice | Self::SurfaceDice | Self::VolumeErrorRelative => 3,
            Self::Hausdorff95 | Self::VolumeErrorMl => 1,
        }
    }

    /// Its value; `None` where it is not defined.
    #[must_use]
    pub fn of(self, scores: &Scores) -> Option<f64> {
        match self {
            Self::Dice => Some(scores.dice),
            Self::SurfaceDice => Some(scores.surface_dice),
            Self::Hausdorff95 => scores.hausdorff95_mm,
            Self::VolumeErrorMl => Some(scores.volume_error_ml),
            Self::VolumeErrorRelative => scores.volume_error_relative,
        }
    }

    /// Whether a smaller value is better.
    #[must_use]
    pub fn smaller_is_better(self) -> bool {
        matches!(self, Self::Hausdorff95)
    }
}
