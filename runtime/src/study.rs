//! One scan, ready for prompts: oriented, normalised, cropped; image embeddings kept as windows are met.

mod pipeline;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ndarray::{Array3, Array4, ArrayView3};
use serde::Serialize;

use crate::bundle_files::BundleFiles;
use crate::crop::Crop;
use crate::embedding_cache::{EmbeddingCache, WindowKey};
use crate::error::Error;
use crate::marks::Marks;
use crate::mask::Mask;
use crate::options::Options;
use crate::prompt::{PlacedPrompt, Placer, Prompt, PromptError};
use crate::resize::{Trilinear, resize_nearest_exact};
use crate::scan::Scan;
use crate::segmentation::{Segmentation, WindowCounts, label_map};
use crate::stages::{ImageEmbedding, Stages, TextEmbedding, WindowPrompt};
use crate::volume::{Grid, Volume};
use crate::zoom_out::region_of_interest;

/// A scan that prompts can be put to, one after the other or many at once.
///
/// May be shared between threads; calls take turns where they need the same graph.
pub struct Study {
    stages: Arc<Stages>,
    files: Arc<BundleFiles>,
    options: Options,
    scan: Arc<Scan>,
    image: Array3<f32>,
    upsampling: Trilinear,
    warnings: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    cache: EmbeddingCache,
    statistics: Statistics,
}

/// What a study has done since it was made.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statistics {
    /// Windows that went through the image encoder, the zoom-out window among them.
    pub windows_encoded: usize,
    /// Times that an embedding served one more object or call, so that its window was not encoded again.
    pub windows_reused: usize,
    /// Milliseconds per step of the pipeline.
    pub times_ms: BTreeMap<&'static str, f64>,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Windows done, of all objects together.
    pub done: usize,
    /// Windows that may be needed: known when the zoom-out pass, the first of them, has found the regions of interest.
    pub total: usize,
}

/// What a call does with its progress: go on, or stop with [`Error::Cancelled`].
pub type Observer<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

impl Study {
    pub(crate) fn new(
        stages: Arc<Stages>,
        files: Arc<BundleFiles>,
        options: Options,
        volume: impl Borrow<Volume>,
    ) -> Result<Self, Error> {
        let mut warnings = volume.borrow().warnings().to_vec();
        let window = stages.architecture().window_dhw;
        let mut statistics = Statistics::default();
        let mut start = Instant::now();
        let (scan, image) = Scan::prepare(volume, options.orientation, window, &mut |step| {
            statistics.times_ms.insert(step, start.elapsed().as_secs_f64() * 1e3);
            start = Instant::now();
        })?;
        let low_res = stages.architecture().low_res_dhw();
        let shape = scan.crop.shape_dhw();
        if shape.iter().any(|&n| n < 2) {
            warnings.push(format!("the body fills only {shape:?} voxels (D, H, W) of the scan"));
        }
        Ok(Self {
            upsampling: Trilinear::new(low_res, window),
            state: Mutex::new(State { cache: EmbeddingCache::new(options.cache_bytes), statistics }),
            scan: Arc::new(scan),
            stages,
            files,
            options,
            image,
            warnings,
        })
    }

    /// The normalised crop, `[D, H, W]`, in [0, 1].
    #[must_use]
    pub fn image(&self) -> &Array3<f32> {
        &self.image
    }

    /// The crop in the oriented scan.
    #[must_use]
    pub fn crop(&self) -> &Crop {
        &self.scan.crop
    }

    /// What the user should know of the scan.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The settings that the study was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Shape, affine and header of the scan's file.
    #[must_use]
    pub fn grid(&self) -> &Arc<Grid> {
        &self.scan.grid
    }

