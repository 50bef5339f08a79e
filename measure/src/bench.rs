//! The benchmark: a process per variant, right numbers before times, and variants in turns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use segvol::{Provider, ProviderOptions};
use segvol_onnx::Precision;
use segvol_onnx::{Architecture, Manifest, Stage};
use serde::{Deserialize, Serialize};

use crate::compare::Difference;
use crate::library::Libraries;
use crate::noise::{Machine, scatter_warning};
use crate::options::parse_provider_options;
use crate::peak::Peak;
use crate::record::Record;
use crate::row::{Measured, Outcome, Row, Variant};
use crate::statistics::Summary;
use crate::worker::{Reply, Request, Worker};
use crate::{Error, flops, load, tolerance};

/// The layout of a benchmark's JSON.
const SCHEMA_VERSION: u32 = 1;

/// How long the processes are left alone before another one's turn: ONNX Runtime's threads look for more work for a while
/// after a run, and took 30 ms of the next variant's.
const SETTLE: Duration = Duration::from_millis(200);

/// What to measure: every combination of the lists.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The bundle.
    pub bundle: PathBuf,
    /// Stages.
    pub stages: Vec<Stage>,
    /// Providers.
    pub providers: Vec<Provider>,
    /// Their options, `PROVIDER.KEY=VALUE` each.
    pub provider_options: Vec<String>,
    /// Precisions.
    pub precisions: Vec<Precision>,
    /// Threads per graph; none for as many as there are cores.
    pub threads: Vec<Option<usize>>,
    /// Windows, names or prompts per run.
    pub batches: Vec<usize>,
    /// Timed runs of each variant.
    pub runs: usize,
    /// Runs of each variant before those, the first one among them.
    pub warm_up: usize,
    /// Where each provider's library is.
    pub libraries: Libraries,
    /// Where `.onnxruntime` is looked for.
    pub folder: PathBuf,
    /// The program to start measuring processes from: it must have [`crate::worker::SUBCOMMAND`].
    pub program: PathBuf,
}

/// What was measured, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// Version of this layout.
    pub schema_version: u32,
    /// The program that measured, with its version.
    pub tool: String,
    /// The bundle, as it was named.
    pub bundle: String,
    /// The model's sizes.
    pub architecture: Architecture,
    /// The machine.
    pub machine: Machine,
    /// The providers' options that were given.
    #[serde(default)]
    pub provider_options: Vec<String>,
    /// The machine's matrix-product peak per number of threads.
    pub peaks: Vec<Peak>,
    /// One entry per variant.
    pub rows: Vec<Row>,
    /// What makes times doubtful.
    pub warnings: Vec<String>,
}

/// What is being done, for a user who waits.
pub type Observer<'a> = dyn FnMut(&str) + 'a;

impl Plan {
    /// Every combination, batches fastest.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let mut variants = Vec::new();
        for &stage in &self.stages {
            for &provider in &self.providers {
                for &precision in &self.precisions {
                    for &threads in &self.threads {
                        for &batch in &self.batches {
                            variants.push(Variant { stage, provider, precision, threads, batch });
                        }
                    }
                }
            }
        }
        variants
    }
}

