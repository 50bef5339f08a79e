//! Plays an interactive evaluation: asks with the box, then with a click in the largest error, and so on.

use std::time::Instant;

use segvol::mask::MaskError;
use segvol::metrics::{ErrorRegion, Scores};
use segvol::postprocess::Postprocessing;
use segvol::{PointLabel, Prompt, Study};

use crate::cases::{Case, Structure};
use crate::error::CaseError;
use crate::interactive::{Click, ClickLabel, Session, Step};
use crate::mask_files::{Files, MaskFiles};
use crate::postprocessing::postprocessed;
use crate::truth::Truth;

/// What is played.
pub(crate) struct Game<'a> {
    pub(crate) study: &'a Study,
    pub(crate) case: &'a Case,
    pub(crate) truth: &'a Truth,
    pub(crate) clicks: usize,
    pub(crate) tolerance_mm: f64,
    /// The label of an object in its own mask.
    pub(crate) inside: u16,
    pub(crate) files: Option<&'a MaskFiles>,
    /// What is done to a mask before it is scored, and before the next click.
    pub(crate) postprocessing: &'a Postprocessing,
}

/// One structure that is played.
struct Player<'a> {
    structure: &'a Structure,
    prompt: Prompt,
    truth_voxels: u64,
    steps: Vec<Step>,
    /// Seconds of each step; `None` for a step that was not needed.
    seconds: Vec<Option<f64>>,
    /// The click that corrects the last mask; `None` if nothing is left to correct.
    click: Option<Click>,
}

/// The steps of one structure with the seconds of each, which are `None` for a step that was not needed.
pub(crate) type Played = (Session, Vec<Option<f64>>);

impl Game<'_> {
    /// Plays structures together: in each step they are segmented in one call, whose time is divided among them.
    ///
    /// Structures that are absent have no box, and are left out.
    pub(crate) fn play(&self, structures: &[&Structure]) -> Result<Vec<Played>, CaseError> {
        let mut players = Vec::new();
        for structure in structures {
            let known = self.truth.of(structure)?;
            let Some((min, max)) = known.bounds() else { continue };
            let prompt = Prompt::new().named(&structure.name);
            let prompt = prompt.bounding_box(min.map(|c| c as f64), max.map(|c| c as f64));
            players.push(Player {
                structure,
                prompt,
                truth_voxels: known.count(),
                steps: Vec::new(),
                seconds: Vec::new(),
                click: None,
            });
        }
        for number in 0..=self.clicks {
            self.step(&mut players, number)?;
        }
        let session =
            |player: Player<'_>| (Session::new(player.structure, player.truth_voxels, player.steps), player.seconds);
        Ok(players.into_iter().map(session).collect())
    }

    /// One step of every player whose mask can still be corrected.
    fn step(&self, players: &mut [Player<'_>], number: usize) -> Result<(), CaseError> {
        let mut asking: Vec<&mut Player<'_>> =
            players.iter_mut().filter(|player| number == 0 || player.click.is_some()).collect();
        if asking.is_empty() {
            return Ok(());
        }
        let prompts: Vec<Prompt> = asking.iter().map(|player| player.prompt.clone()).collect();
        let start = Instant::now();
        let found = self.study.segment_all(&prompts)?;
        let masks = found.iter().zip(&prompts).map(|(found, prompt)| {
            let marks = self.study.marks(prompt);
            Ok(postprocessed(found.name(), found.mask()?, &marks, self.postprocessing)?)
        });
        let masks = masks.collect::<Result<Vec<_>, CaseError>>()?;
        let seconds = start.elapsed().as_secs_f64() / found.len() as f64;
        for ((player, found), (mask, changed)) in asking.iter_mut().zip(&found).zip(masks) {
            let truth = self.truth.of(player.structure)?.voxels()?;
            let voxels = mask.voxels_of(self.inside)?;
            let scores = Scores::new(&voxels, &truth, mask.grid(), self.tolerance_mm)?;
            let name = &player.structure.name;
            let step = |number: usize, click, warnings| -> Result<Step, CaseError> {
                let files =
                    self.files.map(|files| files.write(self.case, name, &MaskFiles::step(number), &mask, found));
                let Files { mask, probabilities } = files.transpose()?.unwrap_or_default();
                Ok(Step { click, scores, warnings, mask, probabilities })
            };
            player.steps.push(step(number, player.click.take(), [found.warnings(), &changed].concat())?);
            player.seconds.push(Some(seconds));
            player.click = next_click(&voxels, &truth, mask.shape_xyz())?;
            match player.click {
                Some(Click { voxel_ijk, label, .. }) => {
                    let label = match label {
                        ClickLabel::Foreground => PointLabel::Foreground,
                        ClickLabel::Background => PointLabel::Background,
                    };
                    player.prompt = std::mem::take(&mut player.prompt).point(voxel_ijk.map(|c| c as f64), label);
                }
                // The same question again would have the same answer.
                None => {
                    for later in number + 1..=self.clicks {
                        player.steps.push(step(later, None, Vec::new())?);
                        player.seconds.push(None);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The click that corrects a mask; `None` if there is nothing to correct.
fn next_click(found: &[bool], truth: &[bool], shape_xyz: [usize; 3]) -> Result<Option<Click>, MaskError> {
    let region = ErrorRegion::largest(found, truth, shape_xyz)?;
    Ok(region.map(|ErrorRegion { voxels, centre_ijk, missed }| Click {
        voxel_ijk: centre_ijk,
        label: if missed { ClickLabel::Foreground } else { ClickLabel::Background },
        error_voxels: voxels,
    }))
}
