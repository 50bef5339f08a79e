//! The part of an object's prompt that is in a window of the zoom-in pass.

use std::collections::BTreeSet;
use std::ops::Range;

use ndarray::Array3;
use segvol_onnx::PromptLabel;
use segvol_volume::PointLabel;

use super::object::EMPTY_BOX;
use crate::stages::{TextEmbedding, WindowPrompt};
use segvol_prompt::Profile;
use segvol_prompt::{ExactBox, PlacedPrompt};
use segvol_scan::resize::IndexTables;
use segvol_windows::{Frame, Region, bounding_box, runs, slab_box};

/// Number of points per window, as in the released code.
const POINTS_PER_WINDOW: usize = 5;

/// What the zoom-in pass needs to know about one object.
pub(crate) struct ZoomInObject<'a> {
    pub(crate) region: Region,
    /// Logits of the zoom-out pass, `[D, H, W]` of the window.
    pub(crate) zoom_out: &'a Array3<f32>,
    pub(crate) prompt: &'a PlacedPrompt,
    /// The only prompt in the profile [`Profile::Segfm`].
    pub(crate) exact_box: Option<ExactBox>,
    pub(crate) text: Option<&'a TextEmbedding>,
}

/// What the zoom-in pass needs to know about the scan.
pub(crate) struct ZoomInScan<'a> {
    pub(crate) profile: Profile,
    pub(crate) tables: &'a IndexTables,
    pub(crate) window: [usize; 3],
}

/// Whether the plan of the default profile must look at a voxel of the zoom-out window: those of the zoom-out mask, inside the
/// user's box if there is one, and the user's points inside the object. If the box and the mask do not meet, all of the mask.
pub(crate) fn look<'a>(
    region: &Region,
    zoom_out: &'a Array3<f32>,
    prompt: &PlacedPrompt,
    tables: &IndexTables,
) -> impl Fn([usize; 3]) -> bool + use<'a> {
    let foreground = |(point, label): &([usize; 3], PointLabel)| (*label == PointLabel::Foreground).then_some(*point);
    let points: BTreeSet<[usize; 3]> = prompt.points.iter().filter_map(foreground).collect();
    let user_box = prompt.bounding_box;
    let in_box = move |voxel: [usize; 3]| {
        let inside = |[low, high]: [[usize; 3]; 2]| (0..3).all(|axis| (low[axis]..=high[axis]).contains(&voxel[axis]));
        user_box.is_none_or(inside)
    };
    let in_mask = move |voxel: [usize; 3]| zoom_out[voxel] > 0.0;
    let asked =
        move |voxel: [usize; 3]| (in_mask(voxel) && in_box(voxel)) || (!points.is_empty() && points.contains(&voxel));
    let meet = bounding_box(tables, [0, 1, 2].map(|axis| region.range(axis)), &asked).is_some();
    move |voxel| if meet { asked(voxel) } else { in_mask(voxel) }
}

