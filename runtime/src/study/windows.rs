//! The windows of one scan: cut from its image, encoded once as long as the cache is large enough, decoded for any number
//! of prompts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ndarray::{Array3, Array4, ArrayView3};
use segvol_base::{Warning, memory};
use serde::Serialize;

use super::options::StudyOptions;
use super::stored_embeddings::StoredEmbeddings;
use crate::error::Error;
use crate::stages::{ImageEmbedding, Stages, WindowPrompt};
use segvol_scan::resize::{Trilinear, resize_nearest, resize_nearest_exact};
use segvol_store::Cache;
use segvol_windows::{Frame, Start, WindowKey};

/// Counts and times of a study's work since it was made.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statistics {
    /// Number of windows that were encoded by the image encoder, including the zoom-out window.
    pub windows_encoded: usize,
    /// How often an embedding was used for one more object or call, instead of encoding its window again.
    pub windows_reused: usize,
    /// Number of windows whose embedding was read from the folder of [`StudyOptions::embeddings`](crate::StudyOptions), instead of
    /// encoding them.
    pub windows_loaded: usize,
    /// Time per step of the pipeline, in milliseconds. Steps on different threads run at the same time, so the sum may exceed
    /// the time of the calls.
    pub times_ms: BTreeMap<&'static str, f64>,
}

/// The windows of one scan.
pub(crate) struct Windows {
    stages: Arc<Stages>,
    /// The normalised crop, `[D, H, W]`, in [0, 1].
    image: Array3<f32>,
    upsampling: Trilinear,
    /// How the profile resizes the zoom-out image.
    by_nearest: bool,
    /// Embeddings from one process to the next.
    stored: Option<StoredEmbeddings>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cache: Cache<WindowKey, ImageEmbedding>,
    statistics: Statistics,
}

impl Windows {
    pub(crate) fn new(
        stages: Arc<Stages>,
        image: Array3<f32>,
        options: &StudyOptions,
        mut statistics: Statistics,
    ) -> Self {
        let start = Instant::now();
        let stored = StoredEmbeddings::of(options, &stages, &image);
        if stored.is_some() {
            statistics.times_ms.insert("hash", start.elapsed().as_secs_f64() * 1e3);
        }
        let architecture = stages.architecture();
        Self {
            upsampling: Trilinear::new(architecture.low_res_dhw(), architecture.window_dhw),
            by_nearest: options.profile.resizes_by_nearest(),
            state: Mutex::new(State { cache: Cache::new(options.cache_bytes), statistics }),
            stages,
            image,
            stored,
        }
    }

    pub(crate) fn stages(&self) -> &Stages {
        &self.stages
    }

    /// The normalised crop, `[D, H, W]`, in [0, 1].
    pub(crate) fn image(&self) -> &Array3<f32> {
        &self.image
    }

    /// Voxels of a window, `[D, H, W]`.
    pub(crate) fn window_dhw(&self) -> [usize; 3] {
        self.stages.architecture().window_dhw
    }

    pub(crate) fn statistics(&self) -> Statistics {
        self.state().statistics.clone()
    }

    /// Checks that there is enough memory for the windows that are in progress at the same time: images before and inside
    /// ONNX Runtime, an embedding, and the logits of `objects` objects, some of them at the window's size. This size does not
    /// depend on the size of the scan. If there is not enough memory, all embeddings in the cache are dropped first.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory even without them.
    pub(crate) fn check_memory(&self, objects: usize) -> Result<(), Error> {
        if self.check_memory_of(1, objects).is_err() {
            self.state().cache.clear();
            self.check_memory_of(1, objects)?;
        }
        Ok(())
    }

    /// As [`Windows::check_memory`], if up to `batch` windows are encoded together, and without dropping anything.
    fn check_memory_of(&self, batch: usize, objects: usize) -> Result<(), Error> {
        let architecture = self.stages.architecture();
        let [window, low_res] =
            [architecture.window_dhw, architecture.low_res_dhw()].map(|dhw| dhw.iter().product::<usize>());
        let embedding = architecture.image_tokens() * architecture.channels;
        // Of a batch, three are in progress at the same time, and the windows of one are also side by side.
        let floats = (4 + 4 * batch) * window + (2 + 2 * batch) * embedding + 4 * objects * low_res;
        Ok(memory::check_available::<f32>("the windows in progress", floats)?)
    }

