//! Why a calibration failed.

use std::io;
use std::path::PathBuf;

use segvol_base::ErrorKind;
use segvol_converter::ConvertError;

/// Why a calibration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The path of the scans has no scans.
    #[error("calibration `{}`: expected a NIfTI, NRRD or MetaImage file (.nii.gz, .nii, .nrrd, .nhdr, .mha or .mhd), or a folder with at least one, found {found}", path.display())]
    NoScans {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A scan cannot be read, or the image encoder cannot be run on it.
    #[error("calibration scan `{}`: {source}", path.display())]
    Scan {
        /// The scan.
        path: PathBuf,
        /// What is wrong.
        source: Box<segvol::Error>,
    },
    /// The model cannot be run.
    #[error(transparent)]
    Run(#[from] segvol::Error),
    /// The checkpoint cannot be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// The temporary float32 bundle cannot be written.
    #[error("cannot write into `{}`: {source}", path.display())]
    Work {
        /// The folder that was given for it.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
}

impl CalibrationError {
    /// The kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoScans { .. } => ErrorKind::Input,
            Self::Scan { source, .. } => source.kind(),
            Self::Run(error) => error.kind(),
            Self::Convert(error) => error.kind(),
            Self::Work { .. } => ErrorKind::Runtime,
        }
    }
}

#[cfg(test)]
mod tests {
    use segvol_onnx::BundleError;

    use super::*;

    #[test]
    fn an_error_has_the_kind_of_its_cause() {
        let path = || PathBuf::from("file");
        let damaged = || segvol::Error::from(BundleError::NotABundle { path: path() });
        let no_tokenizer = ConvertError::NoTokenizer { folder: path(), origin: String::new() };
        let taken = ConvertError::OutputExists { path: path() };
        for (error, kind) in [
            (CalibrationError::NoScans { path: path(), found: "an empty folder".to_owned() }, ErrorKind::Input),
            (CalibrationError::Scan { path: path(), source: Box::new(damaged()) }, ErrorKind::Bundle),
            (damaged().into(), ErrorKind::Bundle),
            (no_tokenizer.into(), ErrorKind::Input),
            (taken.into(), ErrorKind::Usage),
            (CalibrationError::Work { path: path(), source: io::ErrorKind::StorageFull.into() }, ErrorKind::Runtime),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
        }
    }
}
