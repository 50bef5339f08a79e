//! Makes a stored benchmark of a measured one: each way to open the bundle is verified first, and its masks are compared if it is less
//! exact than float32.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segvol::{Provider, ReadOptions};
use segvol_base::machine;
use segvol_onnx::manifest::{MANIFEST_FILE, sha256_file};
use segvol_onnx::{Precision, Stage};
use segvol_tuning::{Gate, Library, Machine, Row as StoredRow, Stored, Times, stored};

use crate::bench::Benchmark;
use crate::error::{Error, temporary_folder};
use crate::plan::{Observer, Plan, report};
use crate::record::Record;
use crate::row::{Measured, Outcome, Row, Variant};
use crate::side::Side;
use crate::statistics::Summary;
use crate::verify::{MASKS, Verification};
use crate::worker::{Reply, Request, Worker};

/// The scans on which masks of less exact rows are compared with those of float32 on the CPU provider.
#[derive(Debug, Clone, Default)]
pub struct GateScans {
    /// NIfTI files. If empty, less exact rows are stored without a comparison of masks.
    pub scans: Vec<PathBuf>,
    /// The text of a prompts file. `None`: the default prompts of [`crate::scans::Scans`].
    pub prompts: Option<String>,
    /// How scans are read.
    pub read: ReadOptions,
}

/// What is stored of a benchmark: its rows of the image encoder with one window a run, with those of the mask decoder with one prompt.
/// Rows with wrong outputs, and rows that failed, are left out.
///
/// Every row is verified stage by stage against float32 on the CPU provider, in a process of its own, with the tolerances of
/// [`crate::tolerance`]; a row that fails is stored with the stages that failed.
///
/// # Errors
///
/// [`Error::Run`] if the manifest cannot be read; [`Error::Reported`] if the reference fails; [`Error::Worker`] if a worker cannot be
/// started or ends too early; [`Error::Record`] if the reference cannot be read back; [`Error::Cancelled`] if the observer breaks.
pub fn stored(
    plan: &Plan,
    benchmark: &Benchmark,
    gate: &GateScans,
    observer: &mut Observer<'_>,
) -> Result<Stored, Error> {
    let manifest = plan.bundle.join(MANIFEST_FILE);
    let manifest_sha256 = sha256_file(&manifest).map_err(|source| Error::Io { path: manifest, source })?;
    let mut rows: Vec<(&Row, StoredRow)> =
        benchmark.rows.iter().filter_map(|row| Some((row, of_row(plan, benchmark, row)?))).collect();
    if !rows.is_empty() {
        report(observer, "comparing: float32 on the CPU provider")?;
        let folder = temporary_folder()?;
        let path = folder.path().join("reference.safetensors");
        let reference = reference(plan, gate, &path)?;
        for (row, stored) in &mut rows {
            report(observer, &format!("comparing: {}", row.variant.label()))?;
            check(plan, row, stored, gate, (&path, &reference))?;
        }
    }
    Ok(Stored {
        schema_version: stored::SCHEMA_VERSION,
        tool: benchmark.tool.clone(),
        machine: Machine::this(),
        manifest_sha256,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    })
}

/// A row of the image encoder, not yet compared; `None` for other rows.
fn of_row(plan: &Plan, benchmark: &Benchmark, row: &Row) -> Option<StoredRow> {
    let (variant, measured) = (&row.variant, measured_of(row)?);
    if (variant.stage, variant.batch) != (Stage::ImageEncoder, 1) {
        return None;
    }
    let decoder = Variant { stage: Stage::MaskDecoder, ..variant.clone() };
    let decoder = benchmark.rows.iter().find(|row| row.variant == decoder).and_then(measured_of);
    let peaks = [Some(measured), decoder].into_iter().flatten().map(|measured| measured.peak_resident_bytes);
    Some(StoredRow {
        provider: measured.used,
        precision: variant.precision,
        provider_options: options_of(plan, measured.used),
        threads: variant.threads.unwrap_or_else(machine::usable_cores),
        library: Library::new(measured.loaded.path.clone(), measured.loaded.version.clone()),
        encode_ms: times(&measured.summary_ms),
        decode_ms: decoder.map(|measured| times(&measured.summary_ms)),
        peak_bytes: peaks.sum(),
        failed: Vec::new(),
        gate: None,
    })
}

