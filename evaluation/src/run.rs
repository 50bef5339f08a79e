//! Runs all cases, several at a time as far as memory allows; the results are in the order of the list.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segvol::{Model, Profile, ReadOptions, StudyOptions};
use segvol_base::gate::{Gate, share_of_free_memory};
use segvol_base::printable;

use crate::cases::{Case, Structure};
use crate::error::{CaseError, EvaluationError};
use crate::mask_files::{self, MaskFiles};
use crate::memory;
use crate::prompts::Kind;
use crate::results::{CaseResult, Failure, Header, ModelHeader, Results, Settings};
use crate::score::{Scorer, Watcher};
use crate::work_file::{self, WorkFile};

/// The program, with its version.
pub(crate) const TOOL: &str = concat!("segvol ", env!("CARGO_PKG_VERSION"));

/// A model to evaluate, optionally another to compare it with, and the settings.
pub struct Evaluation<'a> {
    model: &'a Model,
    options: StudyOptions,
    read: ReadOptions,
    settings: Settings,
    against: Option<&'a Model>,
    watcher: Option<&'a dyn Watcher>,
    files: Option<&'a MaskFiles>,
}

/// How the work is organised. None of this changes a figure.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Cases that are processed at the same time; 0 counts as 1. The graphs themselves run one at a time: what overlaps is
    /// reading, resizing and scoring.
    pub jobs: usize,
    /// Bytes that all running cases together may fill; `None` is three quarters of what is free. A case that needs more runs
    /// alone.
    pub memory: Option<u64>,
    /// Where finished rows are stored. If the file exists, the run continues from it.
    pub work: Option<PathBuf>,
}

