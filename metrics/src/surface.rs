//! Distances between the surfaces of two masks.

use ndarray::Array3;

use crate::distance::squared_distances;
use segvol_volume::MaskError;

/// A length that a header stored as float32 can exceed the intended value by this fraction.
const HAIR: f64 = 1e-6;

/// Distances between the surfaces of two masks, in both directions, in millimetres.
///
/// A voxel of a mask is on the mask's surface if at least one of its six neighbours is outside of the mask. Everything
/// beyond the grid is outside. Distances are measured between voxel centres. Every surface voxel counts once, whatever
/// its size.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceDistances {
    /// From every surface voxel of mask a to the nearest surface voxel of mask b, ascending.
    a_to_b_mm: Vec<f64>,
    b_to_a_mm: Vec<f64>,
}

impl SurfaceDistances {
    /// Measures the distances between two masks on one grid. `None` if either mask is empty.
    ///
    /// | value        | shape                   | unit                                     |
    /// |--------------|-------------------------|------------------------------------------|
    /// | `a`, `b`     | voxels, i fastest, j, k | true inside of the mask                  |
    /// | `shape_xyz`  | `[3]`                   | voxels along i, j, k                     |
    /// | `spacing_mm` | `[3]`                   | millimetres between neighbours along i, j, k |
    ///
    /// The axes are taken as perpendicular. Time and memory grow with the bounding box of both masks, not with the
    /// grid.
    ///
    /// # Errors
    /// [`MaskError::Length`] if a mask does not have one value per voxel; [`MaskError::Memory`] if there is not enough
    /// memory for the distances.
    pub fn between(
        a: &[bool],
        b: &[bool],
        shape_xyz: [usize; 3],
        spacing_mm: [f64; 3],
    ) -> Result<Option<Self>, MaskError> {
        let expected = shape_xyz.iter().product();
        for found in [a.len(), b.len()] {
            if found != expected {
                return Err(MaskError::Length { shape_xyz, expected, found });
            }
        }
        let (Some(box_a), Some(box_b)) = (Bounds::of(a, shape_xyz), Bounds::of(b, shape_xyz)) else { return Ok(None) };
        // Both surfaces lie in this box, so nothing outside of it can change the distances.
        let bounds = box_a.and(&box_b);
        // Per voxel of the box: both masks and both surfaces, and the squared distances from one surface.
        segvol_base::memory::check_available::<([bool; 4], f32)>("the surfaces of two masks", bounds.voxels())?;
        let [x, y, z] = spacing_mm;
        let steps = [z, y, x];
        let (surface_a, surface_b) = (surface(&bounds.cut(a, shape_xyz)), surface(&bounds.cut(b, shape_xyz)));
        Ok(Some(Self {
            a_to_b_mm: directed(&surface_a, &surface_b, steps)?,
            b_to_a_mm: directed(&surface_b, &surface_a, steps)?,
        }))
    }

    /// The normalised surface Dice, in [0, 1]: the fraction of the surface voxels of both masks that are at most
    /// `tolerance_mm` millimetres from the other surface.
    #[must_use]
    pub fn surface_dice(&self, tolerance_mm: f64) -> f64 {
        let limit = tolerance_mm * (1.0 + HAIR);
        let within = |distances: &[f64]| distances.partition_point(|&distance| distance <= limit);
        let all = self.a_to_b_mm.len() + self.b_to_a_mm.len();
        (within(&self.a_to_b_mm) + within(&self.b_to_a_mm)) as f64 / all as f64
    }

    /// The Hausdorff distance at a percentile from 0 to 100, in millimetres.
    ///
    /// It is the larger of two percentiles: of the distances from a to b, and of those from b to a. Each is
    /// interpolated linearly between the two nearest ranks. The percentile 100 gives the plain Hausdorff distance.
    #[must_use]
    pub fn hausdorff_mm(&self, percentile: f64) -> f64 {
        self::percentile(&self.a_to_b_mm, percentile).max(self::percentile(&self.b_to_a_mm, percentile))
    }
}

/// The distance from each voxel of `from` to the nearest voxel of `to`, ascending. `steps` are the lengths between
/// neighbours along the array's axes.
fn directed(from: &Array3<bool>, to: &Array3<bool>, steps: [f64; 3]) -> Result<Vec<f64>, MaskError> {
    let count = from.iter().filter(|&&surface| surface).count();
    segvol_base::memory::check_available::<f32>("the distances of a surface", from.len() + 2 * count)?;
    let squares = squared_distances(to, steps);
    let on_surface = from.iter().zip(&squares).filter(|&(&surface, _)| surface);
    let mut distances = Vec::with_capacity(count);
    distances.extend(on_surface.map(|(_, &square)| f64::from(square).sqrt()));
    distances.sort_unstable_by(f64::total_cmp);
    Ok(distances)
}

