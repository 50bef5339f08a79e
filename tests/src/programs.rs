//! Recorded results of the released programs besides the demo, from `data/tiny/programs/`.

use std::collections::BTreeMap;

use segvol::{PointLabel, Prompt, Space};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::golden::{Crop, Run, data};

/// Results of Hugging Face's file for one phantom.
#[derive(Debug, Deserialize)]
pub struct HuggingFaceRecord {
    /// Sets of weights, by name.
    pub variants: BTreeMap<String, Revisions>,
    /// The crop, in the unpadded frame.
    pub stored: Crop,
}

/// One set of weights, and the runs with it by revision and prompt.
#[derive(Debug, Deserialize)]
pub struct Revisions {
    /// Constants that were added to biases of the seeded weights.
    pub bias_added: BTreeMap<String, f32>,
    /// Runs of the head of `main`, by the prompt's name.
    #[serde(default)]
    pub main: BTreeMap<String, Run>,
    /// Runs of pull request 4, by the prompt's name.
    #[serde(default)]
    pub nearest: BTreeMap<String, Run>,
}

/// Results of the SegFM program for one phantom.
#[derive(Debug, Deserialize)]
pub struct SegfmRecord {
    /// Sets of weights, by name.
    pub variants: BTreeMap<String, Boxes>,
    /// The crop, in the unpadded frame.
    pub stored: Crop,
}

/// One set of weights, and the boxes of one case file.
#[derive(Debug, Deserialize)]
pub struct Boxes {
    /// Constants that were added to biases of the seeded weights.
    pub bias_added: BTreeMap<String, f32>,
    /// The boxes' names, as they follow each other in the file.
    pub order: Vec<String>,
    /// The boxes by name.
    pub boxes: BTreeMap<String, BoxRun>,
    /// Voxels of each label in the merged map.
    pub label_voxels: Vec<usize>,
}

/// One box and its results.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxRun {
    /// `(d0, h0, w0, d1, h1, w1)` in voxels of the scan, maximum inclusive.
    #[serde(rename = "box")]
    pub corners: [usize; 6],
    /// The same in voxels of the zoom-out window; all -1 if it is lost.
    pub zoom_out_box: [i64; 6],
    /// The region of interest before it is clipped to the volume.
    pub roi: Option<[usize; 6]>,
    /// Number of windows of the zoom-in.
    pub windows: Option<usize>,
    /// Number of voxels of the mask.
    pub voxels: usize,
}

/// Reads `data/tiny/programs/VOLUME.huggingface.json`.
#[must_use]
pub fn hugging_face(volume: &str) -> HuggingFaceRecord {
    read(&format!("{volume}.huggingface"))
}

/// Reads `data/tiny/programs/VOLUME.segfm.json`.
#[must_use]
pub fn segfm(volume: &str) -> SegfmRecord {
    read(&format!("{volume}.segfm"))
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = data(&format!("tiny/programs/{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Run {
    /// The prompt, in voxels of the zoom-out window.
    #[must_use]
    pub fn prompt(&self) -> Prompt {
        let mut prompt = Prompt::new().space(Space::Window);
        if let Some(text) = &self.text {
            prompt = prompt.with_text(text);
        }
        if let Some(corners) = self.bounding_box {
            let [d0, h0, w0, d1, h1, w1] = corners.map(|c| c as f64);
            prompt = prompt.bounding_box([d0, h0, w0], [d1, h1, w1]);
        }
        for &[d, h, w, label] in &self.points {
            let label = if label == 1 { PointLabel::Foreground } else { PointLabel::Background };
            prompt = prompt.point([d as f64, h as f64, w as f64], label);
        }
        prompt
    }
}

/// A box `(d0, h0, w0, d1, h1, w1)` of the stored scan, as a prompt in voxels of the file.
#[must_use]
pub fn voxel_box(name: &str, corners: [usize; 6]) -> Prompt {
    let [d0, h0, w0, d1, h1, w1] = corners.map(|c| c as f64);
    Prompt::new().named(name).bounding_box([w0, h0, d0], [w1, h1, d1])
}
