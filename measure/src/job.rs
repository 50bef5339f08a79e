//! A whole segmentation, from the scan's file to the mask's file: how much time each step takes.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use segvol::{
    Cancellation, Follower, Model, Placement, Precision, Prompt, Provider, ReadOptions, Segmentation, Study,
    StudyOptions, Volume,
};
use segvol_base::machine;
use serde::{Deserialize, Serialize};

use crate::error::{Error, temporary_folder};
use crate::options::{options_on, parse_provider_options};
use crate::statistics::Summary;

/// What is segmented, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The bundle.
    pub bundle: PathBuf,
    /// The scan.
    pub scan: PathBuf,
    /// How scans are read.
    #[serde(default)]
    pub read: ReadOptions,
    /// The text of a prompts file.
    pub prompts: String,
    /// The provider of all graphs.
    pub provider: Provider,
    /// Provider options, each as `PROVIDER.KEY=VALUE`.
    pub provider_options: Vec<String>,
    /// The precision. `None`: the one that the provider runs best.
    pub precision: Option<Precision>,
    /// Threads per graph. `None`: as many as there are cores.
    pub threads: Option<usize>,
    /// ONNX Runtime's library.
    pub library: Option<PathBuf>,
    /// Timed runs.
    pub runs: usize,
    /// Runs before the timed ones.
    pub warm_up: usize,
}

/// The parts into which the time of a job is divided, in the order of the data flow, and the steps of a study that each
/// consists of.
const SHARES: [(&str, &[&str]); 9] = [
    ("load", &[]),
    ("normalise", &["orient", "normalise"]),
    ("cut", &["cut"]),
    ("text", &["encode_text"]),
    ("encode", &["encode_image"]),
    ("decode", &["decode"]),
    ("stitch", &["upsample", "stitch"]),
    ("write", &[]),
    ("other", &[]),
];

/// The parts that are spent inside ONNX Runtime.
const ONNX_RUNTIME: [&str; 3] = ["text", "encode", "decode"];

/// The measurements of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRun {
    /// The provider that was used.
    pub used: Provider,
    /// Nodes of all graphs per provider.
    pub nodes: Placement,
    /// Number of segmented objects.
    pub objects: usize,
    /// Windows that the image encoder processed per run.
    pub windows: usize,
    /// Time to open the bundle: hashes and sessions. It happens once, and is not part of any share.
    pub open_ms: f64,
    /// Milliseconds of every run, from the scan's file to the mask's file.
    pub total_ms: Vec<f64>,
    /// The shares of every run.
    pub shares: Vec<Share>,
    /// Milliseconds from a click on the prepared scan to the first object's coarse mask, once after every run, with nothing
    /// encoded beforehand. It is not part of the total.
    pub first_coarse_ms: Vec<f64>,
    /// Peak memory of the process, in bytes.
    pub peak_resident_bytes: Option<u64>,
}

/// One share of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The part of the work.
    pub name: String,
    /// Milliseconds of every run.
    pub samples_ms: Vec<f64>,
}

impl JobRun {
    /// The median of all runs, in milliseconds. NaN without runs.
    #[must_use]
    pub fn total(&self) -> f64 {
        Summary::of(&self.total_ms).map_or(f64::NAN, |summary| summary.median)
    }

    /// The time of the image encoder per window: the median of all runs, in milliseconds. NaN without runs.
    #[must_use]
    pub fn encode_per_window(&self) -> f64 {
        let encode = self.shares.iter().find(|share| share.name == "encode");
        let summary = encode.and_then(|share| Summary::of(&share.samples_ms));
        summary.map_or(f64::NAN, |summary| summary.median / self.windows as f64)
    }

    /// The share of the time that is not spent inside ONNX Runtime: the median over the runs, in [0, 1]. NaN without runs.
    ///
    /// Steps that run at the same time as ONNX Runtime do not count: this is how long a user waits in addition to ONNX
    /// Runtime.
    #[must_use]
    pub fn outside_onnxruntime(&self) -> f64 {
        let of_run = |(run, total): (usize, &f64)| {
            let inside = self.shares.iter().filter(|share| ONNX_RUNTIME.contains(&share.name.as_str()));
            let inside: f64 = inside.filter_map(|share| share.samples_ms.get(run)).sum();
            (total - inside).max(0.0) / total
        };
        let shares: Vec<f64> = self.total_ms.iter().enumerate().map(of_run).collect();
        Summary::of(&shares).map_or(f64::NAN, |summary| summary.median)
    }
}

