//! `segvol bench`

use std::io::{IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::{DecimalBytes, ProgressBar};
use segvol::{Options, Provider, Volume, Warning, WarningCode};
use segvol_base::{TemporaryFolder, atomic_file, printable};
use segvol_measure::library::NamedLibrary;
use segvol_measure::options::parse_provider_options;
use segvol_measure::saving::{self, GateScans};
use segvol_measure::table::{self, Table};
use segvol_measure::{Benchmark, JobPlan, Plan, plot, random_weights};
use segvol_onnx::{Precision, Stage};
use segvol_tuning::Stored;
use serde_json::json;

use crate::exit::{NotEqual, Usage};
use crate::log::{self, Level};
use crate::measured;
use crate::measuring::{BundleArgument, libraries, print_json, this_program};
use crate::outputs::Files;
use crate::prompts::prompts_text;
use crate::settings::ReadArguments;
use crate::swapped;
use crate::warnings;

const EXAMPLES: &str = "\
Examples:
  Measure the image encoder on two providers, with one and with two threads:
    segvol bench -m bundle --stage image_encoder --provider cpu,openvino --threads 1,2
  Measure the full-size model without a checkpoint:
    segvol bench --random-weights --runs 20 --format json > bench.json
  Let `auto` choose what is fastest here; int8 only if its masks are those of float32 on your own scans:
    segvol bench -m bundle --provider cpu,openvino --precision fp32,int8 --save --gate-scan ct1.nii.gz --gate-scan ct2.nii.gz
  Find out which steps of a segmentation take the time:
    segvol bench -m bundle --prompts objects.json -i ct.nii.gz

Every combination of the lists is one row, and runs in its own process. The timed runs take turns. Before a row is
timed, its outputs are compared with float32 on the CPU provider. docs/performance.md explains the columns.
If a row's times scatter too much: close other programs, give more --runs, or reserve cores for the command, as in
`taskset -c 0,1 segvol bench ...`.
Exit code 3: a row's outputs are wrong; 4: a provider is not available.";

/// Measure how fast the stages run, or which steps of a segmentation take the time
#[derive(Debug, clap::Args)]
#[command(override_usage = "segvol bench [OPTIONS] <--model <BUNDLE>|--random-weights>", after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(flatten)]
    bundle: BundleArgument,
    /// Use a model of the released sizes with random weights, the same every time; needs 1.5 GB for temporary files
    #[arg(long, conflicts_with = "bundle")]
    random_weights: bool,

    /// Providers, separated by commas; this and the other lists may be given several times
    #[arg(long, value_delimiter = ',', default_value = "cpu", value_name = "LIST", help_heading = "Rows")]
    provider: Vec<Provider>,
    /// An option of a provider, as in openvino.precision=bf16; may be given several times
    #[arg(long, value_name = "PROVIDER.KEY=VALUE", help_heading = "Rows")]
    provider_option: Vec<String>,
    /// Precisions, separated by commas; the bundle must contain them
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [Precision::Fp32], help_heading = "Rows")]
    precision: Vec<Precision>,
    /// Threads per graph, separated by commas [default: the cores that this process may use]
    #[arg(long, value_delimiter = ',', value_name = "LIST", help_heading = "Rows")]
    threads: Vec<usize>,
    /// Windows, names or prompts per run, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "LIST", help_heading = "Rows")]
    batch: Vec<usize>,
    /// Stages, separated by commas: image_encoder, text_encoder, prompt_encoder, mask_decoder
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "image_encoder,mask_decoder",
        value_name = "LIST",
        help_heading = "Rows"
    )]
    stage: Vec<Stage>,

    /// Measure a whole segmentation of these prompts instead, one row per step; a file as for `segvol segment`
    #[arg(long, alias = "job", value_name = "FILE", requires = "input", conflicts_with_all = ["batch", "stage", "plot"], help_heading = "Whole segmentation")]
    prompts: Option<PathBuf>,
    /// The scan
    #[arg(short, long, value_name = "FILE", requires = "prompts", help_heading = "Whole segmentation")]
    input: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArguments,

    /// Timed runs of each row
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Measuring")]
    runs: usize,
    /// Runs of each row before the timed ones
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Measuring")]
    warm_up: usize,
    /// ONNX Runtime's library or the folder that has it, for all providers or for one; may be given several times
    /// [default: for openvino, cuda and tensorrt, the flavour that `segvol setup` or scripts/get-onnxruntime fetched for them;
    /// otherwise as for `segvol segment`]
    #[arg(long, value_name = "[PROVIDER=]PATH", help_heading = "Measuring")]
    library: Vec<NamedLibrary>,

    /// How to print the rows; json contains every sample
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// Store the rows for this bundle and machine, after every stage of each is compared with float32 on the CPU provider:
    /// `segvol segment` with provider auto then chooses the fastest that passed. An earlier file is replaced
    #[arg(long, conflicts_with_all = ["prompts", "random_weights"], help_heading = "Stored benchmark")]
    save: bool,
    /// A scan on which the masks of int8, and of provider options, are compared with those of float32 on the CPU provider; may be
    /// given several times. auto chooses such a row only if the mean Dice of each scan is at least 0.99
    #[arg(long, value_name = "FILE", requires = "save", help_heading = "Stored benchmark")]
    gate_scan: Vec<PathBuf>,
    /// What to segment in these scans; a file as for `segvol segment` [default: the liver by name, and a box in the middle]
    #[arg(long, value_name = "FILE", requires = "gate_scan", help_heading = "Stored benchmark")]
    gate_prompts: Option<PathBuf>,
    /// The folder to store in [default: $SEGVOL_HOME/bench, else segvol/bench in the user's data folder]
    #[arg(long, value_name = "DIR", requires = "save", help_heading = "Stored benchmark")]
    bench_results: Option<PathBuf>,
    /// Write a plot of the times: an SVG file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Md,
    Csv,
    Json,
}

