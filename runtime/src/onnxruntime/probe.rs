//! Lists what this machine has to run graphs: ONNX Runtime libraries, their providers, devices, the processor.
//!
//! A process can load only one library. To probe several, call [`probe`] for each in its own process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::memory::DeviceType;
use ort::session::Session;
use ort::value::TensorRef;
use segvol_base::machine;
use segvol_onnx::{Dim, Graph, TensorSpec, save};
use serde::{Deserialize, Serialize};

use super::graph_source::GraphSource;
use super::library;
use super::provider::{ProviderOptions, Settings};
use super::session::{self, Refused};
use super::{foreign, placement};
use crate::error::Error;
use crate::provider::Provider;

pub use super::library::{flavour_of, places};
pub use segvol_library::{
    FETCHED_FOLDER, FLAVOURS, HOME_VARIABLE, LIBRARY_NAME, LIBRARY_VARIABLE, LOADER, Place, REQUESTED, chosen,
    installed_folder, of_flavour, user_folder,
};

/// A library file that may be ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The library file, or only its name if the dynamic loader searches for it.
    pub path: PathBuf,
    /// How it was found: `requested`, a name of a variable, or a description in words.
    pub found_by: String,
}

/// The providers and devices of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryReport {
    /// The library.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// The library's version; `None` if it could not be loaded.
    pub version: Option<String>,
    /// Version, commit and build flags, as the library states them; `None` if it cannot be used.
    pub build: Option<String>,
    /// Why the library cannot be used; `None` if it can.
    pub problem: Option<String>,
    /// Every provider, with the result of its test; empty if the library cannot be used.
    pub providers: Vec<ProviderState>,
    /// The devices that the library has found.
    pub devices: Vec<Device>,
}

/// Whether a provider can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderState {
    /// The provider.
    pub provider: Provider,
    /// Whether the library was built with the provider.
    pub compiled_in: bool,
    /// Whether the provider computed a matrix product correctly.
    pub usable: bool,
    /// Why it cannot be used; `None` if it can.
    pub reason: Option<String>,
}

/// A device that a library has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// ONNX Runtime's name for the provider that would use the device; empty if it is not readable as text.
    pub provider: String,
    /// `cpu`, `gpu`, `npu` or `fpga`.
    pub kind: String,
    /// The maker of the device; empty if it is not readable as text.
    pub vendor: String,
    /// The maker's number for the device; 0 if unknown.
    pub id: u32,
}

/// The processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// The processor's name; `None` if the system does not provide it.
    pub model: Option<String>,
    /// Number of threads that a graph gets by default: the cores that this process may use.
    pub threads: usize,
    /// Why that is less than the machine's number of processors; `None` if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Instruction sets that decide how fast a precision is, each with whether the processor has it.
    pub features: Vec<Feature>,
}

/// An instruction set of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether the processor has it.
    pub present: bool,
    /// What ONNX Runtime uses it for.
    pub meaning: String,
}

/// Every library that is found where [`places`] looks, in that order. The first is the one that [`crate::Model::open`] uses
/// if [`crate::Options::library`] is `asked`, unless a flavour is preferred for the requested provider.
#[must_use]
pub fn candidates(asked: Option<&Path>) -> Vec<Candidate> {
    let mut seen = BTreeSet::new();
    let mut candidates = Vec::new();
    for place in places(asked, &[]) {
        // A path that is named is shown even if nothing is there, with the reason.
        let named = [REQUESTED, LIBRARY_VARIABLE].contains(&&*place.name);
        let Some(path) = place.library.or(place.path.filter(|_| named)) else { continue };
        if seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            candidates.push(Candidate { path, found_by: place.name });
        }
    }
    candidates
}

/// Loads a library and tests all its providers. The library stays loaded, so a process can probe only one.
#[must_use]
pub fn probe(candidate: Candidate) -> LibraryReport {
    let mut report = LibraryReport {
        candidate,
        version: None,
        build: None,
        problem: None,
        providers: Vec::new(),
        devices: Vec::new(),
    };
    // Read before ONNX Runtime is initialised, so that the version of a library that is too old is known too.
    report.version = foreign::onnxruntime_version(&report.candidate.path).ok();
    match library::environment_of(&report.candidate.path) {
        Ok(environment) => {
            report.build = Some(library::library_info());
            report.devices = devices(&environment);
            report.providers = providers(&environment);
        }
        Err(Error::Library { reason, .. }) => report.problem = Some(reason),
        Err(error) => report.problem = Some(error.to_string()),
    }
    report
}

