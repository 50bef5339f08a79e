//! `segvol eval`

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use segvol::{Model, Precision, Provider, StudyOptions, Warning, WarningCode};
use segvol_base::{printable, printable_json};
use segvol_evaluation::interactive::CLICKS;
use segvol_evaluation::{
    Case, Evaluation, Event, Kind, MaskFiles, Pair, Pictures, Results, Run, Settings as Draw, Watcher, Watchers, cases,
    format, labels, sides, work_file_beside,
};
use serde_json::json;

use crate::eval_cases::CaseArguments;
use crate::eval_files::{self, MaskArguments};
use crate::eval_report::{self, ReportArguments};
use crate::eval_warnings;
use crate::exit::{BelowThreshold, Usage};
use crate::log::{self, Level};
use crate::names;
use crate::outputs::{Files, is_standard_output};
use crate::picture::ViewArguments;
use crate::postprocessing::PostprocessingArguments;
use crate::settings::Settings;
use crate::warnings::{Printer, WarningArguments};

const EXAMPLES: &str = "\
Examples:
  Every case of a list, with a CSV file of all rows; if it is interrupted, the same command continues:
    segvol eval -m bundle --cases cases.json -o rows.csv
  A folder of scans with their masks, in one of three layouts; or two folders with the same file names:
    segvol eval -m bundle --data Dataset009_Spleen/
    segvol eval -m bundle --images scans/ --truth masks/ --names labels.json
  Which axes does the model expect? Compare several; without label maps, see whether left organs lie on the left:
    segvol eval -m bundle --cases cases.json --prompts text --orientation ras,las,lps,stored
    segvol eval -m bundle --images scans/ --orientation ras,las,lps,stored
  A box, then five clicks, each in the middle of the largest error:
    segvol eval -m bundle --cases cases.json --interactive -o rows.csv --times times.csv
  Is the zoom-in pass worth it, and which prompt is best? Each object with itself:
    segvol eval -m bundle --cases cases.json --compare zoom,prompts
    segvol eval -m bundle --cases cases.json --profile default,released
  A page with tables, box plots and the worst objects, for colleagues:
    segvol eval -m bundle --cases cases.json --report evaluation.html
  Compare the masks with those of another provider, or of another precision:
    segvol eval -m bundle --cases cases.json --against bundle --against-provider openvino --min-dice 0.99
    segvol eval -m bundle --cases cases.json --against bundle --against-precision int8 --min-dice 0.99

