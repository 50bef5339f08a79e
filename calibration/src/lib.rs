//! Runs a checkpoint's image encoder on scans, to see what its linear layers take: the ranges that int8 has to hold.
//!
//! The converter knows nothing of scans and the runtime nothing of checkpoints; this crate hands what the one made to
//! the other, and what that saw back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use segvol::volume::Format;
use segvol::{Calibrator, StudyOptions, Volume};
use segvol_base::TemporaryFolder;
use segvol_converter::{Calibrated, ConvertError};
use segvol_onnx::manifest::Calibration;

/// The scan that is looked at where none is given: the demo's CT phantom.
const PHANTOM: &[u8] = include_bytes!("../../demo/phantom.nii.gz");

/// What the manifest calls it.
const PHANTOM_NAME: &str = "the demo's phantom";

/// Why a calibration could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// There are no scans where they were said to be.
    #[error("calibration `{}`: expected a NIfTI scan, or a folder with some (.nii, .nii.gz), found {found}", path.display())]
    NoScans {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// A scan cannot be read or looked at.
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
    /// The float32 graph that is run cannot be written.
    #[error("cannot write into `{}`: {source}", path.display())]
    Work {
        /// The folder for it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Looks at `scans`, a NIfTI file or a folder with some, or else at the demo's phantom, through the image encoder of
/// `checkpoint`, on the CPU. `work` is a folder with room for the model in float32, which is removed again.
///
/// The same scans and checkpoint give the same ranges.
///
/// # Errors
///
/// [`CalibrationError::NoScans`] before any work; [`CalibrationError::Convert`] if the checkpoint cannot be converted;
/// [`CalibrationError::Run`] if ONNX Runtime cannot be had; [`CalibrationError::Scan`] if a scan cannot be used.
pub fn calibrate(
    checkpoint: &Path,
    scans: Option<&Path>,
    work: &Path,
    convert: &segvol_converter::Options,
    run: &segvol::Options,
) -> Result<Calibrated, CalibrationError> {
    let failed = |source| CalibrationError::Work { path: work.to_owned(), source };
    let mut paths = scans.map(find_scans).transpose()?.unwrap_or_default();
    let folder = TemporaryFolder::new_in(work).map_err(failed)?;
    let mut names: Vec<String> =
        paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
    if paths.is_empty() {
        let path = folder.path().join("phantom.nii.gz");
        fs::write(&path, PHANTOM).map_err(failed)?;
        paths.push(path);
        names.push(PHANTOM_NAME.to_owned());
    }
    let bundle = folder.path().join("bundle");
    segvol_converter::convert_for_calibration(checkpoint, &bundle, convert)?;
    let mut calibrator = Calibrator::open(&bundle, run, &StudyOptions::default())?;
    for path in &paths {
        tracing::info!(scan = %path.display(), "calibrating");
        let bad = |source| CalibrationError::Scan { path: path.clone(), source: Box::new(source) };
        let volume = Volume::open(path).map_err(|error| bad(error.into()))?;
        calibrator.observe(volume).map_err(bad)?;
    }
    let (activations, windows) = calibrator.finish();
    Ok(Calibrated { activations, record: Calibration { scans: names, windows } })
}

/// The scan at `path`, or the scans in that folder in the order of their names.
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
    let all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let mut scans: Vec<PathBuf> = all.iter().filter(|path| is_scan(path)).cloned().collect();
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
