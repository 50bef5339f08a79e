//! A study: one scan, prepared for prompts (oriented, normalised, cropped), with the image embeddings of its windows.

mod checks;
mod embed;
mod object;
mod options;
mod pipeline;
mod progress;
mod prompt_in_window;
mod segmentation;
mod stored_embeddings;
mod window_plan;
mod windows;
mod zoom_in;
mod zoom_out;

use std::borrow::Borrow;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ndarray::Array3;
use segvol_base::{Warning, WarningCode};
use segvol_onnx::{BundleFiles, Manifest};
use segvol_volume::{AxisMap, Grid, Marks, Mask, Volume};

pub use embed::EmbeddingTaker;
pub use options::{Effort, StudyOptions};
pub use progress::{Follower, Observer, Progress};
pub use segmentation::{Segmentation, VoxelCounts, WindowCounts};
pub use segvol_prompt::Profile;
pub use window_plan::WindowPlan;
pub use windows::Statistics;
pub use zoom_out::RegionOfInterest;

use crate::error::Error;
use crate::onnxruntime::cancellation::Cancellation;
use crate::stages::Stages;
use object::Object;
use progress::Observed;
use segmentation::{label_counts, label_map};
use segvol_prompt::{PlacedPrompt, Placer, Prompt, PromptError, name_warnings, prompt_warnings};
use segvol_scan::crop::Crop;
use segvol_scan::shear::Shear;
use segvol_scan::{Scan, intensity, unexpected_axes};
use segvol_windows::Start;
use windows::Windows;
use zoom_in::zoom_in;
use zoom_out::{region_of_interest, zoom_out};

/// A scan that is prepared for prompts. It can be segmented any number of times, with one prompt or several per call.
///
/// Threads may share a study. Calls that need the same graph wait for each other.
pub struct Study {
    files: Arc<BundleFiles>,
    manifest: Arc<Manifest>,
    options: StudyOptions,
    scan: Arc<Scan>,
    windows: Windows,
    /// The windows of the calls so far, in their order; before them those whose embeddings were in the folder at the start.
    planned: Mutex<Vec<Start>>,
    warnings: Vec<Warning>,
}

impl Study {
    pub(crate) fn new(
        stages: Arc<Stages>,
        files: Arc<BundleFiles>,
        manifest: Arc<Manifest>,
        options: StudyOptions,
        volume: impl Borrow<Volume>,
    ) -> Result<Self, Error> {
        options.check()?;
        let expected = manifest.axes;
        let orientation = options.orientation_for(expected);
        let options = options.orientation(orientation);
        let mut warnings = volume.borrow().warnings().to_vec();
        let body_only = options.profile == Profile::Default;
        warnings.extend(intensity::warnings(volume.borrow(), body_only));
        warnings.extend(expected.and_then(|axes| unexpected_axes(volume.borrow().grid(), axes, orientation)));
        let window = stages.architecture().window_dhw;
        let mut statistics = Statistics::default();
        let mut start = Instant::now();
        let (scan, image) = Scan::prepare(volume, orientation, body_only, window, &mut |step| {
            statistics.times_ms.insert(step, start.elapsed().as_secs_f64() * 1e3);
            start = Instant::now();
        })?;
        warnings.extend(scan.straightened());
        let shape = scan.crop.shape_dhw();
        if shape.iter().any(|&n| n < 2) {
            let message = format!("the body fills only {shape:?} voxels (D, H, W) of the scan");
            warnings.push(Warning::new(WarningCode::BodySmall, message));
        }
        let windows = Windows::new(stages, image, &options, statistics);
        let planned = Mutex::new(windows.stored_starts());
        Ok(Self { files, manifest, options, scan: Arc::new(scan), windows, planned, warnings })
    }

    /// The normalised crop, `[D, H, W]`, without unit, in [0, 1].
    #[must_use]
    pub fn image(&self) -> &Array3<f32> {
        self.windows.image()
    }

    /// The position of the crop in the volume that the model sees: the oriented scan, [straightened](Study::shear) if it is sheared.
    #[must_use]
    pub fn crop(&self) -> &Crop {
        &self.scan.crop
    }

    /// Warnings about the scan.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Warnings about the folder of [`StudyOptions::embeddings`] so far: files that could not be used, embeddings that could not be
    /// stored. Masks do not depend on either.
    #[must_use]
    pub fn embedding_warnings(&self) -> Vec<Warning> {
        self.windows.embedding_warnings()
    }

