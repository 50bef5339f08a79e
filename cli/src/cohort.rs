//! `segvol cohort`

use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use segvol::{Cancellation, Model, Prompt};
use segvol_base::printable;
use segvol_cohort::review::{Pick, strangest};
use segvol_cohort::{CohortError, Estimate, Event, Limits, Pattern, Run, Scan, Shard, Totals, is_list, scans};
use serde_json::json;

use crate::cohort_dicom::CohortDicomArguments;
use crate::cohort_ids::IdKind;
use crate::cohort_summary::CohortSummary;
use crate::cohort_tables::{TableArguments, check_review, picture, picture_files};
use crate::exit::Usage;
use crate::interrupt;
use crate::log::{self, Level};
use crate::measured::MeasuredArguments;
use crate::names;
use crate::outputs::Files;
use crate::picture::ViewArguments;
use crate::postprocessing::PostprocessingArguments;
use crate::prompts::read_prompts;
use crate::settings::Settings;
use crate::swapped;
use crate::warnings::WarningArguments;

const EXAMPLES: &str = "\
Examples:
  Two organs in every scan of a folder, one folder of masks for each scan:
    segvol cohort -m bundle --images scans/ --text liver --text spleen --out masks/
  Go on after an interruption, or after scans that failed:
    segvol cohort -m bundle --images scans/ --text liver --text spleen --out masks/ --resume
  One label map for each scan, and a table of volumes:
    segvol cohort -m bundle --images 'scans/*/ct.nii.gz' --ids path --text liver --out masks/ --pattern '{id}.nii.gz' \\
      --csv volumes.csv
  A list with ids and prompts of its own:
    segvol cohort -m bundle --images scans.jsonl --text liver --out masks/
  The second of four machines, which share a folder:
    segvol cohort -m bundle --images scans/ --text liver --out /share/masks --resume --shard 1/4
  What was found, and what to look at:
    segvol cohort summary masks/

