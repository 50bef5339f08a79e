//! The zoom-in pass: windows at full resolution over the regions of interest. Their mean logits replace those of the
//! zoom-out pass.

use std::ops::ControlFlow;

use super::object::Object;
use super::options::StudyOptions;
use super::pipeline;
use super::progress::{Observer, Progress};
use super::prompt_in_window::{ZoomInScan, look};
use super::segmentation::{Segmentation, ZoomedIn};
use super::window_plan::Users;
use super::windows::Windows;
use crate::error::Error;
use segvol_base::OutOfMemory;
use segvol_prompt::Profile;
use segvol_scan::resize::{IndexTables, Trilinear};
use segvol_windows::{Average, Coarse, Frame, Planner, Start, Target, View, frames_over_region};

/// The windows of the zoom-in pass for the regions of `segmentations`, and of how many of them each object needs. `known`
/// are the windows of earlier calls, in their order.
pub(crate) fn plan(
    tables: &IndexTables,
    window: [usize; 3],
    options: &StudyOptions,
    objects: &[Object],
    segmentations: &[Segmentation],
    known: &[Start],
) -> Users {
    let mut users = Users::new();
    let mut add = |index: usize, frames: &mut dyn Iterator<Item = Frame>| {
        for frame in frames {
            users.entry(frame).or_default().push(index);
        }
    };
    let regions = segmentations.iter().enumerate().filter_map(|(index, found)| Some((index, found.roi?.region)));
    let overlap = options.least_overlap();
    match options.profile {
        Profile::Released | Profile::Huggingface | Profile::HuggingfaceNearest | Profile::Segfm => {
            for (index, region) in regions {
                add(index, &mut frames_over_region(&region, window, overlap).into_iter());
            }
        }
        Profile::Default => {
            let planner = Planner { tables, window, overlap };
            let looks: Vec<_> = regions
                .map(|(index, region)| {
                    (index, region, look(&region, &segmentations[index].zoom_out, &objects[index].prompt, tables))
                })
                .collect();
            let targets: Vec<Target<'_>> =
                looks.iter().map(|(index, region, look)| Target { index: *index, region: *region, look }).collect();
            let covers: Vec<_> = match options.independent {
                true => targets.chunks(1).map(|target| planner.cover(target, &[])).collect(),
                false => vec![planner.cover(&targets, known)],
            };
            for cover in covers {
                for index in cover.objects() {
                    add(index, &mut cover.windows_of(index));
                }
            }
        }
    }
    users
}

/// The starts of planned windows, by which later calls know them.
pub(crate) fn starts(users: &Users) -> Vec<Start> {
    users.keys().map(|frame| frame.start).collect()
}

/// Segments the region of every object at full resolution in the windows that were planned, and stores the logits in
/// `segmentations`.
///
/// `tables` map a crop voxel to the voxel of the zoom-out window that shows it.
pub(crate) fn zoom_in(
    windows: &Windows,
    tables: &IndexTables,
    profile: Profile,
    objects: &[Object],
    segmentations: &mut [Segmentation],
    users: Users,
    observer: &mut Observer<'_>,
) -> Result<(), Error> {
    let scan = ZoomInScan { profile, tables, window: windows.window_dhw() };
    for &index in users.values().flatten() {
        segmentations[index].windows.total += 1;
    }
    let total = users.len() + 1;
    // After the last window the result is complete, and is not thrown away.
    let mut report = |done| match observer(Progress { done, total }) {
        ControlFlow::Break(()) if done < total => Err(Error::Cancelled),
        _ => Ok(()),
    };
    report(1)?;

    let averages = segmentations.iter().map(|found| found.roi.map(|roi| Average::new(roi.region)).transpose());
    let averages = averages.collect::<Result<Vec<_>, OutOfMemory>>()?;
    windows.check_memory(segmentations.len())?;
    let mut skipped = vec![0; segmentations.len()];
    let averages = pipeline::run(windows, &scan, users, objects, segmentations, averages, &mut |done, without| {
        without.iter().for_each(|&index| skipped[index] += 1);
        report(done + 2)
    })?;

    let crop: [usize; 3] = std::array::from_fn(|axis| tables[axis].len());
    let upsampling = Trilinear::new(scan.window, crop);
    for ((segmentation, average), skipped) in segmentations.iter_mut().zip(averages).zip(skipped) {
        segmentation.windows.skipped = skipped;
        let (Some(roi), Some(average)) = (segmentation.roi, average) else { continue };
        let view = View { upsampling: &upsampling, weight: resolution(scan.window, crop) };
        let view = (profile == Profile::Default).then_some(view);
        let coarse = Coarse { logits: &segmentation.zoom_out, tables, view };
        let logits = windows.timed("stitch", || average.finish(&coarse));
        segmentation.zoom_in = Some(ZoomedIn::new(roi.region, logits, segmentation.threshold));
    }
    Ok(())
}

/// How many voxels of the zoom-out window there are for each voxel of the crop; at most 1, which is the resolution of a
/// zoom-in window.
fn resolution(window: [usize; 3], crop: [usize; 3]) -> f32 {
    (0..3).map(|axis| window[axis] as f32 / crop[axis] as f32).product::<f32>().min(1.0)
}
