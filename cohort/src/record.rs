//! What happened to one scan: a line of the manifest.

use segvol::report::Report;
use segvol::{Precision, Warning};
use segvol_base::ErrorKind;
use serde::{Deserialize, Serialize};

/// One line of the manifest after its first: a scan that is done or has failed. Of several lines with one id, the last counts.
///
/// Paths are relative to the output folder. Where the scan lies is only here if the run records paths: names of folders often name
/// patients.
// Serde cannot deny unknown fields where it flattens others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The scan's name in the cohort.
    pub id: String,
    /// Where it was read from; absent unless paths are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Hash of everything but the scan that the masks depend on: settings and prompts.
    pub settings_sha256: String,
    /// Size and time of the scan's files, by which a change is noticed without reading them.
    pub fingerprint: String,
    /// Host name of the machine that did it.
    pub host: String,
    /// Seconds from reading the scan to the last output.
    pub seconds: f64,
    /// What happened. Fields that the record itself does not know are looked for there, and refused there.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a scan ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// All outputs are written.
    Done(Done),
    /// There is no output.
    Failed(Failure),
}

/// A scan whose outputs are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// SHA-256 of the scan: its voxels in Hounsfield units, shape and affine, whatever format they came from.
    pub scan_sha256: String,
    /// The report.
    pub report: OutputFile,
    /// The masks.
    pub outputs: Vec<OutputFile>,
    /// The precision that ran.
    pub precision: Precision,
    /// Windows that were encoded.
    pub windows: usize,
    /// What was found.
    pub objects: Vec<ObjectRecord>,
    /// Warnings about the scan.
    pub warnings: Vec<Warning>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputFile {
    /// Relative to the output folder, with `/`.
    pub path: String,
    /// Hash of its bytes, in hexadecimal.
    pub sha256: String,
}

/// One object of one scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRecord {
    /// The object's name.
    pub name: String,
    /// Its value in a label map.
    pub label: usize,
    /// Voxels of its own mask.
    pub voxels: u64,
    /// Volume of its own mask, in millilitres.
    pub volume_ml: f64,
    /// Bounding box in voxels of the file, minimum and maximum, both inclusive. `None` if the mask is empty.
    pub bounding_box_ijk: Option<[[usize; 3]; 2]>,
    /// Voxels before postprocessing; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voxels_before_postprocessing: Option<u64>,
    /// Warnings about the object.
    pub warnings: Vec<Warning>,
}

/// Why a scan has no masks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What the user can do about it.
    pub kind: ErrorKind,
    /// The cause, in one line. It names the scan by its id unless paths are recorded.
    pub error: String,
    /// How often it was tried in this run.
    pub attempts: u32,
}

impl Record {
    /// The record's result, if the scan is done.
    #[must_use]
    pub fn done(&self) -> Option<&Done> {
        match &self.outcome {
            Outcome::Done(done) => Some(done),
            Outcome::Failed(_) => None,
        }
    }

    /// Why it failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.outcome {
            Outcome::Done(_) => None,
            Outcome::Failed(failure) => Some(failure),
        }
    }
}

impl ObjectRecord {
    /// The objects of a report.
    #[must_use]
    pub fn of(report: &Report) -> Vec<Self> {
        let objects = report.objects.iter().map(|object| Self {
            name: object.name.clone(),
            label: object.label,
            voxels: object.voxels.zoom_in,
            volume_ml: object.volume_ml,
            bounding_box_ijk: object.bounding_box_ijk,
            voxels_before_postprocessing: object.postprocessing.as_ref().map(|record| record.voxels_before),
            warnings: object.warnings.clone(),
        });
        objects.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{done, failed, object};

    #[test]
    fn a_record_is_read_back_and_unknown_fields_are_refused() {
        let mut located = failed("b");
        located.path = Some("b.nii".to_owned());
        for record in [done("a", vec![object("liver", 1, 5, 0.1 + 0.2), object("spleen", 2, 0, 0.0)]), located] {
            let json = serde_json::to_string(&record).expect("JSON");
            assert_eq!(serde_json::from_str::<Record>(&json).expect("a record"), record);
            for place in ["{", "\"name\":\"liver\",", "\"report\":{"] {
                let other = json.replace(place, &format!("{place}\"new\":1,"));
                if other != json {
                    let error = serde_json::from_str::<Record>(&other).expect_err(&other).to_string();
                    assert!(error.contains("unknown field `new`"), "{error}");
                }
            }
        }
    }
}
