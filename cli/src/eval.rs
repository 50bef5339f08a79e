//! `segvol eval`

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use segvol::{Model, Precision, Provider};
use segvol_base::atomic_file;
use segvol_evaluation::{Case, Evaluation, Event, Kind, Results, Run, Settings as Draw, cases, format};

use crate::exit::{BelowThreshold, Usage};
use crate::picture::{Pictures, ViewArguments};
use crate::settings::Settings;

const EXAMPLES: &str = "\
Examples:
  Every case of a list, rows kept as CSV; the same command goes on where it was stopped:
    segvol eval -m bundle --cases cases.json -o rows.csv
  Two folders whose files have the same names:
    segvol eval -m bundle --images scans/ --truth masks/ --names labels.json
  Do the masks of a bundle on another provider, or of another precision, agree with these?
    segvol eval -m bundle --cases cases.json --against bundle --against-provider openvino --min-dice 0.99
    segvol eval -m bundle --cases cases.json --against bundle --against-precision int8 --min-dice 0.99

Case list (paths are relative to the file):
  {\"schema_version\": 1, \"structures\": {\"liver\": 1, \"spleen\": 2}, \"cases\": [
    {\"image\": \"a.nii.gz\", \"labels\": \"a_labels.nii.gz\"},
    {\"name\": \"b\", \"image\": \"b.nii.gz\", \"labels\": \"b_labels.nii.gz\", \"structures\": {\"liver\": 6}}]}

A structure that only the list names may be absent from a case; one that the case itself names must be in it.
A case that cannot be scored is named with its cause; the others go on, and the exit code is 1.";

/// Score a bundle on scans whose masks are known
///
/// Every structure of every case is asked for by its name, its box, random points in it, and pairs of these; the masks are
/// compared with the truth, after the zoom-out pass and at the end.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// The bundle that `segvol convert` made
    #[arg(short, long, value_name = "DIR")]
    model: PathBuf,

    /// JSON list of scans, label maps and the names of their values (see below)
    #[arg(short, long, value_name = "FILE", help_heading = "Cases", required_unless_present = "images")]
    cases: Option<PathBuf>,
    /// Folder of scans
    #[arg(long, value_name = "DIR", help_heading = "Cases", conflicts_with = "cases", requires_all = ["truth", "names"])]
    images: Option<PathBuf>,
    /// Folder of label maps, with the scans' file names
    #[arg(long, value_name = "DIR", help_heading = "Cases", requires = "images")]
    truth: Option<PathBuf>,
    /// JSON file with the value of every structure's name, as in {"liver": 1}
    #[arg(long, value_name = "FILE", help_heading = "Cases", requires = "images")]
    names: Option<PathBuf>,

    /// How structures are asked for
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_values_t = Kind::ALL, help_heading = "Prompts")]
    prompts: Vec<Kind>,
    /// Points per structure
    #[arg(long, value_name = "N", default_value_t = Draw::default().points, help_heading = "Prompts")]
    points: usize,
    /// Where the draw of points begins
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Prompts")]
    seed: u64,
    /// Leave out structures with fewer voxels
    #[arg(long, value_name = "N", default_value_t = Draw::default().min_voxels, help_heading = "Prompts")]
    min_voxels: u64,
    /// Surfaces this near, in millimetres, count as one for the surface Dice
    #[arg(long, value_name = "MM", default_value_t = Draw::default().tolerance_mm, help_heading = "Prompts")]
    tolerance: f64,

    /// How the means are printed
    #[arg(long, value_enum, default_value_t = Format::Md, help_heading = "Output")]
    format: Format,
    /// File for one row per case, structure and prompt: .csv, .json or .md
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Rows as they come, to go on from when stopped; kept when done [default: OUTPUT.work.jsonl, removed when done]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    work: Option<PathBuf>,
    /// No progress bar
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Folder for pictures, one per case and kind of prompt, the truth as a second contour: DIR/CASE.KIND.png; cases that
    /// are taken over from an earlier run are not drawn again
    #[arg(long, value_name = "DIR", help_heading = "Picture")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,

    /// Another bundle, or the same: how well do its masks agree with these?
    #[arg(long, value_name = "DIR", help_heading = "Comparison")]
    against: Option<PathBuf>,
    /// Where the other bundle's graphs run, in the same ONNX Runtime library
    #[arg(long, value_name = "PROVIDER", requires = "against", help_heading = "Comparison")]
    against_provider: Option<Provider>,
    /// Which of the other bundle's precisions is run [default: as --precision]
    #[arg(long, value_name = "PRECISION", requires = "against", help_heading = "Comparison")]
    against_precision: Option<Precision>,
    /// Fail with exit code 3 if two bundles' masks of one object agree less than this
    #[arg(long, value_name = "DICE", requires = "against", help_heading = "Comparison")]
    min_dice: Option<f64>,

    /// Cases side by side; graphs run one at a time, reading and scoring beside them
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Machine")]
    jobs: usize,
    /// Memory that cases side by side may fill, in MiB, embeddings included [default: three quarters of what is free]
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
        let mut evaluation = Evaluation::new(&model, study_options, draw);
        if let Some(other) = &other {
            evaluation = evaluation.against(other);
        }
        let pictures = self.overlay.clone().map(|dir| Pictures::new(dir, self.view.view()));
        if let Some(pictures) = &pictures {
            evaluation = evaluation.watched_by(pictures);
        }
        let beside_output = self.output.as_deref().map(work_beside);
        let run = Run {
            jobs: self.jobs,
            memory: self.memory.map(|mib| mib.saturating_mul(1 << 20)),
            work: self.work.clone().or_else(|| beside_output.clone()),
        };
        let results = self.observed(&evaluation, &cases, &run)?;
        if let (Some(path), Some(format)) = (&self.output, rows_format) {
            let text = format::rows(&results, format);
            atomic_file::write(path, |mut file| file.write_all(text.as_bytes()))
                .with_context(|| format!("rows `{}`", path.display()))?;
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

    /// What can be known to fail is said before the work, not after.
    fn check_outputs(&self) -> anyhow::Result<Option<format::Format>> {
        if let Some(least) = self.min_dice.filter(|least| !(0.0..=1.0).contains(least)) {
            return Err(Usage(format!("--min-dice: expected 0 to 1, found {least}")).into());
        }
        for path in [&self.output, &self.work].into_iter().flatten() {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
                return Err(Usage(format!("`{}`: there is no folder `{}`", path.display(), parent.display())).into());
            }
        }
        if let Some(dir) = &self.overlay {
            std::fs::create_dir_all(dir).with_context(|| format!("folder `{}`", dir.display()))?;
        }
        let Some(path) = &self.output else { return Ok(None) };
        match path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).as_deref() {
            Some("md") => Ok(Some(format::Format::Markdown)),
            Some("csv") => Ok(Some(format::Format::Csv)),
            Some("json") => Ok(Some(format::Format::Json)),
            _ => Err(Usage(format!("`{}`: expected a name that ends in .csv, .json or .md", path.display())).into()),
        }
    }

    /// The exit code's reasons.
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

/// Where rows are kept until the output is written.
fn work_beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".work.jsonl");
    name.into()
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
