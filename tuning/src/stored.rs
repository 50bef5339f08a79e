//! The file of a stored benchmark: `docs/schemas/bench.schema.json`.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use segvol::{Model, Precision, Provider, onnxruntime_library, probe};
use segvol_base::{ErrorKind, atomic_file, create_folder, machine};
use segvol_onnx::manifest::sha256_file;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// The version of the file's layout.
pub const SCHEMA_VERSION: u32 = 1;

/// The masks of a less exact row must have at least this mean Dice with those of float32 on the CPU provider, in each scan.
pub const MIN_DICE: f64 = 0.99;

/// The folder for stored benchmarks, below the one for what segvol keeps for the user.
const FOLDER: &str = "bench";

/// A larger file is no stored benchmark.
const MAX_BYTES: u64 = 4 << 20;

/// The digits of the manifest's hash in the name of a file.
const HASH_DIGITS: usize = 16;

/// What was measured with one bundle on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The version of this layout.
    pub schema_version: u32,
    /// The program that measured, with its version.
    pub tool: String,
    /// The machine.
    pub machine: Machine,
    /// SHA-256 of the bundle's manifest, in hexadecimal.
    pub manifest_sha256: String,
    /// One entry for each way to open the bundle whose image encoder had the right outputs.
    pub rows: Vec<Row>,
}

/// One measured way to open the bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The provider of all stages.
    pub provider: Provider,
    /// The precision of the bundle's graphs.
    pub precision: Precision,
    /// The options of the provider, each as `PROVIDER.KEY=VALUE`.
    pub provider_options: Vec<String>,
    /// Threads per graph.
    pub threads: usize,
    /// ONNX Runtime's library.
    pub library: Library,
    /// Time of the image encoder for one window.
    pub encode_ms: Times,
    /// Time of the mask decoder for one prompt; `None` if it was not measured.
    pub decode_ms: Option<Times>,
    /// Largest memory of the processes that ran the image encoder and the mask decoder, together, in bytes; `None` if it is not
    /// available.
    pub peak_bytes: Option<u64>,
    /// The stages whose outputs differ too much from float32 on the CPU provider, or the reason why the comparison failed; empty
    /// if all passed.
    pub failed: Vec<String>,
    /// The comparison of masks with those of float32 on the CPU provider; `None` if there was none.
    pub gate: Option<Gate>,
}

/// A library file, as it was when it was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// The file, or only its name if the system's loader found it.
    pub path: PathBuf,
    /// SHA-256 of the file, in hexadecimal; `None` if only its name is known.
    pub sha256: Option<String>,
    /// The version that the library states.
    pub version: String,
}

impl Library {
    /// The library at `path`, whose version is known.
    #[must_use]
    pub fn new(path: PathBuf, version: String) -> Self {
        Self { sha256: sha256_file(&path).ok(), path, version }
    }
}

/// Statistics of the timed runs, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Number of runs.
    pub runs: usize,
    /// Shortest.
    pub min: f64,
    /// Half of the runs are faster.
    pub median: f64,
    /// 90 of 100 runs are faster.
    pub p90: f64,
    /// 99 of 100 runs are faster.
    pub p99: f64,
    /// Longest.
    pub max: f64,
}

/// How well the masks of a row agree with those of float32 on the CPU provider.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The mean Dice of a scan's masks, of the scan where it is lowest. Masks that are empty on both sides do not count.
    pub dice: f64,
    /// Number of scans.
    pub scans: usize,
    /// Number of masks.
    pub masks: usize,
}

impl Row {
    /// Whether its masks must have been compared before `auto` may choose it. Float32 without provider options needs no gate, nor
    /// does float16 where it is what `auto` chooses anyway; Core ML may compute in float16 whatever the graph says.
    #[must_use]
    pub fn needs_gate(&self) -> bool {
        let gpu = matches!(self.provider, Provider::Cuda | Provider::TensorRt);
        let exact = self.precision == Precision::Fp32 || (self.precision == Precision::Fp16 && gpu);
        !(exact && self.provider_options.is_empty() && self.provider != Provider::CoreMl)
    }

    fn problem(&self) -> Option<String> {
        let times = [Some(self.encode_ms), self.decode_ms];
        let wrong = |ms: f64| !(ms.is_finite() && ms > 0.0);
        let wrong = |times: &Times| [times.min, times.median, times.p90, times.p99, times.max].into_iter().any(wrong);
        if times.iter().flatten().any(wrong) {
            return Some("expected times above 0".to_owned());
        }
        if self.gate.is_some_and(|gate| !(0.0..=1.0).contains(&gate.dice)) {
            return Some("expected a Dice between 0 and 1".to_owned());
        }
        (self.provider == Provider::Auto).then(|| "expected the provider that was used, found auto".to_owned())
    }
}

/// A file that is not a stored benchmark of this version, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("stored benchmark `{}`: {reason}", path.display())]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub reason: String,
}

impl Unusable {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// The user's folder for stored benchmarks: `bench` in the folder of the variable `SEGVOL_HOME`, else in `segvol` in the user's data
/// folder. `None` if the user has no home folder.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    probe::user_folder(FOLDER)
}

