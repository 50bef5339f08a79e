//! A whole segmentation, from the scan's file to the mask's: which share of the time goes where.

use std::path::PathBuf;
use std::time::Instant;

use segvol::{Model, Placement, Precision, Prompt, Provider, StudyOptions, Volume};
use segvol_base::machine;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::options::{options_on, parse_provider_options};
use crate::statistics::Summary;

/// What is segmented, and how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The bundle.
    pub bundle: PathBuf,
    /// The scan.
    pub scan: PathBuf,
    /// The objects, as text of an objects file.
    pub objects: String,
    /// Where the graphs run.
    pub provider: Provider,
    /// Options of any provider, `PROVIDER.KEY=VALUE` each.
    pub provider_options: Vec<String>,
    /// The precision; none for what the provider runs best.
    pub precision: Option<Precision>,
    /// Threads per graph.
    pub threads: Option<usize>,
    /// ONNX Runtime's library.
    pub library: Option<PathBuf>,
    /// How often, without the warm-up.
    pub runs: usize,
    /// How often before that, not counted.
    pub warm_up: usize,
}

/// Where the time of a job goes, in the order of the data's way; with the steps of a study that belong there.
///
/// `encode`, `text` and `decode` are ONNX Runtime's; all others are not.
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

/// The shares that are ONNX Runtime's.
const ONNX_RUNTIME: [&str; 3] = ["text", "encode", "decode"];

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRun {
    /// The provider that was used.
    pub used: Provider,
    /// Nodes of all graphs per provider.
    pub nodes: Placement,
    /// Objects that were segmented.
    pub objects: usize,
    /// Windows that went through the image encoder, per run.
    pub windows: usize,
    /// Opening the bundle: hashes, sessions; once, and in none of the shares.
    pub open_ms: f64,
    /// Milliseconds of every run from the scan's file to the mask's.
    pub total_ms: Vec<f64>,
    /// Milliseconds per share, of every run.
    pub shares: Vec<Share>,
    /// The most memory that the process held.
    pub peak_resident_bytes: Option<u64>,
}

/// One share of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// What was done.
    pub name: String,
    /// Milliseconds of every run.
    pub samples_ms: Vec<f64>,
}

impl JobRun {
    /// The median of all runs, in milliseconds.
    #[must_use]
    pub fn total(&self) -> f64 {
        Summary::of(&self.total_ms).map_or(f64::NAN, |summary| summary.median)
    }

    /// Per run, what of the time is not ONNX Runtime; the median, as a share of the whole. Steps that run beside each
    /// other count once: it is what a user waits for beyond ONNX Runtime.
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
    /// Opens the bundle and does the job.
    ///
    /// # Errors
    ///
    /// As for [`Model::open`] and [`segvol::Study::segment_all`]; [`Error::Worker`] if the objects cannot be read.
    pub fn run(&self) -> Result<JobRun, Error> {
        let prompts =
            segvol::parse_prompts(&self.objects).map_err(|error| Error::Worker { reason: error.to_string() })?;
        let start = Instant::now();
        let mut options = options_on(self.provider, self.threads, self.library.clone());
        options.provider_options = parse_provider_options(&self.provider_options)?;
        options.precision = self.precision;
        let model = Model::open(&self.bundle, &options)?;
        let open_ms = milliseconds(start);
        let dir =
            segvol_base::TemporaryFolder::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
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
            peak_resident_bytes: None,
        };
        for run in 0..self.warm_up + self.runs {
            let (total_ms, shares_ms, windows) = self.once(&model, &prompts, &dir.path().join("mask.nii.gz"))?;
            if run >= self.warm_up {
                found.total_ms.push(total_ms);
                found.windows = windows;
                for (share, ms) in found.shares.iter_mut().zip(shares_ms) {
                    share.samples_ms.push(ms);
                }
            }
        }
        found.peak_resident_bytes = machine::peak_resident_bytes();
        Ok(found)
    }

    fn once(
        &self,
        model: &Model,
        prompts: &[Prompt],
        mask: &std::path::Path,
    ) -> Result<(f64, [f64; SHARES.len()], usize), Error> {
        let start = Instant::now();
        let volume = Volume::open(&self.scan).map_err(segvol::Error::from)?;
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
        Ok((total_ms, shares_ms, statistics.windows_encoded))
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
            peak_resident_bytes: None,
        };
        assert_eq!(found.total(), 100.0);
        assert!((found.outside_onnxruntime() - 0.2).abs() < 1e-12);
    }
}
