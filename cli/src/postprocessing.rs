//! Postprocessing of masks: the options.

use std::io::Write;

use segvol::postprocess::{Neighbours, Overrides, Postprocessing, Record, checked_min_volume_ml, checked_smooth_mm};
use segvol::{PointLabel, Prompt};

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

    /// The settings of a cohort, whose objects may have others in a file.
    pub(crate) fn of_cohort(&self, prompts: &[Prompt]) -> Result<Postprocessing, Usage> {
        if !prompts.is_empty() {
            self.of_prompts(prompts)?;
        }
        Ok(self.of_all())
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

/// Prints what the postprocessing of an object has changed.
pub(crate) fn summarise(out: &mut impl Write, record: &Record) -> std::io::Result<()> {
    let steps: Vec<&str> = record.steps.iter().map(|step| step.step.name()).collect();
    writeln!(out, "   {} voxels before {}", record.voxels_before, steps.join(", "))
}
