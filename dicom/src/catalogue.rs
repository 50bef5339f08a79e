//! What a folder of DICOM holds, without its pixels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use segvol_base::{Warning, WarningCode};
use serde::Serialize;

use crate::error::DicomError;
use crate::header::transfer_syntax_name;
use crate::image::ImageFile;
use crate::read::ReadOptions;
use crate::series::{examine, nothing_in};
use crate::study::{Series, Study};

/// The series of a folder, a zip or a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Catalogue {
    /// How many DICOM files there are.
    pub files: usize,
    /// How many other files there are.
    pub other_files: usize,
    /// Every series, in the order of study, series number and UID.
    pub series: Vec<SeriesEntry>,
    /// Files that cannot be read.
    pub warnings: Vec<Warning>,
}

/// One series, as `inspect` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesEntry {
    /// The first 12 hexadecimal digits of the SHA-256 of Patient ID, a zero byte, and Patient's Name; `None` if both are absent.
    /// It tells patients apart without naming them. It is no anonymisation: who knows the ID and the name can compute it.
    pub patient: Option<String>,
    /// Study Instance UID; `None` if it is absent or empty.
    pub study_instance_uid: Option<String>,
    /// Series Instance UID; empty if the images have none.
    pub series_instance_uid: String,
    /// Series Number.
    pub number: Option<String>,
    /// Modality, such as CT.
    pub modality: Option<String>,
    /// Series Description.
    pub description: Option<String>,
    /// Images that can be part of a scan: each frame of a file with several is one.
    pub images: usize,
    /// Files of the series that are passed over, by what they are.
    pub passed_over: Vec<PassedOver>,
    /// Voxels along i; `None` if the series is no scan.
    pub columns: Option<usize>,
    /// Voxels along j; `None` if the series is no scan.
    pub rows: Option<usize>,
    /// Voxels along k, filled slices included; `None` if the series is no scan.
    pub slices: Option<usize>,
    /// Millimetres between voxels along i, j, k; `None` if the series is no scan.
    pub spacing_mm: Option<[f64; 3]>,
    /// The angle between the normal of the slices and the axis along which they lie, that of a tilted gantry; `None` if the
    /// series is no scan.
    pub tilt_degrees: Option<f64>,
    /// The names of the transfer syntaxes of its files.
    pub transfer_syntaxes: Vec<String>,
    /// Why the series is no scan; `None` if it is one.
    pub problem: Option<String>,
}

/// Files that are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// What they are.
    pub what: String,
    /// How many.
    pub files: usize,
}

impl Catalogue {
    /// Lists the series at `path`. Pixels are read only where several images are at one place, to see whether they are copies.
    ///
    /// # Errors
    ///
    /// [`DicomError::Io`] if `path` cannot be read; [`DicomError::NoScan`] if it is neither a folder, nor a zip, nor DICOM.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self, DicomError> {
        let study = Study::everything(path)?;
        let series = study.series();
        let entries = series.iter().map(|series| entry(series, options.fill_gaps)).collect();
        let unreadable = study.unreadable.iter().map(|(name, reason)| format!("`{name}` cannot be read: {reason}"));
        let empty = study.empty.iter().map(|name| format!("`{name}` has no byte"));
        let warning = |message: String| Warning::new(WarningCode::DicomImagesUnused, message);
        Ok(Self {
            files: study.files.len() + study.unreadable.len(),
            other_files: study.others + study.empty.len(),
            series: entries,
            warnings: unreadable.chain(empty).map(warning).collect(),
        })
    }

    /// The hashes of all patients, sorted.
    #[must_use]
    pub fn patients(&self) -> Vec<&str> {
        let patients: BTreeSet<&str> = self.series.iter().filter_map(|series| series.patient.as_deref()).collect();
        patients.into_iter().collect()
    }
}

fn entry(series: &Series<'_>, fill_gaps: bool) -> SeriesEntry {
    let text = |of: fn(&ImageFile) -> &Option<String>| series.first().and_then(|file| of(file).clone());
    let files = series.files.iter().copied().chain(series.passed_over.values().flatten().copied());
    let syntaxes: BTreeMap<&str, ()> = files.map(|file| (file.transfer_syntax.as_str(), ())).collect();
    let scan = match series.is_candidate() {
        true => examine(series, fill_gaps),
        false => Err(nothing_in(series)),
    };
    let stack = scan.as_ref().ok().map(|scan| &scan.stack);
    SeriesEntry {
        patient: text(|file| &file.patient),
        study_instance_uid: text(|file| &file.study),
        series_instance_uid: series.uid.to_owned(),
        number: text(|file| &file.number),
        modality: text(|file| &file.modality),
        description: text(|file| &file.description),
        images: series.images().len(),
        passed_over: series
            .passed_over
            .iter()
            .map(|(what, files)| PassedOver { what: (*what).to_owned(), files: files.len() })
            .collect(),
        columns: stack.map(|stack| stack.columns),
        rows: stack.map(|stack| stack.rows),
        slices: stack.map(|stack| stack.order.len()),
        spacing_mm: stack.map(|stack| stack.spacing_mm()),
        tilt_degrees: stack.map(|stack| stack.tilt_degrees),
        transfer_syntaxes: syntaxes.into_keys().map(transfer_syntax_name).collect(),
        problem: scan.as_ref().err().cloned(),
    }
}
