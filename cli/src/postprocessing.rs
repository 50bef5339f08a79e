//! Postprocessing of masks: the options, and the masks of a run after it.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use segvol::mask::MaskError;
use segvol::postprocess::{
    Neighbours, Object, Overrides, Postprocessing, Record, Runs, checked_min_volume_ml, checked_smooth_mm, label_map,
};
use segvol::{Error, Grid, Mask, PointLabel, Prompt, Report, Segmentation, Study, Truth, Warning};
use segvol_segments::Segment;

use crate::exit::Usage;

/// The options that say what is done to masks after the model.
#[derive(clap::Args)]
pub(crate) struct PostprocessingArguments {
    /// Keep only the components of a mask that hold a point inside the object or, without such a point, that touch the box; if
    /// there is none, the nearest one, with a warning
    #[arg(long, help_heading = "Postprocessing")]
    keep_with_prompt: bool,
    /// Smooth masks with a Gaussian of this standard deviation in the patient, whatever the spacing. What is thinner than 1.35
    /// times as much vanishes
    #[arg(long, value_name = "MM", value_parser = smooth_mm, help_heading = "Postprocessing")]
    smooth: Option<f64>,
    /// Fill the holes of masks: background that is not connected to the border of the scan
    #[arg(long, help_heading = "Postprocessing")]
    fill_holes: bool,
    /// Remove the components of a mask that are smaller than this, in millilitres
    #[arg(long, value_name = "ML", value_parser = min_volume_ml, help_heading = "Postprocessing")]
    min_volume: Option<f64>,
    /// Keep only the largest component of a mask
    #[arg(long, help_heading = "Postprocessing")]
    largest_component: bool,
    /// What connects voxels of a component: common faces (6), also edges (18), also corners (26). The background of holes is
    /// connected by 6 for 18 and 26, and by 26 for 6 [default: 26]
    #[arg(long, value_name = "6|18|26", help_heading = "Postprocessing")]
    neighbours: Option<Neighbours>,
}

fn number(text: &str, checked: fn(f64) -> Result<f64, &'static str>) -> Result<f64, String> {
    let number = text.trim().parse().unwrap_or(f64::NAN);
    checked(number).map_err(|expected| format!("expected {expected}"))
}

fn smooth_mm(text: &str) -> Result<f64, String> {
    number(text, checked_smooth_mm)
}

fn min_volume_ml(text: &str) -> Result<f64, String> {
    number(text, checked_min_volume_ml)
}

impl PostprocessingArguments {
    /// What the options say. `settings` is what they come to, with those of objects in a file; it shows whether an option does nothing.
    fn check<'a>(&self, mut settings: impl Iterator<Item = &'a Postprocessing>) -> Result<(), Usage> {
        if self.neighbours.is_some() && settings.all(Postprocessing::is_off) {
            let message = "--neighbours: expected a step of postprocessing to use it, for example --largest-component";
            return Err(Usage(message.to_owned()));
        }
        Ok(())
    }

    fn of_all(&self) -> Postprocessing {
        let flag = |flag: bool| flag.then_some(true);
        Postprocessing::default().overridden_by(&Overrides {
            keep_with_prompt: flag(self.keep_with_prompt),
            smooth_mm: self.smooth,
            fill_holes: flag(self.fill_holes),
            min_volume_ml: self.min_volume,
            largest_component: flag(self.largest_component),
            neighbours: self.neighbours,
        })
    }

    /// The settings of each object: those of the options, overridden field by field by those of a file of objects.
    pub(crate) fn of_prompts(&self, prompts: &[Prompt]) -> Result<Vec<Postprocessing>, Usage> {
        let foreground = |prompt: &Prompt| prompt.points.iter().any(|(_, label)| *label == PointLabel::Foreground);
        let has_place = |prompt: &Prompt| foreground(prompt) || prompt.bounding_box.is_some();
        if self.keep_with_prompt && !prompts.iter().any(has_place) {
            let message =
                "--keep-with-prompt: expected a point inside the object or a box, found neither in any prompt";
            return Err(Usage(message.to_owned()));
        }
        let settings = prompts.iter().map(|prompt| self.of_all().overridden_by(&prompt.postprocess));
        let settings: Vec<Postprocessing> = settings.collect();
        self.check(settings.iter())?;
        Ok(settings)
    }

    /// The settings of an evaluation, whose prompts have places if `have_places`.
    pub(crate) fn of_evaluation(&self, have_places: bool) -> Result<Postprocessing, Usage> {
        if self.keep_with_prompt && !have_places {
            let message = "--keep-with-prompt: expected a kind of prompt with a box or points, found only text";
            return Err(Usage(message.to_owned()));
        }
        let settings = self.of_all();
        self.check(std::iter::once(&settings))?;
        Ok(settings)
    }
}

