//! Writes objects of a call to files, and draws them.

use std::ops::Range;
use std::path::Path;

use pyo3::prelude::*;
use segvol_base::Warning;
use segvol_objects::{DicomFiles, FileFormat, Objects};
use segvol_overlay::{Axis, Montage, Object, View, Window};

use crate::call::Call;
use crate::errors::{Failure, Raise as _, usage};

/// How DICOM outputs are written.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct DicomArguments {
    /// As an RT Structure Set.
    rtstruct: bool,
    seg: Option<String>,
    uid_root: Option<String>,
    fill_missing: bool,
    anonymous: bool,
}

impl DicomArguments {
    fn files(&self) -> Result<DicomFiles, Failure> {
        let labelmap = match self.seg.as_deref() {
            None | Some("binary") => false,
            Some("labelmap") => true,
            Some(other) => {
                return Err(Failure::usage(format!("seg: expected \"binary\" or \"labelmap\", found {other:?}")));
            }
        };
        let files = DicomFiles {
            labelmap,
            uid_root: self.uid_root.clone(),
            fill_missing: self.fill_missing,
            anonymous: self.anonymous,
        };
        files.check()?;
        Ok(files)
    }

    /// The first that is given.
    fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("save_rtstruct", self.rtstruct),
            ("seg", self.seg.is_some()),
            ("uid_root", self.uid_root.is_some()),
            ("fill_missing", self.fill_missing),
            ("anonymous", self.anonymous),
        ];
        given.into_iter().find_map(|(name, is_given)| is_given.then_some(name))
    }
}

/// Objects of one call.
pub(crate) struct Chosen<'a> {
    pub(crate) call: &'a Call,
    pub(crate) range: Range<usize>,
}

impl Chosen<'_> {
    /// Writes the mask of one object, or all objects; the name of the file says how. Returns what was made up.
    pub(crate) fn save(&self, path: &Path, arguments: &DicomArguments) -> Result<Vec<Warning>, Failure> {
        let files = arguments.files()?;
        let format = FileFormat::of_name(path);
        let is_dicom = format == Some(FileFormat::DicomSeg);
        if let Some(name) = arguments.first_given().filter(|_| !is_dicom) {
            return Err(Failure::usage(format!("{name}: expected a file whose name ends in .dcm")));
        }
        self.call.open.source.spare(path)?;
        let masks = self.call.finished(self.range.clone())?;
        let told = if is_dicom { files.check_scan(masks.grid())? } else { Vec::new() };
        let prompts = &self.call.prompts[self.range.clone()];
        let objects = Objects { masks: &masks, prompts, bundle_sha256: self.call.open.model.manifest_sha256() };
        match format {
            _ if arguments.rtstruct => objects.save_rtstruct(path, &files)?,
            Some(format @ (FileFormat::SegNrrd | FileFormat::DicomSeg)) => objects.save(path, format, &files)?,
            // One object alone is its mask. What is no name of a format is refused with those that are.
            _ if self.range.len() == 1 => masks.mask(0)?.save(path)?,
            _ => masks.label_map()?.save(path)?,
        }
        Ok(told)
    }

    /// Slices with the contours of the objects, as PNG.
    pub(crate) fn picture(
        &self,
        py: Python<'_>,
        axis: &str,
        (level, width): (f64, f64),
        voxels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<u8>> {
        let axis = match axis {
            "axial" => Axis::Axial,
            "coronal" => Axis::Coronal,
            "sagittal" => Axis::Sagittal,
            other => {
                return Err(usage(py, &format!("axis: expected one of axial, coronal, sagittal; found {other:?}")));
            }
        };
        let view = View { axis, window: Window::new(level, width).raise(py)? };
        let volume = self.call.open.source.volume(py, voxels)?;
        let draw = || -> Result<Vec<u8>, Failure> {
            let study = &self.call.open.study;
            let mut montage = Montage::new(study.grid(), view);
            let masks = self.call.finished(self.range.clone())?;
            for (prompt, (name, mask)) in self.call.prompts[self.range.clone()].iter().zip(masks.each()) {
                let (mask, marks) = (mask?, study.marks(prompt));
                montage.add(Object { name, mask: (&mask, 1), marks: &marks, truth: None, note: "" })?;
            }
            montage.draw(&volume)?.to_png().map_err(|error| Failure::io(Path::new("picture"), &error))
        };
        py.detach(draw).raise(py)
    }
}
