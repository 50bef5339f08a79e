//! Which ONNX Runtime library each provider uses. A process can load only one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use segvol::Provider;
use segvol::probe::{FETCHED_FOLDER, LIBRARY_NAME, LIBRARY_VARIABLE};

/// A library, for one provider or for all: `openvino=FILE` or `FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLibrary {
    provider: Option<Provider>,
    file: PathBuf,
}

impl NamedLibrary {
    /// The library.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl FromStr for NamedLibrary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may have `=` in it, a provider's name may not have `/`.
        match text.split_once('=').filter(|(name, _)| !name.contains(['/', '\\', '.'])) {
            Some((name, file)) => Ok(Self { provider: Some(name.parse()?), file: file.into() }),
            None => Ok(Self { provider: None, file: text.into() }),
        }
    }
}

/// Finds the library of each provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Libraries {
    named: Vec<NamedLibrary>,
    folder: PathBuf,
}

impl Libraries {
    /// The libraries in `named`, of which the last one for a provider counts, and those in `.onnxruntime` of `folder`.
    #[must_use]
    pub fn new(named: Vec<NamedLibrary>, folder: PathBuf) -> Self {
        Self { named, folder }
    }

    /// The library for a provider. The first of these that exists:
    ///
    /// 1. the library named for this provider;
    /// 2. the library named for all providers;
    /// 3. for OpenVINO, CUDA and TensorRT, which need special builds: `.onnxruntime/FLAVOUR/`;
    /// 4. unless the environment variable `ORT_DYLIB_PATH` is set: `.onnxruntime/cpu/`.
    ///
    /// `None` leaves the choice to the runtime, which tries `ORT_DYLIB_PATH`, the program's folder, and the system's
    /// library folders.
    #[must_use]
    pub fn of(&self, provider: Provider) -> Option<PathBuf> {
        let named =
            |wanted| self.named.iter().rev().find(|named| named.provider == wanted).map(|named| named.file.clone());
        if let Some(file) = named(Some(provider)).or_else(|| named(None)) {
            return Some(file);
        }
        let fetched = |flavour: &str| {
            let file = self.folder.join(FETCHED_FOLDER).join(flavour).join(LIBRARY_NAME);
            file.is_file().then_some(file)
        };
        let own = match provider {
            Provider::OpenVino => fetched("openvino"),
            Provider::Cuda | Provider::TensorRt => fetched("gpu"),
            _ => None,
        };
        own.or_else(|| {
            let set = std::env::var_os(LIBRARY_VARIABLE).is_some_and(|value| !value.is_empty());
            if set { None } else { fetched("cpu") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_for_one_provider_or_for_all() {
        let libraries = ["all.so", "openvino=/a/one.so", "openvino=/b=c/two.so"].map(|text| text.parse().expect(text));
        let libraries = Libraries::new(libraries.to_vec(), "/nowhere".into());
        assert_eq!(libraries.of(Provider::OpenVino), Some("/b=c/two.so".into()));
        assert_eq!(libraries.of(Provider::Cpu), Some("all.so".into()));
        assert_eq!("./a=b.so".parse::<NamedLibrary>().expect("a path").provider, None);
        assert!("abacus=a.so".parse::<NamedLibrary>().is_err_and(|error| error.contains("abacus")));
    }

    #[test]
    fn a_provider_of_its_own_library_finds_it_where_it_was_fetched_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().join(".onnxruntime/openvino");
        std::fs::create_dir_all(&place).expect("a folder");
        let file = place.join(LIBRARY_NAME);
        std::fs::write(&file, "").expect("written");
        let libraries = Libraries::new(vec![], dir.path().to_owned());
        assert_eq!(libraries.of(Provider::OpenVino), Some(file));
        assert_eq!(libraries.of(Provider::Cuda), None);
    }
}
