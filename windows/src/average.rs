//! Stitching: the mean of the window logits over a region.

use std::ops::Range;

use ndarray::parallel::prelude::*;
use ndarray::{Array3, Axis, Zip, s};

use crate::frame::{Frame, frames_of_lattice};
use crate::region::Region;
use segvol_base::OutOfMemory;
use segvol_scan::resize::{IndexTables, Trilinear};

/// Slices of a region that are finished together. The coarse logits around them are interpolated along the other axes once.
const SLICES: usize = 8;

/// The mean of window logits over a region.
///
/// It needs four bytes per voxel of the region. The number of windows over each voxel is not stored; it is counted at the
/// end, from the positions of the windows.
pub struct Average {
    region: Region,
    sum: Array3<f32>,
    /// The part of the region that each added window shows, in coordinates of the region.
    added: Vec<[Range<usize>; 3]>,
}

impl Average {
    /// # Errors
    ///
    /// [`OutOfMemory`] if there is not enough memory for the sums of the region.
    pub fn new(region: Region) -> Result<Self, OutOfMemory> {
        let shape = region.shape_dhw();
        segvol_base::memory::check_available::<f32>("the sums of the zoom-in pass", shape.iter().product())?;
        Ok(Self { region, sum: Array3::zeros(shape), added: Vec::new() })
    }

    /// The part of the region that a window shows; `None` if it shows nothing of it.
    pub fn shown_in(&self, frame: &Frame) -> Option<Shown> {
        let shared: [Range<usize>; 3] = std::array::from_fn(|axis| {
            let visible = frame.visible(axis);
            visible.start.max(self.region.min_dhw[axis])..visible.end.min(self.region.max_dhw[axis] + 1)
        });
        if shared.iter().any(Range::is_empty) {
            return None;
        }
        Some(Shown {
            in_region: std::array::from_fn(|axis| {
                shared[axis].start - self.region.min_dhw[axis]..shared[axis].end - self.region.min_dhw[axis]
            }),
            in_window: std::array::from_fn(|axis| {
                let start = frame.position(axis, shared[axis].start);
                start..start + shared[axis].len()
            }),
        })
    }

    /// Adds the logits of a part of a window, `[D, H, W]` of the part.
    pub fn add(&mut self, shown: Shown, logits: &Array3<f32>) {
        let [d, h, w] = shown.in_region.clone();
        Zip::from(self.sum.slice_mut(s![d, h, w])).and(logits).par_for_each(|sum, &logit| *sum += logit);
        self.added.push(shown.in_region);
    }

    /// The mean logits of the region, `[D, H, W]`, where a window shows it. `coarse`, the logits of the zoom-out pass, are one
    /// more view there if they have a weight, and the only one where there is no window.
    #[expect(clippy::missing_panics_doc, reason = "never: see the expectations")]
    pub fn finish(mut self, coarse: &Coarse<'_>) -> Array3<f32> {
        let [first_d, first_h, first_w] = self.region.min_dhw;
        let width = self.sum.dim().2;
        let added = &self.added;
        let region = self.region;
        self.sum.axis_chunks_iter_mut(Axis(0), SLICES).into_par_iter().enumerate().for_each(|(chunk, mut slices)| {
            let from = chunk * SLICES;
            let view = coarse.view.as_ref().map(|view| {
                let depths = first_d + from..first_d + from + slices.dim().0;
                let ranges = [depths, region.range(1), region.range(2)];
                (view.weight, view.upsampling.part(coarse.logits.view(), ranges))
            });
            let mut counts = vec![0.0_f32; width];
            for (d, mut slice) in slices.axis_iter_mut(Axis(0)).enumerate() {
                let here: Vec<_> = added.iter().filter(|shown| shown[0].contains(&(from + d))).collect();
                for (h, row) in slice.axis_iter_mut(Axis(0)).enumerate() {
                    let row = row.into_slice().expect("the sums of a row are one after the other");
                    counts.fill(0.0);
                    for [_, _, w] in here.iter().filter(|shown| shown[1].contains(&h)) {
                        counts[w.clone()].iter_mut().for_each(|count| *count += 1.0);
                    }
                    match &view {
                        None => row.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count.max(1.0)),
                        Some((weight, view)) => {
                            let view = view.slice(s![d, h, ..]).to_slice().expect("as are those of the view");
                            for ((sum, count), view) in row.iter_mut().zip(&counts).zip(view) {
                                *sum = (*sum + weight * view) / (count + weight);
                            }
                        }
                    }
                    for (w, (sum, count)) in row.iter_mut().zip(&counts).enumerate() {
                        if *count == 0.0 {
                            *sum = coarse.nearest([first_d + from + d, first_h + h, first_w + w]);
                        }
                    }
                }
            }
        });
        self.sum
    }
}

