//! The kinds of errors whose crates do not classify them themselves.

use segvol::nifti::NiftiError;
use segvol::{ProviderOptionError, TruthError, VolumeError};
use segvol_base::ErrorKind;
use segvol_calibration::CalibrationError;
use segvol_converter::error::TensorFault;
use segvol_converter::{CheckpointError, ConvertError};
use segvol_measure::RecordError;
use segvol_onnx::BundleError;
use segvol_overlay::OverlayError;

pub(crate) fn segvol(error: &segvol::Error) -> ErrorKind {
    use segvol::Error;
    match error {
        Error::Bundle(_) => ErrorKind::Bundle,
        Error::Library { .. } | Error::ProviderMissing { .. } | Error::ProviderFailed { .. } => ErrorKind::Provider,
        Error::Volume(error) | Error::Truth(TruthError::Volume(error)) => volume(error),
        Error::Memory(_) | Error::Truth(TruthError::Memory(_)) => ErrorKind::Memory,
        Error::Intensity(_) | Error::Prompt(_) | Error::Truth(_) | Error::Tokenizer(_) => ErrorKind::Input,
        Error::Setting { .. } => ErrorKind::Usage,
        Error::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Runtime,
    }
}

fn volume(error: &VolumeError) -> ErrorKind {
    match error {
        VolumeError::File { source: NiftiError::Memory { .. }, .. } | VolumeError::Memory { .. } => ErrorKind::Memory,
        _ => ErrorKind::Input,
    }
}

pub(crate) fn provider_option(_: &ProviderOptionError) -> ErrorKind {
    ErrorKind::Usage
}

pub(crate) fn bundle(_: &BundleError) -> ErrorKind {
    ErrorKind::Bundle
}

pub(crate) fn convert(error: &ConvertError) -> ErrorKind {
    match error {
        ConvertError::OutputExists { .. } | ConvertError::OutputNotABundle { .. } => ErrorKind::Usage,
        ConvertError::Output { .. } => ErrorKind::Runtime,
        ConvertError::Checkpoint(CheckpointError::Memory { .. }) => ErrorKind::Memory,
        ConvertError::Checkpoint(CheckpointError::Tensors { faults, .. })
            if faults.0.iter().any(|fault| matches!(fault, TensorFault::Memory { .. })) =>
        {
            ErrorKind::Memory
        }
        ConvertError::Bundle(_) => ErrorKind::Bundle,
        _ => ErrorKind::Input,
    }
}

pub(crate) fn calibration(error: &CalibrationError) -> ErrorKind {
    match error {
        CalibrationError::NoScans { .. } => ErrorKind::Input,
        CalibrationError::Scan { source, .. } => segvol(source),
        CalibrationError::Run(error) => segvol(error),
        CalibrationError::Convert(error) => convert(error),
        _ => ErrorKind::Runtime,
    }
}

pub(crate) fn overlay(error: &OverlayError) -> ErrorKind {
    match error {
        OverlayError::Io { .. } => ErrorKind::Runtime,
        OverlayError::Memory(_) => ErrorKind::Memory,
        OverlayError::Grid { .. } => ErrorKind::Input,
        _ => ErrorKind::Usage,
    }
}

pub(crate) fn measure(error: &segvol_measure::Error) -> ErrorKind {
    match error {
        segvol_measure::Error::Run(error) => segvol(error),
        segvol_measure::Error::Record(error) => record(error),
        segvol_measure::Error::OtherModel { .. } => ErrorKind::Input,
        _ => ErrorKind::Runtime,
    }
}

pub(crate) fn record(error: &RecordError) -> ErrorKind {
    match error {
        RecordError::Output { .. } => ErrorKind::Runtime,
        RecordError::Memory { .. } => ErrorKind::Memory,
        _ => ErrorKind::Input,
    }
}
