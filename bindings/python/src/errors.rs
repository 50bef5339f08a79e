//! Errors and warnings of the runtime as the package has them.

use std::io;
use std::path::Path;

use pyo3::prelude::*;
use segvol::VolumeError;
use segvol::volume::MaskError;
use segvol_base::{ErrorKind, Warning};
use segvol_objects::SaveError;
use segvol_overlay::OverlayError;
use segvol_segments::SegmentsError;

/// The name of the exception for each kind of error, in `segvol/_errors.py`.
fn exception(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage => "UsageError",
        ErrorKind::Input => "InputError",
        ErrorKind::Bundle => "BundleError",
        ErrorKind::Provider => "ProviderError",
        ErrorKind::Memory => "OutOfMemoryError",
        ErrorKind::Cancelled => "CancelledError",
        ErrorKind::Runtime => "RunError",
    }
}

/// An exception with this message.
pub(crate) fn raised(py: Python<'_>, kind: ErrorKind, message: &str) -> PyErr {
    let made = py.import("segvol._errors").and_then(|errors| errors.getattr(exception(kind))?.call1((message,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// A mistake in the arguments.
pub(crate) fn usage(py: Python<'_>, message: &str) -> PyErr {
    raised(py, ErrorKind::Usage, message)
}

/// What a crate of the toolkit says: the kind and the message.
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
}

macro_rules! failures {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self { kind: error.kind(), message: error.to_string() }
            }
        })+
    };
}

failures!(segvol::Error, VolumeError, MaskError, SegmentsError, SaveError, OverlayError);

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A mistake in the arguments.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// What the operating system says about a file.
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        Self::new(ErrorKind::Runtime, format!("`{}`: {error}", path.display()))
    }

    pub(crate) fn raised(&self, py: Python<'_>) -> PyErr {
        raised(py, self.kind, &self.message)
    }
}

/// Warnings as the package takes them: code and message.
pub(crate) fn told(warnings: &[Warning]) -> Vec<(&'static str, String)> {
    warnings.iter().map(|warning| (warning.code.name(), warning.message.clone())).collect()
}

/// Errors that become exceptions.
pub(crate) trait Raise<T> {
    fn raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<Failure>> Raise<T> for Result<T, E> {
    fn raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| error.into().raised(py))
    }
}
