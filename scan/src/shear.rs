//! Straightens a sheared scan, and finds its voxels again.
//!
//! With a tilted gantry, each slice is shifted against the one before it, so that the axis of the slices is not perpendicular to
//! them. The model was trained with rectangular voxels. Here each slice stays in its own plane, and is shifted back in it:
//!
//! ```text
//! p' = p + pq q + ps s + constant        p, q: the axes of a slice
//! q' =        q + qs s + constant        s:    the axis of the slices
//! s' =               s
//! ```
//!
//! This is the upper triangular factor of the affine's QR decomposition, without its diagonal: the spacing along `p'` is that of the
//! scan, and the spacings along `q'` and `s'` are the distances between rows and between the planes of the slices.

use ndarray::{Array3, ArrayView3, Axis, parallel::prelude::*};
use segvol_base::OutOfMemory;
use segvol_volume::nifti::MAX_VOXELS;
use segvol_volume::{AxisMap, Grid};

/// Axes whose cosine is at most this are perpendicular: 0.57 degrees.
///
/// Affines in float32 are off by 1e-7, and positions that were rounded to a tenth of a millimetre by 0.002 over 50 mm. A body of
/// 300 mm leans 3 mm then, which is no more than patients do, while every interpolation blurs the scan.
const PERPENDICULAR: f64 = 0.01;

/// A shear that moves no voxel by more than this share of a voxel is none.
const LEAST_SHIFT: f64 = 0.5;

/// The rectangular volume is not enlarged for what protrudes by less than this share of a voxel: rounding of float64.
const PROTRUDES: f64 = 1e-6;

/// A sheared scan is straightened into more voxels than there can be.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the scan's axes are {angle_degrees:.1} degrees from perpendicular: straightened, the scan would have more than {limit} voxels; expected a gantry tilt of up to 45 degrees: check the affine",
    limit = MAX_VOXELS
)]
pub struct TooSheared {
    /// The angle between the axis of the slices and their normal.
    pub angle_degrees: f64,
}

/// The map between the voxels of an oriented, sheared scan and those of the rectangular volume that the model sees in its place.
///
/// Both are indexed `(d, h, w)`. The rectangular volume contains every voxel of the scan; what is outside of the scan is air.
#[derive(Debug, Clone, PartialEq)]
pub struct Shear {
    scan_dhw: [usize; 3],
    straight_dhw: [usize; 3],
    /// Which of `(d, h, w)` are `p`, `q` and `s`.
    p: usize,
    q: usize,
    s: usize,
    /// Voxels of `p` for each voxel of `q` and of `s`, and voxels of `q` for each of `s`.
    pq: f64,
    ps: f64,
    qs: f64,
    /// Where voxel (0, 0, 0) of the scan is.
    start_p: f64,
    start_q: f64,
    spacing_mm: [f64; 3],
    angle_degrees: f64,
}

