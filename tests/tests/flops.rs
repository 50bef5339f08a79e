//! The number of operations that a benchmark computes from the model's sizes equals the sum over the matrix products
//! and convolutions in its graphs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use prost::Message;
use segvol_measure::load;
use segvol_onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use segvol_onnx::{Architecture, Manifest, Precision, Stage};
use segvol_tests::{bundle, models};

/// The shapes of a graph's tensors and the number of operations so far, while the graph is traversed.
struct Walk<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    shapes: HashMap<String, Vec<usize>>,
    flops: f64,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a GraphProto, inputs: Vec<(String, Vec<usize>)>) -> Self {
        let constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let known = constants.iter().map(|(name, tensor)| {
            let shape = tensor.dims.iter().map(|&n| usize::try_from(n).expect("a size")).collect();
            ((*name).to_owned(), shape)
        });
        Self { shapes: known.chain(inputs).collect(), constants, flops: 0.0 }
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        self.shapes.get(name).unwrap_or_else(|| panic!("no shape of {name}")).clone()
    }

    fn ints(&self, name: &str) -> Vec<i64> {
        let raw = self.constants[name].raw_data.as_deref().expect("in the graph's file");
        raw.as_chunks().0.iter().map(|&eight| i64::from_le_bytes(eight)).collect()
    }

    fn node(&mut self, node: &NodeProto) {
        let x = self.shape(&node.input[0]);
        let rank = x.len();
        let axis_of = |axis: i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).expect("an axis");
        let attribute = |name: &str| attribute(node, name).map(|attribute| attribute.i.unwrap_or_default());
        let output = match node.op_type.as_str() {
            "MatMul" => self.product(&x, &self.shape(&node.input[1])),
            "MultiHeadAttention" => {
                let k = self.shape(&node.input[1]);
                self.flops += 4.0 * (x[0] * x[1] * k[1] * x[2]) as f64;
                x
            }
            "Reshape" => {
                let wanted = self.ints(&node.input[1]);
                let size = |(axis, &n): (usize, &i64)| match n {
                    0 => x[axis],
                    n => usize::try_from(n).unwrap_or(0),
                };
                let mut shape: Vec<usize> = wanted.iter().enumerate().map(size).collect();
                let elements: usize = x.iter().product();
                if let Some(axis) = wanted.iter().position(|&n| n == -1) {
                    shape[axis] = 1;
                    shape[axis] = elements / shape.iter().product::<usize>();
                }
                assert_eq!(shape.iter().product::<usize>(), elements, "{}", node.name);
                shape
            }
            "Transpose" => {
                let order = &self::attribute(node, "perm").expect("an order").ints;
                order.iter().map(|&axis| x[axis_of(axis)]).collect()
            }
            "Unsqueeze" => {
                let axis = usize::try_from(self.ints(&node.input[1])[0]).expect("an axis from the front");
                let mut shape = x;
                shape.insert(axis, 1);
                shape
            }
            "Squeeze" => {
                let mut shape = x;
                assert_eq!(shape.remove(axis_of(self.ints(&node.input[1])[0])), 1);
                shape
            }
            "Concat" => {
                let axis = axis_of(attribute("axis").expect("an axis"));
                let mut shape = x;
                shape[axis] = node.input.iter().map(|name| self.shape(name)[axis]).sum();
                shape
            }
            "Split" => {
                let axis = axis_of(attribute("axis").expect("an axis"));
                for (name, size) in node.output.iter().zip(self.ints(&node.input[1])) {
                    let mut shape = x.clone();
                    shape[axis] = usize::try_from(size).expect("a size");
                    self.shapes.insert(name.clone(), shape);
                }
                return;
            }
            "Gather" => {
                let axis = axis_of(attribute("axis").expect("an axis"));
                let indices = self.shape(&node.input[1]);
                [&x[..axis], &indices, &x[axis + 1..]].concat()
            }
            "ReduceMean" => {
                let mut shape = x.clone();
                shape[axis_of(self.ints(&node.input[1])[0])] = 1;
                shape
            }
            "ArgMax" => {
                let mut shape = x.clone();
                shape[axis_of(attribute("axis").expect("an axis"))] = 1;
                shape
            }
            "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Greater" => broadcast(&x, &self.shape(&node.input[1])),
            "Where" => broadcast(&broadcast(&x, &self.shape(&node.input[1])), &self.shape(&node.input[2])),
            "Identity" | "Cast" | "CumSum" | "Erf" | "Sqrt" | "Sin" | "Cos" | "Sigmoid" | "Relu" | "Softmax"
            | "LayerNormalization" => x,
            other => panic!("{}: the walk does not know {other}", node.name),
        };
        self.shapes.insert(node.output[0].clone(), output);
    }

    fn product(&mut self, a: &[usize], b: &[usize]) -> Vec<usize> {
        let ([.., m, k], [.., k2, n]) = (a, b) else { panic!("a product of {a:?} and {b:?}") };
        assert_eq!(k, k2);
        let batch = broadcast(&a[..a.len() - 2], &b[..b.len() - 2]);
        self.flops += 2.0 * (batch.iter().product::<usize>() * m * k * n) as f64;
        [&batch[..], &[*m, *n]].concat()
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (1, n) | (n, 1) => n,
            (n, same) => {
                assert_eq!(n, same, "{a:?} and {b:?}");
                n
            }
        })
        .collect()
}

fn counted(graph: &Path, stage: Stage, a: &Architecture, batch: usize) -> f64 {
    let model = ModelProto::decode(fs::read(graph).expect("the graph").as_slice()).expect("ONNX");
    let graph = model.graph.expect("a graph");
    let inputs = load::inputs(stage, a, batch).into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec()));
    let mut walk = Walk::new(&graph, inputs.collect());
    for node in &graph.node {
        walk.node(node);
    }
    walk.flops
}

#[test]
fn counted_operations_are_those_of_the_graphs() {
    let folder = segvol_tests::folder!();
    let dir = bundle::seeded(folder.path(), &models::tiny(), &BTreeMap::new());
    let manifest = Manifest::read(&dir).expect("a bundle");
    let a = &manifest.architecture;
    let mut graphs = 0;
    for (&stage, files) in &manifest.precisions[&Precision::Fp32].stages {
        for (variant, file) in &files.graphs {
            for batch in [1, 3] {
                let expected = counted(&dir.join(&file.name), stage, a, batch);
                let found = segvol_measure::flops::of_stage(stage, a, load::load(stage, a, batch));
                let name = variant.name();
                assert_eq!(found, expected, "{stage} {name} x{batch}: {:.6}", found / expected);
                graphs += 1;
            }
        }
    }
    assert_eq!(graphs, 2 * 5);
}