/// The objects of a call as the writers of files with names take them, labelled in their order.
pub(crate) fn segments(prompts: &[Prompt]) -> Vec<Segment> {
    prompts.iter().zip(1..).map(|(prompt, label)| Segment { name: prompt.name().to_owned(), label }).collect()
}

/// The masks of a run as they are written: after postprocessing, if there is any. Without it, they are those of the library.
pub(crate) struct Masks<'a> {
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

impl<'a> Masks<'a> {
    /// Postprocesses each object's mask as its settings say.
    pub(crate) fn new(
        study: &'a Study,
        prompts: &[Prompt],
        segmentations: &'a [Segmentation],
        settings: &[Postprocessing],
    ) -> anyhow::Result<Self> {
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
    pub(crate) fn each(&self) -> impl Iterator<Item = (&'a str, Result<Mask, Error>)> {
        self.segmentations.iter().enumerate().map(|(index, found)| (found.name(), self.mask(index)))
    }

    /// The scan's grid.
    pub(crate) fn grid(&self) -> &Arc<Grid> {
        self.study.grid()
    }

    /// The mask of one object, by its index.
    pub(crate) fn mask(&self, index: usize) -> Result<Mask, Error> {
        match &self.done[index] {
            Some(done) => Ok(done.runs.mask(self.study.grid())?),
            None => self.segmentations[index].mask(),
        }
    }

    /// The mask of one object, as the writers of `output`, a file with names, take it.
    pub(crate) fn mask_for(&self, output: &Path, index: usize) -> Result<Mask, MaskError> {
        self.mask(index).map_err(|error| match error {
            Error::Mask(error) => error,
            Error::Memory(error) => MaskError::Memory(error),
            other => MaskError::Io { path: output.to_path_buf(), source: std::io::Error::other(other) },
        })
    }

    /// The label map of all objects.
    pub(crate) fn label_map(&self) -> Result<Cow<'_, Mask>, Error> {
        match (&self.label_map, &self.done[..]) {
            (Some(map), _) => Ok(Cow::Borrowed(map)),
            (None, [Some(_)]) => self.mask(0).map(Cow::Owned),
            (None, _) => self.study.label_map(self.segmentations).map(Cow::Owned),
        }
    }

    /// Puts what the masks are now into a report of what the model made.
    pub(crate) fn amend(&self, report: &mut Report) -> Result<(), Error> {
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
    pub(crate) fn compare(&self, report: &mut Report, truth: &Truth) -> Result<(), Error> {
        for (object, (name, mask)) in report.objects.iter_mut().zip(self.each()) {
            object.dice = truth.dice(name, &mask?);
        }
        Ok(())
    }
}

/// Prints what the postprocessing of an object has changed.
pub(crate) fn summarise(out: &mut impl Write, record: &Record) -> std::io::Result<()> {
    let steps: Vec<&str> = record.steps.iter().map(|step| step.step.name()).collect();
    writeln!(out, "   {} voxels before {}", record.voxels_before, steps.join(", "))
}
