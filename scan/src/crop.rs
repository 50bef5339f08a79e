//! Finds the bounding box of the body, so that the air around it can be cropped off.

use ndarray::{Array3, ArrayView3, s};
use rayon::prelude::*;

/// The part of the oriented, normalised volume that is segmented: the bounding box of all voxels above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// The first voxel, in the oriented volume.
    pub start_dhw: [usize; 3],
    /// One past the last voxel, in the oriented volume.
    pub end_dhw: [usize; 3],
    /// Number of zeros that the released code adds before each axis to reach the window's size, before it crops them off
    /// again. It is needed only to compare with crops that were recorded with the released code.
    pub padded_offset_dhw: [usize; 3],
}

impl Crop {
    /// Finds the bounding box of the voxels above 0 in `image`, `[D, H, W]`; `None` if there is no such voxel.
    ///
    /// # Source
    /// BAAI-DCAI/SegVol@5768c97, `data_process/demo_data_process.py`: MONAI's `SpatialPadd(method="symmetric")`, then
    /// `CropForegroundd`.
    #[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
    pub fn find(image: ArrayView3<'_, f32>, window_dhw: [usize; 3]) -> Option<Self> {
        let (depth, height, width) = image.dim();
        // Bounds of height and width for each slice; `None` if the slice is all air.
        let slices: Vec<Option<[(usize, usize); 2]>> = (0..depth)
            .into_par_iter()
            .map(|d| {
                let mut bounds: Option<[(usize, usize); 2]> = None;
                for (h, row) in image.index_axis(ndarray::Axis(0), d).rows().into_iter().enumerate() {
                    let Some(first) = row.iter().position(|&value| value > 0.0) else { continue };
                    let from_end = row.iter().rev().position(|&value| value > 0.0);
                    let last = width - 1 - from_end.expect("the row has a voxel above 0");
                    bounds = Some(match bounds {
                        None => [(h, h), (first, last)],
                        Some([(top, _), (left, right)]) => [(top, h), (left.min(first), right.max(last))],
                    });
                }
                bounds
            })
            .collect();
        let first = slices.iter().position(Option::is_some)?;
        let last = slices.iter().rposition(Option::is_some)?;
        let [rows, columns] = slices
            .into_iter()
            .flatten()
            .reduce(|a, b| [0, 1].map(|axis| (a[axis].0.min(b[axis].0), a[axis].1.max(b[axis].1))))?;
        let shape = [depth, height, width];
        Some(Self {
            start_dhw: [first, rows.0, columns.0],
            end_dhw: [last + 1, rows.1 + 1, columns.1 + 1],
            padded_offset_dhw: [0, 1, 2].map(|axis| window_dhw[axis].saturating_sub(shape[axis]) / 2),
        })
    }

    /// Whether the box contains a voxel of the oriented volume.
    #[must_use]
    pub fn contains(&self, voxel_dhw: [usize; 3]) -> bool {
        self.meets(voxel_dhw, voxel_dhw)
    }

    /// Whether the box has a voxel in common with another box, whose maximum is inclusive.
    #[must_use]
    pub fn meets(&self, low_dhw: [usize; 3], high_dhw: [usize; 3]) -> bool {
        (0..3).all(|axis| low_dhw[axis] < self.end_dhw[axis] && high_dhw[axis] >= self.start_dhw[axis])
    }

    /// Voxels per axis of the box, `[D, H, W]`.
    pub fn shape_dhw(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.end_dhw[axis] - self.start_dhw[axis])
    }

    /// The first voxel as the released code counts it: in the volume that is padded to the window.
    pub fn padded_start_dhw(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.start_dhw[axis] + self.padded_offset_dhw[axis])
    }

    /// One past the last voxel as the released code counts it: in the volume that is padded to the window.
    pub fn padded_end_dhw(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.end_dhw[axis] + self.padded_offset_dhw[axis])
    }

    /// A view of the part of `image` inside the box.
    ///
    /// # Panics
    /// If the box is not inside `image`.
    pub fn view<'a, T>(&self, image: ArrayView3<'a, T>) -> ArrayView3<'a, T> {
        let ([d0, h0, w0], [d1, h1, w1]) = (self.start_dhw, self.end_dhw);
        image.slice_move(s![d0..d1, h0..h1, w0..w1])
    }

    /// A copy of the part of `image` inside the box, in standard layout.
    ///
    /// # Panics
    /// If the box is not inside `image`.
    pub fn extract<T: Copy>(&self, image: ArrayView3<'_, T>) -> Array3<T> {
        self.view(image).as_standard_layout().into_owned()
    }

    /// A volume of `shape_dhw` with `inside` in the box and `outside` everywhere else. It undoes [`extract`](Self::extract).
    ///
    /// # Panics
    /// If `inside` does not have the shape of the box, or the box is not inside `shape_dhw`.
    pub fn embed<T: Copy>(&self, inside: ArrayView3<'_, T>, shape_dhw: [usize; 3], outside: T) -> Array3<T> {
        let mut volume = Array3::from_elem(shape_dhw, outside);
        let ([d0, h0, w0], [d1, h1, w1]) = (self.start_dhw, self.end_dhw);
        volume.slice_mut(s![d0..d1, h0..h1, w0..w1]).assign(&inside);
        volume
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn air_alone_has_no_box() {
        assert_eq!(Crop::find(Array3::<f32>::zeros((3, 4, 5)).view(), [2, 2, 2]), None);
        assert_eq!(Crop::find(Array3::from_elem((3, 4, 5), -1.0).view(), [2, 2, 2]), None);
        assert_eq!(Crop::find(Array3::<f32>::zeros((0, 4, 5)).view(), [2, 2, 2]), None);
    }

    #[test]
    fn padding_puts_the_smaller_half_first() {
        let crop = Crop::find(Array3::from_elem((3, 4, 9), 1.0).view(), [8, 8, 8]).expect("not air");
        assert_eq!(crop.padded_start_dhw(), [2, 2, 0]);
        assert_eq!(crop.padded_end_dhw(), [5, 6, 9]);
    }

    proptest! {
        #[test]
        fn box_is_the_bounding_box(
            shape in prop::array::uniform3(1_usize..9),
            marks in prop::collection::vec((0_usize..9, 0_usize..9, 0_usize..9), 1..6),
        ) {
            let mut image = Array3::<f32>::zeros(shape);
            let marks: Vec<_> = marks.iter().map(|&(d, h, w)| [d % shape[0], h % shape[1], w % shape[2]]).collect();
            for &mark in &marks {
                image[mark] = 0.5;
            }
            let crop = Crop::find(image.view(), [4, 4, 4]).expect("marked");
            for axis in 0..3 {
                prop_assert_eq!(Some(crop.start_dhw[axis]), marks.iter().map(|mark| mark[axis]).min());
                prop_assert_eq!(Some(crop.end_dhw[axis]), marks.iter().map(|mark| mark[axis] + 1).max());
            }
            let inside = crop.extract(image.view());
            prop_assert_eq!(crop.embed(inside.view(), shape, 0.0), image);
        }
    }
}
