//! Runs a cohort: several scans at a time as far as memory allows, each once, whoever else works on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use segvol::postprocess::Postprocessing;
use segvol::volume::most_voxels;
use segvol::{Cancellation, Model, Prompt, ReadOptions, StudyOptions};
use segvol_base::file_identity::FileIdentity;
use segvol_base::gate::{Gate, share_of_free_memory};
use segvol_base::machine::host_name;
use segvol_base::{create_folder, printable};
use segvol_objects::DicomFiles;

use crate::error::CohortError;
use crate::failure::ScanError;
use crate::list::{Scan, Shard};
use crate::manifest;
use crate::outputs::{Outputs, is_unchanged};
use crate::pattern::Pattern;
use crate::record::{Done, Failure, Outcome, Record};
use crate::segment::{Question, Segmenter, fingerprint};
use crate::settings::Settings;
use crate::state::{Claim, State};

/// Bytes per voxel that one scan holds at its peak, rounded up: as read, as the model sees it and its crop (4 each), an object's sums,
/// counts and logits (10), its masks before and after postprocessing (8), its distances while it is smoothed (8).
pub(crate) const BYTES_PER_VOXEL: u64 = 40;

/// How long to wait before a scan that another process has is looked at again.
const WAIT: Duration = Duration::from_millis(500);

/// A model, and what is asked of every scan.
pub struct Cohort<'a> {
    model: &'a Model,
    options: StudyOptions,
    read: ReadOptions,
    prompts: Vec<Prompt>,
    postprocessing: Postprocessing,
    pattern: Pattern,
    dicom: DicomFiles,
}

/// How the work is organised. None of this changes a mask.
#[derive(Debug, Clone)]
pub struct Run {
    /// The folder for all outputs. Several processes may work in one, also on several machines that share it.
    pub out: PathBuf,
    /// Scans that are processed at the same time; 0 counts as 1. The graphs themselves run one at a time: what overlaps is reading,
    /// resizing and writing.
    pub jobs: usize,
    /// Bytes that all running scans together may fill; `None` is three quarters of what is free. A scan that needs more runs alone.
    pub memory: Option<u64>,
    /// The part of the cohort to do; `None` for all of it.
    pub shard: Option<Shard>,
    /// Whether an earlier run in the folder may be continued.
    pub resume: bool,
    /// How many scans may fail before the run stops; `None` for any number.
    pub max_failures: Option<usize>,
    /// How often a scan that failed is tried again.
    pub retries: u32,
    /// Whether manifest and reports say where scans and bundle lie.
    pub record_paths: bool,
}

impl Run {
    /// A run of one scan at a time into a new folder.
    #[must_use]
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let (jobs, retries) = (1, 0);
        let out = out.into();
        Self { out, jobs, memory: None, shard: None, resume: false, max_failures: None, retries, record_paths: false }
    }
}

