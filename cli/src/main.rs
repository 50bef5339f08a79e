//! The command `segvol`: one file per subcommand. It reads options, calls the libraries, and prints; it computes nothing.

mod bench;
mod convert;
mod eval;
mod exit;
mod hints;
mod inspect;
mod interrupt;
mod measuring;
mod picture;
mod prompts;
mod providers;
mod segment;
mod settings;
mod swapped;
mod text;
mod verify;
mod warnings;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Segment CT scans with SegVol: convert a checkpoint to ONNX, then segment by name, points and boxes
#[derive(Parser)]
#[command(name = "segvol", version, after_help = exit::HELP)]
struct Arguments {
    /// Print more on standard error (-v: progress of the work, -vv: also messages of ONNX Runtime)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Convert),
    Inspect(inspect::Inspect),
    Providers(providers::Providers),
    Segment(Box<segment::Segment>),
    Eval(Box<eval::Eval>),
    Verify(Box<verify::Verify>),
    Bench(Box<bench::Bench>),
    #[command(hide = true)]
    MeasureWorker(bench::MeasureWorker),
}

/// ONNX Runtime's wheels contain a telemetry client since 1.32, which writes a session number before the library's own
/// switch can turn it off. It checks this variable first.
#[allow(unsafe_code, reason = "the standard library has no other way to set a variable of this process")]
fn turn_telemetry_off() {
    // SAFETY: the first statement of the program: there is no other thread that could read the environment.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

/// Standard output; its errors say that they concern standard output.
struct StandardOutput(std::io::StdoutLock<'static>);

impl StandardOutput {
    fn named(error: std::io::Error) -> std::io::Error {
        std::io::Error::new(error.kind(), format!("standard output: {error}"))
    }
}

impl std::io::Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(Self::named)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().map_err(Self::named)
    }
}

/// Starts the worker threads. If there is not enough memory for them, this fails here, before any work.
fn start_threads() -> anyhow::Result<()> {
    rayon::ThreadPoolBuilder::new().build_global().context("cannot start threads")
}

fn main() -> ExitCode {
    turn_telemetry_off();
    let arguments = Arguments::parse();
    let level = match arguments.verbose {
        0 => "error",
        1 => "segvol=info,warn",
        _ => "debug",
    };
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
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
    let mut out = StandardOutput(std::io::stdout().lock());
    let result = match arguments.command {
        Command::Convert(convert) => convert.run(&mut out),
        Command::Inspect(inspect) => inspect.run(&mut out),
        Command::Providers(providers) => providers.run(&mut out),
        Command::Segment(segment) => segment.run(&mut out),
        Command::Eval(eval) => eval.run(&mut out),
        Command::Verify(verify) => verify.run(&mut out),
        Command::Bench(bench) => bench.run(&mut out),
        Command::MeasureWorker(worker) => worker.run(&mut out),
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn options_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
