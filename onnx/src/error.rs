//! What can be wrong with a bundle.

use std::io;
use std::path::{Path, PathBuf};

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
    /// A link in a bundle cannot be used.
    #[error("bundle: `{}` is a link to `{}`, {reason}", path.display(), target.display())]
    Link {
        /// The link: a file of the bundle, or its folder.
        path: PathBuf,
        /// The path in the link.
        target: PathBuf,
        /// Why it cannot be used, and the next step.
        reason: String,
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

/// The next step if links are in the way.
const WITHOUT_LINKS: &str = "copy the bundle so that links are followed";

impl BundleError {
    /// Why the file at `path` cannot be opened. If it is a link, that is said: the store that it leads to may not have the file yet.
    #[must_use]
    pub fn unreadable(path: &Path, source: io::Error) -> Self {
        let Ok(target) = std::fs::read_link(path) else { return Self::Io { path: path.to_owned(), source } };
        let reason = if source.kind() == io::ErrorKind::NotFound {
            format!(
                "which leads to no file: fetch the file from the store that the link belongs to (git-annex, DVC, a model hub), or {WITHOUT_LINKS}"
            )
        } else {
            format!("which cannot be read: {source}; make it readable, or {WITHOUT_LINKS}")
        };
        Self::Link { path: path.to_owned(), target, reason }
    }

    /// The link at `path` leads to a file that ONNX Runtime cannot use there, for a reason that begins with `which`.
    #[must_use]
    pub fn unusable_link(path: &Path, reason: &str) -> Self {
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Self::Link { path: path.to_owned(), target, reason: format!("{reason}; {WITHOUT_LINKS}") }
    }

    /// The kind of failure: always [`ErrorKind::Bundle`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. }
            | Self::Link { .. }
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
            BundleError::Link { path: path(), target: path(), reason: "which leads to no file".to_owned() },
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