/// The file for a bundle and a machine in a folder.
#[must_use]
pub fn file(folder: &Path, manifest_sha256: &str, machine: &Machine) -> PathBuf {
    folder.join(format!("{}{}.json", file_prefix(manifest_sha256), machine.file_name()))
}

/// What the names of all files of a bundle begin with.
pub(crate) fn file_prefix(manifest_sha256: &str) -> String {
    let hash: String = manifest_sha256.chars().take(HASH_DIGITS).collect();
    format!("{hash}-")
}

impl Stored {
    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Unusable`] if the file cannot be read, or is not a stored benchmark of this version.
    pub fn read(path: &Path) -> Result<Option<Self>, Unusable> {
        let unusable = |reason: String| Unusable { path: path.to_owned(), reason };
        let is_file = match std::fs::metadata(path) {
            Ok(found) => found.is_file(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(error.to_string())),
        };
        if !is_file {
            return Err(unusable("expected a regular file".to_owned()));
        }
        let mut text = String::new();
        let opened = std::fs::File::open(path).map_err(|error| unusable(error.to_string()))?;
        opened.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| unusable(error.to_string()))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(unusable(format!("expected at most {MAX_BYTES} bytes")));
        }
        Self::parse(&text).map(Some).map_err(unusable)
    }

    fn parse(text: &str) -> Result<Self, String> {
        /// The version alone: a later one may have other fields.
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if schema_version != SCHEMA_VERSION {
            return Err(format!("expected schema_version {SCHEMA_VERSION}, found {schema_version}"));
        }
        let stored: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let problem = stored.rows.iter().enumerate().find_map(|(index, row)| Some((index, row.problem()?)));
        match problem {
            Some((index, problem)) => Err(format!("row {}: {problem}", index + 1)),
            None => Ok(stored),
        }
    }

    /// Writes the file of this bundle and machine into a folder, which is made if it does not exist. Returns its path. An earlier file
    /// is replaced in one step.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn save(&self, folder: &Path) -> io::Result<PathBuf> {
        create_folder(folder)?;
        let path = file(folder, &self.manifest_sha256, &self.machine);
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        atomic_file::write(&path, |mut file| file.write_all(text.as_bytes()))?;
        Ok(path)
    }

    /// What a run should take; `None` if it was not measured.
    #[must_use]
    pub fn expected(&self, run: &Run) -> Option<Expected> {
        let file = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let row = self.rows.iter().find(|row| {
            row.provider == run.provider
                && row.precision == run.precision
                && row.threads == run.threads
                && row.provider_options == run.provider_options
                && file(&row.library.path) == file(&run.library)
        })?;
        let median = |times: Times| times.median;
        Some(Expected {
            encode_ms: row.encode_ms.median,
            decode_ms: row.decode_ms.map(median),
            peak_bytes: row.peak_bytes,
        })
    }
}

/// How a bundle is run, for [`expected`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The provider of all stages.
    pub provider: Provider,
    /// The precision of the bundle's graphs.
    pub precision: Precision,
    /// The options of the provider, each as `PROVIDER.KEY=VALUE`.
    pub provider_options: Vec<String>,
    /// Threads per graph.
    pub threads: usize,
    /// ONNX Runtime's library.
    pub library: PathBuf,
}

impl Run {
    /// How an open model runs. `None` if stages run on several providers, if provider options were set that no measurement chose,
    /// or if the library is not known.
    #[must_use]
    pub fn of(model: &Model) -> Option<Self> {
        let options = model.options();
        if !options.stage_providers.is_empty() || options.provider_options != segvol::ProviderOptions::default() {
            return None;
        }
        let chosen = model.measured().and_then(|measured| measured.chosen());
        Some(Self {
            provider: model.stages().provider(),
            precision: model.stages().precision(),
            provider_options: chosen.map_or_else(Vec::new, |row| row.provider_options.clone()),
            threads: options.threads.unwrap_or_else(machine::usable_cores),
            library: onnxruntime_library()?,
        })
    }
}

/// What a run should take, by a stored benchmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Milliseconds for a window, the median.
    pub encode_ms: f64,
    /// Milliseconds for a prompt in one window, the median; `None` if it was not measured.
    pub decode_ms: Option<f64>,
    /// Memory of the image encoder and the mask decoder with everything that they need, in bytes, without the scan; `None` if it is
    /// not available.
    pub peak_bytes: Option<u64>,
}

/// What a run of a bundle should take on this machine, by the stored benchmark in `folder`. `None` if there is none, if it cannot be
/// read, or if it does not contain this run.
#[must_use]
pub fn expected(folder: &Path, manifest_sha256: &str, run: &Run) -> Option<Expected> {
    let machine = Machine::this();
    let stored = Stored::read(&file(folder, manifest_sha256, &machine)).ok()??;
    (stored.machine == machine && stored.manifest_sha256 == manifest_sha256).then(|| stored.expected(run))?
}
