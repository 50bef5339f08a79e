//! The voxels of one object, in the orientation of the picture.

use segvol_volume::Mask;

use crate::error::OverlayError;
use crate::plane::Plane;

/// The voxels of one label within its bounding box, `(slice, row, column)`.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    first: [usize; 3],
    size: [usize; 3],
    inside: Vec<bool>,
    areas: Vec<usize>,
}

/// One slice of a [`Shape`]: its part within the bounding box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch<'a> {
    /// The patch's first row and column in the slice.
    pub(crate) first: [usize; 2],
    /// Rows and columns.
    pub(crate) size: [usize; 2],
    /// Whether each voxel is in the object, row by row.
    pub(crate) inside: &'a [bool],
}

impl Shape {
    /// The voxels of `mask` with this label. The mask must be on the plane's grid.
    ///
    /// # Errors
    /// [`OverlayError::Memory`] if there is not enough memory for them.
    pub(crate) fn new(mask: &Mask, label: u16, plane: &Plane) -> Result<Self, OverlayError> {
        let Some((low, high)) = mask.bounding_box_ijk(label) else {
            return Ok(Self { first: [0; 3], size: [0; 3], inside: Vec::new(), areas: Vec::new() });
        };
        let [a, b] = [low, high].map(|ijk| plane.place(ijk.map(|index| index as f64)).map(|index| index as usize));
        let first: [usize; 3] = std::array::from_fn(|axis| a[axis].min(b[axis]));
        let size: [usize; 3] = std::array::from_fn(|axis| a[axis].abs_diff(b[axis]) + 1);
        let voxels = size.iter().product();
        let mut inside = Vec::new();
        segvol_base::memory::reserve("the voxels of an object", &mut inside, voxels)?;
        let mut areas = Vec::with_capacity(size[0]);
        for slice in 0..size[0] {
            let mut area = 0;
            for row in 0..size[1] {
                for column in 0..size[2] {
                    let voxel = [first[0] + slice, first[1] + row, first[2] + column];
                    let is_inside = mask.labels().get(plane.index(voxel)) == Some(label);
                    area += usize::from(is_inside);
                    inside.push(is_inside);
                }
            }
            areas.push(area);
        }
        Ok(Self { first, size, inside, areas })
    }

    /// The number of voxels of the object.
    pub(crate) fn voxels(&self) -> usize {
        self.areas.iter().sum()
    }

    /// The first and the last row and column of its box; `None` if the shape is empty.
    pub(crate) fn bounds(&self) -> Option<[[usize; 2]; 2]> {
        let [_, rows, columns] = self.size;
        let first = [self.first[1], self.first[2]];
        (self.voxels() > 0).then(|| [first, [first[0] + rows - 1, first[1] + columns - 1]])
    }

    /// The slice with the most voxels, or the middle one of several such slices. `None` if the shape is empty.
    pub(crate) fn largest(&self) -> Option<usize> {
        let most = *self.areas.iter().max()?;
        let largest: Vec<usize> = (0..self.areas.len()).filter(|&slice| self.areas[slice] == most).collect();
        Some(self.first[0] + largest[largest.len() / 2])
    }

    /// The first slice up to which at least the fraction `share` of the voxels lies. `None` if the shape is empty.
    pub(crate) fn quantile(&self, share: f64) -> Option<usize> {
        let wanted = share * self.voxels() as f64;
        let mut below = 0;
        let found = self.areas.iter().position(|area| {
            below += area;
            below as f64 >= wanted
        });
        Some(self.first[0] + found?)
    }

    /// The part of the shape in a slice. `None` if it has no voxels there.
    pub(crate) fn patch(&self, slice: usize) -> Option<Patch<'_>> {
        let slice = slice.checked_sub(self.first[0])?;
        if *self.areas.get(slice)? == 0 {
            return None;
        }
        let [_, rows, columns] = self.size;
        let inside = &self.inside[slice * rows * columns..][..rows * columns];
        Some(Patch { first: [self.first[1], self.first[2]], size: [rows, columns], inside })
    }
}
