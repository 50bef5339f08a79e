//! Writes the masks and the report of a scan, all of them or none.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use segvol::{FinishedMasks, Prompt, Report};
use segvol_base::file_identity::FileIdentity;
use segvol_objects::{DicomFiles, Objects};
use segvol_onnx::manifest::sha256_file;
use serde::Serialize;

use crate::failure::ScanError;
use crate::folder::ensure;
use crate::pattern::Pattern;
use crate::record::OutputFile;

/// What a report says about the scan besides what a report of one segmentation says.
#[derive(Debug, Serialize)]
pub(crate) struct ScanReport<'a> {
    pub(crate) id: &'a str,
    /// Absent unless paths are recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    pub(crate) sha256: &'a str,
    pub(crate) settings_sha256: &'a str,
    pub(crate) host: &'a str,
    pub(crate) seconds: f64,
}

#[derive(Serialize)]
struct CohortReport<'a> {
    scan: &'a ScanReport<'a>,
    #[serde(flatten)]
    report: &'a Report,
}

/// Outputs of one scan in a folder of their own, until all of them are written.
pub(crate) struct Outputs<'a> {
    out: &'a Path,
    /// The scans of the run, which no output replaces.
    inputs: &'a BTreeSet<FileIdentity>,
    staging: PathBuf,
    /// Relative to both folders, in the order in which they were written.
    written: Vec<PathBuf>,
}

impl<'a> Outputs<'a> {
    pub(crate) fn new(out: &'a Path, staging: PathBuf, inputs: &'a BTreeSet<FileIdentity>) -> Self {
        Self { out, inputs, staging, written: Vec::new() }
    }

    /// The file for an output that is being written.
    fn file(&mut self, relative: &Path) -> Result<PathBuf, ScanError> {
        let path = self.staging.join(relative);
        create_parents(&self.staging, relative).map_err(|source| ScanError::Io { path: path.clone(), source })?;
        self.written.push(relative.to_owned());
        Ok(path)
    }

    /// Writes the masks.
    pub(crate) fn masks(
        &mut self,
        (pattern, dicom): (&Pattern, &DicomFiles),
        id: &str,
        prompts: &[Prompt],
        masks: &FinishedMasks<'_>,
        bundle_sha256: &str,
    ) -> Result<(), ScanError> {
        let files = pattern.files(id, prompts);
        if pattern.is_per_object() {
            for (index, relative) in files.iter().enumerate() {
                let mask = masks.mask(index)?;
                mask.save(self.file(relative)?).map_err(segvol::Error::from)?;
            }
            return Ok(());
        }
        let [relative] = &files[..] else { return Ok(()) };
        let path = self.file(relative)?;
        Ok(Objects { masks, prompts, bundle_sha256 }.save(&path, pattern.format(), dicom)?)
    }

    /// Writes the report.
    pub(crate) fn report(&mut self, relative: &Path, scan: &ScanReport<'_>, report: &Report) -> Result<(), ScanError> {
        let path = self.file(relative)?;
        let io = |source: io::Error| ScanError::Io { path: path.clone(), source };
        let mut json = serde_json::to_vec_pretty(&CohortReport { scan, report }).map_err(|error| io(error.into()))?;
        json.push(b'\n');
        fs::write(&path, json).map_err(io)
    }

    /// Moves all that was written to the output folder. The last one is returned apart: the report, if it was written last.
    pub(crate) fn publish(self) -> Result<Vec<OutputFile>, ScanError> {
        let mut files = Vec::with_capacity(self.written.len());
        for relative in &self.written {
            let (from, to) = (self.staging.join(relative), self.out.join(relative));
            let io = |source| ScanError::Io { path: to.clone(), source };
            let sha256 = sha256_file(&from).map_err(io)?;
            create_parents(self.out, relative).map_err(io)?;
            if FileIdentity::of(&to).map_err(io)?.is_some_and(|identity| self.inputs.contains(&identity)) {
                return Err(io(io::Error::other("is a scan of the cohort, which no output may replace")));
            }
            fs::rename(&from, &to).map_err(io)?;
            files.push(OutputFile { path: slashed(relative), sha256 });
        }
        Ok(files)
    }
}

/// Makes the folders of a file below `base`, but not `base`: if it has vanished, it is not made anew.
fn create_parents(base: &Path, relative: &Path) -> io::Result<()> {
    let mut folder = base.to_owned();
    for part in relative.parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        ensure(&folder)?;
    }
    Ok(())
}

/// A relative path with `/`, as the manifest has it on every system.
pub(crate) fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect::<Vec<_>>().join("/")
}

/// Whether a file of an earlier run is still what it was.
pub(crate) fn is_unchanged(out: &Path, file: &OutputFile) -> bool {
    sha256_file(&out.join(&file.path)).is_ok_and(|sha256| sha256 == file.sha256)
}
