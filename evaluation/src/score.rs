//! One case: every structure, every kind of prompt, scored.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use segvol::mask::{Mask, MaskError};
use segvol::metrics::{Scores, dice};
use segvol::postprocess::Postprocessing;
use segvol::{
    Error, Marks, Model, Prompt, ReadOptions, Segmentation, Study, StudyOptions, Volume, Warning, WindowCounts,
};

use crate::cases::{Case, Structure};
use crate::error::CaseError;
use crate::mask_files::{Files, MaskFiles};
use crate::postprocessing::postprocessed;
use crate::prompts::{self, Draw, Kind, Target};
use crate::refinement::Game;
use crate::results::{Agreement, CaseResult, Row, Settings};
use crate::sides::Sides;
use crate::truth::Truth;

/// A segmented object with everything that belongs to it, for pictures for example.
pub struct Found<'a> {
    /// The case.
    pub case: &'a Case,
    /// The scan, in Hounsfield units.
    pub volume: &'a Volume,
    /// A mask that has the structure's true voxels.
    pub truth: &'a Mask,
    /// Its label there.
    pub truth_label: u16,
    /// The structure that was asked for.
    pub structure: &'a Structure,
    /// The kind of prompt.
    pub kind: Kind,
    /// Where the prompt's points and box lie, in voxels of the file.
    pub marks: Marks,
    /// The mask after the zoom-out pass, 1 inside.
    pub zoom_out: &'a Mask,
    /// The final mask, 1 inside.
    pub zoom_in: &'a Mask,
}

/// Is shown every segmented object, on the thread that segmented it; an error fails the case.
pub trait Watcher: Sync {
    /// An object has been segmented.
    ///
    /// # Errors
    ///
    /// The reason, which becomes the reason of the case's failure.
    fn object(&self, found: &Found<'_>) -> Result<(), String>;

    /// All objects of a case have been segmented.
    ///
    /// # Errors
    ///
    /// The reason, which becomes the reason of the case's failure.
    fn case(&self, case: &Case, volume: &Volume) -> Result<(), String>;
}

/// The label of an object in its own mask.
pub(crate) const INSIDE: u16 = 1;

/// Segments and scores cases.
pub(crate) struct Scorer<'a> {
    pub(crate) model: &'a Model,
    pub(crate) against: Option<&'a Model>,
    pub(crate) options: &'a StudyOptions,
    pub(crate) read: &'a ReadOptions,
    pub(crate) settings: &'a Settings,
    pub(crate) watcher: Option<&'a dyn Watcher>,
    pub(crate) files: Option<&'a MaskFiles>,
    /// The only objects that are asked for: structures with kinds of prompts.
    pub(crate) only: Option<&'a BTreeSet<(String, Kind)>>,
}