    /// What the study has done since it was made.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.state().statistics.clone()
    }

    /// Segments one object.
    ///
    /// # Errors
    ///
    /// [`Error::Prompt`] if the prompt does not fit the scan, [`Error::Tokenizer`] for a text that the tokenizer
    /// refuses, [`Error::Bundle`] if a file of the bundle was written to since it was opened, [`Error::Stage`] if ONNX
    /// Runtime fails.
    pub fn segment(&self, prompt: &Prompt) -> Result<Segmentation, Error> {
        let mut found = self.segment_all(std::slice::from_ref(prompt))?;
        Ok(found.remove(0))
    }

    /// Segments several objects; windows that they share are encoded once.
    ///
    /// # Errors
    ///
    /// As for [`Study::segment`].
    pub fn segment_all(&self, prompts: &[Prompt]) -> Result<Vec<Segmentation>, Error> {
        self.segment_observed(prompts, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Study::segment_all`], telling `observer` after every window how far it has come.
    ///
    /// # Errors
    ///
    /// As for [`Study::segment`], and [`Error::Cancelled`] if the observer breaks.
    pub fn segment_observed(
        &self,
        prompts: &[Prompt],
        observer: &mut Observer<'_>,
    ) -> Result<Vec<Segmentation>, Error> {
        if prompts.is_empty() {
            return Err(PromptError::Nothing.into());
        }
        if prompts.len() > usize::from(u16::MAX) {
            return Err(PromptError::TooMany { found: prompts.len() }.into());
        }
        self.files.check()?;
        let window = self.stages.architecture().window_dhw;
        let scan = &self.scan;
        let placer = self.placer();
        let mut objects = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let mut warnings = Vec::new();
            let placed = placer.place(prompt, &mut warnings)?;
            objects.push(Object { prompt: placed, text: None, warnings });
        }
        self.encode_texts(prompts, &mut objects)?;

        let zoom_out = self.zoom_out(&objects)?;
        let mut segmentations: Vec<Segmentation> = prompts
            .iter()
            .zip(&objects)
            .zip(zoom_out)
            .map(|((prompt, object), zoom_out)| Segmentation {
                name: prompt.name().to_owned(),
                scan: Arc::clone(scan),
                roi: region_of_interest(&zoom_out, &scan.tables, window).filter(|_| self.options.zoom_in),
                zoom_out,
                zoom_in: None,
                windows: WindowCounts::default(),
                warnings: object.warnings.clone(),
            })
            .collect();
        self.zoom_in(&objects, &mut segmentations, observer)?;
        Ok(segmentations)
    }

    fn encode_texts(&self, prompts: &[Prompt], objects: &mut [Object]) -> Result<(), Error> {
        let (indices, names): (Vec<usize>, Vec<&str>) =
            prompts.iter().enumerate().filter_map(|(index, prompt)| Some((index, prompt.as_text()?))).unzip();
        let embeddings = self.timed("encode_text", || self.stages.encode_text(&names))?;
        for (index, embedding) in indices.into_iter().zip(embeddings) {
            objects[index].text = Some(embedding);
        }
        Ok(())
    }

    /// Looks whether there is room for what windows take while they pass, however large the scan: the image before and in
    /// ONNX Runtime, its embedding, the logits of this many objects, some of them at the window's size. Kept embeddings go
    /// first.
    fn room_for_windows(&self, objects: usize) -> Result<(), Error> {
        let architecture = self.stages.architecture();
        let [window, low_res] =
            [architecture.window_dhw, architecture.low_res_dhw()].map(|dhw| dhw.iter().product::<usize>());
        let embedding = architecture.image_tokens() * architecture.channels;
        let floats = 8 * window + 4 * embedding + 4 * objects * low_res;
        let ask = || segvol_base::memory::check_available::<f32>("the windows in progress", floats);
        if ask().is_err() {
            self.state().cache.clear();
            ask()?;
        }
        Ok(())
    }

    /// Zoom-out logits per object, `[D, H, W]` of the window.
    fn zoom_out(&self, objects: &[Object]) -> Result<Vec<Array3<f32>>, Error> {
        let window = self.stages.architecture().window_dhw;
        self.room_for_windows(objects.len())?;
        segvol_base::memory::check_available::<f32>(
            "the logits of the zoom-out pass",
            objects.len() * window.iter().product::<usize>(),
        )?;
        let prompts: Vec<WindowPrompt<'_>> = objects.iter().map(Object::in_zoom_out_window).collect();
        let whole = || self.timed("cut", || resize_nearest_exact(self.image.view(), window));
        let low_res = self.look(&WindowKey::ZoomOut, whole, &prompts)?;
        Ok(low_res.outer_iter().map(|logits| self.upsample(logits)).collect())
    }

    /// Low-resolution logits of several prompts over one window, `[P, D, H, W]`.
    fn look(
        &self,
        key: &WindowKey,
        window: impl FnOnce() -> Array3<f32>,
        prompts: &[WindowPrompt<'_>],
    ) -> Result<Array4<f32>, Error> {
        let embedding = self.embed(key, window)?;
        self.state().statistics.windows_reused += prompts.len().saturating_sub(1);
        self.timed("decode", || self.stages.decode_masks(&embedding, prompts))
    }

    /// The image of a window as the encoder takes it, unless its embedding is kept.
    fn cut(&self, key: &WindowKey, window: impl FnOnce() -> Array3<f32>) -> Option<Array3<f32>> {
        if self.state().cache.has(key) { None } else { Some(self.timed("cut", window)) }
    }

    /// The embedding of a window, kept or encoded now.
    fn embed(&self, key: &WindowKey, window: impl FnOnce() -> Array3<f32>) -> Result<Arc<ImageEmbedding>, Error> {
        {
            let mut state = self.state();
            if let Some(kept) = state.cache.get(key) {
                state.statistics.windows_reused += 1;
                return Ok(kept);
            }
        }
        self.room_for_windows(1)?;
        let window = window();
        let embedding = self.timed("encode_image", || match key {
            WindowKey::ZoomOut => self.stages.encode_zoom_out(window.view()),
            WindowKey::ZoomIn(_) => self.stages.encode_image(window.view()),
        })?;
        let embedding = Arc::new(embedding);
        let mut state = self.state();
        state.statistics.windows_encoded += 1;
        state.cache.put(key.clone(), Arc::clone(&embedding));
        Ok(embedding)
    }

    /// Logits, `[D, H, W]` of the window, of low-resolution ones.
    fn upsample(&self, low_res: ArrayView3<'_, f32>) -> Array3<f32> {
        self.timed("upsample", || self.upsampling.apply(low_res))
    }

    fn timed<T>(&self, step: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        *self.state().statistics.times_ms.entry(step).or_default() += elapsed;
        result
    }

    /// The state is whole after every change, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a prompt's points and box lie in the file.
    #[must_use]
    pub fn marks(&self, prompt: &Prompt) -> Marks {
        self.placer().marks(prompt)
    }

    fn placer(&self) -> Placer<'_> {
        let Scan { grid, axes, crop, .. } = &*self.scan;
        Placer::new(grid, axes, crop, self.stages.architecture().window_dhw)
    }

    /// One label map of several segmentations of this study: 1 for the first, 2 for the second, and so on, 0 for none;
    /// where masks overlap, the higher logit.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is no room for a label per voxel.
    pub fn label_map(&self, segmentations: &[Segmentation]) -> Result<Mask, Error> {
        label_map(&self.scan, segmentations)
    }
}

/// One object of a call.
struct Object {
    prompt: PlacedPrompt,
    text: Option<TextEmbedding>,
    warnings: Vec<String>,
}

impl Object {
    #[allow(clippy::cast_precision_loss)] // Voxels of a window are far below 2^24.
    fn in_zoom_out_window(&self) -> WindowPrompt<'_> {
        let point = |&(voxel, label): &([usize; 3], crate::PointLabel)| {
            let label = match label {
                crate::PointLabel::Foreground => segvol_onnx::PromptLabel::Foreground,
                crate::PointLabel::Background => segvol_onnx::PromptLabel::Background,
            };
            (voxel.map(|c| c as f32), label)
        };
        let bounding_box =
            self.prompt.bounding_box.map(|[[d0, h0, w0], [d1, h1, w1]]| [d0, h0, w0, d1, h1, w1].map(|c| c as f32));
        WindowPrompt { points: self.prompt.points.iter().map(point).collect(), bounding_box, text: self.text.as_ref() }
    }
}
