//! The next step after an error, in terms of this command's options. The libraries do not know these.

use segvol::{Error, PromptError};
use segvol_base::ErrorKind;
use segvol_calibration::CalibrationError;
use segvol_converter::ConvertError;
use segvol_evaluation::EvaluationError;
use segvol_onnx::BundleError;

/// What to try next; `None` if the message says it all.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref() {
        return of_run(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_conversion(error);
    }
    match error.downcast_ref() {
        Some(CalibrationError::Run(error)) => return of_run(error),
        Some(CalibrationError::Scan { source, .. }) => return of_run(source),
        Some(CalibrationError::Convert(error)) => return of_conversion(error),
        Some(_) | None => {}
    }
    match error.downcast_ref() {
        Some(segvol_measure::Error::Run(error)) => return of_run(error),
        Some(segvol_measure::Error::Reported { kind: ErrorKind::Provider, .. }) => {
            return Some("`segvol providers` shows what is available; --library names a library".to_owned());
        }
        Some(_) | None => {}
    }
    if let Some(EvaluationError::OtherRun { .. } | EvaluationError::Busy { .. }) = error.downcast_ref() {
        return Some("--work names another work file".to_owned());
    }
    error.downcast_ref().and_then(of_bundle)
}

fn of_run(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Library { .. } => {
            "name the library with --library or ORT_DYLIB_PATH, or fetch it with scripts/get-onnxruntime".to_owned()
        }
        Error::ProviderMissing { .. } => "`segvol providers` shows what is available".to_owned(),
        Error::ProviderFailed { stage, .. } => format!(
            "`segvol providers` shows what is available; --stage-provider {stage}=cpu runs only this stage on the CPU"
        ),
        Error::Prompt(PromptError::OutsideScan { .. }) => {
            "--space (or \"space\" in an objects file) says whether the numbers are voxels or millimetres".to_owned()
        }
        Error::Bundle(error) => return of_bundle(error),
        _ => return None,
    };
    Some(hint)
}

fn of_bundle(error: &BundleError) -> Option<String> {
    match error {
        BundleError::MissingPrecision { asked, .. } => {
            Some(format!("`segvol convert --precision {asked}` makes a bundle with this precision"))
        }
        BundleError::NotABundle { .. } => Some("`segvol convert` makes a bundle of a checkpoint".to_owned()),
        _ => None,
    }
}

fn of_conversion(error: &ConvertError) -> Option<String> {
    let hint = match error {
        ConvertError::OutputExists { .. } => "--force replaces the bundle",
        ConvertError::Size { .. } => "--config names a file with the sizes of another model",
        ConvertError::NoTokenizer { .. } | ConvertError::Tokenizer { .. } => {
            "--tokenizer names the tokenizer's file or folder"
        }
        ConvertError::Bundle(error) => return of_bundle(error),
        _ => return None,
    };
    Some(hint.to_owned())
}
