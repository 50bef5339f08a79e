//! Looks weights up by scope, checks their shapes, and keeps the list of what goes into a weights file.
//!
//! Building a graph asks for every tensor by name and expected shape. What is missing or misshapen is
//! collected instead of stopping the graph, so that one message names every fault.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::rc::Rc;

use half::f16;
use rayon::prelude::*;
use segvol_onnx::graph::External;
use segvol_onnx::proto::data_type;
use segvol_onnx::save::{INLINE_BELOW_BYTES, WeightsLayout};
use segvol_onnx::{Activation, Activations, Dim, Graph, Observation, TensorSpec, Value};

use crate::checkpoint::{Checkpoint, room_for};
use crate::error::TensorFault;
use crate::int8::Int8Weight;
use crate::numerics::Numerics;

/// The weights of one stage, shared by its graphs.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    ledger: RefCell<Ledger>,
    /// Weights that were quantised already, for the next graph.
    int8: RefCell<BTreeMap<String, Rc<Int8Weight>>>,
}

/// What a stage takes, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Ledger {
    layout: WeightsLayout,
    /// Tensors of the weights file, by offset.
    pub external: Vec<Planned>,
    /// Checkpoint tensors that the stage takes.
    pub used: BTreeSet<String>,
    /// Scalars that the stage takes from the checkpoint.
    pub parameters: u64,
    /// What is missing or misshapen.
    pub faults: Vec<TensorFault>,
}

/// A tensor of a weights file: where it lies, and where its numbers come from.
#[derive(Debug)]
pub(crate) struct Planned {
    pub external: External,
    name: String,
    data_type: i32,
    source: Source,
}

impl Planned {
    /// The tensor's bytes in the weights file.
    pub(crate) fn read(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, TensorFault> {
        self.source.read(checkpoint, &self.name, self.data_type)
    }
}

/// Where a weight's numbers come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A checkpoint tensor as it is.
    Stored(String),
    /// A checkpoint tensor `[rows, columns]`, transposed.
    Transposed { name: String, rows: usize, columns: usize },
    /// A checkpoint tensor, seen as `shape`, with its axes in another order.
    Permuted { name: String, shape: Vec<usize>, order: Vec<usize> },
    /// Computed from the checkpoint already.
    Computed(Vec<f32>),
    /// In the file's own element type already.
    Bytes(Vec<u8>),
}

impl<'a> Weights<'a> {
    /// No weights yet; they go into a file of that name.
    pub(crate) fn new(checkpoint: &'a Checkpoint, file_name: &str) -> Self {
        let ledger = Ledger {
            layout: WeightsLayout::new(file_name),
            external: Vec::new(),
            used: BTreeSet::new(),
            parameters: 0,
            faults: Vec::new(),
        };
        Self { checkpoint, ledger: RefCell::new(ledger), int8: RefCell::default() }
    }

    /// What the graphs have asked for.
    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger.into_inner()
    }

    /// Ticks a tensor off, and notes a fault if it is not there with that shape.
    fn take(&self, name: &str, expected: &[usize]) -> bool {
        let mut ledger = self.ledger.borrow_mut();
        let first = ledger.used.insert(name.to_owned());
        let name = name.to_owned();
        let fault = match self.checkpoint.get(&name) {
            None => TensorFault::Missing { name, expected: expected.to_vec() },
            Some(tensor) if tensor.shape != expected => {
                TensorFault::Shape { name, expected: expected.to_vec(), found: tensor.shape.clone() }
            }
            Some(tensor) if !tensor.dtype.is_float() => TensorFault::Dtype { name, found: tensor.dtype.name() },
            Some(tensor) => {
                if first {
                    ledger.parameters += tensor.elements() as u64;
                }
                return true;
            }
        };
        if first {
            ledger.faults.push(fault);
        }
        false
    }

    /// Adds an initialiser of that name, shape and element type to the graph, and its numbers to the plan.
    fn add(&self, graph: &Graph, name: &str, shape: &[usize], data_type: i32, source: Source) -> Value {
        let bytes = shape.iter().product::<usize>() * element_bytes(data_type);
        if bytes < INLINE_BELOW_BYTES {
            let values = source.read(self.checkpoint, name, data_type).unwrap_or_else(|fault| {
                self.fault(fault);
                Vec::new()
            });
            return graph.inline(name, shape, data_type, values);
        }
        let mut ledger = self.ledger.borrow_mut();
        let placed = ledger.layout.get(name).is_some();
        let external = ledger.layout.place(name, bytes as u64);
        let value = graph.external(name, shape, data_type, &external);
        if !placed {
            ledger.external.push(Planned { external, name: name.to_owned(), data_type, source });
        }
        value
    }

    /// The elements of a checkpoint tensor; none, and a fault noted, if there is no such tensor.
    fn floats(&self, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        if !self.take(name, shape) {
            return None;
        }
        match self.checkpoint.read(name) {
            Ok(bytes) => Some(bytes.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect()),
            Err(fault) => {
                self.fault(fault);
                None
            }
        }
    }

    fn fault(&self, fault: TensorFault) {
        let mut ledger = self.ledger.borrow_mut();
        if ledger.faults.iter().all(|known| known.name() != fault.name()) {
            ledger.faults.push(fault);
        }
    }
}