impl Job {
    /// Opens the bundle and runs the job.
    ///
    /// # Errors
    ///
    /// As for [`Model::open`] and [`segvol::Study::segment_all`]; [`Error::Prompts`] if the prompts cannot be read.
    pub fn run(&self) -> Result<JobRun, Error> {
        let prompts = segvol::parse_prompts(&self.prompts)?;
        let start = Instant::now();
        let mut options = options_on(self.provider, self.threads, self.library.clone());
        options.provider_options = parse_provider_options(&self.provider_options)?;
        options.precision = self.precision;
        let model = Model::open(&self.bundle, &options)?;
        let open_ms = milliseconds(start);
        let dir = temporary_folder()?;
        let shares = SHARES.iter().map(|(name, _)| Share { name: (*name).to_owned(), samples_ms: vec![] }).collect();
        let mut nodes = Placement::new();
        for placement in model.stages().placement().into_values() {
            for (provider, count) in placement {
                *nodes.entry(provider).or_default() += count;
            }
        }
        let mut found = JobRun {
            used: model.stages().provider(),
            nodes,
            objects: prompts.len(),
            windows: 0,
            open_ms,
            total_ms: vec![],
            shares,
            first_coarse_ms: vec![],
            peak_resident_bytes: None,
        };
        for run in 0..self.warm_up + self.runs {
            let (once, study) = self.once(&model, &prompts, &dir.path().join("mask.nii.gz"))?;
            let first_coarse_ms = first_coarse(&study, &prompts)?;
            if run >= self.warm_up {
                found.total_ms.push(once.total_ms);
                found.first_coarse_ms.push(first_coarse_ms);
                found.windows = once.windows;
                for (share, ms) in found.shares.iter_mut().zip(once.shares_ms) {
                    share.samples_ms.push(ms);
                }
            }
        }
        found.peak_resident_bytes = machine::peak_resident_bytes();
        Ok(found)
    }

    fn once(&self, model: &Model, prompts: &[Prompt], mask: &std::path::Path) -> Result<(Once, Study), Error> {
        let start = Instant::now();
        let volume = Volume::open_with(&self.scan, &self.read).map_err(segvol::Error::from)?;
        let load_ms = milliseconds(start);
        // A study of one call needs no window twice.
        let study = model.study_with(volume, &StudyOptions::default().cache_bytes(0))?;
        let segmentations = study.segment_all(prompts)?;
        let writing = Instant::now();
        study.label_map(&segmentations)?.save(mask).map_err(segvol::Error::from)?;
        let write_ms = milliseconds(writing);
        let total_ms = milliseconds(start);

        let statistics = study.statistics();
        let steps_ms = |steps: &[&str]| steps.iter().filter_map(|step| statistics.times_ms.get(step)).sum::<f64>();
        let mut shares_ms = SHARES.map(|(name, steps)| match name {
            "load" => load_ms,
            "write" => write_ms,
            _ => steps_ms(steps),
        });
        let known: f64 = shares_ms.iter().sum();
        shares_ms[SHARES.len() - 1] = (total_ms - known).max(0.0);
        Ok((Once { total_ms, shares_ms, windows: statistics.windows_encoded }, study))
    }
}

/// One run.
struct Once {
    total_ms: f64,
    shares_ms: [f64; SHARES.len()],
    windows: usize,
}

/// Notes when the first object's coarse mask is there, and stops the call.
struct FirstCoarse {
    start: Instant,
    found: Option<Result<f64, segvol::Error>>,
}

impl Follower for FirstCoarse {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        self.found = coarse.first().map(|first| first.zoom_out_mask().map(|_mask| milliseconds(self.start)));
        ControlFlow::Break(())
    }
}

/// Milliseconds until the first object's coarse mask is on the scan's grid. The study must not cache embeddings.
fn first_coarse(study: &Study, prompts: &[Prompt]) -> Result<f64, Error> {
    let mut follower = FirstCoarse { start: Instant::now(), found: None };
    // Stopped, or complete if nothing is left to do.
    let outcome = study.segment_followed(prompts, &mut follower, &Cancellation::new());
    match (follower.found, outcome) {
        (Some(found), _) => Ok(found?),
        (None, outcome) => outcome.map(|_| f64::NAN).map_err(Error::from),
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_onnx_runtime_is_taken_run_by_run() {
        let share = |name: &str, samples: [f64; 3]| Share { name: name.to_owned(), samples_ms: samples.to_vec() };
        let found = JobRun {
            used: Provider::Cpu,
            nodes: Placement::new(),
            objects: 1,
            windows: 2,
            open_ms: 1.0,
            total_ms: vec![100.0, 200.0, 100.0],
            shares: vec![
                share("load", [5.0, 5.0, 5.0]),
                share("encode", [80.0, 150.0, 70.0]),
                share("text", [5.0, 5.0, 5.0]),
                share("decode", [5.0, 5.0, 5.0]),
            ],
            first_coarse_ms: vec![45.0],
            peak_resident_bytes: None,
        };
        assert_eq!(found.total(), 100.0);
        assert!((found.outside_onnxruntime() - 0.2).abs() < 1e-12);
        assert_eq!(found.encode_per_window(), 40.0);
    }
}