    /// Number of windows of this scan, including the zoom-out window, whose embeddings are in the folder of
    /// [`StudyOptions::embeddings`] at this moment, for this model and these options. They need not be encoded.
    #[must_use]
    pub fn stored_windows(&self) -> usize {
        self.windows.stored_frames().len() + usize::from(self.windows.has_stored_zoom_out())
    }

    /// The options that the study was made with. `orientation` is the one that the model sees.
    #[must_use]
    pub fn options(&self) -> &StudyOptions {
        &self.options
    }

    /// From the oriented scan to the rectangular volume that the model sees in its place; `None` if the scan's axes are perpendicular,
    /// or if it is shown as it is stored.
    #[must_use]
    pub fn shear(&self) -> Option<&Shear> {
        self.scan.shear.as_ref()
    }

    /// The position in voxels of the file of a position `(d, h, w)` in the volume that the model sees, which has the [crop](Study::crop).
    #[must_use]
    pub fn seen_to_ijk(&self, at_dhw: [f64; 3]) -> [f64; 3] {
        self.scan.seen_to_ijk(at_dhw)
    }

    /// The map between the file's axes and those of the oriented scan, which are the model's.
    #[must_use]
    pub fn axes(&self) -> &AxisMap {
        &self.scan.axes
    }

    /// Shape, affine and header of the scan's file.
    #[must_use]
    pub fn grid(&self) -> &Arc<Grid> {
        &self.scan.grid
    }

