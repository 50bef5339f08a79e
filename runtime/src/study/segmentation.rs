//! One object in one scan: its logits, its mask, and what was done for it.

use std::sync::Arc;

use ndarray::{Array3, ArrayViewMut3, Axis, parallel::prelude::*, s};
use serde::Serialize;

use segvol_volume::Mask;
use segvol_volume::mask::Labels;

use super::region::Region;
use super::zoom_out::RegionOfInterest;
use crate::error::Error;
use crate::scan::Scan;

/// One segmented object.
///
/// The logits are kept as they came: one window of the whole crop, and over it the region that was zoomed into.
#[derive(Debug, Clone)]
pub struct Segmentation {
    pub(crate) name: String,
    pub(crate) scan: Arc<Scan>,
    pub(crate) zoom_out: Array3<f32>,
    pub(crate) roi: Option<RegionOfInterest>,
    pub(crate) zoom_in: Option<ZoomedIn>,
    pub(crate) windows: WindowCounts,
    pub(crate) warnings: Vec<String>,
}

/// The region that was zoomed into, with its logits.
#[derive(Debug, Clone)]
pub(crate) struct ZoomedIn {
    pub(crate) region: Region,
    pub(crate) logits: Array3<f32>,
}

/// What became of an object's zoom-in windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WindowCounts {
    /// Windows over the region of interest; 0 without zoom-in.
    pub total: usize,
    /// Of these, windows that were left as zoomed out.
    pub skipped: usize,
}

impl Segmentation {
    /// The object's name, as its prompt has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Logits of the zoom-out pass, `[D, H, W]` of the model's window.
    #[must_use]
    pub fn zoom_out_logits(&self) -> &Array3<f32> {
        &self.zoom_out
    }

    /// Where the zoom-in pass looked; none if it was off, or nothing was positive in the zoom-out pass.
    #[must_use]
    pub fn region_of_interest(&self) -> Option<RegionOfInterest> {
        self.roi
    }

    /// What became of the zoom-in windows.
    #[must_use]
    pub fn windows(&self) -> WindowCounts {
        self.windows
    }

    /// What the user should know of this object's prompt, such as that it was moved.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Logits at the crop's shape, `[D, H, W]`; the mask is where they are positive.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is no room for them.
    pub fn logits(&self) -> Result<Array3<f32>, Error> {
        let shape = self.scan.crop.shape_dhw();
        segvol_base::memory::check_available::<f32>("the logits of the crop", shape.iter().product())?;
        let mut logits = Array3::zeros(shape);
        self.fill(logits.view_mut());
        Ok(logits)
    }

    /// Logits on the scan's own grid, i fastest, then j, k; NaN outside the crop.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is no room for a logit per voxel.
    pub fn logit_map(&self) -> Result<Vec<f32>, Error> {
        let voxels = self.scan.grid.voxels();
        segvol_base::memory::check_available::<f32>("the logits of the scan", voxels)?;
        let mut map = vec![f32::NAN; voxels];
        self.fill(in_crop(&self.scan, &mut map));
        Ok(map)
    }

