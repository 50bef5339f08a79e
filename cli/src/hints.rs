//! The next step after an error, in terms of this command's options. The libraries do not know these.

use std::path::Path;

use segvol::nifti::NiftiError;
use segvol::probe::flavour_of;
#[cfg(feature = "dicom")]
use segvol::volume::dicom::DicomError;
use segvol::volume::format::{Kind, recognise_path};
use segvol::{Error, PromptError, TruthError, VolumeError};
use segvol_base::ErrorKind;
use segvol_calibration::CalibrationError;
use segvol_cohort::CohortError;
use segvol_converter::error::TensorFault;
use segvol_converter::{CheckpointError, ConvertError};
use segvol_evaluation::{Advice, CaseListError, EvaluationError, ResultsFileError};
use segvol_onnx::BundleError;
use segvol_onnx::manifest::MANIFEST_FILE;
use segvol_segments::SegmentsError;

use crate::setup::SetupError;

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
    if let Some(segvol_embed::EmbedError::Segvol(error)) = error.downcast_ref() {
        return of_run(error);
    }
    if let Some(CohortError::Exists { .. }) = error.downcast_ref() {
        return Some("--resume goes on with it".to_owned());
    }
    if let Some(EvaluationError::OtherRun { .. } | EvaluationError::Busy { .. }) = error.downcast_ref() {
        return Some("--work names another work file".to_owned());
    }
    if let Some(error) = error.downcast_ref::<SegmentsError>() {
        return of_segments(error).map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<CaseListError>() {
        return error.advice.map(|advice| of_cases(advice).to_owned());
    }
    if let Some(ResultsFileError::Contents { .. }) = error.downcast_ref() {
        return Some("`segvol eval -o FILE.json` writes such a file".to_owned());
    }
    if let Some(error) = error.downcast_ref::<SetupError>() {
        if error.kind() == ErrorKind::Input {
            return None; // The message names the wheel.
        }
        return Some(match &error.wheel {
            Some(wheel) => format!(
                "download {wheel} from pypi.org on another machine; --wheel takes it, or unpack it and set ORT_DYLIB_PATH to its \
                 folder onnxruntime/capi"
            ),
            None => "set ORT_DYLIB_PATH to an ONNX Runtime 1.24 or later, or to the folder that has it".to_owned(),
        });
    }
    error.downcast_ref().and_then(of_bundle)
}

fn of_run(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Library { .. } => {
            "name the library or its folder with --library or ORT_DYLIB_PATH, or fetch it with `segvol setup cpu`"
                .to_owned()
        }
        Error::ProviderMissing { provider, .. } => match flavour_of(*provider) {
            Some(flavour) => format!(
                "`segvol setup {flavour}` fetches a library with this provider; `segvol providers` shows what is available"
            ),
            None => "`segvol providers` shows what is available".to_owned(),
        },
        Error::ProviderFailed { stage, .. } => format!(
            "`segvol providers` shows what is available; --stage-provider {stage}=cpu runs only this stage on the CPU"
        ),
        Error::Prompt(PromptError::OutsideScan { .. }) => {
            "--space (or \"space\" in an objects file) says whether the numbers are voxels or millimetres".to_owned()
        }
        error if is_mirrored(error) => {
            "--affine sform or --affine qform chooses; with the right one, the liver is on the patient's right"
                .to_owned()
        }
        Error::Bundle(error) => return of_bundle(error),
        Error::Volume(error) => return of_scan(error),
        _ => return None,
    };
    Some(hint)
}

/// Which of several series, and what to do about missing slices.
fn of_scan(error: &VolumeError) -> Option<String> {
    #[cfg(feature = "dicom")]
    if let VolumeError::Dicom(error) = error {
        return match error {
            DicomError::Several { .. } | DicomError::Choice { .. } => {
                Some("--series chooses one, by its UID or its number; `segvol inspect` lists them".to_owned())
            }
            DicomError::Refused { is_missing_slices: true, .. } => {
                Some("--fill-gaps interpolates whole missing slices, and says which".to_owned())
            }
            DicomError::NoScan { .. } => Some("`segvol inspect` lists what is there".to_owned()),
            _ => None,
        };
    }
    match error {
        VolumeError::NotDicom { .. } => Some("leave --series out".to_owned()),
        _ => None,
    }
}

