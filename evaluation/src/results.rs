//! The results of an evaluation, object by object.

use std::collections::BTreeMap;

use segvol::metrics::Scores;
use segvol::postprocess::{PostprocessError, Postprocessing};
use segvol::{AffineChoice, Orientation, Precision, Profile, Warning, WindowCounts};
use serde::{Deserialize, Serialize};

use crate::error::EvaluationError;
use crate::interactive::{MAX_CLICKS, Session};
use crate::prompts::Kind;
use crate::sides::{Pair, Sides};
use crate::written_file::WrittenFile;

/// What the prompts and the figures depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Prompts that every structure is asked for with.
    pub prompts: Vec<Kind>,
    /// Points per structure.
    pub points: usize,
    /// Seed of the random points.
    pub seed: u64,
    /// Tolerance of the surface Dice, in millimetres.
    pub tolerance_mm: f64,
    /// A structure with fewer voxels, but at least one, is left out.
    pub min_voxels: u64,
    /// Whether all structures of a case are segmented in one call for each kind of prompt, where they share windows, instead of
    /// one call for each object.
    pub together: bool,
    /// The left and right organs that are compared in cases without a known mask; empty if the cases have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<Pair>,
    /// What is done to every mask before it is scored or drawn, that of the zoom-out pass included; absent from the JSON if nothing
    /// is. A prompt without a point or box chooses no components.
    #[serde(default, skip_serializing_if = "Postprocessing::is_off")]
    pub postprocessing: Postprocessing,
    /// Clicks after the box, in an interactive evaluation; then kinds of prompts and points do not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactive: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prompts: Kind::ALL.to_vec(),
            points: 5,
            seed: 0,
            tolerance_mm: 2.0,
            min_voxels: 1,
            together: false,
            pairs: Vec::new(),
            postprocessing: Postprocessing::default(),
            interactive: None,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), EvaluationError> {
        let out = |name, expected, found: String| Err(EvaluationError::Setting { name, expected, found });
        if !(self.tolerance_mm.is_finite() && self.tolerance_mm >= 0.0) {
            return out("tolerance", "a finite number of millimetres, at least 0", self.tolerance_mm.to_string());
        }
        if self.points == 0 || self.points > 1000 {
            return out("points", "1 to 1000", self.points.to_string());
        }
        if let Some(clicks) = self.interactive.filter(|clicks| !(1..=MAX_CLICKS).contains(clicks)) {
            return out("clicks", "1 to 100", clicks.to_string());
        }
        if self.prompts.is_empty() {
            return out("prompts", "at least one kind", "none".to_owned());
        }
        self.postprocessing.check().map_err(|error| match error {
            PostprocessError::Setting { name, expected, found } => EvaluationError::Setting { name, expected, found },
            other => EvaluationError::Setting {
                name: "postprocessing",
                expected: "valid settings",
                found: other.to_string(),
            },
        })
    }
}

/// Everything that the rows depend on except the cases. A work file's rows are used only if its header is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The program that computed the rows, with its version.
    pub tool: String,
    /// The bundle.
    pub model: ModelHeader,
    /// The bundle that the first one's masks are compared with.
    pub against: Option<ModelHeader>,
    /// Which affine was used where a header states two that differ; `None` if none was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affine: Option<AffineChoice>,
    /// Which axes the model saw.
    pub orientation: Orientation,
    /// How windows and prompts of the zoom-in pass were chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass ran.
    pub zoom_in: bool,
    /// Share of a window that the next one of the same object covers too, at least.
    pub overlap: f64,
    /// The probability above which a voxel is in a mask; `None`, and absent from the JSON, if it is that of the released code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Whether sheared scans were straightened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub straighten: bool,
    /// Whether missing slices of DICOM series were interpolated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fill_gaps: bool,
    /// Prompts and figures.
    pub settings: Settings,
}

