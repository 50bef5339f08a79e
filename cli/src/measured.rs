//! Options about stored benchmarks, by which `auto` chooses.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use segvol::{Measured, MeasuredRow, Model, Options, Provider};
use segvol_base::printable;
use segvol_tuning::{Expected, Run};

use crate::exit::Usage;
use crate::outputs::Files;
use crate::warnings::Printer;

/// Whether `auto` chooses by a stored benchmark, and where it is.
#[derive(Debug, clap::Args)]
pub(crate) struct MeasuredArguments {
    /// Folder with what `segvol bench --save` stored; `auto` chooses provider and precision by what was measured with this bundle
    /// on this machine [default: $SEGVOL_HOME/bench, else segvol/bench in the user's data folder]
    #[arg(long, value_name = "DIR", help_heading = "Machine")]
    bench_results: Option<PathBuf>,
    /// Let `auto` choose without what `segvol bench --save` stored
    #[arg(long, conflicts_with = "bench_results", help_heading = "Machine")]
    no_bench_results: bool,
}

impl MeasuredArguments {
    /// The options with what is stored about this bundle on this machine.
    pub(crate) fn apply(&self, bundle: &Path, options: Options, warnings: &mut Printer) -> anyhow::Result<Options> {
        let Some(folder) = self.folder() else { return Ok(options) };
        let found = segvol_tuning::look_up(&folder, bundle, &options).map_err(segvol::Error::from)?;
        warnings.print_all(&found.warnings);
        Ok(found.apply(options))
    }

    /// What was measured about an open model on this machine.
    pub(crate) fn expected(&self, model: &Model) -> Option<Expected> {
        segvol_tuning::expected(&self.folder()?, model.manifest_sha256(), &Run::of(model)?)
    }

    fn folder(&self) -> Option<PathBuf> {
        if self.no_bench_results { None } else { folder(self.bench_results.as_deref()) }
    }

    /// Refuses a named folder that is none, or that the provider has no use for. Adds the stored benchmarks to the files that no
    /// output may replace.
    pub(crate) fn check(&self, provider: Provider, files: &mut Files) -> Result<(), Usage> {
        if let Some(named) = &self.bench_results {
            if provider != Provider::Auto {
                return Err(Usage(format!("--bench-results: expected provider auto, found {provider}")));
            }
            if !named.is_dir() {
                return Err(Usage(format!("--bench-results `{}`: there is no such folder", named.display())));
            }
        }
        let entries = self.folder().and_then(|folder| std::fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().flatten() {
            files.input("--bench-results (a stored benchmark)", &entry.path());
        }
        Ok(())
    }
}

/// The named folder, or the user's.
pub(crate) fn folder(named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(segvol_tuning::folder)
}

/// The folder to store a benchmark in.
pub(crate) fn folder_to_save(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    folder(named).context("no home folder to store the benchmark in: give --bench-results DIR, or set SEGVOL_HOME")
}

/// What a row is, in words.
fn describe(row: &MeasuredRow) -> String {
    let options =
        if row.provider_options.is_empty() { String::new() } else { format!(" ({})", row.provider_options.join(", ")) };
    let dice = row.dice.map_or_else(String::new, |dice| format!(", Dice {dice:.4}"));
    format!("{} {}{options}, {:.1} ms a window{dice}", row.provider, row.precision, row.encode_ms)
}

/// What `auto` will choose by a stored benchmark, one line for each row.
pub(crate) fn lines(measured: &Measured) -> Vec<String> {
    let mut lines = vec![format!("stored in {}", measured.file)];
    match measured.chosen() {
        Some(row) => lines.push(format!("auto chooses {}", describe(row))),
        None => lines.push(format!("auto chooses none of them: {}", measured.reason.as_deref().unwrap_or("no row"))),
    }
    let others = measured.rows.iter().filter_map(|row| Some((row, row.reason.as_ref()?)));
    lines.extend(others.map(|(row, reason)| format!("  not {}: {reason}", describe(row))));
    lines
}

/// Prints why a provider and precision were chosen by measurement, below the summary of a run.
pub(crate) fn summarise(out: &mut impl Write, measured: Option<&Measured>) -> std::io::Result<()> {
    match measured.and_then(Measured::chosen) {
        Some(row) => writeln!(out, "chosen by measurement: {}", printable(&describe(row))),
        None => Ok(()),
    }
}
