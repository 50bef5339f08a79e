//! An open bundle.

use std::path::PathBuf;

use pyo3::prelude::*;
use segvol::Volume;

use crate::array::{self, Axes};
use crate::errors::{Raise as _, told};
use crate::options::{StudyArguments, options, read_options};
use crate::study::Study;

/// An open bundle. Threads may share it.
#[pyclass(frozen, module = "segvol._segvol")]
pub(crate) struct Model(segvol::Model);

#[pymethods]
impl Model {
    #[new]
    fn open(
        py: Python<'_>,
        bundle: PathBuf,
        provider: &str,
        precision: Option<&str>,
        threads: Option<usize>,
        library: Option<PathBuf>,
        provider_options: Vec<String>,
    ) -> PyResult<Self> {
        let options = options(py, provider, precision, threads, library, &provider_options)?;
        py.detach(|| segvol::Model::open(bundle, &options)).raise(py).map(Self)
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
        py.detach(|| self.0.study_with(Volume::open_with(path, &read)?, &options))
            .raise(py)
            .map(|study| Study::new(&self.0, study, Axes::Ijk))
    }

    /// A study of an array.
    fn study_of_array(
        &self,
        py: Python<'_>,
        array: &Bound<'_, PyAny>,
        affine: [[f64; 4]; 3],
        axes: &str,
        arguments: StudyArguments,
    ) -> PyResult<Study> {
        let axes = Axes::of(py, axes)?;
        let options = arguments.options(py)?;
        let volume = array::volume(array, affine, axes)?;
        py.detach(|| self.0.study_with(volume, &options)).raise(py).map(|study| Study::new(&self.0, study, axes))
    }

    /// The provider that runs the graphs.
    #[getter]
    fn provider(&self) -> &'static str {
        self.0.stages().provider().name()
    }

    /// The precision of the graphs.
    #[getter]
    fn precision(&self) -> &'static str {
        self.0.stages().precision().name()
    }

    /// Warnings about how the bundle was opened: code and message.
    #[getter]
    fn warnings(&self) -> Vec<(&'static str, String)> {
        told(self.0.stages().precision_warning().as_slice())
    }

    /// The SHA-256 of the bundle's manifest.
    #[getter]
    fn manifest_sha256(&self) -> &str {
        self.0.manifest_sha256()
    }
}
