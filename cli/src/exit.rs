//! Exit codes: which kind of failure it was, for scripts.

use std::io::ErrorKind as ErrorKindOfIo;
use std::process::ExitCode;

use segvol_base::{ErrorKind, printable};
use segvol_calibration::CalibrationError;
use segvol_cohort::CohortError;
use segvol_converter::ConvertError;
use segvol_evaluation::{CaseListError, EvaluationError, ResultsFileError};
use segvol_objects::SaveError;
use segvol_onnx::BundleError;
use segvol_overlay::OverlayError;
use segvol_segfm::SegfmError;
use serde_json::json;

use crate::log::Level;
use crate::setup::SetupError;
use crate::{hints, interrupt, log};

/// The exit codes, for the help text.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success
  1    failed while running; for `eval` and `segfm`: some cases failed; for `cohort`: some scans failed
  2    wrong usage
  3    a comparison failed: too far from the reference (`verify`, `bench`), or below the threshold
       (`eval --against --min-dice`)
  4    the provider, or ONNX Runtime itself, is not available
  5    bad input: a checkpoint, scan, prompt or tokenizer that cannot be used
  6    bad bundle: damaged, incomplete, or not a bundle
  7    there were warnings (`--fail-on-warning`); all outputs are written
  8    more scans failed than `cohort --max-failures` allows
  130  interrupted (143: terminated)";

const RUNTIME: u8 = 1;
/// The code that clap uses.
const USAGE: u8 = 2;
const COMPARISON: u8 = 3;
const PROVIDER: u8 = 4;
const INPUT: u8 = 5;
const BUNDLE: u8 = 6;
const WARNED: u8 = 7;
const TOO_MANY_FAILURES: u8 = 8;

/// A mistake in the arguments that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// The error that says why objects were not written: exit codes and hints go by it.
pub(crate) fn unwrapped(error: SaveError) -> anyhow::Error {
    match error {
        SaveError::Segvol(error) => error.into(),
        SaveError::Segments(error) => error.into(),
    }
}

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
///
/// Control characters are escaped: a message may contain names from a file.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS; // The reader has seen enough, as in `segvol inspect | head`.
    }
    // A cause that the message above it already contains is not repeated.
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    let message = if has_lines(error) {
        message.lines().map(printable).collect::<Vec<_>>().join("\n")
    } else {
        printable(&message).into_owned()
    };
    let code = interrupt::ended().unwrap_or_else(|| code(error));
    let mut fields = json!({"exit_code": code});
    let mut text = format!("error: {message}");
    if let Some(hint) = hints::of(error) {
        let hint = printable(&hint);
        text = format!("{text}\nhint: {hint}");
        fields["hint"] = hint.into_owned().into();
    }
    log::say(Level::Error, &text, &message, fields);
    ExitCode::from(code)
}

/// Whether the message has line breaks of its own. Any other line break is that of a name.
fn has_lines(error: &anyhow::Error) -> bool {
    error.is::<segvol::ProviderOptionError>()
        || matches!(error.downcast_ref(), Some(segvol_measure::Error::ProviderOption(_)))
}

/// Whether any cause is that the reader of a pipe has closed it.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |kind| kind == Some(ErrorKindOfIo::BrokenPipe);
    error.chain().any(|cause| {
        closed(cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind))
            || closed(cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind))
    })
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
    if let Some(CohortError::TooManyFailures { .. }) = error.downcast_ref() {
        return TOO_MANY_FAILURES;
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
        .or_else(|| of(error, SetupError::kind))
        .or_else(|| of(error, CaseListError::kind))
        .or_else(|| of(error, EvaluationError::kind))
        .or_else(|| of(error, ResultsFileError::kind))
        .or_else(|| of(error, CohortError::kind))
        .or_else(|| of(error, segvol::Error::kind))
        .or_else(|| of(error, segvol::postprocess::PostprocessError::kind))
        .or_else(|| of(error, segvol_embed::EmbedError::kind))
        .or_else(|| of(error, segvol::ProviderOptionError::kind))
        .or_else(|| of(error, BundleError::kind))
        .or_else(|| of(error, ConvertError::kind))
        .or_else(|| of(error, segvol_names::NamesError::kind))
        .or_else(|| of(error, CalibrationError::kind))
        .or_else(|| of(error, OverlayError::kind))
        .or_else(|| of(error, SegfmError::kind))
        .or_else(|| of(error, segvol_segments::SegmentsError::kind))
        .or_else(|| of(error, segvol_measure::Error::kind))
        .or_else(|| of(error, segvol_measure::RecordError::kind))
        .unwrap_or(ErrorKind::Runtime)
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_closed_pipe_is_found_behind_every_cause() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let json = serde_json::to_writer(Closed, &[1]).expect_err("closed");
        let rows = Err::<(), _>(closed()).context("rows `a`").expect_err("closed");
        let file = EvaluationError::Io { path: "rows.csv".into(), source: closed() };
        for error in [closed().into(), json.into(), rows, file.into()] {
            assert!(is_closed_pipe(&error), "{error:?}");
        }
        assert!(!is_closed_pipe(&Usage("no input".to_owned()).into()));
        assert!(!is_closed_pipe(&io::Error::from(io::ErrorKind::StorageFull).into()));
    }
}
