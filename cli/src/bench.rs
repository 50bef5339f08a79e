//! `segvol bench`

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use indicatif::ProgressBar;
use segvol::Provider;
use segvol_base::{TemporaryFolder, atomic_file};
use segvol_measure::job::{Job, JobRun};
use segvol_measure::library::NamedLibrary;
use segvol_measure::noise::Machine;
use segvol_measure::options::parse_provider_options;
use segvol_measure::row::Outcome;
use segvol_measure::table::{self, Table};
use segvol_measure::worker::{Reply, Request, Worker};
use segvol_measure::{Benchmark, Libraries, Plan, plot};
use segvol_onnx::Precision;
use segvol_onnx::{Architecture, Stage};
use serde::Serialize;

use crate::exit::{Child, NotEqual, Usage};
use crate::measuring::{here, read_prompts, this_program};

const EXAMPLES: &str = "\
Examples:
  The image encoder on two providers, with one and two threads:
    segvol bench bundle --stage image-encoder --provider cpu,openvino --threads 1,2
  The full-size model without a checkpoint:
    segvol bench --random-weights --runs 20 --format json > bench.json
  Where a segmentation's time goes:
    segvol bench bundle --job objects.json -i ct.nii.gz

Every combination of the lists is one row, in a process of its own; timed runs take turns. A row's numbers are compared
with float32 on the CPU provider before it is timed. docs/performance.md says what each column means.
Exit code 3: a row's numbers are wrong; 4: a provider cannot be had.";

/// Measure how fast the stages run, or where the time of a segmentation goes
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// The bundle that `segvol convert` made
    #[arg(conflicts_with = "random_weights")]
    bundle: Option<PathBuf>,
    /// Measure a model of the released sizes with random weights, the same every time; takes 1.5 GB of temporary files
    #[arg(long)]
    random_weights: bool,

    /// Providers, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "cpu", value_name = "LIST", help_heading = "Rows")]
    provider: Vec<Provider>,
    /// An option of a provider, as in openvino.precision=bf16; may be given several times
    #[arg(long, value_name = "PROVIDER.KEY=VALUE", help_heading = "Rows")]
    provider_option: Vec<String>,
    /// Precisions that the bundle holds, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [Precision::Fp32], help_heading = "Rows")]
    precision: Vec<Precision>,
    /// Threads per graph, separated by commas; as many as there are cores if not given
    #[arg(long, value_delimiter = ',', value_name = "LIST", help_heading = "Rows")]
    threads: Vec<usize>,
    /// Windows, names or prompts per run, separated by commas
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "LIST", help_heading = "Rows")]
    batch: Vec<usize>,
    /// Stages, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "image-encoder,mask-decoder",
        value_name = "LIST",
        help_heading = "Rows"
    )]
    stage: Vec<StageName>,

    /// Objects file: measure a whole segmentation instead, one row per share of the time
    #[arg(long, value_name = "FILE", requires = "input", conflicts_with_all = ["batch", "stage", "plot"], help_heading = "Whole segmentation")]
    job: Option<PathBuf>,
    /// The scan
    #[arg(short, long, value_name = "FILE", requires = "job", help_heading = "Whole segmentation")]
    input: Option<PathBuf>,

    /// Timed runs of each row
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Measuring")]
    runs: usize,
    /// Runs of each row that are not counted, before those that are
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = "Measuring")]
    warm_up: usize,
    /// ONNX Runtime's library, for all providers or for one; may be given several times
    /// [default: .onnxruntime/FLAVOUR/ for a provider that has a library of its own, else as `segvol segment`]
    #[arg(long, value_name = "[PROVIDER=]FILE", help_heading = "Measuring")]
    library: Vec<NamedLibrary>,

    /// How the rows are printed; json has every sample
    #[arg(long, value_enum, default_value_t = Format::Table, help_heading = "Output")]
    format: Format,
    /// Draw the rows' times: SVG
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StageName {
    ImageEncoder,
    TextEncoder,
    PromptEncoder,
    MaskDecoder,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Md,
    Csv,
    Json,
}

/// The measuring process that `verify` and `bench` start.
#[derive(Debug, clap::Args)]
pub(crate) struct MeasureWorker;

