//! Bundles of models with seeded weights, and copies of bundles with one change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use segvol::{Model, Options, Profile, Provider, StudyOptions};
use segvol_onnx::graph::float_attribute;
use segvol_onnx::manifest::{FileEntry, MANIFEST_FILE, sha256_file};
use segvol_onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, data_type};
use segvol_onnx::{Architecture, Manifest, Precision, Stage, Variant};

use crate::checkpoint::write_seeded;

/// Writes a checkpoint with seeded weights into a new folder `dir` and converts it. Returns the bundle, `DIR/bundle`.
///
/// # Panics
///
/// If the conversion fails.
#[must_use]
pub fn seeded(dir: &Path, model: &Architecture, bias_added: &BTreeMap<String, f32>) -> PathBuf {
    fresh(dir);
    let checkpoint = write_seeded(dir, model, bias_added).expect("a checkpoint");
    let bundle = dir.join("bundle");
    converted(&checkpoint, &bundle, &segvol_converter::Options::default());
    bundle
}

/// Converts a checkpoint.
///
/// # Panics
///
/// If the conversion fails.
pub fn converted(checkpoint: &Path, bundle: &Path, options: &segvol_converter::Options) -> Manifest {
    segvol_converter::convert(checkpoint, bundle, options)
        .unwrap_or_else(|error| panic!("{}: {error}", checkpoint.display()))
        .manifest
}

/// Makes `dir` an empty folder.
///
/// # Panics
///
/// If the folder cannot be removed or created.
pub fn fresh(dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).expect("the last run's files can be removed");
    }
    fs::create_dir_all(dir).expect("a folder");
}

/// The options with which the goldens were made: exactly those of the released code.
#[must_use]
pub fn released() -> StudyOptions {
    StudyOptions::default().profile(Profile::Released)
}

/// The options for comparisons with goldens: on the CPU.
#[must_use]
pub fn on_cpu() -> Options {
    Options::default().provider(Provider::Cpu)
}

/// Opens a bundle [`on_cpu`].
///
/// # Panics
///
/// If it cannot be opened.
#[must_use]
pub fn open(bundle: &Path) -> Model {
    Model::open(bundle, &on_cpu()).unwrap_or_else(|error| panic!("{}: {error}", bundle.display()))
}

/// A copy of a float32 bundle in a new folder `dir`. Every stage has only its portable graph, and `edit` changes the
/// graph of `stage`. The copy's manifest agrees with its files.
///
/// # Panics
///
/// If the bundle cannot be read or the copy cannot be written.
#[must_use]
pub fn edited(bundle: &Path, dir: &Path, stage: Stage, edit: impl FnOnce(&mut GraphProto)) -> PathBuf {
    edited_at(bundle, dir, (Precision::Fp32, Variant::Portable), stage, edit)
}

/// Like [`edited`], for one precision of a bundle. If a stage has a graph `variant`, it replaces the portable graph.
///
/// # Panics
///
/// If the bundle cannot be read or the copy cannot be written.
#[must_use]
pub fn edited_at(
    bundle: &Path,
    dir: &Path,
    (precision, variant): (Precision, Variant),
    stage: Stage,
    edit: impl FnOnce(&mut GraphProto),
) -> PathBuf {
    fresh(dir);
    let mut manifest = Manifest::read(bundle).expect("a bundle");
    manifest.precisions.retain(|&held, _| held == precision);
    let stages = &mut manifest.precisions.get_mut(&precision).expect("the precision").stages;
    for files in stages.values_mut() {
        let graph = files.graphs.get(&variant).or_else(|| files.graphs.get(&Variant::Portable));
        files.graphs = [(Variant::Portable, graph.expect("every stage has a portable graph").clone())].into();
    }
    for entry in manifest.files() {
        fs::copy(bundle.join(&entry.name), dir.join(&entry.name)).expect("copied");
    }
    let stages = &mut manifest.precisions.get_mut(&precision).expect("the precision").stages;
    let entry = stages.get_mut(&stage).and_then(|files| files.graphs.get_mut(&Variant::Portable));
    let entry = entry.expect("every stage has a portable graph");
    let path = dir.join(&entry.name);
    let mut model = ModelProto::decode(fs::read(&path).expect("the graph").as_slice()).expect("ONNX");
    edit(model.graph.as_mut().expect("a graph"));
    fs::write(&path, model.encode_to_vec()).expect("written");
    *entry = FileEntry {
        name: entry.name.clone(),
        bytes: fs::metadata(&path).expect("written").len(),
        sha256: sha256_file(&path).expect("hashed"),
    };
    fs::write(dir.join(MANIFEST_FILE), manifest.to_json().expect("JSON")).expect("written");
    dir.to_owned()
}

