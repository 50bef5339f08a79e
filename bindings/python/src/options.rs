//! Options from Python: names and numbers, checked here so that messages say what is allowed.

use std::path::PathBuf;

use pyo3::prelude::*;
use segvol::{AffineChoice, Effort, Options, Orientation, Precision, Profile, Provider, ReadOptions, StudyOptions};

use crate::errors::usage;

/// One of several values by its name.
fn named<T: Copy>(py: Python<'_>, what: &str, text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> PyResult<T> {
    all.iter().copied().find(|&value| name(value) == text).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|&value| name(value)).collect();
        usage(py, &format!("{what}: expected one of {}; found {text:?}", names.join(", ")))
    })
}

/// How a bundle is opened.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct ModelArguments {
    provider: String,
    precision: Option<String>,
    threads: Option<usize>,
    library: Option<PathBuf>,
    provider_options: Vec<String>,
    /// The folder with stored benchmarks; `None`: the user's.
    bench_results: Option<PathBuf>,
    use_bench_results: bool,
}

impl ModelArguments {
    pub(crate) fn options(&self, py: Python<'_>) -> PyResult<Options> {
        let provider = named(py, "provider", &self.provider, &Provider::ALL, Provider::name)?;
        let mut options = Options::default().provider(provider);
        for text in &self.provider_options {
            options.provider_options.set(provider, text).map_err(|error| usage(py, &error.to_string()))?;
        }
        if let Some(precision) = &self.precision {
            options = options.precision(named(py, "precision", precision, &Precision::ALL, Precision::name)?);
        }
        options.threads = self.threads;
        options.library.clone_from(&self.library);
        Ok(options)
    }

    /// The folder with what `segvol bench --save` stored.
    pub(crate) fn stored(&self) -> Option<PathBuf> {
        if self.use_bench_results { self.bench_results.clone().or_else(segvol_tuning::folder) } else { None }
    }
}

/// How a scan is segmented.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct StudyArguments {
    orientation: Option<String>,
    profile: String,
    zoom_in: bool,
    effort: String,
    overlap: Option<f64>,
    independent: bool,
    straighten: bool,
    threshold: Option<f64>,
    cache_mib: Option<usize>,
    embeddings: Option<PathBuf>,
}

impl StudyArguments {
    pub(crate) fn options(self, py: Python<'_>) -> PyResult<StudyOptions> {
        let orientation: Option<Result<Orientation, _>> = self.orientation.map(|text| text.parse());
        let orientation = orientation.transpose();
        let orientation = orientation.map_err(|error| usage(py, &format!("orientation: {error}")))?;
        let profile: Profile = self.profile.parse().map_err(|error| usage(py, &format!("profile: {error}")))?;
        let effort = match self.effort.as_str() {
            "fast" => Effort::Fast,
            "balanced" => Effort::Balanced,
            "exact" => Effort::Exact,
            other => return Err(usage(py, &format!("effort: expected one of fast, balanced, exact; found {other:?}"))),
        };
        let mut options = StudyOptions::default()
            .orientation(orientation)
            .profile(profile)
            .zoom_in(self.zoom_in)
            .effort(effort)
            .overlap(self.overlap)
            .independent(self.independent)
            .straighten(self.straighten)
            .embeddings(self.embeddings);
        if let Some(threshold) = self.threshold {
            options = options.threshold(threshold);
        }
        if let Some(mib) = self.cache_mib {
            options = options.cache_bytes(mib.saturating_mul(1 << 20));
        }
        Ok(options)
    }
}

/// How a scan is read.
pub(crate) fn read_options(
    py: Python<'_>,
    series: Option<String>,
    fill_gaps: bool,
    affine: Option<&str>,
) -> PyResult<ReadOptions> {
    let affine = affine
        .map(|text| named(py, "affine_form", text, &[AffineChoice::Sform, AffineChoice::Qform], AffineChoice::name));
    Ok(ReadOptions::default().series(series).fill_gaps(fill_gaps).affine(affine.transpose()?))
}
