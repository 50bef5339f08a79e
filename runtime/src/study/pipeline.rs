//! Runs the windows of the zoom-in pass on three threads: while one window is encoded and decoded, the next one is cut and
//! the previous one is stitched.
//!
//! | thread   | work                                                          |
//! |----------|---------------------------------------------------------------|
//! | cutter   | the part of the prompts that is in the window, its image      |
//! | caller's | ONNX Runtime's sessions, and the observer                     |
//! | stitcher | upsamples logits, adds them to the averages of the objects    |
//!
//! Windows keep their order through all three threads, so a mask does not depend on the speed of the threads. At most three
//! windows and three sets of logits are in memory at the same time.
//!
//! Where the provider gains from it, several windows are encoded in one run: then the cutter hands over groups of windows, and
//! three groups are in memory.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ndarray::{Array3, Array4};

use super::object::Object;
use super::prompt_in_window::{ZoomInObject, ZoomInScan};
use super::segmentation::Segmentation;
use super::windows::Windows;
use crate::error::Error;
use crate::stages::WindowPrompt;
use segvol_windows::{Average, Frame, WindowKey};

/// A window that has been cut from the crop, with the objects that need it.
struct CutWindow<'a> {
    frame: Frame,
    /// Indices of the objects that are decoded in the window, each with its prompt there.
    objects: Vec<(usize, WindowPrompt<'a>)>,
    /// Indices of the objects that keep their zoom-out logits in it.
    skipped: Vec<usize>,
    /// The window's image, `[D, H, W]`. `None` if no object is decoded in it, or its embedding is in the cache.
    image: Option<Array3<f32>>,
}

/// The logits of a window.
struct DecodedWindow {
    frame: Frame,
    objects: Vec<usize>,
    /// `[P, D, H, W]`, one `[D, H, W]` for each object.
    low_res: Array4<f32>,
}

/// Called after every window with its number, from 0, and the indices of the objects that skip it.
type Done<'a> = dyn FnMut(usize, &[usize]) -> Result<(), Error> + 'a;

/// Runs all windows and returns the averages of the objects' logits; `None` for an object without a region.
///
/// `users` maps each window to the indices of the objects that need it.
pub(super) fn run(
    windows: &Windows,
    scan: &ZoomInScan<'_>,
    users: BTreeMap<Frame, Vec<usize>>,
    objects: &[Object],
    segmentations: &[Segmentation],
    averages: Vec<Option<Average>>,
    done: &mut Done<'_>,
) -> Result<Vec<Option<Average>>, Error> {
    let batch = windows.batch(segmentations.len());
    thread::scope(|scope| {
        // One group of windows may wait for the sessions, and one window for the stitcher.
        let (cut, to_run) = sync_channel(1);
        let (decoded, to_stitch) = sync_channel(1);
        let cutter = move || cut_windows(windows, batch, users, scan, objects, segmentations, &cut);
        let stitcher = move || stitch(windows, averages, to_stitch);
        thread::Builder::new().spawn_scoped(scope, cutter).map_err(Error::Thread)?;
        let stitcher = thread::Builder::new().spawn_scoped(scope, stitcher).map_err(Error::Thread)?;
        let result = decode_windows(windows, to_run, decoded, done);
        // A failed run has dropped both channels, which ends the other threads.
        let averages = stitcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result.map(|()| averages)
    })
}

/// The cutter: prepares each window, and stops early if the receiver is gone. Windows are sent in groups in which up to `batch`
/// must be encoded.
fn cut_windows<'a>(
    windows: &Windows,
    batch: usize,
    users: BTreeMap<Frame, Vec<usize>>,
    scan: &ZoomInScan<'_>,
    objects: &'a [Object],
    segmentations: &'a [Segmentation],
    cut: &SyncSender<Vec<CutWindow<'a>>>,
) {
    let mut group = Group { windows: Vec::new(), batch };
    for (frame, indices) in users {
        let mut window = CutWindow { frame, objects: Vec::new(), skipped: Vec::new(), image: None };
        for index in indices {
            let segmentation = &segmentations[index];
            let Some(roi) = segmentation.roi else { continue };
            let object = ZoomInObject {
                region: roi.region,
                zoom_out: &segmentation.zoom_out,
                prompt: &objects[index].prompt,
                exact_box: objects[index].exact_box,
                text: objects[index].text.as_ref(),
            };
            match scan.prompt_in(&object, &window.frame, segmentation.windows.total == 1) {
                Some(prompt) => window.objects.push((index, prompt)),
                None => window.skipped.push(index),
            }
        }
        if !window.objects.is_empty() {
            window.image = windows.cut(&WindowKey::ZoomIn(window.frame.clone()));
        }
        group.windows.push(window);
        if group.is_full() && cut.send(std::mem::take(&mut group.windows)).is_err() {
            return;
        }
    }
    if !group.windows.is_empty() {
        // There is nothing to stop if the receiver is gone.
        let _ = cut.send(group.windows);
    }
}

/// Windows that are handed over together.
struct Group<'a> {
    windows: Vec<CutWindow<'a>>,
    /// Most windows of a group that must be encoded.
    batch: usize,
}

impl Group<'_> {
    /// Whether the sessions have enough to do, or would wait for windows although nothing must be encoded yet.
    fn is_full(&self) -> bool {
        let images = self.windows.iter().filter(|window| window.image.is_some()).count();
        images == 0 || images == self.batch || self.windows.len() == 4 * self.batch
    }
}

/// Runs the sessions over each group of windows in turn: encodes its windows together, then decodes one after the other.
fn decode_windows(
    windows: &Windows,
    cut: Receiver<Vec<CutWindow<'_>>>,
    decoded: SyncSender<DecodedWindow>,
    done: &mut Done<'_>,
) -> Result<(), Error> {
    let mut number = 0;
    for mut group in cut {
        // The cutter cuts no image if the embedding is in the cache. If it was dropped since then, the image is cut here.
        let wanted = group.iter_mut().filter(|window| !window.objects.is_empty());
        let wanted = wanted.map(|window| (WindowKey::ZoomIn(window.frame.clone()), window.image.take())).collect();
        let mut embeddings = windows.embed_all(wanted)?.into_iter();
        for CutWindow { frame, objects, skipped, .. } in group {
            if !objects.is_empty() {
                let embedding = embeddings.next().expect("each window with objects has one");
                let (objects, prompts): (Vec<_>, Vec<_>) = objects.into_iter().unzip();
                let low_res = windows.decode_embedded(&embedding, &prompts)?;
                if decoded.send(DecodedWindow { frame, objects, low_res }).is_err() {
                    return Ok(()); // The stitcher panicked; `join` reports the panic.
                }
            }
            done(number, &skipped)?;
            number += 1;
        }
    }
    Ok(())
}

/// The stitcher: adds the logits of each window to the averages of its objects.
fn stitch(
    windows: &Windows,
    mut averages: Vec<Option<Average>>,
    decoded: Receiver<DecodedWindow>,
) -> Vec<Option<Average>> {
    for DecodedWindow { frame, objects, low_res } in decoded {
        for (index, logits) in objects.into_iter().zip(low_res.outer_iter()) {
            let Some(average) = &mut averages[index] else { continue };
            let Some(shown) = average.shown_in(&frame) else { continue };
            let logits = windows.upsample_part(logits, shown.in_window.clone());
            windows.timed("stitch", || average.add(shown, &logits));
        }
    }
    averages
}