    /// Writes the logits, both passes', into an array of the crop's shape.
    fn fill(&self, mut logits: ArrayViewMut3<'_, f32>) {
        logits.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(d, mut slice)| {
            let mut row = vec![0.0; slice.ncols()];
            for (h, mut out) in slice.rows_mut().into_iter().enumerate() {
                self.row(d, h, true, &mut row);
                out.iter_mut().zip(&row).for_each(|(out, &logit)| *out = logit);
            }
        });
    }

    /// The smallest and the largest voxel `(i, j, k)` of the mask, both inclusive; none if the mask is empty.
    #[must_use]
    pub fn bounding_box_ijk(&self) -> Option<([usize; 3], [usize; 3])> {
        let [depth, height, width] = self.scan.crop.shape_dhw();
        let of_slice = |d| {
            let mut row = vec![0.0; width];
            let of_row = |h| {
                self.row(d, h, true, &mut row);
                let first = row.iter().position(|&logit| logit > 0.0)?;
                let last = row.iter().rposition(|&logit| logit > 0.0)?;
                Some(Region { min_dhw: [d, h, first], max_dhw: [d, h, last] })
            };
            (0..height).filter_map(of_row).reduce(Region::and)
        };
        let found = (0..depth).into_par_iter().filter_map(of_slice).reduce_with(Region::and)?;
        let start = self.scan.crop.start_dhw;
        let [a, b] = [found.min_dhw, found.max_dhw].map(|dhw| {
            let ijk = self.scan.axes.to_ijk(std::array::from_fn(|axis| (dhw[axis] + start[axis]) as f64));
            ijk.map(|index| index as usize)
        });
        // A flipped axis has its ends the other way round.
        Some((std::array::from_fn(|axis| a[axis].min(b[axis])), std::array::from_fn(|axis| a[axis].max(b[axis]))))
    }

    /// Logits of one row of the crop.
    fn row(&self, d: usize, h: usize, zoomed_in: bool, row: &mut [f32]) {
        let [from_d, from_h, from_w] = &self.scan.tables;
        let source = self.zoom_out.slice(s![from_d[d], from_h[h], ..]);
        for (logit, &w) in row.iter_mut().zip(from_w) {
            *logit = source[w];
        }
        let Some(zoom_in) = self.zoom_in.as_ref().filter(|_| zoomed_in) else { return };
        let Region { min_dhw: min, max_dhw: max } = zoom_in.region;
        if (min[0]..=max[0]).contains(&d) && (min[1]..=max[1]).contains(&h) {
            let source = zoom_in.logits.slice(s![d - min[0], h - min[1], ..]);
            for (logit, &value) in row[min[2]..=max[2]].iter_mut().zip(source) {
                *logit = value;
            }
        }
    }

    /// Number of voxels in the mask after the zoom-out pass and at the end.
    #[must_use]
    pub fn voxels(&self) -> VoxelCounts {
        let [depth, height, width] = self.scan.crop.shape_dhw();
        let count = |zoomed_in: bool| -> u64 {
            let rows = (0..depth).into_par_iter().map(|d| {
                let mut row = vec![0.0; width];
                let mut positive = 0;
                for h in 0..height {
                    self.row(d, h, zoomed_in, &mut row);
                    positive += row.iter().filter(|&&logit| logit > 0.0).count() as u64;
                }
                positive
            });
            rows.sum()
        };
        let zoom_out = count(false);
        VoxelCounts { zoom_out, zoom_in: if self.zoom_in.is_some() { count(true) } else { zoom_out } }
    }

    /// The object's mask on the input's grid: 1 inside, 0 outside.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is no room for a byte per voxel.
    pub fn mask(&self) -> Result<Mask, Error> {
        label_map(&self.scan, std::slice::from_ref(self))
    }

    /// What the object's mask would be without the zoom-in pass: 1 inside, 0 outside, on the input's grid.
    ///
    /// # Errors
    ///
    /// As for [`Segmentation::mask`].
    pub fn zoom_out_mask(&self) -> Result<Mask, Error> {
        let labels = labels(&self.scan, std::slice::from_ref(self), false, |_| 1_u8)?;
        Ok(Mask::from_labels(labels, Arc::clone(&self.scan.grid))?)
    }
}

/// Voxels in a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VoxelCounts {
    /// After the zoom-out pass.
    pub zoom_out: u64,
    /// In the final mask.
    pub zoom_in: u64,
}

/// One label map of several segmentations of one scan: see [`crate::Study::label_map`].
pub(crate) fn label_map(scan: &Scan, segmentations: &[Segmentation]) -> Result<Mask, Error> {
    let labels = if segmentations.len() <= usize::from(u8::MAX) {
        Labels::from(labels(scan, segmentations, true, |index| (index + 1) as u8)?)
    } else {
        Labels::from(labels(scan, segmentations, true, |index| (index + 1) as u16)?)
    };
    Ok(Mask::from_labels(labels, Arc::clone(&scan.grid))?)
}

/// Labels in file order, of the logits after both passes or of the zoom-out pass alone.
fn labels<T>(
    scan: &Scan,
    segmentations: &[Segmentation],
    zoomed_in: bool,
    label: impl Fn(usize) -> T + Sync,
) -> Result<Vec<T>, Error>
where
    T: Copy + Default + Send + Sync,
{
    segvol_base::memory::check_available::<T>("the mask", scan.grid.voxels())?;
    let mut labels = vec![T::default(); scan.grid.voxels()];
    let [_, height, width] = scan.crop.shape_dhw();
    in_crop(scan, &mut labels).axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(d, mut slice)| {
        let (mut row, mut best) = (vec![0.0; width], vec![0.0; width]);
        for h in 0..height {
            // The first positive logit beats 0; a tie stays with the earlier object.
            best.fill(0.0);
            for (index, segmentation) in segmentations.iter().enumerate() {
                segmentation.row(d, h, zoomed_in, &mut row);
                for (w, (&logit, best)) in row.iter().zip(&mut best).enumerate() {
                    if logit > *best {
                        *best = logit;
                        slice[[h, w]] = label(index);
                    }
                }
            }
        }
    });
    Ok(labels)
}

/// The crop, `[D, H, W]`, within values in the file's order.
fn in_crop<'a, T>(scan: &Scan, file_order: &'a mut [T]) -> ArrayViewMut3<'a, T> {
    let ([d, h, w], [to_d, to_h, to_w]) = (scan.crop.start_dhw, scan.crop.end_dhw);
    scan.axes.oriented_mut(file_order).slice_move(s![d..to_d, h..to_h, w..to_w])
}
