//! Runs the steps on the mask of one object.

use std::sync::Arc;

use segvol_base::{Warning, WarningCode};
use segvol_volume::{Grid, Marks, Mask, PointLabel};

use crate::components::{Components, Places, voxel};
use crate::error::PostprocessError;
use crate::holes;
use crate::part::Part;
use crate::record::{Operation, Record, Step};
use crate::settings::Postprocessing;
use crate::smooth::smooth;

/// The label of an object in its own mask.
pub const INSIDE: u16 = 1;

/// The object whose mask is postprocessed.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Its name, for warnings.
    pub name: &'a str,
    /// Its mask: voxels with the label [`INSIDE`]. Other labels do not count.
    pub mask: &'a Mask,
    /// Where its prompt's points and box lie.
    pub marks: &'a Marks,
}

/// A mask after postprocessing.
#[derive(Debug, Clone)]
pub struct Postprocessed {
    /// The mask: [`INSIDE`] inside, 0 elsewhere, on the grid of the original.
    pub mask: Mask,
    /// What each step did.
    pub record: Record,
    /// What may not be as it was meant: the mask became empty, the prompt chose nothing, a point lost its part of the mask.
    pub warnings: Vec<Warning>,
}

impl Postprocessing {
    /// Runs the steps on the mask of one object, in the order of the fields of [`Postprocessing`].
    ///
    /// The same mask and settings give the same voxels, whatever the number of threads.
    ///
    /// # Errors
    /// [`PostprocessError::Setting`] if a number is out of range; [`PostprocessError::Memory`] if there is not enough memory: about
    /// 6 bytes for each voxel of the box around the mask, and one for each voxel of the scan.
    pub fn apply(&self, object: &Object<'_>) -> Result<Postprocessed, PostprocessError> {
        self.check()?;
        let grid = object.mask.grid();
        let part = Part::of(object.mask, INSIDE)?;
        let voxels = part.count();
        let record =
            Record { neighbours: self.neighbours, voxels_before: voxels, voxels_after: voxels, steps: Vec::new() };
        let before = point_voxels(object.marks, grid).map(|(_, voxel)| part.contains(voxel)).collect::<Vec<_>>();
        let mut run = Run { settings: self, object, grid, part, voxels, record, warnings: Vec::new() };
        run.keep_with_prompt()?;
        run.smooth()?;
        run.fill_holes()?;
        run.min_volume()?;
        run.largest_component()?;
        run.warn_of_points(&before);
        let Run { part, record, warnings, .. } = run;
        let mask = Mask::from_labels(part.labels()?, Arc::clone(grid))?;
        Ok(Postprocessed { mask, record, warnings })
    }
}

/// The points of a prompt, each with the voxel that holds it.
fn point_voxels<'a>(marks: &'a Marks, grid: &'a Grid) -> impl Iterator<Item = (PointLabel, [usize; 3])> + 'a {
    marks.points.iter().map(|&(at, label)| (label, voxel(at, grid)))
}

/// A mask on its way through the steps.
struct Run<'a> {
    settings: &'a Postprocessing,
    object: &'a Object<'a>,
    grid: &'a Grid,
    part: Part,
    /// The voxels of the mask now.
    voxels: u64,
    record: Record,
    warnings: Vec<Warning>,
}

/// What a step found.
#[derive(Default)]
struct Found {
    value: Option<f64>,
    components: Option<usize>,
    components_removed: Option<usize>,
    holes_filled: Option<usize>,
    voxels_added: u64,
    voxels_removed: u64,
}

