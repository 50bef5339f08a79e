//! The part of a scan in which a mask lies. Every step works on it, so that time and memory grow with the object, not with the scan.

use std::ops::Range;

use ndarray::{Array3, AxisDescription, Slice};
use segvol_base::OutOfMemory;
use segvol_base::memory::check_available;
use segvol_volume::Mask;
use segvol_volume::mask::Labels;

/// A box of voxels of a scan, with the voxels of a mask in it. Outside of the box, there are none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// Voxels of the scan along i, j, k.
    shape_xyz: [usize; 3],
    /// The first voxel of the box.
    start_ijk: [usize; 3],
    /// Which voxels are in the mask, `[k, j, i]` of the box.
    pub(crate) inside: Array3<bool>,
}

impl Part {
    /// The smallest box with all voxels that have this label; without voxels if there are none.
    pub(crate) fn of(mask: &Mask, label: u16) -> Result<Self, OutOfMemory> {
        let shape_xyz = mask.shape_xyz();
        let Some((first, last)) = mask.bounding_box_ijk(label) else {
            return Ok(Self { shape_xyz, start_ijk: [0; 3], inside: Array3::from_elem([0; 3], false) });
        };
        let end = last.map(|index| index + 1);
        let mut part = Self::empty(shape_xyz, first, end)?;
        match (mask.labels(), u8::try_from(label)) {
            (Labels::U8(labels), Ok(label)) => part.read(labels, label),
            (Labels::U16(labels), _) => part.read(labels, label),
            // No voxel has a label that does not fit.
            (Labels::U8(_), Err(_)) => {}
        }
        Ok(part)
    }

    /// A box without voxels; `end_ijk` is exclusive.
    fn empty(shape_xyz: [usize; 3], start_ijk: [usize; 3], end_ijk: [usize; 3]) -> Result<Self, OutOfMemory> {
        let [ni, nj, nk] = [0, 1, 2].map(|axis| end_ijk[axis] - start_ijk[axis]);
        check_available::<bool>("the mask's part of the scan", ni * nj * nk)?;
        Ok(Self { shape_xyz, start_ijk, inside: Array3::from_elem([nk, nj, ni], false) })
    }

    fn read<T: Copy + PartialEq>(&mut self, labels: &[T], label: T) {
        let ([ni, nj, _], [i0, j0, k0]) = (self.shape_xyz, self.start_ijk);
        let [_, height, width]: [usize; 3] = self.inside.dim().into();
        for (row, mut inside) in self.inside.rows_mut().into_iter().enumerate() {
            let (k, j) = (k0 + row / height, j0 + row % height);
            let start = (k * nj + j) * ni + i0;
            inside.iter_mut().zip(&labels[start..start + width]).for_each(|(inside, &found)| *inside = found == label);
        }
    }

    /// The mask with the shape of the scan, 1 inside, i fastest, then j, k.
    pub(crate) fn labels(&self) -> Result<Vec<u8>, OutOfMemory> {
        let ([ni, nj, nk], [i0, j0, k0]) = (self.shape_xyz, self.start_ijk);
        check_available::<u8>("the mask", ni * nj * nk)?;
        let mut labels = vec![0; ni * nj * nk];
        let [_, height, width]: [usize; 3] = self.inside.dim().into();
        for (row, inside) in self.inside.rows().into_iter().enumerate() {
            let (k, j) = (k0 + row / height, j0 + row % height);
            let start = (k * nj + j) * ni + i0;
            labels[start..start + width].iter_mut().zip(inside).for_each(|(label, &inside)| *label = u8::from(inside));
        }
        Ok(labels)
    }

    /// The same mask in a box that is larger by this many voxels at both ends of i, j, k, as far as the scan reaches.
    pub(crate) fn grown(&self, by_ijk: [usize; 3]) -> Result<Self, OutOfMemory> {
        let (start, end) = (self.start_ijk, self.end_ijk());
        let larger: [usize; 3] = std::array::from_fn(|axis| start[axis].saturating_sub(by_ijk[axis]));
        let end: [usize; 3] =
            std::array::from_fn(|axis| end[axis].saturating_add(by_ijk[axis]).min(self.shape_xyz[axis]));
        let mut grown = Self::empty(self.shape_xyz, larger, end)?;
        let ranges = self.ranges_in(&grown);
        let range = |axis: AxisDescription| Slice::from(ranges[axis.axis.index()].clone());
        grown.inside.slice_each_axis_mut(range).assign(&self.inside);
        Ok(grown)
    }

    /// How many voxels of this mask are in another one too, whose box holds this box.
    pub(crate) fn shared_with(&self, other: &Self) -> u64 {
        let ranges = self.ranges_in(other);
        let there = other.inside.slice_each_axis(|axis| Slice::from(ranges[axis.axis.index()].clone()));
        self.inside.iter().zip(there).filter(|&(&a, &b)| a && b).count() as u64
    }

    /// Where this box lies in a larger one, along k, j, i.
    fn ranges_in(&self, larger: &Self) -> [Range<usize>; 3] {
        let shape = self.shape_ijk();
        [2, 1, 0].map(|axis| {
            let start = self.start_ijk[axis] - larger.start_ijk[axis];
            start..start + shape[axis]
        })
    }

    /// Voxels of the box along i, j, k.
    pub(crate) fn shape_ijk(&self) -> [usize; 3] {
        let [nk, nj, ni]: [usize; 3] = self.inside.dim().into();
        [ni, nj, nk]
    }

    fn end_ijk(&self) -> [usize; 3] {
        let shape = self.shape_ijk();
        std::array::from_fn(|axis| self.start_ijk[axis] + shape[axis])
    }

    /// The place in the box of a voxel of the scan, `[k, j, i]`; `None` if it is outside.
    pub(crate) fn place(&self, ijk: [usize; 3]) -> Option<[usize; 3]> {
        let end = self.end_ijk();
        let within = (0..3).all(|axis| (self.start_ijk[axis]..end[axis]).contains(&ijk[axis]));
        within.then(|| [2, 1, 0].map(|axis| ijk[axis] - self.start_ijk[axis]))
    }

    /// The voxel of the scan at a place of the box, `[k, j, i]`.
    pub(crate) fn voxel(&self, [k, j, i]: [usize; 3]) -> [usize; 3] {
        let [i0, j0, k0] = self.start_ijk;
        [i0 + i, j0 + j, k0 + k]
    }

    /// Whether a voxel of the scan is in the mask.
    pub(crate) fn contains(&self, ijk: [usize; 3]) -> bool {
        self.place(ijk).is_some_and(|place| self.inside[place])
    }

    /// The number of voxels in the mask.
    pub(crate) fn count(&self) -> u64 {
        self.inside.iter().filter(|&&inside| inside).count() as u64
    }
}