impl Scorer<'_> {
    pub(crate) fn score(&self, case: &Case) -> Result<CaseResult, CaseError> {
        let volume = Volume::open_with(&case.image, self.read)?;
        let truth = Truth::open(case, volume.grid())?;
        let open = |model: &Model| {
            // By itself means: as if nothing else had been segmented.
            let independent = self.options.independent || !self.settings.together;
            model.study_with(&volume, &self.options.clone().independent(independent)).map_err(|error| match error {
                Error::Intensity(source) => CaseError::Intensity { path: PathBuf::from(&case.image), source },
                other => other.into(),
            })
        };
        let study = open(self.model)?;
        let Some(truth) = truth else { return self.sides(case, &study) };
        let other = self.against.map(open).transpose()?;
        let mut result = CaseResult::new(&case.name, [study.warnings(), &truth.warnings].concat());
        if let Some(clicks) = self.settings.interactive {
            self.interactive(case, &truth, &study, clicks, &mut result)?;
            result.warnings.extend(study.embedding_warnings());
            return Ok(result);
        }
        let (asked, too_small) = self.asked(case, &truth)?;
        result.too_small = too_small;
        for kind in Kind::ALL.into_iter().filter(|kind| self.settings.prompts.contains(kind)) {
            let of_kind: Vec<&Asked<'_>> = asked.iter().filter(|asked| asked.kind == kind).collect();
            let mut windows = 0;
            study.forget_windows();
            other.iter().for_each(Study::forget_windows);
            // Objects that are not segmented together are segmented one at a time, so that only one's logits are in memory; the
            // study keeps the windows.
            for call in of_kind.chunks(if self.settings.together { of_kind.len().max(1) } else { 1 }) {
                let prompts: Vec<Prompt> = call.iter().map(|asked| asked.prompt.clone()).collect();
                let (found, encoded) = segmented(&study, &prompts)?;
                windows += encoded;
                let others = other.as_ref().map(|study| segmented(study, &prompts)).transpose()?;
                let others = others.iter().flat_map(|(found, _)| found).map(Some).chain(std::iter::repeat(None));
                for ((asked, segmentation), other) in call.iter().zip(&found).zip(others) {
                    let marks = study.marks(&asked.prompt);
                    let found = Masks::of(segmentation, &marks, &self.settings.postprocessing)?;
                    let known = truth.of(asked.structure)?;
                    if let Some(watcher) = self.watcher {
                        let Masks { zoom_out, zoom_in, .. } = &found;
                        let (volume, marks, structure) = (&volume, marks.clone(), asked.structure);
                        let (truth, truth_label) = (&*known.mask, known.label);
                        let shown =
                            Found { case, volume, truth, truth_label, structure, kind, marks, zoom_out, zoom_in };
                        watcher.object(&shown).map_err(CaseError::Watcher)?;
                    }
                    let name = &asked.structure.name;
                    let write = |files: &MaskFiles| files.write(case, name, kind.name(), &found.zoom_in, segmentation);
                    let Files { mask, probabilities } = self.files.map(write).transpose()?.unwrap_or_default();
                    let row = self.row(asked, &known.voxels()?, &found, other.map(|other| (other, &marks)))?;
                    result.rows.push(Row { mask, probabilities, ..row });
                }
            }
            result.windows.insert(kind, windows);
        }
        let position = |row: &Row| case.structures.iter().position(|structure| structure.name == row.structure);
        result.rows.sort_by_key(|row| (position(row), row.prompt));
        if let Some(watcher) = self.watcher {
            watcher.case(case, &volume).map_err(CaseError::Watcher)?;
        }
        result.warnings.extend(study.embedding_warnings());
        Ok(result)
    }

    /// What is asked for, structure by structure, and the structures that are too small to be asked for.
    fn asked<'c>(&self, case: &'c Case, truth: &Truth) -> Result<(Vec<Asked<'c>>, Vec<String>), CaseError> {
        let (mut all, mut too_small) = (Vec::new(), Vec::new());
        for structure in case.structures.iter() {
            let known = truth.of(structure)?;
            let count = known.count();
            if count > 0 && count < self.settings.min_voxels {
                too_small.push(structure.name.clone());
                continue;
            }
            let (voxels, bounds, shape_xyz) = (known.voxels()?, known.bounds(), known.mask.shape_xyz());
            for kind in Kind::ALL.into_iter().filter(|kind| self.settings.prompts.contains(kind)) {
                let prompt = match bounds {
                    Some(bounds) => {
                        let target = Target { name: &structure.name, voxels: &voxels, shape_xyz, bounds, count };
                        let (seed, points) = (self.settings.seed, self.settings.points);
                        prompts::prompt(kind, &target, &Draw { seed, case: &case.name, points })
                    }
                    // A structure that is absent has no box and no points.
                    None if kind == Kind::Text => Prompt::text(&structure.name),
                    None => continue,
                };
                all.push(Asked { structure, kind, prompt });
            }
        }
        if let Some(only) = self.only {
            // What shares windows in a call stays in the call.
            let of_kind = |asked: &Asked<'_>| only.iter().any(|(_, kind)| *kind == asked.kind);
            let is_wanted = |asked: &Asked<'_>| only.contains(&(asked.structure.name.clone(), asked.kind));
            all.retain(|asked| if self.settings.together { of_kind(asked) } else { is_wanted(asked) });
        }
        Ok((all, too_small))
    }

    /// Compares the sides of a case without a known mask.
    fn sides(&self, case: &Case, study: &Study) -> Result<CaseResult, CaseError> {
        let sides = self.settings.pairs.iter().map(|pair| Sides::of(study, pair, &self.settings.postprocessing));
        let sides = sides.collect::<Result<_, _>>()?;
        let warnings = study.warnings().iter().cloned().chain(study.embedding_warnings()).collect();
        Ok(CaseResult { sides, ..CaseResult::new(&case.name, warnings) })
    }

    /// Asks for every structure with its box, then with clicks.
    fn interactive(
        &self,
        case: &Case,
        truth: &Truth,
        study: &Study,
        clicks: usize,
        result: &mut CaseResult,
    ) -> Result<(), CaseError> {
        let mut structures = Vec::new();
        for structure in case.structures.iter() {
            let count = truth.of(structure)?.count();
            if count > 0 && count < self.settings.min_voxels {
                result.too_small.push(structure.name.clone());
            } else {
                structures.push(structure);
            }
        }
        let tolerance_mm = self.settings.tolerance_mm;
        let (files, postprocessing) = (self.files, &self.settings.postprocessing);
        let game = Game { study, case, truth, clicks, tolerance_mm, inside: INSIDE, files, postprocessing };
        for together in structures.chunks(if self.settings.together { structures.len().max(1) } else { 1 }) {
            study.forget_windows();
            for (session, seconds) in game.play(together)? {
                result.seconds.insert(session.structure.clone(), seconds);
                result.interactive.push(session);
            }
        }
        Ok(())
    }

    fn row(
        &self,
        asked: &Asked<'_>,
        truth: &[bool],
        found: &Masks,
        other: Option<(&Segmentation, &Marks)>,
    ) -> Result<Row, CaseError> {
        let tolerance_mm = self.settings.tolerance_mm;
        let scores = |mask: &Mask| Scores::new(&mask.voxels_of(INSIDE)?, truth, mask.grid(), tolerance_mm);
        let zoom_out = scores(&found.zoom_out)?;
        let zoom_in = if found.zoomed_in { scores(&found.zoom_in)? } else { zoom_out };
        let against = match other {
            None => None,
            Some((other, marks)) => {
                let other = Masks::of(other, marks, &self.settings.postprocessing)?;
                let between = |a: &Mask, b: &Mask| -> Result<f64, MaskError> {
                    Ok(overlap(&a.voxels_of(INSIDE)?, &b.voxels_of(INSIDE)?))
                };
                Some(Agreement {
                    zoom_out_dice: between(&found.zoom_out, &other.zoom_out)?,
                    zoom_in_dice: between(&found.zoom_in, &other.zoom_in)?,
                    truth_dice: overlap(&other.zoom_in.voxels_of(INSIDE)?, truth),
                })
            }
        };
        Ok(Row {
            structure: asked.structure.name.clone(),
            value: asked.structure.value,
            values: asked.structure.values.clone(),
            prompt: asked.kind,
            truth_voxels: truth.iter().filter(|&&inside| inside).count() as u64,
            zoom_out,
            zoom_in,
            windows: found.windows,
            against,
            warnings: found.warnings.clone(),
            mask: None,
            probabilities: None,
        })
    }
}

