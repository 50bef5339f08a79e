//! The outputs of the image encoder and the text encoder.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use segvol_base::machine;
use segvol_onnx::{Precision, Stage};

use crate::error::Error;
use crate::onnxruntime::binding::DeviceTensor;
use crate::onnxruntime::library;
use crate::options::Options;
use crate::provider::Provider;

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

    /// The values as little-endian bytes, in their own element type: nothing is rounded.
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if the copy from the device fails.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let failed = |reason: String| Error::Stage { stage: Stage::ImageEncoder, reason };
        Ok(match &self.0 {
            Values::Float(values) => bytes_of(values, |value| value.to_le_bytes()),
            Values::Half(values) => bytes_of(values, |value| value.to_le_bytes()),
            Values::Device(tensor) => match tensor.to_f16().map_err(|error| failed(error.to_string()))? {
                Some(values) => bytes_of(&values, |value| value.to_le_bytes()),
                None => {
                    let values = tensor.to_f32().map_err(|error| failed(error.to_string()))?;
                    bytes_of(&values, |value| value.to_le_bytes())
                }
            },
        })
    }

    /// The embedding of [`ImageEmbedding::to_bytes`], on the host. `None` if the bytes are not `elements` values.
    pub(crate) fn from_bytes(bytes: &[u8], elements: usize) -> Option<Self> {
        let (float, half) = (bytes.as_chunks().0, bytes.as_chunks().0);
        Some(Self(match bytes.len().checked_div(elements)? {
            _ if !bytes.len().is_multiple_of(elements) => return None,
            4 => Values::Float(float.iter().copied().map(f32::from_le_bytes).collect()),
            2 => Values::Half(half.iter().copied().map(f16::from_le_bytes).collect()),
            _ => return None,
        }))
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

fn bytes_of<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    let mut all = vec![0; N * values.len()];
    for (place, &value) in all.as_chunks_mut().0.iter_mut().zip(values) {
        *place = bytes(value);
    }
    all
}

/// All that the bits of an embedding depend on, besides the window's image. Equal texts are equal encoders. Threads do not change the
/// bits of ONNX Runtime's own kernels; for other providers nobody promises it.
pub(super) fn encoder(manifest_sha256: &str, provider: Provider, precision: Precision, options: &Options) -> String {
    let threads = (provider != Provider::Cpu).then(|| options.threads.unwrap_or_else(machine::usable_cores));
    let (processor, features) = (machine::processor_name(), machine::processor_features());
    let (version, build) = (library::library_version(), library::library_info());
    format!(
        "{manifest_sha256} {provider} {precision} {:?} {threads:?} {version} {build} {processor:?} {features:?}",
        options.provider_options
    )
}

/// The text encoder's output for one text.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEmbedding {
    /// `[C]`, the prompt token of the text.
    pub embedding: Vec<f32>,
    /// `[C/8]`, which the mask decoder adds to the output of the mask token's hypernetwork.
    pub alignment: Vec<f32>,
}
