//! Builds a module of the network: a scope in the graph, and the same scope in the checkpoint.
//!
//! The **compute type** of a graph is the element type of its matrix products: float16 in a float16 graph, float32 in
//! all others. A *weight* is float32 in the graph; an *operand* is a weight in the compute type.

use std::ops::Deref;
use std::rc::Rc;

use segvol_onnx::{Activation, Activations, Dim, ElementType, Graph, Observation, TensorSpec, Value};

use crate::error::TensorFault;
use crate::numerics::{self, Numerics, Ranges};
use crate::quantise::{Int8Weight, Range};
use crate::weights::{Source, Weights};

/// A module of the network.
///
/// It dereferences to its [`Graph`], whose methods are ONNX's operators.
#[derive(Debug, Clone)]
pub(crate) struct Module<'a> {
    graph: Graph,
    weights: &'a Weights<'a>,
    numerics: Numerics<'a>,
    /// The module's name in the checkpoint.
    path: String,
}

/// A linear layer in int8.
#[derive(Debug)]
pub(crate) struct Quantised {
    pub weight: Rc<Int8Weight>,
    /// The range of the layer's input; `None` if it is measured at run time.
    pub range: Option<Range>,
}

impl Deref for Module<'_> {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.graph
    }
}

impl<'a> Module<'a> {
    /// The whole network.
    pub(crate) fn new(graph: &Graph, weights: &'a Weights<'a>, numerics: Numerics<'a>) -> Self {
        Self { graph: graph.clone(), weights, numerics, path: String::new() }
    }

