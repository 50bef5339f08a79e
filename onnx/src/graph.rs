//! An ONNX graph while it is being written: nodes, names and initialisers.
//!
//! A [`Graph`] is a handle. [`Graph::at`] returns another handle to the same graph, whose nodes are named under a
//! scope, so that a profile or a placement report uses the checkpoint's names. The operators are in `ops.rs`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use half::f16;

use crate::element_type::ElementType;
use crate::proto::{
    AttributeProto, DATA_LOCATION_EXTERNAL, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type,
};
use crate::stage::{Dim, TensorSpec};

/// The operator set of every graph. 18 is the first whose `ReduceMean` takes its axes as an input, and every provider
/// supports it.
pub const OPSET: i64 = 18;

/// The version of ONNX's file format.
pub const IR_VERSION: i64 = 10;

/// The domain of ONNX Runtime's own operators.
pub const MICROSOFT_DOMAIN: &str = "com.microsoft";

/// A tensor in a graph: an input, an initialiser or a node's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(Rc<str>);

impl Value {
    /// The tensor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A graph that is being written.
#[derive(Debug, Clone)]
pub struct Graph {
    scope: String,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    proto: GraphProto,
    initializers: BTreeMap<String, Value>,
    domains: BTreeSet<&'static str>,
    /// Number of nodes per name, so that equal names get a number.
    names: BTreeMap<String, usize>,
}

/// Where an initialiser's bytes are, outside the graph's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// File name, beside the graph's.
    pub location: String,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl Graph {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let proto = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        Self { scope: String::new(), state: Rc::new(RefCell::new(State { proto, ..State::default() })) }
    }

    /// The same graph. Nodes that are added through the result are named under `scope`.
    #[must_use]
    pub fn at(&self, scope: &str) -> Self {
        let scope = if self.scope.is_empty() { scope.to_owned() } else { format!("{}.{scope}", self.scope) };
        Self { scope, state: Rc::clone(&self.state) }
    }

    /// Declares an input of the graph.
    #[must_use]
    pub fn input(&self, spec: &TensorSpec) -> Value {
        self.state.borrow_mut().proto.input.push(value_info(spec));
        Value(spec.name.as_str().into())
    }

    /// Declares `value` as an output of the graph, under the name in `spec`.
    pub fn output(&self, spec: &TensorSpec, value: &Value) {
        let node = NodeProto {
            input: vec![value.name().to_owned()],
            output: vec![spec.name.clone()],
            name: format!("{}/Identity", spec.name),
            op_type: "Identity".to_owned(),
            ..NodeProto::default()
        };
        let mut state = self.state.borrow_mut();
        state.proto.node.push(node);
        state.proto.output.push(value_info(spec));
    }

    /// Adds a node of ONNX's own operators with one output.
    pub fn node(&self, op: &'static str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        let [value] = self.add_node("", op, inputs, attributes);
        value
    }

    /// Adds a node of ONNX's own operators with `N` outputs.
    pub fn node_with_outputs<const N: usize>(
        &self,
        op: &'static str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
    ) -> [Value; N] {
        self.add_node("", op, inputs, attributes)
    }

    /// Adds a node of [`MICROSOFT_DOMAIN`] with one output.
    pub fn microsoft_node(&self, op: &'static str, inputs: &[&Value], attributes: Vec<AttributeProto>) -> Value {
        let [value] = self.add_node(MICROSOFT_DOMAIN, op, inputs, attributes);
        value
    }

    fn add_node<const N: usize>(
        &self,
        domain: &'static str,
        op: &'static str,
        inputs: &[&Value],
        attributes: Vec<AttributeProto>,
    ) -> [Value; N] {
        let mut state = self.state.borrow_mut();
        state.domains.insert(domain);
        let stem = if self.scope.is_empty() { op.to_owned() } else { format!("{}/{op}", self.scope) };
        let count = state.names.entry(stem.clone()).or_default();
        let name = if *count == 0 { stem } else { format!("{stem}_{count}") };
        *count += 1;
        let values: [Value; N] = std::array::from_fn(|i| Value(format!("{name}:{i}").into()));
        state.proto.node.push(NodeProto {
            input: inputs.iter().map(|value| value.name().to_owned()).collect(),
            output: values.iter().map(|value| value.name().to_owned()).collect(),
            name,
            op_type: op.to_owned(),
            attribute: attributes,
            domain: domain.to_owned(),
        });
        values
    }

    /// A float32 number, stored once however often it is used.
    #[must_use]
    pub fn scalar(&self, value: f32) -> Value {
        self.floats(&format!("scalar {value}"), &[], &[value])
    }

    /// `value` rounded to a float16 number, stored once however often it is used.
    #[must_use]
    pub fn f16_scalar(&self, value: f32) -> Value {
        let bytes = f16::from_f32(value).to_le_bytes().to_vec();
        self.inline(&format!("half scalar {value}"), &[], ElementType::Float16, bytes)
    }

    /// A list of int64 numbers, stored once however often it is used.
    #[must_use]
    pub fn ints(&self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.inline(&format!("ints {values:?}"), &[values.len()], ElementType::Int64, bytes)
    }

