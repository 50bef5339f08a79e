//! Tensors that stay where they are computed: they are bound to the output of one session and the input of the next.
//!
//! On a GPU, the image embedding (2048 × 768 values for the released model) goes from encoder to decoder without a copy to
//! the host; only the decoder's low-resolution logits are copied back. The same code also runs in the processor's memory,
//! where tests compare it with runs that bind no tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session, SessionInputValue};
use ort::value::{DynTensor, Outlet, PrimitiveTensorElementType, Tensor, TensorElementType, TensorRef};

use super::batch_item;

/// The memory of bound tensors. `fixed` keeps the tensors of the image encoder at the same address in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the processor's memory.
    Cpu {
        /// See [`Place`].
        fixed: bool,
    },
    /// In the memory of an NVIDIA GPU.
    Cuda {
        /// The number of the GPU, counted from 0.
        device: u16,
        /// See [`Place`].
        fixed: bool,
    },
}

impl Place {
    pub(crate) fn fixed(self) -> bool {
        match self {
            Self::Cpu { fixed } | Self::Cuda { fixed, .. } => fixed,
        }
    }

    /// An allocator for this memory.
    fn device(self, session: &Session) -> ort::Result<Allocator> {
        match self {
            Self::Cpu { .. } => Ok(Allocator::default()),
            Self::Cuda { device, .. } => {
                let (kind, id) = (AllocationDevice::CUDA, i32::from(device));
                let memory = MemoryInfo::new(kind, id, AllocatorType::Device, MemoryType::Default)?;
                Allocator::new(session, memory)
            }
        }
    }
}

/// A tensor that stays in the memory of the provider that computed it. Clones share the memory.
#[derive(Debug, Clone)]
pub(crate) struct DeviceTensor(Arc<DynTensor>);

impl DeviceTensor {
    /// Copies the values to the host, and converts them to float32.
    pub(crate) fn to_f32(&self) -> ort::Result<Vec<f32>> {
        let host = self.0.to(AllocationDevice::CPU, 0)?;
        if *host.data_type() == TensorElementType::Float16 {
            let (_, values) = host.try_extract_tensor::<f16>()?;
            return Ok(values.to_f32_vec());
        }
        let (_, values) = host.try_extract_tensor::<f32>()?;
        Ok(values.to_vec())
    }

    /// Copies float16 values to the host; `None` if they are float32.
    pub(crate) fn to_f16(&self) -> ort::Result<Option<Vec<f16>>> {
        if *self.0.data_type() != TensorElementType::Float16 {
            return Ok(None);
        }
        let host = self.0.to(AllocationDevice::CPU, 0)?;
        let (_, values) = host.try_extract_tensor::<f16>()?;
        Ok(Some(values.to_vec()))
    }

    /// Size of the values on the device, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let elements = self.0.shape().num_elements();
        self.0.data_type().byte_size(elements).expect("an embedding is float32 or float16, whose size is known")
    }
}

/// An input tensor of a graph: its shape, and its values in row-major order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input<'a> {
    /// float32 on the host.
    F32(&'a [usize], &'a [f32]),
    /// float16 on the host.
    F16(&'a [usize], &'a [f16]),
    /// int64 on the host.
    I64(&'a [usize], &'a [i64]),
    /// A tensor in the memory where the session's tensors are bound.
    Device(&'a DeviceTensor),
}

impl<'a> Input<'a> {
    /// The tensor as an input of a session, without a copy.
    pub(super) fn borrowed(self) -> ort::Result<SessionInputValue<'a>> {
        Ok(match self {
            Self::F32(shape, values) => TensorRef::from_array_view((shape, values))?.into(),
            Self::F16(shape, values) => TensorRef::from_array_view((shape, values))?.into(),
            Self::I64(shape, values) => TensorRef::from_array_view((shape, values))?.into(),
            Self::Device(tensor) => (&*tensor.0).into(),
        })
    }
}

/// The bindings of one session. They are made once and kept, because each new binding would use more memory.
#[derive(Debug)]
pub(crate) struct Bindings {
    place: Place,
    binding: IoBinding,
    /// The input and the output of a batch of each size, if they keep their addresses.
    buffers: BTreeMap<usize, (Tensor<f32>, DynTensor)>,
}

impl Bindings {
    pub(crate) fn new(session: &Session, place: Place) -> ort::Result<Self> {
        Ok(Self { place, binding: session.create_binding()?, buffers: BTreeMap::new() })
    }

    /// Whether the tensors of [`Bindings::run_to_device`] are at the same address in every run with a batch of the same size.
    pub(crate) fn keeps_addresses(&self) -> bool {
        self.place.fixed()
    }