impl MeasureWorker {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let input = std::io::BufReader::new(std::io::stdin());
        Ok(segvol_measure::worker::serve(input, out, crate::interrupt::abandoned)?)
    }
}

/// What `--job --format json` prints.
#[derive(Serialize)]
struct Jobs {
    machine: Machine,
    jobs: BTreeMap<String, JobRun>,
    warnings: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        if self.runs == 0 || self.batch.contains(&0) || self.threads.contains(&0) {
            return Err(Usage("--runs, --batch and --threads: expected at least 1, found 0".to_owned()).into());
        }
        parse_provider_options(&self.provider_option)?;
        let (bundle, _folder) = self.bundle()?;
        if let (Some(job), Some(scan)) = (&self.job, &self.input) {
            return self.run_jobs(out, &bundle, job, scan);
        }
        let bar = progress();
        let plan = Plan {
            bundle,
            stages: self.stage.iter().map(|&stage| stage.into()).collect(),
            providers: self.provider.clone(),
            provider_options: self.provider_option.clone(),
            precisions: self.precision.clone(),
            threads: self.thread_counts(),
            batches: self.batch.clone(),
            runs: self.runs,
            warm_up: self.warm_up,
            libraries: Libraries::new(self.library.clone()),
            folder: here(),
            program: this_program()?,
        };
        let benchmark = segvol_measure::bench(&plan, &mut |doing| bar.set_message(doing.to_owned()))?;
        bar.finish_and_clear();
        if let Some(path) = &self.plot {
            atomic_file::write(path, |mut file| file.write_all(plot::svg(&benchmark).as_bytes()))
                .with_context(|| format!("plot `{}`", path.display()))?;
        }
        match self.format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &benchmark)?;
                writeln!(out)?;
            }
            _ => self.print(out, &table::of_benchmark(&benchmark), &foot(&benchmark))?,
        }
        out.flush()?;
        verdict(&benchmark)
    }

    /// The bundle, and the folder that it lies in while it is needed, where it is made here.
    fn bundle(&self) -> anyhow::Result<(PathBuf, Option<TemporaryFolder>)> {
        if let Some(bundle) = &self.bundle {
            return Ok((bundle.clone(), None));
        }
        if !self.random_weights {
            return Err(Usage("no model: name a bundle, or give --random-weights".to_owned()).into());
        }
        let folder = TemporaryFolder::new().context("a temporary folder")?;
        let bundle = folder.path().join("random-weights");
        let write = segvol_converter::seeded::write(folder.path(), &Architecture::RELEASED, &BTreeMap::new());
        let checkpoint = write.with_context(|| format!("random weights in `{}`", folder.path().display()))?;
        segvol_converter::convert(&checkpoint, &bundle, &segvol_converter::Options::default())?;
        std::fs::remove_file(&checkpoint)?;
        Ok((bundle, Some(folder)))
    }

    fn thread_counts(&self) -> Vec<Option<usize>> {
        if self.threads.is_empty() { vec![None] } else { self.threads.iter().copied().map(Some).collect() }
    }

    fn run_jobs(&self, out: &mut impl Write, bundle: &Path, job: &Path, scan: &Path) -> anyhow::Result<()> {
        read_prompts(job)?;
        let machine = Machine::look();
        let mut warnings = machine.warnings();
        let mut jobs = BTreeMap::new();
        let bar = progress();
        let objects = std::fs::read_to_string(job)?;
        let combinations = self.provider.iter().flat_map(|&provider| {
            self.precision.iter().flat_map(move |&precision| {
                self.thread_counts().into_iter().map(move |threads| (provider, precision, threads))
            })
        });
        for (provider, precision, threads) in combinations {
            let threads_name = threads.map_or_else(String::new, |threads| format!(", {threads} threads"));
            let name = format!("{provider} {precision}{threads_name}");
            bar.set_message(format!("job on {name}"));
            let job = Job {
                bundle: bundle.to_owned(),
                scan: scan.to_owned(),
                objects: objects.clone(),
                provider,
                provider_options: self.provider_option.clone(),
                precision: Some(precision),
                threads,
                library: Libraries::new(self.library.clone()).of(provider, &here()),
                runs: self.runs,
                warm_up: self.warm_up,
            };
            match Worker::start(&this_program()?)?.ask(&Request::Job(job))? {
                Reply::Job(run) => {
                    let summary = segvol_measure::statistics::Summary::of(&run.total_ms);
                    warnings
                        .extend(summary.and_then(|summary| segvol_measure::noise::scatter_warning(&name, &summary)));
                    jobs.insert(name, *run);
                }
                Reply::Failed { reason, provider_missing } => {
                    let code = provider_missing.then_some(i32::from(crate::exit::PROVIDER));
                    return Err(Child { message: format!("{name}: {reason}"), code }.into());
                }
                other => anyhow::bail!("an unexpected reply: {other:?}"),
            }
        }
        bar.finish_and_clear();
        if let Format::Json = self.format {
            serde_json::to_writer_pretty(&mut *out, &Jobs { machine, jobs, warnings })?;
            return Ok(writeln!(out)?);
        }
        for (name, run) in &jobs {
            let memory =
                run.peak_resident_bytes.map_or_else(String::new, |b| format!(", {:.0} MB at most", b as f64 / 1e6));
            let line = format!(
                "{name}: {} objects, {} windows encoded, bundle opened in {:.0} ms{memory}",
                run.objects, run.windows, run.open_ms
            );
            self.print(out, &table::of_job(name, run), &[line])?;
        }
        for warning in warnings {
            self.print_line(out, &format!("warning: {warning}"))?;
        }
        Ok(())
    }

    fn print(&self, out: &mut impl Write, table: &Table, foot: &[String]) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Md => table.to_markdown(),
            Format::Csv => table.to_csv(),
            Format::Table | Format::Json => table.to_text(),
        };
        write!(out, "{text}")?;
        for line in foot {
            self.print_line(out, line)?;
        }
        Ok(())
    }

    /// A line beside a table; programs that read comma-separated values get it on standard error.
    fn print_line(&self, out: &mut impl Write, line: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Csv => writeln!(std::io::stderr(), "{line}")?,
            Format::Md => writeln!(out, "\n{line}")?,
            Format::Table | Format::Json => writeln!(out, "{line}")?,
        }
        Ok(())
    }
}