impl Shear {
    /// The shear of a scan on `grid` that is oriented by `axes`; `None` if its axes are perpendicular.
    ///
    /// The axis of the slices is the first of D, H and W whose other two axes are perpendicular to each other. A gantry leans
    /// backwards or forwards, so two axes qualify, and slices are acquired across the body: along D.
    ///
    /// # Errors
    /// [`TooSheared`] if the rectangular volume would have more voxels than a volume can have.
    pub fn of(grid: &Grid, axes: &AxisMap) -> Result<Option<Self>, TooSheared> {
        if grid.affine().shear() <= PERPENDICULAR {
            return Ok(None);
        }
        let rows = grid.affine().rows();
        let column = |axis: usize| {
            let sign = if axes.flipped()[axis] { -1.0 } else { 1.0 };
            rows.map(|row| sign * row[axes.file_axes()[axis]])
        };
        let columns = [column(0), column(1), column(2)];
        let cosine =
            |a: usize, b: usize| (dot(columns[a], columns[b]) / (length(columns[a]) * length(columns[b]))).abs();
        let in_plane = [cosine(1, 2), cosine(0, 2), cosine(0, 1)];
        let smallest = in_plane.into_iter().fold(f64::INFINITY, f64::min);
        let s = in_plane.iter().position(|&cosine| cosine <= smallest.max(PERPENDICULAR)).unwrap_or_default();
        // W is always in the slice or is its axis, and rows of W are read fastest.
        let (p, q) = [(2, 1), (2, 0), (1, 0)][s];

        let (along_p, along_s) = (columns[p], columns[s]);
        let pq = dot(columns[q], along_p) / dot(along_p, along_p);
        let along_q = minus(columns[q], along_p, pq);
        let ps = dot(along_s, along_p) / dot(along_p, along_p);
        let qs = dot(along_s, along_q) / dot(along_q, along_q);
        let normal = minus(minus(along_s, along_p, ps), along_q, qs);
        let lean = (length(normal) / length(along_s)).clamp(0.0, 1.0).acos();
        let angle_degrees = lean.max(in_plane[s].min(1.0).asin()).to_degrees();

        let scan_dhw = axes.shape_dhw();
        let last = scan_dhw.map(|n| n as f64 - 1.0);
        let [low_q, high_q] = [(qs * last[s]).min(0.0), (qs * last[s]).max(0.0)];
        let [from_q, from_s] = [pq * last[q], ps * last[s]];
        let [low_p, high_p] = [from_q.min(0.0) + from_s.min(0.0), from_q.max(0.0) + from_s.max(0.0)];
        if (high_p - low_p).max(high_q - low_q) <= LEAST_SHIFT {
            return Ok(None);
        }
        let start = |low: f64| -(low + PROTRUDES).floor();
        let end = |high: f64, axis: usize| (high + last[axis] - PROTRUDES).ceil().max(last[axis]);
        let (start_p, start_q) = (start(low_p), start(low_q));
        let sizes = [end(high_p, p) + start_p + 1.0, end(high_q, q) + start_q + 1.0];
        if sizes[0] * sizes[1] * scan_dhw[s] as f64 > MAX_VOXELS as f64 {
            return Err(TooSheared { angle_degrees });
        }
        let mut straight_dhw = scan_dhw;
        (straight_dhw[p], straight_dhw[q]) = (sizes[0] as usize, sizes[1] as usize);
        let mut spacing_mm = [0.0; 3];
        (spacing_mm[p], spacing_mm[q], spacing_mm[s]) = (length(along_p), length(along_q), length(normal));
        Ok(Some(Self { scan_dhw, straight_dhw, p, q, s, pq, ps, qs, start_p, start_q, spacing_mm, angle_degrees }))
    }

    /// Voxels per axis of the rectangular volume, `(d, h, w)`.
    #[must_use]
    pub fn shape_dhw(&self) -> [usize; 3] {
        self.straight_dhw
    }

    /// Millimetres between voxels of the rectangular volume, `(d, h, w)`.
    #[must_use]
    pub fn spacing_mm(&self) -> [f64; 3] {
        self.spacing_mm
    }

    /// The angle between the axis of the slices and their normal, or between the axes of a slice and perpendicular ones if that is
    /// larger, in degrees.
    #[must_use]
    pub fn angle_degrees(&self) -> f64 {
        self.angle_degrees
    }

    /// The place in the rectangular volume of a place in the oriented scan, both in voxels, fractions allowed.
    #[must_use]
    pub fn to_straight(&self, at_dhw: [f64; 3]) -> [f64; 3] {
        let [p, q, s] = [at_dhw[self.p], at_dhw[self.q], at_dhw[self.s]];
        let mut straight = at_dhw;
        straight[self.p] = p + self.pq * q + self.ps * s + self.start_p;
        straight[self.q] = q + self.qs * s + self.start_q;
        straight
    }

    /// The place in the oriented scan of a place in the rectangular volume: the inverse of [`to_straight`](Self::to_straight).
    #[must_use]
    pub fn to_scan(&self, straight_dhw: [f64; 3]) -> [f64; 3] {
        let s = straight_dhw[self.s];
        let q = straight_dhw[self.q] - self.start_q - self.qs * s;
        let mut scan = straight_dhw;
        scan[self.q] = q;
        scan[self.p] = straight_dhw[self.p] - self.start_p - self.pq * q - self.ps * s;
        scan
    }