impl Source {
    /// The numbers, row-major and little-endian, in this element type.
    fn read(&self, checkpoint: &Checkpoint, name: &str, data_type: i32) -> Result<Vec<u8>, TensorFault> {
        let floats = match self {
            Self::Stored(name) => checkpoint.read(name)?,
            Self::Transposed { name, rows, columns } => {
                transpose(checkpoint.read(name)?.as_chunks().0, *rows, *columns).into_flattened()
            }
            Self::Permuted { name, shape, order } => {
                permute(checkpoint.read(name)?.as_chunks().0, shape, order).into_flattened()
            }
            Self::Computed(values) => {
                room_for::<f32>(name, values.len())?;
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            Self::Bytes(bytes) => {
                room_for::<u8>(name, bytes.len())?;
                return Ok(bytes.clone());
            }
        };
        if data_type == data_type::FLOAT16 { narrow(name, floats.as_chunks().0) } else { Ok(floats) }
    }
}

/// float32 as float16, rounded to nearest.
fn narrow(name: &str, values: &[[u8; 4]]) -> Result<Vec<u8>, TensorFault> {
    let number = |raw: &[u8; 4]| f32::from_le_bytes(*raw);
    let fits = |raw: &[u8; 4]| number(raw).abs() <= f16::MAX.to_f32();
    if let Some(index) = values.par_iter().position_first(|raw| !fits(raw)) {
        return Err(TensorFault::Float16 { name: name.to_owned(), index, found: number(&values[index]) });
    }
    let mut halves = vec![[0; 2]; values.len()];
    halves.par_iter_mut().zip(values).with_min_len(1 << 14).for_each(|(half, raw)| {
        *half = f16::from_f32(number(raw)).to_le_bytes();
    });
    Ok(halves.into_flattened())
}

fn element_bytes(data_type: i32) -> usize {
    match data_type {
        data_type::UINT8 | data_type::INT8 => 1,
        data_type::FLOAT16 => 2,
        data_type::INT64 => 8,
        _ => 4,
    }
}

/// A module of the network: a scope in the graph and the same scope in the checkpoint.
///
/// ONNX's operators are methods of [`Graph`], which a module is one of.
#[derive(Debug, Clone)]
pub(crate) struct Module<'a> {
    graph: Graph,
    weights: &'a Weights<'a>,
    numerics: Numerics<'a>,
    path: String,
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