/// The worker process that `verify`, `bench` and `providers` start.
#[derive(Debug, clap::Args)]
pub(crate) struct MeasureWorker;

impl MeasureWorker {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let input = std::io::BufReader::new(std::io::stdin());
        Ok(segvol_measure::worker::serve(input, out, crate::interrupt::abandoned)?)
    }
}

impl Bench {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        if self.runs == 0 || self.batch.contains(&0) || self.threads.contains(&0) {
            return Err(Usage("--runs, --batch and --threads: expected at least 1, found 0".to_owned()).into());
        }
        parse_provider_options(&self.provider_option)?;
        self.check_files()?.iter().for_each(|warning| warnings::say("", warning));
        let prompts = self.prompts.as_deref().map(prompts_text).transpose()?;
        let gate = self.gate()?;
        if let (Some(scan), Some(bundle)) = (&self.input, self.bundle.path()) {
            swapped::check(("-i", scan), ("-m", bundle))?;
        }
        let (bundle, _folder) = self.bundle()?;
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let mut observer = |doing: &str| {
            bar.set_message(printable(doing).into_owned());
            ControlFlow::Continue(())
        };
        if let (Some(prompts), Some(scan)) = (prompts, &self.input) {
            let jobs = self.job_plan(bundle, scan, prompts)?.run(&mut observer)?;
            bar.finish_and_clear();
            print_warnings(&jobs.warnings);
            if let Format::Json = self.format {
                return print_json(out, &jobs);
            }
            for (name, run) in &jobs.jobs {
                let memory =
                    run.peak_resident_bytes.map_or_else(String::new, |b| format!(", {} at most", DecimalBytes(b)));
                let line = format!(
                    "{name}: {} objects, {} windows encoded, bundle opened in {:.0} ms{memory}",
                    run.objects, run.windows, run.open_ms
                );
                self.print(out, &table::of_job(name, run), &[line])?;
            }
            return Ok(());
        }