    /// How many windows are encoded together: as many as the provider runs well, but fewer if there is not enough memory for so
    /// many.
    pub(crate) fn batch(&self, objects: usize) -> usize {
        let most = self.stages.window_batch();
        let sizes = std::iter::successors(Some(most), |size| Some(size / 2)).take_while(|&size| size > 1);
        sizes.into_iter().find(|&size| self.check_memory_of(size, objects).is_ok()).unwrap_or(1)
    }

    /// The image of a window, `[D, H, W]`.
    pub(crate) fn image_of(&self, key: &WindowKey) -> Array3<f32> {
        match key {
            WindowKey::ZoomOut if self.by_nearest => resize_nearest(self.image.view(), self.window_dhw()),
            WindowKey::ZoomOut => resize_nearest_exact(self.image.view(), self.window_dhw()),
            WindowKey::ZoomIn(frame) => self.image_in(frame),
        }
    }

    fn image_in(&self, frame: &Frame) -> Array3<f32> {
        frame.cut(self.image.view(), self.window_dhw())
    }

    /// Whether the embedding of a window is in the cache or in the folder.
    pub(crate) fn has(&self, key: &WindowKey) -> bool {
        self.state().cache.has(key) || self.stored.as_ref().is_some_and(|stored| stored.has(key))
    }

    /// The image of a window that must be encoded, `[D, H, W]`; `None` if its embedding is in the cache or in the folder.
    pub(crate) fn cut(&self, key: &WindowKey) -> Option<Array3<f32>> {
        if self.has(key) { None } else { Some(self.timed("cut", || self.image_of(key))) }
    }

    /// The zoom-in windows that need not be encoded, because their embeddings are in the folder; in raster order.
    pub(crate) fn stored_frames(&self) -> Vec<Frame> {
        self.stored.as_ref().map(StoredEmbeddings::frames).unwrap_or_default()
    }

    /// The starts of those of them that a plan may use: they show all of the scan that is in the window.
    pub(crate) fn stored_starts(&self) -> Vec<Start> {
        let crop = <[usize; 3]>::from(self.image.dim());
        let whole = |frame: &Frame| *frame == Frame::new(frame.start, self.window_dhw(), crop.map(|n| 0..n));
        self.stored_frames().iter().filter(|frame| whole(frame)).map(|frame| frame.start).collect()
    }