/// As [`probe`], for the library that [`crate::Model::open`] would use: the one that this process has already loaded, else
/// `library`, else the one that is found without it.
///
/// # Errors
///
/// [`Error::Library`] if the library cannot be loaded, or if this process has loaded another one than `library`.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn probe_own(library: Option<&Path>) -> Result<LibraryReport, Error> {
    let environment = library::environment(library, &[])?;
    let (path, found_by) = library::loaded().expect("an environment has a loaded library");
    Ok(LibraryReport {
        version: foreign::onnxruntime_version(&path).ok(),
        candidate: Candidate { path, found_by },
        build: Some(library::library_info()),
        problem: None,
        devices: devices(&environment),
        providers: providers(&environment),
    })
}

fn devices(environment: &Environment) -> Vec<Device> {
    let device = |device: ort::device::Device<'_>| {
        let hardware = device.hardware_device();
        Device {
            provider: device.ep().unwrap_or_default().to_owned(),
            kind: match hardware.ty() {
                DeviceType::CPU => "cpu",
                DeviceType::GPU => "gpu",
                DeviceType::NPU => "npu",
                DeviceType::FPGA => "fpga",
            }
            .to_owned(),
            vendor: hardware.vendor().unwrap_or_default().to_owned(),
            id: hardware.id(),
        }
    };
    environment.devices().map(device).collect()
}

fn providers(environment: &Environment) -> Vec<ProviderState> {
    let trial = Trial::new();
    let state = |provider: Provider| {
        let compiled_in = provider.is_compiled_in();
        let result = match &trial {
            _ if !compiled_in => Err("the library was built without it".to_owned()),
            Ok(trial) => trial.run(environment, provider),
            Err(error) => Err(format!("cannot write the test graph: {error}")),
        };
        ProviderState { provider, compiled_in, usable: result.is_ok(), reason: result.err() }
    };
    Provider::ALL.into_iter().filter(|&provider| provider != Provider::Auto).map(state).collect()
}

/// A graph with one node that every provider should take: the product of two matrices.
struct Trial {
    folder: segvol_base::TemporaryFolder,
    input: TensorSpec,
}

impl Trial {
    /// Number of rows and of columns.
    const SIZE: usize = 8;
    const FILE: &str = "trial.onnx";

    fn new() -> std::io::Result<Self> {
        let shape = [Dim::Fixed(Self::SIZE), Dim::Fixed(Self::SIZE)];
        let input = TensorSpec::float("x", shape.clone());
        let graph = Graph::new("trial");
        let x = graph.input(&input);
        let weight = graph.floats("weight", &[Self::SIZE; 2], &Self::weight());
        graph.output(&TensorSpec::float("y", shape), &graph.mat_mul(&x, &weight));
        let folder = segvol_base::TemporaryFolder::new()?;
        save::save_model(folder.path(), Self::FILE, &graph.to_model())?;
        Ok(Self { folder, input })
    }

    /// A matrix that doubles values and reverses columns, so that a provider cannot skip the product.
    fn weight() -> Vec<f32> {
        let mut weight = vec![0.0; Self::SIZE * Self::SIZE];
        for row in 0..Self::SIZE {
            weight[row * Self::SIZE + Self::SIZE - 1 - row] = 2.0;
        }
        weight
    }

    /// Runs the graph on a provider. The error says why there is no correct product.
    fn run(&self, environment: &Environment, provider: Provider) -> Result<(), String> {
        let settings = Settings {
            stage: None,
            inputs: std::slice::from_ref(&self.input),
            threads: Some(1),
            bundle: None,
            onnxruntime: "",
            options: &ProviderOptions::default(),
            place: None,
        };
        let graph = GraphSource::File(self.folder.path().join(Self::FILE));
        let opened = session::open(environment, &graph, provider, &settings);
        let mut session = opened.map_err(|(Refused::Provider(reason) | Refused::Graph(reason))| reason)?;
        let name = provider.onnxruntime_name();
        if !placement::assigned_nodes(&session).iter().any(|node| node.provider == name) {
            return Err("it took no node of the test graph, a matrix product".to_owned());
        }
        let found = product(&mut session).map_err(|error| error.to_string())?;
        let right = found.chunks_exact(Self::SIZE).enumerate().all(|(row, found)| {
            let expected = (0..Self::SIZE).rev().map(|column| 2.0 * input(row, column));
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3)
        });
        if right { Ok(()) } else { Err(format!("the matrix product of the test graph is wrong: {found:?}")) }
    }
}

