//! The kind of each of the runtime's errors. To be replaced by their own `kind()`.

use segvol::mask::MaskError;
use segvol::nifti::NiftiError;
use segvol::{Error, TokenizerError, TruthError, VolumeError};
use segvol_base::ErrorKind;

pub(crate) fn of_error(error: &Error) -> ErrorKind {
    match error {
        Error::Bundle(_) | Error::Tokenizer(TokenizerError::BadFile { .. }) => ErrorKind::Bundle,
        Error::Library { .. } | Error::ProviderMissing { .. } | Error::ProviderFailed { .. } => ErrorKind::Provider,
        Error::Setting { .. } => ErrorKind::Usage,
        Error::Memory(_) | Error::Truth(TruthError::Memory(_)) => ErrorKind::Memory,
        Error::Cancelled => ErrorKind::Cancelled,
        Error::Volume(error) | Error::Truth(TruthError::Volume(error)) => of_volume_error(error),
        Error::Mask(error) => of_mask_error(error),
        Error::Intensity(_) | Error::Prompt(_) | Error::Truth(_) | Error::Tokenizer(_) => ErrorKind::Input,
        _ => ErrorKind::Runtime,
    }
}

pub(crate) fn of_volume_error(error: &VolumeError) -> ErrorKind {
    match error {
        VolumeError::Memory(_) | VolumeError::File { source: NiftiError::Memory(_), .. } => ErrorKind::Memory,
        _ => ErrorKind::Input,
    }
}

pub(crate) fn of_mask_error(error: &MaskError) -> ErrorKind {
    match error {
        MaskError::Memory(_) => ErrorKind::Memory,
        _ => ErrorKind::Runtime,
    }
}
