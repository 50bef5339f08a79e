//! The benchmark: one worker per variant, outputs compared before times are taken, and variants in turns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::thread;
use std::time::Duration;

use segvol::Provider;
use segvol_onnx::{Architecture, Manifest, Precision, Stage};
use serde::{Deserialize, Serialize};

use crate::error::{Error, temporary_folder};
use crate::noise::{Machine, scatter_warning};
use crate::options::parse_provider_options;
use crate::peak::Peak;
use crate::plan::{Observer, Plan, report};
use crate::record::Record;
use crate::row::{Outcome, Row, Variant};
use crate::running::{Opened, Running};
use crate::worker::{Reply, Request, Worker};

/// The version of a benchmark's JSON.
pub const SCHEMA_VERSION: u32 = 1;

/// The pause before each turn. ONNX Runtime's threads spin for a while after a run, and took 30 ms from the next variant.
const SETTLE: Duration = Duration::from_millis(200);

/// What was measured, and on which machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// The version of this layout.
    pub schema_version: u32,
    /// The program that measured, with its version.
    pub tool: String,
    /// The path of the bundle, as given.
    pub bundle: String,
    /// The model's sizes.
    pub architecture: Architecture,
    /// The machine.
    pub machine: Machine,
    /// The given provider options.
    #[serde(default)]
    pub provider_options: Vec<String>,
    /// The machine's matrix-product peak, one entry per number of threads.
    pub peaks: Vec<Peak>,
    /// One entry per variant.
    pub rows: Vec<Row>,
    /// Reasons to doubt the times.
    pub warnings: Vec<String>,
}

impl Benchmark {
    /// The first row with wrong outputs.
    #[must_use]
    pub fn first_wrong(&self) -> Option<&Row> {
        self.rows.iter().find(|row| matches!(row.outcome, Outcome::Wrong { .. }))
    }

    /// The first row of a stage that was measured.
    #[must_use]
    pub fn first_measured(&self, stage: Stage) -> Option<&Row> {
        let of_stage = |row: &&Row| row.variant.stage == stage;
        self.rows.iter().filter(of_stage).find(|row| matches!(row.outcome, Outcome::Measured(_)))
    }

    /// The failure that matters most: the last row whose provider is not available, or else the first one that failed.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        let failures = self.rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Failed { reason, kind, provider_missing } => {
                let error = Error::Reported { what: row.variant.label(), reason: reason.clone(), kind: *kind };
                Some((*provider_missing, error))
            }
            Outcome::Measured(_) | Outcome::Wrong { .. } => None,
        });
        let worst = failures.reduce(|worst, next| if next.0 { next } else { worst });
        worst.map(|(_, error)| error)
    }
}