        let plan = self.plan(bundle)?;
        let benchmark = segvol_measure::bench(&plan, &mut observer)?;
        bar.finish_and_clear();
        print_warnings(&benchmark.warnings);
        if let Some(path) = &self.plot {
            let drawing = plot::svg(&benchmark)?;
            atomic_file::write(path, |mut file| file.write_all(drawing.as_bytes()))
                .with_context(|| format!("plot `{}`", path.display()))?;
        }
        match self.format {
            Format::Json => print_json(out, &benchmark)?,
            _ => self.print(out, &table::of_benchmark(&benchmark), &footer(&benchmark))?,
        }
        out.flush()?;
        // The rows are printed first: comparing takes a while, and may fail.
        if let (Some(gate), Some(_)) = (&gate, benchmark.first_measured(Stage::ImageEncoder)) {
            let stored = saving::stored(&plan, &benchmark, gate, &mut observer)?;
            bar.finish_and_clear();
            self.store(out, &plan.bundle, &stored)?;
        }
        verdict(&benchmark)
    }

    /// Reports what would replace an input, or cannot be written, before the work starts.
    fn check_files(&self) -> Result<Vec<Warning>, Usage> {
        let mut files = Files::default();
        if let Some(bundle) = self.bundle.path() {
            files.bundle("--model", bundle);
        }
        files.input_if("--prompts", self.prompts.as_ref());
        files.input_if("--input", self.input.as_ref());
        self.library.iter().for_each(|library| files.input("--library", library.file()));
        self.gate_scan.iter().for_each(|scan| files.input("--gate-scan", scan));
        files.input_if("--gate-prompts", self.gate_prompts.as_ref());
        files.output_if("--plot", self.plot.as_ref());
        if let Some(folder) = measured::folder(self.bench_results.as_deref()).filter(|_| self.save) {
            files.folder("--bench-results", &folder, []);
        }
        files.check()
    }

    /// How less exact rows are compared; `None` if nothing is stored.
    fn gate(&self) -> anyhow::Result<Option<GateScans>> {
        if !self.save {
            return Ok(None);
        }
        if !self.stage.contains(&Stage::ImageEncoder) || !self.batch.contains(&1) {
            return Err(
                Usage("--save: expected the stage image_encoder and a batch of 1 among the rows".to_owned()).into()
            );
        }
        measured::folder_to_save(self.bench_results.as_deref())?;
        let prompts = self.gate_prompts.as_deref().map(prompts_text).transpose()?;
        if let Some(text) = &prompts {
            segvol::parse_prompts(text).map_err(segvol_measure::Error::from)?;
        }
        for scan in &self.gate_scan {
            Volume::open_with(scan, &self.read.options()).map_err(segvol::Error::from)?;
        }
        Ok(Some(GateScans { scans: self.gate_scan.clone(), prompts, read: self.read.options() }))
    }

    /// Stores what was measured, and says what `auto` makes of it.
    fn store(&self, out: &mut impl Write, bundle: &Path, stored: &Stored) -> anyhow::Result<()> {
        let folder = measured::folder_to_save(self.bench_results.as_deref())?;
        stored.save(&folder).with_context(|| format!("stored benchmark in `{}`", folder.display()))?;
        let found = segvol_tuning::look_up(&folder, bundle, &Options::default())?;
        let lines = found.measured.as_ref().map(measured::lines).unwrap_or_default();
        lines.iter().try_for_each(|line| self.print_line(out, line))
    }

    /// The bundle, and the temporary folder that contains it if it has random weights.
    fn bundle(&self) -> anyhow::Result<(PathBuf, Option<TemporaryFolder>)> {
        if let Some(bundle) = self.bundle.path() {
            return Ok((bundle.to_owned(), None));
        }
        if !self.random_weights {
            return Err(Usage("no bundle: give --model BUNDLE, or --random-weights".to_owned()).into());
        }
        let folder = TemporaryFolder::new().context("a temporary folder")?;
        Ok((random_weights::write(folder.path())?, Some(folder)))
    }

    fn plan(&self, bundle: PathBuf) -> anyhow::Result<Plan> {
        Ok(Plan {
            bundle,
            stages: self.stage.clone(),
            providers: self.provider.clone(),
            provider_options: self.provider_option.clone(),
            precisions: self.precision.clone(),
            threads: self.thread_counts(),
            batches: self.batch.clone(),
            runs: self.runs,
            warm_up: self.warm_up,
            libraries: libraries(&self.library),
            program: this_program()?,
        })
    }

    fn job_plan(&self, bundle: PathBuf, scan: &Path, prompts: String) -> anyhow::Result<JobPlan> {
        Ok(JobPlan {
            bundle,
            scan: scan.to_owned(),
            read: self.read.options(),
            prompts,
            providers: self.provider.clone(),
            provider_options: self.provider_option.clone(),
            precisions: self.precision.clone(),
            threads: self.thread_counts(),
            runs: self.runs,
            warm_up: self.warm_up,
            libraries: libraries(&self.library),
            program: this_program()?,
        })
    }

    fn thread_counts(&self) -> Vec<Option<usize>> {
        if self.threads.is_empty() { vec![None] } else { self.threads.iter().copied().map(Some).collect() }
    }

    fn print(&self, out: &mut impl Write, table: &Table, footer: &[String]) -> anyhow::Result<()> {
        match self.format {
            Format::Md => write!(out, "{}", table.to_markdown())?,
            Format::Csv => table.write_csv(&mut *out)?,
            Format::Table | Format::Json => write!(out, "{}", table.to_text())?,
        }
        footer.iter().try_for_each(|line| self.print_line(out, line))
    }

    /// Prints a line that belongs to a table. With CSV and JSON it goes to standard error, because programs read standard output.
    fn print_line(&self, out: &mut impl Write, line: &str) -> anyhow::Result<()> {
        let line = printable(line);
        match self.format {
            Format::Csv | Format::Json => log::say(Level::Info, &line, &line, json!({})),
            Format::Md => writeln!(out, "\n{line}")?,
            Format::Table => writeln!(out, "{line}")?,
        }
        Ok(())
    }
}

/// Reasons to doubt the times.
fn print_warnings(reasons: &[String]) {
    for reason in reasons {
        warnings::say("", &Warning::new(WarningCode::MeasurementNoisy, reason));
    }
}

/// The lines below the table.
fn footer(benchmark: &Benchmark) -> Vec<String> {
    let peaks = benchmark.peaks.iter().map(|peak| {
        let threads = peak.threads.map_or_else(|| "all threads".to_owned(), |threads| format!("{threads} threads"));
        let [m, k, n] = peak.shape;
        format!("matrix-product peak, float32, {threads}: {:.0} GFLOP/s ({m} x {k} x {n})", peak.gflops)
    });
    let options = benchmark.provider_options.iter().map(|option| format!("provider option: {option}"));
    std::iter::once("times in milliseconds".to_owned()).chain(options).chain(peaks).collect()
}

/// Wrong outputs matter more than any failure.
fn verdict(benchmark: &Benchmark) -> anyhow::Result<()> {
    if let Some(row) = benchmark.first_wrong() {
        return Err(NotEqual(format!("{}: wrong outputs, not timed", row.variant.label())).into());
    }
    benchmark.failure().map_or(Ok(()), |failure| Err(failure.into()))
}
