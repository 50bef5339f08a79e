//! `segvol eval`

use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use segvol::{Model, Precision, Provider};
use segvol_evaluation::{
    Case, Evaluation, Event, Kind, Pictures, Results, Run, Settings as Draw, cases, format, work_file_beside,
};

use crate::exit::{BelowThreshold, Usage};
use crate::picture::ViewArguments;
use crate::settings::Settings;
use crate::swapped;
use crate::text::check_folder_of;

const EXAMPLES: &str = "\
Examples:
  Every case of a list, with a CSV file of all rows; if it is interrupted, the same command continues:
    segvol eval -m bundle --cases cases.json -o rows.csv
  Two folders with the same file names:
    segvol eval -m bundle --images scans/ --truth masks/ --names labels.json
  Compare the masks with those of another provider, or of another precision:
    segvol eval -m bundle --cases cases.json --against bundle --against-provider openvino --min-dice 0.99
    segvol eval -m bundle --cases cases.json --against bundle --against-precision int8 --min-dice 0.99

Case list (paths are relative to the file):
  {\"schema_version\": 1, \"structures\": {\"liver\": 1, \"spleen\": 2}, \"cases\": [
    {\"image\": \"a.nii.gz\", \"labels\": \"a_labels.nii.gz\"},
    {\"name\": \"b\", \"image\": \"b.nii.gz\", \"labels\": \"b_labels.nii.gz\", \"structures\": {\"liver\": 6}}]}

A structure that the list names for all cases may be absent from a case; one that the case itself names must be in it.
If a case cannot be scored, the reason is printed, the other cases continue, and the exit code is 1.";

/// Score a bundle on scans with known masks
///
/// Every structure of every case is segmented by its name, its box, random points in it, and combinations of these. The masks
/// are compared with the known ones, after the zoom-out pass and at the end.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

    /// JSON list of scans and label maps, with the names of their values (see below)
    #[arg(short, long, value_name = "FILE", help_heading = "Cases", required_unless_present = "images")]
    cases: Option<PathBuf>,
    /// Folder of scans
    #[arg(long, value_name = "DIR", help_heading = "Cases", conflicts_with = "cases", requires_all = ["truth", "names"])]
    images: Option<PathBuf>,
    /// Folder of label maps with the same file names as the scans
    #[arg(long, value_name = "DIR", help_heading = "Cases", requires = "images")]
    truth: Option<PathBuf>,
    /// JSON file that gives each structure's value in the label maps, for example {"liver": 1}
    #[arg(long, value_name = "FILE", help_heading = "Cases", requires = "images")]
    names: Option<PathBuf>,

    /// Kinds of prompts; a list with commas, or repeat the option
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_values_t = Kind::ALL, help_heading = "Prompts")]
    prompts: Vec<Kind>,
    /// Points per structure
    #[arg(long, value_name = "N", default_value_t = Draw::default().points, help_heading = "Prompts")]
    points: usize,
    /// Seed of the random points
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Prompts")]
    seed: u64,
    /// Leave out structures that have fewer voxels in a case
    #[arg(long, value_name = "N", default_value_t = Draw::default().min_voxels, help_heading = "Prompts")]
    min_voxels: u64,
    /// Tolerance of the surface Dice in millimetres: closer surfaces count as equal
    #[arg(long, value_name = "MM", default_value_t = Draw::default().tolerance_mm, help_heading = "Prompts")]
    tolerance: f64,

    /// Format of the means on standard output
    #[arg(long, value_enum, default_value_t = Format::Md, help_heading = "Output")]
    format: Format,
    /// File with one row per case, structure and prompt: .csv, .json or .md
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// File for finished rows, from which an interrupted run continues. A file named here is kept at the end
    /// [default: OUTPUT.work.jsonl, removed at the end]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    work: Option<PathBuf>,
    /// No progress bar
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Folder for pictures, one per case and kind of prompt, with the known mask as a second contour: DIR/CASE.KIND.png. Cases
    /// that an earlier run finished are not drawn again
    #[arg(long, value_name = "DIR", help_heading = "Picture")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,

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
        let rows_format = self.check_outputs()?;
        let named = [("-c", &self.cases), ("--images", &self.images)];
        for (option, path) in named.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
            swapped::check((option, path), ("-m", &self.model))?;
        }
        let cases = self.read_cases()?;
        let (options, study_options) = (self.settings.options()?, self.settings.study_options()?);
        let model = Model::open(&self.model, &options)?;
        let other = match &self.against {
            Some(bundle) => {
                let mut other = options.clone().provider(self.against_provider.unwrap_or(options.provider));
                other.precision = self.against_precision.or(options.precision);
                Some(Model::open(bundle, &other)?)
            }
            None => None,
        };
        let draw = Draw {
            prompts: self.prompts.clone(),
            points: self.points,
            seed: self.seed,
            tolerance_mm: self.tolerance,
            min_voxels: self.min_voxels,
        };
        let mut evaluation = Evaluation::new(&model, study_options, draw).reading_with(self.settings.read_options());
        if let Some(other) = &other {
            evaluation = evaluation.against(other);
        }
        let pictures = self.overlay.clone().map(|dir| Pictures::new(dir, self.view.view()));
        if let Some(pictures) = &pictures {
            evaluation = evaluation.watched_by(pictures);
        }
        let beside_output = self.output.as_deref().map(work_file_beside);
        let run = Run {
            jobs: self.jobs,
            memory: self.memory.map(|mib| mib.saturating_mul(1 << 20)),
            work: self.work.clone().or_else(|| beside_output.clone()),
        };
        let results = self.observed(&evaluation, &cases, &run)?;
        if let (Some(path), Some(format)) = (&self.output, rows_format) {
            format::save_rows(&results, format, path).with_context(|| format!("rows `{}`", path.display()))?;
        }
        out.write_all(format::summary(&results, self.format.into()).as_bytes())?;
        self.judge(&results)?;
        if let (None, Some(path)) = (&self.work, beside_output) {
            std::fs::remove_file(&path).with_context(|| format!("work file `{}`", path.display()))?;
        }
        Ok(())
    }

    fn observed(&self, evaluation: &Evaluation<'_>, cases: &[Case], run: &Run) -> anyhow::Result<Results> {
        let bar = ProgressBar::hidden();
        if !self.quiet && std::io::stderr().is_terminal() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        let style = ProgressStyle::with_template("{bar:40} case {pos} of {len}, {elapsed}, about {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_length(cases.len() as u64);
        let results = evaluation.run(cases, run, &mut |event| {
            if let Event::Failed(failure) = event {
                // Nothing can be done where standard error is closed.
                let say = || writeln!(std::io::stderr(), "case {:?}: {}", failure.case, failure.reason);
                let _ = bar.suspend(say);
            }
            bar.inc(1);
            ControlFlow::Continue(())
        })?;
        bar.finish_and_clear();
        Ok(results)
    }

    fn read_cases(&self) -> anyhow::Result<Vec<Case>> {
        if let Some(list) = &self.cases {
            return Ok(cases::read_list(list)?);
        }
        match (&self.images, &self.truth, &self.names) {
            (Some(images), Some(truth), Some(names)) => Ok(cases::read_folders(images, truth, names)?),
            _ => Err(Usage("no cases: give --cases FILE, or --images, --truth and --names".to_owned()).into()),
        }
    }

    /// Reports what cannot work before the work starts, not after it.
    fn check_outputs(&self) -> anyhow::Result<Option<format::Format>> {
        if let Some(least) = self.min_dice.filter(|least| !(0.0..=1.0).contains(least)) {
            return Err(Usage(format!("--min-dice: expected 0 to 1, found {least}")).into());
        }
        for path in [&self.output, &self.work].into_iter().flatten() {
            check_folder_of(path)?;
        }
        if let Some(dir) = &self.overlay {
            std::fs::create_dir_all(dir).with_context(|| format!("folder `{}`", dir.display()))?;
        }
        let Some(path) = &self.output else { return Ok(None) };
        let expected = || Usage(format!("`{}`: expected a name that ends in .csv, .json or .md", path.display()));
        Ok(Some(format::Format::of_name(path).ok_or_else(expected)?))
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
                row.structure, row.prompt
            ))
            .into());
        }
        if failed > 0 {
            anyhow::bail!(unscored);
        }
        Ok(())
    }
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
