//! Encodes windows of the image, one or several in one run.

use std::sync::atomic::Ordering;

use half::f16;
use ndarray::{ArrayView3, CowArray, Ix3};
use segvol_base::memory;
use segvol_onnx::{Precision, Stage};

use super::batches::run_batches;
use super::embedding::{ImageEmbedding, Values};
use super::{Stages, expect_shape, first_not_finite};
use crate::error::Error;
use crate::onnxruntime::binding::Input;
use crate::onnxruntime::session::StageSession;

impl Stages {
    /// Encodes the zoom-out window, `[D, H, W]` with values in [0, 1].
    ///
    /// If [`Stages::encode_image`] computes in int8 or bfloat16 and the bundle has float32, this function computes in
    /// float32: a zoom-out mask that is one voxel larger moves every window of the zoom-in pass.
    ///
    /// # Errors
    ///
    /// As for [`Stages::encode_image`].
    pub fn encode_zoom_out(&self, window: ArrayView3<'_, f32>) -> Result<ImageEmbedding, Error> {
        self.encode_one(self.exact_image_encoder.as_ref().unwrap_or(&self.image_encoder), window)
    }

    /// Encodes one window of the normalised image, `[D, H, W]` with values in [0, 1].
    ///
    /// # Errors
    ///
    /// [`Error::Stage`] if the window does not have the shape of the model's windows, or ONNX Runtime fails;
    /// [`Error::NotFinite`] if the embedding contains an infinity or NaN. An embedding that stays on a device is not
    /// checked, but the logits that are decoded from it are.
    pub fn encode_image(&self, window: ArrayView3<'_, f32>) -> Result<ImageEmbedding, Error> {
        self.encode_one(&self.image_encoder, window)
    }

    /// Encodes several windows of the normalised image, each `[D, H, W]` with values in [0, 1], and returns their embeddings in
    /// the same order. At most [`Stages::window_batch`] of them are in one run, in batches of a few fixed sizes.
    ///
    /// If ONNX Runtime fails with several windows in a run, which a device with little memory does, they are encoded one by one,
    /// and so are all later windows.
    ///
    /// # Errors
    ///
    /// As for [`Stages::encode_image`], and [`Error::Memory`] if there is not enough memory to put the windows of a batch side by
    /// side.
    pub fn encode_images(&self, windows: &[ArrayView3<'_, f32>]) -> Result<Vec<ImageEmbedding>, Error> {
        for window in windows {
            self.expect_window(window)?;
        }
        run_batches(windows, &self.window_batch, |batch| self.encode(&self.image_encoder, batch))
    }

    /// Most windows that [`Stages::encode_images`] encodes in one run: what the options of the provider say, or 1 after a run of
    /// several has failed.
    #[must_use]
    pub fn window_batch(&self) -> usize {
        self.window_batch.load(Ordering::Relaxed)
    }

    fn encode_one(&self, encoder: &StageSession, window: ArrayView3<'_, f32>) -> Result<ImageEmbedding, Error> {
        self.expect_window(&window)?;
        Ok(self.encode(encoder, &[window])?.remove(0))
    }

    fn expect_window(&self, window: &ArrayView3<'_, f32>) -> Result<(), Error> {
        expect_shape(Stage::ImageEncoder, "image", &self.architecture.window_dhw, window.shape())
    }

    /// Encodes windows of the right shape in one run.
    fn encode(&self, encoder: &StageSession, windows: &[ArrayView3<'_, f32>]) -> Result<Vec<ImageEmbedding>, Error> {
        let (input, output, batch) = ("image", "image_embedding", windows.len());
        let [d, h, w] = self.architecture.window_dhw;
        let one_by_one: Vec<CowArray<'_, f32, Ix3>> =
            windows.iter().map(|window| window.as_standard_layout()).collect();
        let mut together = Vec::new();
        let values: &[f32] = match &one_by_one[..] {
            [window] => in_order(window),
            several => {
                memory::reserve("the windows of a batch", &mut together, batch * d * h * w)?;
                several.iter().for_each(|window| together.extend_from_slice(in_order(window)));
                &together
            }
        };
        let image_shape = [batch, 1, d, h, w];
        let embedding_shape = [1, self.architecture.image_tokens(), self.architecture.channels];
        let on_device = encoder.run_to_device((input, &image_shape, values), (output, &embedding_shape))?;
        if let Some(embeddings) = on_device {
            return Ok(embeddings.into_iter().map(|embedding| ImageEmbedding(Values::Device(embedding))).collect());
        }
        let inputs = [(input, Input::F32(&image_shape, values))];
        let length = embedding_shape.iter().product();
        match self.precision {
            Precision::Fp16 => {
                let [embeddings] = encoder.run::<f16, 1>(&inputs, [output])?;
                let bad = |values: &[f16]| {
                    let index = values.iter().position(|value| !value.is_finite())?;
                    Some((index, values[index].to_f32()))
                };
                self.divided(output, embeddings, batch, length, bad, Values::Half)
            }
            Precision::Fp32 | Precision::Int8 => {
                let [embeddings] = encoder.run(&inputs, [output])?;
                self.divided(output, embeddings, batch, length, first_not_finite, Values::Float)
            }
        }
    }

    /// Divides the embeddings of a batch, `[B, N, C]`, and checks each with `bad`.
    fn divided<T: Clone>(
        &self,
        output: &'static str,
        all: Vec<T>,
        batch: usize,
        length: usize,
        bad: impl Fn(&[T]) -> Option<(usize, f32)>,
        values: impl Fn(Vec<T>) -> Values,
    ) -> Result<Vec<ImageEmbedding>, Error> {
        let stage = Stage::ImageEncoder;
        expect_shape(stage, output, &[batch * length], &[all.len()])?;
        let each = if batch == 1 { vec![all] } else { all.chunks(length).map(<[T]>::to_vec).collect() };
        let checked = each.into_iter().map(|embedding| {
            self.finite(stage, output, bad(&embedding))?;
            Ok(ImageEmbedding(values(embedding)))
        });
        checked.collect()
    }
}

fn in_order<'a>(window: &'a CowArray<'_, f32, Ix3>) -> &'a [f32] {
    window.as_slice().expect("`as_standard_layout` gives a standard layout")
}
