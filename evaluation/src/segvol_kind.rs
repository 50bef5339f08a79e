//! The kinds of the runtime's errors, as far as cases and pictures wrap them.

use segvol::mask::MaskError;
use segvol::nifti::NiftiError;
use segvol::{Error, TruthError, VolumeError};
use segvol_base::ErrorKind;

pub(crate) fn of_error(error: &Error) -> ErrorKind {
    match error {
        Error::Bundle(_) => ErrorKind::Bundle,
        Error::Library { .. } | Error::ProviderMissing { .. } | Error::ProviderFailed { .. } => ErrorKind::Provider,
        Error::Volume(error) => of_volume(error),
        Error::Truth(error) => of_truth(error),
        Error::Intensity(_) | Error::Prompt(_) | Error::Tokenizer(_) => ErrorKind::Input,
        Error::Setting { .. } => ErrorKind::Usage,
        Error::Mask(error) => of_mask(error),
        Error::Memory(_) => ErrorKind::Memory,
        Error::Cancelled => ErrorKind::Cancelled,
        _ => ErrorKind::Runtime,
    }
}

pub(crate) fn of_volume(error: &VolumeError) -> ErrorKind {
    match error {
        VolumeError::File { source: NiftiError::Memory { .. }, .. } | VolumeError::Memory { .. } => ErrorKind::Memory,
        _ => ErrorKind::Input,
    }
}

pub(crate) fn of_truth(error: &TruthError) -> ErrorKind {
    match error {
        TruthError::Volume(error) => of_volume(error),
        TruthError::Memory(_) => ErrorKind::Memory,
        _ => ErrorKind::Input,
    }
}

pub(crate) fn of_mask(error: &MaskError) -> ErrorKind {
    match error {
        MaskError::Memory(_) => ErrorKind::Memory,
        _ => ErrorKind::Runtime,
    }
}