/// What has happened to a case.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Its result was taken from the work file.
    Resumed(&'a CaseResult),
    /// It is done.
    Done(&'a CaseResult),
    /// It has no scores.
    Failed(&'a Failure),
}

/// Follows an evaluation: it is called when a case has ended, on the thread that processed it. It returns
/// [`ControlFlow::Continue`] to go on, or [`ControlFlow::Break`] to stop the evaluation with
/// [`EvaluationError::Cancelled`].
pub type Observer<'a> = dyn FnMut(Event<'_>) -> ControlFlow<()> + Send + 'a;

impl<'a> Evaluation<'a> {
    /// An evaluation of `model`; scans are prepared with `options`, whose cache is what all cases share.
    #[must_use]
    pub fn new(model: &'a Model, options: StudyOptions, mut settings: Settings) -> Self {
        // The order of the kinds changes no row, so a work file with another order can still be used.
        settings.prompts.sort_unstable();
        settings.prompts.dedup();
        Self { model, options, read: ReadOptions::default(), settings, against: None, watcher: None, files: None }
    }

    /// Reads scans, and with them their label maps, with these options.
    #[must_use]
    pub fn reading_with(mut self, options: ReadOptions) -> Self {
        self.read = options;
        self
    }

    /// Runs the same prompts on another model too, and compares the masks.
    #[must_use]
    pub fn against(mut self, other: &'a Model) -> Self {
        self.against = Some(other);
        self
    }

    /// Shows every segmented object to `watcher`, on the thread that segmented it; an error fails the case.
    /// Cases that are taken from a work file are not shown.
    #[must_use]
    pub fn watched_by(mut self, watcher: &'a dyn Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Writes masks and probabilities of every object. A case of a work file is taken from there only if its files are still what
    /// they were.
    #[must_use]
    pub fn writing(mut self, files: &'a MaskFiles) -> Self {
        self.files = Some(files);
        self
    }

    /// What the rows depend on.
    #[must_use]
    pub fn header(&self) -> Header {
        let model = |model: &Model| ModelHeader {
            manifest_sha256: model.manifest_sha256().to_owned(),
            provider: model.stages().provider().name().to_owned(),
            precision: model.stages().precision(),
        };
        Header {
            tool: TOOL.to_owned(),
            model: model(self.model),
            against: self.against.map(model),
            affine: self.read.affine,
            orientation: self.model.orientation(&self.options),
            profile: self.options.profile,
            zoom_in: self.options.zoom_in,
            overlap: self.options.least_overlap(),
            threshold: self.options.own_threshold(),
            straighten: self.options.straighten,
            fill_gaps: self.read.fill_gaps,
            settings: self.settings.clone(),
        }
    }

    /// Checks that all cases can be processed alike.
    fn check_truth(&self, cases: &[Case]) -> Result<(), EvaluationError> {
        let first = |with: bool| cases.iter().find(|case| case.has_truth() == with).map(|case| case.name.clone());
        let Settings { pairs, prompts, .. } = &self.settings;
        let setting = |name, expected, found| Err(EvaluationError::Setting { name, expected, found });
        let StudyOptions { profile, zoom_in, .. } = &self.options;
        let takes_both = *profile == Profile::Default || (*profile != Profile::Segfm && !zoom_in);
        if self.settings.interactive.is_some() && !takes_both {
            return setting("profile", "default, which takes a box and clicks together", profile.to_string());
        }
        if self.settings.interactive.is_none() && *profile == Profile::Segfm && prompts[..] != [Kind::Box] {
            let found = prompts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return setting("prompts", "box alone, because the profile segfm takes nothing else", found);
        }
        match (first(true), first(false)) {
            (Some(with), Some(without)) => Err(EvaluationError::SomeTruth { with, without }),
            (Some(_), None) if !pairs.is_empty() => {
                let found = pairs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                setting("pairs", "none, because the cases have label maps", found)
            }
            (None, Some(case)) if self.settings.interactive.is_some() => setting(
                "clicks",
                "cases with label maps, from which boxes and clicks are taken",
                format!("{case:?} without"),
            ),
            (None, Some(case)) if pairs.is_empty() => {
                Err(EvaluationError::NoPairs { case, found: structures(cases, |structure| structure.name.clone()) })
            }
            (None, Some(_)) if !prompts.contains(&Kind::Text) => {
                let found = prompts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                setting(
                    "prompts",
                    "text among them, because there is no label map to take boxes and points from",
                    found,
                )
            }
            _ => Ok(()),
        }
    }

    /// Segments some objects of a case once more, structures with kinds of prompts, and shows them to `watcher`. Nothing is scored
    /// against another model. If structures are segmented together, the watcher is shown all of these kinds.
    ///
    /// # Errors
    ///
    /// [`CaseError`] if the case cannot be read or segmented, or if the watcher fails.
    pub fn show(
        &self,
        case: &Case,
        objects: &BTreeSet<(String, Kind)>,
        watcher: &dyn Watcher,
    ) -> Result<(), CaseError> {
        let scorer = Scorer {
            model: self.model,
            against: None,
            options: &self.options,
            read: &self.read,
            settings: &self.settings,
            watcher: Some(watcher),
            files: None,
            only: Some(objects),
        };
        scorer.score(case).map(|_| ())
    }

    /// Segments and scores every case. A case that fails is recorded, and the others continue.
    ///
    /// # Errors
    ///
    /// [`EvaluationError::Cancelled`] if the observer breaks; finished rows stay in the work file. Another
    /// [`EvaluationError`] for a setting out of range, for cases of which only some have a label map, for the work file, or if
    /// no case failed but none contains any of its structures.
    pub fn run(&self, cases: &[Case], run: &Run, observer: &mut Observer<'_>) -> Result<Results, EvaluationError> {
        self.settings.check()?;
        self.check_truth(cases)?;
        let header = self.header();
        let work = run.work.as_deref().map(|path| WorkFile::open(path, &header)).transpose()?;
        let jobs = run.jobs.clamp(1, cases.len().max(1));
        // How many embeddings are kept changes no figure, so all cases share one limit.
        let studies = jobs * if self.against.is_some() { 2 } else { 1 };
        let options = self.options.clone().cache_bytes(self.options.cache_bytes / studies);
        let budget = run.memory.or_else(share_of_free_memory);
        let gate = Gate::new(budget.map(|bytes| bytes.saturating_sub(self.options.cache_bytes as u64)));
        let scorer = Scorer {
            model: self.model,
            against: self.against,
            options: &options,
            read: &self.read,
            settings: &self.settings,
            watcher: self.watcher,
            files: self.files,
            only: None,
        };
        let (next, observer) = (AtomicUsize::new(0), Mutex::new(observer));
        let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(cases.iter().map(|_| None).collect());
        let stopped: Mutex<Option<EvaluationError>> = Mutex::new(None);
        let work_through = || {
            while lock(&stopped).is_none() {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(case) = cases.get(index) else { return };
                match one(case, &scorer, work.as_ref(), &gate) {
                    Ok(outcome) => {
                        if (*lock(&observer))(outcome.event()).is_break() {
                            lock(&stopped).get_or_insert(EvaluationError::Cancelled);
                        }
                        lock(&outcomes)[index] = Some(outcome);
                    }
                    Err(error) => *lock(&stopped) = Some(error),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs {
                // If no more threads can be started, those that exist process all cases.
                if std::thread::Builder::new().spawn_scoped(scope, work_through).is_err() {
                    break;
                }
            }
            work_through();
        });
        if let Some(error) = stopped.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut results = Results { header, cases: Vec::new(), failures: Vec::new() };
        for outcome in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten() {
            match outcome {
                Outcome::Resumed(result) | Outcome::Done(result) => results.cases.push(result),
                Outcome::Failed(failure) => results.failures.push(failure),
            }
        }
        let scored = self.settings.pairs.is_empty() && results.failures.is_empty();
        let is_empty =
            |case: &CaseResult| case.interactive.is_empty() && case.rows.iter().all(|row| row.truth_voxels == 0);
        if scored && results.cases.iter().all(is_empty) {
            return Err(EvaluationError::NoObject { structures: structures(cases, Structure::described) });
        }
        Ok(results)
    }
}

/// How a case ended.
enum Outcome {
    Resumed(CaseResult),
    Done(CaseResult),
    Failed(Failure),
}

impl Outcome {
    fn event(&self) -> Event<'_> {
        match self {
            Self::Resumed(result) => Event::Resumed(result),
            Self::Done(result) => Event::Done(result),
            Self::Failed(failure) => Event::Failed(failure),
        }
    }
}

fn one(case: &Case, scorer: &Scorer<'_>, work: Option<&WorkFile>, gate: &Gate) -> Result<Outcome, EvaluationError> {
    // A file that cannot be read is reported when the case is opened.
    let input = work.and_then(|work| Some((work, work_file::input_sha256(case).ok()?)));
    let done = input.as_ref().and_then(|(work, input)| work.done(input));
    if let Some(done) = done.and_then(|done| mask_files::resumed(scorer.files, done)) {
        return Ok(Outcome::Resumed(done));
    }
    match gate.run(memory::case_bytes(case, scorer.against.is_some()), || scorer.score(case)) {
        Ok(result) => {
            if let Some((work, input)) = input {
                work.keep(input, &result)?;
            }
            Ok(Outcome::Done(result))
        }
        Err(error) => {
            // One line, even if a library's message has several.
            let reason = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            let reason = printable(&reason).into_owned();
            Ok(Outcome::Failed(Failure { case: case.name.clone(), reason }))
        }
    }
}

/// All structures of the cases, by value.
fn structures(cases: &[Case], said: impl Fn(&Structure) -> String) -> String {
    let structures = cases.iter().flat_map(|case| case.structures.iter());
    let named: BTreeSet<(u16, String)> = structures.map(|structure| (structure.value, said(structure))).collect();
    if named.is_empty() {
        return "none".to_owned();
    }
    named.into_iter().map(|(_, said)| said).collect::<Vec<_>>().join(", ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