impl ZoomInScan<'_> {
    /// The part of the object's prompt that is in one of its windows; `None` if the window keeps its zoom-out logits.
    ///
    /// `single` is true if the object has only one window.
    ///
    /// # Source
    ///
    /// BAAI-DCAI/SegVol@5768c97, `utils/monai_inferers_utils.py`, `sliding_window_inference` and
    /// `utils/click_method.py`. The random points of the latter are replaced by points at fixed ranks.
    pub(crate) fn prompt_in<'t>(
        &self,
        object: &ZoomInObject<'t>,
        frame: &Frame,
        single: bool,
    ) -> Option<WindowPrompt<'t>> {
        if let Some(exact) = object.exact_box {
            let bounding_box = Some(self.slab_in(object.zoom_out, exact, frame, single));
            return Some(WindowPrompt { points: Vec::new(), bounding_box, text: None });
        }
        let ranges: [Range<usize>; 3] = std::array::from_fn(|axis| frame.visible(axis));
        let mask = bounding_box(self.tables, ranges.clone(), |voxel| object.zoom_out[voxel] > 0.0);
        let user_box = object.prompt.bounding_box.map(|[low, high]| {
            let inside = |voxel: [usize; 3]| (0..3).all(|axis| (low[axis]..=high[axis]).contains(&voxel[axis]));
            bounding_box(self.tables, ranges.clone(), inside)
        });
        let has_points = !object.prompt.points.is_empty();
        let user_points = if has_points { self.points_in(object.prompt, &ranges) } else { Vec::new() };

        let several = self.profile == Profile::Default && !single;
        if several && mask.is_none() && user_points.is_empty() && user_box.is_none_or(|found| found.is_none()) {
            return None;
        }
        let shown = |region: Region| corners(frame, region, [0; 3]);
        let map_shift = self.map_shift(&object.region);
        let bounding_box = match user_box {
            // Several windows: the box of the zoom-out mask, clipped to the user's box.
            Some(user_box) if several => {
                let user_box = user_box?;
                Some(shown(mask.and_then(|mask| intersection(mask, user_box)).unwrap_or(user_box)))
            }
            Some(user_box) if single => Some(user_box.map_or(EMPTY_BOX, |found| corners(frame, found, map_shift))),
            Some(_) => Some(mask.map_or(EMPTY_BOX, shown)),
            None if has_points => Some(mask.map_or(EMPTY_BOX, shown)),
            None => None,
        };
        let points = if has_points { spread(&user_points, frame, map_shift) } else { Vec::new() };
        Some(WindowPrompt { points, bounding_box, text: object.text })
    }

    /// The box of a window in the profile [`Profile::Segfm`]: in the only window of an object the user's box, else the slab box of
    /// the mask in the window, where the user's box plays no part.
    ///
    /// # Source
    ///
    /// Yuxin-Du-Lab/SegVol-for-SegFM@7708634, `segvol/model_segvol_single.py`, `sliding_window_inference`.
    fn slab_in(&self, zoom_out: &Array3<f32>, exact: ExactBox, frame: &Frame, single: bool) -> [f32; 6] {
        let ranges: [Range<usize>; 3] = std::array::from_fn(|axis| frame.visible(axis));
        let found = match exact.in_crop {
            // The region contains the box, and the only window contains the region.
            in_crop if single => in_crop.map(|[min_dhw, max_dhw]| Region { min_dhw, max_dhw }),
            _ => slab_box(self.tables, ranges, |voxel| zoom_out[voxel] > 0.0),
        };
        found.map_or(EMPTY_BOX, |found| corners(frame, found, [0; 3]))
    }

    /// The offset in voxels between the map of the user's prompt and the image, per axis.
    ///
    /// # Quirk
    ///
    /// If the region is smaller than the window, the released code pads the image and the zoom-out mask, but not the map of
    /// the user's prompt. So positions in that map lack the leading padding.
    fn map_shift(&self, region: &Region) -> [usize; 3] {
        match self.profile {
            Profile::Default | Profile::Segfm => [0; 3],
            Profile::Released | Profile::Huggingface | Profile::HuggingfaceNearest => {
                let shape = region.shape_dhw();
                std::array::from_fn(|axis| self.window[axis].saturating_sub(shape[axis]) / 2)
            }
        }
    }

    /// The crop voxels within `ranges` that map to the zoom-out voxels of the foreground points, in raster order.
    fn points_in(&self, prompt: &PlacedPrompt, ranges: &[Range<usize>; 3]) -> Vec<[usize; 3]> {
        let runs: [_; 3] = std::array::from_fn(|axis| runs(&self.tables[axis], ranges[axis].clone()));
        let mut voxels = Vec::new();
        for (point, label) in &prompt.points {
            if *label == PointLabel::Background {
                continue;
            }
            // At most one run per axis has this source: the tables never decrease.
            let along = |axis: usize| runs[axis].iter().find(|run| run.source == point[axis]);
            let (Some(d), Some(h), Some(w)) = (along(0), along(1), along(2)) else { continue };
            for d in d.first..=d.last {
                for h in h.first..=h.last {
                    voxels.extend((w.first..=w.last).map(|w| [d, h, w]));
                }
            }
        }
        voxels.sort_unstable();
        voxels.dedup();
        voxels
    }
}

/// Five foreground points: those at ranks `floor((2i + 1) n / 10)` of the `n` `voxels` in raster order. If `n` is less than
/// 5, points repeat.
///
/// # Quirk
///
/// Without any voxel, there is one point at (-1, -1, -1) with the label "not a point".
fn spread(voxels: &[[usize; 3]], frame: &Frame, shift: [usize; 3]) -> Vec<([f32; 3], PromptLabel)> {
    if voxels.is_empty() {
        return vec![([-1.0; 3], PromptLabel::NotAPoint)];
    }
    let ranks = (0..POINTS_PER_WINDOW).map(|i| (2 * i + 1) * voxels.len() / (2 * POINTS_PER_WINDOW));
    ranks.map(|rank| (position(frame, voxels[rank], shift), PromptLabel::Foreground)).collect()
}

#[allow(clippy::cast_precision_loss)] // Positions in a window are far below 2^24.
fn position(frame: &Frame, voxel: [usize; 3], shift: [usize; 3]) -> [f32; 3] {
    std::array::from_fn(|axis| frame.position(axis, voxel[axis]).saturating_sub(shift[axis]) as f32)
}

fn corners(frame: &Frame, region: Region, shift: [usize; 3]) -> [f32; 6] {
    let [d0, h0, w0] = position(frame, region.min_dhw, shift);
    let [d1, h1, w1] = position(frame, region.max_dhw, shift);
    [d0, h0, w0, d1, h1, w1]
}