#[allow(clippy::cast_precision_loss)] // At most 63.
fn input(row: usize, column: usize) -> f32 {
    (row * Trial::SIZE + column) as f32 / 16.0
}

fn product(session: &mut Session) -> ort::Result<Vec<f32>> {
    let size = Trial::SIZE;
    let values: Vec<f32> = (0..size * size).map(|index| input(index / size, index % size)).collect();
    let values = TensorRef::from_array_view(([size, size], values.as_slice()))?;
    let found = session.run(vec![("x", values)])?;
    let (_, found) = found[0].try_extract_tensor::<f32>()?;
    Ok(found.to_vec())
}

/// The processor that this program runs on.
#[must_use]
pub fn processor() -> Processor {
    let flags = machine::processor_features();
    let features = FEATURES.iter().map(|&(name, flag, meaning)| Feature {
        name: name.to_owned(),
        present: flags.contains(flag) || detected(name),
        meaning: meaning.to_owned(),
    });
    let processors = machine::Processors::now();
    Processor {
        model: machine::processor_name(),
        threads: processors.usable_cores(),
        limit: processors.limit(),
        features: features.collect(),
    }
}

/// Name, name in Linux, and use.
#[cfg(target_arch = "x86_64")]
const FEATURES: &[(&str, &str, &str)] = &[
    ("avx2", "avx2", "float32 kernels"),
    ("avx512f", "avx512f", "float32 kernels with twice the width"),
    ("avx512_vnni", "avx512_vnni", "int8 products"),
    ("avx_vnni", "avx_vnni", "int8 products"),
    ("avx512_bf16", "avx512_bf16", "bfloat16 products (OpenVINO)"),
    ("amx_int8", "amx_int8", "int8 products in tiles"),
    ("amx_bf16", "amx_bf16", "bfloat16 products in tiles (OpenVINO)"),
];

#[cfg(target_arch = "aarch64")]
const FEATURES: &[(&str, &str, &str)] = &[
    ("asimd", "asimd", "float32 kernels"),
    ("fp16", "asimdhp", "float16 products"),
    ("dotprod", "asimddp", "int8 products"),
    ("i8mm", "i8mm", "int8 products in tiles"),
    ("bf16", "bf16", "bfloat16 products"),
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FEATURES: &[(&str, &str, &str)] = &[];

/// Whether the processor has an instruction set, for systems without `/proc/cpuinfo`.
#[cfg(target_arch = "x86_64")]
fn detected(name: &str) -> bool {
    match name {
        "avx2" => std::is_x86_feature_detected!("avx2"),
        "avx512f" => std::is_x86_feature_detected!("avx512f"),
        "avx512_vnni" => std::is_x86_feature_detected!("avx512vnni"),
        "avx512_bf16" => std::is_x86_feature_detected!("avx512bf16"),
        "avx_vnni" => std::is_x86_feature_detected!("avxvnni"),
        _ => false, // Rust does not detect AMX yet.
    }
}

#[cfg(target_arch = "aarch64")]
fn detected(name: &str) -> bool {
    match name {
        "asimd" => std::arch::is_aarch64_feature_detected!("neon"),
        "fp16" => std::arch::is_aarch64_feature_detected!("fp16"),
        "dotprod" => std::arch::is_aarch64_feature_detected!("dotprod"),
        "i8mm" => std::arch::is_aarch64_feature_detected!("i8mm"),
        "bf16" => std::arch::is_aarch64_feature_detected!("bf16"),
        _ => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected(_name: &str) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requested_library_comes_first_even_if_it_does_not_exist() {
        let asked = Path::new("/nonexistent/libonnxruntime.so");
        let found = candidates(Some(asked));
        assert_eq!(found[0], Candidate { path: asked.to_owned(), found_by: REQUESTED.to_owned() });
        assert!(found.iter().any(|candidate| candidate.path == Path::new(LIBRARY_NAME)), "the loader's own");
    }

    #[test]
    fn the_processors_features_have_a_meaning() {
        let processor = processor();
        assert!(processor.threads > 0);
        assert!(processor.features.iter().all(|feature| !feature.meaning.is_empty()));
        #[cfg(target_arch = "x86_64")]
        for feature in processor.features {
            assert!(!detected(&feature.name) || feature.present, "{}", feature.name);
        }
    }
}
