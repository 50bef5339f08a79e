//! The segmentation of one object in one scan: its logits, its mask, its window counts and warnings.

use std::sync::Arc;

use ndarray::{Array2, Array3, ArrayViewMut3, Axis, parallel::prelude::*, s};
use serde::{Deserialize, Serialize};

use segvol_base::Warning;
use segvol_volume::Mask;
use segvol_volume::mask::Labels;

use super::zoom_out::RegionOfInterest;
use crate::error::Error;
use segvol_scan::Scan;
use segvol_scan::crop::Crop;
use segvol_scan::shear::Shear;
use segvol_windows::{Region, Threshold, count};

/// The segmentation of one object.
///
/// It keeps the logits of both passes: those of the zoom-out window, which shows the whole crop, and those of the region of
/// interest at full resolution, which replace them there.
#[derive(Debug, Clone)]
pub struct Segmentation {
    pub(crate) name: String,
    pub(crate) scan: Arc<Scan>,
    /// Shared with clones: a follower may keep the coarse segmentation.
    pub(crate) zoom_out: Arc<Array3<f32>>,
    pub(crate) roi: Option<RegionOfInterest>,
    pub(crate) zoom_in: Option<ZoomedIn>,
    /// Where the masks are cut.
    pub(crate) threshold: Threshold,
    pub(crate) windows: WindowCounts,
    pub(crate) warnings: Vec<Warning>,
}

/// The region of the zoom-in pass, with its logits, `[D, H, W]` of the region.
#[derive(Debug, Clone)]
pub(crate) struct ZoomedIn {
    pub(crate) region: Region,
    pub(crate) logits: Array3<f32>,
    /// Number of voxels inside the mask. Warnings and reports ask for it several times.
    inside: u64,
}

impl ZoomedIn {
    pub(crate) fn new(region: Region, logits: Array3<f32>, threshold: Threshold) -> Self {
        let inside = logits.par_iter().filter(|&&logit| threshold.is_inside(logit)).count() as u64;
        Self { region, logits, inside }
    }
}

/// Number of windows of an object in the zoom-in pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowCounts {
    /// Windows over the region of interest; 0 without a zoom-in pass.
    pub total: usize,
    /// Those of them that were not decoded and keep their zoom-out logits.
    pub skipped: usize,
}

impl Segmentation {
    /// The object's name, from its prompt.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Logits of the zoom-out pass, `[D, H, W]` of the model's window. Those above the threshold, 0 by default, are inside the mask.
    #[must_use]
    pub fn zoom_out_logits(&self) -> &Array3<f32> {
        &self.zoom_out
    }

    /// The region of the zoom-in pass; `None` if the pass was off, or no logit of the zoom-out pass was positive.
    #[must_use]
    pub fn region_of_interest(&self) -> Option<RegionOfInterest> {
        self.roi
    }

    /// Number of windows of the zoom-in pass.
    #[must_use]
    pub fn windows(&self) -> WindowCounts {
        self.windows
    }

    /// Warnings about the object's prompt, for example that a point was moved.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Logits of the crop, `[D, H, W]`. Those above the threshold, 0 by default, are inside the mask.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory for the logits.
    pub fn logits(&self) -> Result<Array3<f32>, Error> {
        let shape = self.scan.crop.shape_dhw();
        segvol_base::memory::check_available::<f32>("the logits of the crop", shape.iter().product())?;
        let mut logits = Array3::zeros(shape);
        fill(logits.view_mut(), |d, h, row| self.row(d, h, true, row));
        Ok(logits)
    }

    /// Logits with the shape of the scan's file, one per voxel, i fastest, then j, k. They are NaN outside the crop. If the scan was
    /// straightened, they are interpolated linearly in the plane of each slice.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory for one logit per voxel.
    pub fn logit_map(&self) -> Result<Vec<f32>, Error> {
        let voxels = self.scan.grid.voxels();
        segvol_base::memory::check_available::<f32>("the logits of the scan", voxels)?;
        let mut map = vec![f32::NAN; voxels];
        fill(in_frame(&self.scan, &mut map), |d, h, row| self.frame_row(d, h, true, row));
        Ok(map)
    }

    /// Probabilities with the shape of the scan's file, one per voxel, i fastest, then j, k: the logistic function of
    /// [`Segmentation::logit_map`]. They are 0 outside the crop, which is background. The mask is where the probability is above
    /// the [threshold](crate::StudyOptions::threshold), one half by default. Logits decide: a probability that is nearly the
    /// threshold may be rounded to it.
    ///
    /// # Errors
    ///
    /// As for [`Segmentation::logit_map`].
    pub fn probability_map(&self) -> Result<Vec<f32>, Error> {
        let mut map = self.logit_map()?;
        let of = |logit: f32| if logit.is_nan() { 0.0 } else { 1.0 / (1.0 + (-logit).exp()) };
        map.par_iter_mut().for_each(|value| *value = of(*value));
        Ok(map)
    }