    /// The rectangular volume of an oriented scan, `[D, H, W]`, interpolated linearly in the plane of each slice. Beyond the scan is
    /// `outside`.
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is not enough memory for the rectangular volume.
    ///
    /// # Panics
    /// If the array does not have the scan's shape.
    pub fn straighten(&self, scan: ArrayView3<'_, f32>, outside: f32) -> Result<Array3<f32>, OutOfMemory> {
        assert_eq!(scan.shape(), self.scan_dhw, "shape of the oriented scan");
        segvol_base::memory::check_available::<f32>("the straightened scan", self.straight_dhw.iter().product())?;
        let mut straight = Array3::zeros(self.straight_dhw);
        straight.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(d, mut slice)| {
            for ((h, w), voxel) in slice.indexed_iter_mut() {
                let at = self.to_scan([d, h, w].map(|index| index as f64));
                let neighbour = |[d, h, w]: [isize; 3]| {
                    let [d, h, w] = [d, h, w].map(|index| usize::try_from(index).unwrap_or(usize::MAX));
                    scan.get([d, h, w]).copied().unwrap_or(outside)
                };
                *voxel = self.between(at, neighbour);
            }
        });
        Ok(straight)
    }

    /// What a voxel of the oriented scan has in a part of the rectangular volume, `start_dhw` to `end_dhw` (excluded), between whose
    /// voxels is interpolated as in [`straighten`](Self::straighten). `None` if it is more than half a voxel outside of the part.
    ///
    /// `value` gives the value of a voxel, counted from the part's own start.
    #[must_use]
    pub fn sample(
        &self,
        voxel_dhw: [usize; 3],
        start_dhw: [usize; 3],
        end_dhw: [usize; 3],
        value: impl Fn([usize; 3]) -> f32,
    ) -> Option<f32> {
        let mut at = self.to_straight(voxel_dhw.map(|index| index as f64));
        for axis in 0..3 {
            let last = (end_dhw[axis] - start_dhw[axis]) as f64 - 1.0;
            at[axis] -= start_dhw[axis] as f64;
            if !(-0.5..=last + 0.5).contains(&at[axis]) {
                return None;
            }
            at[axis] = at[axis].clamp(0.0, last);
        }
        let last = [0, 1, 2].map(|axis| end_dhw[axis] - start_dhw[axis] - 1);
        Some(self.between(at, |voxel| value([0, 1, 2].map(|axis| (voxel[axis] as usize).min(last[axis])))))
    }

    /// The rows of the rectangular volume, `(d, h)` from the smallest to the largest, between which a row of the oriented scan is.
    #[must_use]
    pub fn rows_around(&self, [d, h]: [usize; 2]) -> [[usize; 2]; 2] {
        let ends = [0, self.scan_dhw[2] - 1].map(|w| self.to_straight([d, h, w].map(|index| index as f64)));
        let index = |place: f64, axis: usize| place.clamp(0.0, self.straight_dhw[axis] as f64 - 1.0) as usize;
        let low = [0, 1].map(|axis| index(ends[0][axis].min(ends[1][axis]).floor(), axis));
        let high = [0, 1].map(|axis| index(ends[0][axis].max(ends[1][axis]).ceil(), axis));
        [low, high]
    }

    /// Interpolates between the four neighbours of a place in the plane of a slice. Neighbours without weight are not asked.
    #[allow(clippy::cast_possible_truncation)] // Indices of a volume in memory, and float32 values.
    fn between(&self, at: [f64; 3], value: impl Fn([isize; 3]) -> f32) -> f32 {
        let (p, q) = (at[self.p].floor(), at[self.q].floor());
        let (along_p, along_q) = (at[self.p] - p, at[self.q] - q);
        let mut sum = 0.0;
        for (step_q, weight_q) in [(0, 1.0 - along_q), (1, along_q)] {
            for (step_p, weight_p) in [(0, 1.0 - along_p), (1, along_p)] {
                let weight = weight_p * weight_q;
                if weight > 0.0 {
                    let mut voxel = at.map(|place| place as isize);
                    (voxel[self.p], voxel[self.q]) = (p as isize + step_p, q as isize + step_q);
                    sum += weight * f64::from(value(voxel));
                }
            }
        }
        sum as f32
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|row| a[row] * b[row]).sum()
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