fn intersection(a: Region, b: Region) -> Option<Region> {
    let min_dhw: [usize; 3] = std::array::from_fn(|axis| a.min_dhw[axis].max(b.min_dhw[axis]));
    let max_dhw: [usize; 3] = std::array::from_fn(|axis| a.max_dhw[axis].min(b.max_dhw[axis]));
    (0..3).all(|axis| min_dhw[axis] <= max_dhw[axis]).then_some(Region { min_dhw, max_dhw })
}

#[cfg(test)]
mod tests {
    use segvol_windows::frames_over_region;

    use super::*;

    const WINDOW: [usize; 3] = [4, 4, 4];

    fn scan(profile: Profile, tables: &IndexTables) -> ZoomInScan<'_> {
        ZoomInScan { profile, tables, window: WINDOW }
    }

    /// A crop with 8 voxels per axis; two of them map to each zoom-out voxel.
    fn tables() -> IndexTables {
        std::array::from_fn(|_| (0..8).map(|i| i / 2).collect())
    }

    fn logits(positive: &[[usize; 3]]) -> Array3<f32> {
        let mut logits = Array3::from_elem(WINDOW, -1.0);
        for &voxel in positive {
            logits[voxel] = 1.0;
        }
        logits
    }

    #[test]
    fn points_are_at_fixed_ranks_and_repeat_when_few() {
        let frame = Frame { start: [0; 3], visible: [(0, 4); 3] };
        let voxels: Vec<[usize; 3]> = (0..3).map(|w| [0, 0, w]).collect();
        let found: Vec<f32> = spread(&voxels, &frame, [0; 3]).into_iter().map(|(at, _)| at[2]).collect();
        assert_eq!(found, [0.0, 0.0, 1.0, 2.0, 2.0]);
        assert_eq!(spread(&[], &frame, [0; 3]), vec![([-1.0; 3], PromptLabel::NotAPoint)]);
    }

    #[test]
    fn the_released_profile_forgets_the_pad_of_the_users_map() {
        let tables = tables();
        let zoom_out = logits(&[[1, 1, 1]]);
        // The box is the mask's own voxel; the region is one voxel thick along d, so padded by one before it.
        let prompt =
            PlacedPrompt { points: vec![([1, 1, 1], PointLabel::Foreground)], bounding_box: Some([[1, 1, 1]; 2]) };
        let region = Region { min_dhw: [2, 0, 0], max_dhw: [3, 3, 3] };
        let object = ZoomInObject { region, zoom_out: &zoom_out, prompt: &prompt, exact_box: None, text: None };
        let find = |profile| {
            let scan = scan(profile, &tables);
            let frames = frames_over_region(&region, WINDOW, 0.5);
            assert_eq!(frames.len(), 1);
            scan.prompt_in(&object, &frames[0], true).expect("the prompt is in the window")
        };
        let (kept, forgotten) = (find(Profile::Default), find(Profile::Released));
        assert_eq!(kept.bounding_box, Some([1.0, 2.0, 2.0, 2.0, 3.0, 3.0]));
        assert_eq!(forgotten.bounding_box, Some([0.0, 2.0, 2.0, 1.0, 3.0, 3.0]));
        assert_eq!(kept.points[0].0, [1.0, 2.0, 2.0]);
        assert_eq!(forgotten.points[0].0, [0.0, 2.0, 2.0]);
    }

    #[test]
    fn the_default_profile_clips_the_mask_to_the_users_box_and_skips_empty_windows() {
        let tables = tables();
        let zoom_out = logits(&[[0, 0, 0], [3, 3, 3]]);
        let prompt = PlacedPrompt { points: Vec::new(), bounding_box: Some([[0, 0, 0], [0, 1, 1]]) };
        let region = Region { min_dhw: [0; 3], max_dhw: [7; 3] };
        let object = ZoomInObject { region, zoom_out: &zoom_out, prompt: &prompt, exact_box: None, text: None };
        let scan = scan(Profile::Default, &tables);
        let frames = frames_over_region(&region, WINDOW, 0.5);
        assert_eq!(frames.len(), 27);
        let first = scan.prompt_in(&object, &frames[0], false).expect("mask and box are in the first window");
        assert_eq!(first.bounding_box, Some([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]), "the mask inside the user's box");
        assert_eq!(scan.prompt_in(&object, &frames[26], false), None, "the user's box is not in the last window");
        let text_only = PlacedPrompt { points: Vec::new(), bounding_box: None };
        let object = ZoomInObject { prompt: &text_only, ..object };
        assert_eq!(scan.prompt_in(&object, &frames[26], false), Some(WindowPrompt::default()));
        assert_eq!(scan.prompt_in(&object, &frames[13], false), None, "neither mask nor prompt in the middle window");
    }
}