Case list (paths are relative to the file):
  {\"schema_version\": 1, \"structures\": {\"liver\": 1, \"spleen\": 2}, \"cases\": [
    {\"image\": \"a.nii.gz\", \"labels\": \"a_labels.nii.gz\"},
    {\"name\": \"b\", \"image\": \"b.nii.gz\", \"labels\": \"b_labels.nii.gz\", \"structures\": {\"liver\": 6}}]}

A value can be a list, {\"lung\": [3, 4]}, and a structure of a case a file of its own, {\"liver\": {\"file\": \"liver.nii.gz\"}}.
\"conventions\": {\"btcv\": {\"liver\": 6}} are further sets of names; a case takes one with \"convention\": \"btcv\".
A structure that the list names for all cases may be absent from a case; one that the case itself names must be in it.
If a case cannot be scored, the reason is printed, the other cases continue, and the exit code is 1.";

/// Score a bundle on scans with known masks
///
/// Every structure of every case is segmented by its name, its box, random points in it, and combinations of these. The masks
/// are compared with the known ones, after the zoom-out pass and at the end. Without known masks, left and right organs are
/// segmented by name, and each left one must lie to the left of its counterpart.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

    #[command(flatten)]
    cases: CaseArguments,

    /// Kinds of prompts; a list with commas or spaces, or repeat the option
    #[arg(long, value_name = "KIND", value_delimiter = ',', num_args = 1.., default_values_t = Kind::ALL, help_heading = "Prompts")]
    prompts: Vec<Kind>,
    /// Refuse, before any work, a structure whose name the model was not trained with, if names are prompts; without this
    /// option it is a warning
    #[arg(long, help_heading = "Prompts")]
    strict: bool,
    /// Points per structure
    #[arg(long, value_name = "N", default_value_t = Draw::default().points, help_heading = "Prompts")]
    points: usize,
    /// Seed of the random points
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Prompts")]
    seed: u64,
    /// Leave out structures that have fewer voxels in a case
    #[arg(long, value_name = "N", default_value_t = Draw::default().min_voxels, help_heading = "Prompts")]
    min_voxels: u64,
    /// Segment all structures of a case in one call for each kind of prompt, as `segment` does with several prompts: they
    /// share windows. Without this option, each object is segmented by itself
    #[arg(long, help_heading = "Prompts")]
    together: bool,
    /// Tolerance of the surface Dice in millimetres: closer surfaces count as equal
    #[arg(long, value_name = "MM", default_value_t = Draw::default().tolerance_mm, help_heading = "Prompts")]
    tolerance: f64,

    /// Ask with the box first, and then with one click after another, each in the middle of the largest error, as the challenge of
    /// CVPR 2025 does: Dice and surface Dice after each, the area under the curve, and the time of each step
    #[arg(long, help_heading = "Interaction", conflicts_with_all = ["prompts", "points", "overlay", "against", "pairs", "report", "compare"])]
    interactive: bool,
    /// Clicks after the box
    #[arg(long, value_name = "N", default_value_t = CLICKS, help_heading = "Interaction", requires = "interactive", conflicts_with_all = ["prompts", "points", "overlay", "against", "pairs", "report", "compare"])]
    clicks: usize,
    /// CSV file with the seconds of each step: these differ from run to run, and are in no other file of rows
    #[arg(long, value_name = "FILE", help_heading = "Interaction", requires = "interactive", conflicts_with_all = ["prompts", "points", "overlay", "against", "pairs", "report", "compare"])]
    times: Option<PathBuf>,

    /// Format of the means on standard output
    #[arg(long, value_enum, default_value_t = Format::Md, help_heading = "Output")]
    format: Format,
    /// File with one row per case, structure and prompt: .csv, .json or .md. `-` prints the rows on standard output instead of
    /// the means, in the format of --format
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// File for finished rows, from which an interrupted run continues. A file named here is kept at the end. With several
    /// orientations or profiles there is one for each, and its name has these in it [default: OUTPUT.work.jsonl, removed at the
    /// end]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    work: Option<PathBuf>,
    #[command(flatten)]
    masks: MaskArguments,
    /// No progress bar, and nothing about what was recognised; warnings are still printed
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    warnings: WarningArguments,

    /// Folder for pictures, one per case and kind of prompt, with the known mask as a second contour: DIR/CASE.KIND.png. Cases
    /// that an earlier run finished are not drawn again
    #[arg(long, value_name = "DIR", help_heading = "Picture")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,
    #[command(flatten)]
    report: ReportArguments,

    #[command(flatten)]
    postprocessing: PostprocessingArguments,

    /// A bundle (another one, or the same) whose masks are compared with these
    #[arg(long, value_name = "DIR", help_heading = "Comparison")]
    against: Option<PathBuf>,
    /// Where that bundle's graphs run, in the same ONNX Runtime library [default: as --provider]
    #[arg(long, value_name = "PROVIDER", requires = "against", help_heading = "Comparison")]
    against_provider: Option<Provider>,
    /// Which of that bundle's precisions to run [default: as --precision]
    #[arg(long, value_name = "PRECISION", requires = "against", help_heading = "Comparison")]
    against_precision: Option<Precision>,
    /// Fail with exit code 3 if the Dice between both bundles' masks of an object is below this
    #[arg(long, value_name = "DICE", requires = "against", help_heading = "Comparison")]
    min_dice: Option<f64>,

    /// Cases that are processed at the same time. Graphs still run one at a time; reading and scoring overlap
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Machine")]
    jobs: usize,
    /// Memory for cases that are processed at the same time, in MiB, including embeddings [default: three quarters of what is
    /// free]
    #[arg(long, value_name = "MIB", help_heading = "Machine")]
    memory: Option<u64>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Tables
    Md,
    /// One line per structure and prompt
    Csv,
    /// Settings, means, rows and failures
    Json,
}

impl Eval {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let rows_format = self.rows_format()?;
        self.report.check()?;
        self.cases.check_swapped(&self.model)?;
        let (cases, unused) = self.cases.read(&self.model, self.quiet)?;
        let draw = self.draw(&cases)?;
        let (options, orientations) = (self.settings.machine().options()?, self.settings.study_options_of_all()?);
        // With several, each has a work file and pictures of its own.
        let several = self.settings.several();
        let parts: Vec<Option<String>> = orientations.iter().map(|options| part(options, several)).collect();
        let pictures: Vec<Option<Pictures>> = parts.iter().map(|part| self.pictures(part.as_deref(), &cases)).collect();
        let masks: Vec<Option<MaskFiles>> =
            parts.iter().map(|part| self.masks.files(part.as_deref(), &cases)).collect();
        let mut warnings = self.warnings.printer();
        warnings.print_all(&unused);
        warnings.print_all(&self.check_files(&cases, &parts, pictures.iter().flatten(), masks.iter().flatten())?);
        let kinds = if self.interactive { &[] } else { &self.prompts[..] };
        let texts = segvol_evaluation::prompts::texts(&cases, kinds);
        if self.strict {
            for bundle in std::iter::once(&self.model).chain(&self.against) {
                names::require_known(bundle, texts.iter().copied())?;
            }
        }
        let model = Model::open(&self.model, &options)?;
        let other = match &self.against {
            Some(bundle) => {
                let mut other = options.clone().provider(self.against_provider.unwrap_or(options.provider));
                other.precision = self.against_precision.or(options.precision);
                Some(Model::open(bundle, &other)?)
            }
            None => None,
        };
        self.warn_of_names([Some(&model), other.as_ref()].into_iter().flatten(), &texts, &mut warnings);
        let (mut all, mut worst, mut work_files) = (Vec::new(), Vec::new(), Vec::new());
        for (((study_options, part), pictures), masks) in orientations.iter().zip(&parts).zip(&pictures).zip(&masks) {
            let part = part.as_deref();
            let evaluation = Evaluation::new(&model, study_options.clone(), draw.clone());
            let mut evaluation = evaluation.reading_with(self.settings.read_options());
            if let Some(other) = &other {
                evaluation = evaluation.against(other);
            }
            if let Some(pictures) = pictures {
                let dir = pictures.folder();
                segvol_base::create_folder(dir).with_context(|| format!("folder `{}`", dir.display()))?;
            }
            if let Some(masks) = masks {
                eval_files::create_folders(masks)?;
                evaluation = evaluation.writing(masks);
            }
            let worst_pictures = self.report.pictures(self.view.view(), &cases);
            let shown = [pictures.as_ref().map(|one| one as &dyn Watcher), worst_pictures.as_ref().map(|one| one as _)];
            let watchers = Watchers(shown.into_iter().flatten().collect());
            evaluation = evaluation.watched_by(&watchers);
            let work = self.work_file(part);
            work_files.extend(work.clone());
            let memory = self.memory.map(|mib| mib.saturating_mul(1 << 20));
            let run = Run { jobs: self.jobs, memory, work };
            let mut results = self.observed(&evaluation, &cases, &run, part)?;
            if let Some(pictures) = pictures {
                pictures.name_files(&mut results);
            }
            worst.extend(worst_pictures.as_ref().map(|pictures| pictures.finish(&results, &evaluation, &cases)));
            all.push(results);
        }
        let comparisons = self.report.comparisons(&all);
        if let (Some(path), Some(format)) = (&self.output, rows_format) {
            format::save_rows(&all, &comparisons, format, path)
                .with_context(|| format!("rows `{}`", path.display()))?;
        }
        if let Some(path) = &self.times {
            format::save_times(&all, path).with_context(|| format!("times `{}`", path.display()))?;
        }
        let printed =
            if self.output.as_deref().is_some_and(is_standard_output) { format::rows } else { format::summary };
        let text = printed(&all, &comparisons, self.format.into());
        out.write_all(if let Format::Json = self.format { printable_json(&text) } else { text.into() }.as_bytes())?;
        self.report.save(&all, &worst)?;
        warnings.print_all(&eval_report::warnings(&comparisons));
        warnings.print_all(&model.stages().precision_warning());
        eval_warnings::print(&all, &mut warnings);
        if let Some(Some(pictures)) = pictures.first() {
            warnings.print_all(&pictures.warnings());
        }
        if let Some(Some(masks)) = masks.first() {
            warnings.print_all(&masks.warnings());
        }
        all.iter().try_for_each(|results| self.judge(results))?;
        if self.work.is_none() {
            for path in &work_files {
                std::fs::remove_file(path).with_context(|| format!("work file `{}`", path.display()))?;
            }
        }
        Ok(warnings.finish()?)
    }

    /// Prints each text that a model does not know once, not once per case.
    fn warn_of_names<'a>(
        &self,
        models: impl Iterator<Item = &'a Model>,
        texts: &BTreeSet<&str>,
        warnings: &mut Printer,
    ) {
        for model in models {
            let about =
                if self.against.is_some() { format!("bundle `{}`: ", model.bundle().display()) } else { String::new() };
            for (text, advice) in texts.iter().filter_map(|text| Some((text, model.check_name(text)?))) {
                let message = format!("structure {text:?}: {advice}");
                warnings.print(&about, &Warning::new(WarningCode::NameUnknown, message));
            }
        }
    }

    /// What is asked for, and how.
    fn draw(&self, cases: &[Case]) -> anyhow::Result<Draw> {
        let without_truth = !cases.iter().any(Case::has_truth);
        for (option, there) in [
            ("--overlay", self.overlay.is_some()),
            ("--against", self.against.is_some()),
            ("--masks", self.masks.masks.is_some()),
            ("--probabilities", self.masks.probabilities.is_some()),
            ("--interactive", self.interactive),
        ] {
            if without_truth && there {
                let message = format!("{option}: expected cases with label maps; {:?} has none", cases[0].name);
                return Err(Usage(message).into());
            }
        }
        if !without_truth && !self.cases.pairs.is_empty() {
            return Err(Usage("--pairs: expected cases without label maps; these have them".to_owned()).into());
        }
        Ok(Draw {
            prompts: self.prompts.clone(),
            points: self.points,
            seed: self.seed,
            tolerance_mm: self.tolerance,
            min_voxels: self.min_voxels,
            together: self.together,
            pairs: if without_truth { self.pairs(cases)? } else { Vec::new() },
            postprocessing: self
                .postprocessing
                .of_evaluation(!without_truth && self.prompts.iter().any(|&kind| kind != Kind::Text))?,
            interactive: self.interactive.then_some(self.clicks),
        })
    }

    /// The left and right organs that are compared without label maps.
    fn pairs(&self, cases: &[Case]) -> anyhow::Result<Vec<Pair>> {
        if !self.cases.pairs.is_empty() {
            return Ok(self.cases.pairs.clone());
        }
        let named = self.cases.names().map(cases::read_names).transpose()?;
        let structures =
            named.iter().flat_map(|named| named.iter()).chain(cases.iter().flat_map(|c| c.structures.iter()));
        let names: BTreeSet<&str> = structures.map(|structure| structure.name.as_str()).collect();
        if names.is_empty() {
            return Ok(vec![Pair::kidneys()]);
        }
        let pairs = sides::pairs_of(names.iter().copied());
        if pairs.is_empty() {
            let names = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "no label maps, and no left and right organ to compare: expected names such as \"left kidney\" and \"right kidney\", found {names}; --pairs names others"
            );
            return Err(Usage(message).into());
        }
        Ok(pairs)
    }

    /// Pictures in the folder, or in one of its own for an orientation; `None` if none are drawn.
    fn pictures(&self, part: Option<&str>, cases: &[Case]) -> Option<Pictures> {
        let dir = self.overlay.as_deref()?;
        let dir = part.map_or_else(|| dir.to_owned(), |part| dir.join(part));
        Some(Pictures::new(dir, self.view.view(), cases))
    }

    /// The file of finished rows, which has a name of its own for an orientation.
    fn work_file(&self, part: Option<&str>) -> Option<PathBuf> {
        let path = self.work.clone().or_else(|| self.work_file_beside_output())?;
        Some(work_file_of(&path, part))
    }

    fn observed(
        &self,
        evaluation: &Evaluation<'_>,
        cases: &[Case],
        run: &Run,
        part: Option<&str>,
    ) -> anyhow::Result<Results> {
        let bar = ProgressBar::hidden();
        if !self.quiet && std::io::stderr().is_terminal() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        let style = ProgressStyle::with_template("{bar:40} {prefix}case {pos} of {len}, {elapsed}, about {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length(cases.len() as u64);
        let part = part.map_or_else(String::new, |part| format!("{part}, "));
        bar.set_prefix(part.clone());
        let results = evaluation.run(cases, run, &mut |event| {
            if let Event::Failed(failure) = event {
                let text = format!("{part}case {:?}: {}", failure.case, failure.reason);
                bar.suspend(|| log::say(Level::Error, &text, &failure.reason, json!({"case": failure.case})));
            }
            bar.inc(1);
            ControlFlow::Continue(())
        })?;
        bar.finish_and_clear();
        Ok(results)
    }

    /// The format of the file with rows; `None` without one.
    fn rows_format(&self) -> Result<Option<format::Format>, Usage> {
        if let Some(least) = self.min_dice.filter(|least| !(0.0..=1.0).contains(least)) {
            return Err(Usage(format!("--min-dice: expected 0 to 1, found {least}")));
        }
        let Some(path) = self.output.as_ref().filter(|path| !is_standard_output(path)) else { return Ok(None) };
        let expected = || Usage(format!("`{}`: expected a name that ends in .csv, .json or .md", path.display()));
        Ok(Some(format::Format::of_name(path).ok_or_else(expected)?))
    }

    /// The work file that belongs to the file with rows.
    fn work_file_beside_output(&self) -> Option<PathBuf> {
        self.output.as_deref().filter(|path| !is_standard_output(path)).map(work_file_beside)
    }

    /// Reports what would replace an input, or cannot be written, before the work starts.
    fn check_files<'a>(
        &self,
        cases: &[Case],
        parts: &[Option<String>],
        pictures: impl Iterator<Item = &'a Pictures>,
        masks: impl Iterator<Item = &'a MaskFiles>,
    ) -> Result<Vec<Warning>, Usage> {
        let mut files = Files::default();
        files.bundle("--model", &self.model);
        if let Some(other) = &self.against {
            files.bundle("--against", other);
        }
        files.input_if("--library", self.settings.machine().library());
        self.cases.add_inputs(cases, &mut files);
        files.output_if("--times", self.times.as_ref());
        self.report.add_to(&mut files);
        files.output_if("--output", self.output.as_ref().filter(|path| !is_standard_output(path)));
        let option = if self.work.is_some() { "--work" } else { "the work file of --output" };
        for work in parts.iter().filter_map(|part| self.work_file(part.as_deref())) {
            files.appended(option, &work);
        }
        for pictures in pictures {
            let of_case =
                |case: &Case| self.prompts.iter().filter_map(|&kind| pictures.file(&case.name, kind)).collect();
            let drawn: BTreeSet<PathBuf> = cases.iter().flat_map(|case| -> Vec<PathBuf> { of_case(case) }).collect();
            files.folder("--overlay", pictures.folder(), drawn);
        }
        let kinds = eval_files::kinds(&self.prompts, self.interactive.then_some(self.clicks));
        for masks in masks {
            eval_files::add_outputs(masks, cases, &kinds, &mut files);
        }
        files.cache_if("--embeddings", self.settings.machine().embeddings());
        files.check()
    }

    /// Fails if masks disagree or cases have no scores.
    fn judge(&self, results: &Results) -> anyhow::Result<()> {
        let failed = results.failures.len();
        let unscored = format!("{failed} of {} cases have no scores", failed + results.cases.len());
        if let (Some(least), Some((case, row, dice))) = (self.min_dice, results.worst_agreement())
            && dice < least
        {
            let also = if failed > 0 { format!("; {unscored}") } else { String::new() };
            return Err(BelowThreshold(format!(
                "case {case:?}, {} by {}: expected a Dice of at least {least} between both bundles' masks, found {dice:.4}{also}",
                printable(&row.structure),
                row.prompt
            ))
            .into());
        }
        if failed > 0 {
            anyhow::bail!(unscored);
        }
        Ok(())
    }
}

/// What distinguishes one run of several, in names of files: `las`, `released`, `released-las`.
fn part(options: &StudyOptions, [profiles, orientations]: [bool; 2]) -> Option<String> {
    let profile = profiles.then(|| labels::profile_word(options.profile));
    let orientation = options.orientation.filter(|_| orientations).map(|one| one.to_string());
    let parts: Vec<String> = profile.into_iter().chain(orientation).collect();
    (!parts.is_empty()).then(|| parts.join("-"))
}

/// The work file of one run of several: `rows.csv.work.jsonl` becomes `rows.csv.work.las.jsonl`.
fn work_file_of(path: &Path, part: Option<&str>) -> PathBuf {
    let Some(part) = part else { return path.to_owned() };
    let name = match path.extension() {
        Some(extension) => format!("{part}.{}", extension.display()),
        None => part.to_string(),
    };
    path.with_extension(name)
}

impl From<Format> for format::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Md => Self::Markdown,
            Format::Csv => Self::Csv,
            Format::Json => Self::Json,
        }
    }
}
