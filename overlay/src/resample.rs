//! From a slice's voxels to a tile's pixels.

use std::ops::Range;

/// Values on a lattice whose first lies at `first` (row, column) of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Lattice {
    pub(crate) first: [isize; 2],
    pub(crate) size: [usize; 2],
    pub(crate) values: Vec<f32>,
}

impl Lattice {
    /// The value at a row and column of the lattice.
    pub(crate) fn get(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.size[1] + column]
    }

    /// The lattice at these rows and columns of pixels, of which a voxel has `scale` (rows, columns).
    ///
    /// Catmull-Rom's cubic, which goes through the values; widened where pixels are larger than voxels, so that none
    /// is passed over. Beyond its border the lattice goes on as there.
    pub(crate) fn resample(&self, scale: [f64; 2], rows: Range<isize>, columns: Range<isize>) -> Self {
        let [height, width] = self.size;
        let across = weights(scale[1], columns.clone(), self.first[1], width);
        let down = weights(scale[0], rows.clone(), self.first[0], height);
        let mut narrow = Vec::with_capacity(height * across.len());
        for row in self.values.chunks_exact(width.max(1)) {
            narrow
                .extend(across.iter().map(|taps| taps.iter().map(|&(index, weight)| weight * row[index]).sum::<f32>()));
        }
        let mut values = Vec::with_capacity(down.len() * across.len());
        for taps in &down {
            for column in 0..across.len() {
                values.push(taps.iter().map(|&(index, weight)| weight * narrow[index * across.len() + column]).sum());
            }
        }
        Self { first: [rows.start, columns.start], size: [down.len(), across.len()], values }
    }
}

/// For every pixel the lattice's indices that it is made of, with their weights.
fn weights(scale: f64, pixels: Range<isize>, first: isize, count: usize) -> Vec<Vec<(usize, f32)>> {
    let stretch = (1.0 / scale).max(1.0);
    let weigh = |pixel: isize| {
        let centre = (pixel as f64 + 0.5) / scale - 0.5;
        let (low, high) = ((centre - 2.0 * stretch).ceil() as isize, (centre + 2.0 * stretch).floor() as isize);
        let taps = (low..=high).map(|voxel| (voxel, catmull_rom((centre - voxel as f64) / stretch)));
        let taps: Vec<(isize, f64)> = taps.filter(|&(_, weight)| weight != 0.0).collect();
        let sum: f64 = taps.iter().map(|&(_, weight)| weight).sum();
        let index = |voxel: isize| (voxel - first).clamp(0, count as isize - 1) as usize;
        taps.into_iter().map(|(voxel, weight)| (index(voxel), (weight / sum) as f32)).collect()
    };
    pixels.map(weigh).collect()
}

fn catmull_rom(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Lattice {
        let values = (0..12).flat_map(|row| (0..10).map(move |column| (10 * row + column) as f32)).collect();
        Lattice { first: [0, 0], size: [12, 10], values }
    }

    #[test]
    fn a_ramp_stays_a_ramp() {
        for scale in [[3.0, 2.5], [1.0, 1.0], [0.5, 0.4]] {
            let (rows, columns) = ((12.0 * scale[0]) as isize, (10.0 * scale[1]) as isize);
            let found = ramp().resample(scale, 0..rows, 0..columns);
            for (row, column) in [(rows / 2, columns / 2), (rows / 2 - 1, columns / 2)] {
                // Where the kernel reaches beyond no border.
                let expected = 10.0 * ((row as f64 + 0.5) / scale[0] - 0.5) + ((column as f64 + 0.5) / scale[1] - 0.5);
                let found = found.get(row as usize, column as usize);
                assert!((f64::from(found) - expected).abs() < 1e-2, "{scale:?}: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn pixels_larger_than_voxels_are_means() {
        let stripes = Lattice { first: [0, 0], size: [1, 64], values: (0..64).map(|i| (i % 2) as f32).collect() };
        let found = stripes.resample([1.0, 0.25], 0..1, 4..12);
        assert!(found.values.iter().all(|value| (value - 0.5).abs() < 0.02), "{:?}", found.values);
    }
}
