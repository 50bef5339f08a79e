//! One variant of a benchmark, in its worker: opened, checked, timed, and then summarised.

use std::path::Path;

use segvol::{Placement, Provider, ProviderOptions};
use segvol_onnx::Architecture;

use crate::compare::Difference;
use crate::error::Error;
use crate::peak::Peak;
use crate::plan::Plan;
use crate::record::Record;
use crate::row::{LoadedLibrary, Measured, Outcome, Variant};
use crate::statistics::Summary;
use crate::worker::{Reply, Request, Worker};
use crate::{flops, load, tolerance};

/// A stage that is open and has run once. Its outputs are not yet compared.
pub(crate) struct Opened {
    worker: Worker,
    pub(crate) outputs: Record,
    used: Provider,
    nodes: Placement,
    onnxruntime: String,
    loaded: LoadedLibrary,
    session_ms: f64,
    first_run_ms: f64,
}

impl Opened {
    /// Opens a variant and runs it once. If that fails, the inner result is the variant's outcome; the outer one is an
    /// error of the worker itself.
    pub(crate) fn open(plan: &Plan, variant: &Variant, folder: &Path) -> Result<Result<Self, Outcome>, Error> {
        let mut worker = Worker::start(&plan.program)?;
        let request = Request::Open {
            bundle: plan.bundle.clone(),
            variant: variant.clone(),
            provider_options: plan.provider_options.clone(),
            library: plan.libraries.of(variant.provider),
        };
        let (used, nodes, onnxruntime, loaded, session_ms) = match worker.ask(&request)? {
            Reply::Opened { used, nodes, onnxruntime, library, ms } => (used, nodes, onnxruntime, library, ms),
            Reply::Failed { reason, kind } => return Ok(Err(Outcome::failed(reason, kind))),
            other => return Err(other.into_error(variant.label())),
        };
        let path = folder.join("outputs.safetensors");
        let first_run_ms = match worker.ask(&Request::Save { path: path.clone() })? {
            Reply::Ran { ms } => ms,
            Reply::Failed { reason, kind } => return Ok(Err(Outcome::failed(reason, kind))),
            other => return Err(other.into_error(variant.label())),
        };
        let outputs = Record::read(&path)?;
        Ok(Ok(Self { worker, outputs, used, nodes, onnxruntime, loaded, session_ms, first_run_ms }))
    }

    /// Compares the outputs with the reference's: the variant can be timed if they are close enough.
    pub(crate) fn checked(
        self,
        variant: &Variant,
        provider_options: &ProviderOptions,
        reference: &Record,
    ) -> Result<Running, Outcome> {
        let own = tolerance::of_stage(variant.stage, variant.precision).relative_l2;
        let lowered = tolerance::of_options(variant.stage, variant.provider, provider_options);
        let allowed = lowered.map_or(own, |lowered| own.max(lowered.relative_l2));
        let difference = worst_difference(&self.outputs, reference);
        if difference.relative_l2 > allowed {
            return Err(Outcome::Wrong { used: self.used, difference, allowed });
        }
        // The outputs are not needed any more, and may be large.
        Ok(Running { opened: Self { outputs: Record::default(), ..self }, difference, allowed, samples_ms: vec![] })
    }
}

/// A variant whose outputs are right, and its times so far.
pub(crate) struct Running {
    opened: Opened,
    difference: Difference,
    allowed: f64,
    samples_ms: Vec<f64>,
}

impl Running {
    /// Runs the stage once more. Only a timed run counts.
    pub(crate) fn run(&mut self, timed: bool) -> Result<(), Error> {
        match self.opened.worker.ask(&Request::Run)? {
            Reply::Ran { ms } if timed => self.samples_ms.push(ms),
            Reply::Ran { .. } => {}
            other => return Err(other.into_error("a timed run")),
        }
        Ok(())
    }

    /// Ends the worker, and summarises what was measured.
    pub(crate) fn finish(
        mut self,
        variant: &Variant,
        a: &Architecture,
        peak: Option<&Peak>,
    ) -> Result<Measured, Error> {
        let (peak_resident_bytes, device_bytes) = match self.opened.worker.ask(&Request::Memory)? {
            Reply::Memory { resident_bytes, device_bytes } => (resident_bytes, device_bytes),
            other => return Err(other.into_error("peak memory")),
        };
        let summary_ms = Summary::of(&self.samples_ms)
            .ok_or_else(|| Error::Worker { reason: "a plan needs at least one run".to_owned() })?;
        let seconds = summary_ms.median / 1e3;
        let flops = flops::of_stage(variant.stage, a, load::load(variant.stage, a, variant.batch));
        let gflops = flops / seconds / 1e9;
        let Opened { used, nodes, onnxruntime, loaded, session_ms, first_run_ms, .. } = self.opened;
        Ok(Measured {
            used,
            nodes,
            onnxruntime,
            loaded,
            session_ms,
            first_run_ms,
            difference: self.difference,
            allowed: self.allowed,
            samples_ms: self.samples_ms,
            summary_ms,
            per_second: variant.batch as f64 / seconds,
            flops,
            gflops,
            peak_share: peak.map(|peak| gflops / peak.gflops),
            peak_resident_bytes,
            device_bytes,
        })
    }
}

/// The difference of the output that is farthest from the reference's. An output that the reference lacks is infinitely
/// far.
fn worst_difference(found: &Record, reference: &Record) -> Difference {
    let differences = found.tensors.iter().map(|(name, tensor)| match (tensor.floats(), reference.floats(name)) {
        (Some(found), Some(expected)) => Difference::of(found, expected),
        _ => Difference::FARTHEST,
    });
    let worst = differences.max_by(|a, b| a.relative_l2.total_cmp(&b.relative_l2));
    worst.unwrap_or(Difference::FARTHEST)
}

#[cfg(test)]
mod tests {
    use segvol::Tensor;

    use super::*;

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