fn measured_of(row: &Row) -> Option<&Measured> {
    match &row.outcome {
        Outcome::Measured(measured) => Some(measured),
        Outcome::Wrong { .. } | Outcome::Failed { .. } => None,
    }
}

/// The given options that concern a provider.
fn options_of(plan: &Plan, provider: Provider) -> Vec<String> {
    // TensorRT leaves nodes to CUDA, and every provider leaves some to the CPU provider.
    let with_cuda = provider == Provider::TensorRt;
    let concerns = |text: &&String| match text.split_once('.').map(|(name, _)| name.parse::<Provider>()) {
        Some(Ok(named)) => named == provider || named == Provider::Cpu || (with_cuda && named == Provider::Cuda),
        _ => true,
    };
    plan.provider_options.iter().filter(concerns).cloned().collect()
}

fn times(summary: &Summary) -> Times {
    let Summary { runs, min, median, p90, p99, max, .. } = *summary;
    Times { runs, min, median, p90, p99, max }
}

/// Runs float32 on the CPU provider, on the scans too, and writes all outputs to `path`.
fn reference(plan: &Plan, gate: &GateScans, path: &Path) -> Result<Record, Error> {
    let side = Side {
        bundle: plan.bundle.clone(),
        provider: Provider::Cpu,
        provider_options: Vec::new(),
        precision: Precision::Fp32,
        threads: None,
        library: plan.libraries.of(Provider::Cpu),
        scans: gate.scans.clone(),
        prompts: gate.prompts.clone(),
        read: gate.read.clone(),
    };
    match Worker::start(&plan.program)?.ask(&Request::Dump { side, path: path.to_owned() })? {
        Reply::Dumped => Ok(Record::read(path)?),
        other => Err(other.into_error("the reference, float32 on the CPU provider")),
    }
}

/// Verifies a row, and compares its masks if it needs that.
fn check(
    plan: &Plan,
    row: &Row,
    stored: &mut StoredRow,
    gate: &GateScans,
    (path, reference): (&Path, &Record),
) -> Result<(), Error> {
    let needs_gate = stored.needs_gate();
    let side = Side {
        bundle: plan.bundle.clone(),
        provider: stored.provider,
        provider_options: stored.provider_options.clone(),
        precision: stored.precision,
        threads: row.variant.threads,
        // A library must be named by its path; the system's loader finds the same one again.
        library: Some(stored.library.path.clone()).filter(|path| path.is_absolute()),
        scans: if needs_gate { gate.scans.clone() } else { Vec::new() },
        prompts: gate.prompts.clone(),
        read: gate.read.clone(),
    };
    match Worker::start(&plan.program)?.ask(&Request::Verify { side, reference: path.to_owned() })? {
        Reply::Verified(found) => {
            // The gate judges masks.
            stored.failed = found.failed().into_iter().filter(|stage| *stage != MASKS).map(str::to_owned).collect();
            if found.checks.is_empty() {
                stored.failed.push("nothing could be compared".to_owned());
            }
            stored.gate = if needs_gate { gate_of(&found, reference) } else { None };
        }
        Reply::Failed { reason, .. } => stored.failed = vec![reason],
        other => return Err(other.into_error(row.variant.label())),
    }
    Ok(())
}