    /// Runs a graph with one input and one output, each a batch `[B, …]`. The output stays in the place, in a tensor for each item
    /// of the batch, whose shape is `item_shape`, `[1, …]`.
    pub(crate) fn run_to_device(
        &mut self,
        session: &mut Session,
        options: &RunOptions,
        (input, shape, values): (&str, &[usize], &[f32]),
        (output, item_shape): (&str, &[usize]),
    ) -> ort::Result<Vec<DeviceTensor>> {
        let values = owned(shape, values)?;
        let device = self.place.device(session)?;
        let element = element_type(session.outputs(), output);
        let batch = shape.first().copied().unwrap_or(1);
        let mut batch_shape = item_shape.to_vec();
        if let Some(first) = batch_shape.first_mut() {
            *first = batch;
        }
        if !self.place.fixed() {
            let mut result = DynTensor::new(&device, element, &batch_shape[..])?;
            self.binding.bind_input(input, &values)?;
            // One tensor per run: if only the device were bound, every run would use the same memory.
            self.binding.bind_output(output, &mut result)?;
            self.run(session, options)?;
            self.binding.clear();
            if batch == 1 {
                return Ok(vec![DeviceTensor(Arc::new(result))]);
            }
            return items(&result, batch, item_shape, &device);
        }
        let (mut from, mut to) = match self.buffers.remove(&batch) {
            Some(buffers) => buffers,
            None => (Tensor::new(&device, shape)?, DynTensor::new(&device, element, &batch_shape[..])?),
        };
        values.copy_into(&mut from)?;
        self.binding.bind_input(input, &from)?;
        self.binding.bind_output(output, &mut to)?;
        let ran = self.run(session, options);
        self.binding.clear();
        let results = ran.and_then(|()| items(&to, batch, item_shape, &device));
        self.buffers.insert(batch, (from, to));
        results
    }

    /// Runs a bound graph. Copies between host and device may continue after the call that started them has returned, so the
    /// inputs and outputs are synchronized.
    fn run(&self, session: &mut Session, options: &RunOptions) -> ort::Result<()> {
        self.binding.synchronize_inputs()?;
        session.run_binding_with_options(&self.binding, options)?;
        self.binding.synchronize_outputs()
    }

    /// Runs a graph with one output, and copies the output to the host.
    pub(crate) fn run_to_host(
        &mut self,
        session: &mut Session,
        options: &RunOptions,
        inputs: &[(&str, Input<'_>)],
        (output, output_shape): (&str, &[usize]),
    ) -> ort::Result<Vec<f32>> {
        for &(name, input) in inputs {
            match input {
                Input::F32(shape, values) => self.binding.bind_input(name, &owned(shape, values)?)?,
                Input::F16(shape, values) => self.binding.bind_input(name, &owned(shape, values)?)?,
                Input::I64(shape, values) => self.binding.bind_input(name, &owned(shape, values)?)?,
                Input::Device(tensor) => self.binding.bind_input(name, &*tensor.0)?,
            }
        }
        // Not in pinned memory: ONNX Runtime 1.31 takes that for the GPU's, and then fails to copy a tensor to itself.
        let mut result = Tensor::<f32>::new(&Allocator::default(), output_shape)?;
        self.binding.bind_output(output, &mut result)?;
        self.run(session, options)?;
        self.binding.clear();
        let (_, values) = result.try_extract_tensor::<f32>()?;
        Ok(values.to_vec())
    }
}

/// A tensor on the host that owns its values. Binding a borrowed tensor makes `ort` 2.0.0-rc.15 deadlock: it copies the
/// tensor through a session under a lock, and first binds the same borrowed tensor to that session.
fn owned<T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
    shape: &[usize],
    values: &[T],
) -> ort::Result<Tensor<T>> {
    Tensor::from_array((shape, values.to_vec()))
}

/// The element type of an output. It is float32 if the graph has no such output; the run then fails and names it.
fn element_type(outputs: &[Outlet], name: &str) -> TensorElementType {
    let output = outputs.iter().find(|output| output.name() == name);
    output.and_then(|output| output.dtype().tensor_type()).unwrap_or(TensorElementType::Float32)
}

/// Copies of the `count` items of a batch, `[B, …]`, each in a tensor of its own with the shape `item_shape`, `[1, …]`. Views would
/// keep the memory of the whole batch as long as one of them is used.
fn items(batch: &DynTensor, count: usize, item_shape: &[usize], device: &Allocator) -> ort::Result<Vec<DeviceTensor>> {
    let copy = |index| {
        let mut copy = DynTensor::new(device, *batch.data_type(), item_shape)?;
        batch_item::view(batch, index, item_shape, device)?.copy_into(&mut copy)?;
        Ok(DeviceTensor(Arc::new(copy)))
    };
    (0..count).map(copy).collect()
}
