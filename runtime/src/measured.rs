//! What a stored benchmark says about a bundle on this machine, for [`Provider::Auto`].
//!
//! The runtime reads no file: the caller hands it the measured ways to open the bundle, the best first.

use std::path::{Path, PathBuf};

use segvol_onnx::Precision;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::onnxruntime::library;
use crate::provider::{PassedOver, Provider};

/// Measured ways to open one bundle on this machine, for [`Options::measured`](crate::Options::measured).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Where the measurement is stored, for the report.
    pub file: String,
    /// SHA-256 of the manifest of the measured bundle, in hexadecimal. It is used for no other bundle.
    #[serde(skip)]
    pub manifest_sha256: String,
    /// The library of all rows without a reason, and its version. They are used with no other library.
    #[serde(skip)]
    pub library: Option<(PathBuf, String)>,
    /// Why no row can be used; `None` if one can.
    pub reason: Option<String>,
    /// The rows: those that may be chosen, in the order in which they are tried, and the others.
    pub rows: Vec<MeasuredRow>,
}

/// One measured way to open a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredRow {
    /// The provider.
    pub provider: Provider,
    /// The precision of the bundle's graphs.
    pub precision: Precision,
    /// The options of the provider, each as `PROVIDER.KEY=VALUE`.
    pub provider_options: Vec<String>,
    /// Median time of the image encoder for one window, in milliseconds.
    pub encode_ms: f64,
    /// Mean Dice of its masks with those of float32 on the CPU provider, of the worst scan; `None` if it was not measured.
    pub dice: Option<f64>,
    /// Why the row was not chosen; `None` if it was, or may be.
    pub reason: Option<String>,
}

impl Measured {
    /// No row, for the given reason.
    #[must_use]
    pub fn unused(file: &Path, reason: impl Into<String>) -> Self {
        let (file, reason) = (file.display().to_string(), Some(reason.into()));
        Self { file, manifest_sha256: String::new(), library: None, reason, rows: Vec::new() }
    }

    /// The row that the bundle was opened with; `None` if there is none.
    #[must_use]
    pub fn chosen(&self) -> Option<&MeasuredRow> {
        self.rows.iter().find(|row| row.reason.is_none())
    }

    /// Opens the bundle as the first row says that can be opened. `None`, with the reasons in the rows, if there is none: a
    /// measurement is never the reason for an error.
    pub(crate) fn open<T>(
        &mut self,
        manifest_sha256: &str,
        asked: Option<Precision>,
        open: impl Fn(&MeasuredRow) -> Result<T, Error>,
    ) -> Option<T> {
        let refused = self.reason.clone().or_else(|| self.mismatch(manifest_sha256));
        let mut opened = None;
        for row in self.rows.iter_mut().filter(|row| row.reason.is_none()) {
            row.reason = match &refused {
                Some(reason) => Some(reason.clone()),
                None if opened.is_some() => Some(format!("slower: {:.1} ms a window", row.encode_ms)),
                None if asked.is_some_and(|asked| asked != row.precision) => {
                    Some("another precision was requested".to_owned())
                }
                None => match open(row) {
                    Ok(found) => {
                        opened = Some(found);
                        None
                    }
                    Err(error) => Some(format!("cannot be opened: {error}")),
                },
            };
        }
        if opened.is_none() {
            self.reason = refused.or_else(|| Some("no measured way to open the bundle can be used".to_owned()));
        }
        if let Some(row) = self.chosen() {
            tracing::info!(provider = %row.provider, precision = %row.precision, file = self.file, "chosen by measurement");
        } else {
            tracing::info!(reason = self.reason, file = self.file, "measurement not used");
        }
        opened
    }

    /// Why the rows say nothing about this bundle in this process.
    fn mismatch(&self, manifest_sha256: &str) -> Option<String> {
        if self.manifest_sha256 != manifest_sha256 {
            return Some("measured with another bundle".to_owned());
        }
        let (path, version) = self.library.as_ref()?;
        let (loaded, _) = library::loaded()?;
        let file = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if file(path) != file(&loaded) {
            return Some(format!("measured with the library `{}`, and another one is loaded", path.display()));
        }
        let found = library::library_version();
        (*version != found).then(|| format!("measured with ONNX Runtime {version}; the library is now {found}"))
    }

    /// The providers that [`Provider::Auto`] would have tried, except `used`, with the reasons.
    pub(crate) fn passed_over(&self, used: Provider) -> Vec<PassedOver> {
        let others = Provider::AUTO.into_iter().filter(|&provider| provider != used);
        let reason = |provider| {
            let row = self.rows.iter().find(|row| row.provider == provider);
            row.and_then(|row| row.reason.clone()).unwrap_or_else(|| "not measured".to_owned())
        };
        others.map(|provider| PassedOver { provider, reason: reason(provider) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(provider: Provider, precision: Precision, encode_ms: f64) -> MeasuredRow {
        MeasuredRow { provider, precision, provider_options: vec![], encode_ms, dice: None, reason: None }
    }

    fn two() -> Measured {
        Measured {
            manifest_sha256: "a".to_owned(),
            reason: None,
            rows: vec![row(Provider::OpenVino, Precision::Fp32, 5.0), row(Provider::Cpu, Precision::Fp32, 9.0)],
            ..Measured::unused(Path::new("file"), "")
        }
    }

    #[test]
    fn the_first_row_that_opens_is_used_and_the_others_say_why_not() {
        let mut found = two();
        let opened = found.open("a", None, |row| match row.provider {
            Provider::Cpu => Ok(row.encode_ms),
            _ => Err(Error::Cancelled),
        });
        assert_eq!(opened, Some(9.0));
        assert_eq!(found.chosen().map(|row| row.provider), Some(Provider::Cpu));
        assert!(found.rows[0].reason.as_ref().is_some_and(|reason| reason.starts_with("cannot be opened: ")));
        assert_eq!(found.reason, None);
        let passed = found.passed_over(Provider::Cpu);
        assert_eq!(passed.len(), Provider::AUTO.len() - 1);
        assert!(passed.iter().any(|passed| passed.provider == Provider::Cuda && passed.reason == "not measured"));

        let mut found = two();
        assert_eq!(found.open("a", None, |row| Ok(row.provider)), Some(Provider::OpenVino));
        assert_eq!(found.rows[1].reason.as_deref(), Some("slower: 9.0 ms a window"));
    }

    #[test]
    fn another_bundle_or_precision_opens_nothing() {
        let never = |_: &MeasuredRow| -> Result<(), Error> { panic!("opened") };
        let mut found = two();
        assert_eq!(found.open("b", None, never), None);
        assert_eq!(found.reason.as_deref(), Some("measured with another bundle"));
        assert!(found.chosen().is_none());
        let mut found = two();
        assert_eq!(found.open("a", Some(Precision::Int8), never), None);
        assert_eq!(found.rows[0].reason.as_deref(), Some("another precision was requested"));
        assert!(found.reason.is_some());
        let mut found = Measured { reason: Some("damaged".to_owned()), ..two() };
        assert_eq!(found.open("a", None, never), None);
        assert_eq!(found.reason.as_deref(), Some("damaged"));
    }
}