    /// Counts and times of the study's work since it was made.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.windows.statistics()
    }

    /// Segments one object.
    ///
    /// # Errors
    ///
    /// - [`Error::Prompt`] if the prompt does not fit the scan.
    /// - [`Error::Tokenizer`] if the tokenizer rejects the text.
    /// - [`Error::Bundle`] if a file of the bundle was modified since the bundle was opened.
    /// - [`Error::Memory`] if there is not enough memory.
    /// - [`Error::Thread`] if the operating system cannot start a thread.
    /// - [`Error::Stage`] if ONNX Runtime fails.
    /// - [`Error::NotFinite`] if a stage's output contains an infinity or NaN.
    pub fn segment(&self, prompt: &Prompt) -> Result<Segmentation, Error> {
        let mut found = self.segment_all(std::slice::from_ref(prompt))?;
        Ok(found.remove(0))
    }

    /// Segments several objects and returns their segmentations in the order of `prompts`. Windows that the objects share are
    /// encoded once.
    ///
    /// # Errors
    ///
    /// As for [`Study::segment`], and [`Error::Prompt`] if there is no prompt or more than 65535.
    pub fn segment_all(&self, prompts: &[Prompt]) -> Result<Vec<Segmentation>, Error> {
        self.segment_observed(prompts, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Study::segment_all`], and calls `observer` after every window.
    ///
    /// # Errors
    ///
    /// As for [`Study::segment_all`], and [`Error::Cancelled`] if the observer returns [`ControlFlow::Break`] before the last
    /// window.
    pub fn segment_observed(
        &self,
        prompts: &[Prompt],
        observer: &mut Observer<'_>,
    ) -> Result<Vec<Segmentation>, Error> {
        self.segment_cancellable(prompts, observer, &Cancellation::new())
    }

    /// As [`Study::segment_observed`], and another thread can stop the call, also in the middle of a window.
    ///
    /// # Errors
    ///
    /// As for [`Study::segment_observed`], and [`Error::Cancelled`] if `cancellation` is requested before the last graph has
    /// run. The study can still be used.
    pub fn segment_cancellable(
        &self,
        prompts: &[Prompt],
        observer: &mut Observer<'_>,
        cancellation: &Cancellation,
    ) -> Result<Vec<Segmentation>, Error> {
        self.segment_followed(prompts, &mut Observed(observer), cancellation)
    }

    /// As [`Study::segment_cancellable`], and `follower` also receives the coarse segmentations as soon as the zoom-out pass has
    /// found them.
    ///
    /// # Errors
    ///
    /// As for [`Study::segment_cancellable`]. Where an observer stops a call, so does the follower.
    pub fn segment_followed(
        &self,
        prompts: &[Prompt],
        follower: &mut dyn Follower,
        cancellation: &Cancellation,
    ) -> Result<Vec<Segmentation>, Error> {
        cancellation.during(|| self.segmented(prompts, follower))
    }

    fn segmented(&self, prompts: &[Prompt], follower: &mut dyn Follower) -> Result<Vec<Segmentation>, Error> {
        if prompts.is_empty() {
            return Err(PromptError::Nothing.into());
        }
        if prompts.len() > usize::from(u16::MAX) {
            return Err(PromptError::TooMany { found: prompts.len() }.into());
        }
        self.files.check()?;
        let placer = self.placer();
        let mut objects = Vec::with_capacity(prompts.len());
        let profile = self.options.profile;
        prompts.iter().try_for_each(|prompt| profile.check(prompt))?;
        for (prompt, mut warnings) in prompts.iter().zip(name_warnings(self.manifest.names.as_ref(), prompts)) {
            let (placed, exact_box) = if profile == Profile::Segfm {
                (PlacedPrompt::default(), Some(placer.place_exactly(prompt, &mut warnings)?))
            } else {
                (placer.place(prompt, &mut warnings)?, None)
            };
            warnings.extend(prompt_warnings(prompt, &placer.marks(prompt), &self.scan));
            objects.push(Object { prompt: placed, exact_box, text: None, warnings });
        }
        self.encode_texts(prompts, &mut objects)?;

        let scan = &self.scan;
        let window = self.windows.window_dhw();
        let mut segmentations: Vec<Segmentation> = prompts
            .iter()
            .zip(&objects)
            .zip(zoom_out(&self.windows, &objects)?)
            .map(|((prompt, object), zoom_out)| Segmentation {
                name: prompt.name().to_owned(),
                scan: Arc::clone(scan),
                roi: region_of_interest(&zoom_out, object.in_crop(), &scan.tables, window)
                    .filter(|_| self.options.zoom_in),
                zoom_out: Arc::new(zoom_out),
                zoom_in: None,
                threshold: self.options.cut(),
                windows: WindowCounts::default(),
                warnings: object.warnings.clone(),
            })
            .collect();
        for (prompt, found) in prompts.iter().zip(&segmentations) {
            profile.check_zoom_in(prompt, found.roi.is_some())?;
        }
        // To stop here is to stop after the first window.
        let stopped = follower.coarse(&segmentations);
        let known = self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let users = zoom_in::plan(&scan.tables, window, &self.options, &objects, &segmentations, &known);
        let starts = zoom_in::starts(&users);
        let plan = WindowPlan::of(&self.windows, &users, &segmentations);
        let stopped = if stopped.is_break() { stopped } else { follower.planned(&plan) };
        let observer = &mut |progress| if stopped.is_break() { stopped } else { follower.progress(progress) };
        zoom_in(&self.windows, &scan.tables, profile, &objects, &mut segmentations, users, observer)?;
        // A call that was stopped leaves no trace, so that later ones do not depend on when it was.
        {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            let new: Vec<Start> = starts.into_iter().filter(|start| !planned.contains(start)).collect();
            planned.extend(new);
        }
        for (segmentation, prompt) in segmentations.iter_mut().zip(prompts) {
            let warnings = checks::of_mask(segmentation, prompt, &placer.marks(prompt));
            segmentation.warnings.extend(warnings);
        }
        Ok(segmentations)
    }

    fn encode_texts(&self, prompts: &[Prompt], objects: &mut [Object]) -> Result<(), Error> {
        let (indices, names): (Vec<usize>, Vec<&str>) =
            prompts.iter().enumerate().filter_map(|(index, prompt)| Some((index, prompt.as_text()?))).unzip();
        let embeddings = self.windows.timed("encode_text", || self.windows.stages().encode_text(&names))?;
        for (index, embedding) in indices.into_iter().zip(embeddings) {
            objects[index].text = Some(embedding);
        }
        Ok(())
    }

    /// Forgets the windows of earlier calls, so that the next call gets the windows that it would get in a new study. Their
    /// embeddings stay in the cache.
    pub fn forget_windows(&self) {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The positions of a prompt's points and box in voxels of the file.
    #[must_use]
    pub fn marks(&self, prompt: &Prompt) -> Marks {
        self.placer().marks(prompt)
    }

    fn placer(&self) -> Placer<'_> {
        let Scan { grid, axes, crop, shear, .. } = &*self.scan;
        Placer::new(grid, axes, crop, self.windows.window_dhw()).straightened(shear.as_ref())
    }

    /// Number of voxels that carry each object's label in [`Study::label_map`].
    #[must_use]
    pub fn label_counts(&self, segmentations: &[Segmentation]) -> Vec<u64> {
        label_counts(&self.scan, segmentations)
    }

    /// Combines several segmentations of this study in one label map with the shape of the file: 1 for the first object, 2
    /// for the second, and so on, 0 for background. Where masks overlap, the object with the higher logit wins.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory for one label per voxel.
    pub fn label_map(&self, segmentations: &[Segmentation]) -> Result<Mask, Error> {
        label_map(&self.scan, segmentations)
    }
}
