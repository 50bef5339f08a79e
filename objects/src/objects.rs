//! The objects of a call, as files.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "dicom")]
use segvol::Warning;
use segvol::volume::{Format, MaskError};
use segvol::{FinishedMasks, Mask, Prompt};
#[cfg(feature = "dicom")]
use segvol_segments::{
    DicomOptions, SegmentsError, rtstruct,
    seg::{self, Encoding},
};
use segvol_segments::{Provenance, Segment, Segments, seg_nrrd};

use crate::dicom::DicomFiles;
use crate::error::SaveError;
use crate::format::FileFormat;

/// The objects of a call.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    /// Their masks.
    pub masks: &'a FinishedMasks<'a>,
    /// Their prompts, in the same order.
    pub prompts: &'a [Prompt],
    /// The hash of the bundle's manifest.
    pub bundle_sha256: &'a str,
}

impl Objects<'_> {
    /// Writes all objects to one file, which is whole or is not there. `dicom` matters to DICOM only.
    ///
    /// # Errors
    ///
    /// [`SaveError`]: among others, if a DICOM SEG is asked for and the scan does not come from DICOM.
    pub fn save(&self, path: &Path, format: FileFormat, dicom: &DicomFiles) -> Result<(), SaveError> {
        #[cfg(not(feature = "dicom"))]
        let _ = dicom;
        match format {
            FileFormat::LabelMap => Ok(self.masks.label_map()?.save(path)?),
            FileFormat::SegNrrd => {
                let mask = |index: usize| self.masks.mask_for(path, index);
                Ok(seg_nrrd::save(path, &self.segments(&mask))?)
            }
            #[cfg(feature = "dicom")]
            FileFormat::DicomSeg => {
                self.with_seg(path, dicom, |segments, encoding, options| seg::save(path, segments, encoding, options))
            }
        }
    }

    /// Writes the same bytes as [`Objects::save`] to any writer; a label map in `label_map`, the others in their own formats.
    ///
    /// # Errors
    ///
    /// As [`Objects::save`]; the paths of errors are empty.
    pub fn write(
        &self,
        writer: impl Write,
        format: FileFormat,
        label_map: Format,
        dicom: &DicomFiles,
    ) -> Result<(), SaveError> {
        #[cfg(not(feature = "dicom"))]
        let _ = dicom;
        let nowhere = Path::new("");
        match format {
            FileFormat::LabelMap => {
                let failed = |source| MaskError::Io { path: nowhere.to_path_buf(), source };
                Ok(self.masks.label_map()?.write(writer, label_map).map_err(failed)?)
            }
            FileFormat::SegNrrd => {
                let mask = |index: usize| self.masks.mask_for(nowhere, index);
                Ok(seg_nrrd::write(writer, &self.segments(&mask))?)
            }
            #[cfg(feature = "dicom")]
            FileFormat::DicomSeg => self.with_seg(nowhere, dicom, |segments, encoding, options| {
                seg::write(writer, segments, encoding, options)
            }),
        }
    }

    /// Writes the same bytes as [`Objects::save_rtstruct`] to any writer.
    ///
    /// # Errors
    ///
    /// As [`Objects::save_rtstruct`]; the paths of errors are empty.
    #[cfg(feature = "dicom")]
    pub fn write_rtstruct(&self, writer: impl Write, files: &DicomFiles) -> Result<(), SaveError> {
        let mask = |index: usize| self.masks.mask_for(Path::new(""), index);
        rtstruct::write(writer, &self.segments(&mask), &files.options(self.prompts))?;
        Ok(())
    }

    /// Hands the objects to a writer of DICOM SEG. `path` is named in errors.
    #[cfg(feature = "dicom")]
    fn with_seg(
        &self,
        path: &Path,
        files: &DicomFiles,
        written: impl FnOnce(&Segments<'_>, Encoding, &DicomOptions) -> Result<Vec<Warning>, SegmentsError>,
    ) -> Result<(), SaveError> {
        let options = files.options(self.prompts);
        // What it warns of, `DicomFiles::check_scan` has said.
        if files.labelmap {
            // In a label map, objects do not overlap.
            let apart = self.masks.apart()?;
            written(&self.segments(&apart), Encoding::Labelmap, &options)?;
        } else {
            let mask = |index: usize| self.masks.mask_for(path, index);
            written(&self.segments(&mask), Encoding::Binary, &options)?;
        }
        Ok(())
    }

    /// Writes the objects as an RT Structure Set: contours on the planes of the scan's images.
    ///
    /// # Errors
    ///
    /// [`SaveError`]: among others, if the scan does not come from DICOM.
    #[cfg(feature = "dicom")]
    pub fn save_rtstruct(&self, path: &Path, files: &DicomFiles) -> Result<(), SaveError> {
        let mask = |index: usize| self.masks.mask_for(path, index);
        rtstruct::save(path, &self.segments(&mask), &files.options(self.prompts))?;
        Ok(())
    }

    /// The objects as the writers of files with names take them, with these masks.
    fn segments<'m>(&self, mask: &'m dyn Fn(usize) -> Result<Mask, MaskError>) -> Segments<'m> {
        let provenance = Provenance {
            algorithm: "SegVol".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bundle_sha256: self.bundle_sha256.to_owned(),
        };
        Segments { grid: Arc::clone(self.masks.grid()), segments: segments(self.prompts), mask, provenance }
    }
}

/// The names of the objects of a call, labelled in their order from 1.
#[must_use]
pub fn segments(prompts: &[Prompt]) -> Vec<Segment> {
    prompts.iter().zip(1..).map(|(prompt, label)| Segment { name: prompt.name().to_owned(), label }).collect()
}
