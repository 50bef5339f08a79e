//! Runs a checkpoint's image encoder on scans to measure the ranges of its activations, which int8 needs.
//!
//! The converter knows nothing about scans, and the runtime nothing about checkpoints. This crate passes the
//! converter's graphs to the runtime, and the ranges that the runtime measures back to the converter.

#![forbid(unsafe_code)]

mod error;
mod scans;

use std::fs;
use std::path::{Path, PathBuf};

use segvol::{Calibrator, ReadOptions, StudyOptions, Volume, Warning};
use segvol_base::{TemporaryFolder, printable_path};
use segvol_converter::Calibrated;
use segvol_onnx::manifest::Calibration;

pub use error::CalibrationError;
pub use scans::{SkipReason, Skipped};

/// The default scan: the demo's CT phantom.
const PHANTOM: &[u8] = include_bytes!("../../demo/phantom.nii.gz");

/// Its name in the manifest.
const PHANTOM_NAME: &str = "the demo's phantom";

/// What a calibration measured, and on which scans.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The ranges, for [`segvol_converter::Options::calibrated`]. Its record has the names of the scans that were used.
    pub calibrated: Calibrated,
    /// The label maps that were left out, sorted by path. A file that was named itself is never left out.
    pub skipped: Vec<Skipped>,
    /// What is unusual about a scan that was used, each with the scan's path: its header, or intensities that do not look
    /// like Hounsfield units.
    pub warnings: Vec<(PathBuf, Warning)>,
}

/// Runs the image encoder of `checkpoint` on `scans` on the CPU, and returns the ranges of the inputs of its linear
/// layers.
///
/// `scans` is a NIfTI file or a folder with NIfTI files; `None` means the demo's phantom. In a folder, files whose name or
/// voxels are those of a label map are left out. `read` is how the scans are read. `work` is a folder with enough free disk
/// space for the model in float32, which is removed afterwards.
///
/// The same scans and checkpoint give the same ranges.
///
/// # Errors
///
/// [`CalibrationError::NoScans`] before any work, or if all files are label maps; [`CalibrationError::Work`] if `work`
/// cannot be written to; [`CalibrationError::Convert`] if the checkpoint cannot be converted; [`CalibrationError::Run`] if
/// ONNX Runtime is not available; [`CalibrationError::Scan`] if a scan cannot be used.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn calibrate(
    checkpoint: &Path,
    scans: Option<&Path>,
    read: &ReadOptions,
    work: &Path,
    convert: &segvol_converter::Options,
    run: &segvol::Options,
) -> Result<Outcome, CalibrationError> {
    let failed = |source| CalibrationError::Work { path: work.to_owned(), source };
    let found = scans.map(scans::find).transpose()?;
    let folder = TemporaryFolder::new_in(work).map_err(failed)?;
    let phantom = folder.path().join("phantom.nii.gz");
    let (paths, mut skipped, in_folder) = match found {
        Some(found) => (found.scans, found.skipped, found.in_folder),
        None => {
            fs::write(&phantom, PHANTOM).map_err(failed)?;
            (vec![phantom.clone()], Vec::new(), false)
        }
    };
    let bundle = folder.path().join("bundle");
    segvol_converter::convert_for_calibration(checkpoint, &bundle, convert)?;
    let mut calibrator = Calibrator::open(&bundle, run, &StudyOptions::default())?;
    let (mut names, mut warnings) = (Vec::new(), Vec::new());
    for path in paths {
        tracing::info!(scan = %printable_path(&path), "calibrating");
        let bad = |source| CalibrationError::Scan { path: path.clone(), source: Box::new(source) };
        let volume = Volume::open_with(&path, read).map_err(|error| bad(error.into()))?;
        if let Some(reason) = scans::label_map(&volume).filter(|_| in_folder) {
            skipped.push(Skipped { path, reason });
            continue;
        }
        warnings.extend(volume.warnings().iter().map(|warning| (path.clone(), warning.clone())));
        calibrator.observe(volume).map_err(bad)?;
        names.push(match path == phantom {
            true => PHANTOM_NAME.to_owned(),
            false => path.file_name().expect("a NIfTI file has a name").to_string_lossy().into_owned(),
        });
    }
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    if names.is_empty() {
        let path = scans.unwrap_or(&phantom).to_owned();
        return Err(CalibrationError::NoScans { path, found: scans::only(&skipped) });
    }
    let (activations, windows) = calibrator.finish();
    let calibrated = Calibrated { activations, record: Calibration { scans: names, windows } };
    Ok(Outcome { calibrated, skipped, warnings })
}
