//! The zoom-in pass: while one window is encoded and decoded, the next is cut and the last is stitched.
//!
//! | thread   | work                                                                |
//! |----------|---------------------------------------------------------------------|
//! | cutter   | prompts as they show in the window, the window's image              |
//! | caller's | ONNX Runtime's sessions, and the observer                           |
//! | stitcher | logits to the window's size, added to the objects' averages         |
//!
//! Windows keep their order through all three, so a mask does not depend on how fast each is. At most three windows and
//! three sets of logits are in memory at a time.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ndarray::{Array3, Array4};

use super::{Object, Observer, Progress, Study};
use crate::average::Average;
use crate::embedding_cache::WindowKey;
use crate::error::Error;
use crate::frame::Frame;
use crate::segmentation::{Segmentation, ZoomedIn};
use crate::stages::WindowPrompt;
use crate::zoom_in::{ZoomInObject, ZoomInScan};

/// A window that is cut, with what looks at it.
struct CutWindow<'a> {
    frame: Frame,
    /// Indices of the objects that look through the window, each with its prompt there.
    objects: Vec<(usize, WindowPrompt<'a>)>,
    /// Indices of those that leave it as zoomed out.
    skipped: Vec<usize>,
    /// None where no object looks, or the embedding is kept.
    image: Option<Array3<f32>>,
}

/// What a window's objects are there.
struct DecodedWindow {
    frame: Frame,
    objects: Vec<usize>,
    /// `[P, D, H, W]`, one `[D, H, W]` for each object.
    low_res: Array4<f32>,
}

impl Study {
    /// Looks at every object's region at full resolution; the logits become the segmentations'.
    pub(super) fn zoom_in(
        &self,
        objects: &[Object],
        segmentations: &mut [Segmentation],
        observer: &mut Observer<'_>,
    ) -> Result<(), Error> {
        let scan = ZoomInScan {
            profile: self.options.profile,
            tables: &self.scan.tables,
            window: self.stages.architecture().window_dhw,
            overlap: self.options.overlap,
        };
        // Which objects look through which window, in the windows' raster order.
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
        let mut report = |done| match observer(Progress { done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        };
        report(1)?;

        let mut skipped = vec![0; segmentations.len()];
        let averages = segmentations.iter().map(|found| found.roi.map(|roi| Average::new(roi.region)).transpose());
        let averages = averages.collect::<Result<Vec<_>, Error>>()?;
        self.room_for_windows(segmentations.len())?;
        let averages = thread::scope(|scope| {
            // One window may wait before and one after the sessions.
            let (cut, to_run) = sync_channel(1);
            let (decoded, to_stitch) = sync_channel(1);
            let (scan, shown) = (&scan, &*segmentations);
            let cutter = move || self.cut_windows(users, scan, objects, shown, cut);
            let stitcher = move || self.stitch(averages, to_stitch);
            thread::Builder::new().spawn_scoped(scope, cutter).map_err(Error::Thread)?;
            let stitcher = thread::Builder::new().spawn_scoped(scope, stitcher).map_err(Error::Thread)?;
            let run = self.run_windows(to_run, decoded, &mut |done, window| {
                window.skipped.iter().for_each(|&index| skipped[index] += 1);
                report(done + 2)
            });
            // A broken run has dropped both channels, which ends the other threads.
            let averages = stitcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            run.map(|()| averages)
        })?;

        for ((segmentation, average), skipped) in segmentations.iter_mut().zip(averages).zip(skipped) {
            segmentation.windows.skipped = skipped;
            let (Some(roi), Some(average)) = (segmentation.roi, average) else { continue };
            let tables = &self.scan.tables;
            let zoom_out = &segmentation.zoom_out;
            let outside = |[d, h, w]: [usize; 3]| zoom_out[[tables[0][d], tables[1][h], tables[2][w]]];
            let logits = self.timed("stitch", || average.finish(outside));
            segmentation.zoom_in = Some(ZoomedIn { region: roi.region, logits });
        }
        Ok(())
    }

    /// The cutter: prepares each window, until nobody takes them any more.
    fn cut_windows<'a>(
        &self,
        users: BTreeMap<Frame, Vec<usize>>,
        scan: &ZoomInScan<'_>,
        objects: &'a [Object],
        segmentations: &'a [Segmentation],
        cut: SyncSender<CutWindow<'a>>,
    ) {
        for (frame, indices) in users {
            let mut window = CutWindow { frame, objects: Vec::new(), skipped: Vec::new(), image: None };
            for index in indices {
                let segmentation = &segmentations[index];
                let Some(roi) = segmentation.roi else { continue };
                let object = ZoomInObject {
                    region: roi.region,
                    zoom_out: &segmentation.zoom_out,
                    prompt: &objects[index].prompt,
                    text: objects[index].text.as_ref(),
                };
                match scan.prompt_in(&object, &window.frame, segmentation.windows.total == 1) {
                    Some(prompt) => window.objects.push((index, prompt)),
                    None => window.skipped.push(index),
                }
            }
            if !window.objects.is_empty() {
                let key = WindowKey::ZoomIn(window.frame.clone());
                window.image = self.cut(&key, || self.image_in(&window.frame));
            }
            if cut.send(window).is_err() {
                return;
            }
        }
    }

    /// Runs the sessions over each window in turn; `done` is told of each, with its number from 0.
    fn run_windows(
        &self,
        windows: Receiver<CutWindow<'_>>,
        decoded: SyncSender<DecodedWindow>,
        done: &mut dyn FnMut(usize, &CutWindow<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for (number, mut window) in windows.into_iter().enumerate() {
            if !window.objects.is_empty() {
                let (objects, prompts): (Vec<_>, Vec<_>) = std::mem::take(&mut window.objects).into_iter().unzip();
                let frame = window.frame.clone();
                let image = window.image.take();
                // Kept when the cutter looked, and dropped since: cut here.
                let image = || image.unwrap_or_else(|| self.image_in(&frame));
                let low_res = self.look(&WindowKey::ZoomIn(frame.clone()), image, &prompts)?;
                if decoded.send(DecodedWindow { frame, objects, low_res }).is_err() {
                    break; // the stitcher panicked: joining it says so
                }
            }
            done(number, &window)?;
        }
        Ok(())
    }

    /// What a window shows, `[D, H, W]`.
    fn image_in(&self, frame: &Frame) -> Array3<f32> {
        frame.cut(self.image.view(), self.stages.architecture().window_dhw)
    }

    /// The stitcher: adds to the averages of the objects' logits, none for an object without a region.
    fn stitch(&self, mut averages: Vec<Option<Average>>, windows: Receiver<DecodedWindow>) -> Vec<Option<Average>> {
        for DecodedWindow { frame, objects, low_res } in windows {
            for (index, logits) in objects.into_iter().zip(low_res.outer_iter()) {
                let Some(average) = &mut averages[index] else { continue };
                let logits = self.upsample(logits);
                self.timed("stitch", || average.add(&frame, &logits));
            }
        }
        averages
    }
}
