//! The command `segvol`: one file per subcommand, no logic of its own.

mod bench;
mod convert;
mod eval;
mod exit;
mod inspect;
mod measuring;
mod picture;
mod providers;
mod segment;
mod settings;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// SegVol in production: convert a checkpoint to ONNX, segment a CT with text, points and boxes
#[derive(Parser)]
#[command(name = "segvol", version, after_help = exit::HELP)]
struct Arguments {
    /// Say more on standard error (-v: what is done, -vv: what ONNX Runtime says)
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match arguments.verbose {
        0 => "error",
        1 => "segvol=info,warn",
        _ => "debug",
    };
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let mut out = std::io::stdout().lock();
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
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
