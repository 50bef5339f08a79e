//! The command `segvol`: one file per subcommand. It reads options, calls the libraries, and prints; it computes nothing.

#![forbid(unsafe_code)]

mod bench;
mod calibration;
mod cohort;
mod cohort_dicom;
mod cohort_ids;
mod cohort_summary;
mod cohort_tables;
mod compare;
mod completions;
mod convert;
mod copy;
mod embed;
mod eval;
mod eval_cases;
mod eval_files;
mod eval_report;
mod eval_warnings;
mod exit;
mod hints;
mod inspect;
mod inspect_scans;
mod interrupt;
mod label_files;
mod log;
mod machine;
mod manual;
mod maps;
mod measured;
mod measuring;
mod names;
mod object_files;
mod outputs;
mod picture;
mod plan;
mod postprocessing;
mod progress;
mod prompts;
mod providers;
mod segfm;
mod segment;
#[cfg_attr(not(feature = "dicom"), path = "segment_files_without.rs")]
mod segment_files;
#[cfg(feature = "server")]
mod serve;
mod settings;
mod setup;
mod swapped;
mod text;
mod verify;
mod version;
mod warnings;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

/// Segment CT scans with SegVol: convert a checkpoint to ONNX, then segment by name, points and boxes
#[derive(Parser)]
#[command(name = "segvol", version, after_help = exit::HELP)]
struct Arguments {
    /// Print more on standard error (-v: progress of the work, -vv: also messages of ONNX Runtime); RUST_LOG adds to it
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// Layout of standard error: lines, or one JSON object per line, also for warnings and errors
    #[arg(long, value_enum, default_value_t = log::LogFormat::Text, global = true, value_name = "FORMAT")]
    log_format: log::LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Convert),
    Inspect(inspect::Inspect),
    Names(names::Names),
    Providers(providers::Providers),
    Setup(setup::Setup),
    Copy(copy::Copy),
    Segment(Box<segment::Segment>),
    Embed(Box<embed::Embed>),
    Eval(Box<eval::Eval>),
    Cohort(Box<cohort::Cohort>),
    Segfm(segfm::Segfm),
    #[cfg(feature = "server")]
    Serve(Box<serve::Serve>),
    Compare(compare::Compare),
    Verify(Box<verify::Verify>),
    Bench(Box<bench::Bench>),
    Completions(completions::Completions),
    Man(manual::Man),
    #[command(hide = true)]
    MeasureWorker(bench::MeasureWorker),
}

/// Standard output; its errors say that they concern standard output. If its reader closes the pipe, as in
/// `segvol inspect | head`, the rest is dropped, and the command ends with the exit code that it would have had.
struct StandardOutput {
    out: std::io::StdoutLock<'static>,
    closed: bool,
}

impl StandardOutput {
    fn checked<T>(&mut self, done: std::io::Result<T>, dropped: T) -> std::io::Result<T> {
        match done {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(dropped)
            }
            done => done.map_err(|error| std::io::Error::new(error.kind(), format!("standard output: {error}"))),
        }
    }
}

impl std::io::Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let done = self.out.write(bytes);
        self.checked(done, bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let done = self.out.flush();
        self.checked(done, ())
    }
}

/// Starts the worker threads. If there is not enough memory for them, this fails here, before any work.
fn start_threads() -> anyhow::Result<()> {
    // Without a number, the variable RAYON_NUM_THREADS counts.
    let mut pool = rayon::ThreadPoolBuilder::new();
    if std::env::var_os("RAYON_NUM_THREADS").is_none() {
        pool = pool.num_threads(segvol_base::machine::Processors::now().usable());
    }
    pool.build_global().context("cannot start threads")
}

fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| version::answer(&error));
    if let Err(reason) = log::begin(arguments.verbose, arguments.log_format) {
        return exit::report(&exit::Usage(reason).into());
    }
    let watching = match arguments.command {
        Command::MeasureWorker(_) => interrupt::watch_measuring_process(),
        _ => interrupt::watch(),
    };
    if let Err(error) = watching {
        return exit::report(&error.into());
    }
    if let Err(error) = start_threads() {
        return exit::report(&error);
    }
    let mut out = StandardOutput { out: std::io::stdout().lock(), closed: false };
    let result = match arguments.command {
        Command::Convert(convert) => convert.run(&mut out),
        Command::Inspect(inspect) => inspect.run(&mut out),
        Command::Names(names) => names.run(&mut out),
        Command::Providers(providers) => providers.run(&mut out),
        Command::Setup(setup) => setup.run(&mut out),
        Command::Copy(copy) => copy.run(&mut out),
        Command::Segment(segment) => segment.run(&mut out),
        Command::Embed(embed) => embed.run(&mut out),
        Command::Eval(eval) => eval.run(&mut out),
        Command::Cohort(cohort) => cohort.run(&mut out),
        Command::Segfm(segfm) => segfm.run(&mut out),
        #[cfg(feature = "server")]
        Command::Serve(serve) => serve.run(&mut out),
        Command::Compare(compare) => compare.run(&mut out),
        Command::Verify(verify) => verify.run(&mut out),
        Command::Bench(bench) => bench.run(&mut out),
        Command::Completions(completions) => completions.run(Arguments::command(), &mut out),
        Command::Man(man) => man.run(Arguments::command(), &mut out),
        // Its reader is the process that measures: without it, there is nothing to do.
        Command::MeasureWorker(worker) => worker.run(&mut out.out),
    };
    let result = result.and_then(|()| Ok(out.flush()?));
    interrupt::settle();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