impl Run<'_> {
    fn warn(&mut self, code: WarningCode, message: &str) {
        self.warnings.push(Warning::new(code, format!("object {:?}: {message}", self.object.name)));
    }

    /// Records a step.
    fn note(&mut self, step: Operation, found: Found) {
        let Found { value, components, components_removed, holes_filled, voxels_added, voxels_removed } = found;
        self.voxels = self.voxels + voxels_added - voxels_removed;
        self.record.voxels_after = self.voxels;
        let [added_ml, removed_ml] = [voxels_added, voxels_removed].map(|voxels| self.grid.volume_ml(voxels));
        self.record.steps.push(Step {
            step,
            value,
            components,
            components_removed,
            holes_filled,
            voxels_added,
            voxels_removed,
            added_ml,
            removed_ml,
        });
    }

    /// Keeps some components, and records it.
    fn keep(&mut self, step: Operation, value: Option<f64>, components: &Components, stays: &[bool]) {
        let kept = components.keep(&mut self.part.inside, stays);
        let removed = components.sizes.iter().zip(stays).filter(|(_, stays)| !**stays).map(|(size, _)| size).sum();
        let found = Found {
            value,
            components: Some(components.len()),
            components_removed: Some(components.len() - kept),
            voxels_removed: removed,
            ..Found::default()
        };
        self.note(step, found);
    }

    fn components(&self) -> Result<Components, PostprocessError> {
        Ok(Components::of(&self.part.inside, self.settings.neighbours)?)
    }

    fn keep_with_prompt(&mut self) -> Result<(), PostprocessError> {
        if !self.settings.keep_with_prompt {
            return Ok(());
        }
        let Some(places) = Places::of(self.object.marks, self.grid) else {
            let message = "all components were kept: the prompt has no point inside the object and no box to choose by";
            self.warn(WarningCode::PromptWithoutPlace, message);
            return Ok(());
        };
        let components = self.components()?;
        let chosen = places.choose(&self.part, &components, self.grid);
        if let Some(mm) = chosen.away_mm.filter(|_| self.voxels > 0) {
            let where_ = match &places {
                Places::Points(points) if points.len() == 1 => "the point is in no component of the mask",
                Places::Points(_) => "no point is in any component of the mask",
                Places::Box(..) => "no component of the mask touches the box",
            };
            let message = format!("{where_}; the nearest one was kept, {mm:.1} mm away");
            self.warn(WarningCode::PromptOutsideMask, &message);
        }
        self.keep(Operation::KeepWithPrompt, None, &components, &chosen.stays);
        Ok(())
    }

    fn smooth(&mut self) -> Result<(), PostprocessError> {
        let Some(mm) = self.settings.smooth_mm else { return Ok(()) };
        let smoothed =
            if self.voxels > 0 { smooth(&self.part, self.grid.spacing_mm(), mm)? } else { self.part.clone() };
        let kept = self.part.shared_with(&smoothed);
        let (before, after) = (self.voxels, smoothed.count());
        let found =
            Found { value: Some(mm), voxels_added: after - kept, voxels_removed: before - kept, ..Found::default() };
        self.part = smoothed;
        self.note(Operation::Smooth, found);
        if before > 0 && after == 0 {
            let ml = self.grid.volume_ml(before);
            let message =
                format!("the mask is empty: smoothing with {mm} mm removed all of its {before} voxels ({ml:.3} mL)");
            self.warn(WarningCode::MaskEmpty, &message);
        }
        Ok(())
    }

    fn fill_holes(&mut self) -> Result<(), PostprocessError> {
        if !self.settings.fill_holes {
            return Ok(());
        }
        let holes_filled = Some(holes::fill(&mut self.part, self.settings.neighbours)?);
        let voxels_added = self.part.count() - self.voxels;
        self.note(Operation::FillHoles, Found { holes_filled, voxels_added, ..Found::default() });
        Ok(())
    }

    fn min_volume(&mut self) -> Result<(), PostprocessError> {
        let Some(ml) = self.settings.min_volume_ml else { return Ok(()) };
        let components = self.components()?;
        let stays = components.at_least(ml, self.grid);
        let before = self.voxels;
        self.keep(Operation::MinVolume, Some(ml), &components, &stays);
        if before > 0 && self.voxels == 0 {
            let largest = self.grid.volume_ml(components.sizes.iter().copied().max().unwrap_or(0));
            let message =
                format!("the mask is empty: every component has less than {ml} mL; the largest has {largest:.3} mL");
            self.warn(WarningCode::MaskEmpty, &message);
        }
        Ok(())
    }

    fn largest_component(&mut self) -> Result<(), PostprocessError> {
        if self.settings.largest_component {
            let components = self.components()?;
            self.keep(Operation::LargestComponent, None, &components, &components.largest());
        }
        Ok(())
    }

    /// Warns of points that the mask contradicts now and did not before.
    fn warn_of_points(&mut self, before: &[bool]) {
        if self.voxels == 0 {
            return;
        }
        let points: Vec<_> = point_voxels(self.object.marks, self.grid).zip(before).collect();
        for (label, said) in [
            (
                PointLabel::Foreground,
                "postprocessing removed the part of the mask that holds a point inside the object",
            ),
            (PointLabel::Background, "postprocessing added a point outside the object to the mask"),
        ] {
            let inside = label == PointLabel::Foreground;
            let changed = |&&((of, voxel), &was): &&((PointLabel, [usize; 3]), &bool)| {
                of == label && was == inside && self.part.contains(voxel) != inside
            };
            let wrong: Vec<[usize; 3]> = points.iter().filter(changed).map(|((_, voxel), _)| *voxel).collect();
            if let Some([i, j, k]) = wrong.first() {
                let more = if wrong.len() > 1 { format!(" and {} more", wrong.len() - 1) } else { String::new() };
                let message = format!("{said}: voxel ({i}, {j}, {k}){more}");
                self.warn(WarningCode::MaskContradictsPoint, &message);
            }
        }
    }
}