/// What stands under the table: the peak, and what makes the times doubtful.
fn foot(benchmark: &Benchmark) -> Vec<String> {
    let peaks = benchmark.peaks.iter().map(|peak| {
        let threads = peak.threads.map_or_else(|| "all threads".to_owned(), |threads| format!("{threads} threads"));
        let [m, k, n] = peak.shape;
        format!("matrix-product peak, float32, {threads}: {:.0} GFLOP/s ({m} x {k} x {n})", peak.gflops)
    });
    let warnings = benchmark.warnings.iter().map(|warning| format!("warning: {warning}"));
    let options = benchmark.provider_options.iter().map(|option| format!("provider option: {option}"));
    std::iter::once("times in milliseconds".to_owned()).chain(options).chain(peaks).chain(warnings).collect()
}

/// Wrong numbers weigh more than a missing provider, and that more than another failure.
fn verdict(benchmark: &Benchmark) -> anyhow::Result<()> {
    let label = |row: &segvol_measure::row::Row| row.variant.label();
    let wrong = benchmark.rows.iter().find(|row| matches!(row.outcome, Outcome::Wrong { .. }));
    if let Some(row) = wrong {
        return Err(NotEqual(format!("{}: wrong numbers, not timed", label(row))).into());
    }
    let mut failed: Option<Child> = None;
    for row in &benchmark.rows {
        if let Outcome::Failed { reason, provider_missing } = &row.outcome
            && (failed.is_none() || *provider_missing)
        {
            let code = provider_missing.then_some(i32::from(crate::exit::PROVIDER));
            failed = Some(Child { message: format!("{}: {reason}", label(row)), code });
        }
    }
    failed.map_or(Ok(()), |failed| Err(failed.into()))
}

fn progress() -> ProgressBar {
    if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() }
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Self {
        match name {
            StageName::ImageEncoder => Self::ImageEncoder,
            StageName::TextEncoder => Self::TextEncoder,
            StageName::PromptEncoder => Self::PromptEncoder,
            StageName::MaskDecoder => Self::MaskDecoder,
        }
    }
}