    /// Bounding box of the mask in voxels of the file: the smallest and the largest `(i, j, k)`, both inclusive. `None` if the
    /// mask is empty.
    #[must_use]
    pub fn bounding_box_ijk(&self) -> Option<([usize; 3], [usize; 3])> {
        let [depth, height, width] = frame_shape(&self.scan);
        let occupied = self.occupied_rows();
        let of_slice = |d| {
            let mut row = vec![0.0; width];
            let of_row = |h| {
                if !self.may_occupy([d, h], &occupied, true) {
                    return None;
                }
                self.frame_row(d, h, true, &mut row);
                let first = row.iter().position(|&logit| self.threshold.is_inside(logit))?;
                let last = row.iter().rposition(|&logit| self.threshold.is_inside(logit))?;
                Some(Region { min_dhw: [d, h, first], max_dhw: [d, h, last] })
            };
            (0..height).filter_map(of_row).reduce(Region::and)
        };
        let found = (0..depth).into_par_iter().filter_map(of_slice).reduce_with(Region::and)?;
        let [start, _] = self.scan.frame_dhw();
        let [a, b] = [found.min_dhw, found.max_dhw].map(|dhw| {
            let ijk = self.scan.axes.to_ijk(std::array::from_fn(|axis| (dhw[axis] + start[axis]) as f64));
            ijk.map(|index| index as usize)
        });
        // A flipped axis swaps the two ends.
        Some((std::array::from_fn(|axis| a[axis].min(b[axis])), std::array::from_fn(|axis| a[axis].max(b[axis]))))
    }

    /// Writes the logits of one row of the crop into `row`, after both passes if `zoomed_in`, else after the zoom-out pass.
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

    /// As [`Segmentation::row`], for a row of the [frame](Scan::frame_dhw); NaN where the model saw nothing.
    fn frame_row(&self, d: usize, h: usize, zoomed_in: bool, row: &mut [f32]) {
        let Some(shear) = &self.scan.shear else { return self.row(d, h, zoomed_in, row) };
        for (w, logit) in row.iter_mut().enumerate() {
            *logit = self.between(shear, [d, h, w], zoomed_in).unwrap_or(f32::NAN);
        }
    }

    /// The logit of a voxel of the oriented scan, between those of the straightened one; `None` outside the crop.
    fn between(&self, shear: &Shear, voxel_dhw: [usize; 3], zoomed_in: bool) -> Option<f32> {
        let Crop { start_dhw, end_dhw, .. } = self.scan.crop;
        shear.sample(voxel_dhw, start_dhw, end_dhw, |voxel| self.logit_in_crop(voxel, zoomed_in))
    }

    /// The rows of the zoom-out window, `[D, H]`, that have a voxel inside the mask.
    fn occupied_rows(&self) -> Array2<bool> {
        self.zoom_out.map_axis(Axis(2), |row| row.iter().any(|&logit| self.threshold.is_inside(logit)))
    }

    /// Whether a row of the [frame](Scan::frame_dhw) can have a voxel inside the mask.
    fn may_occupy(&self, row: [usize; 2], occupied: &Array2<bool>, zoomed_in: bool) -> bool {
        let Scan { shear: Some(shear), crop, .. } = &*self.scan else {
            return self.may_occupy_in_crop(row, occupied, zoomed_in);
        };
        let [low, high] = shear.rows_around(row);
        let part = |axis: usize| {
            let (start, end) = (crop.start_dhw[axis], crop.end_dhw[axis]);
            low[axis].max(start) - start..(high[axis] + 1).min(end).max(start) - start
        };
        part(0).any(|d| part(1).any(|h| self.may_occupy_in_crop([d, h], occupied, zoomed_in)))
    }

    /// As [`Segmentation::may_occupy`], for a row of the crop.
    fn may_occupy_in_crop(&self, [d, h]: [usize; 2], occupied: &Array2<bool>, zoomed_in: bool) -> bool {
        let [from_d, from_h, _] = &self.scan.tables;
        let looked_at =
            |ZoomedIn { region, .. }: &ZoomedIn| region.range(0).contains(&d) && region.range(1).contains(&h);
        occupied[[from_d[d], from_h[h]]] || (zoomed_in && self.zoom_in.as_ref().is_some_and(looked_at))
    }