List of scans, one on each line (paths are relative to the list; all but the path may be left out):
  {\"path\": \"a.nii.gz\", \"id\": \"patient-1\"}
  {\"path\": \"b/series\", \"series\": \"3\", \"prompts\": [{\"text\": \"liver tumor\", \"points\": [[211, 160, 47]]}]}

The output folder has manifest.jsonl, a line for each scan, by which any run goes on. If a scan fails, the reason is printed and
recorded, the others continue, and the exit code is 1. Any number of processes may work in one output folder, also on several
machines that share it; docs/cohort.md says how, with Slurm and Kubernetes.";

/// The folder of pictures of a review.
const REVIEW: &str = "review";

/// Segment many scans with one model: folders or lists, resumable, on one machine or several
///
/// Research software, not a medical device: do not use it for diagnosis or treatment.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cohort {
    #[command(subcommand)]
    about: Option<About>,

    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR", required = true)]
    model: Option<PathBuf>,
    /// The scans: a folder, searched to the bottom for NIfTI, NRRD and MetaImage files, DICOM folders and zips; a list (.jsonl); or a
    /// pattern in quotes, such as 'scans/*/ct.nii.gz'
    #[arg(long, value_name = "DIR|LIST|PATTERN", required = true)]
    images: Option<PathBuf>,
    /// The folder for masks, reports and the manifest. An earlier run in it is continued only with --resume
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,

    /// Name of an object in every scan; repeat it for several objects
    #[arg(long, value_name = "NAME", help_heading = "Prompts")]
    text: Vec<String>,
    /// A JSON file with objects, as `segment` takes it. A list may have other objects for single scans
    #[arg(long, value_name = "FILE", conflicts_with = "text", help_heading = "Prompts")]
    prompts: Option<PathBuf>,
    /// Refuse, before any work, a text that the model was not trained with; without this option it is a warning
    #[arg(long, help_heading = "Prompts")]
    strict: bool,

    /// Names of the masks in the output folder: {id} is the scan's id, {object} the object's name. Without {object}, all objects of a
    /// scan are in one file. The extension says the format, as with `segment`
    #[arg(long, value_name = "PATTERN", default_value = "{id}/{object}.nii.gz", value_parser = |text: &str| text.parse::<Pattern>(), help_heading = "Output")]
    pattern: Pattern,
    /// What a scan's id is, if no list has one
    #[arg(long, value_enum, default_value_t = IdKind::Name, help_heading = "Output")]
    ids: IdKind,
    /// Say in manifest and reports where scans and bundle lie. Without it they name scans by their ids only: folders often name
    /// patients
    #[arg(long, help_heading = "Output")]
    record_paths: bool,
    /// Print how many windows, hours, MiB of memory and of disk the run would take, and stop: three of the scans, a small, a middle and a
    /// large one, are segmented, and nothing is written
    #[arg(long, help_heading = "Output")]
    plan: bool,
    /// No progress and no summary; warnings and failures are still printed
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    warnings: WarningArguments,
    #[command(flatten)]
    tables: TableArguments,
    /// Pictures of the K scans that are most worth a look, those with the most warnings first, as OUT/review/RANK_ID.png
    #[arg(long, value_name = "K", help_heading = "Tables")]
    review: Option<usize>,
    #[command(flatten)]
    view: ViewArguments,

    /// Go on with the run in the output folder: what is done stays, if settings, scan and files are the same; what failed is tried
    /// again
    #[arg(long, help_heading = "Run")]
    resume: bool,
    /// Only part I of N of the scans, I from 0: the same part whatever else is in the list
    #[arg(long, value_name = "I/N", help_heading = "Run")]
    shard: Option<Shard>,
    /// Stop with exit code 8 if more scans fail
    #[arg(long, value_name = "K", help_heading = "Run")]
    max_failures: Option<usize>,
    /// Try a scan that failed again, this often
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Run")]
    retries: u32,

    #[command(flatten)]
    dicom: CohortDicomArguments,
    #[command(flatten)]
    postprocessing: PostprocessingArguments,

    /// Scans that are processed at the same time. Graphs still run one at a time; reading and writing overlap
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Machine")]
    jobs: usize,
    /// Memory for scans that are processed at the same time, in MiB, including embeddings [default: three quarters of what is free]
    #[arg(long, value_name = "MIB", help_heading = "Machine")]
    memory: Option<u64>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    measured: MeasuredArguments,
}

#[derive(clap::Subcommand)]
enum About {
    Summary(CohortSummary),
}

impl Cohort {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        if let Some(About::Summary(summary)) = self.about {
            return summary.run(out);
        }
        let (Some(bundle), Some(images), Some(folder)) = (&self.model, &self.images, &self.out) else {
            return Err(Usage("expected --model, --images and --out".to_owned()).into());
        };
        swapped::check(("--images", images), ("-m", bundle))?;
        check_review(self.review)?;
        self.tables.check()?;
        let prompts = self.prompts()?;
        let postprocessing = self.postprocessing.of_cohort(&prompts)?;
        let options = self.settings.machine().options_beside_other_work()?;
        let study_options = self.settings.study_options_of_one_call()?;
        let dicom = self.dicom.files(&self.pattern)?;
        let scans = scans(images, folder, self.ids.into())?;
        self.check_prompts(&scans, &prompts)?;
        let every = || scans.iter().filter_map(|scan| scan.own.prompts.as_ref()).flatten().chain(&prompts);
        every().try_for_each(|prompt| study_options.profile.check(prompt)).map_err(segvol::Error::from)?;
        let mut warnings = self.warnings.printer();
        warnings.print_all(&self.check_outputs(&scans)?);
        if self.strict {
            names::require_known(bundle, every().filter_map(Prompt::as_text))?;
        }
        let options = self.measured.apply(bundle, options, &mut warnings)?;
        let model = Model::open(bundle, &options)?;
        warnings.print_all(&model.name_warnings(&prompts));
        warnings.print_all(&model.stages().precision_warning());
        let read = self.settings.read_options();
        let cohort =
            segvol_cohort::Cohort::new(&model, study_options, read, prompts, postprocessing, self.pattern.clone())
                .dicom(dicom);
        let cancellation = Cancellation::new();
        interrupt::gracefully(&cancellation);
        if self.plan {
            let estimate = cohort.estimate(&scans, self.shard, self.jobs, self.memory_bytes(), &cancellation)?;
            print_plan(out, &estimate)?;
            return Ok(warnings.finish()?);
        }
        let totals = self.observed(&cohort, &scans, folder, &cancellation)?;
        self.write_tables(&cohort, &scans, folder)?;
        if !self.quiet {
            summarise(out, &totals, folder)?;
        }
        if totals.failed > 0 {
            anyhow::bail!("{} of {} scans failed", totals.failed, totals.failed + totals.done + totals.known);
        }
        Ok(warnings.finish()?)
    }

    /// Tables and pictures of all scans in the folder, also of those that earlier runs and other processes did.
    fn write_tables(&self, cohort: &segvol_cohort::Cohort<'_>, scans: &[Scan], folder: &Path) -> anyhow::Result<()> {
        if self.tables.is_absent() && self.review.is_none() {
            return Ok(());
        }
        let (_, records) = segvol_cohort::read(folder)?;
        self.tables.save(&records)?;
        let Some(count) = self.review else { return Ok(()) };
        let known = |id: &str| scans.iter().find(|scan| scan.id == id);
        let picks = strangest(&records, &Limits::default(), records.len());
        let picks: Vec<Pick<'_>> =
            picks.into_iter().filter(|pick| known(&pick.record.id).is_some()).take(count).collect();
        let review = folder.join(REVIEW);
        segvol_base::create_folder(&review).with_context(|| format!("folder `{}`", review.display()))?;
        for (pick, path) in picks.iter().zip(picture_files(&review, &picks)) {
            let Some(scan) = known(&pick.record.id) else { continue };
            match picture(folder, pick, &scan.path, &cohort.read_options(scan), self.view.view()) {
                Ok(picture) => picture.save(&path)?,
                Err(error) => {
                    let text = format!("scan {:?}: no picture for the review: {error}", printable(&scan.id));
                    log::say(Level::Error, &text, &text, json!({"scan": scan.id}));
                }
            }
        }
        Ok(())
    }

    fn memory_bytes(&self) -> Option<u64> {
        self.memory.map(|mib| mib.saturating_mul(1 << 20))
    }

    /// The objects of every scan that has none of its own.
    fn prompts(&self) -> anyhow::Result<Vec<Prompt>> {
        match &self.prompts {
            Some(path) => read_prompts(path),
            None => Ok(self.text.iter().map(Prompt::text).collect()),
        }
    }

    fn check_prompts(&self, scans: &[Scan], prompts: &[Prompt]) -> Result<(), Usage> {
        let without = scans.iter().filter(|scan| scan.own.prompts.is_none()).count();
        if prompts.is_empty() && without > 0 {
            let which = if without == scans.len() { String::new() } else { format!(" in {without} scans") };
            return Err(Usage(format!("nothing to segment{which}: give --text or --prompts FILE")));
        }
        Ok(())
    }

    /// Reports what would replace an input, or cannot be written, before the work starts.
    fn check_outputs(&self, scans: &[Scan]) -> Result<Vec<segvol::Warning>, Usage> {
        let (Some(bundle), Some(images), Some(folder)) = (&self.model, &self.images, &self.out) else {
            return Ok(Vec::new());
        };
        let mut files = Files::default();
        files.bundle("--model", bundle);
        files.input_if("--prompts", self.prompts.as_ref());
        files.input_if("--library", self.settings.machine().library());
        if is_list(images) {
            files.input("--images", images);
        }
        // Scans are compared with each output before it is written.
        for scan in scans.iter().filter(|scan| scan.path.is_file()) {
            files.input(format!("--images ({:?})", printable(&scan.id)), &scan.path);
        }
        self.measured.check(self.settings.machine().provider(), &mut files)?;
        files.folder("--out", folder, [folder.join("manifest.jsonl")]);
        self.tables.add_to(&mut files);
        files.cache_if("--embeddings", self.settings.machine().embeddings());
        files.check()
    }

    fn observed(
        &self,
        cohort: &segvol_cohort::Cohort<'_>,
        scans: &[Scan],
        folder: &Path,
        cancellation: &Cancellation,
    ) -> anyhow::Result<Totals> {
        let run = Run {
            jobs: self.jobs,
            memory: self.memory_bytes(),
            shard: self.shard,
            resume: self.resume,
            max_failures: self.max_failures,
            retries: self.retries,
            record_paths: self.record_paths,
            ..Run::new(folder)
        };
        let count = scans.iter().filter(|scan| self.shard.is_none_or(|shard| shard.has(&scan.id))).count();
        let mut progress = Progress::new(count, self.quiet);
        let found = cohort.run(scans, &run, &mut |event| progress.tell(event), cancellation);
        progress.bar.finish_and_clear();
        match found {
            Err(CohortError::Cancelled) => {
                anyhow::bail!("interrupted after {} of {count} scans; --resume goes on", progress.over)
            }
            found => Ok(found?),
        }
    }
}

