//! The position of a zoom-in window in the crop, and windows at fixed places: those of the released code, and a lattice.

use std::ops::Range;

use ndarray::{Array3, ArrayView3, s};

use crate::region::Region;
use crate::sliding_window::{window_starts, window_step};

/// Why a voxel index can be converted to `isize`.
const FITS: &str = "an index of an array in memory fits in an isize";

/// The position of one window in the crop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The window's first voxel in crop coordinates; negative if the window starts with padding.
    pub start: [isize; 3],
    /// The crop voxels that the window shows, as start and end per axis. The rest of the window is 0.
    pub visible: [(usize, usize); 3],
}

impl Frame {
    /// A window at `start` that shows the voxels of the crop that are in `shown`.
    pub fn new(start: [isize; 3], window: [usize; 3], shown: [Range<usize>; 3]) -> Self {
        let visible = std::array::from_fn(|axis| {
            let end = start[axis].saturating_add_unsigned(window[axis]).max(0).unsigned_abs();
            let begin = start[axis].max(0).unsigned_abs();
            (begin.max(shown[axis].start), end.min(shown[axis].end))
        });
        Self { start, visible }
    }

    /// Whether a window of this size can be there, and shows voxels of a crop of this shape.
    #[must_use]
    pub fn fits(&self, crop: [usize; 3], window: [usize; 3]) -> bool {
        (0..3).all(|axis| {
            let (start, (begin, end)) = (self.start[axis], self.visible[axis]);
            let is_after = |index: usize| isize::try_from(index).is_ok_and(|index| start <= index);
            let last = start.checked_add_unsigned(window[axis]);
            begin < end && end <= crop[axis] && is_after(begin) && last.is_some_and(|last| end.cast_signed() <= last)
        })
    }

    /// The crop voxels along `axis` that the window shows.
    pub fn visible(&self, axis: usize) -> Range<usize> {
        self.visible[axis].0..self.visible[axis].1
    }

    /// The position in the window of a crop coordinate that the window shows.
    ///
    /// # Panics
    ///
    /// If the voxel is before the window's start.
    pub fn position(&self, axis: usize, crop: usize) -> usize {
        crop.checked_add_signed(-self.start[axis]).expect("a voxel that a window shows is not before its start")
    }

    /// Cuts the window's image, `[D, H, W]` of `window`, from the image of the crop.
    pub fn cut(&self, crop: ArrayView3<'_, f32>, window: [usize; 3]) -> Array3<f32> {
        let mut image = Array3::zeros(window);
        let [d, h, w] = std::array::from_fn(|axis| self.visible(axis));
        let [pd, ph, pw] = std::array::from_fn(|axis| self.position(axis, self.visible[axis].0));
        let source = crop.slice(s![d.clone(), h.clone(), w.clone()]);
        image.slice_mut(s![pd..pd + d.len(), ph..ph + h.len(), pw..pw + w.len()]).assign(&source);
        image
    }
}

/// Windows that slide over `region` as if the crop were no larger: outside the region they are 0.
///
/// # Source
///
/// BAAI-DCAI/SegVol@5768c97, `inference_demo.py` (the region is cut out) and `utils/monai_inferers_utils.py`,
/// `sliding_window_inference`.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn frames_over_region(region: &Region, window: [usize; 3], overlap: f64) -> Vec<Frame> {
    let shape = region.shape_dhw();
    let starts: [Vec<isize>; 3] = std::array::from_fn(|axis| {
        let pad = window[axis].saturating_sub(shape[axis]) / 2;
        let origin = region.min_dhw[axis].checked_signed_diff(pad).expect(FITS);
        let starts = window_starts(shape[axis].max(window[axis]), window[axis], window_step(window[axis], overlap));
        starts.into_iter().map(|start| origin.saturating_add_unsigned(start)).collect()
    });
    grid(&starts).map(|start| Frame::new(start, window, std::array::from_fn(|axis| region.range(axis)))).collect()
}

/// The windows of one lattice over the whole crop that overlap `region`.
#[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
pub fn frames_of_lattice(region: &Region, crop: [usize; 3], window: [usize; 3], overlap: f64) -> Vec<Frame> {
    let starts: [Vec<isize>; 3] = std::array::from_fn(|axis| {
        let pad = window[axis].saturating_sub(crop[axis]) / 2;
        let starts = window_starts(crop[axis].max(window[axis]), window[axis], window_step(window[axis], overlap));
        let starts = starts.into_iter().map(|start| start.checked_signed_diff(pad).expect(FITS));
        starts.collect()
    });
    let frames = grid(&starts).map(|start| Frame::new(start, window, crop.map(|n| 0..n)));
    let touches = |frame: &Frame| {
        (0..3).all(|axis| frame.visible[axis].0 <= region.max_dhw[axis] && region.min_dhw[axis] < frame.visible[axis].1)
    };
    frames.filter(touches).collect()
}

