//! The masks of a call after postprocessing.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use segvol_base::Warning;
use segvol_postprocess::{Object, Postprocessing, Record, Runs, label_map};
use segvol_prompt::Prompt;
use segvol_volume::{Grid, Mask, MaskError, Truth};

use crate::error::Error;
use crate::report::Report;
use crate::study::{Segmentation, Study};

/// The masks of a call as they are written: after postprocessing, if there is any. Without it, they are those of the segmentations.
pub struct FinishedMasks<'a> {
    study: &'a Study,
    segmentations: &'a [Segmentation],
    /// What was done to each object; `None` for one without postprocessing.
    done: Vec<Option<Done>>,
    /// The label map of several objects, if there was any postprocessing.
    label_map: Option<Mask>,
}

struct Done {
    runs: Runs,
    record: Record,
    warnings: Vec<Warning>,
}

impl<'a> FinishedMasks<'a> {
    /// Postprocesses each object's mask as its settings say. `prompts`, `segmentations` and `settings` are those of one call to
    /// `study`, in the same order.
    ///
    /// # Errors
    ///
    /// As for [`Segmentation::mask`] and [`Postprocessing::apply`].
    pub fn new(
        study: &'a Study,
        prompts: &[Prompt],
        segmentations: &'a [Segmentation],
        settings: &[Postprocessing],
    ) -> Result<Self, Error> {
        let mut masks = Self { study, segmentations, done: Vec::new(), label_map: None };
        for ((prompt, segmentation), settings) in prompts.iter().zip(segmentations).zip(settings) {
            let done = if settings.is_off() {
                None
            } else {
                let (mask, marks) = (segmentation.mask()?, study.marks(prompt));
                let found = settings.apply(&Object { name: segmentation.name(), mask: &mask, marks: &marks })?;
                Some(Done {
                    runs: Runs::of(&found.mask).map_err(Error::from)?,
                    record: found.record,
                    warnings: found.warnings,
                })
            };
            masks.done.push(done);
        }
        if segmentations.len() > 1 && masks.done.iter().any(Option::is_some) {
            let object = |index: usize| -> Result<_, Error> {
                Ok((masks.mask(index)?, masks.segmentations[index].logit_map()?))
            };
            masks.label_map = Some(label_map(study.grid(), segmentations.len(), object)?);
        }
        Ok(masks)
    }

    /// The name and the mask of each object, one at a time.
    pub fn each(&self) -> impl Iterator<Item = (&'a str, Result<Mask, Error>)> {
        self.segmentations.iter().enumerate().map(|(index, found)| (found.name(), self.mask(index)))
    }

    /// The scan's grid.
    #[must_use]
    pub fn grid(&self) -> &Arc<Grid> {
        self.study.grid()
    }

    /// The mask of one object, by its index.
    ///
    /// # Errors
    ///
    /// As for [`Segmentation::mask`].
    ///
    /// # Panics
    ///
    /// If there is no such object.
    pub fn mask(&self, index: usize) -> Result<Mask, Error> {
        match &self.done[index] {
            Some(done) => Ok(done.runs.mask(self.study.grid())?),
            None => self.segmentations[index].mask(),
        }
    }

    /// The mask of one object, as the writers of `output`, a file with names, take it.
    ///
    /// # Errors
    ///
    /// As for [`mask`](Self::mask); what is no [`MaskError`] becomes one that names `output`.
    ///
    /// # Panics
    ///
    /// As [`mask`](Self::mask).
    pub fn mask_for(&self, output: &Path, index: usize) -> Result<Mask, MaskError> {
        self.mask(index).map_err(|error| match error {
            Error::Mask(error) => error,
            Error::Memory(error) => MaskError::Memory(error),
            other => MaskError::Io { path: output.to_path_buf(), source: std::io::Error::other(other) },
        })
    }

    /// The label map of all objects.
    ///
    /// # Errors
    ///
    /// As for [`Study::label_map`].
    pub fn label_map(&self) -> Result<Cow<'_, Mask>, Error> {
        match (&self.label_map, &self.done[..]) {
            (Some(map), _) => Ok(Cow::Borrowed(map)),
            (None, [Some(_)]) => self.mask(0).map(Cow::Owned),
            (None, _) => self.study.label_map(self.segmentations).map(Cow::Owned),
        }
    }

    /// The masks of the label map, by their index, as the writers of files with names take them: none overlaps another.
    ///
    /// # Errors
    ///
    /// As for [`label_map`](Self::label_map).
    pub fn apart(&self) -> Result<impl Fn(usize) -> Result<Mask, MaskError>, Error> {
        let map = self.label_map()?;
        Ok(move |index: usize| {
            let inside = map.voxels_of((index + 1) as u16)?.into_iter().map(u8::from);
            Mask::from_labels(inside.collect::<Vec<u8>>(), Arc::clone(map.grid()))
        })
    }

    /// Puts what the masks are now into a report of what the model made.
    ///
    /// # Errors
    ///
    /// As for [`mask`](Self::mask).
    pub fn amend(&self, report: &mut Report) -> Result<(), Error> {
        for (index, object) in report.objects.iter_mut().enumerate() {
            if let Some(done) = &self.done[index] {
                object.postprocessed(&self.mask(index)?, done.record.clone());
                object.warnings.extend(done.warnings.iter().cloned());
            }
            // Other objects have other voxels now, too.
            match &self.label_map {
                Some(map) => object.relabelled(map.count((index + 1) as u16)),
                None if self.done[index].is_some() => object.relabelled(object.voxels.zoom_in),
                None => {}
            }
        }
        Ok(())
    }

    /// Adds the Dice with the known masks to a report.
    ///
    /// # Errors
    ///
    /// As for [`mask`](Self::mask).
    pub fn compare(&self, report: &mut Report, truth: &Truth) -> Result<(), Error> {
        for (object, (name, mask)) in report.objects.iter_mut().zip(self.each()) {
            object.dice = truth.dice(name, &mask?);
        }
        Ok(())
    }
}
