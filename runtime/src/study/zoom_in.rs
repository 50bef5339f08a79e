//! The zoom-in pass: windows at full resolution over the regions of interest. Their mean logits replace those of the
//! zoom-out pass.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::average::Average;
use super::object::Object;
use super::options::StudyOptions;
use super::pipeline;
use super::plan::Frame;
use super::progress::{Observer, Progress};
use super::prompt_in_window::ZoomInScan;
use super::segmentation::{Segmentation, ZoomedIn};
use super::windows::Windows;
use crate::error::Error;
use segvol_scan::resize::IndexTables;

/// Segments the region of every object at full resolution, and stores the logits in `segmentations`.
///
/// `tables` map a crop voxel to the voxel of the zoom-out window that shows it.
pub(crate) fn zoom_in(
    windows: &Windows,
    tables: &IndexTables,
    options: &StudyOptions,
    objects: &[Object],
    segmentations: &mut [Segmentation],
    observer: &mut Observer<'_>,
) -> Result<(), Error> {
    let scan = ZoomInScan { profile: options.profile, tables, window: windows.window_dhw(), overlap: options.overlap };
    // The objects that need each window. The windows are in raster order.
    let mut users: BTreeMap<Frame, Vec<usize>> = BTreeMap::new();
    for (index, segmentation) in segmentations.iter_mut().enumerate() {
        let Some(roi) = segmentation.roi else { continue };
        let frames = scan.frames(&roi.region);
        segmentation.windows.total = frames.len();
        for frame in frames {
            users.entry(frame).or_default().push(index);
        }
    }
    let total = users.len() + 1;
    // After the last window the result is complete, and is not thrown away.
    let mut report = |done| match observer(Progress { done, total }) {
        ControlFlow::Break(()) if done < total => Err(Error::Cancelled),
        _ => Ok(()),
    };
    report(1)?;

    let averages = segmentations.iter().map(|found| found.roi.map(|roi| Average::new(roi.region)).transpose());
    let averages = averages.collect::<Result<Vec<_>, Error>>()?;
    windows.check_memory(segmentations.len())?;
    let mut skipped = vec![0; segmentations.len()];
    let averages = pipeline::run(windows, &scan, users, objects, segmentations, averages, &mut |done, without| {
        without.iter().for_each(|&index| skipped[index] += 1);
        report(done + 2)
    })?;

    for ((segmentation, average), skipped) in segmentations.iter_mut().zip(averages).zip(skipped) {
        segmentation.windows.skipped = skipped;
        let (Some(roi), Some(average)) = (segmentation.roi, average) else { continue };
        let zoom_out = &segmentation.zoom_out;
        let outside = |[d, h, w]: [usize; 3]| zoom_out[[tables[0][d], tables[1][h], tables[2][w]]];
        let logits = windows.timed("stitch", || average.finish(outside));
        segmentation.zoom_in = Some(ZoomedIn::new(roi.region, logits));
    }
    Ok(())
}