/// Measures every variant of a plan.
///
/// Each variant gets a process of its own. Its outputs are compared with those of float32 on the CPU provider, and
/// only a variant that is right is timed. Timed runs take turns, one of each variant after the other, so that a change
/// in the machine meets all of them. All variants stay in memory until the end.
///
/// # Errors
///
/// [`Error::Run`] if the bundle cannot be used; [`Error::Worker`] if a process cannot be started; what the CPU
/// provider says where the reference cannot be computed. A variant that fails is a row that says why.
pub fn bench(plan: &Plan, observer: &mut Observer<'_>) -> Result<Benchmark, Error> {
    let provider_options = parse_provider_options(&plan.provider_options)?;
    let machine = Machine::look();
    let mut warnings = machine.warnings();
    let manifest = Manifest::read(&plan.bundle)?;
    manifest.verify(&plan.bundle)?;
    let a = &manifest.architecture;

    let mut peaks = Vec::new();
    for &threads in &plan.threads {
        peaks.push(peak(plan, threads, observer)?);
    }

    let dir = segvol_base::TemporaryFolder::new().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let mut references: BTreeMap<(Stage, usize), Record> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut running: Vec<(usize, Worker, Measured)> = Vec::new();
    for variant in plan.variants() {
        observer(&format!("opening {}", variant.label()));
        let key = (variant.stage, variant.batch);
        if let std::collections::btree_map::Entry::Vacant(place) = references.entry(key) {
            let cpu = Variant { provider: Provider::Cpu, precision: Precision::Fp32, threads: None, ..variant.clone() };
            let opened = open(&Plan { provider_options: vec![], ..plan.clone() }, &cpu, dir.path())?;
            place.insert(opened.map_err(|outcome| Error::Worker { reason: reason(&outcome) })?.outputs);
        }
        let outcome = match open(plan, &variant, dir.path())? {
            Err(outcome) => outcome,
            Ok(opened) => {
                let reference = references.get(&key);
                match opened.checked(&variant, &provider_options, a, reference) {
                    Err(outcome) => outcome,
                    Ok((worker, measured)) => {
                        running.push((rows.len(), worker, measured));
                        // Replaced when the samples are there.
                        Outcome::Failed { reason: "not timed".to_owned(), provider_missing: false }
                    }
                }
            }
        };
        let library = plan.libraries.of(variant.provider, &plan.folder);
        rows.push(Row { variant, library: library.map(|file| file.display().to_string()), outcome });
    }

    // The first run has been.
    let warm_up = plan.warm_up.saturating_sub(1);
    for round in 0..warm_up + plan.runs {
        let timed = round >= warm_up;
        observer(&format!("round {}", round + 1));
        let several = running.len() > 1;
        for (_, worker, measured) in &mut running {
            if several {
                thread::sleep(SETTLE);
            }
            match worker.ask(&Request::Run)? {
                Reply::Ran { ms } if timed => measured.samples_ms.push(ms),
                Reply::Ran { .. } => {}
                other => return Err(unexpected(other)),
            }
        }
    }

    // Once more, and the better counts: at the beginning another program may have been in the way.
    thread::sleep(SETTLE);
    for found in &mut peaks {
        let again = peak(plan, found.threads, observer)?;
        if again.gflops > found.gflops {
            *found = again;
        }
    }
    for (index, mut worker, mut measured) in running {
        let variant = &rows[index].variant;
        if let Reply::Memory { resident_bytes, device_bytes } = worker.ask(&Request::Memory)? {
            (measured.peak_resident_bytes, measured.device_bytes) = (resident_bytes, device_bytes);
        }
        let peak = peaks.iter().find(|peak| peak.threads == variant.threads);
        let summary = Summary::of(&measured.samples_ms)
            .ok_or_else(|| Error::Worker { reason: "a plan needs at least one run".to_owned() })?;
        measured.finish(variant, summary, peak);
        warnings.extend(scatter_warning(&variant.label(), &summary));
        rows[index].outcome = Outcome::Measured(Box::new(measured));
    }
    Ok(Benchmark {
        schema_version: SCHEMA_VERSION,
        tool: concat!("segvol ", env!("CARGO_PKG_VERSION")).to_owned(),
        bundle: plan.bundle.display().to_string(),
        architecture: a.clone(),
        machine,
        provider_options: plan.provider_options.clone(),
        peaks,
        rows,
        warnings,
    })
}

fn peak(plan: &Plan, threads: Option<usize>, observer: &mut Observer<'_>) -> Result<Peak, Error> {
    observer("matrix-product peak");
    let library = plan.libraries.of(Provider::Cpu, &plan.folder);
    match Worker::start(&plan.program)?.ask(&Request::Peak { threads, library })? {
        Reply::Peak(peak) => Ok(peak),
        other => Err(unexpected(other)),
    }
}

/// A stage that is open, has run once, and is not yet known to be right.
struct Opened {
    worker: Worker,
    outputs: Record,
    measured: Measured,
}

/// Opens and first runs a variant; what it fails with is its outcome, not the benchmark's error.
fn open(plan: &Plan, variant: &Variant, dir: &Path) -> Result<Result<Opened, Outcome>, Error> {
    let mut worker = Worker::start(&plan.program)?;
    let library = plan.libraries.of(variant.provider, &plan.folder);
    let request = Request::Open {
        bundle: plan.bundle.clone(),
        variant: variant.clone(),
        provider_options: plan.provider_options.clone(),
        library,
    };
    let (used, nodes, onnxruntime, session_ms) = match worker.ask(&request)? {
        Reply::Opened { used, nodes, onnxruntime, ms } => (used, nodes, onnxruntime, ms),
        Reply::Failed { reason, provider_missing } => return Ok(Err(Outcome::Failed { reason, provider_missing })),
        other => return Err(unexpected(other)),
    };
    let path = dir.join("outputs.safetensors");
    let first_run_ms = match worker.ask(&Request::Save { path: path.clone() })? {
        Reply::Ran { ms } => ms,
        Reply::Failed { reason, provider_missing } => return Ok(Err(Outcome::Failed { reason, provider_missing })),
        other => return Err(unexpected(other)),
    };
    let outputs = Record::read(&path)?;
    let measured = Measured {
        used,
        nodes,
        onnxruntime,
        session_ms,
        first_run_ms,
        difference: Difference { max_abs: 0.0, relative_l2: 0.0, cosine: 1.0, dice: None },
        allowed: 0.0,
        samples_ms: vec![],
        summary_ms: Summary { runs: 0, min: 0.0, median: 0.0, p90: 0.0, p99: 0.0, max: 0.0, mean: 0.0, deviation: 0.0 },
        per_second: 0.0,
        flops: 0.0,
        gflops: 0.0,
        peak_share: None,
        peak_resident_bytes: None,
        device_bytes: None,
    };
    Ok(Ok(Opened { worker, outputs, measured }))
}