    /// Number of voxels in the mask after the zoom-out pass and after both passes.
    #[must_use]
    pub fn voxels(&self) -> VoxelCounts {
        if self.scan.shear.is_some() {
            let occupied = self.occupied_rows();
            let [zoom_out, zoom_in] = [false, true].map(|zoomed_in| self.count_rows(&occupied, zoomed_in));
            return VoxelCounts { zoom_out, zoom_in };
        }
        let tables = &self.scan.tables;
        let inside = |voxel| self.threshold.is_inside(self.zoom_out[voxel]);
        let zoom_out = count(tables, self.scan.crop.shape_dhw().map(|n| 0..n), inside);
        let zoom_in = self.zoom_in.as_ref().map_or(zoom_out, |zoom_in| {
            let replaced = count(tables, [0, 1, 2].map(|axis| zoom_in.region.range(axis)), inside);
            zoom_out - replaced + zoom_in.inside
        });
        VoxelCounts { zoom_out, zoom_in }
    }

    /// Number of voxels of the [frame](Scan::frame_dhw) in the mask, row by row.
    fn count_rows(&self, occupied: &Array2<bool>, zoomed_in: bool) -> u64 {
        let [depth, height, width] = frame_shape(&self.scan);
        let of_slice = |d: usize| {
            let mut row = vec![0.0; width];
            let mut count = 0;
            for h in (0..height).filter(|&h| self.may_occupy([d, h], occupied, zoomed_in)) {
                self.frame_row(d, h, zoomed_in, &mut row);
                count += row.iter().filter(|&&logit| self.threshold.is_inside(logit)).count() as u64;
            }
            count
        };
        (0..depth).into_par_iter().map(of_slice).sum()
    }

    /// The share of the mask, in [0, 1], in the region of the last pass, and what this region is.
    pub(crate) fn filled(&self) -> (f64, &'static str) {
        let share = |inside: u64, shape: [usize; 3]| inside as f64 / shape.iter().product::<usize>() as f64;
        match &self.zoom_in {
            Some(zoom_in) => {
                (share(zoom_in.inside, zoom_in.region.shape_dhw()), "the region that was looked at in full resolution")
            }
            None => (share(self.voxels().zoom_out, self.scan.crop.shape_dhw()), "the body's bounding box"),
        }
    }

    /// Whether a voxel of the oriented scan is in the mask after both passes.
    pub(crate) fn contains(&self, voxel_dhw: [usize; 3]) -> bool {
        self.logit_at(voxel_dhw).is_some_and(|logit| self.threshold.is_inside(logit))
    }

    /// The logit after both passes of a voxel of the oriented scan; `None` outside the crop.
    fn logit_at(&self, voxel_dhw: [usize; 3]) -> Option<f32> {
        let Scan { crop, shear, .. } = &*self.scan;
        if let Some(shear) = shear {
            return self.between(shear, voxel_dhw, true);
        }
        let inside = crop.contains(voxel_dhw);
        inside.then(|| self.logit_in_crop([0, 1, 2].map(|axis| voxel_dhw[axis] - crop.start_dhw[axis]), true))
    }

    /// The logit of a voxel of the crop, after both passes if `zoomed_in`, else after the zoom-out pass.
    fn logit_in_crop(&self, voxel: [usize; 3], zoomed_in: bool) -> f32 {
        if let Some(ZoomedIn { region, logits, .. }) = self.zoom_in.as_ref().filter(|_| zoomed_in)
            && (0..3).all(|axis| region.range(axis).contains(&voxel[axis]))
        {
            return logits[[0, 1, 2].map(|axis| voxel[axis] - region.min_dhw[axis])];
        }
        self.zoom_out[[0, 1, 2].map(|axis| self.scan.tables[axis][voxel[axis]])]
    }

    /// The object's mask with the shape and affine of the scan's file: 1 inside, 0 outside.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if there is not enough memory for one byte per voxel.
    pub fn mask(&self) -> Result<Mask, Error> {
        label_map(&self.scan, std::slice::from_ref(self))
    }

    /// The object's mask after the zoom-out pass alone, with the shape and affine of the scan's file: 1 inside, 0 outside.
    ///
    /// # Errors
    ///
    /// As for [`Segmentation::mask`].
    pub fn zoom_out_mask(&self) -> Result<Mask, Error> {
        let labels = labels(&self.scan, std::slice::from_ref(self), false, |_| 1_u8)?;
        Ok(Mask::from_labels(labels, Arc::clone(&self.scan.grid))?)
    }
}

/// Number of voxels in a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct VoxelCounts {
    /// After the zoom-out pass.
    pub zoom_out: u64,
    /// After both passes; equal to `zoom_out` if there was no zoom-in pass.
    pub zoom_in: u64,
}

/// The label map of several segmentations of one scan: see [`crate::Study::label_map`].
pub(crate) fn label_map(scan: &Scan, segmentations: &[Segmentation]) -> Result<Mask, Error> {
    let labels = if segmentations.len() <= usize::from(u8::MAX) {
        Labels::from(labels(scan, segmentations, true, |index| (index + 1) as u8)?)
    } else {
        Labels::from(labels(scan, segmentations, true, |index| (index + 1) as u16)?)
    };
    Ok(Mask::from_labels(labels, Arc::clone(&scan.grid))?)
}