fn grid(starts: &[Vec<isize>; 3]) -> impl Iterator<Item = [isize; 3]> {
    let [d, h, w] = starts;
    d.iter().flat_map(move |&d| h.iter().flat_map(move |&h| w.iter().map(move |&w| [d, h, w])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_region_of_one_voxel_less_than_the_window_is_padded_at_its_end() {
        let region = Region { min_dhw: [3, 10, 10], max_dhw: [9, 17, 17] };
        let frames = frames_over_region(&region, [8, 8, 8], 0.5);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].start, [3, 10, 10]);
        assert_eq!(frames[0].visible, [(3, 10), (10, 18), (10, 18)]);
        let crop = Array3::ones([20, 20, 20]);
        let image = frames[0].cut(crop.view(), [8, 8, 8]);
        assert_eq!(image.slice(s![..7, .., ..]).sum(), 7.0 * 64.0);
        assert_eq!(
            image.slice(s![7, .., ..]).sum(),
            0.0,
            "outside the region the window is 0, although the crop continues"
        );
    }

    #[test]
    fn lattice_windows_cover_the_region_and_do_not_depend_on_it() {
        let (crop, window) = ([30, 41, 17], [8, 16, 16]);
        let whole = Region { min_dhw: [0; 3], max_dhw: [29, 40, 16] };
        let all = frames_of_lattice(&whole, crop, window, 0.5);
        let region = Region { min_dhw: [11, 30, 3], max_dhw: [13, 40, 9] };
        let some = frames_of_lattice(&region, crop, window, 0.5);
        assert!(some.len() < all.len());
        assert!(some.iter().all(|frame| all.contains(frame)));
        for axis in 0..3 {
            for voxel in region.min_dhw[axis]..=region.max_dhw[axis] {
                assert!(some.iter().any(|frame| frame.visible(axis).contains(&voxel)));
            }
        }
    }

    #[test]
    fn a_crop_smaller_than_the_window_is_padded_half_before() {
        let whole = Region { min_dhw: [0; 3], max_dhw: [4, 15, 15] };
        let frames = frames_of_lattice(&whole, [5, 16, 16], [8, 16, 16], 0.5);
        assert_eq!(frames, frames_over_region(&whole, [8, 16, 16], 0.5));
        assert_eq!(frames[0].start, [-1, 0, 0]);
        assert_eq!(frames[0].position(0, 0), 1);
    }

    proptest! {
        #[test]
        fn windows_cover_every_voxel_and_show_it_where_they_say(
            crop in prop::array::uniform3(1_usize..24),
            window in prop::array::uniform3(1_usize..10),
            corners in prop::array::uniform6(0.0_f64..1.0),
            at in prop::array::uniform3(0.0_f64..1.0),
            overlap in prop::sample::select(vec![0.0, 0.25, 0.5, 0.75, 0.95]),
        ) {
            let corner = |first: usize| -> [usize; 3] {
                std::array::from_fn(|axis| (corners[first + axis] * crop[axis] as f64) as usize)
            };
            let (a, b) = (corner(0), corner(3));
            let region = Region {
                min_dhw: std::array::from_fn(|axis| a[axis].min(b[axis])),
                max_dhw: std::array::from_fn(|axis| a[axis].max(b[axis])),
            };
            let voxel: [usize; 3] = std::array::from_fn(|axis| {
                region.min_dhw[axis] + (at[axis] * region.shape_dhw()[axis] as f64) as usize
            });
            let image = Array3::from_shape_fn(crop, |(d, h, w)| (1 + (d * 24 + h) * 24 + w) as f32);
            for frames in [
                frames_over_region(&region, window, overlap),
                frames_of_lattice(&region, crop, window, overlap),
            ] {
                let showing: Vec<&Frame> = frames
                    .iter()
                    .filter(|frame| (0..3).all(|axis| frame.visible(axis).contains(&voxel[axis])))
                    .collect();
                prop_assert!(!showing.is_empty(), "no window shows {:?} of {:?}", voxel, region);
                for frame in showing {
                    let place: [usize; 3] = std::array::from_fn(|axis| frame.position(axis, voxel[axis]));
                    prop_assert!((0..3).all(|axis| place[axis] < window[axis]));
                    prop_assert_eq!(frame.cut(image.view(), window)[place], image[voxel]);
                }
            }
        }
    }
}