    /// An int64 number, stored once however often it is used.
    #[must_use]
    pub fn int(&self, value: i64) -> Value {
        self.inline(&format!("int {value}"), &[], ElementType::Int64, value.to_le_bytes().to_vec())
    }

    /// A float32 initialiser inside the graph's file. Each name is stored once.
    #[must_use]
    pub fn floats(&self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.inline(name, shape, ElementType::Float32, bytes)
    }

    /// An initialiser inside the graph's file; `bytes` are little-endian and row-major. Each name is stored once.
    #[must_use]
    pub fn inline(&self, name: &str, shape: &[usize], element: ElementType, bytes: Vec<u8>) -> Value {
        self.initializer(TensorProto {
            dims: dims(shape),
            data_type: Some(element.code()),
            name: name.to_owned(),
            raw_data: Some(bytes),
            ..TensorProto::default()
        })
    }

    /// An initialiser whose bytes are in another file. Each name is stored once.
    #[must_use]
    pub fn external(&self, name: &str, shape: &[usize], element: ElementType, external: &External) -> Value {
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
        self.initializer(TensorProto {
            dims: dims(shape),
            data_type: Some(element.code()),
            name: name.to_owned(),
            external_data: vec![
                entry("location", external.location.clone()),
                entry("offset", external.offset.to_string()),
                entry("length", external.length.to_string()),
            ],
            data_location: Some(DATA_LOCATION_EXTERNAL),
            ..TensorProto::default()
        })
    }

    fn initializer(&self, tensor: TensorProto) -> Value {
        let mut state = self.state.borrow_mut();
        if let Some(value) = state.initializers.get(&tensor.name) {
            return value.clone();
        }
        let value = Value(tensor.name.as_str().into());
        state.initializers.insert(tensor.name.clone(), value.clone());
        state.proto.initializer.push(tensor);
        value
    }

    /// The graph as a model, with the operator sets that it uses.
    #[must_use]
    pub fn to_model(&self) -> ModelProto {
        let state = self.state.borrow();
        let opset =
            |domain: &str, version| OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
        let mut opset_import = vec![opset("", OPSET)];
        if state.domains.contains(MICROSOFT_DOMAIN) {
            opset_import.push(opset(MICROSOFT_DOMAIN, 1));
        }
        ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: "segvol".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(state.proto.clone()),
            opset_import,
            ..ModelProto::default()
        }
    }
}

/// An integer attribute.
#[must_use]
pub fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    }
}

/// An attribute that is a list of integers.
#[must_use]
pub fn ints_attribute(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        ints: values.to_vec(),
        r#type: Some(attribute_type::INTS),
        ..AttributeProto::default()
    }
}

/// A float32 attribute.
#[must_use]
pub fn float_attribute(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        f: Some(value),
        r#type: Some(attribute_type::FLOAT),
        ..AttributeProto::default()
    }
}

fn dims(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&n| n as i64).collect()
}

fn value_info(spec: &TensorSpec) -> ValueInfoProto {
    let dim = |dim: &Dim| DimensionProto {
        value: Some(match dim {
            Dim::Fixed(n) => DimensionValue::DimValue(*n as i64),
            Dim::Named(name) => DimensionValue::DimParam(name.clone()),
        }),
    };
    let shape = TensorShapeProto { dim: spec.shape.iter().map(dim).collect() };
    let tensor_type = TensorTypeProto { elem_type: Some(spec.dtype.element().code()), shape: Some(shape) };
    let r#type = Some(TypeProto { tensor_type: Some(tensor_type) });
    ValueInfoProto { name: spec.name.clone(), r#type, ..ValueInfoProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_after_their_scope_and_told_apart() {
        let graph = Graph::new("test");
        let x = graph.input(&TensorSpec::float("x", [Dim::named("batch")]));
        let block = graph.at("blocks").at("0");
        let y = block.node("Erf", &[&x], vec![]);
        let z = block.node("Erf", &[&y], vec![]);
        assert_eq!((y.name(), z.name()), ("blocks.0/Erf:0", "blocks.0/Erf_1:0"));
    }

    #[test]
    fn a_constant_is_stored_once() {
        let graph = Graph::new("test");
        assert_eq!(graph.ints(&[0, -1]), graph.at("somewhere").ints(&[0, -1]));
        assert_ne!(graph.scalar(0.5), graph.scalar(0.25));
        let model = graph.to_model();
        assert_eq!(model.graph.expect("a graph").initializer.len(), 3);
    }

    #[test]
    fn only_a_graph_that_uses_onnx_runtimes_operators_imports_them() {
        let graph = Graph::new("test");
        let x = graph.input(&TensorSpec::float("x", [Dim::Fixed(1)]));
        assert_eq!(graph.to_model().opset_import.len(), 1);
        graph.microsoft_node("MultiHeadAttention", &[&x, &x, &x], vec![int_attribute("num_heads", 1)]);
        assert_eq!(graph.to_model().opset_import.len(), 2);
    }
}
