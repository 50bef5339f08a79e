//! Exit codes: what kind of thing went wrong, for scripts.

use std::io::Write as _;
use std::process::ExitCode;

use segvol::VolumeError;
use segvol_base::ErrorKind;
use segvol_calibration::CalibrationError;
use segvol_converter::error::TensorFault;
use segvol_converter::{CheckpointError, ConvertError};
use segvol_evaluation::{CaseListError, EvaluationError};
use segvol_onnx::BundleError;
use segvol_overlay::OverlayError;

/// The exit codes, for the help text.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed while running; of `eval`: some cases have no scores
  2    wrong usage
  3    a comparison failed: too far from the reference (`verify`, `bench`), or below its threshold
       (`eval --against --min-dice`)
  4    the provider, or ONNX Runtime itself, cannot be had
  5    bad input: a checkpoint, scan, prompt or tokenizer that cannot be used
  6    bad bundle: damaged, incomplete, or not one
  130  interrupted (143: told to end)";

const RUN_TIME: u8 = 1;
/// As clap uses it.
const USAGE: u8 = 2;
const COMPARISON: u8 = 3;
const PROVIDER: u8 = 4;
const INPUT: u8 = 5;
const BUNDLE: u8 = 6;

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

/// A comparison that fell below its threshold.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BelowThreshold(pub(crate) String);

/// Numbers too far from the reference's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotEqual(pub(crate) String);

/// Prints an error with its causes on standard error and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let broken_pipe = error.downcast_ref::<std::io::Error>();
    if broken_pipe.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS; // The reader has what it wanted, as with `segvol inspect | head`.
    }
    // A cause that the message above it has quoted already is not said twice.
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    // Nothing can be done where standard error is closed too.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || error.is::<segvol::ProviderOptionError>() {
        return USAGE;
    }
    if error.is::<BelowThreshold>() || error.is::<NotEqual>() {
        return COMPARISON;
    }
    if error.is::<BadInput>() || error.is::<CaseListError>() {
        return INPUT;
    }
    if let Some(error) = error.downcast_ref::<EvaluationError>() {
        return evaluation_code(error);
    }
    if error.is::<BundleError>() {
        return BUNDLE;
    }
    if let Some(error) = error.downcast_ref::<ConvertError>() {
        return convert_code(error);
    }
    match error.downcast_ref::<OverlayError>() {
        Some(OverlayError::Io { .. } | OverlayError::Memory { .. }) => return RUN_TIME,
        Some(OverlayError::Grid { .. }) => return INPUT,
        Some(_) => return USAGE,
        None => {}
    }
    if let Some(error) = error.downcast_ref::<segvol_measure::Error>() {
        return kind_code(error.kind());
    }
    if let Some(error) = error.downcast_ref::<CalibrationError>() {
        return match error {
            CalibrationError::NoScans { .. } => INPUT,
            CalibrationError::Scan { source, .. } => run_code(source),
            CalibrationError::Run(error) => run_code(error),
            CalibrationError::Convert(error) => convert_code(error),
            _ => RUN_TIME,
        };
    }
    error.downcast_ref::<segvol::Error>().map_or(RUN_TIME, run_code)
}

fn run_code(error: &segvol::Error) -> u8 {
    use segvol::{Error, TruthError};
    match error {
        Error::Bundle(_) => BUNDLE,
        Error::Library { .. } | Error::ProviderMissing { .. } | Error::ProviderFailed { .. } => PROVIDER,
        Error::Volume(error) | Error::Truth(TruthError::Volume(error)) if no_room(error) => RUN_TIME,
        Error::Truth(TruthError::Memory { .. }) => RUN_TIME,
        Error::Volume(_) | Error::Intensity(_) | Error::Prompt(_) | Error::Truth(_) | Error::Tokenizer(_) => INPUT,
        Error::Setting { .. } => USAGE,
        _ => RUN_TIME,
    }
}

/// Whether a file could be used, but there is no memory for it.
fn no_room(error: &VolumeError) -> bool {
    use segvol::nifti::NiftiError;
    matches!(error, VolumeError::File { source: NiftiError::Memory { .. }, .. } | VolumeError::Memory { .. })
}

fn evaluation_code(error: &EvaluationError) -> u8 {
    match error {
        EvaluationError::Setting { .. } | EvaluationError::OtherRun { .. } => USAGE,
        EvaluationError::Damaged { .. } | EvaluationError::NoObject { .. } => INPUT,
        _ => RUN_TIME,
    }
}

fn kind_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => USAGE,
        ErrorKind::Input => INPUT,
        ErrorKind::Bundle => BUNDLE,
        ErrorKind::Provider => PROVIDER,
        ErrorKind::Memory | ErrorKind::Cancelled | ErrorKind::Runtime => RUN_TIME,
    }
}

fn convert_code(error: &ConvertError) -> u8 {
    match error {
        ConvertError::OutputExists { .. } | ConvertError::OutputNotABundle { .. } => USAGE,
        ConvertError::Output { .. } => RUN_TIME,
        ConvertError::Checkpoint(CheckpointError::Memory { .. }) => RUN_TIME,
        ConvertError::Checkpoint(CheckpointError::Tensors { faults, .. })
            if faults.0.iter().any(|fault| matches!(fault, TensorFault::Memory { .. })) =>
        {
            RUN_TIME
        }
        ConvertError::Bundle(_) => BUNDLE,
        _ => INPUT,
    }
}