/// Sets a float attribute of every node with that operator. Returns the number of these nodes.
pub fn set_attribute(graph: &mut GraphProto, op: &str, name: &str, value: f32) -> usize {
    let nodes = graph.node.iter_mut().filter(|node| node.op_type == op);
    let attributes = nodes.flat_map(|node| &mut node.attribute).filter(|attribute| attribute.name == name);
    attributes.map(|attribute| *attribute = float_attribute(name, value)).count()
}

/// The initialiser with this name, whose values are in the graph's file.
///
/// # Panics
///
/// If there is no initialiser of that name, or its values are in another file.
pub fn initializer<'a>(graph: &'a mut GraphProto, name: &str) -> &'a mut TensorProto {
    graph.initializer.iter_mut().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no initialiser {name:?}"))
}

/// Replaces the values of an initialiser by these float32 values, in the graph's file.
pub fn set_values(tensor: &mut TensorProto, values: &[f32]) {
    tensor.raw_data = Some(values.iter().flat_map(|value| value.to_le_bytes()).collect());
    tensor.external_data.clear();
    tensor.data_location = None;
}

/// A chain of nodes that replaces another node, from its input to its output.
#[derive(Debug)]
pub struct Chain {
    stem: String,
    at: String,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Chain {
    /// Starts at the input of the replaced node.
    fn new(node: &NodeProto) -> Self {
        Self { stem: node.name.clone(), at: node.input[0].clone(), nodes: vec![], constants: vec![] }
    }

    /// The tensor at the end of the chain so far.
    #[must_use]
    pub fn at(&self) -> String {
        self.at.clone()
    }

    /// Appends `OP(end of the chain, other)`.
    pub fn then(&mut self, op: &str, other: Option<&str>) -> &mut Self {
        let output = format!("{} near miss {}", self.stem, self.nodes.len());
        let mut input = vec![self.at.clone()];
        input.extend(other.map(str::to_owned));
        self.nodes.push(NodeProto {
            input,
            output: vec![output.clone()],
            name: output.clone(),
            op_type: op.to_owned(),
            ..NodeProto::default()
        });
        self.at = output;
        self
    }

    /// Appends `OP(end of the chain, constant)`.
    pub fn with(&mut self, op: &str, constant: f32) -> &mut Self {
        let name = format!("{} near miss constant {}", self.stem, self.constants.len());
        let mut tensor =
            TensorProto { name: name.clone(), data_type: Some(data_type::FLOAT), ..TensorProto::default() };
        set_values(&mut tensor, &[constant]);
        self.constants.push(tensor);
        self.then(op, Some(&name))
    }
}

/// Replaces every node with that operator whose name starts with `scope` by a chain. Returns the number of these nodes.
pub fn replace_nodes(graph: &mut GraphProto, op: &str, scope: &str, build: impl Fn(&mut Chain)) -> usize {
    let mut replaced = 0;
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in std::mem::take(&mut graph.node) {
        if node.op_type != op || !node.name.starts_with(scope) {
            nodes.push(node);
            continue;
        }
        let mut chain = Chain::new(&node);
        build(&mut chain);
        if let Some(last) = chain.nodes.last_mut() {
            last.output.clone_from(&node.output);
        }
        nodes.append(&mut chain.nodes);
        graph.initializer.append(&mut chain.constants);
        replaced += 1;
    }
    graph.node = nodes;
    replaced
}
