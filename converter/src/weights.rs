//! Looks weights up by scope, checks their shapes, and keeps the list of what goes into a weights file.
//!
//! Building a graph asks for every tensor by name and expected shape. What is missing or misshapen is
//! collected instead of stopping the graph, so that one message names every fault.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Deref;

use rayon::prelude::*;
use segvol_onnx::graph::External;
use segvol_onnx::save::{INLINE_BELOW_BYTES, WeightsLayout};
use segvol_onnx::{Graph, Value};

use crate::checkpoint::Checkpoint;
use crate::error::TensorFault;

/// The weights of one stage, shared by its graphs.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    ledger: RefCell<Ledger>,
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
    pub source: Source,
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
        Self { checkpoint, ledger: RefCell::new(ledger) }
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

    /// Adds an initialiser of that name and shape to the graph, and its numbers to the plan.
    fn add(&self, graph: &Graph, name: &str, shape: &[usize], source: Source) -> Value {
        let bytes = shape.iter().product::<usize>() * size_of::<f32>();
        if bytes < INLINE_BELOW_BYTES {
            let values = source.read(self.checkpoint).unwrap_or_else(|fault| {
                self.fault(fault);
                Vec::new()
            });
            return graph.float_bytes(name, shape, values);
        }
        let mut ledger = self.ledger.borrow_mut();
        let placed = ledger.layout.get(name).is_some();
        let external = ledger.layout.place(name, bytes as u64);
        let value = graph.external(name, shape, &external);
        if !placed {
            ledger.external.push(Planned { external, source });
        }
        value
    }

    fn fault(&self, fault: TensorFault) {
        let mut ledger = self.ledger.borrow_mut();
        if ledger.faults.iter().all(|known| known.name() != fault.name()) {
            ledger.faults.push(fault);
        }
    }
}

impl Source {
    /// The numbers, row-major, as little-endian float32.
    pub(crate) fn read(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, TensorFault> {
        match self {
            Self::Stored(name) => checkpoint.read(name),
            Self::Transposed { name, rows, columns } => {
                Ok(transpose(checkpoint.read(name)?.as_chunks().0, *rows, *columns).into_flattened())
            }
            Self::Permuted { name, shape, order } => {
                Ok(permute(checkpoint.read(name)?.as_chunks().0, shape, order).into_flattened())
            }
            Self::Computed(values) => Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        }
    }
}

/// A module of the network: a scope in the graph and the same scope in the checkpoint.
///
/// ONNX's operators are methods of [`Graph`], which a module is one of.
#[derive(Debug, Clone)]
pub(crate) struct Module<'a> {
    graph: Graph,
    weights: &'a Weights<'a>,
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
    pub(crate) fn new(graph: &Graph, weights: &'a Weights<'a>) -> Self {
        Self { graph: graph.clone(), weights, path: String::new() }
    }

    /// A part of this module, under the checkpoint's name for it.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { graph: self.graph.at(name), weights: self.weights, path: self.name(name) }
    }

    /// A numbered part of this module.
    pub(crate) fn block(&self, list: &str, index: usize) -> Self {
        self.at(&format!("{list}.{index}"))
    }

    fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A weight as the checkpoint has it.
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Value {
        let name = self.name(name);
        let there = self.weights.take(&name, shape);
        let source = if there { Source::Stored(name.clone()) } else { PLACEHOLDER };
        self.weights.add(&self.graph, &name, shape, source)
    }

    /// A weight `[rows, columns]` of the checkpoint, as `[columns, rows]`.
    pub(crate) fn weight_transposed(&self, name: &str, [rows, columns]: [usize; 2]) -> Value {
        let name = self.name(name);
        let there = self.weights.take(&name, &[rows, columns]);
        let source = if there { Source::Transposed { name: name.clone(), rows, columns } } else { PLACEHOLDER };
        self.weights.add(&self.graph, &name, &[columns, rows], source)
    }

    /// A weight whose axes are split into those of `view` and taken in another order; merged again, they are `shape`.
    pub(crate) fn weight_permuted(
        &self,
        name: &str,
        stored: &[usize],
        (view, order): (&[usize], &[usize]),
        shape: &[usize],
    ) -> Value {
        let name = self.name(name);
        let there = self.weights.take(&name, stored);
        let source = Source::Permuted { name: name.clone(), shape: view.to_vec(), order: order.to_vec() };
        self.weights.add(&self.graph, &name, shape, if there { source } else { PLACEHOLDER })
    }

    /// A constant that `compute` makes from a weight's numbers.
    pub(crate) fn computed(
        &self,
        name: &str,
        shape: &[usize],
        (weight, weight_shape): (&str, &[usize]),
        compute: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> Value {
        let weight = self.name(weight);
        let source = if self.weights.take(&weight, weight_shape) {
            match self.weights.checkpoint.read(&weight) {
                Ok(bytes) => {
                    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect();
                    Source::Computed(compute(&values))
                }
                Err(fault) => {
                    self.weights.fault(fault);
                    PLACEHOLDER
                }
            }
        } else {
            PLACEHOLDER
        };
        self.weights.add(&self.graph, &self.name(name), shape, source)
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
