//! Whole segmentations on several providers, precisions and thread counts, each in its own worker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use segvol::{Precision, Provider, ReadOptions};
use serde::Serialize;

use crate::error::Error;
use crate::job::{Job, JobRun};
use crate::library::Libraries;
use crate::noise::{Machine, scatter_warning};
use crate::plan::{Observer, report};
use crate::statistics::Summary;
use crate::worker::{Reply, Request, Worker};

/// What to measure: every combination of the lists.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// The bundle.
    pub bundle: PathBuf,
    /// The scan.
    pub scan: PathBuf,
    /// How scans are read.
    pub read: ReadOptions,
    /// The text of a prompts file.
    pub prompts: String,
    /// Providers.
    pub providers: Vec<Provider>,
    /// Provider options, each as `PROVIDER.KEY=VALUE`.
    pub provider_options: Vec<String>,
    /// Precisions.
    pub precisions: Vec<Precision>,
    /// Threads per graph. `None`: as many as there are cores.
    pub threads: Vec<Option<usize>>,
    /// Timed runs of each combination.
    pub runs: usize,
    /// Runs of each combination before the timed ones.
    pub warm_up: usize,
    /// The library of each provider.
    pub libraries: Libraries,
    /// The program to start workers with. It must have [`crate::worker::SUBCOMMAND`].
    pub program: PathBuf,
}

/// What was measured, and on which machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jobs {
    /// The machine.
    pub machine: Machine,
    /// One entry per combination.
    pub jobs: BTreeMap<String, JobRun>,
    /// Reasons to doubt the times.
    pub warnings: Vec<String>,
}

impl JobPlan {
    /// Segments the scan with every combination, one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`] if the observer breaks; [`Error::Reported`] for the first combination that fails;
    /// [`Error::Worker`] if a worker cannot be started or ends too early.
    pub fn run(&self, observer: &mut Observer<'_>) -> Result<Jobs, Error> {
        let machine = Machine::look();
        let mut found = Jobs { warnings: machine.warnings(), machine, jobs: BTreeMap::new() };
        for (name, job) in self.combinations() {
            report(observer, &format!("job on {name}"))?;
            match Worker::start(&self.program)?.ask(&Request::Job(job))? {
                Reply::Job(run) => {
                    let summary = Summary::of(&run.total_ms);
                    found.warnings.extend(summary.and_then(|summary| scatter_warning(&name, &summary)));
                    found.jobs.insert(name, *run);
                }
                other => return Err(other.into_error(name)),
            }
        }
        Ok(found)
    }

    fn combinations(&self) -> Vec<(String, Job)> {
        let mut combinations = Vec::new();
        for &provider in &self.providers {
            for &precision in &self.precisions {
                for &threads in &self.threads {
                    let with_threads = threads.map_or_else(String::new, |threads| format!(", {threads} threads"));
                    let job = Job {
                        bundle: self.bundle.clone(),
                        scan: self.scan.clone(),
                        read: self.read.clone(),
                        prompts: self.prompts.clone(),
                        provider,
                        provider_options: self.provider_options.clone(),
                        precision: Some(precision),
                        threads,
                        library: self.libraries.of(provider),
                        runs: self.runs,
                        warm_up: self.warm_up,
                    };
                    combinations.push((format!("{provider} {precision}{with_threads}"), job));
                }
            }
        }
        combinations
    }
}