/// What has happened to a scan.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// It was done before, by an earlier run or by another process.
    Known(&'a Record),
    /// It is done now.
    Done(&'a Record),
    /// It has no masks.
    Failed {
        /// What was recorded.
        record: &'a Record,
        /// The cause in one line, with the scan's path.
        message: &'a str,
    },
    /// Another process is doing it; this one waits for the result.
    Elsewhere(&'a str),
}

/// Follows a run: it is called when something has happened to a scan, on the thread that processed it. It returns
/// [`ControlFlow::Continue`] to go on, or [`ControlFlow::Break`] to stop the run with [`CohortError::Cancelled`].
pub type Observer<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + Send + 'a;

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Scans that this run did.
    pub done: usize,
    /// Scans that were done before, or by other processes meanwhile.
    pub known: usize,
    /// Scans without masks.
    pub failed: usize,
}

impl<'a> Cohort<'a> {
    /// A cohort whose scans are all asked for the same objects, unless the list has others. `postprocessing` is what is done to masks,
    /// unless an object says otherwise.
    #[must_use]
    pub fn new(
        model: &'a Model,
        options: StudyOptions,
        read: ReadOptions,
        prompts: Vec<Prompt>,
        postprocessing: Postprocessing,
        pattern: Pattern,
    ) -> Self {
        Self { model, options, read, prompts, postprocessing, pattern, dicom: DicomFiles::default() }
    }

    /// Sets how DICOM SEG files are written.
    #[must_use]
    pub fn dicom(mut self, files: DicomFiles) -> Self {
        self.dicom = files;
        self
    }

    /// What all masks depend on.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let own = self.postprocessing_of(&self.prompts);
        Settings::new(self.model, &self.options, &self.read, (&self.pattern, &self.dicom), &self.prompts, &own)
    }

    pub(crate) fn model(&self) -> &Model {
        self.model
    }

    pub(crate) fn options(&self) -> &StudyOptions {
        &self.options
    }

    /// The objects of a scan.
    #[must_use]
    pub fn prompts_of<'s>(&'s self, scan: &'s Scan) -> &'s [Prompt] {
        scan.own.prompts.as_deref().unwrap_or(&self.prompts)
    }

    /// How a scan is read.
    #[must_use]
    pub fn read_options(&self, scan: &Scan) -> ReadOptions {
        match &scan.own.series {
            Some(series) => self.read.clone().series(Some(series.clone())),
            None => self.read.clone(),
        }
    }

    pub(crate) fn postprocessing_of(&self, prompts: &[Prompt]) -> Vec<Postprocessing> {
        prompts.iter().map(|prompt| self.postprocessing.overridden_by(&prompt.postprocess)).collect()
    }

    /// Segments every scan that is not done yet. A scan that fails is recorded, and the others continue.
    ///
    /// # Errors
    ///
    /// [`CohortError::Cancelled`] if the observer breaks, or if `cancellation` is requested; [`CohortError::TooManyFailures`];
    /// [`CohortError::Exists`] and [`CohortError::OtherRun`] if the output folder holds another run; [`CohortError::Io`] if it cannot be
    /// used. What is done stays so, and the next run goes on from there.
    pub fn run(
        &self,
        scans: &[Scan],
        run: &Run,
        observer: &mut Observer<'_>,
        cancellation: &Cancellation,
    ) -> Result<Totals, CohortError> {
        let settings = self.settings();
        let json = |error: serde_json::Error| CohortError::Io { path: run.out.clone(), source: error.into() };
        let header = serde_json::to_value(&settings).map_err(json)?;
        let mut mine: Vec<Scan> =
            scans.iter().filter(|scan| run.shard.is_none_or(|shard| shard.has(&scan.id))).cloned().collect();
        self.note_collisions(&mut mine);
        self.check_new(&mine, run)?;
        create_folder(&run.out).map_err(|source| CohortError::Io { path: run.out.clone(), source })?;
        let state = State::open(&run.out, &header, run.resume)?;
        let jobs = run.jobs.clamp(1, mine.len().max(1));
        let budget = run.memory.or_else(share_of_free_memory);
        let options = self.options.clone().cache_bytes(self.options.cache_bytes / jobs);
        let inputs = scans.iter().filter_map(|scan| FileIdentity::of(&scan.path).ok().flatten()).collect();
        let work = Work {
            cohort: self,
            run,
            settings: &settings,
            state: &state,
            segmenter: Segmenter {
                model: self.model,
                options,
                pattern: &self.pattern,
                dicom: &self.dicom,
                host: host_name(),
                record_paths: run.record_paths,
                cancellation,
            },
            gate: Gate::new(budget.map(|bytes| bytes.saturating_sub(self.options.cache_bytes as u64))),
            inputs,
            totals: Mutex::default(),
            stopped: Mutex::new(None),
            observer: Mutex::new(observer),
        };
        work.all(&mine, jobs);
        let Work { totals, stopped, .. } = work;
        let stopped = stopped.into_inner().unwrap_or_else(PoisonError::into_inner);
        let finished = state.finish();
        match stopped {
            Some(error) => Err(error),
            None => finished.map(|()| totals.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Notes scans that would share an output.
    fn note_collisions(&self, scans: &mut [Scan]) {
        let mut known: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut problems: Vec<(usize, String)> = Vec::new();
        for (index, scan) in scans.iter().enumerate().filter(|(_, scan)| scan.problem.is_none()) {
            let prompts = self.prompts_of(scan);
            let files = self.pattern.files(&scan.id, prompts).into_iter().chain([self.pattern.report(&scan.id)]);
            for file in files {
                if let Some(other) = known.insert(file.clone(), index).filter(|other| *other != index) {
                    let both = [&scans[other].id, &scan.id].map(|id| printable(id).into_owned());
                    let problem = format!(
                        "the scans {:?} and {:?} would both have the file `{}`",
                        both[0],
                        both[1],
                        file.display()
                    );
                    problems.extend([(other, problem.clone()), (index, problem)]);
                }
            }
        }
        for (index, problem) in problems {
            scans[index].problem.get_or_insert(problem);
        }
    }

    /// Refuses to replace files that no run of a cohort has written.
    fn check_new(&self, scans: &[Scan], run: &Run) -> Result<(), CohortError> {
        if run.out.join(manifest::NAME).symlink_metadata().is_ok() {
            return Ok(());
        }
        for scan in scans {
            let prompts = self.prompts_of(scan);
            let files = self.pattern.files(&scan.id, prompts).into_iter().chain([self.pattern.report(&scan.id)]);
            if let Some(file) = files.map(|file| run.out.join(file)).find(|file| file.symlink_metadata().is_ok()) {
                return Err(CohortError::Foreign { path: file });
            }
        }
        Ok(())
    }
}

/// A run while it works.
struct Work<'a> {
    cohort: &'a Cohort<'a>,
    run: &'a Run,
    settings: &'a Settings,
    state: &'a State,
    segmenter: Segmenter<'a>,
    gate: Gate,
    /// The scans, which no output replaces.
    inputs: BTreeSet<FileIdentity>,
    totals: Mutex<Totals>,
    stopped: Mutex<Option<CohortError>>,
    observer: Mutex<&'a mut Observer<'a>>,
}

/// Whether a scan needs to be looked at again.
enum Step {
    Over,
    Elsewhere,
}

impl Work<'_> {
    fn all(&self, scans: &[Scan], jobs: usize) {
        let mut left: Vec<&Scan> = scans.iter().collect();
        let mut announced = BTreeSet::new();
        loop {
            let elsewhere = self.pass(&left, jobs);
            if elsewhere.is_empty() || self.is_stopped() {
                return;
            }
            for scan in &elsewhere {
                if announced.insert(scan.id.clone()) {
                    self.tell(Event::Elsewhere(&scan.id));
                }
            }
            let start = Instant::now();
            while start.elapsed() < WAIT && !self.is_stopped() {
                std::thread::sleep(Duration::from_millis(50));
            }
            left = elsewhere;
        }
    }

    /// Looks at each scan once, and returns those that other processes are doing.
    fn pass<'s>(&self, scans: &[&'s Scan], jobs: usize) -> Vec<&'s Scan> {
        let (next, elsewhere) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work_through = || {
            while !self.is_stopped() {
                let Some(scan) = scans.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                match self.one(scan) {
                    Ok(Step::Over) => {}
                    Ok(Step::Elsewhere) => lock(&elsewhere).push(*scan),
                    Err(error) => {
                        lock(&self.stopped).get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs {
                // If no more threads can be started, those that exist process all scans.
                if std::thread::Builder::new().spawn_scoped(scope, work_through).is_err() {
                    break;
                }
            }
            work_through();
        });
        let mut elsewhere = elsewhere.into_inner().unwrap_or_else(PoisonError::into_inner);
        elsewhere.sort_by(|a, b| a.id.cmp(&b.id));
        elsewhere
    }

    fn is_stopped(&self) -> bool {
        if self.segmenter.cancellation.is_requested() {
            lock(&self.stopped).get_or_insert(CohortError::Cancelled);
        }
        lock(&self.stopped).is_some()
    }

    fn tell(&self, event: Event<'_>) {
        let mut totals = lock(&self.totals);
        match event {
            Event::Known(_) => totals.known += 1,
            Event::Done(_) => totals.done += 1,
            Event::Failed { .. } => totals.failed += 1,
            Event::Elsewhere(_) => {}
        }
        let failed = totals.failed;
        drop(totals);
        if (*lock(&self.observer))(event).is_break() {
            lock(&self.stopped).get_or_insert(CohortError::Cancelled);
        }
        if let Some(allowed) = self.run.max_failures.filter(|allowed| failed > *allowed) {
            lock(&self.stopped).get_or_insert(CohortError::TooManyFailures { failed, allowed });
        }
    }

    fn one(&self, scan: &Scan) -> Result<Step, CohortError> {
        let prompts = self.cohort.prompts_of(scan);
        let postprocessing = self.cohort.postprocessing_of(prompts);
        let own = scan.own.prompts.as_ref().map(|_| (prompts, &postprocessing[..]));
        let json = |error: serde_json::Error| CohortError::Io { path: self.run.out.clone(), source: error.into() };
        let settings_sha256 = self.settings.sha256(own, scan.own.series.as_deref()).map_err(json)?;
        let read = self.cohort.read_options(scan);
        let question =
            Question { prompts, postprocessing: &postprocessing, read: &read, settings_sha256: &settings_sha256 };
        let now = fingerprint(scan);
        if self.is_over(scan, &question, &now) {
            return Ok(Step::Over);
        }
        let Some(claim) = self.state.claim(&scan.id)? else { return Ok(Step::Elsewhere) };
        // It may have been done before the claim was free.
        if self.is_over(scan, &question, &now) {
            return Ok(Step::Over);
        }
        self.segment(scan, &question, now, &claim)
    }

    /// Whether nothing is left to do for a scan: it is done, with these settings and files, or it has failed in this run elsewhere.
    fn is_over(&self, scan: &Scan, question: &Question<'_>, now: &str) -> bool {
        let Some(record) = self.state.last(&scan.id) else { return false };
        if record.settings_sha256 != question.settings_sha256 {
            return false;
        }
        match &record.outcome {
            Outcome::Done(done) => {
                let is_done = record.fingerprint == now && !now.is_empty() && self.is_complete(done);
                if is_done {
                    self.tell(Event::Known(&record));
                }
                is_done
            }
            Outcome::Failed(failure) => {
                let is_new = self.state.is_of_this_run(&scan.id);
                if is_new {
                    self.tell(Event::Failed { record: &record, message: &failure.error });
                }
                is_new
            }
        }
    }

    fn is_complete(&self, done: &Done) -> bool {
        std::iter::once(&done.report).chain(&done.outputs).all(|file| is_unchanged(&self.run.out, file))
    }

    fn segment(
        &self,
        scan: &Scan,
        question: &Question<'_>,
        fingerprint: String,
        claim: &Claim<'_>,
    ) -> Result<Step, CohortError> {
        let bytes = most_voxels(&scan.path).saturating_mul(BYTES_PER_VOXEL);
        let Some(Tried { result, attempts, seconds }) = self.gate.run(bytes, || self.tries(scan, question, claim))?
        else {
            return Ok(Step::Over);
        };
        if matches!(&result, Err(ScanError::Segvol(segvol::Error::Cancelled))) {
            lock(&self.stopped).get_or_insert(CohortError::Cancelled);
            return Ok(Step::Over);
        }
        let record = |outcome| Record {
            id: scan.id.clone(),
            path: self.run.record_paths.then(|| scan.path.display().to_string()),
            settings_sha256: question.settings_sha256.to_owned(),
            fingerprint: fingerprint.clone(),
            host: self.segmenter.host.clone(),
            seconds,
            outcome,
        };
        let failed = |error: &dyn Fn(Option<&str>) -> String, kind| {
            let known_as = (!self.run.record_paths).then_some(scan.id.as_str());
            record(Outcome::Failed(Failure { kind, error: error(known_as), attempts }))
        };
        let error = match result {
            Ok(done) => {
                let record = record(Outcome::Done(done));
                match self.state.append(&record) {
                    Ok(true) => {
                        self.tell(Event::Done(&record));
                        return Ok(Step::Over);
                    }
                    // Another process has taken it over: its record counts, and is looked at again.
                    Ok(false) => return Ok(Step::Elsewhere),
                    // Its outputs are there, but the next run does not know: it does the scan again.
                    Err(error) => ScanError::Problem(format!("cannot be recorded: {error}")),
                }
            }
            Err(error) => error,
        };
        let record = failed(&|known_as| error.one_line(&scan.path, known_as), error.kind());
        // On a full disk, not even the failure can be recorded; it is told, and the others go on.
        if let Err(unrecorded) = self.state.append(&record) {
            tracing::warn!("scan {:?}: its failure cannot be recorded: {unrecorded}", printable(&scan.id));
        }
        self.tell(Event::Failed { record: &record, message: &error.one_line(&scan.path, None) });
        Ok(Step::Over)
    }

    /// Segments a scan, again if that may help. `None` if the run has stopped.
    fn tries(&self, scan: &Scan, question: &Question<'_>, claim: &Claim<'_>) -> Result<Option<Tried>, CohortError> {
        let start = Instant::now();
        let known = self.state.last(&scan.id);
        let known = known.as_ref().filter(|record| record.settings_sha256 == question.settings_sha256);
        let known = known.and_then(Record::done).filter(|done| self.is_complete(done));
        let mut attempts = 0;
        while !self.is_stopped() {
            attempts += 1;
            let outputs = Outputs::new(&self.run.out, self.state.staging(claim)?, &self.inputs);
            match self.segmenter.segment(scan, question, outputs, known) {
                Err(error) if error.may_pass() && attempts <= self.run.retries => {
                    tracing::warn!("scan {:?}, attempt {attempts}: {error}", printable(&scan.id));
                }
                result => return Ok(Some(Tried { result, attempts, seconds: start.elapsed().as_secs_f64() })),
            }
        }
        Ok(None)
    }
}

/// How the last try ended, and what all of them took.
struct Tried {
    result: Result<Done, ScanError>,
    attempts: u32,
    seconds: f64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
