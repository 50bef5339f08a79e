//! Where two label maps of one scan differ.

use segvol::Mask;
use segvol::mask::Labels;

/// A box of voxels of the file; both corners inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) min_ijk: [usize; 3],
    pub(crate) max_ijk: [usize; 3],
}

impl Bounds {
    /// Voxels along each axis.
    pub(crate) fn shape(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.max_ijk[axis] - self.min_ijk[axis] + 1)
    }
}

/// The smallest box with every voxel whose labels differ; `None` if there is none. A map that is absent is zero everywhere. Both maps
/// have this shape, i fastest.
pub(crate) fn changed(shape_xyz: [usize; 3], before: Option<&Mask>, now: Option<&Mask>) -> Option<Bounds> {
    match (before.map(Mask::labels), now.map(Mask::labels)) {
        (None, None) => None,
        (Some(Labels::U8(one)), None) | (None, Some(Labels::U8(one))) => bounds(shape_xyz, |n| one[n] != 0),
        (Some(Labels::U16(one)), None) | (None, Some(Labels::U16(one))) => bounds(shape_xyz, |n| one[n] != 0),
        (Some(Labels::U8(before)), Some(Labels::U8(now))) => bounds(shape_xyz, |n| before[n] != now[n]),
        (Some(Labels::U16(before)), Some(Labels::U16(now))) => bounds(shape_xyz, |n| before[n] != now[n]),
        (Some(Labels::U8(before)), Some(Labels::U16(now))) => bounds(shape_xyz, |n| u16::from(before[n]) != now[n]),
        (Some(Labels::U16(before)), Some(Labels::U8(now))) => bounds(shape_xyz, |n| before[n] != u16::from(now[n])),
    }
}

/// The smallest box with every voxel for which `is_inside` of its index holds.
fn bounds([ni, nj, nk]: [usize; 3], is_inside: impl Fn(usize) -> bool) -> Option<Bounds> {
    let mut found: Option<Bounds> = None;
    for k in 0..nk {
        for j in 0..nj {
            let row = (k * nj + j) * ni;
            let Some(first) = (0..ni).find(|i| is_inside(row + i)) else { continue };
            let last = (first..ni).rev().find(|i| is_inside(row + i)).unwrap_or(first);
            let Bounds { min_ijk, max_ijk } =
                found.get_or_insert(Bounds { min_ijk: [first, j, k], max_ijk: [last, j, k] });
            *min_ijk = [min_ijk[0].min(first), min_ijk[1].min(j), min_ijk[2].min(k)];
            *max_ijk = [max_ijk[0].max(last), max_ijk[1].max(j), max_ijk[2].max(k)];
        }
    }
    found
}

/// The labels in a box, i fastest, then j, k; little-endian if they have two bytes. A map that is absent is zero everywhere.
pub(crate) fn cut(shape_xyz: [usize; 3], mask: Option<&Mask>, bounds: Bounds) -> Vec<u8> {
    let rows = |each: &mut dyn FnMut(std::ops::Range<usize>)| {
        let [ni, nj, _] = shape_xyz;
        let Bounds { min_ijk: [i0, j0, k0], max_ijk: [i1, j1, k1] } = bounds;
        for k in k0..=k1 {
            for j in j0..=j1 {
                let row = (k * nj + j) * ni;
                each(row + i0..row + i1 + 1);
            }
        }
    };
    let mut out = Vec::with_capacity(bounds.shape().iter().product());
    match mask.map(Mask::labels) {
        None => out.resize(bounds.shape().iter().product(), 0),
        Some(Labels::U8(labels)) => rows(&mut |row| out.extend_from_slice(&labels[row])),
        Some(Labels::U16(labels)) => {
            rows(&mut |row| out.extend(labels[row].iter().flat_map(|label| label.to_le_bytes())));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use segvol::Grid;
    use segvol::volume::Affine;

    use super::*;

    const SHAPE: [usize; 3] = [4, 3, 2];

    fn mask(inside: &[[usize; 3]]) -> Mask {
        let rows = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let grid = Arc::new(Grid::new(SHAPE, Affine::new(rows)).expect("a grid"));
        let mut labels = vec![0_u8; 24];
        for (label, [i, j, k]) in (1..).zip(inside) {
            labels[i + 4 * (j + 3 * k)] = label;
        }
        Mask::from_labels(labels, grid).expect("fits")
    }

    #[test]
    fn the_box_has_every_difference_and_nothing_around_them() {
        let (a, b) = (mask(&[[1, 1, 0], [2, 0, 1]]), mask(&[[1, 1, 0], [3, 2, 1], [0, 2, 1]]));
        assert_eq!(changed(SHAPE, Some(&a), Some(&a)), None);
        assert_eq!(changed(SHAPE, None, None), None);
        // (2, 0, 1) has gone, (3, 2, 1) and (0, 2, 1) have come; (1, 1, 0) has stayed.
        let bounds = Bounds { min_ijk: [0, 0, 1], max_ijk: [3, 2, 1] };
        assert_eq!(changed(SHAPE, Some(&a), Some(&b)), Some(bounds));
        assert_eq!(cut(SHAPE, Some(&b), bounds), [0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 2]);
        let all = Bounds { min_ijk: [1, 0, 0], max_ijk: [2, 1, 1] };
        assert_eq!(changed(SHAPE, None, Some(&a)), Some(all));
        assert_eq!(changed(SHAPE, Some(&a), None), Some(all));
        assert_eq!(cut(SHAPE, Some(&a), all), [0, 0, 1, 0, 0, 2, 0, 0]);
        assert_eq!(cut(SHAPE, None, all), [0; 8]);
    }
}