/// What is said while scans are processed: a bar on a terminal, else a line for each scan.
struct Progress {
    bar: ProgressBar,
    lines: bool,
    count: usize,
    over: usize,
    /// Scans that were done now, and since when: those of earlier runs say nothing about the time that is left.
    done: usize,
    start: Instant,
}

impl Progress {
    fn new(count: usize, quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if quiet || !is_terminal { ProgressBar::hidden() } else { ProgressBar::new(count as u64) };
        let style = ProgressStyle::with_template("{bar:40} scan {pos} of {len}, {elapsed}{msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, lines: !quiet && !is_terminal, count, over: 0, done: 0, start: Instant::now() }
    }

    fn tell(&mut self, event: Event<'_>) -> ControlFlow<()> {
        let (id, line) = match event {
            Event::Known(record) => (&record.id, None),
            Event::Done(record) => {
                self.done += 1;
                (&record.id, Some(format!("done in {:.1} s", record.seconds)))
            }
            Event::Failed { record, message } => {
                let text = format!("scan {:?}: {}", printable(&record.id), message);
                self.bar.suspend(|| log::say(Level::Error, &text, message, json!({"scan": record.id})));
                (&record.id, None)
            }
            Event::Elsewhere(id) => {
                let message = format!("scan {:?}: another process is doing it", printable(id));
                if self.lines {
                    log::say(Level::Info, &message, &message, json!({"scan": id}));
                }
                return ControlFlow::Continue(());
            }
        };
        self.over += 1;
        let left = self.left();
        if let (true, Some(line)) = (self.lines, line) {
            let message = format!("scan {:?} ({} of {}): {line}{left}", printable(id), self.over, self.count);
            log::say(Level::Info, &message, &message, json!({"scan": id}));
        }
        self.bar.set_message(left);
        self.bar.set_position(self.over as u64);
        ControlFlow::Continue(())
    }

    /// The time that is left, by the scans that were done now.
    fn left(&self) -> String {
        let left = self.count.saturating_sub(self.over);
        if self.done == 0 || left == 0 {
            return String::new();
        }
        let seconds = self.start.elapsed().as_secs_f64() / self.done as f64 * left as f64;
        format!(", about {} left", duration(seconds))
    }
}

/// Seconds for people: `50 s`, `12 min`, `3.5 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

fn summarise(out: &mut impl Write, totals: &Totals, folder: &Path) -> anyhow::Result<()> {
    let mut parts = vec![format!("{} done", totals.done)];
    if totals.known > 0 {
        parts.push(format!("{} done before", totals.known));
    }
    if totals.failed > 0 {
        parts.push(format!("{} failed", totals.failed));
    }
    writeln!(
        out,
        "{}; the manifest is `{}`",
        parts.join(", "),
        printable(&folder.join("manifest.jsonl").to_string_lossy())
    )?;
    Ok(())
}

fn print_plan(out: &mut impl Write, estimate: &Estimate) -> std::io::Result<()> {
    let mib = |bytes: f64| (bytes / f64::from(1 << 20)).ceil();
    for sample in &estimate.looked_at {
        let (id, voxels, windows, seconds) = (printable(&sample.id), sample.voxels, sample.windows, sample.seconds);
        writeln!(out, "looked at {id:?}: {voxels} voxels, {windows} windows, {seconds:.1} s")?;
    }
    for (id, reason) in &estimate.failed {
        writeln!(out, "cannot be segmented: {:?}: {reason}", printable(id))?;
    }
    let [least, most] = estimate.seconds_range.map(duration);
    writeln!(out, "scans: {}", estimate.scans)?;
    writeln!(out, "windows: about {:.0}", estimate.windows)?;
    writeln!(out, "time: about {} ({least} to {most}), one scan at a time", duration(estimate.seconds))?;
    match estimate.memory_bytes {
        Some(bytes) => writeln!(out, "memory: at most {} MiB", mib(bytes as f64))?,
        None => writeln!(out, "memory: not known on this system")?,
    }
    writeln!(out, "disk: about {} MiB", mib(estimate.disk_bytes))
}
