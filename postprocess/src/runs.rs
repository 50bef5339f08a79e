//! A mask in little memory.

use std::sync::Arc;

use segvol_base::OutOfMemory;
use segvol_base::memory::{check_available, reserve};
use segvol_volume::mask::Labels;
use segvol_volume::{Grid, Mask, MaskError};

use crate::apply::INSIDE;

/// The mask of one object as runs of voxels in the file's order: a thousandth of its size for an organ. For programs that keep the
/// masks of many objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// The first voxel of each run, and the one after its last.
    runs: Vec<[u32; 2]>,
}

impl Runs {
    /// The voxels of a mask that have the label [`INSIDE`].
    ///
    /// # Errors
    /// [`OutOfMemory`] if there is not enough memory for the runs.
    pub fn of(mask: &Mask) -> Result<Self, OutOfMemory> {
        let (mut count, mut last) = (0, None);
        visit(mask, |index| {
            count += usize::from(last.is_none_or(|last| last + 1 != index));
            last = Some(index);
        });
        let mut runs: Vec<[u32; 2]> = Vec::new();
        reserve("the runs of a mask", &mut runs, count)?;
        visit(mask, |index| match runs.last_mut() {
            Some([_, end]) if *end == index => *end += 1,
            _ => runs.push([index, index + 1]),
        });
        Ok(Self { runs })
    }

    /// The mask: [`INSIDE`] inside, 0 elsewhere.
    ///
    /// # Errors
    /// [`MaskError::Memory`] if there is not enough memory for one byte per voxel; [`MaskError::Length`] if the grid has fewer voxels
    /// than the mask that this was made of.
    pub fn mask(&self, grid: &Arc<Grid>) -> Result<Mask, MaskError> {
        let voxels = grid.voxels();
        let needed = self.runs.last().map_or(0, |run| run[1] as usize);
        if needed > voxels {
            return Err(MaskError::Length { shape_xyz: grid.shape_xyz(), expected: voxels, found: needed });
        }
        check_available::<u8>("the mask", voxels)?;
        let mut labels = vec![0_u8; voxels];
        self.runs.iter().for_each(|&[start, end]| labels[start as usize..end as usize].fill(1));
        Mask::from_labels(labels, Arc::clone(grid))
    }
}

/// Calls `each` with every voxel inside, in order. A grid has fewer voxels than 2^32.
fn visit(mask: &Mask, mut each: impl FnMut(u32)) {
    let inside = |label: u16| label == INSIDE;
    match mask.labels() {
        Labels::U8(labels) => {
            labels
                .iter()
                .enumerate()
                .filter(|&(_, &label)| inside(label.into()))
                .for_each(|(index, _)| each(index as u32));
        }
        Labels::U16(labels) => {
            labels.iter().enumerate().filter(|&(_, &label)| inside(label)).for_each(|(index, _)| each(index as u32));
        }
    }
}
