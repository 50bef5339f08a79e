//! Boxes of crop voxels, and the mapping from crop voxels to voxels of the zoom-out window.

use std::ops::Range;

use rayon::prelude::*;

use segvol_scan::resize::IndexTables;

/// A box of crop voxels, `(d, h, w)`. Both ends are inclusive, as in SegVol's boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The smallest index per axis.
    pub min_dhw: [usize; 3],
    /// The largest index per axis, inclusive.
    pub max_dhw: [usize; 3],
}

impl Region {
    /// Voxels per axis.
    #[must_use]
    pub fn shape_dhw(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.max_dhw[axis] - self.min_dhw[axis] + 1)
    }

    /// The smallest region that contains this one and `other`.
    pub fn and(self, other: Self) -> Self {
        Self {
            min_dhw: std::array::from_fn(|axis| self.min_dhw[axis].min(other.min_dhw[axis])),
            max_dhw: std::array::from_fn(|axis| self.max_dhw[axis].max(other.max_dhw[axis])),
        }
    }

    /// The voxels along an axis.
    #[must_use]
    pub fn range(&self, axis: usize) -> Range<usize> {
        self.min_dhw[axis]..self.max_dhw[axis] + 1
    }
}

/// Number of crop voxels within `ranges` whose zoom-out voxel is `positive`.
pub fn count(tables: &IndexTables, ranges: [Range<usize>; 3], positive: impl Fn([usize; 3]) -> bool + Sync) -> u64 {
    let runs: [Vec<Run>; 3] = std::array::from_fn(|axis| runs(&tables[axis], ranges[axis].clone()));
    let of_slice = |d: &Run| {
        let row = |h: &Run| {
            let hits = runs[2].iter().filter(|w| positive([d.source, h.source, w.source]));
            h.voxels() * hits.map(Run::voxels).sum::<u64>()
        };
        d.voxels() * runs[1].iter().map(row).sum::<u64>()
    };
    runs[0].par_iter().map(of_slice).sum()
}

/// Bounding box, inclusive, of the crop voxels within `ranges` whose zoom-out voxel is `positive`; `None` if there is none.
///
/// Zoom-out voxels that no crop voxel maps to are not used.
pub fn bounding_box(
    tables: &IndexTables,
    ranges: [Range<usize>; 3],
    positive: impl Fn([usize; 3]) -> bool,
) -> Option<Region> {
    let runs: [Vec<Run>; 3] = std::array::from_fn(|axis| runs(&tables[axis], ranges[axis].clone()));
    let mut found: Option<Region> = None;
    for d in &runs[0] {
        for h in &runs[1] {
            let hit = |w: &&Run| positive([d.source, h.source, w.source]);
            let (Some(first), Some(last)) = (runs[2].iter().find(hit), runs[2].iter().rev().find(hit)) else {
                continue;
            };
            let (low, high) = ([d.first, h.first, first.first], [d.last, h.last, last.last]);
            let region = found.get_or_insert(Region { min_dhw: low, max_dhw: high });
            region.min_dhw = std::array::from_fn(|axis| region.min_dhw[axis].min(low[axis]));
            region.max_dhw = std::array::from_fn(|axis| region.max_dhw[axis].max(high[axis]));
        }
    }
    found
}

/// Neighbouring crop voxels along an axis that map to the same voxel of the zoom-out window.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The voxel of the zoom-out window.
    pub source: usize,
    /// The first crop voxel that maps to it.
    pub first: usize,
    /// The last one, inclusive.
    pub last: usize,
}

impl Run {
    /// Number of crop voxels.
    #[must_use]
    pub fn voxels(&self) -> u64 {
        (self.last - self.first + 1) as u64
    }
}

/// The runs of `table` within `range`.
pub fn runs(table: &[usize], range: Range<usize>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (crop, &source) in table.iter().enumerate().take(range.end).skip(range.start) {
        match runs.last_mut() {
            Some(run) if run.source == source => run.last = crop,
            _ => runs.push(Run { source, first: crop, last: crop }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounding_box_counts_only_voxels_that_the_crop_is_taken_from() {
        // A crop of 2 from a window of 4 shows the window's voxels 0 and 2.
        let tables: IndexTables = [vec![0, 2], vec![0, 2], vec![0, 0, 1]];
        let ranges = || [0..2, 0..2, 0..3];
        assert_eq!(bounding_box(&tables, ranges(), |[d, _, _]| d == 1), None);
        let found = bounding_box(&tables, ranges(), |[d, h, w]| d == 2 && h == 0 && w == 0);
        assert_eq!(found, Some(Region { min_dhw: [1, 0, 0], max_dhw: [1, 0, 1] }));
    }
}
