//! Which voxels of a scan are air, for warnings about prompts: one bit per voxel, because the normalised image does not say it.

use ndarray::Array3;
use rayon::prelude::*;

/// Voxels below this are air, in Hounsfield units. Lung is brighter, gas in the bowel is not.
const AIR_BELOW_HU: f32 = -950.0;

/// Number of voxels per parallel step.
const CHUNK: usize = 1 << 16;

/// One bit per voxel of the oriented scan.
#[derive(Debug)]
pub struct Air {
    bits: Vec<u64>,
    shape_dhw: [usize; 3],
}

impl Air {
    /// Marks the air of an oriented scan, `[D, H, W]` in Hounsfield units.
    #[must_use]
    pub fn of(image: &Array3<f32>) -> Self {
        let (depth, height, width) = image.dim();
        let word = |voxels: &[f32]| {
            let bit = |(place, &value): (usize, &f32)| u64::from(value < AIR_BELOW_HU) << place;
            voxels.iter().enumerate().map(bit).sum::<u64>()
        };
        let bits = match image.as_slice() {
            Some(voxels) => voxels.par_chunks(CHUNK).flat_map_iter(|chunk| chunk.chunks(64).map(word)).collect(),
            None => image
                .as_standard_layout()
                .as_slice()
                .map_or_else(Vec::new, |voxels| voxels.chunks(64).map(word).collect()),
        };
        Self { bits, shape_dhw: [depth, height, width] }
    }

    fn at(&self, [d, h, w]: [usize; 3]) -> bool {
        let [_, height, width] = self.shape_dhw;
        let index = (d * height + h) * width + w;
        self.bits[index / 64] >> (index % 64) & 1 == 1
    }

    /// Whether most of the voxels around a voxel are air. One dark voxel in tissue is noise.
    #[must_use]
    pub fn surrounds(&self, voxel_dhw: [usize; 3]) -> bool {
        let low = voxel_dhw.map(|index| index.saturating_sub(1));
        let high = std::array::from_fn(|axis| (voxel_dhw[axis] + 1).min(self.shape_dhw[axis] - 1));
        self.share(low, high) > 0.5
    }

    /// The share of air, in [0, 1], in a box of voxels with an inclusive maximum.
    #[must_use]
    pub fn share(&self, low: [usize; 3], high: [usize; 3]) -> f64 {
        let count = |d: usize| {
            let rows = (low[1]..=high[1]).map(|h| (low[2]..=high[2]).filter(|&w| self.at([d, h, w])).count());
            rows.sum::<usize>()
        };
        let air: usize = (low[0]..=high[0]).into_par_iter().map(count).sum();
        air as f64 / (0..3).map(|axis| high[axis] - low[axis] + 1).product::<usize>() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn air_is_a_majority_of_dark_voxels() {
        let dark = |(d, h, w): (usize, usize, usize)| if w < 35 || (d, h, w) == (2, 2, 50) { -1000.0 } else { 40.0 };
        let image = Array3::from_shape_fn((5, 6, 70), dark);
        let air = Air::of(&image);
        assert!(air.surrounds([0, 0, 0]) && air.surrounds([4, 5, 33]));
        assert!(!air.surrounds([2, 2, 50]), "one dark voxel");
        assert_eq!(air.share([0, 0, 34], [4, 5, 35]), 0.5);
        assert_eq!(air.share([2, 2, 50], [2, 2, 50]), 1.0);
        let turned = Air::of(&image.view().reversed_axes().to_owned());
        assert!(turned.surrounds([33, 5, 4]) && !turned.surrounds([40, 5, 4]));
    }
}
