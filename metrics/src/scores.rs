//! All metrics of one pair of masks.

use serde::{Deserialize, Serialize};

use crate::surface::SurfaceDistances;
use crate::{dice, volume_ml};
use segvol_volume::Grid;
use segvol_volume::MaskError;

/// How well the mask that was found agrees with the true mask.
///
/// The metrics of empty masks:
///
/// | | Dice | surface Dice | Hausdorff | volume error | relative |
/// |---|---|---|---|---|---|
/// | both masks empty | 1 | 1 | 0 | 0 | `None` |
/// | only the true mask empty | 0 | 0 | `None` | the volume found | `None` |
/// | only the found mask empty | 0 | 0 | `None` | minus the true volume | -1 |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// The number of voxels of the mask that was found.
    pub voxels: u64,
    /// The Dice coefficient, in [0, 1].
    pub dice: f64,
    /// The normalised surface Dice at the tolerance, in [0, 1]: see [`SurfaceDistances::surface_dice`].
    pub surface_dice: f64,
    /// The 95 % Hausdorff distance in millimetres: see [`SurfaceDistances::hausdorff_mm`]. `None` if only one mask is
    /// empty.
    pub hausdorff95_mm: Option<f64>,
    /// The Hausdorff distance in millimetres, the greatest distance of a surface voxel from the other surface. `None` if only one mask
    /// is empty, and in rows that an older version stored.
    #[serde(default)]
    pub hausdorff_mm: Option<f64>,
    /// The found volume minus the true volume, in millilitres.
    pub volume_error_ml: f64,
    /// The volume error as a fraction of the true volume. `None` if the true mask is empty.
    pub volume_error_relative: Option<f64>,
}

impl Scores {
    /// Compares the found mask with the true one.
    ///
    /// | value          | shape                   | unit                     |
    /// |----------------|-------------------------|--------------------------|
    /// | `found`        | voxels, i fastest, j, k | true inside of the mask  |
    /// | `truth`        | voxels, i fastest, j, k | true inside of the mask  |
    /// | `grid`         |                         | the grid of both masks   |
    /// | `tolerance_mm` | scalar                  | millimetres              |
    ///
    /// # Errors
    /// [`MaskError::Length`] if a mask does not have one value per voxel; [`MaskError::Memory`] if there is not enough
    /// memory for the distances.
    pub fn new(found: &[bool], truth: &[bool], grid: &Grid, tolerance_mm: f64) -> Result<Self, MaskError> {
        let distances = SurfaceDistances::between(found, truth, grid.shape_xyz(), grid.spacing_mm())?;
        let count = |mask: &[bool]| mask.iter().filter(|&&inside| inside).count() as u64;
        let (voxels, true_voxels) = (count(found), count(truth));
        let both_empty = voxels == 0 && true_voxels == 0;
        let (surface_dice, hausdorff95_mm, hausdorff_mm) = match &distances {
            Some(distances) => {
                let [most, all] = [95.0, 100.0].map(|percentile| distances.hausdorff_mm(percentile));
                (distances.surface_dice(tolerance_mm), Some(most), Some(all))
            }
            None if both_empty => (1.0, Some(0.0), Some(0.0)),
            None => (0.0, None, None),
        };
        let true_ml = volume_ml(true_voxels, grid);
        let volume_error_ml = volume_ml(voxels, grid) - true_ml;
        Ok(Self {
            voxels,
            dice: dice(found, truth, |&inside| inside, |&inside| inside),
            surface_dice,
            hausdorff95_mm,
            hausdorff_mm,
            volume_error_ml,
            volume_error_relative: (true_voxels > 0).then(|| volume_error_ml / true_ml),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use segvol_volume::{Affine, Volume};

    fn grid(affine: Affine) -> std::sync::Arc<Grid> {
        std::sync::Arc::clone(Volume::new([2, 2, 2], vec![0.0; 8], affine).expect("a volume").grid())
    }

    #[test]
    fn empty_masks_are_defined() {
        let grid = grid(Affine::from_spacing([10.0, 10.0, 10.0]));
        let (none, some) = ([false; 8], [true, true, false, false, false, false, false, false]);
        let scores = |found: &[bool], truth: &[bool]| {
            let scores = Scores::new(found, truth, &grid, 1.0).expect("scores");
            assert_eq!(scores.hausdorff_mm, scores.hausdorff95_mm);
            let Scores { voxels, dice, surface_dice, hausdorff95_mm, volume_error_ml, volume_error_relative, .. } =
                scores;
            (voxels, dice, surface_dice, hausdorff95_mm, volume_error_ml, volume_error_relative)
        };
        assert_eq!(scores(&none, &none), (0, 1.0, 1.0, Some(0.0), 0.0, None));
        assert_eq!(scores(&some, &none), (2, 0.0, 0.0, None, 2.0, None));
        assert_eq!(scores(&none, &some), (0, 0.0, 0.0, None, -2.0, Some(-1.0)));
        assert_eq!(scores(&some, &some), (2, 1.0, 1.0, Some(0.0), 0.0, Some(0.0)));
        assert!(matches!(Scores::new(&some[1..], &some, &grid, 1.0), Err(MaskError::Length { found: 7, .. })));
    }

    /// The spacing is the length of the affine's columns, whatever their direction.
    #[test]
    fn an_oblique_grid_has_its_columns_spacing() {
        // A rotation by 0.3 about z, then by 0.5 about x; spacings of 0.75, 1.25 and 3.5 mm, the second axis reversed.
        let (s, c) = 0.3_f64.sin_cos();
        let (t, d) = 0.5_f64.sin_cos();
        let rotation = [[c, -s, 0.0], [d * s, d * c, -t], [t * s, t * c, d]];
        let affine = Affine::new(rotation.map(|[x, y, z]| [0.75 * x, -1.25 * y, 3.5 * z, 40.0]));
        let first = [true, false, false, false, false, false, false, false];
        for (voxel, expected) in
            [(1, 0.75), (2, 1.25), (4, 3.5), (7, (0.75_f64.powi(2) + 1.25_f64.powi(2) + 3.5_f64.powi(2)).sqrt())]
        {
            let second: [bool; 8] = std::array::from_fn(|index| index == voxel);
            let found = Scores::new(&first, &second, &grid(affine), 1.25).expect("scores");
            let distance = found.hausdorff95_mm.expect("a distance");
            assert!((distance - expected).abs() < 1e-6, "voxel {voxel}: {distance}");
            assert_eq!(found.hausdorff_mm, Some(distance));
            assert_eq!(found.surface_dice, if expected <= 1.25 { 1.0 } else { 0.0 }, "voxel {voxel}");
        }
    }
}