fn of_segments(error: &SegmentsError) -> Option<&'static str> {
    match error {
        SegmentsError::NotDicom => Some("name the series' folder with --input, or a NIfTI file with --output"),
        SegmentsError::Missing { .. } => {
            Some("--fill-missing makes them up, for research data that goes back into no archive")
        }
        SegmentsError::NoObject { .. } | SegmentsError::SeveralObjects { .. } => {
            Some("--truth-label NAME=NUMBER says which segment or ROI an object is")
        }
        _ => None,
    }
}

fn of_cases(advice: Advice) -> &'static str {
    match advice {
        Advice::Layout => "--layout says which one is meant",
        Advice::Split => "--split train or --split test says which one is meant",
        Advice::Names => "--names names a file with the names",
        Advice::List => {
            "--cases takes a list that names the files of each case; --images, --truth and --names take two folders"
        }
        _ => "--cases takes a list that names the files of each case",
    }
}

/// Whether the two affines of a scan or of a label map mirror each other.
fn is_mirrored(error: &Error) -> bool {
    let (Error::Volume(error) | Error::Truth(TruthError::Volume(error))) = error else { return false };
    matches!(
        error,
        VolumeError::File { source: NiftiError::Mirrored { .. }, .. }
            | VolumeError::Contents(NiftiError::Mirrored { .. })
    )
}

/// What to give as a bundle instead of what is at `path`.
fn instead_of(path: &Path) -> String {
    const OTHERWISE: &str = "`segvol convert` makes a bundle of a checkpoint";
    let name = |path: &Path| segvol_base::printable(&path.to_string_lossy()).into_owned();
    let recognised = |path: &Path| recognise_path(path).ok().flatten();
    if path.is_dir() {
        let mut inside: Vec<_> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|file| file.path()).collect();
        inside.sort();
        inside.truncate(64);
        if let Some(bundle) = inside.iter().find(|path| path.join(MANIFEST_FILE).is_file()) {
            return format!("there is a bundle in it: `{}`", name(bundle));
        }
        let is_checkpoint =
            |path: &&std::path::PathBuf| recognised(path).is_some_and(|found| found.kind == Kind::Checkpoint);
        return match inside.iter().filter(|path| path.is_file()).find(is_checkpoint) {
            Some(found) => {
                format!("there is a checkpoint in it: `segvol convert {} -o bundle` makes a bundle of it", name(found))
            }
            None => OTHERWISE.to_owned(),
        };
    }
    match recognised(path) {
        Some(_) if path.file_name().is_some_and(|name| name == MANIFEST_FILE) => {
            "the bundle is the folder that this file is in".to_owned()
        }
        Some(found) if found.kind == Kind::Checkpoint => {
            format!("this is {}: `segvol convert {} -o bundle` makes a bundle of it", found.what, name(path))
        }
        Some(found) => format!("this is {}; {OTHERWISE}", found.what),
        None => OTHERWISE.to_owned(),
    }
}

fn of_bundle(error: &BundleError) -> Option<String> {
    match error {
        BundleError::MissingPrecision { asked, .. } => {
            Some(format!("`segvol convert --precision {asked}` makes a bundle with this precision"))
        }
        BundleError::NotABundle { path } => Some(instead_of(path)),
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
        ConvertError::Checkpoint(CheckpointError::SeveralModels { .. }) => {
            "--weights-from names the dictionary to convert"
        }
        ConvertError::Checkpoint(CheckpointError::Tensors { faults, .. })
            if faults.0.iter().all(|fault| matches!(fault, TensorFault::Unexpected { .. })) =>
        {
            "--allow-extra leaves these tensors out, with a warning"
        }
        ConvertError::Bundle(error) => return of_bundle(error),
        _ => return None,
    };
    Some(hint.to_owned())
}
