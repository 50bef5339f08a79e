//! What masks depend on besides the scan: by its hash, a run knows which scans of an earlier one are done.

use segvol::postprocess::Postprocessing;
use segvol::{AffineChoice, Model, Orientation, Precision, Profile, Prompt, ReadOptions, StudyOptions};
use segvol_objects::DicomFiles;
use segvol_onnx::manifest::hex;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::pattern::Pattern;

/// The program, with its version.
pub(crate) const TOOL: &str = concat!("segvol ", env!("CARGO_PKG_VERSION"));

/// Everything that all masks of a run depend on. It is the first line of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// The program, with its version.
    pub tool: String,
    /// SHA-256 of the bundle's manifest, which has the hashes of all its files.
    pub bundle_sha256: String,
    /// Where the graphs ran.
    pub provider: String,
    /// Which precision ran.
    pub precision: Precision,
    /// Which affine was used where a header states two that differ; `None` if none was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<AffineChoice>,
    /// Whether missing slices of DICOM series were interpolated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fill_gaps: bool,
    /// The DICOM series of every scan that has none of its own in the list; `None` if none was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Which axes the model saw.
    pub orientation: Orientation,
    /// How windows and prompts of the zoom-in pass were chosen.
    pub profile: Profile,
    /// Whether the zoom-in pass ran.
    pub zoom_in: bool,
    /// Share of a window that the next one of the same object covers too, at least.
    pub overlap: f64,
    /// Whether each object had the windows that it would have had alone.
    pub independent: bool,
    /// Whether sheared scans were straightened.
    pub straighten: bool,
    /// The probability above which a voxel is in a mask.
    pub threshold: f64,
    /// How output files are named, and so in which format they are.
    pub pattern: String,
    /// How DICOM SEG files are written; `None` if the pattern is another format's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dicom: Option<DicomFiles>,
    /// The objects of every scan that has none of its own.
    pub prompts: Vec<Prompt>,
    /// What is done to their masks.
    pub postprocessing: Vec<Postprocessing>,
}

impl Settings {
    /// The settings of a run.
    #[must_use]
    pub fn new(
        model: &Model,
        options: &StudyOptions,
        read: &ReadOptions,
        (pattern, dicom): (&Pattern, &DicomFiles),
        prompts: &[Prompt],
        postprocessing: &[Postprocessing],
    ) -> Self {
        Self {
            tool: TOOL.to_owned(),
            bundle_sha256: model.manifest_sha256().to_owned(),
            provider: model.stages().provider().name().to_owned(),
            precision: model.stages().precision(),
            affine: read.affine,
            fill_gaps: read.fill_gaps,
            series: read.series.clone(),
            orientation: model.orientation(options),
            profile: options.profile,
            zoom_in: options.zoom_in,
            overlap: options.least_overlap(),
            independent: options.independent,
            straighten: options.straighten,
            threshold: options.threshold,
            pattern: pattern.text().to_owned(),
            dicom: pattern.is_dicom().then(|| dicom.clone()),
            prompts: prompts.to_vec(),
            postprocessing: postprocessing.to_vec(),
        }
    }

    /// The hash of these settings and of what the list says about one scan. `own` are the scan's own objects, with what is done to
    /// their masks.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], but never in practice: every field can be written as JSON.
    pub fn sha256(
        &self,
        own: Option<(&[Prompt], &[Postprocessing])>,
        series: Option<&str>,
    ) -> Result<String, serde_json::Error> {
        Ok(hex(&Sha256::digest(serde_json::to_vec(&(self, own, series))?)))
    }
}

/// How the scans of a run were read, by the settings in its manifest.
#[must_use]
pub fn read_options(settings: &Value) -> ReadOptions {
    let affine = settings.get("affine").and_then(|choice| AffineChoice::deserialize(choice).ok());
    let series = settings.get("series").and_then(Value::as_str).map(str::to_owned);
    let fill_gaps = settings.get("fill_gaps").and_then(Value::as_bool).unwrap_or_default();
    ReadOptions::default().affine(affine).series(series).fill_gaps(fill_gaps)
}

/// What a list says about one scan alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Own {
    /// Its objects, if they are others than those of the run.
    pub prompts: Option<Vec<Prompt>>,
    /// Its DICOM series.
    pub series: Option<String>,
}