/// Measures every variant of a plan.
///
/// Each variant gets a worker. Its outputs are compared with those of float32 on the CPU provider, and only a variant
/// with the right outputs is timed. Timed runs take turns, one of each variant after the other, so that a change of the
/// machine's speed affects all of them. All variants stay in memory until the end.
///
/// # Errors
///
/// [`Error::Run`] if the bundle cannot be used; [`Error::Worker`] if a worker cannot be started or ends too early;
/// [`Error::Cancelled`] if the observer breaks; [`Error::Reported`] if the peak or the reference cannot be measured. A variant that fails is not an error, but a row
/// with the reason.
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

    let folder = temporary_folder()?;
    let mut references: BTreeMap<(Stage, usize), Record> = BTreeMap::new();
    let mut variants = Vec::new();
    for variant in plan.variants() {
        report(observer, &format!("opening {}", variant.label()))?;
        let reference = match references.entry((variant.stage, variant.batch)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(reference(plan, &variant, folder.path())?),
        };
        let opened = Opened::open(plan, &variant, folder.path())?;
        let running = opened.and_then(|opened| opened.checked(&variant, &provider_options, reference));
        variants.push((variant, running));
    }

    take_turns(plan, variants.iter_mut().filter_map(|(_, running)| running.as_mut().ok()).collect(), observer)?;

    // Measured again, because another program may have interfered the first time. The better result counts.
    thread::sleep(SETTLE);
    for found in &mut peaks {
        let again = peak(plan, found.threads, observer)?;
        if again.gflops > found.gflops {
            *found = again;
        }
    }
    let mut rows = Vec::new();
    for (variant, running) in variants {
        let outcome = match running {
            Ok(running) => {
                let peak = peaks.iter().find(|peak| peak.threads == variant.threads);
                let measured = running.finish(&variant, a, peak)?;
                warnings.extend(scatter_warning(&variant.label(), &measured.summary_ms));
                Outcome::Measured(Box::new(measured))
            }
            Err(outcome) => outcome,
        };
        let library = plan.libraries.of(variant.provider).map(|file| file.display().to_string());
        rows.push(Row { variant, library, outcome });
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

/// Warms up and times: in each round, every variant runs once.
fn take_turns(plan: &Plan, mut running: Vec<&mut Running>, observer: &mut Observer<'_>) -> Result<(), Error> {
    // The first run was made when the variant was opened.
    let warm_up = plan.warm_up.saturating_sub(1);
    let several = running.len() > 1;
    for round in 0..warm_up + plan.runs {
        report(observer, &format!("round {}", round + 1))?;
        for variant in &mut running {
            if several {
                thread::sleep(SETTLE);
            }
            variant.run(round >= warm_up)?;
        }
    }
    Ok(())
}

/// The outputs of float32 on the CPU provider.
fn reference(plan: &Plan, variant: &Variant, folder: &Path) -> Result<Record, Error> {
    let cpu = Variant { provider: Provider::Cpu, precision: Precision::Fp32, threads: None, ..variant.clone() };
    match Opened::open(&Plan { provider_options: vec![], ..plan.clone() }, &cpu, folder)? {
        Ok(opened) => Ok(opened.outputs),
        Err(Outcome::Failed { reason, kind, .. }) => {
            Err(Error::Reported { what: "the reference, float32 on the CPU provider".to_owned(), reason, kind })
        }
        Err(other) => Err(Error::Worker { reason: format!("unexpected outcome of the reference: {other:?}") }),
    }
}

fn peak(plan: &Plan, threads: Option<usize>, observer: &mut Observer<'_>) -> Result<Peak, Error> {
    report(observer, "matrix-product peak")?;
    let library = plan.libraries.of(Provider::Cpu);
    match Worker::start(&plan.program)?.ask(&Request::Peak { threads, library })? {
        Reply::Peak(peak) => Ok(peak),
        other => Err(other.into_error("matrix-product peak")),
    }
}

#[cfg(test)]
mod tests {
    use segvol_base::ErrorKind;

    use super::*;

    #[test]
    fn a_missing_provider_outweighs_other_failures_and_wrong_rows_are_apart() {
        let row = |batch, outcome| Row {
            variant: Variant {
                stage: Stage::TextEncoder,
                provider: Provider::Cuda,
                precision: Precision::Fp32,
                threads: None,
                batch,
            },
            library: None,
            outcome,
        };
        let failed = |batch, kind| row(batch, Outcome::failed("reason".to_owned(), kind));
        let of = |rows| Benchmark {
            schema_version: SCHEMA_VERSION,
            tool: String::new(),
            bundle: String::new(),
            architecture: Architecture::RELEASED,
            machine: Machine::default(),
            provider_options: vec![],
            peaks: vec![],
            rows,
            warnings: vec![],
        };
        let found =
            of(vec![failed(1, ErrorKind::Runtime), failed(2, ErrorKind::Provider), failed(3, ErrorKind::Memory)]);
        let error = found.failure().expect("a failure");
        assert_eq!(error.kind(), ErrorKind::Provider);
        assert!(error.to_string().starts_with("text_encoder cuda fp32 x2,"), "{error}");
        let two = of(vec![failed(1, ErrorKind::Memory), failed(2, ErrorKind::Runtime)]);
        assert_eq!(two.failure().map(|error| error.kind()), Some(ErrorKind::Memory));

        let difference = crate::compare::Difference::FARTHEST;
        let wrong = Outcome::Wrong { used: Provider::Cuda, difference, allowed: 0.0 };
        let found = of(vec![row(4, wrong)]);
        assert!(found.failure().is_none());
        assert_eq!(found.first_wrong().map(|row| row.variant.batch), Some(4));
    }
}
