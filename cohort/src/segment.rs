//! Segments one scan.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use segvol::postprocess::Postprocessing;
use segvol::volume::files_of;
use segvol::{Cancellation, FinishedMasks, Model, Prompt, ReadOptions, Report, StudyOptions, Volume, Warning};
use segvol_objects::DicomFiles;
use segvol_onnx::manifest::hex;
use sha2::{Digest as _, Sha256};

use crate::failure::ScanError;
use crate::list::Scan;
use crate::outputs::{Outputs, ScanReport};
use crate::pattern::Pattern;
use crate::record::{Done, ObjectRecord};

/// What all scans of a run share.
pub(crate) struct Segmenter<'a> {
    pub(crate) model: &'a Model,
    pub(crate) options: StudyOptions,
    pub(crate) pattern: &'a Pattern,
    pub(crate) dicom: &'a DicomFiles,
    pub(crate) host: String,
    pub(crate) record_paths: bool,
    pub(crate) cancellation: &'a Cancellation,
}

/// What is asked of one scan.
pub(crate) struct Question<'a> {
    pub(crate) prompts: &'a [Prompt],
    pub(crate) postprocessing: &'a [Postprocessing],
    pub(crate) read: &'a ReadOptions,
    pub(crate) settings_sha256: &'a str,
}

impl Segmenter<'_> {
    /// Segments a scan and publishes its outputs. `known` is what an earlier run recorded: if the scan's voxels are still the same,
    /// though its files are others, its result is taken over.
    pub(crate) fn segment(
        &self,
        scan: &Scan,
        question: &Question<'_>,
        mut outputs: Outputs<'_>,
        known: Option<&Done>,
    ) -> Result<Done, ScanError> {
        let start = Instant::now();
        if let Some(problem) = &scan.problem {
            return Err(ScanError::Problem(problem.clone()));
        }
        let volume = Volume::open_with(&scan.path, question.read)?;
        let scan_sha256 = sha256_of(&volume);
        if let Some(known) = known.filter(|known| known.scan_sha256 == scan_sha256) {
            return Ok(known.clone());
        }
        let Question { prompts, postprocessing, settings_sha256, .. } = *question;
        let filled = self.filled(&volume)?;
        let study = self.model.study_with(volume, &self.options)?;
        let cancelled =
            |_| if self.cancellation.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let segmentations = study.segment_cancellable(prompts, &mut { cancelled }, self.cancellation)?;
        let mut report = Report::new(self.model, &study, prompts, &segmentations);
        report.warnings.extend(filled);
        let masks = FinishedMasks::new(&study, prompts, &segmentations, postprocessing)?;
        masks.amend(&mut report)?;
        let bundle_sha256 = report.bundle.manifest_sha256.clone();
        outputs.masks((self.pattern, self.dicom), &scan.id, prompts, &masks, &bundle_sha256)?;
        self.name_files(&mut report, &scan.id, prompts);
        let seconds = start.elapsed().as_secs_f64();
        let about = ScanReport {
            id: &scan.id,
            path: self.record_paths.then(|| scan.path.display().to_string()),
            sha256: &scan_sha256,
            settings_sha256,
            host: &self.host,
            seconds,
        };
        outputs.report(&self.pattern.report(&scan.id), &about, &report)?;
        if self.cancellation.is_requested() {
            return Err(segvol::Error::Cancelled.into());
        }
        let mut files = outputs.publish()?;
        // The report was written last.
        let Some(last) = files.pop() else { return Err(ScanError::Problem("no output".to_owned())) };
        Ok(Done {
            scan_sha256,
            report: last,
            outputs: files,
            precision: report.provider.precision,
            windows: report.statistics.windows_encoded,
            objects: ObjectRecord::of(&report),
            warnings: report.warnings,
        })
    }

    /// Refuses, before any work, a scan to which no DICOM object can refer, if one is to be written. Returns what will be made up.
    fn filled(&self, volume: &Volume) -> Result<Vec<Warning>, ScanError> {
        #[cfg(feature = "dicom")]
        if self.pattern.is_dicom() {
            return Ok(self.dicom.check_scan(volume.grid())?);
        }
        let _ = volume;
        Ok(Vec::new())
    }

    /// Says in the report which file has what, relative to the output folder, and leaves out where things lie on this machine.
    fn name_files(&self, report: &mut Report, id: &str, prompts: &[Prompt]) {
        let files = self.pattern.files(id, prompts);
        let name = |path: &Path| crate::outputs::slashed(path);
        if self.pattern.is_per_object() {
            for (object, file) in report.objects.iter_mut().zip(&files) {
                object.file = Some(name(file));
            }
        } else {
            report.files.output = files.first().map(|file| name(file));
        }
        if !self.record_paths {
            let bundle = Path::new(&report.bundle.path).file_name();
            report.bundle.path = bundle.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        }
    }
}

/// The hash of a scan: shape, affine and voxels in Hounsfield units, whatever its format.
fn sha256_of(volume: &Volume) -> String {
    let mut hash = Sha256::new();
    for axis in volume.shape_xyz() {
        hash.update((axis as u64).to_le_bytes());
    }
    for number in volume.grid().affine().rows().iter().flatten() {
        hash.update(number.to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(1 << 16);
    for voxels in volume.voxels().chunks(1 << 14) {
        bytes.clear();
        bytes.extend(voxels.iter().flat_map(|voxel| voxel.to_le_bytes()));
        hash.update(&bytes);
    }
    hex(&hash.finalize())
}

/// Names, sizes and times of a scan's files, by which a change is noticed without reading them. Empty if it cannot be looked at.
pub(crate) fn fingerprint(scan: &Scan) -> String {
    let mut hash = Sha256::new();
    let mut count = 0_u64;
    let mut note = |path: &Path, base: &Path| {
        let Ok(metadata) = path.metadata() else { return };
        let name = path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned();
        let time = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        hash.update(format!("{name}\0{}\0{:?}\0", metadata.len(), time.map(|time| time.as_nanos())));
        count += 1;
    };
    if scan.path.is_dir() {
        let mut folders = vec![scan.path.clone()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => files.push(entry.path()),
                }
            }
        }
        files.sort();
        files.iter().for_each(|file| note(file, &scan.path));
    } else {
        let base = scan.path.parent().unwrap_or(Path::new(""));
        files_of(&scan.path).iter().for_each(|file| note(file, base));
    }
    if count == 0 { String::new() } else { hex(&hash.finalize()) }
}
