//! Which ONNX Runtime library each provider uses. A process can load only one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use segvol::Provider;
use segvol::probe::{flavour_of, of_flavour};

/// A library or its folder, for one provider or for all: `openvino=PATH` or `PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLibrary {
    provider: Option<Provider>,
    file: PathBuf,
}

impl NamedLibrary {
    /// The library or its folder.
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
}

impl Libraries {
    /// The libraries in `named`, of which the last one for a provider counts, and those that are found.
    #[must_use]
    pub fn new(named: Vec<NamedLibrary>) -> Self {
        Self { named }
    }

    /// The library for a provider. The first of these that exists:
    ///
    /// 1. the library named for this provider;
    /// 2. the library named for all providers;
    /// 3. for OpenVINO, CUDA and TensorRT, which need special builds: their flavour, where [`segvol::probe::places`] looks for
    ///    flavours. `ORT_DYLIB_PATH` does not come first here, because it cannot name the libraries of several providers.
    ///
    /// `None` leaves the choice to the runtime.
    #[must_use]
    pub fn of(&self, provider: Provider) -> Option<PathBuf> {
        let named =
            |wanted| self.named.iter().rev().find(|named| named.provider == wanted).map(|named| named.file.clone());
        named(Some(provider)).or_else(|| named(None)).or_else(|| of_flavour(flavour_of(provider)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_for_one_provider_or_for_all() {
        let libraries = ["all.so", "openvino=/a/one.so", "openvino=/b=c/two.so"].map(|text| text.parse().expect(text));
        let libraries = Libraries::new(libraries.to_vec());
        assert_eq!(libraries.of(Provider::OpenVino), Some("/b=c/two.so".into()));
        assert_eq!(libraries.of(Provider::Cpu), Some("all.so".into()));
        assert_eq!("./a=b.so".parse::<NamedLibrary>().expect("a path").provider, None);
        assert!("abacus=a.so".parse::<NamedLibrary>().is_err_and(|error| error.contains("abacus")));
    }
}