/// The part of a region that a window shows.
pub struct Shown {
    /// In voxels of the region.
    in_region: [Range<usize>; 3],
    /// In voxels of the window.
    pub in_window: [Range<usize>; 3],
}

/// The logits of the zoom-out pass in the crop.
pub struct Coarse<'a> {
    /// `[D, H, W]` of the zoom-out window.
    pub logits: &'a Array3<f32>,
    /// For every crop voxel along each axis, the voxel of the zoom-out window that shows it.
    pub tables: &'a IndexTables,
    /// How they count beside the zoom-in windows; `None` if they do not.
    pub view: Option<View<'a>>,
}

impl Coarse<'_> {
    fn nearest(&self, [d, h, w]: [usize; 3]) -> f32 {
        self.logits[[self.tables[0][d], self.tables[1][h], self.tables[2][w]]]
    }
}

/// The zoom-out window as one more view of the region.
pub struct View<'a> {
    /// From the window to the crop.
    pub upsampling: &'a Trilinear,
    /// Its weight; that of a zoom-in window is 1.
    pub weight: f32,
}

/// Stitches the same window logits, `[D, H, W]`, at every window of the lattice over a crop, and returns their mean,
/// `[D, H, W]` of the crop. It measures stitching without a model, for benchmarks.
///
/// # Errors
///
/// [`OutOfMemory`] if there is not enough memory for the sums of the crop.
#[doc(hidden)]
pub fn stitched(crop_dhw: [usize; 3], logits: &Array3<f32>, overlap: f64) -> Result<Array3<f32>, OutOfMemory> {
    let window = [0, 1, 2].map(|axis| logits.shape()[axis]);
    let region = Region { min_dhw: [0; 3], max_dhw: crop_dhw.map(|n| n - 1) };
    let mut average = Average::new(region)?;
    for frame in frames_of_lattice(&region, crop_dhw, window, overlap) {
        if let Some(shown) = average.shown_in(&frame) {
            let [d, h, w] = shown.in_window.clone();
            average.add(shown, &logits.slice(s![d, h, w]).to_owned());
        }
    }
    let coarse = Array3::zeros([1; 3]);
    let tables = crop_dhw.map(|n| vec![0; n]);
    Ok(average.finish(&Coarse { logits: &coarse, tables: &tables, view: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_windows_are_stitched_to_their_own_value() {
        let found = stitched([5, 9, 6], &Array3::from_elem([4, 4, 4], 2.5), 0.5).expect("enough memory");
        assert_eq!(found, Array3::from_elem([5, 9, 6], 2.5));
    }

    /// Adds a whole window, `[D, H, W]`.
    fn add(average: &mut Average, frame: &Frame, logits: &Array3<f32>) {
        let shown = average.shown_in(frame).expect("the window shows the region");
        let [d, h, w] = shown.in_window.clone();
        average.add(shown, &logits.slice(s![d, h, w]).to_owned());
    }

    /// Finishes with zoom-out logits of the crop's own size.
    fn finished(average: Average, logits: &Array3<f32>, weight: Option<f32>) -> Array3<f32> {
        let shape = [0, 1, 2].map(|axis| logits.shape()[axis]);
        let (tables, upsampling) = (shape.map(|n| (0..n).collect()), Trilinear::new(shape, shape));
        let view = weight.map(|weight| View { upsampling: &upsampling, weight });
        average.finish(&Coarse { logits, tables: &tables, view })
    }

    #[test]
    fn the_average_counts_windows_and_keeps_the_outside_where_there_is_none() {
        const WINDOW: [usize; 3] = [4, 4, 4];
        let region = Region { min_dhw: [1, 0, 0], max_dhw: [6, 3, 3] };
        let frame = |d: isize, (first, last)| Frame { start: [d, 0, 0], visible: [(first, last), (0, 4), (0, 4)] };
        let outside = Array3::from_shape_fn([7, 4, 4], |(d, _, _)| -(d as f32));
        let column = |weight: Option<f32>| -> Vec<f32> {
            let mut average = Average::new(region).expect("enough memory");
            add(&mut average, &frame(0, (0, 4)), &Array3::from_elem(WINDOW, 1.0));
            add(&mut average, &frame(2, (2, 6)), &Array3::from_elem(WINDOW, 4.0));
            finished(average, &outside, weight).slice(s![.., 0, 0]).to_vec()
        };
        assert_eq!(column(None), [1.0, 2.5, 2.5, 4.0, 4.0, -6.0]);
        // The zoom-out pass is half a view: (1 - 1/2) / 1.5, (1 + 4 - 2/2) / 2.5 and so on.
        assert_eq!(column(Some(0.5)), [0.5 / 1.5, 4.0 / 2.5, 3.5 / 2.5, 2.0 / 1.5, 1.5 / 1.5, -6.0]);
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
            add(&mut average, frame, &logits);
        }
        let found = finished(average, &Array3::from_elem([4; 3], -1.0), None);
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
