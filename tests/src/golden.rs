//! Goldens: results of the released code, from `data/`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

/// The path of a file in `data/`.
#[must_use]
pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(path)
}

/// The tensors of one `.safetensors.gz` file, unpacked.
#[derive(Debug)]
pub struct Goldens {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// Some elements of a large tensor: their row-major indices and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Row-major indices into the tensor.
    pub index: Vec<usize>,
    /// The tensor's values there.
    pub value: Vec<f32>,
}

impl Goldens {
    /// Reads `data/PATH`.
    ///
    /// # Panics
    ///
    /// If the file does not exist or is not gzip.
    #[must_use]
    pub fn load(path: &str) -> Self {
        let path = data(path);
        let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, bytes }
    }

    fn with<T>(&self, name: &str, dtype: Dtype, read: impl Fn(&[usize], &[u8]) -> T) -> T {
        let path = self.path.display();
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let tensor = tensors.tensor(name).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(tensor.dtype(), dtype, "{path}: {name}");
        read(tensor.shape(), tensor.data())
    }

    /// The shape and the values of a float32 tensor.
    ///
    /// # Panics
    ///
    /// If there is no tensor of that name and type.
    #[must_use]
    pub fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        self.with(name, Dtype::F32, |shape, bytes| {
            let values = bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
            (shape.to_vec(), values)
        })
    }

    /// The values of a float32 tensor.
    ///
    /// # Panics
    ///
    /// If there is no tensor of that name and type.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<f32> {
        self.floats(name).1
    }

    /// The shape and the values of an int64 tensor.
    ///
    /// # Panics
    ///
    /// If there is no tensor of that name and type.
    #[must_use]
    pub fn ints(&self, name: &str) -> (Vec<usize>, Vec<i64>) {
        self.with(name, Dtype::I64, |shape, bytes| {
            let values = bytes.as_chunks().0.iter().map(|&eight| i64::from_le_bytes(eight)).collect();
            (shape.to_vec(), values)
        })
    }

    /// The values of a tensor that the file has: all of `NAME`, or a sample in `NAME@index` and `NAME@value`.
    ///
    /// # Panics
    ///
    /// If the file has neither.
    #[must_use]
    pub fn sample(&self, name: &str) -> Sample {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("read before");
        if tensors.tensor(name).is_ok() {
            let value = self.values(name);
            return Sample { index: (0..value.len()).collect(), value };
        }
        let index = self.ints(&format!("{name}@index")).1;
        let index = index.into_iter().map(|i| usize::try_from(i).expect("an index")).collect();
        Sample { index, value: self.values(&format!("{name}@value")) }
    }
}

impl Sample {
    /// The elements of another tensor at the sample's indices. NaN if an index is beyond its end.
    #[must_use]
    pub fn pick(&self, values: &[f32]) -> Vec<f32> {
        self.index.iter().map(|&i| values.get(i).copied().unwrap_or(f32::NAN)).collect()
    }
}

/// The names of the phantoms in `data/tiny/volumes`, without extensions.
pub const VOLUMES: [&str; 5] = ["awkward_sizes", "lps_int16", "ras_scaled_odd", "sheared_slp", "smaller_than_window"];

/// The recorded results for one phantom: `data/tiny/volumes/NAME.json`.
#[derive(Debug, Deserialize)]
pub struct VolumeRecord {
    /// Sets of weights, by name.
    pub variants: BTreeMap<String, Weights>,
    /// The crop with orientation `ras`.
    pub ras: Crop,
    /// The crop with orientation `stored`, if it was run.
    pub stored: Option<Crop>,
}

/// One set of weights, and the runs with it by orientation and prompt.
#[derive(Debug, Deserialize)]
pub struct Weights {
    /// Constants that were added to biases of the seeded weights.
    pub bias_added: BTreeMap<String, f32>,
    /// Runs with orientation `ras`, by the prompt's name.
    #[serde(default)]
    pub ras: BTreeMap<String, Run>,
    /// Runs with orientation `stored`, by the prompt's name.
    #[serde(default)]
    pub stored: BTreeMap<String, Run>,
}

/// The bounding box of the foreground, in the padded frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Crop {
    /// First voxel, `[D, H, W]`.
    #[serde(rename = "crop_start")]
    pub start: [usize; 3],
    /// The voxel after the last one, `[D, H, W]`.
    #[serde(rename = "crop_end")]
    pub end: [usize; 3],
}

/// One prompt and its results. Prompts are in voxels of the zoom-out window.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The name.
    pub text: Option<String>,
    /// `(d0, h0, w0, d1, h1, w1)`, maximum inclusive.
    #[serde(rename = "box")]
    pub bounding_box: Option<[usize; 6]>,
    /// `(d, h, w, label)`.
    #[serde(default)]
    pub points: Vec<[usize; 4]>,
    /// False if the run stops after the zoom-out pass.
    #[serde(default = "yes")]
    pub zoom_in: bool,
    /// The name's token ids.
    pub input_ids: Option<Vec<i64>>,
    /// The region of interest `(d0, h0, w0, d1, h1, w1)` before it is clipped to the volume. Nulls, or null, if there
    /// was nothing to zoom into.
    pub roi: Option<[Option<usize>; 6]>,
    /// Number of windows of the zoom-in.
    pub windows: Option<usize>,
    /// Number of voxels of the mask.
    pub voxels: usize,
}

fn yes() -> bool {
    true
}

impl Run {
    /// The region of interest; `None` if there is none.
    #[must_use]
    pub fn roi(&self) -> Option<[usize; 6]> {
        let roi = self.roi?;
        roi.iter().all(Option::is_some).then(|| roi.map(|bound| bound.unwrap_or_default()))
    }
}

/// Reads `data/tiny/volumes/NAME.json`.
///
/// # Panics
///
/// If the file does not exist or has other fields.
#[must_use]
pub fn volume_record(name: &str) -> VolumeRecord {
    let path = data(&format!("tiny/volumes/{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_has_its_numbers() {
        let mut runs = 0;
        for name in VOLUMES {
            let record = volume_record(name);
            let goldens = Goldens::load(&format!("tiny/volumes/{name}.safetensors.gz"));
            for (variant, weights) in &record.variants {
                for (orientation, prompts) in [("ras", &weights.ras), ("stored", &weights.stored)] {
                    for (prompt, run) in prompts {
                        let logits = goldens.values(&format!("{variant}.{orientation}.{prompt}.logits"));
                        let positive = logits.iter().filter(|&&logit| logit > 0.0).count();
                        assert_eq!(positive, run.voxels, "{name}: {variant}.{orientation}.{prompt}");
                        runs += 1;
                    }
                }
            }
        }
        assert_eq!(runs, 36);
    }

    #[test]
    fn samples_are_within_the_tensor() {
        let goldens = Goldens::load("full/stages.safetensors.gz");
        let sample = goldens.sample("image_embedding");
        assert_eq!(sample.index.len(), sample.value.len());
        assert!(sample.index.iter().all(|&i| i < 2048 * 768));
        assert_eq!(goldens.sample("box.sparse").value.len(), 2 * 768);
    }
}
