//! One item of a batch, where it lies in the memory of a device.
//!
//! `ort` has views of memory only as borrowed tensors, and copying one of these makes `ort` 2.0.0-rc.15 deadlock (see `owned` in
//! `binding.rs`). So this module makes a view through the C function, which needs `unsafe`.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use ort::AsPointer as _;
use ort::memory::Allocator;
use ort::value::DynTensor;

/// An item of a batch, while the batch is borrowed.
pub(super) struct BatchItem<'a> {
    tensor: DynTensor,
    _batch: PhantomData<&'a DynTensor>,
}

impl BatchItem<'_> {
    /// Copies the values to a tensor of the same element type and size.
    pub(super) fn copy_into(&self, target: &mut DynTensor) -> ort::Result<()> {
        self.tensor.copy_into(target)
    }
}

/// The item at `index` of a batch, `[B, …]`, as a tensor of the shape `item_shape`, `[1, …]`. `device` is the allocator that the
/// batch came from.
pub(super) fn view<'a>(
    batch: &'a DynTensor,
    index: usize,
    item_shape: &[usize],
    device: &Allocator,
) -> ort::Result<BatchItem<'a>> {
    let outside = || ort::Error::new("an item of a batch is outside of it");
    let element = *batch.data_type();
    let elements: usize = item_shape.iter().product();
    let bytes = element.byte_size(elements).ok_or_else(outside)?;
    let start = index.checked_mul(bytes).ok_or_else(outside)?;
    let size = element.byte_size(batch.shape().num_elements()).ok_or_else(outside)?;
    if start.checked_add(bytes).is_none_or(|end| end > size) {
        return Err(outside());
    }
    let shape: Vec<i64> =
        item_shape.iter().map(|&n| i64::try_from(n).map_err(|_| outside())).collect::<Result<_, _>>()?;
    let data = batch.data_ptr().cast_mut().cast::<u8>().wrapping_add(start).cast();
    let mut item = ptr::null_mut();
    // SAFETY: `data` has `bytes` bytes in the memory that the batch's own description names, and the tensor does not free them.
    // `shape` has as many numbers as are said, whose product with an element's size is `bytes`. The out-pointer is valid for a
    // write.
    let status = unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            batch.memory_info().ptr(),
            data,
            bytes,
            shape.as_ptr(),
            shape.len(),
            element.into(),
            &raw mut item,
        )
    };
    // SAFETY: the status came from ONNX Runtime and is converted, hence freed, once.
    unsafe { ort::Error::result_from_status(status) }?;
    let item = NonNull::new(item).ok_or_else(|| ort::Error::new("ONNX Runtime made no tensor"))?;
    // SAFETY: a new tensor that nobody else has, in the memory that the allocator is for.
    let tensor = unsafe { DynTensor::from_ptr(item, Some(device)) };
    Ok(BatchItem { tensor, _batch: PhantomData })
}
