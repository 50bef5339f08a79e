//! What a benchmark measures.

use std::ops::ControlFlow;
use std::path::PathBuf;

use segvol::Provider;
use segvol_onnx::{Precision, Stage};

use crate::error::Error;
use crate::library::Libraries;
use crate::row::Variant;

/// What to measure: every combination of the lists.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The bundle.
    pub bundle: PathBuf,
    /// Stages.
    pub stages: Vec<Stage>,
    /// Providers.
    pub providers: Vec<Provider>,
    /// Provider options, each as `PROVIDER.KEY=VALUE`.
    pub provider_options: Vec<String>,
    /// Precisions.
    pub precisions: Vec<Precision>,
    /// Threads per graph. `None`: as many as there are cores.
    pub threads: Vec<Option<usize>>,
    /// Windows, names or prompts per run.
    pub batches: Vec<usize>,
    /// Timed runs of each variant, at least 1.
    pub runs: usize,
    /// Runs of each variant before the timed ones, including the very first.
    pub warm_up: usize,
    /// The library of each provider.
    pub libraries: Libraries,
    /// The program to start workers with. It must have [`crate::worker::SUBCOMMAND`].
    pub program: PathBuf,
}

/// Follows a measurement: it is called with a few words before every step. It returns [`ControlFlow::Continue`] to go on, or
/// [`ControlFlow::Break`] to stop the measurement with [`Error::Cancelled`].
pub type Observer<'a> = dyn FnMut(&str) -> ControlFlow<()> + 'a;

/// Reports a step to the observer.
///
/// # Errors
///
/// [`Error::Cancelled`] if the observer breaks.
pub(crate) fn report(observer: &mut Observer<'_>, step: &str) -> Result<(), Error> {
    match observer(step) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

impl Plan {
    /// Every combination. The batch changes fastest.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            program: PathBuf::new(),
        };
        let labels: BTreeSet<String> = plan.variants().iter().map(Variant::label).collect();
        assert_eq!(labels.len(), 24);
        assert!(labels.contains("mask_decoder openvino fp32 x4, all threads"), "{labels:?}");
    }
}