/// NumPy's `percentile` with its default method, linear interpolation. The values must be ascending, and at least one.
fn percentile(ascending: &[f64], percentile: f64) -> f64 {
    let rank = percentile.clamp(0.0, 100.0) / 100.0 * (ascending.len() - 1) as f64;
    let (below, above) = (ascending[rank.floor() as usize], ascending[rank.ceil() as usize]);
    below + (above - below) * rank.fract()
}

/// The surface of a mask: its voxels with at least one of six neighbours outside of it.
fn surface(mask: &Array3<bool>) -> Array3<bool> {
    let (depth, height, width) = mask.dim();
    Array3::from_shape_fn(mask.dim(), |(d, h, w)| {
        let inside = d > 0
            && d + 1 < depth
            && h > 0
            && h + 1 < height
            && w > 0
            && w + 1 < width
            && mask[[d - 1, h, w]]
            && mask[[d + 1, h, w]]
            && mask[[d, h - 1, w]]
            && mask[[d, h + 1, w]]
            && mask[[d, h, w - 1]]
            && mask[[d, h, w + 1]];
        mask[[d, h, w]] && !inside
    })
}

/// A box of voxels `(i, j, k)`, its maximum inclusive.
struct Bounds {
    min: [usize; 3],
    max: [usize; 3],
}

