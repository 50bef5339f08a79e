//! Which ONNX Runtime library each provider is loaded from: one process can load only one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use segvol::Provider;

/// Names a library for every provider; the runtime looks there too.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// Where `scripts/get-onnxruntime` puts libraries, under the folder that the command is run in.
const FOLDER: &str = ".onnxruntime";

/// A library, for one provider or for all: `openvino=FILE` or `FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedLibrary {
    provider: Option<Provider>,
    file: PathBuf,
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

/// The libraries that were named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Libraries(Vec<NamedLibrary>);

impl Libraries {
    /// Of these; a later one takes the place of an earlier one for the same provider.
    #[must_use]
    pub fn new(named: Vec<NamedLibrary>) -> Self {
        Self(named)
    }

    /// The library to load for a provider: the one named for it, or else for all; else, for a provider that needs a
    /// library of its own, `.onnxruntime/FLAVOUR/` under `folder`; else what `ORT_DYLIB_PATH` says; else
    /// `.onnxruntime/cpu/`. None leaves it to the runtime, which looks at `ORT_DYLIB_PATH`, beside the program, and
    /// where the system keeps libraries.
    #[must_use]
    pub fn of(&self, provider: Provider, folder: &Path) -> Option<PathBuf> {
        let named = |wanted| self.0.iter().rev().find(|named| named.provider == wanted).map(|named| named.file.clone());
        if let Some(file) = named(Some(provider)).or_else(|| named(None)) {
            return Some(file);
        }
        let fetched = |flavour: &str| {
            let file = folder.join(FOLDER).join(flavour).join("libonnxruntime.so");
            file.is_file().then_some(file)
        };
        let own = match provider.name() {
            "openvino" => fetched("openvino"),
            "cuda" | "tensorrt" => fetched("gpu"),
            _ => None,
        };
        own.or_else(|| {
            let told = std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty());
            if told { None } else { fetched("cpu") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_for_one_provider_or_for_all() {
        let libraries = ["all.so", "openvino=/a/one.so", "openvino=/b=c/two.so"].map(|text| text.parse().expect(text));
        let libraries = Libraries::new(libraries.to_vec());
        let nowhere = Path::new("/nowhere");
        assert_eq!(libraries.of(Provider::OpenVino, nowhere), Some("/b=c/two.so".into()));
        assert_eq!(libraries.of(Provider::Cpu, nowhere), Some("all.so".into()));
        assert_eq!("./a=b.so".parse::<NamedLibrary>().expect("a path").provider, None);
        assert!("abacus=a.so".parse::<NamedLibrary>().is_err_and(|error| error.contains("abacus")));
    }

    #[test]
    fn a_provider_of_its_own_library_finds_it_where_it_was_fetched_to() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().join(".onnxruntime/openvino");
        std::fs::create_dir_all(&place).expect("a folder");
        let file = place.join("libonnxruntime.so");
        std::fs::write(&file, "").expect("written");
        assert_eq!(Libraries::default().of(Provider::OpenVino, dir.path()), Some(file));
        assert_eq!(Libraries::default().of(Provider::Cuda, dir.path()), None);
    }
}