impl Opened {
    /// The worker, if its outputs are near enough to the reference's.
    fn checked(
        mut self,
        variant: &Variant,
        provider_options: &ProviderOptions,
        a: &Architecture,
        reference: Option<&Record>,
    ) -> Result<(Worker, Measured), Outcome> {
        let own = tolerance::of_stage(variant.stage, variant.precision).relative_l2;
        let lowered = tolerance::of_options(variant.stage, variant.provider, provider_options);
        let allowed = lowered.map_or(own, |lowered| own.max(lowered.relative_l2));
        let difference = worst_difference(&self.outputs, reference.unwrap_or(&Record::default()));
        (self.measured.difference, self.measured.allowed) = (difference, allowed);
        if difference.relative_l2 > allowed {
            return Err(Outcome::Wrong { used: self.measured.used, difference, allowed });
        }
        self.measured.flops = flops::of_stage(variant.stage, a, load::load(variant.stage, a, variant.batch));
        Ok((self.worker, self.measured))
    }
}

impl Measured {
    fn finish(&mut self, variant: &Variant, summary: Summary, peak: Option<&Peak>) {
        let seconds = summary.median / 1e3;
        self.summary_ms = summary;
        self.per_second = variant.batch as f64 / seconds;
        self.gflops = self.flops / seconds / 1e9;
        self.peak_share = peak.map(|peak| self.gflops / peak.gflops);
    }
}

/// The output that is farthest off. One that the reference lacks is infinitely far.
fn worst_difference(found: &Record, reference: &Record) -> Difference {
    let differences = found.tensors.iter().map(|(name, tensor)| {
        Difference::of(tensor.floats().unwrap_or_default(), reference.floats(name).unwrap_or(&[f32::NAN]))
    });
    let worst = differences.max_by(|a, b| a.relative_l2.total_cmp(&b.relative_l2));
    worst.unwrap_or(Difference::FARTHEST)
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed { reason, .. } => format!("the reference, float32 on the CPU provider: {reason}"),
        _ => "the reference, float32 on the CPU provider, gave no numbers".to_owned(),
    }
}

fn unexpected(reply: Reply) -> Error {
    let reason = match reply {
        Reply::Failed { reason, .. } => reason,
        other => format!("an unexpected reply: {other:?}"),
    };
    Error::Worker { reason }
}

#[cfg(test)]
mod tests {
    use segvol::Tensor;

    use super::*;

    #[test]
    fn a_plan_is_the_product_of_its_lists() {
        let plan = Plan {
            bundle: PathBuf::new(),
            stages: vec![Stage::ImageEncoder, Stage::MaskDecoder],
            providers: vec![Provider::Cpu, Provider::OpenVino],
            provider_options: vec![],
            precisions: vec![Precision::Fp32],
            threads: vec![Some(1), None],
            batches: vec![1, 2, 4],
            runs: 1,
            warm_up: 1,
            libraries: Libraries::default(),
            folder: PathBuf::new(),
            program: PathBuf::new(),
        };
        let labels: std::collections::BTreeSet<String> = plan.variants().iter().map(Variant::label).collect();
        assert_eq!(labels.len(), 24);
        assert!(labels.contains("mask_decoder openvino fp32 x4, all threads"), "{labels:?}");
    }

    #[test]
    fn the_worst_output_counts_and_a_missing_one_is_never_right() {
        let record = |values: [f32; 2]| {
            let tensors = [("a", values[0]), ("b", values[1])];
            let tensors = tensors.map(|(name, value)| (name.to_owned(), Tensor::float(&[1], vec![value])));
            Record { tensors: tensors.into_iter().collect(), ..Record::default() }
        };
        let found = worst_difference(&record([1.0, 2.5]), &record([1.0, 2.0]));
        assert_eq!(found.relative_l2, 0.25);
        assert_eq!(worst_difference(&record([1.0, 1.0]), &Record::default()), Difference::FARTHEST);
        assert_eq!(worst_difference(&Record::default(), &record([1.0, 1.0])), Difference::FARTHEST);
    }
}
