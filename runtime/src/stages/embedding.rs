//! The outputs of the image encoder and the text encoder.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use segvol_onnx::Stage;

use crate::error::Error;
use crate::onnxruntime::binding::DeviceTensor;

/// The image encoder's output for one window: `[N, C]`, one row per image token. At precision fp16 its values are float16,
/// as in the graphs. It may be in a GPU's memory, where the mask decoder reads it.
#[derive(Debug, Clone)]
pub struct ImageEmbedding(pub(super) Values);

#[derive(Debug, Clone)]
pub(super) enum Values {
    Float(Vec<f32>),
    Half(Vec<f16>),
    /// In the element type of the graph's output.
    Device(DeviceTensor),
}

impl ImageEmbedding {
    /// The values as float32, `[N, C]` in row-major order. They are copied if they are float16 or on a device.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if the copy from the device fails.
    pub fn values(&self) -> Result<Cow<'_, [f32]>, Error> {
        match &self.0 {
            Values::Float(values) => Ok(Cow::Borrowed(values)),
            Values::Half(values) => Ok(Cow::Owned(values.to_f32_vec())),
            Values::Device(tensor) => {
                let values = tensor.to_f32();
                let failed = |reason: String| Error::Stage { stage: Stage::ImageEncoder, reason };
                Ok(Cow::Owned(values.map_err(|error| failed(error.to_string()))?))
            }
        }
    }

    /// Size of the values in bytes, in the memory of the host or of a device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Values::Float(values) => size_of_val(values.as_slice()),
            Values::Half(values) => size_of_val(values.as_slice()),
            Values::Device(tensor) => tensor.bytes(),
        }
    }
}

/// The text encoder's output for one text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEmbedding {
    /// `[C]`, the prompt token of the text.
    pub embedding: Vec<f32>,
    /// `[C/8]`, which the mask decoder adds to the output of the mask token's hypernetwork.
    pub alignment: Vec<f32>,
}
