//! Whether an organ of the patient's left side lies to the left of its counterpart: what can be checked without a known mask.
//!
//! A model that sees a scan in axes other than those of its training may exchange left and right. Its masks then look
//! good, and only their sides are wrong.

use std::fmt;
use std::str::FromStr;

use segvol::mask::Mask;
use segvol::postprocess::{INSIDE, Postprocessing};
use segvol::{Marks, Prompt, Study, Warning, WarningCode};
use serde::{Deserialize, Serialize};

use crate::error::CaseError;
use crate::postprocessing::postprocessed;

/// Two centres that are closer than this along the patient's left–right axis say nothing about sides, in millimetres: the
/// model has then found one organ for both names, or both near the middle. The kidneys' centres are about 120 mm apart,
/// those of the smallest paired organs (the adrenal glands) about 60 mm.
pub const LEAST_DISTANCE_MM: f64 = 10.0;

/// The names of an organ of the left side and of its counterpart on the right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The name on the patient's left.
    pub left: String,
    /// The name on the patient's right.
    pub right: String,
}

impl Pair {
    /// The pair that is compared if no other is named: it is in every model's list, and in every scan of an abdomen.
    #[must_use]
    pub fn kidneys() -> Self {
        Self { left: "left kidney".to_owned(), right: "right kidney".to_owned() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.left, self.right)
    }
}

impl FromStr for Pair {
    type Err = String;

    /// Reads `left kidney/right kidney`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected two names, LEFT/RIGHT, for example \"left kidney/right kidney\"; found {text:?}");
        let (left, right) = text.split_once('/').ok_or_else(wrong)?;
        let (left, right) = (left.trim(), right.trim());
        if left.is_empty() || right.is_empty() || right.contains('/') || left == right {
            return Err(wrong());
        }
        Ok(Self { left: left.to_owned(), right: right.to_owned() })
    }
}

/// The pairs among names: two names that differ in one word, `left` in one and `right` in the other, in any place, in upper or
/// lower case, with spaces, `_` or `-` between words. In the order of the names.
pub fn pairs_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Pair> {
    let names: Vec<(&str, Vec<String>)> = names.into_iter().map(|name| (name, words(name))).collect();
    let mut pairs: Vec<Pair> = Vec::new();
    for (left, words) in names.iter().filter(|(_, words)| words.iter().any(|word| word == "left")) {
        let mirrored: Vec<&str> =
            words.iter().map(|word| if word == "left" { "right" } else { word.as_str() }).collect();
        if let Some((right, _)) = names.iter().find(|(_, words)| *words == mirrored) {
            let pair = Pair { left: (*left).to_owned(), right: (*right).to_owned() };
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    }
    pairs
}

fn words(name: &str) -> Vec<String> {
    let words = name.split(|c: char| c.is_whitespace() || c == '_' || c == '-');
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// What the masks of a pair say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The left organ lies to the left of the right one.
    Ok,
    /// It lies to the right of it.
    Swapped,
    /// The centres are closer than [`LEAST_DISTANCE_MM`] along the patient's left–right axis.
    Unclear,
    /// A mask is empty.
    Empty,
}

impl Verdict {
    /// All verdicts, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Swapped, Self::Unclear, Self::Empty];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Swapped => "swapped",
            Self::Unclear => "unclear",
            Self::Empty => "empty",
        }
    }

    /// The verdict on how far the left organ lies to the left, in millimetres; `None` if a mask is empty.
    fn of(to_the_left_mm: Option<f64>) -> Self {
        match to_the_left_mm {
            None => Self::Empty,
            Some(mm) if mm >= LEAST_DISTANCE_MM => Self::Ok,
            Some(mm) if mm <= -LEAST_DISTANCE_MM => Self::Swapped,
            Some(_) => Self::Unclear,
        }
    }
}

/// One organ's mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// Voxels of the mask.
    pub voxels: u64,
    /// Their centre of mass in the patient, towards the right, the front and the head, in millimetres; `None` if there is no voxel.
    pub centre_ras_mm: Option<[f64; 3]>,
}

impl Side {
    fn of(mask: &Mask, inside: u16) -> Result<Self, CaseError> {
        let [ni, nj, _] = mask.shape_xyz();
        let (mut voxels, mut sums) = (0_u64, [0_u64; 3]);
        for (index, _) in mask.voxels_of(inside)?.iter().enumerate().filter(|&(_, &inside)| inside) {
            voxels += 1;
            let ijk = [index % ni, index / ni % nj, index / (ni * nj)];
            for axis in 0..3 {
                sums[axis] += ijk[axis] as u64;
            }
        }
        let centre = || mask.grid().affine().apply(sums.map(|sum| sum as f64 / voxels as f64));
        Ok(Self { voxels, centre_ras_mm: (voxels > 0).then(centre) })
    }
}