/// Number of voxels that carry each object's label: see [`crate::Study::label_counts`].
pub(crate) fn label_counts(scan: &Scan, segmentations: &[Segmentation]) -> Vec<u64> {
    if let [alone] = segmentations {
        return vec![alone.voxels().zoom_in];
    }
    let [depth, height, width] = frame_shape(scan);
    let none = || vec![0_u64; segmentations.len()];
    let occupied = occupied(segmentations);
    let of_slice = |d: usize| {
        let mut counts = none();
        let mut rows = Rows::new(width, &occupied);
        for h in 0..height {
            let winners = rows.winners(segmentations, [d, h], true);
            winners.iter().flatten().for_each(|&index| counts[index as usize] += 1);
        }
        counts
    };
    let add = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    (0..depth).into_par_iter().map(of_slice).reduce(none, add)
}

/// For every object, its occupied rows. Most rows of a scan have none, so masks of large scans take little time.
fn occupied(segmentations: &[Segmentation]) -> Vec<Array2<bool>> {
    segmentations.par_iter().map(Segmentation::occupied_rows).collect()
}

/// Buffers for the objects of one row of the [frame](Scan::frame_dhw).
struct Rows<'a> {
    occupied: &'a [Array2<bool>],
    logits: Vec<f32>,
    best: Vec<f32>,
    winners: Vec<Option<u32>>,
}

impl<'a> Rows<'a> {
    fn new(width: usize, occupied: &'a [Array2<bool>]) -> Self {
        Self { occupied, logits: vec![0.0; width], best: vec![0.0; width], winners: vec![None; width] }
    }

    /// The object with the highest logit in each voxel of a row, by its index, among those whose masks contain it; `None` where there
    /// is none. Empty if no object can be in the row. Of equal logits, the earlier object's wins.
    fn winners(&mut self, segmentations: &[Segmentation], [d, h]: [usize; 2], zoomed_in: bool) -> &[Option<u32>] {
        let occupied = self.occupied;
        let here = |index: usize| segmentations[index].may_occupy([d, h], &occupied[index], zoomed_in);
        if !(0..segmentations.len()).any(here) {
            return &[];
        }
        self.best.fill(f32::NEG_INFINITY);
        self.winners.fill(None);
        for (index, segmentation) in segmentations.iter().enumerate().filter(|&(index, _)| here(index)) {
            let index = index as u32;
            segmentation.frame_row(d, h, zoomed_in, &mut self.logits);
            for ((&logit, best), winner) in self.logits.iter().zip(&mut self.best).zip(&mut self.winners) {
                if segmentation.threshold.is_inside(logit) && logit > *best {
                    (*best, *winner) = (logit, Some(index));
                }
            }
        }
        &self.winners
    }
}

/// Labels in file order, from the logits after both passes if `zoomed_in`, else after the zoom-out pass.
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
    let [_, height, width] = frame_shape(scan);
    let occupied = occupied(segmentations);
    in_frame(scan, &mut labels).axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(d, mut slice)| {
        let mut rows = Rows::new(width, &occupied);
        for h in 0..height {
            for (w, winner) in rows.winners(segmentations, [d, h], zoomed_in).iter().enumerate() {
                if let Some(index) = *winner {
                    slice[[h, w]] = label(index as usize);
                }
            }
        }
    });
    Ok(labels)
}

/// Writes logits row by row: `row` gets `d`, `h` and the row.
fn fill(mut logits: ArrayViewMut3<'_, f32>, row: impl Fn(usize, usize, &mut [f32]) + Sync) {
    logits.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(d, mut slice)| {
        let mut logits = vec![0.0; slice.ncols()];
        for (h, mut out) in slice.rows_mut().into_iter().enumerate() {
            row(d, h, &mut logits);
            out.iter_mut().zip(&logits).for_each(|(out, &logit)| *out = logit);
        }
    });
}

/// Voxels per axis of the [frame](Scan::frame_dhw).
fn frame_shape(scan: &Scan) -> [usize; 3] {
    let [start, end] = scan.frame_dhw();
    [0, 1, 2].map(|axis| end[axis] - start[axis])
}

/// A view of the [frame](Scan::frame_dhw), `[D, H, W]`, in values that are in the file's order.
fn in_frame<'a, T>(scan: &Scan, file_order: &'a mut [T]) -> ArrayViewMut3<'a, T> {
    let [[d, h, w], [to_d, to_h, to_w]] = scan.frame_dhw();
    scan.axes.oriented_mut(file_order).slice_move(s![d..to_d, h..to_h, w..to_w])
}
