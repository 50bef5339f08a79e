//! An open bundle.

use std::path::PathBuf;

use pyo3::prelude::*;
use segvol::{Volume, Warning};

use crate::array::{self, Axes};
use crate::errors::{Raise as _, told};
use crate::options::{ModelArguments, StudyArguments, read_options};
use crate::process::{self, OfProcess};
use crate::source::Source;
use crate::study::Study;

/// An open bundle. Threads may share it.
#[pyclass(frozen, module = "segvol._segvol")]
pub(crate) struct Model {
    model: OfProcess<segvol::Model>,
    /// About the stored benchmark.
    warnings: Vec<Warning>,
}

#[pymethods]
impl Model {
    #[new]
    fn open(py: Python<'_>, bundle: PathBuf, arguments: ModelArguments) -> PyResult<Self> {
        let options = arguments.options(py)?;
        process::opens().raise(py)?;
        py.detach(|| {
            let folder = arguments.stored();
            let found = folder.map(|folder| segvol_tuning::look_up(&folder, &bundle, &options));
            let found = found.transpose().map_err(segvol::Error::from)?.unwrap_or_default();
            let model = segvol::Model::open(&bundle, &found.apply(options))?;
            Ok::<_, segvol::Error>(Self { model: OfProcess::new(model), warnings: found.warnings })
        })
        .raise(py)
    }

    /// A study of a file or folder.
    fn study_of_path(
        &self,
        py: Python<'_>,
        path: PathBuf,
        series: Option<String>,
        fill_gaps: bool,
        affine_form: Option<&str>,
        arguments: StudyArguments,
    ) -> PyResult<Study> {
        let read = read_options(py, series, fill_gaps, affine_form)?;
        let options = arguments.options(py)?;
        let model = self.model.here().raise(py)?;
        let study = py.detach(|| model.study_with(Volume::open_with(&path, &read)?, &options)).raise(py)?;
        Ok(Study::new(&self.model, study, Source::File { path, read }, Axes::Ijk))
    }

    /// A study of an array.
    fn study_of_array(
        &self,
        py: Python<'_>,
        array: &Bound<'_, PyAny>,
        affine: [[f64; 4]; 3],
        axes: &str,
        origin: Option<PathBuf>,
        arguments: StudyArguments,
    ) -> PyResult<Study> {
        let axes = Axes::of(py, axes)?;
        let options = arguments.options(py)?;
        let model = self.model.here().raise(py)?;
        let volume = array::volume(array, affine, axes)?;
        let study = py.detach(|| model.study_with(volume, &options)).raise(py)?;
        let source = Source::Array { affine, axes, origin };
        Ok(Study::new(&self.model, study, source, axes))
    }

    /// The provider that runs the graphs.
    #[getter]
    fn provider(&self) -> &'static str {
        self.model.stages().provider().name()
    }

    /// The precision of the graphs.
    #[getter]
    fn precision(&self) -> &'static str {
        self.model.stages().precision().name()
    }

    /// Warnings about how the bundle was opened: code and message.
    #[getter]
    fn warnings(&self) -> Vec<(&'static str, String)> {
        let about_precision = self.model.stages().precision_warning();
        told(&self.warnings).into_iter().chain(told(about_precision.as_slice())).collect()
    }

    /// The SHA-256 of the bundle's manifest.
    #[getter]
    fn manifest_sha256(&self) -> &str {
        self.model.manifest_sha256()
    }
}
