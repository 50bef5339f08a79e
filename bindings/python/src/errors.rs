//! Errors and warnings of the runtime as the package has them.

use pyo3::prelude::*;
use segvol_base::{ErrorKind, Warning};

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

/// What the runtime says, as an exception.
pub(crate) fn of(py: Python<'_>, error: &segvol::Error) -> PyErr {
    raised(py, error.kind(), &error.to_string())
}

/// Warnings as the package takes them: code and message.
pub(crate) fn told(warnings: &[Warning]) -> Vec<(&'static str, String)> {
    warnings.iter().map(|warning| (warning.code.name(), warning.message.clone())).collect()
}

/// Errors that become exceptions.
pub(crate) trait Raise<T> {
    fn raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T, E: Into<segvol::Error>> Raise<T> for Result<T, E> {
    fn raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| of(py, &error.into()))
    }
}
