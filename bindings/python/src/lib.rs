//! The compiled part of the Python package `segvol`. Its classes are used through the package, which names their arguments.

#![forbid(unsafe_code)]

mod array;
mod call;
mod errors;
mod model;
mod options;
mod process;
mod running;
mod saving;
mod segmentation;
mod source;
mod study;

/// The module `segvol._segvol`.
#[pyo3::pymodule]
mod _segvol {
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::segmentation::Segmentation;
    #[pymodule_export]
    use crate::study::Study;

    /// The version of the package and of its compiled part.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
