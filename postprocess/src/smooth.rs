//! Smoothing: a Gaussian in millimetres, and the half of it.

use ndarray::{Array3, ArrayViewMut1, Axis, Zip};
use segvol_base::OutOfMemory;
use segvol_base::memory::check_available;

use crate::part::Part;

/// The Gaussian ends after this many standard deviations, as in SciPy.
const TRUNCATE: f64 = 4.0;

/// Smooths a mask: a voxel is inside if the Gaussian of the mask is above one half there.
///
/// | value        | shape     | unit                                         |
/// |--------------|-----------|----------------------------------------------|
/// | `spacing_mm` | `[3]`     | millimetres between neighbours along i, j, k |
/// | `mm`         | scalar    | standard deviation, millimetres              |
///
/// Along each axis the standard deviation is `mm / spacing` voxels, so that it is a ball in the patient. A flat surface stays where it
/// is; one with a radius of `r` millimetres moves towards its middle by about `mm * mm / r`. Plates thinner than 1.35 `mm` and balls
/// whose diameter is less than 3.1 `mm` vanish, and so do gaps and holes of this size.
/// Beyond the border of the scan, the mask goes on as it is at the border: an organ that the scan cuts off is not rounded there.
///
/// An opening or a closing with a ball would only take away or only add. The Gaussian does both alike, so volumes hardly change.
///
/// The library that finds components (`ndarray-ndimage`) has this filter with one width for all axes, and panics where an axis is
/// shorter than the Gaussian. So it is written here, with SciPy's sums in SciPy's order: float32 between the axes, float64 within.
pub(crate) fn smooth(part: &Part, spacing_mm: [f64; 3], mm: f64) -> Result<Part, OutOfMemory> {
    let kernels = spacing_mm.map(|spacing| Kernel::new(mm / spacing));
    let mut grown = part.grown([0, 1, 2].map(|axis| kernels[axis].radius()))?;
    check_available::<f32>("the smoothed mask", grown.inside.len())?;
    let mut values: Array3<f32> = grown.inside.map(|&inside| if inside { 1.0 } else { 0.0 });
    for (axis, kernel) in kernels.iter().rev().enumerate().filter(|(_, kernel)| kernel.radius() > 0) {
        Zip::from(values.lanes_mut(Axis(axis))).par_for_each(|line| kernel.along_line(line));
    }
    Zip::from(&mut grown.inside).and(&values).par_for_each(|inside, &value| *inside = value > 0.5);
    Ok(grown)
}

/// One half of a symmetric Gaussian, normalised: the weight in the middle, then those of its neighbours on either side.
struct Kernel(Vec<f64>);

impl Kernel {
    /// `sigma` is in voxels.
    fn new(sigma: f64) -> Self {
        let radius = (TRUNCATE * sigma + 0.5) as usize;
        if radius == 0 {
            return Self(vec![1.0]);
        }
        let weight = |at: usize| (-0.5 / (sigma * sigma) * (at as f64).powi(2)).exp();
        let weights: Vec<f64> = (0..=radius).map(weight).collect();
        let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
        Self(weights.into_iter().map(|weight| weight / sum).collect())
    }

    fn radius(&self) -> usize {
        self.0.len() - 1
    }

    /// Replaces every value of a line by the weighted mean of the values around it. Beyond the ends, the end's value goes on.
    fn along_line(&self, mut line: ArrayViewMut1<'_, f32>) {
        let n = line.len();
        let (Some(&first), Some(&last)) = (line.first(), line.last()) else { return };
        if line.iter().all(|&value| value == 0.0) {
            return;
        }
        // Farther away than the line is long, there are only the ends' values.
        let near = self.radius().min(n);
        let beyond: f64 = self.0[near + 1..].iter().rev().sum::<f64>() * (f64::from(first) + f64::from(last));
        let ends = |value: f32| std::iter::repeat_n(f64::from(value), near);
        let padded: Vec<f64> =
            ends(first).chain(line.iter().map(|&value| f64::from(value))).chain(ends(last)).collect();
        for (index, value) in line.iter_mut().enumerate() {
            let here = index + near;
            let start = padded[here] * self.0[0] + beyond;
            let sum = (1..=near)
                .rev()
                .fold(start, |sum, away| sum + (padded[here - away] + padded[here + away]) * self.0[away]);
            *value = sum as f32;
        }
    }
}
