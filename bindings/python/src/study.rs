//! A scan that is ready to be segmented.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use segvol::Prompt;
use segvol::mask::Labels;
use segvol_base::ErrorKind;
use segvol_base::json::{Document, JsonError};

use crate::array::{self, Axes};
use crate::call::{Call, Open};
use crate::errors::{Raise as _, raised, told, usage};
use crate::process::OfProcess;
use crate::running;
use crate::saving::{Chosen, DicomArguments};
use crate::segmentation::Segmentation;
use crate::source::Source;

/// A scan that is ready to be segmented. Threads may share it; their calls wait for each other where they need the same graph.
#[pyclass(frozen, module = "segvol._segvol")]
pub(crate) struct Study(Arc<Open>);

impl Study {
    pub(crate) fn new(model: &segvol::Model, study: segvol::Study, source: Source, axes: Axes) -> Self {
        let (model, study) = (OfProcess::new(model.clone()), OfProcess::new(study));
        Self(Arc::new(Open { model, study, source, axes }))
    }

    /// All objects of the call of a segmentation of this study.
    fn call<'a>(&self, py: Python<'_>, what: &str, segmentation: &'a Segmentation) -> PyResult<Chosen<'a>> {
        let call = segmentation.call();
        if !Arc::ptr_eq(&call.open, &self.0) {
            return Err(usage(py, &format!("{what}: expected segmentations of this study")));
        }
        Ok(Chosen { call: call.here().raise(py)?, range: 0..call.prompts.len() })
    }
}

/// The objects of a prompts file or a list of them, as JSON.
fn prompts(py: Python<'_>, json: &str) -> PyResult<Vec<Prompt>> {
    // The caller has written no JSON, and so no line of it.
    let refused = |JsonError { path, expected, found, .. }| {
        let place = if path.is_empty() { String::new() } else { format!(" {path}") };
        raised(py, ErrorKind::Input, &format!("prompts{place}: expected {expected}; found {found}"))
    };
    let document = Document::parse(json).map_err(refused)?;
    segvol::prompts_of_scan(&document.root()).map_err(refused)
}

#[pymethods]
impl Study {
    /// Segments the objects of prompts as JSON.
    fn segment(&self, py: Python<'_>, json: &str, progress: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Segmentation>> {
        let prompts = prompts(py, json)?;
        let study = self.0.study.here().raise(py)?;
        let segmentations = running::run(py, progress, |observer, cancellation| {
            study.segment_cancellable(&prompts, observer, cancellation)
        })?;
        let call = Arc::new(Call { open: Arc::clone(&self.0), prompts, segmentations: OfProcess::new(segmentations) });
        Ok((0..call.prompts.len()).map(|index| Segmentation::new(&call, index)).collect())
    }

    /// The label map of all objects of one call, to which `segmentation` belongs.
    fn label_map<'py>(&self, py: Python<'py>, segmentation: &Segmentation) -> PyResult<Bound<'py, PyAny>> {
        let call = self.call(py, "label_map", segmentation)?.call;
        let labels = py.detach(|| {
            let masks = call.all()?;
            let map = masks.label_map()?.into_owned();
            Ok::<_, segvol::Error>(match map.into_labels() {
                Labels::U8(labels) => labels.into_iter().map(u16::from).collect(),
                Labels::U16(labels) => labels,
            })
        });
        array::array(py, labels.raise(py)?, self.0.study.grid().shape_xyz(), self.0.axes)
    }

    /// Writes all objects of the call of `segmentation`; the name of the file says how. Warnings: code and message.
    fn save(
        &self,
        py: Python<'_>,
        segmentation: &Segmentation,
        path: PathBuf,
        dicom: DicomArguments,
    ) -> PyResult<Vec<(&'static str, String)>> {
        let chosen = self.call(py, "save", segmentation)?;
        py.detach(|| chosen.save(&path, &dicom)).raise(py).map(|warnings| told(&warnings))
    }

    /// Slices with the contours of all objects of the call of `segmentation`, PNG.
    fn picture(
        &self,
        py: Python<'_>,
        segmentation: &Segmentation,
        axis: &str,
        window: (f64, f64),
        voxels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cow<'static, [u8]>> {
        self.call(py, "picture", segmentation)?.picture(py, axis, window, voxels).map(Cow::Owned)
    }

    /// Voxels along i, j, k.
    #[getter]
    fn shape(&self) -> [usize; 3] {
        self.0.study.grid().shape_xyz()
    }

    /// The rows of the matrix from voxels i, j, k to RAS+ millimetres.
    #[getter]
    fn affine(&self) -> [[f64; 4]; 3] {
        self.0.study.grid().affine().rows()
    }

    /// The order of axes of arrays: `ijk` or `kji`.
    #[getter]
    fn axes(&self) -> &'static str {
        self.0.axes.name()
    }

    /// Warnings about the scan: code and message.
    #[getter]
    fn warnings(&self) -> Vec<(&'static str, String)> {
        told(self.0.study.warnings())
    }

    /// Forgets the windows of earlier calls.
    fn forget_windows(&self) {
        self.0.study.forget_windows();
    }
}
