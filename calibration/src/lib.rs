//! Runs a checkpoint's image encoder on scans to measure the ranges of its activations, which int8 needs.
//!
//! The converter knows nothing about scans, and the runtime nothing about checkpoints. This crate passes the
//! converter's graphs to the runtime, and the ranges that the runtime measures back to the converter.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use segvol::volume::Format;
use segvol::{Calibrator, StudyOptions, Volume};
use segvol_base::{ErrorKind, TemporaryFolder, is_leftover, printable_path};
use segvol_converter::{Calibrated, ConvertError};
use segvol_onnx::manifest::Calibration;

/// The default scan: the demo's CT phantom.
const PHANTOM: &[u8] = include_bytes!("../../demo/phantom.nii.gz");

/// Its name in the manifest.
const PHANTOM_NAME: &str = "the demo's phantom";

/// Why a calibration failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// The path of the scans has no scans.
    #[error("calibration `{}`: expected a NIfTI scan (.nii, .nii.gz), or a folder with at least one, found {found}", path.display())]
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

/// Runs the image encoder of `checkpoint` on `scans` on the CPU, and returns the ranges of the inputs of its linear
/// layers.
///
/// `scans` is a NIfTI file or a folder with NIfTI files; `None` means the demo's phantom. `work` is a folder with
/// enough free disk space for the model in float32, which is removed afterwards.
///
/// The same scans and checkpoint give the same ranges.
///
/// # Errors
///
/// [`CalibrationError::NoScans`] before any work; [`CalibrationError::Work`] if `work` cannot be written to;
/// [`CalibrationError::Convert`] if the checkpoint cannot be converted; [`CalibrationError::Run`] if ONNX Runtime is
/// not available; [`CalibrationError::Scan`] if a scan cannot be used.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn calibrate(
    checkpoint: &Path,
    scans: Option<&Path>,
    work: &Path,
    convert: &segvol_converter::Options,
    run: &segvol::Options,
) -> Result<Calibrated, CalibrationError> {
    let failed = |source| CalibrationError::Work { path: work.to_owned(), source };
    let found = scans.map(find_scans).transpose()?;
    let folder = TemporaryFolder::new_in(work).map_err(failed)?;
    let (paths, names) = match found {
        Some(paths) => {
            let name =
                |path: &PathBuf| path.file_name().expect("a NIfTI file has a name").to_string_lossy().into_owned();
            let names = paths.iter().map(name).collect();
            (paths, names)
        }
        None => {
            let path = folder.path().join("phantom.nii.gz");
            fs::write(&path, PHANTOM).map_err(failed)?;
            (vec![path], vec![PHANTOM_NAME.to_owned()])
        }
    };
    let bundle = folder.path().join("bundle");
    segvol_converter::convert_for_calibration(checkpoint, &bundle, convert)?;
    let mut calibrator = Calibrator::open(&bundle, run, &StudyOptions::default())?;
    for path in &paths {
        tracing::info!(scan = %printable_path(path), "calibrating");
        let bad = |source| CalibrationError::Scan { path: path.clone(), source: Box::new(source) };
        let volume = Volume::open(path).map_err(|error| bad(error.into()))?;
        calibrator.observe(volume).map_err(bad)?;
    }
    let (activations, windows) = calibrator.finish();
    Ok(Calibrated { activations, record: Calibration { scans: names, windows } })
}

/// The scan at `path`, or the scans in that folder sorted by name. At least one.
fn find_scans(path: &Path) -> Result<Vec<PathBuf>, CalibrationError> {
    let none = |found: String| CalibrationError::NoScans { path: path.to_owned(), found };
    let is_scan = |path: &Path| path.is_file() && Format::of_name(path).is_some();
    if is_scan(path) {
        return Ok(vec![path.to_owned()]);
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(_) if path.is_file() => return Err(none("another file".to_owned())),
        Err(error) => return Err(none(error.to_string())),
    };
    let all: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let all = all.map_err(|error| none(error.to_string()))?;
    let mut scans: Vec<PathBuf> = all.iter().filter(|path| is_scan(path) && !is_leftover(path)).cloned().collect();
    if scans.is_empty() {
        return Err(none(if all.is_empty() {
            "an empty folder".to_owned()
        } else {
            format!("{} other files", all.len())
        }));
    }
    scans.sort();
    Ok(scans)
}

#[cfg(test)]
mod tests {
    use segvol_onnx::BundleError;

    use super::*;

    #[test]
    fn what_a_system_leaves_in_a_folder_is_no_scan() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| fs::write(folder.path().join(name), "").expect("written");
        ["._a.nii.gz", ".DS_Store", "Thumbs.db"].into_iter().for_each(file);
        let error = find_scans(folder.path()).expect_err("no scan");
        assert!(error.to_string().contains("3 other files"), "{error}");
        file("a.nii.gz");
        assert_eq!(find_scans(folder.path()).expect("a scan"), [folder.path().join("a.nii.gz")]);
    }

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