/// One structure, asked for with one kind of prompt.
struct Asked<'c> {
    structure: &'c Structure,
    kind: Kind,
    prompt: Prompt,
}

/// Segments objects in one call, and counts the windows that the call needs, the zoom-out window included.
fn segmented(study: &Study, prompts: &[Prompt]) -> Result<(Vec<Segmentation>, usize), Error> {
    let mut windows = 0;
    let found = study.segment_observed(prompts, &mut |progress| {
        windows = progress.total;
        ControlFlow::Continue(())
    })?;
    Ok((found, windows))
}

fn overlap(a: &[bool], b: &[bool]) -> f64 {
    dice(a, b, |&inside| inside, |&inside| inside)
}

/// An object's masks.
struct Masks {
    zoom_out: Mask,
    zoom_in: Mask,
    /// Whether they can differ.
    zoomed_in: bool,
    windows: WindowCounts,
    warnings: Vec<Warning>,
}

impl Masks {
    /// The masks of a segmentation after postprocessing. `marks` are the points and the box of its prompt.
    fn of(found: &Segmentation, marks: &Marks, postprocessing: &Postprocessing) -> Result<Self, CaseError> {
        let (zoom_out, _) = postprocessed(found.name(), found.zoom_out_mask()?, marks, postprocessing)?;
        let (zoom_in, warnings) = postprocessed(found.name(), found.mask()?, marks, postprocessing)?;
        Ok(Self {
            zoom_out,
            zoom_in,
            zoomed_in: found.region_of_interest().is_some(),
            windows: found.windows(),
            warnings: found.warnings().iter().cloned().chain(warnings).collect(),
        })
    }
}
