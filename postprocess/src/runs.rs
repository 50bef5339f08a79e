//! A mask in little memory.

use std::sync::Arc;

use segvol_base::memory::check_available;
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
    #[must_use]
    pub fn of(mask: &Mask) -> Self {
        let mut runs: Vec<[u32; 2]> = Vec::new();
        let mut visit = |index: usize| {
            // A grid has fewer voxels than 2^32.
            let index = index as u32;
            match runs.last_mut() {
                Some([_, end]) if *end == index => *end += 1,
                _ => runs.push([index, index + 1]),
            }
        };
        match mask.labels() {
            Labels::U8(labels) => {
                labels.iter().enumerate().filter(|&(_, &label)| u16::from(label) == INSIDE).for_each(|(i, _)| visit(i));
            }
            Labels::U16(labels) => {
                labels.iter().enumerate().filter(|&(_, &label)| label == INSIDE).for_each(|(i, _)| visit(i));
            }
        }
        Self { runs }
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
