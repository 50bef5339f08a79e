//! Where a prompt's points and box lie in the file: for those who draw them.

use crate::prompt::{BoundingBox, Placer, PointLabel, Prompt, Space};

/// A prompt's points and box in voxels of the file, `(i, j, k)`, whatever space they were given in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Marks {
    /// Points, fractions of voxels allowed.
    pub points: Vec<([f64; 3], PointLabel)>,
    /// The voxels at the corners of the box, both inclusive.
    pub bounding_box: Option<BoundingBox>,
}

impl Placer<'_> {
    /// Where a prompt lies in the file. One that the scan refuses may lie outside.
    pub(crate) fn marks(&self, prompt: &Prompt) -> Marks {
        let voxel = |at| self.to_file(prompt.space, at);
        let points = prompt.points.iter().map(|&(at, label)| (voxel(at), label)).collect();
        let bounding_box = prompt.bounding_box.map(|given| {
            // The axes of the space and of the file may differ by any rotation: all eight corners count.
            let (mut min, mut max) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
            for corner in 0..8 {
                let at =
                    std::array::from_fn(|axis| if corner >> axis & 1 == 0 { given.min[axis] } else { given.max[axis] });
                let corner = voxel(at).map(|index| (index + 0.5).floor());
                min = std::array::from_fn(|axis| min[axis].min(corner[axis]));
                max = std::array::from_fn(|axis| max[axis].max(corner[axis]));
            }
            BoundingBox { min, max }
        });
        Marks { points, bounding_box }
    }

    fn to_file(&self, space: Space, at: [f64; 3]) -> [f64; 3] {
        if space != Space::Window {
            return self.to_ijk(space, at);
        }
        // The middle of the window's voxel, in voxels of the crop, then of the oriented scan.
        let crop = self.crop.shape_dhw();
        self.axes.to_ijk(std::array::from_fn(|axis| {
            let scale = crop[axis] as f64 / self.window_dhw[axis] as f64;
            (at[axis] + 0.5) * scale - 0.5 + self.crop.start_dhw[axis] as f64
        }))
    }
}
