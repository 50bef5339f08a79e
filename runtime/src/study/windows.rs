//! The windows of one scan: cut from its image, encoded once as long as the cache is large enough, decoded for any number
//! of prompts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ndarray::{Array3, Array4, ArrayView3};
use segvol_base::{Warning, memory};
use serde::Serialize;

use super::embedding_cache::{EmbeddingCache, WindowKey};
use super::options::StudyOptions;
use super::plan::Frame;
use super::stored_embeddings::StoredEmbeddings;
use crate::error::Error;
use crate::stages::{ImageEmbedding, Stages, WindowPrompt};
use segvol_scan::resize::{Trilinear, resize_nearest_exact};

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
    /// Embeddings from one process to the next.
    stored: Option<StoredEmbeddings>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cache: EmbeddingCache,
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
            state: Mutex::new(State { cache: EmbeddingCache::new(options.cache_bytes), statistics }),
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
        let architecture = self.stages.architecture();
        let [window, low_res] =
            [architecture.window_dhw, architecture.low_res_dhw()].map(|dhw| dhw.iter().product::<usize>());
        let embedding = architecture.image_tokens() * architecture.channels;
        let floats = 8 * window + 4 * embedding + 4 * objects * low_res;
        let check = || memory::check_available::<f32>("the windows in progress", floats);
        if check().is_err() {
            self.state().cache.clear();
            check()?;
        }
        Ok(())
    }

    /// The image of a window, `[D, H, W]`.
    pub(crate) fn image_of(&self, key: &WindowKey) -> Array3<f32> {
        match key {
            WindowKey::ZoomOut => resize_nearest_exact(self.image.view(), self.window_dhw()),
            WindowKey::ZoomIn(frame) => self.image_in(frame),
        }
    }

    fn image_in(&self, frame: &Frame) -> Array3<f32> {
        frame.cut(self.image.view(), self.window_dhw())
    }

    /// The image of a window that must be encoded, `[D, H, W]`; `None` if its embedding is in the cache or in the folder.
    pub(crate) fn cut(&self, key: &WindowKey) -> Option<Array3<f32>> {
        let known = self.state().cache.has(key) || self.stored.as_ref().is_some_and(|stored| stored.has(key));
        if known { None } else { Some(self.timed("cut", || self.image_of(key))) }
    }

    /// The zoom-in windows that need not be encoded, because their embeddings are in the folder; in raster order.
    pub(crate) fn stored_frames(&self) -> Vec<Frame> {
        self.stored.as_ref().map(StoredEmbeddings::frames).unwrap_or_default()
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
        self.state().statistics.windows_reused += prompts.len().saturating_sub(1);
        self.timed("decode", || self.stages.decode_masks(&embedding, prompts))
    }

    /// The embedding of a window: from the cache, from the folder, or encoded now.
    fn embed(&self, key: &WindowKey, image: impl FnOnce() -> Array3<f32>) -> Result<Arc<ImageEmbedding>, Error> {
        {
            let mut state = self.state();
            if let Some(kept) = state.cache.get(key) {
                state.statistics.windows_reused += 1;
                return Ok(kept);
            }
        }
        self.check_memory(1)?;
        let loaded = self.stored.as_ref().and_then(|stored| self.timed("load", || stored.get(key)));
        let is_loaded = loaded.is_some();
        let embedding = Arc::new(match loaded {
            Some(embedding) => embedding,
            None => self.encode(key, image())?,
        });
        let mut state = self.state();
        match is_loaded {
            true => state.statistics.windows_loaded += 1,
            false => state.statistics.windows_encoded += 1,
        }
        state.cache.put(key.clone(), Arc::clone(&embedding));
        Ok(embedding)
    }

    fn encode(&self, key: &WindowKey, image: Array3<f32>) -> Result<ImageEmbedding, Error> {
        let embedding = self.timed("encode_image", || match key {
            WindowKey::ZoomOut => self.stages.encode_zoom_out(image.view()),
            WindowKey::ZoomIn(_) => self.stages.encode_image(image.view()),
        })?;
        if let Some(stored) = &self.stored {
            self.timed("store", || stored.put(key, &embedding));
        }
        Ok(embedding)
    }

    /// Upsamples low-resolution logits, `[D/4, H/4, W/4]`, to the size of the window, `[D, H, W]`.
    pub(crate) fn upsample(&self, low_res: ArrayView3<'_, f32>) -> Array3<f32> {
        self.timed("upsample", || self.upsampling.apply(low_res))
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
