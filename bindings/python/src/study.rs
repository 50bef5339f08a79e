//! A scan that is ready to be segmented.

use std::sync::Arc;

use pyo3::prelude::*;
use segvol::mask::Labels;
use segvol::postprocess::Postprocessing;
use segvol::{FinishedMasks, Prompt, Report};
use segvol_base::ErrorKind;
use segvol_base::json::{Document, JsonError};

use crate::array::{self, Axes};
use crate::call;
use crate::errors::{Raise as _, raised, usage};
use crate::segmentation::Segmentation;

/// A scan that is ready to be segmented. Threads may share it; their calls wait for each other where they need the same graph.
#[pyclass(frozen, module = "segvol._segvol")]
pub(crate) struct Study(Arc<Open>);

/// A study with its model.
pub(crate) struct Open {
    model: segvol::Model,
    pub(crate) study: segvol::Study,
    pub(crate) axes: Axes,
}

/// The objects of one call.
pub(crate) struct Call {
    pub(crate) open: Arc<Open>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) segmentations: Vec<segvol::Segmentation>,
}

impl Call {
    /// Masks after the postprocessing that the prompts ask for: of all objects, or of those from `first` on, `count` of them.
    pub(crate) fn finished(&self, first: usize, count: usize) -> Result<FinishedMasks<'_>, segvol::Error> {
        let prompts = &self.prompts[first..first + count];
        let settings: Vec<Postprocessing> =
            prompts.iter().map(|prompt| Postprocessing::default().overridden_by(&prompt.postprocess)).collect();
        FinishedMasks::new(&self.open.study, prompts, &self.segmentations[first..first + count], &settings)
    }

    pub(crate) fn all(&self) -> Result<FinishedMasks<'_>, segvol::Error> {
        self.finished(0, self.prompts.len())
    }

    /// The report of the call as JSON.
    pub(crate) fn report(&self) -> Result<String, segvol::Error> {
        let Open { model, study, .. } = &*self.open;
        let mut report = Report::new(model, study, &self.prompts, &self.segmentations);
        self.all()?.amend(&mut report)?;
        serde_json::to_string(&report).map_err(|error| segvol::Error::Setting {
            name: "report",
            expected: "numbers that JSON has",
            found: error.to_string(),
        })
    }
}

impl Study {
    pub(crate) fn new(model: &segvol::Model, study: segvol::Study, axes: Axes) -> Self {
        Self(Arc::new(Open { model: model.clone(), study, axes }))
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
        let study = &self.0.study;
        let segmentations = call::run(py, progress, |observer, cancellation| {
            study.segment_cancellable(&prompts, observer, cancellation)
        })?;
        let call = Arc::new(Call { open: Arc::clone(&self.0), prompts, segmentations });
        Ok((0..call.prompts.len()).map(|index| Segmentation::new(&call, index)).collect())
    }

    /// The label map of all objects of one call, to which `segmentation` belongs.
    fn label_map<'py>(&self, py: Python<'py>, segmentation: &Segmentation) -> PyResult<Bound<'py, PyAny>> {
        let call = segmentation.call();
        if !Arc::ptr_eq(&call.open, &self.0) {
            return Err(usage(py, "label_map: expected segmentations of this study"));
        }
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
        let warnings = self.0.study.warnings().iter();
        warnings.map(|warning| (warning.code.name(), warning.message.clone())).collect()
    }

    /// Forgets the windows of earlier calls.
    fn forget_windows(&self) {
        self.0.study.forget_windows();
    }
}