    /// A part of this module, by its name in the checkpoint.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { graph: self.graph.at(name), path: self.name(name), ..*self }
    }

    /// A numbered part of this module.
    pub(crate) fn block(&self, list: &str, index: usize) -> Self {
        self.at(&format!("{list}.{index}"))
    }

    fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn computes_in_f16(&self) -> bool {
        matches!(self.numerics, Numerics::Float16)
    }

    /// `x`, which is float32, in the compute type.
    pub(crate) fn to_compute(&self, x: &Value) -> Value {
        if self.computes_in_f16() { self.cast_to_f16(x) } else { x.clone() }
    }

    /// `x`, which has the compute type, as float32.
    pub(crate) fn to_f32(&self, x: &Value) -> Value {
        if self.computes_in_f16() { self.cast_to_f32(x) } else { x.clone() }
    }

    /// A number in the compute type.
    pub(crate) fn compute_scalar(&self, value: f32) -> Value {
        if self.computes_in_f16() { self.f16_scalar(value) } else { self.scalar(value) }
    }

    /// A stored weight of that element type, as float32.
    fn stored_to_f32(&self, stored: Value, element: ElementType) -> Value {
        if element == ElementType::Float16 { self.cast_to_f32(&stored) } else { stored }
    }

    /// A stored operand in the compute type, which is float32 where float16 weights are widened.
    fn stored_to_compute(&self, stored: Value) -> Value {
        if matches!(self.numerics, Numerics::Widened) { self.cast_to_f32(&stored) } else { stored }
    }

    /// A weight with the checkpoint's shape.
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Value {
        let element = self.numerics.weight_type(shape.iter().product());
        let value = self.stored(name, shape, element);
        self.stored_to_f32(value, element)
    }

    /// The rows of a weight at `indices`: `table [rows, width]`, `indices [..] -> [.., width]`, float32.
    pub(crate) fn rows(&self, table: &str, shape: &[usize; 2], indices: &Value) -> Value {
        let element = self.numerics.weight_type(shape.iter().product());
        let rows = self.gather(0, &self.stored(table, shape, element), indices);
        self.stored_to_f32(rows, element)
    }

    /// An operand with the checkpoint's shape.
    pub(crate) fn operand(&self, name: &str, shape: &[usize]) -> Value {
        let value = self.stored(name, shape, self.numerics.operand_type());
        self.stored_to_compute(value)
    }

    /// An operand that is `[rows, columns]` in the checkpoint, as `[columns, rows]`.
    pub(crate) fn operand_transposed(&self, name: &str, [rows, columns]: [usize; 2]) -> Value {
        let full_name = self.name(name);
        let found = self.weights.take(&full_name, &[rows, columns]);
        let source = if found { Source::Transposed { name: full_name, rows, columns } } else { Source::FAULTY };
        let value = self.added(name, &[columns, rows], self.numerics.operand_type(), source);
        self.stored_to_compute(value)
    }

    /// A weight that is `stored` in the checkpoint, viewed with the first shape of `view`, its axes taken in the order
    /// of the second, and merged to `shape`.
    pub(crate) fn weight_permuted(
        &self,
        name: &str,
        stored: &[usize],
        view: (&[usize], &[usize]),
        shape: &[usize],
    ) -> Value {
        let element = self.numerics.weight_type(shape.iter().product());
        let value = self.permuted(name, stored, view, shape, element);
        self.stored_to_f32(value, element)
    }

    /// An operand with the axes as in [`Module::weight_permuted`].
    pub(crate) fn operand_permuted(
        &self,
        name: &str,
        stored: &[usize],
        view: (&[usize], &[usize]),
        shape: &[usize],
    ) -> Value {
        let value = self.permuted(name, stored, view, shape, self.numerics.operand_type());
        self.stored_to_compute(value)
    }

    fn permuted(
        &self,
        name: &str,
        stored: &[usize],
        (view, order): (&[usize], &[usize]),
        shape: &[usize],
        element: ElementType,
    ) -> Value {
        let full_name = self.name(name);
        let found = self.weights.take(&full_name, stored);
        let source = Source::Permuted { name: full_name, shape: view.to_vec(), order: order.to_vec() };
        self.added(name, shape, element, if found { source } else { Source::FAULTY })
    }

    fn stored(&self, name: &str, shape: &[usize], element: ElementType) -> Value {
        let full_name = self.name(name);
        let found = self.weights.take(&full_name, shape);
        let source = if found { Source::Stored(full_name) } else { Source::FAULTY };
        self.added(name, shape, element, source)
    }

    /// A constant of this module.
    pub(crate) fn added(&self, name: &str, shape: &[usize], element: ElementType, source: Source) -> Value {
        self.weights.add(&self.graph, &self.name(name), shape, element, source)
    }

    /// A float32 constant that `compute` makes from the numbers of a weight.
    pub(crate) fn computed(
        &self,
        name: &str,
        shape: &[usize],
        weight: (&str, &[usize]),
        compute: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Value {
        self.added(name, shape, ElementType::Float32, self.source_computed(weight, compute))
    }

    /// As [`Module::computed`], in the compute type.
    pub(crate) fn operand_computed(
        &self,
        name: &str,
        shape: &[usize],
        weight: (&str, &[usize]),
        compute: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Value {
        let value = self.added(name, shape, self.numerics.operand_type(), self.source_computed(weight, compute));
        self.stored_to_compute(value)
    }

    fn source_computed(&self, (name, shape): (&str, &[usize]), compute: impl FnOnce(&[f32]) -> Vec<f32>) -> Source {
        let values = self.weights.floats(&self.name(name), shape);
        values.map_or(Source::FAULTY, |values| Source::Computed(compute(&values)))
    }

    /// This linear layer in int8. `None` if it is not quantised, or if it has a fault, which is recorded.
    pub(crate) fn quantised(&self, [inputs, outputs]: [usize; 2], after_norm: bool) -> Option<Quantised> {
        let Numerics::Int8(ranges) = self.numerics else { return None };
        if !numerics::is_quantised(&self.path) {
            return None;
        }
        let seen = match ranges {
            Ranges::Calibrated(seen) | Ranges::AtRunTime { smoothing: Some(seen) } => Some(self.seen(seen, inputs)?),
            Ranges::AtRunTime { smoothing: None } => None,
        };
        let weight = self.weights.int8(&self.path, || {
            let weight = self.weights.floats(&self.name("weight"), &[outputs, inputs])?;
            Some(Int8Weight::new(&weight, inputs, seen, after_norm))
        })?;
        let range = match ranges {
            Ranges::Calibrated(_) => Some(weight.activation.expect("a weight is quantised with what was seen")),
            Ranges::AtRunTime { .. } => None,
        };
        Some(Quantised { weight, range })
    }

    /// The activations `[B, N, channels]` that a calibration saw under the name of this module; `None` if the graph's
    /// ranges do not come from a calibration, or with a fault, which is recorded.
    pub(crate) fn calibrated(&self, channels: usize) -> Option<&'a Activation> {
        match self.numerics {
            Numerics::Int8(Ranges::Calibrated(seen)) => self.seen(seen, channels),
            Numerics::Int8(Ranges::AtRunTime { .. })
            | Numerics::Float32
            | Numerics::Observed
            | Numerics::Float16
            | Numerics::Widened => None,
        }
    }

    /// What was seen under the name of this module. `None`, and a fault recorded, if nothing was.
    fn seen(&self, seen: &'a Activations, channels: usize) -> Option<&'a Activation> {
        let found = seen.get(&self.path).filter(|seen| seen.min.len() == channels && seen.max.len() == channels);
        if found.is_none() {
            let reason = format!("the calibration has no activations of `{}` with {channels} channels", self.path);
            self.weights.fault(TensorFault::Unreadable { name: self.name("weight"), reason });
        }
        found
    }

    /// In a graph for calibration, adds the extremes of `x [B, N, channels]` as outputs under the name of this module.
    pub(crate) fn observe(&self, x: &Value, channels: usize) {
        if matches!(self.numerics, Numerics::Observed) && numerics::is_quantised(&self.path) {
            let output = |observation: Observation, value: &Value| {
                self.output(&TensorSpec::float(&observation.output(&self.path), [Dim::Fixed(channels)]), value);
            };
            output(Observation::Min, &self.reduce_min(&[0, 1], x)); // [channels]
            output(Observation::Max, &self.reduce_max(&[0, 1], x)); // [channels]
        }
    }
}
