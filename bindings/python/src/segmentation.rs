//! What was found of one object.

use std::borrow::Cow;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use segvol::mask::Labels;

use crate::array;
use crate::call::Call;
use crate::errors::{Raise as _, told};
use crate::saving::{Chosen, DicomArguments};

/// What was found of one object.
#[pyclass(frozen, module = "segvol._segvol")]
pub(crate) struct Segmentation {
    call: Arc<Call>,
    index: usize,
}

impl Segmentation {
    pub(crate) fn new(call: &Arc<Call>, index: usize) -> Self {
        Self { call: Arc::clone(call), index }
    }

    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    fn only(&self) -> Range<usize> {
        self.index..self.index + 1
    }

    fn chosen(&self, py: Python<'_>) -> PyResult<Chosen<'_>> {
        Ok(Chosen { call: self.call.here().raise(py)?, range: self.only() })
    }

    fn found(&self) -> &segvol::Segmentation {
        &self.call.segmentations[self.index]
    }

    fn array_of<'py>(
        &self,
        py: Python<'py>,
        values: impl FnOnce() -> Result<Vec<f32>, segvol::Error> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.call.here().raise(py)?;
        let values = py.detach(values).raise(py)?;
        array::array(py, values, self.call.open.study.grid().shape_xyz(), self.call.open.axes)
    }
}

#[pymethods]
impl Segmentation {
    /// The object's name.
    #[getter]
    fn name(&self) -> &str {
        self.found().name()
    }

    /// Its label in the label map of the call, from 1.
    #[getter]
    fn label(&self) -> usize {
        self.index + 1
    }

    /// Whether these are all objects of this one's call, in their order.
    fn is_call(&self, segmentations: Vec<PyRef<'_, Self>>) -> bool {
        let all = segmentations.len() == self.call.prompts.len();
        all && segmentations
            .iter()
            .enumerate()
            .all(|(index, one)| one.index == index && Arc::ptr_eq(&one.call, &self.call))
    }

    /// The mask after postprocessing: 0 and 1, uint8, which the package shows as bool without a copy.
    fn mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.call.here().raise(py)?;
        let inside = py.detach(|| {
            let mask = self.call.finished(self.only())?.mask(0)?;
            Ok::<_, segvol::Error>(match mask.into_labels() {
                Labels::U8(inside) => inside,
                Labels::U16(labels) => labels.into_iter().map(|label| u8::from(label == 1)).collect(),
            })
        });
        array::array(py, inside.raise(py)?, self.call.open.study.grid().shape_xyz(), self.call.open.axes)
    }

    /// The logits, float32; NaN outside the crop.
    fn logits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array_of(py, || self.found().logit_map())
    }

    /// The probabilities, float32; 0 outside the crop.
    fn probabilities<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array_of(py, || self.found().probability_map())
    }

    /// Writes the mask; the name of the file says how. Warnings: code and message.
    fn save(&self, py: Python<'_>, path: PathBuf, dicom: DicomArguments) -> PyResult<Vec<(&'static str, String)>> {
        let chosen = self.chosen(py)?;
        py.detach(|| chosen.save(&path, &dicom)).raise(py).map(|warnings| told(&warnings))
    }

    /// Slices with the object's contour, PNG.
    fn picture(
        &self,
        py: Python<'_>,
        axis: &str,
        window: (f64, f64),
        voxels: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Cow<'static, [u8]>> {
        self.chosen(py)?.picture(py, axis, window, voxels).map(Cow::Owned)
    }

    /// The volume of the mask in millilitres.
    #[getter]
    fn volume_ml(&self, py: Python<'_>) -> PyResult<f64> {
        let call = self.call.here().raise(py)?;
        py.detach(|| Ok::<_, segvol::Error>(call.finished(self.only())?.mask(0)?.volume_ml(1))).raise(py)
    }

    /// The report of the call, JSON.
    fn report(&self, py: Python<'_>) -> PyResult<String> {
        let call = self.call.here().raise(py)?;
        py.detach(|| call.report()).raise(py)
    }

    /// Warnings about this object: code and message.
    #[getter]
    fn warnings(&self) -> Vec<(&'static str, String)> {
        told(self.found().warnings())
    }
}
