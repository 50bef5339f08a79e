//! Metrics: how well two masks agree, and the volume of a mask.
//!
//! `docs/evaluation.md` defines every metric in words. [`Scores`] has all metrics of one pair of masks.
//!
//! This crate knows nothing about models.

#![forbid(unsafe_code)]

mod distance;
mod error_region;
mod scores;
mod surface;

pub use error_region::ErrorRegion;
pub use scores::Scores;
pub use surface::SurfaceDistances;

use segvol_volume::Grid;
pub use segvol_volume::dice;

/// The volume of this many voxels of a grid, in millilitres.
pub fn volume_ml(voxels: u64, grid: &Grid) -> f64 {
    grid.volume_ml(voxels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use segvol_volume::{Affine, Volume};

    #[test]
    fn dice_of_known_sets() {
        let set = |&value: &u8| value != 0;
        assert_eq!(dice(&[1_u8, 1, 0, 0], &[0_u8, 1, 1, 0], set, set), 0.5);
        assert_eq!(dice(&[1_u8, 2, 0], &[1_u8, 2, 0], set, set), 1.0);
        assert_eq!(dice(&[1_u8, 0], &[0_u8, 1], set, set), 0.0);
        assert_eq!(dice(&[0_u8, 0], &[0.0_f32, 0.0], set, |&value| value > 0.0), 1.0);
        assert_eq!(dice(&[1_u8, 0], &[0_u8, 0], set, set), 0.0);
        // The released formula gives 2 / 3 here.
        assert_eq!(dice(&[1_u8], &[1_u8], set, set), 1.0);
    }

    #[test]
    fn volume_counts_shear_and_spacing() {
        let affine = Affine::new([[2.0, 1.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, -5.0, 0.0]]);
        let volume = Volume::new([2, 2, 2], vec![0.0; 8], affine).expect("a volume");
        assert!((volume_ml(100, volume.grid()) - 3.0).abs() < 1e-12);
    }
}
