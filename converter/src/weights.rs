//! The ledger of a stage's weights: looks tensors up, checks their shapes, and plans the weights file.
//!
//! Building a graph asks for every tensor by name and expected shape. Missing and misshapen tensors are collected
//! instead of stopping the build, so that one message names every fault.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use half::f16;
use rayon::prelude::*;
use segvol_onnx::graph::External;
use segvol_onnx::save::{INLINE_BELOW_BYTES, WeightsLayout};
use segvol_onnx::{ElementType, Graph, Value};

use crate::error::TensorFault;
use crate::quantise::Int8Weight;
use crate::relayout::{permute, transpose};
use segvol_checkpoint::{Checkpoint, check_memory};

/// The weights of one stage, shared by its graphs.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    ledger: RefCell<Ledger>,
    /// Weights that are quantised already, by the layer's name, for the next graph.
    int8: RefCell<BTreeMap<String, Rc<Int8Weight>>>,
}

/// The tensors that a stage uses, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Ledger {
    layout: WeightsLayout,
    /// Tensors of the weights file, by offset.
    pub external: Vec<Planned>,
    /// Checkpoint tensors that the stage uses.
    pub used: BTreeSet<String>,
    /// Number of scalars that the stage uses from the checkpoint.
    pub parameters: u64,
    /// Tensors that are missing, misshapen or unusable.
    pub faults: Vec<TensorFault>,
}

/// A tensor of a weights file: its place, and where its numbers come from.
#[derive(Debug)]
pub(crate) struct Planned {
    pub external: External,
    name: String,
    element: ElementType,
    source: Source,
}

impl Planned {
    /// The tensor's bytes in the weights file.
    pub(crate) fn read(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, TensorFault> {
        self.source.read(checkpoint, &self.name, self.element)
    }
}

/// Where a weight's numbers come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A checkpoint tensor, unchanged.
    Stored(String),
    /// A checkpoint tensor `[rows, columns]`, transposed.
    Transposed { name: String, rows: usize, columns: usize },
    /// A checkpoint tensor, viewed as `shape`, with its axes in another order.
    Permuted { name: String, shape: Vec<usize>, order: Vec<usize> },
    /// Numbers that are computed from the checkpoint already.
    Computed(Vec<f32>),
    /// Bytes that have the element type of the weights file already.
    Bytes(Vec<u8>),
}

impl Source {
    /// The source of a weight with a recorded fault. Its graph is never written.
    pub(crate) const FAULTY: Self = Self::Computed(Vec::new());

    /// The numbers in this element type, row-major and little-endian.
    fn read(&self, checkpoint: &Checkpoint, name: &str, element: ElementType) -> Result<Vec<u8>, TensorFault> {
        let floats = match self {
            Self::Stored(name) => checkpoint.read(name)?,
            Self::Transposed { name, rows, columns } => {
                transpose(checkpoint.read(name)?.as_chunks().0, *rows, *columns).into_flattened()
            }
            Self::Permuted { name, shape, order } => {
                permute(checkpoint.read(name)?.as_chunks().0, shape, order).into_flattened()
            }
            Self::Computed(values) => {
                check_memory::<f32>(name, values.len())?;
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            Self::Bytes(bytes) => {
                check_memory::<u8>(name, bytes.len())?;
                return Ok(bytes.clone());
            }
        };
        if element == ElementType::Float16 { to_f16(name, floats.as_chunks().0) } else { Ok(floats) }
    }
}

impl<'a> Weights<'a> {
    /// An empty ledger for a weights file of that name.
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

    /// All that the graphs have asked for.
    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger.into_inner()
    }

    /// Marks a tensor as used. Returns false, and records a fault, if it is missing or unusable.
    pub(crate) fn take(&self, name: &str, expected: &[usize]) -> bool {
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

    /// Adds an initialiser to the graph, and its numbers to the plan of the weights file unless it is small.
    pub(crate) fn add(
        &self,
        graph: &Graph,
        name: &str,
        shape: &[usize],
        element: ElementType,
        source: Source,
    ) -> Value {
        let bytes = shape.iter().product::<usize>() * element.bytes();
        if bytes < INLINE_BELOW_BYTES {
            let values = source.read(self.checkpoint, name, element).unwrap_or_else(|fault| {
                self.fault(fault);
                Vec::new() // The graph is never written.
            });
            return graph.inline(name, shape, element, values);
        }
        let mut ledger = self.ledger.borrow_mut();
        let placed = ledger.layout.get(name).is_some();
        let external = ledger.layout.place(name, bytes as u64);
        let value = graph.external(name, shape, element, &external);
        if !placed {
            ledger.external.push(Planned { external, name: name.to_owned(), element, source });
        }
        value
    }

    /// The elements of a checkpoint tensor; `None`, and a fault recorded, if it is missing or unusable.
    pub(crate) fn floats(&self, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
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

    /// The quantised weight of a linear layer, made by `quantise` when a graph asks for it the first time. `None` if
    /// `quantise` returns `None`.
    pub(crate) fn int8(&self, layer: &str, quantise: impl FnOnce() -> Option<Int8Weight>) -> Option<Rc<Int8Weight>> {
        if let Some(known) = self.int8.borrow().get(layer) {
            return Some(Rc::clone(known));
        }
        let weight = Rc::new(quantise()?);
        self.int8.borrow_mut().insert(layer.to_owned(), Rc::clone(&weight));
        Some(weight)
    }

    /// Records a fault, unless there is one for the same tensor.
    pub(crate) fn fault(&self, fault: TensorFault) {
        let mut ledger = self.ledger.borrow_mut();
        if ledger.faults.iter().all(|known| known.name() != fault.name()) {
            ledger.faults.push(fault);
        }
    }
}

/// float32 as float16, rounded to nearest. A number beyond float16's range is a fault.
fn to_f16(name: &str, values: &[[u8; 4]]) -> Result<Vec<u8>, TensorFault> {
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