/// A pair in one scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// The names that were asked for.
    pub pair: Pair,
    /// What the masks say.
    pub verdict: Verdict,
    /// How far the left organ's centre lies to the patient's left of the right organ's, in millimetres; negative if it lies to
    /// the right, `None` if a mask is empty.
    pub to_the_left_mm: Option<f64>,
    /// The mask of the left name.
    pub left: Side,
    /// The mask of the right name.
    pub right: Side,
    /// Warnings about the pair and its objects.
    pub warnings: Vec<Warning>,
}

impl Sides {
    /// Segments both organs by name and compares the centres of their masks after postprocessing.
    pub(crate) fn of(study: &Study, pair: &Pair, postprocessing: &Postprocessing) -> Result<Self, CaseError> {
        let mut warnings = Vec::new();
        let mut side = |name: &str| -> Result<Side, CaseError> {
            let found = study.segment(&Prompt::text(name))?;
            warnings.extend_from_slice(found.warnings());
            let (mask, new) = postprocessed(name, found.mask()?, &Marks::default(), postprocessing)?;
            warnings.extend(new);
            Side::of(&mask, INSIDE)
        };
        let (left, right) = (side(&pair.left)?, side(&pair.right)?);
        let x = |side: &Side| side.centre_ras_mm.map(|[x, ..]| x);
        // x grows to the patient's right.
        let to_the_left_mm = x(&right).zip(x(&left)).map(|(right, left)| right - left);
        let verdict = Verdict::of(to_the_left_mm);
        if let (Verdict::Swapped, Some(mm)) = (verdict, to_the_left_mm) {
            let message = format!("{:?} lies {:.0} mm to the right of {:?}", pair.left, -mm, pair.right);
            warnings.push(Warning::new(WarningCode::SidesSwapped, message));
        }
        Ok(Self { pair: pair.clone(), verdict, to_the_left_mm, left, right, warnings })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use segvol::Grid;
    use segvol::volume::Affine;

    use super::*;

    #[test]
    fn pairs_are_found_however_their_names_are_written() {
        let names = [
            "liver",
            "left kidney",
            "Right Kidney",
            "kidney_left",
            "kidney_right",
            "lung lower lobe right",
            "lung lower lobe left",
            "left adrenal gland",
            "leftover",
        ];
        let found: Vec<String> = pairs_of(names).iter().map(ToString::to_string).collect();
        let expected = [
            "left kidney / Right Kidney",
            "kidney_left / kidney_right",
            "lung lower lobe left / lung lower lobe right",
        ];
        assert_eq!(found, expected);
        assert_eq!("left kidney / right kidney".parse(), Ok(Pair::kidneys()));
        for wrong in ["left kidney", "left kidney/", "/", "a/a", "a/b/c", ""] {
            assert!(wrong.parse::<Pair>().is_err_and(|error| error.contains("LEFT/RIGHT")), "{wrong}");
        }
    }

    #[test]
    fn a_centre_is_in_the_patient_whatever_the_files_axes() {
        for (sign, shift) in [(1.0, -10.0), (-1.0, 10.0)] {
            let affine = Affine::new([[sign * 2.0, 0.0, 0.0, shift], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0]]);
            let grid = Arc::new(Grid::new([11, 2, 2], affine).expect("a grid"));
            let mut labels = vec![0_u8; 44];
            // Voxels (2, 0, 0) and (3, 1, 1) of the file.
            labels[2] = 1;
            labels[3 + 11 + 22] = 1;
            let side = Side::of(&Mask::from_labels(labels, grid).expect("a mask"), 1).expect("memory");
            assert_eq!(side, Side { voxels: 2, centre_ras_mm: Some([sign * 5.0 + shift, 1.5, 2.0]) });
        }
    }

    #[test]
    fn centres_that_are_too_close_say_nothing() {
        let verdicts = [Some(100.0), Some(10.0), Some(9.9), Some(-9.9), Some(-10.0), None].map(Verdict::of);
        use Verdict::{Empty, Ok, Swapped, Unclear};
        assert_eq!(verdicts, [Ok, Ok, Unclear, Unclear, Swapped, Empty]);
    }
}