/// The lowest mean Dice of a scan's masks. A mask that is empty on both sides says nothing and does not count. `None` if no mask counts,
/// or if a mask of the reference was not compared.
fn gate_of(found: &Verification, reference: &Record) -> Option<Gate> {
    let mut scans: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, mask) in &reference.masks {
        let check = found.checks.iter().find(|check| check.stage == MASKS && check.output == *name)?;
        let dice = check.difference.dice?;
        let is_empty = mask.iter().all(|&voxel| voxel == 0);
        if is_empty && dice >= 1.0 {
            continue;
        }
        // The name of a mask begins with that of its scan.
        let scan = name.split_once('/').map_or(name.as_str(), |(scan, _)| scan);
        scans.entry(scan).or_default().push(dice);
    }
    let mean = |dice: &Vec<f64>| dice.iter().sum::<f64>() / dice.len() as f64;
    let dice = scans.values().map(mean).reduce(f64::min)?;
    Some(Gate { dice, scans: scans.len(), masks: scans.values().map(Vec::len).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Difference;
    use crate::library::Libraries;
    use crate::verify::Check;

    fn verification(masks: &[(&str, f64)]) -> Verification {
        let check = |&(name, dice): &(&str, f64)| Check {
            stage: MASKS.to_owned(),
            output: name.to_owned(),
            difference: Difference { max_abs: 0.0, relative_l2: 0.0, cosine: 1.0, dice: Some(dice) },
            allowed: 0.99,
            reason: String::new(),
            passed: true,
        };
        Verification {
            subject: BTreeMap::new(),
            reference: BTreeMap::new(),
            checks: masks.iter().map(check).collect(),
            not_compared: vec![],
        }
    }

    fn reference(masks: &[(&str, u8)]) -> Record {
        let masks = masks.iter().map(|(name, voxel)| ((*name).to_owned(), vec![0, *voxel]));
        Record { masks: masks.collect(), ..Record::default() }
    }

    #[test]
    fn the_worst_scan_decides_and_empty_masks_do_not_count() {
        let masks = [("0.a/mask.0.liver", 1), ("0.a/mask.1.box", 1), ("1.b/mask.0.liver", 1), ("1.b/mask.1.box", 0)];
        let found =
            [("0.a/mask.0.liver", 1.0), ("0.a/mask.1.box", 0.96), ("1.b/mask.0.liver", 0.99), ("1.b/mask.1.box", 1.0)];
        let gate = gate_of(&verification(&found), &reference(&masks)).expect("a gate");
        assert!((gate.dice - 0.98).abs() < 1e-12, "{gate:?}");
        assert_eq!((gate.scans, gate.masks), (2, 3));
        // A mask where the reference has none counts.
        let mut wrong = found;
        wrong[3].1 = 0.0;
        let gate = gate_of(&verification(&wrong), &reference(&masks)).expect("a gate");
        assert!((gate.dice - 0.495).abs() < 1e-12, "{gate:?}");
    }

    #[test]
    fn nothing_found_or_compared_is_no_gate() {
        let empty = [("0.a/mask.0.liver", 0)];
        assert_eq!(gate_of(&verification(&[("0.a/mask.0.liver", 1.0)]), &reference(&empty)), None);
        assert_eq!(gate_of(&verification(&[]), &reference(&[("0.a/mask.0.liver", 1)])), None);
        assert_eq!(gate_of(&verification(&[]), &reference(&[])), None);
    }

    #[test]
    fn a_row_has_the_options_that_concern_it() {
        let plan = Plan {
            bundle: PathBuf::new(),
            stages: vec![],
            providers: vec![],
            provider_options: ["openvino.precision=bf16", "cuda.device=1", "cpu.spin=off"].map(str::to_owned).to_vec(),
            precisions: vec![],
            threads: vec![],
            batches: vec![],
            runs: 1,
            warm_up: 1,
            libraries: Libraries::default(),
            program: PathBuf::new(),
        };
        assert_eq!(options_of(&plan, Provider::Cpu), ["cpu.spin=off"]);
        assert_eq!(options_of(&plan, Provider::OpenVino), ["openvino.precision=bf16", "cpu.spin=off"]);
        assert_eq!(options_of(&plan, Provider::TensorRt), ["cuda.device=1", "cpu.spin=off"]);
    }
}
