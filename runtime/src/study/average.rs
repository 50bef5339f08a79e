//! Stitching: the mean of the window logits over a region.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis, Zip, s};

use super::plan::{Frame, frames_of_lattice};
use super::region::Region;
use crate::error::Error;

/// The mean of window logits over a region.
///
/// It needs four bytes per voxel of the region. The number of windows over each voxel is not stored; it is counted at the
/// end, from the positions of the windows.
pub(crate) struct Average {
    region: Region,
    sum: Array3<f32>,
    /// The part of the region that each added window shows, in coordinates of the region.
    added: Vec<[Range<usize>; 3]>,
}

impl Average {
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory for the sums of the region.
    pub(crate) fn new(region: Region) -> Result<Self, Error> {
        let shape = region.shape_dhw();
        segvol_base::memory::check_available::<f32>("the sums of the zoom-in pass", shape.iter().product())?;
        Ok(Self { region, sum: Array3::zeros(shape), added: Vec::new() })
    }

    /// Adds the logits of one window, `[D, H, W]`, where the window shows the region.
    pub(crate) fn add(&mut self, frame: &Frame, logits: &Array3<f32>) {
        let shared: [Range<usize>; 3] = std::array::from_fn(|axis| {
            let visible = frame.visible(axis);
            visible.start.max(self.region.min_dhw[axis])..visible.end.min(self.region.max_dhw[axis] + 1)
        });
        if shared.iter().any(Range::is_empty) {
            return;
        }
        let in_region: [Range<usize>; 3] = std::array::from_fn(|axis| {
            shared[axis].start - self.region.min_dhw[axis]..shared[axis].end - self.region.min_dhw[axis]
        });
        let [wd, wh, ww]: [Range<usize>; 3] = std::array::from_fn(|axis| {
            let start = frame.position(axis, shared[axis].start);
            start..start + shared[axis].len()
        });
        let [d, h, w] = in_region.clone();
        Zip::from(self.sum.slice_mut(s![d, h, w]))
            .and(logits.slice(s![wd, wh, ww]))
            .par_for_each(|sum, &logit| *sum += logit);
        self.added.push(in_region);
    }

    /// The mean logits of the region, `[D, H, W]`. Voxels without a window get `outside([d, h, w])`, in crop coordinates.
    pub(crate) fn finish(mut self, outside: impl Fn([usize; 3]) -> f32 + Sync) -> Array3<f32> {
        let min = self.region.min_dhw;
        let width = self.sum.dim().2;
        let added = &self.added;
        self.sum.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(d, mut slice)| {
            let here: Vec<_> = added.iter().filter(|shown| shown[0].contains(&d)).collect();
            let mut counts = vec![0_u32; width];
            for (h, mut row) in slice.axis_iter_mut(Axis(0)).enumerate() {
                counts.fill(0);
                for [_, _, w] in here.iter().filter(|shown| shown[1].contains(&h)) {
                    counts[w.clone()].iter_mut().for_each(|count| *count += 1);
                }
                for (w, (sum, &count)) in row.iter_mut().zip(&counts).enumerate() {
                    *sum = if count == 0 { outside([min[0] + d, min[1] + h, min[2] + w]) } else { *sum / count as f32 };
                }
            }
        });
        self.sum
    }
}

/// Stitches the same window logits, `[D, H, W]`, at every window of the lattice over a crop, and returns their mean,
/// `[D, H, W]` of the crop. It measures stitching without a model, for benchmarks.
///
/// # Errors
///
/// [`Error::Memory`] if there is not enough memory for the sums of the crop.
#[doc(hidden)]
pub fn stitched(crop_dhw: [usize; 3], logits: &Array3<f32>, overlap: f64) -> Result<Array3<f32>, Error> {
    let window = [0, 1, 2].map(|axis| logits.shape()[axis]);
    let region = Region { min_dhw: [0; 3], max_dhw: crop_dhw.map(|n| n - 1) };
    let mut average = Average::new(region)?;
    for frame in frames_of_lattice(&region, crop_dhw, window, overlap) {
        average.add(&frame, logits);
    }
    Ok(average.finish(|_| 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_windows_are_stitched_to_their_own_value() {
        let found = stitched([5, 9, 6], &Array3::from_elem([4, 4, 4], 2.5), 0.5).expect("enough memory");
        assert_eq!(found, Array3::from_elem([5, 9, 6], 2.5));
    }

    #[test]
    fn the_average_counts_windows_and_keeps_the_outside_where_there_is_none() {
        const WINDOW: [usize; 3] = [4, 4, 4];
        let region = Region { min_dhw: [1, 0, 0], max_dhw: [6, 3, 3] };
        let mut average = Average::new(region).expect("enough memory");
        let frame = |d: isize, (first, last)| Frame { start: [d, 0, 0], visible: [(first, last), (0, 4), (0, 4)] };
        average.add(&frame(0, (0, 4)), &Array3::from_elem(WINDOW, 1.0));
        average.add(&frame(2, (2, 6)), &Array3::from_elem(WINDOW, 4.0));
        let found = average.finish(|[d, _, _]| -(d as f32));
        let column: Vec<f32> = found.slice(s![.., 0, 0]).to_vec();
        assert_eq!(column, [1.0, 2.5, 2.5, 4.0, 4.0, -6.0]);
    }

    #[test]
    fn windows_that_part_along_every_axis_are_counted_apart() {
        let region = Region { min_dhw: [0; 3], max_dhw: [3; 3] };
        let frame = |start: [isize; 3]| Frame {
            start,
            visible: start.map(|from| (from.unsigned_abs(), (from.unsigned_abs() + 3).min(4))),
        };
        let mut average = Average::new(region).expect("enough memory");
        let logits = Array3::from_shape_fn([3, 3, 3], |(d, h, w)| (d * 9 + h * 3 + w) as f32);
        let frames = [[0, 0, 0], [1, 1, 1], [0, 1, 0]].map(frame);
        for frame in &frames {
            average.add(frame, &logits);
        }
        let found = average.finish(|_| -1.0);
        for ((d, h, w), &found) in found.indexed_iter() {
            let at = [d, h, w];
            let over: Vec<f32> = frames
                .iter()
                .filter(|frame| (0..3).all(|axis| frame.visible(axis).contains(&at[axis])))
                .map(|frame| logits[std::array::from_fn::<_, 3, _>(|axis| frame.position(axis, at[axis]))])
                .collect();
            let expected = if over.is_empty() { -1.0 } else { over.iter().sum::<f32>() / over.len() as f32 };
            assert_eq!(found, expected, "{at:?}");
        }
    }
}
