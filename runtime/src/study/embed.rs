//! Hands out the image encoder's output for windows of a scan, for callers who want it for something else than masks.

use std::ops::ControlFlow;

use segvol_onnx::Stage;
use segvol_windows::WindowKey;

use super::{Error, Study};
use crate::onnxruntime::cancellation::Cancellation;

/// Called with the number of a window, counted from 0, and its embedding: `[N, C]` in row-major order, one row per image token, and
/// tokens in the order of a grid `[D, H, W]`. It returns [`ControlFlow::Break`] to stop.
pub type EmbeddingTaker<'a> = dyn FnMut(usize, &[f32]) -> ControlFlow<()> + 'a;

impl Study {
    /// Encodes windows, or reads their embeddings from the cache or the folder of embeddings, and hands them over in their order, one
    /// at a time.
    ///
    /// # Errors
    ///
    /// - [`Error::Setting`] if a window is not one of this crop.
    /// - [`Error::Cancelled`] if `take` returns [`ControlFlow::Break`].
    /// - [`Error::Bundle`], [`Error::Memory`], [`Error::Stage`], [`Error::NotFinite`] as for [`Study::segment`].
    pub fn embed(&self, windows: &[WindowKey], take: &mut EmbeddingTaker<'_>) -> Result<(), Error> {
        let (crop, window) = (self.crop().shape_dhw(), self.windows.window_dhw());
        if let Some(other) = windows.iter().find(|other| !other.fits(crop, window)) {
            let found = format!("{other:?}, where the crop has {crop:?} voxels");
            return Err(Error::Setting { name: "windows", expected: "windows of this study", found });
        }
        self.files.check()?;
        let (batch, mut done) = (self.windows.batch(1), 0);
        // The zoom-out window may have an encoder of its own.
        for alike in windows.chunk_by(|a, b| !a.is_zoom_out() && !b.is_zoom_out()) {
            for group in alike.chunks(batch) {
                let keys = group.iter().map(|key| (key.clone(), None)).collect();
                for embedding in self.windows.embed_all(keys)? {
                    let values = embedding.values()?;
                    // What stays on a device is not checked when it is made.
                    self.windows.stages().check_finite(Stage::ImageEncoder, "image_embedding", &values)?;
                    if take(done, &values).is_break() {
                        return Err(Error::Cancelled);
                    }
                    done += 1;
                }
            }
        }
        Ok(())
    }

    /// As [`Study::embed`], and another thread can stop the call, also in the middle of a window.
    ///
    /// # Errors
    ///
    /// As for [`Study::embed`], and [`Error::Cancelled`] if `cancellation` is requested before the last graph has run.
    pub fn embed_cancellable(
        &self,
        windows: &[WindowKey],
        take: &mut EmbeddingTaker<'_>,
        cancellation: &Cancellation,
    ) -> Result<(), Error> {
        cancellation.during(|| self.embed(windows, take))
    }
}