/// A bundle with its provider and precision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelHeader {
    /// SHA-256 of its manifest, which holds the hashes of all its files.
    pub manifest_sha256: String,
    /// Where its graphs ran.
    pub provider: String,
    /// Which of its precisions ran.
    pub precision: Precision,
}

/// One structure of one case, asked for with one kind of prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The structure's name.
    pub structure: String,
    /// Its value in the label map, the least one if it has several; 0 if it has a file of its own.
    pub value: u16,
    /// All its values in the label map, if it has more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<u16>,
    /// The kind of prompt.
    pub prompt: Kind,
    /// Voxels of the truth; with 0, the structure is absent from the case and was asked for by text alone.
    pub truth_voxels: u64,
    /// Scores of the zoom-out pass.
    pub zoom_out: Scores,
    /// Scores of the final mask.
    pub zoom_in: Scores,
    /// Number of windows of the zoom-in pass.
    pub windows: WindowCounts,
    /// How the other bundle's masks agree with these.
    pub against: Option<Agreement>,
    /// Warnings of the pipeline about this prompt, for example that a point was moved.
    pub warnings: Vec<Warning>,
    /// The final mask as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<WrittenFile>,
    /// Its probabilities as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probabilities: Option<WrittenFile>,
}

/// Masks of two bundles for the same prompt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Dice between both masks after the zoom-out pass; 1 if both are empty.
    pub zoom_out_dice: f64,
    /// Dice between both final masks; 1 if both are empty.
    pub zoom_in_dice: f64,
    /// Dice of the other bundle's final mask with the truth.
    pub truth_dice: f64,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// The case's name.
    pub case: String,
    /// Its rows: structures by value, kinds in their order.
    pub rows: Vec<Row>,
    /// Structures with fewer voxels than the settings require.
    pub too_small: Vec<String>,
    /// Windows that the calls for each kind of prompt need, with those of the zoom-out passes, as if each call were the first of
    /// its study.
    #[serde(default)]
    pub windows: BTreeMap<Kind, usize>,
    /// Left and right organs, in a case without a known mask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sides: Vec<Sides>,
    /// Structures with their box and clicks, in an interactive evaluation; then there are no rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interactive: Vec<Session>,
    /// Seconds of each step of an interactive evaluation, by structure; `None` for a step that was not needed. These alone differ
    /// from run to run, and are not in files of rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seconds: BTreeMap<String, Vec<Option<f64>>>,
    /// Warnings about the scan and its true masks.
    pub warnings: Vec<Warning>,
    /// The pictures of the case by kind of prompt, as their files are named; empty, and absent from the JSON, if there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pictures: BTreeMap<Kind, String>,
}

impl CaseResult {
    /// A case without rows yet.
    pub(crate) fn new(case: &str, warnings: Vec<Warning>) -> Self {
        Self {
            case: case.to_owned(),
            rows: Vec::new(),
            too_small: Vec::new(),
            windows: BTreeMap::new(),
            sides: Vec::new(),
            interactive: Vec::new(),
            seconds: BTreeMap::new(),
            warnings,
            pictures: BTreeMap::new(),
        }
    }
}

/// A case that has no scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The case's name.
    pub case: String,
    /// Why, in one line.
    pub reason: String,
}

/// All cases, in the order of their list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Everything that the rows depend on except the cases.
    pub header: Header,
    /// Cases with scores.
    pub cases: Vec<CaseResult>,
    /// Cases without.
    pub failures: Vec<Failure>,
}

impl Results {
    /// Every row with its case's name.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &Row)> {
        self.cases.iter().flat_map(|case| case.rows.iter().map(|row| (case.case.as_str(), row)))
    }

    /// The row in which two bundles' final masks agree least, with its case's name and their Dice; the first of equals.
    #[must_use]
    pub fn worst_agreement(&self) -> Option<(&str, &Row, f64)> {
        let agreements = self.rows().filter_map(|(case, row)| Some((case, row, row.against?.zoom_in_dice)));
        agreements.reduce(|worst, next| if next.2 < worst.2 { next } else { worst })
    }
}
