//! Exit codes: which kind of failure it was, for scripts.

use std::io::Write as _;
use std::process::ExitCode;

use segvol_base::ErrorKind;
use segvol_calibration::CalibrationError;
use segvol_converter::ConvertError;
use segvol_evaluation::{CaseListError, EvaluationError};
use segvol_onnx::BundleError;
use segvol_overlay::OverlayError;

use crate::hints;

/// The exit codes, for the help text.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success
  1    failed while running; for `eval`: some cases have no scores
  2    wrong usage
  3    a comparison failed: too far from the reference (`verify`, `bench`), or below the threshold
       (`eval --against --min-dice`)
  4    the provider, or ONNX Runtime itself, is not available
  5    bad input: a checkpoint, scan, prompt or tokenizer that cannot be used
  6    bad bundle: damaged, incomplete, or not a bundle
  7    there were warnings (`--fail-on-warning`); all outputs are written
  130  interrupted (143: terminated)";

const RUNTIME: u8 = 1;
/// The code that clap uses.
const USAGE: u8 = 2;
const COMPARISON: u8 = 3;
const PROVIDER: u8 = 4;
const INPUT: u8 = 5;
const BUNDLE: u8 = 6;
const WARNED: u8 = 7;

/// A mistake in the arguments that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// An input file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub(crate) struct BadInput {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// A comparison below its threshold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BelowThreshold(pub(crate) String);

/// Warnings that the user does not accept.
#[derive(Debug, thiserror::Error)]
#[error("there were warnings, and --fail-on-warning was given: {0}")]
pub(crate) struct Warned(pub(crate) String);

/// Numbers too far from the reference's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotEqual(pub(crate) String);

/// Prints an error with its causes, and a hint if there is one, on standard error. Returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = error.downcast_ref::<std::io::Error>();
    if broken_pipe.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS; // The reader has closed the pipe, as in `segvol inspect | head`.
    }
    // A cause that the message above it already contains is not repeated.
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    let hint = hints::of(error).map_or_else(String::new, |hint| format!("hint: {hint}\n"));
    // If standard error is closed, there is nowhere to report it.
    let _ = write!(std::io::stderr(), "error: {message}\n{hint}");
    ExitCode::from(code(error))
}

/// The exit code of each kind of failure.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => USAGE,
        ErrorKind::Input => INPUT,
        ErrorKind::Bundle => BUNDLE,
        ErrorKind::Provider => PROVIDER,
        ErrorKind::Memory | ErrorKind::Cancelled | ErrorKind::Runtime => RUNTIME,
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<BelowThreshold>() || error.is::<NotEqual>() {
        return COMPARISON;
    }
    if error.is::<Warned>() {
        return WARNED;
    }
    exit_code(kind(error))
}

/// The kind of the command's own errors, and of those of every library that it calls. Anything else, such as an error of the
/// operating system, happens at run time.
fn kind(error: &anyhow::Error) -> ErrorKind {
    fn of<E: std::error::Error + Send + Sync + 'static>(
        error: &anyhow::Error,
        kind: fn(&E) -> ErrorKind,
    ) -> Option<ErrorKind> {
        error.downcast_ref().map(kind)
    }
    of(error, |_: &Usage| ErrorKind::Usage)
        .or_else(|| of(error, |_: &BadInput| ErrorKind::Input))
        .or_else(|| of(error, CaseListError::kind))
        .or_else(|| of(error, EvaluationError::kind))
        .or_else(|| of(error, segvol::Error::kind))
        .or_else(|| of(error, segvol::ProviderOptionError::kind))
        .or_else(|| of(error, BundleError::kind))
        .or_else(|| of(error, ConvertError::kind))
        .or_else(|| of(error, segvol_names::NamesError::kind))
        .or_else(|| of(error, CalibrationError::kind))
        .or_else(|| of(error, OverlayError::kind))
        .or_else(|| of(error, segvol_measure::Error::kind))
        .or_else(|| of(error, segvol_measure::RecordError::kind))
        .unwrap_or(ErrorKind::Runtime)
}