/// `a - factor b`.
fn minus(a: [f64; 3], b: [f64; 3], factor: f64) -> [f64; 3] {
    std::array::from_fn(|row| a[row] - factor * b[row])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use segvol_base::Orientation;
    use segvol_volume::Affine;

    use super::*;

    /// A gantry that leans by an angle about the patient's x axis: rows of 0.5 mm, slices 5 mm apart along the table.
    fn tilted(degrees: f64, shape: [usize; 3]) -> Grid {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let rows = [[0.5, 0.0, 0.0, -8.0], [0.0, 0.5 * cos, 0.0, -9.0], [0.0, 0.5 * sin, 5.0, 30.0]];
        Grid::new(shape, Affine::new(rows)).expect("a grid")
    }

    fn shear(grid: &Grid, axes: &AxisMap) -> Shear {
        Shear::of(grid, axes).expect("small").expect("sheared")
    }

    /// Where a voxel of the rectangular volume is in the patient.
    fn place(grid: &Grid, axes: &AxisMap, shear: &Shear, at: [f64; 3]) -> [f64; 3] {
        grid.affine().apply(axes.to_ijk(shear.to_scan(at)))
    }

    #[test]
    fn a_tilted_gantry_shifts_rows_and_keeps_slices() {
        let grid = tilted(20.0, [33, 34, 12]);
        let axes = AxisMap::new(&grid, Orientation::Ras);
        let shear = shear(&grid, &axes);
        assert!((shear.angle_degrees() - 20.0).abs() < 1e-9);
        let [d, h, w] = shear.spacing_mm();
        // The distance between the planes, not along the table.
        assert!((d - 5.0 * 20.0_f64.to_radians().cos()).abs() < 1e-12 && (h - 0.5).abs() < 1e-12 && w == 0.5);
        // The table moves 5 mm, of which 5 sin 20 are along a column of the picture: 3.42 rows.
        let step = shear.to_straight([1.0, 0.0, 0.0]);
        let start = shear.to_straight([0.0; 3]);
        assert!((step[1] - start[1] - 10.0 * 20.0_f64.to_radians().sin()).abs() < 1e-12, "{step:?} {start:?}");
        assert_eq!((step[0] - start[0], step[2] - start[2]), (1.0, 0.0));
        assert_eq!(shear.shape_dhw(), [12, 34 + 38, 33]);
    }

    #[test]
    fn rounding_is_no_shear() {
        for degrees in [0.0, 0.3, -0.5] {
            let grid = tilted(degrees, [30, 30, 30]);
            assert_eq!(Shear::of(&grid, &AxisMap::new(&grid, Orientation::Ras)), Ok(None), "{degrees}");
        }
        let grid = tilted(20.0, [30, 30, 1]);
        assert_eq!(Shear::of(&grid, &AxisMap::new(&grid, Orientation::Ras)), Ok(None), "one slice");
    }

    #[test]
    fn what_no_gantry_does_is_an_error() {
        let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1e5, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let grid = Grid::new([1000, 10, 1000], Affine::new(rows)).expect("a grid");
        let error = Shear::of(&grid, &AxisMap::new(&grid, Orientation::Ras)).expect_err("too large");
        assert!(error.to_string().contains("90.0 degrees"), "{error}");
    }

    #[test]
    fn beyond_the_scan_is_air_and_nothing_of_the_scan_is_lost() {
        let grid = tilted(-22.0, [7, 9, 8]);
        let axes = AxisMap::new(&grid, Orientation::Ras);
        let shear = shear(&grid, &axes);
        let scan = Array3::from_elem(axes.shape_dhw(), 1.0);
        let straight = shear.straighten(scan.view(), 0.0).expect("memory");
        for slice in straight.outer_iter() {
            assert!((slice.sum() - 63.0).abs() < 1e-3, "{}", slice.sum());
        }
        assert!(
            straight.iter().any(|&value| value == 0.0) && straight.iter().all(|&value| (0.0..=1.0).contains(&value))
        );
    }

    fn any_grid(rows: [[f64; 3]; 3], shape: [usize; 3]) -> Option<(Grid, AxisMap, Shear)> {
        let affine = Affine::new([0, 1, 2].map(|row| [rows[row][0], rows[row][1], rows[row][2], 7.0 * row as f64]));
        if affine.determinant().abs() < 0.2 * affine.spacing_mm().iter().product::<f64>() {
            return None;
        }
        let grid = Grid::new(shape, affine).ok()?;
        let axes = AxisMap::new(&grid, Orientation::Ras);
        let shear = Shear::of(&grid, &axes).ok()??;
        Some((grid, axes, shear))
    }

    proptest! {
        #[test]
        fn the_maps_undo_each_other_and_every_voxel_has_a_place(
            rows in prop::array::uniform3(prop::array::uniform3(-3.0_f64..3.0)),
            shape in prop::array::uniform3(1_usize..30),
            at in prop::array::uniform3(-5.0_f64..40.0),
        ) {
            let Some((_, axes, shear)) = any_grid(rows, shape) else { return Ok(()) };
            let back = shear.to_scan(shear.to_straight(at));
            prop_assert!((0..3).all(|axis| (back[axis] - at[axis]).abs() < 1e-9), "{back:?} {at:?}");
            let last = axes.shape_dhw().map(|n| n as f64 - 1.0);
            for corner in segvol_volume::grid::corners([0.0; 3], last) {
                let straight = shear.to_straight(corner);
                let inside = |axis: usize| {
                    (-0.01..=shear.shape_dhw()[axis] as f64 - 0.99).contains(&straight[axis])
                };
                prop_assert!((0..3).all(inside), "{straight:?} {:?}", shear.shape_dhw());
            }
        }

        #[test]
        fn the_straight_volume_is_rectangular(
            rows in prop::array::uniform3(prop::array::uniform3(-3.0_f64..3.0)),
            shape in prop::array::uniform3(2_usize..30),
        ) {
            let Some((grid, axes, shear)) = any_grid(rows, shape) else { return Ok(()) };
            let origin = place(&grid, &axes, &shear, [0.0; 3]);
            let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
                .map(|step| minus(place(&grid, &axes, &shear, step), origin, 1.0));
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                let cosine = dot(columns[a], columns[b]) / (length(columns[a]) * length(columns[b]));
                prop_assert!(cosine.abs() < 1e-9, "axes {a} and {b}: {cosine}");
            }
            for (column, spacing_mm) in columns.into_iter().zip(shear.spacing_mm()) {
                prop_assert!((length(column) - spacing_mm).abs() < 1e-9);
            }
        }

        /// What is linear in the patient is so in the rectangular volume, at the same places, and is back in every voxel.
        #[test]
        fn linear_functions_are_reproduced(
            rows in prop::array::uniform3(prop::array::uniform3(-3.0_f64..3.0)),
            shape in prop::array::uniform3(2_usize..12),
            slope in prop::array::uniform3(-10.0_f64..10.0),
        ) {
            let Some((grid, axes, shear)) = any_grid(rows, shape) else { return Ok(()) };
            let there = |at_mm: [f64; 3]| dot(slope, at_mm);
            let oriented = |dhw: [usize; 3]| there(grid.affine().apply(axes.to_ijk(dhw.map(|n| n as f64)))) as f32;
            let scan = Array3::from_shape_fn(axes.shape_dhw(), |(d, h, w)| oriented([d, h, w]));
            let largest = scan.iter().fold(1.0_f32, |most, value| most.max(value.abs()));
            let straight = shear.straighten(scan.view(), f32::NAN).expect("memory");
            for ((d, h, w), &found) in straight.indexed_iter().filter(|(_, value)| !value.is_nan()) {
                let expected = there(place(&grid, &axes, &shear, [d, h, w].map(|n| n as f64)));
                prop_assert!((f64::from(found) - expected).abs() < 1e-5 * f64::from(largest), "{found} {expected}");
            }
            let whole = shear.shape_dhw();
            let known = |dhw: [usize; 3]| there(place(&grid, &axes, &shear, dhw.map(|n| n as f64))) as f32;
            for ((d, h, w), &expected) in scan.indexed_iter() {
                let found = shear.sample([d, h, w], [0; 3], whole, known).expect("inside");
                prop_assert!((found - expected).abs() < 1e-5 * largest + 1e-3, "{found} {expected}");
                let [low, high] = shear.rows_around([d, h]);
                let at = shear.to_straight([d, h, w].map(|n| n as f64));
                let around = |axis: usize| (low[axis] as f64 - 0.01..=high[axis] as f64 + 0.01).contains(&at[axis]);
                prop_assert!(around(0) && around(1), "{low:?} {high:?} {at:?}");
            }
        }
    }
}