    /// Whether the embedding of the zoom-out window is in the folder.
    pub(crate) fn has_stored_zoom_out(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.has(&WindowKey::ZoomOut))
    }

    /// Warnings about the folder of embeddings so far.
    pub(crate) fn embedding_warnings(&self) -> Vec<Warning> {
        self.stored.as_ref().map(StoredEmbeddings::warnings).unwrap_or_default()
    }

    /// Low-resolution logits of several prompts in one window, `[P, D, H, W]`. `image` is called if the window must be
    /// encoded.
    pub(crate) fn decode(
        &self,
        key: &WindowKey,
        image: impl FnOnce() -> Array3<f32>,
        prompts: &[WindowPrompt<'_>],
    ) -> Result<Array4<f32>, Error> {
        let embedding = self.embed(key, image)?;
        self.decode_embedded(&embedding, prompts)
    }

    /// As [`Windows::decode`], in a window whose embedding is there.
    pub(crate) fn decode_embedded(
        &self,
        embedding: &ImageEmbedding,
        prompts: &[WindowPrompt<'_>],
    ) -> Result<Array4<f32>, Error> {
        self.state().statistics.windows_reused += prompts.len().saturating_sub(1);
        self.timed("decode", || self.stages.decode_masks(embedding, prompts))
    }

    /// The embeddings of several zoom-in windows, in their order: from the cache, or encoded now, together. A window comes with its
    /// image if that has been cut.
    pub(crate) fn embed_all(
        &self,
        windows: Vec<(WindowKey, Option<Array3<f32>>)>,
    ) -> Result<Vec<Arc<ImageEmbedding>>, Error> {
        let mut embeddings = Vec::with_capacity(windows.len());
        let mut missing = Vec::new();
        for (key, image) in windows {
            let kept = self.kept(&key);
            if kept.is_none() {
                missing.push((embeddings.len(), key, image));
            }
            embeddings.push(kept);
        }
        let cut = |key: &WindowKey, image: Option<Array3<f32>>| image.unwrap_or_else(|| self.image_of(key));
        if missing.len() > 1 && self.check_memory_of(missing.len(), 1).is_ok() {
            let images: Vec<Array3<f32>> = missing.iter_mut().map(|(_, key, image)| cut(key, image.take())).collect();
            let views: Vec<ArrayView3<'_, f32>> = images.iter().map(|image| image.view()).collect();
            let encoded = self.timed("encode_image", || self.stages.encode_images(&views))?;
            for ((index, key, _), embedding) in missing.into_iter().zip(encoded) {
                embeddings[index] = Some(self.keep(&key, embedding));
            }
        } else {
            for (index, key, image) in missing {
                embeddings[index] = Some(self.embed(&key, || cut(&key, image))?);
            }
        }
        Ok(embeddings.into_iter().map(|found| found.expect("kept or encoded")).collect())
    }

    /// The embedding of a window: from the cache, from the folder, or encoded now.
    fn embed(&self, key: &WindowKey, image: impl FnOnce() -> Array3<f32>) -> Result<Arc<ImageEmbedding>, Error> {
        if let Some(kept) = self.kept(key) {
            return Ok(kept);
        }
        self.check_memory(1)?;
        let image = image();
        let embedding = self.timed("encode_image", || match key {
            WindowKey::ZoomOut => self.stages.encode_zoom_out(image.view()),
            WindowKey::ZoomIn(_) => self.stages.encode_image(image.view()),
        })?;
        Ok(self.keep(key, embedding))
    }

    /// The embedding of a window, from the cache or from the folder.
    fn kept(&self, key: &WindowKey) -> Option<Arc<ImageEmbedding>> {
        {
            let mut state = self.state();
            if let Some(kept) = state.cache.get(key) {
                state.statistics.windows_reused += 1;
                return Some(kept);
            }
        }
        let stored = self.stored.as_ref()?;
        let loaded = Arc::new(self.timed("load", || stored.get(key))?);
        let mut state = self.state();
        state.statistics.windows_loaded += 1;
        state.cache.put(key.clone(), Arc::clone(&loaded), loaded.bytes());
        Some(loaded)
    }

    /// Keeps the embedding of a window that has been encoded, in the cache and in the folder.
    fn keep(&self, key: &WindowKey, embedding: ImageEmbedding) -> Arc<ImageEmbedding> {
        let embedding = Arc::new(embedding);
        if let Some(stored) = &self.stored {
            self.timed("store", || stored.put(key, &embedding));
        }
        let mut state = self.state();
        state.statistics.windows_encoded += 1;
        state.cache.put(key.clone(), Arc::clone(&embedding), embedding.bytes());
        embedding
    }

    /// Upsamples low-resolution logits, `[D/4, H/4, W/4]`, to the size of the window, `[D, H, W]`.
    pub(crate) fn upsample(&self, low_res: ArrayView3<'_, f32>) -> Array3<f32> {
        self.timed("upsample", || self.upsampling.apply(low_res))
    }

    /// A part of [`Windows::upsample`]'s result, to the bit: the voxels of the window in `ranges` along D, H and W.
    pub(crate) fn upsample_part(&self, low_res: ArrayView3<'_, f32>, ranges: [Range<usize>; 3]) -> Array3<f32> {
        self.timed("upsample", || self.upsampling.part(low_res, ranges))
    }

    /// Runs `work` and adds its time to the time of `step`.
    pub(crate) fn timed<T>(&self, step: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        *self.state().statistics.times_ms.entry(step).or_default() += elapsed;
        result
    }

    /// The state is consistent after every change, so a panic elsewhere does not invalidate it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