    /// A part of this module, under the checkpoint's name for it.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { graph: self.graph.at(name), path: self.name(name), ..*self }
    }

    /// This module, with linear layers that are neither quantised nor observed.
    pub(crate) fn not_quantised(&self) -> Self {
        let numerics = match self.numerics {
            Numerics::Int8 { .. } | Numerics::Observed => Numerics::Float,
            other => other,
        };
        Self { graph: self.graph.clone(), path: self.path.clone(), numerics, ..*self }
    }

    /// A numbered part of this module.
    pub(crate) fn block(&self, list: &str, index: usize) -> Self {
        self.at(&format!("{list}.{index}"))
    }

    fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// `x`, float32, in the element type that matrix products are taken in.
    pub(crate) fn half(&self, x: &Value) -> Value {
        if matches!(self.numerics, Numerics::Half) { self.cast_to_half(x) } else { x.clone() }
    }

    /// `x`, of the element type that matrix products are taken in, as float32.
    pub(crate) fn full(&self, x: &Value) -> Value {
        if matches!(self.numerics, Numerics::Half) { self.cast_to_float(x) } else { x.clone() }
    }

    /// A number of the element type that matrix products are taken in.
    pub(crate) fn number(&self, value: f32) -> Value {
        if matches!(self.numerics, Numerics::Half) { self.half_scalar(value) } else { self.scalar(value) }
    }

    /// What is stored as `data_type`, as float32.
    fn float(&self, stored: Value, data_type: i32) -> Value {
        if data_type == data_type::FLOAT16 { self.cast_to_float(&stored) } else { stored }
    }

    /// A weight as the checkpoint has it, float32.
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Value {
        let data_type = self.numerics.stored(shape.iter().product(), false);
        let value = self.stored(name, shape, data_type);
        self.float(value, data_type)
    }

    /// Rows of a weight, which is a table, at `indices`: float32.
    pub(crate) fn rows(&self, table: &str, shape: &[usize], indices: &Value) -> Value {
        let data_type = self.numerics.stored(shape.iter().product(), false);
        let rows = self.gather(0, &self.stored(table, shape, data_type), indices);
        self.float(rows, data_type)
    }

    /// A weight of the element type that matrix products are taken in.
    pub(crate) fn operand(&self, name: &str, shape: &[usize]) -> Value {
        let data_type = self.numerics.stored(shape.iter().product(), true);
        let value = self.stored(name, shape, data_type);
        self.widened(value)
    }

    /// As [`Module::operand`], a weight `[rows, columns]` of the checkpoint as `[columns, rows]`.
    pub(crate) fn operand_transposed(&self, name: &str, [rows, columns]: [usize; 2]) -> Value {
        let full_name = self.name(name);
        let there = self.weights.take(&full_name, &[rows, columns]);
        let source = if there { Source::Transposed { name: full_name, rows, columns } } else { PLACEHOLDER };
        let value = self.added(name, &[columns, rows], self.numerics.stored(rows * columns, true), source);
        self.widened(value)
    }

    /// As [`Module::weight`], with the axes split into those of `view` and taken in another order; merged again, they
    /// are `shape`.
    pub(crate) fn weight_permuted(
        &self,
        name: &str,
        stored: &[usize],
        view: (&[usize], &[usize]),
        shape: &[usize],
    ) -> Value {
        let data_type = self.numerics.stored(shape.iter().product(), false);
        let value = self.permuted(name, stored, view, shape, data_type);
        self.float(value, data_type)
    }

    /// As [`Module::operand`], with the axes as in [`Module::weight_permuted`].
    pub(crate) fn operand_permuted(
        &self,
        name: &str,
        stored: &[usize],
        view: (&[usize], &[usize]),
        shape: &[usize],
    ) -> Value {
        let data_type = self.numerics.stored(shape.iter().product(), true);
        let value = self.permuted(name, stored, view, shape, data_type);
        self.widened(value)
    }

    fn permuted(
        &self,
        name: &str,
        stored: &[usize],
        (view, order): (&[usize], &[usize]),
        shape: &[usize],
        data_type: i32,
    ) -> Value {
        let full_name = self.name(name);
        let there = self.weights.take(&full_name, stored);
        let source = Source::Permuted { name: full_name, shape: view.to_vec(), order: order.to_vec() };
        self.added(name, shape, data_type, if there { source } else { PLACEHOLDER })
    }

    fn widened(&self, value: Value) -> Value {
        if matches!(self.numerics, Numerics::Widened) { self.cast_to_float(&value) } else { value }
    }

    fn stored(&self, name: &str, shape: &[usize], data_type: i32) -> Value {
        let full_name = self.name(name);
        let there = self.weights.take(&full_name, shape);
        let source = if there { Source::Stored(full_name) } else { PLACEHOLDER };
        self.added(name, shape, data_type, source)
    }

    /// A constant of this module.
    pub(crate) fn added(&self, name: &str, shape: &[usize], data_type: i32, source: Source) -> Value {
        self.weights.add(&self.graph, &self.name(name), shape, data_type, source)
    }

    /// A float32 constant that `compute` makes from a weight's numbers.
    pub(crate) fn computed(
        &self,
        name: &str,
        shape: &[usize],
        weight: (&str, &[usize]),
        compute: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Value {
        self.added(name, shape, data_type::FLOAT, self.source_computed(weight, compute))
    }

    /// As [`Module::computed`], of the element type that matrix products are taken in.
    pub(crate) fn operand_computed(
        &self,
        name: &str,
        shape: &[usize],
        weight: (&str, &[usize]),
        compute: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Value {
        let data_type = self.numerics.stored(shape.iter().product(), true);
        let value = self.added(name, shape, data_type, self.source_computed(weight, compute));
        self.widened(value)
    }

    fn source_computed(&self, (name, shape): (&str, &[usize]), compute: impl FnOnce(&[f32]) -> Vec<f32>) -> Source {
        let values = self.weights.floats(&self.name(name), shape);
        values.map_or(PLACEHOLDER, |values| Source::Computed(compute(&values)))
    }

    /// The weight of this linear layer in int8, and whether its activations have a known range; none if it is not
    /// quantised, or has a fault, which is noted.
    pub(crate) fn int8(&self, [inputs, outputs]: [usize; 2], after_norm: bool) -> Option<(Rc<Int8Weight>, bool)> {
        let Numerics::Int8 { seen, fixed } = self.numerics else { return None };
        if let Some(known) = self.weights.int8.borrow().get(&self.path) {
            return Some((Rc::clone(known), fixed));
        }
        let seen = seen.and_then(|seen| self.seen_in(seen, inputs));
        let name = self.name("weight");
        let weight = self.weights.floats(&name, &[outputs, inputs])?;
        let quantised = Rc::new(Int8Weight::new(&weight, inputs, seen, after_norm));
        self.weights.int8.borrow_mut().insert(self.path.clone(), Rc::clone(&quantised));
        Some((quantised, fixed))
    }

    /// What a calibration saw of `x [B, N, channels]`, which has the name of this module, where ranges are to be known
    /// beforehand.
    pub(crate) fn seen_where_fixed(&self, channels: usize) -> Option<&'a Activation> {
        match self.numerics {
            Numerics::Int8 { seen: Some(seen), fixed: true } => self.seen_in(seen, channels),
            _ => None,
        }
    }

    /// What was seen under the name of this module; a fault if that is nothing.
    fn seen_in(&self, seen: &'a Activations, channels: usize) -> Option<&'a Activation> {
        let found = seen.get(&self.path).filter(|seen| seen.min.len() == channels && seen.max.len() == channels);
        if found.is_none() {
            let reason = format!("the calibration saw no activations of `{}`, {channels} wide", self.path);
            self.weights.fault(TensorFault::Unreadable { name: self.name("weight"), reason });
        }
        found
    }

    /// Tells in further outputs the extremes of `x [B, N, channels]`, under the name of this module, if the graph is one
    /// for calibration.
    pub(crate) fn observe(&self, x: &Value, channels: usize) {
        if matches!(self.numerics, Numerics::Observed) {
            let output = |observation: Observation, value: &Value| {
                self.output(&TensorSpec::float(&observation.output(&self.path), [Dim::Fixed(channels)]), value);
            };
            output(Observation::Min, &self.reduce_min(&[0, 1], x));
            output(Observation::Max, &self.reduce_max(&[0, 1], x));
        }
    }
}

/// Stands in for a weight whose fault is noted: the graph is never written.
const PLACEHOLDER: Source = Source::Computed(Vec::new());

/// Edge of the square that is transposed at once: two of them fit in a core's first cache.
const TILE: usize = 32;

/// `[rows, columns]` as `[columns, rows]`, row-major both; an element is the bytes of a float32.
fn transpose(values: &[[u8; 4]], rows: usize, columns: usize) -> Vec<[u8; 4]> {
    let mut out = vec![[0; 4]; values.len()];
    // Each task makes TILE rows of the result.
    out.par_chunks_mut(TILE * rows.max(1)).enumerate().for_each(|(band, out)| {
        let first = band * TILE;
        for row_tile in (0..rows).step_by(TILE) {
            let row_end = rows.min(row_tile + TILE);
            for (i, out_row) in out.chunks_exact_mut(rows).enumerate() {
                let column = first + i;
                for row in row_tile..row_end {
                    out_row[row] = values[row * columns + column];
                }
            }
        }
    });
    out
}

/// `values` of `shape`, row-major, with axis `order[i]` as the result's axis `i`.
fn permute(values: &[[u8; 4]], shape: &[usize], order: &[usize]) -> Vec<[u8; 4]> {
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let axes: Vec<(usize, usize)> = order.iter().map(|&axis| (shape[axis], stride(axis))).collect();
    let Some((&(length, step), outer)) = axes.split_last() else { return values.to_vec() };
    let mut out = vec![[0; 4]; values.len()];
    out.par_chunks_mut(length.max(1)).enumerate().for_each(|(mut row, out)| {
        let mut start = 0;
        for &(size, stride) in outer.iter().rev() {
            start += row % size * stride;
            row /= size;
        }
        out.iter_mut().enumerate().for_each(|(i, value)| *value = values[start + i * step]);
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permuting_moves_every_element() {
        let (shape, order) = ([2, 3, 4, 5], [2, 0, 3, 1]);
        let values: Vec<[u8; 4]> = (0..120_u32).map(u32::to_le_bytes).collect();
        let out = permute(&values, &shape, &order);
        let mut index = 0;
        for c in 0..4 {
            for a in 0..2 {
                for d in 0..5 {
                    for b in 0..3 {
                        assert_eq!(u32::from_le_bytes(out[index]) as usize, ((a * 3 + b) * 4 + c) * 5 + d);
                        index += 1;
                    }
                }
            }
        }
        assert_eq!(permute(&values, &shape, &[0, 1, 2, 3]), values);
    }

    #[test]
    fn transposing_moves_every_element() {
        for (rows, columns) in [(1, 1), (3, 5), (32, 64), (33, 65), (100, 7)] {
            let values: Vec<[u8; 4]> = (0..rows * columns).map(|i| (i as f32).to_le_bytes()).collect();
            let out = transpose(&values, rows, columns);
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(out[column * rows + row], values[row * columns + column]);
                }
            }
        }
    }
}
