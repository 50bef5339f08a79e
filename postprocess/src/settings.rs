//! Which steps run, and with which numbers.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::PostprocessError;

/// The largest standard deviation of the smoothing, in millimetres. Beyond it, no organ keeps its shape.
pub const MAX_SMOOTH_MM: f64 = 50.0;

/// Which voxels around a voxel are connected to it.
///
/// The default is 26, as in nnU-Net and MONAI: parts that touch at a corner are one component, so the fewest parts are removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Neighbours {
    /// The 6 voxels that share a face with it, as in SciPy and ITK by default.
    Six,
    /// Those that share a face or an edge.
    Eighteen,
    /// Those that share a face, an edge or a corner.
    #[default]
    TwentySix,
}

impl Neighbours {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Six, Self::Eighteen, Self::TwentySix];

    /// How many there are: 6, 18 or 26.
    #[must_use]
    pub fn count(self) -> u32 {
        match self {
            Self::Six => 6,
            Self::Eighteen => 18,
            Self::TwentySix => 26,
        }
    }

    /// The neighbours with this number; `None` if it is not 6, 18 or 26.
    #[must_use]
    pub fn of_count(count: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|neighbours| neighbours.count() == count)
    }

    /// The neighbours of the background, if these are those of the mask: a surface that is closed for the one must not leak for the
    /// other. So 26 and 18 go with 6, and 6 goes with 26.
    #[must_use]
    pub fn of_background(self) -> Self {
        match self {
            Self::Six => Self::TwentySix,
            Self::Eighteen | Self::TwentySix => Self::Six,
        }
    }
}

impl fmt::Display for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.count().fmt(f)
    }
}

impl FromStr for Neighbours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = text.trim().parse().ok().and_then(Self::of_count);
        found.ok_or_else(|| format!("expected 6, 18 or 26; found {text:?}"))
    }
}

impl Serialize for Neighbours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.count())
    }
}

impl<'de> Deserialize<'de> for Neighbours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = u32::deserialize(deserializer)?;
        let wrong = || D::Error::invalid_value(Unexpected::Unsigned(count.into()), &"6, 18 or 26");
        Self::of_count(count).ok_or_else(wrong)
    }
}

/// Which steps run on the mask of an object. The default is none.
///
/// The fields are in the order of the steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Postprocessing {
    /// Keeps the components that hold a point inside the object. Without such a point, those that touch the box.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_with_prompt: bool,
    /// Smooths the mask with a Gaussian of this standard deviation in millimetres, more than 0 and at most [`MAX_SMOOTH_MM`]: a voxel
    /// is inside if more than half of its surroundings are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smooth_mm: Option<f64>,
    /// Fills holes: background that is not connected to the border of the scan, in three dimensions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fill_holes: bool,
    /// Removes components of less than this many millilitres, more than 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_volume_ml: Option<f64>,
    /// Keeps the largest component; of equal ones, the one with the first voxel in the file's order.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub largest_component: bool,
    /// What connects the voxels of a component. It changes nothing by itself.
    pub neighbours: Neighbours,
}

impl Postprocessing {
    /// Whether no step runs: a mask stays as it is.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self { neighbours: self.neighbours, ..Self::default() }
    }

    /// These settings, with those of `overrides` in their place where it has any. A length or volume of 0 turns its step off.
    #[must_use]
    pub fn overridden_by(self, overrides: &Overrides) -> Self {
        let number = |over: Option<f64>, own: Option<f64>| over.or(own).filter(|&number| number != 0.0);
        Self {
            keep_with_prompt: overrides.keep_with_prompt.unwrap_or(self.keep_with_prompt),
            smooth_mm: number(overrides.smooth_mm, self.smooth_mm),
            fill_holes: overrides.fill_holes.unwrap_or(self.fill_holes),
            min_volume_ml: number(overrides.min_volume_ml, self.min_volume_ml),
            largest_component: overrides.largest_component.unwrap_or(self.largest_component),
            neighbours: overrides.neighbours.unwrap_or(self.neighbours),
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`PostprocessError::Setting`] for one that is out of range.
    pub fn check(&self) -> Result<(), PostprocessError> {
        let numbers = [
            ("smooth_mm", self.smooth_mm, checked_smooth_mm as Checked),
            ("min_volume_ml", self.min_volume_ml, checked_min_volume_ml),
        ];
        for (name, number, checked) in numbers {
            if let Some(found) = number
                && let Err(expected) = checked(found)
            {
                return Err(PostprocessError::Setting { name, expected, found: found.to_string() });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Postprocessing {
    /// The steps that run, with their numbers: `smooth 1.5 mm, largest_component, 26 neighbours`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = |runs: bool, name: &str| runs.then(|| name.to_owned());
        let steps = [
            step(self.keep_with_prompt, "keep_with_prompt"),
            self.smooth_mm.map(|mm| format!("smooth {mm} mm")),
            step(self.fill_holes, "fill_holes"),
            self.min_volume_ml.map(|ml| format!("min_volume {ml} mL")),
            step(self.largest_component, "largest_component"),
        ];
        steps.into_iter().flatten().try_for_each(|step| write!(f, "{step}, "))?;
        write!(f, "{} neighbours", self.neighbours)
    }
}

/// Some settings for one object, or for all objects of a file. What is `None` stays as it is elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overrides {
    /// See [`Postprocessing::keep_with_prompt`].
    pub keep_with_prompt: Option<bool>,
    /// See [`Postprocessing::smooth_mm`]; 0 turns the step off.
    pub smooth_mm: Option<f64>,
    /// See [`Postprocessing::fill_holes`].
    pub fill_holes: Option<bool>,
    /// See [`Postprocessing::min_volume_ml`]; 0 turns the step off.
    pub min_volume_ml: Option<f64>,
    /// See [`Postprocessing::largest_component`].
    pub largest_component: Option<bool>,
    /// See [`Postprocessing::neighbours`].
    pub neighbours: Option<Neighbours>,
}

impl Overrides {
    /// These, and those of `below` where these have none.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            keep_with_prompt: self.keep_with_prompt.or(below.keep_with_prompt),
            smooth_mm: self.smooth_mm.or(below.smooth_mm),
            fill_holes: self.fill_holes.or(below.fill_holes),
            min_volume_ml: self.min_volume_ml.or(below.min_volume_ml),
            largest_component: self.largest_component.or(below.largest_component),
            neighbours: self.neighbours.or(below.neighbours),
        }
    }
}

/// A check of a number: the number, or what was expected.
type Checked = fn(f64) -> Result<f64, &'static str>;

/// Checks a number of [`Postprocessing::smooth_mm`] that a user wrote.
///
/// # Errors
/// What was expected.
pub fn checked_smooth_mm(mm: f64) -> Result<f64, &'static str> {
    if (0.0..=MAX_SMOOTH_MM).contains(&mm) { Ok(mm) } else { Err("a number of millimetres from 0 (off) to 50") }
}

/// Checks a number of [`Postprocessing::min_volume_ml`] that a user wrote.
///
/// # Errors
/// What was expected.
pub fn checked_min_volume_ml(ml: f64) -> Result<f64, &'static str> {
    if ml.is_finite() && ml >= 0.0 { Ok(ml) } else { Err("a number of millilitres, 0 (off) or more") }
}
