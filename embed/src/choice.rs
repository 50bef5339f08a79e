//! Which windows are encoded.

use std::ops::ControlFlow;

use segvol::{
    Cancellation, Error, Follower, Frame, Prompt, Region, Segmentation, Study, Warning, WindowKey, WindowPlan,
};
use segvol_windows::frames_of_lattice;

/// Windows at full resolution over the whole crop, in raster order. Neighbours overlap by at least
/// [`StudyOptions::least_overlap`](segvol::StudyOptions::least_overlap). Along an axis where the crop is smaller than the window,
/// there is one window, with the crop in its middle. `window` are the model's voxels of a window, `[D, H, W]`.
#[must_use]
pub fn lattice_windows(study: &Study, window: [usize; 3]) -> Vec<WindowKey> {
    let crop = study.crop().shape_dhw();
    let whole = Region { min_dhw: [0; 3], max_dhw: crop.map(|n| n - 1) };
    let frames = frames_of_lattice(&whole, crop, window, study.options().least_overlap());
    frames.into_iter().map(WindowKey::ZoomIn).collect()
}

/// The windows in which a call with these prompts looks: the zoom-out window, then those of the zoom-in pass in raster order. The
/// zoom-out window is encoded for it. Also returns the warnings about the prompts.
///
/// # Errors
///
/// As for [`Study::segment_cancellable`].
pub fn planned_windows(
    study: &Study,
    prompts: &[Prompt],
    cancellation: &Cancellation,
) -> Result<(Vec<WindowKey>, Vec<Warning>), Error> {
    let mut plan = Plan::default();
    match study.segment_followed(prompts, &mut plan, cancellation) {
        Err(Error::Cancelled) if plan.is_known && !cancellation.is_requested() => {}
        found => drop(found?),
    }
    let frames = plan.frames.into_iter().map(WindowKey::ZoomIn);
    Ok((std::iter::once(WindowKey::ZoomOut).chain(frames).collect(), plan.warnings))
}

/// Follows a call until its windows are known.
#[derive(Default)]
struct Plan {
    frames: Vec<Frame>,
    warnings: Vec<Warning>,
    is_known: bool,
}

impl Follower for Plan {
    fn coarse(&mut self, coarse: &[Segmentation]) -> ControlFlow<()> {
        self.warnings = coarse.iter().flat_map(|found| found.warnings().to_vec()).collect();
        ControlFlow::Continue(())
    }

    fn planned(&mut self, plan: &WindowPlan) -> ControlFlow<()> {
        self.frames.clone_from(&plan.frames);
        self.is_known = true;
        ControlFlow::Break(())
    }
}