impl Bounds {
    fn of(mask: &[bool], [ni, nj, _]: [usize; 3]) -> Option<Self> {
        let (mut min, mut max) = ([usize::MAX; 3], [0; 3]);
        for (row, voxels) in mask.chunks_exact(ni).enumerate() {
            let Some(first) = voxels.iter().position(|&inside| inside) else { continue };
            let last = voxels.iter().rposition(|&inside| inside).expect("a row with a first voxel has a last one");
            for (low, high, axis) in [(first, last, 0), (row % nj, row % nj, 1), (row / nj, row / nj, 2)] {
                min[axis] = min[axis].min(low);
                max[axis] = max[axis].max(high);
            }
        }
        (min[0] != usize::MAX).then_some(Self { min, max })
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            min: std::array::from_fn(|axis| self.min[axis].min(other.min[axis])),
            max: std::array::from_fn(|axis| self.max[axis].max(other.max[axis])),
        }
    }

    fn voxels(&self) -> usize {
        (0..3).map(|axis| self.max[axis] - self.min[axis] + 1).product()
    }

    /// The part of a mask in the box, `[k, j, i]`.
    fn cut(&self, mask: &[bool], [ni, nj, _]: [usize; 3]) -> Array3<bool> {
        let ([i0, j0, k0], [i1, j1, k1]) = (self.min, self.max);
        let mut part = Array3::from_elem([k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1], false);
        for ((k, j), mut row) in (k0..=k1).flat_map(|k| (j0..=j1).map(move |j| (k, j))).zip(part.rows_mut()) {
            let start = (k * nj + j) * ni;
            row.assign(&ndarray::aview1(&mask[start + i0..=start + i1]));
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [24, 20, 15];
    const SPACING: [f64; 3] = [0.75, 1.25, 3.5];

    /// The same ellipsoid as in `tests/data/metrics/make.py`.
    fn ellipsoid(center: [i64; 3], limit: i64, salt: u32) -> Vec<bool> {
        let [ni, nj, nk] = SHAPE.map(|n| n as u32);
        let voxels = (0..nk).flat_map(|k| (0..nj).flat_map(move |j| (0..ni).map(move |i| [i, j, k])));
        let inside = |[i, j, k]: [u32; 3]| {
            let ragged = (i * 7 + j * 13 + k * 29 + salt).wrapping_mul(2_654_435_761) >> 24;
            let square = |at: u32, center: i64| (i64::from(at) - center).pow(2);
            let form = 4 * square(i, center[0]) + 6 * square(j, center[1]) + 11 * square(k, center[2]);
            form + i64::from(ragged) <= limit
        };
        voxels.map(inside).collect()
    }

    fn distances(spacing_mm: [f64; 3]) -> SurfaceDistances {
        let (a, b) = (ellipsoid([11, 9, 7], 500, 0), ellipsoid([13, 8, 6], 420, 5));
        SurfaceDistances::between(&a, &b, SHAPE, spacing_mm).expect("masks").expect("neither mask is empty")
    }

    /// Whether the distances agree with SciPy's (`tests/data/metrics/make.py`): Hausdorff at 50, 95 and 100 %, surface
    /// Dice at 0.5, 1, 2 and 3 mm.
    fn agrees(found: &SurfaceDistances, hausdorff: [f64; 3], surface_dice: [f64; 4]) -> bool {
        let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-6 * expected;
        let hausdorff = [50.0, 95.0, 100.0].into_iter().zip(hausdorff);
        let surface_dice = [0.5, 1.0, 2.0, 3.0].into_iter().zip(surface_dice);
        hausdorff.into_iter().all(|(percentile, expected)| near(found.hausdorff_mm(percentile), expected))
            && surface_dice.into_iter().all(|(tolerance, expected)| near(found.surface_dice(tolerance), expected))
    }

    const ANISOTROPIC: ([f64; 3], [f64; 4]) = (
        [0.75, 3.807_886_552_931_954_3, 6.504_805_915_628_844],
        [0.352_564_102_564_102_6, 0.585_897_435_897_435_9, 0.796_794_871_794_871_7, 0.926_282_051_282_051_3],
    );

    #[test]
    fn distances_are_scipys() {
        let found = distances(SPACING);
        assert_eq!((found.a_to_b_mm.len(), found.b_to_a_mm.len()), (864, 696));
        assert!(agrees(&found, ANISOTROPIC.0, ANISOTROPIC.1), "{found:?}");
        let isotropic =
            [0.352_564_102_564_102_6, 0.694_871_794_871_794_8, 0.886_538_461_538_461_5, 0.986_538_461_538_461_6];
        assert!(agrees(&distances([1.0; 3]), [1.0, 3.0, 3.741_657_386_773_941_3], isotropic));
        let turned =
            [0.352_564_102_564_102_6, 0.600_641_025_641_025_6, 0.821_794_871_794_871_8, 0.903_205_128_205_128_2];
        assert!(agrees(&distances([3.5, 1.25, 0.75]), [0.75, 6.288_113_282_606_019, 10.819_542_504_191_201], turned));
    }

    #[test]
    fn the_figures_tell_wrong_spacings_and_surfaces() {
        for wrong in [[1.0, 1.0, 1.0], [3.5, 1.25, 0.75], [1.25, 0.75, 3.5], [0.75, 1.25, 3.501]] {
            assert!(!agrees(&distances(wrong), ANISOTROPIC.0, ANISOTROPIC.1), "{wrong:?}");
        }
        // Distances between the whole masks instead of their surfaces.
        let (a, b) = (ellipsoid([11, 9, 7], 500, 0), ellipsoid([13, 8, 6], 420, 5));
        let whole = |mask: &[bool]| Array3::from_shape_vec([15, 20, 24], mask.to_vec()).expect("an array");
        let (a, b) = (whole(&a), whole(&b));
        let steps = [3.5, 1.25, 0.75];
        let wrong = SurfaceDistances {
            a_to_b_mm: directed(&a, &b, steps).expect("enough memory"),
            b_to_a_mm: directed(&b, &a, steps).expect("enough memory"),
        };
        assert!(!agrees(&wrong, ANISOTROPIC.0, ANISOTROPIC.1));
    }

    #[test]
    fn the_grids_border_is_a_surface() {
        let (a, b) = (ellipsoid([2, 9, 13], 700, 1), ellipsoid([0, 9, 15], 600, 2));
        let found = SurfaceDistances::between(&a, &b, SHAPE, SPACING).expect("masks").expect("neither mask is empty");
        assert_eq!((found.a_to_b_mm.len(), found.b_to_a_mm.len()), (693, 387));
        for (percentile, expected) in
            [(50.0, 1.952_562_418_976_666_3), (95.0, 7.352_720_584_926_371), (100.0, 10.920_164_833_920_778)]
        {
            assert!((found.hausdorff_mm(percentile) - expected).abs() < 1e-6 * expected, "{percentile}");
        }
        assert!((found.surface_dice(1.0) - 0.481_481_481_481_481_45).abs() < 1e-12);
        assert!((found.surface_dice(2.0) - 0.615_740_740_740_740_7).abs() < 1e-12);
    }

    #[test]
    fn a_tolerance_of_one_step_holds_for_a_step_that_was_float32() {
        let step = f64::from(0.8_f32);
        assert!(step > 0.8);
        let (a, b) = ([true, false], [false, true]);
        let found =
            SurfaceDistances::between(&a, &b, [2, 1, 1], [step; 3]).expect("masks").expect("neither mask is empty");
        assert_eq!(found.surface_dice(0.8), 1.0);
        assert_eq!(found.surface_dice(0.7999), 0.0);
    }
}
