//! What can be wrong with a bundle.

use std::io;
use std::path::PathBuf;

use segvol_base::ErrorKind;

use crate::precision::Precision;
use crate::stage::Stage;

/// The manifest's name in the bundle's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Why a bundle could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file of the bundle could not be read.
    #[error("bundle file `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The folder has no manifest.
    #[error("`{}` is not a bundle: expected a folder with {MANIFEST_FILE}, found no such file; convert a checkpoint to make a bundle", path.display())]
    NotABundle {
        /// The path that was given.
        path: PathBuf,
    },
    /// The manifest is not one that this version reads.
    #[error("manifest `{}`: {reason}", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with the line number if it is a syntax error.
        reason: String,
    },
    /// A file differs from what the manifest says.
    #[error("bundle file `{}`: expected {expected}, found {found}; the bundle was changed or damaged, convert again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Size or hash in the manifest.
        expected: String,
        /// Size or hash of the file.
        found: String,
    },
    /// The bundle lacks the precision that was asked for.
    #[error(
        "bundle `{}`: precision {asked} is not in it, only {}; convert again with precision {asked}",
        path.display(), names(held)
    )]
    MissingPrecision {
        /// The bundle's folder.
        path: PathBuf,
        /// The precision that was asked for.
        asked: Precision,
        /// The precisions that the bundle has.
        held: Vec<Precision>,
    },
    /// The bundle lacks a stage that is needed.
    #[error(
        "bundle `{}`: stage `{stage}` is missing, because the bundle was made from an encoder-only checkpoint; convert a full checkpoint",
        path.display()
    )]
    MissingStage {
        /// The bundle's folder.
        path: PathBuf,
        /// The stage.
        stage: Stage,
    },
}

impl BundleError {
    /// The kind of failure: always [`ErrorKind::Bundle`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. }
            | Self::NotABundle { .. }
            | Self::BadManifest { .. }
            | Self::Changed { .. }
            | Self::MissingPrecision { .. }
            | Self::MissingStage { .. } => ErrorKind::Bundle,
        }
    }
}

fn names(precisions: &[Precision]) -> String {
    precisions.iter().map(|precision| precision.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_bundle_is_of_kind_bundle() {
        let path = || PathBuf::from("bundle");
        let errors = [
            BundleError::Io { path: path(), source: io::ErrorKind::PermissionDenied.into() },
            BundleError::NotABundle { path: path() },
            BundleError::BadManifest { path: path(), reason: "line 3".to_owned() },
            BundleError::Changed { path: path(), expected: "1 bytes".to_owned(), found: "2 bytes".to_owned() },
            BundleError::MissingPrecision { path: path(), asked: Precision::Int8, held: vec![Precision::Fp32] },
            BundleError::MissingStage { path: path(), stage: Stage::MaskDecoder },
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Bundle, "{error}");
            assert!(error.to_string().contains("`bundle`"), "{error}");
        }
    }
}
