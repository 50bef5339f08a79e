//! From a stroke, an outline or a box on one slice to points.
//!
//! SegVol takes points, and no painted voxels. So a stroke becomes [`MAX_POINTS`] points at most, by this rule:
//!
//! 1. Only voxels deep inside are considered: those at least half as far from the border of the painted region as its deepest voxel.
//!    Distances are steps from voxel to voxel, and an axis along which the region is one voxel thick has no border. In a thin line all
//!    voxels count; in a filled outline, the margin does not, where a hasty hand leaves the object.
//! 2. The first point is the voxel nearest to the centre of these.
//! 3. Each next point is the one that is farthest, in millimetres, from all points so far, as long as that is at least
//!    [`MIN_DISTANCE_MM`].
//!
//! Where several voxels are equally good, the first one in memory is taken: the same stroke always gives the same points.

#[cfg(test)]
mod tests;

/// The most points of a stroke.
pub(crate) const MAX_POINTS: usize = 5;
/// The least distance between two points of a stroke, in millimetres.
pub(crate) const MIN_DISTANCE_MM: f64 = 5.0;
/// The memory that [`points`] needs for each voxel, with the stroke itself: for a place, two distances and whether it is painted.
pub(crate) const BYTES_PER_VOXEL: u64 = 37;

/// The points of a stroke, as indices along the three axes. Empty if nothing is painted.
///
/// | value        | shape     | meaning                             |
/// |--------------|-----------|-------------------------------------|
/// | `painted`    | `[a*b*c]` | whether a voxel is painted, C order |
/// | `shape`      | `[3]`     | voxels along each axis              |
/// | `spacing_mm` | `[3]`     | millimetres between voxels          |
pub(crate) fn points(painted: &[bool], shape: [usize; 3], spacing_mm: [f64; 3]) -> Vec<[usize; 3]> {
    let depths = depths(painted, shape);
    let deepest = depths.iter().copied().max().unwrap_or(0);
    if deepest == 0 {
        return Vec::new();
    }
    let place = |index: usize| [index / (shape[1] * shape[2]), index / shape[2] % shape[1], index % shape[2]];
    let inner: Vec<[usize; 3]> = (0..depths.len()).filter(|&index| 2 * depths[index] >= deepest).map(place).collect();
    // The squared distance in millimetres.
    let apart = |a: [f64; 3], b: [usize; 3]| -> f64 {
        (0..3).map(|axis| ((a[axis] - b[axis] as f64) * spacing_mm[axis]).powi(2)).sum()
    };
    let float = |at: [usize; 3]| at.map(|index| index as f64);
    let centre = [0, 1, 2].map(|axis| inner.iter().map(|at| at[axis] as f64).sum::<f64>() / inner.len() as f64);
    let mut distances: Vec<f64> = inner.iter().map(|&at| -apart(centre, at)).collect();
    let mut points = Vec::new();
    while points.len() < MAX_POINTS {
        let mut best = 0;
        for (index, &distance) in distances.iter().enumerate() {
            if distance > distances[best] {
                best = index;
            }
        }
        if !points.is_empty() && distances[best] < MIN_DISTANCE_MM.powi(2) {
            break;
        }
        let next = float(inner[best]);
        let first = points.is_empty();
        points.push(inner[best]);
        for (distance, &at) in distances.iter_mut().zip(&inner) {
            let new = apart(next, at);
            *distance = if first { new } else { distance.min(new) };
        }
    }
    points
}

/// For each painted voxel: the steps to the nearest voxel that is not painted, along the axes that have more than one voxel. 0 for those
/// that are not painted. All of a straight line along an axis has the depth 1.
fn depths(painted: &[bool], shape: [usize; 3]) -> Vec<u32> {
    let strides = [shape[1] * shape[2], shape[2], 1];
    let mut depths: Vec<u32> = painted.iter().map(|&inside| if inside { u32::MAX } else { 0 }).collect();
    let axes: Vec<usize> = (0..3).filter(|&axis| shape[axis] > 1).collect();
    if axes.len() < 2 {
        // A voxel, or a straight line.
        return painted.iter().map(|&inside| u32::from(inside)).collect();
    }
    for index in 0..depths.len() {
        for &axis in &axes {
            let at = index / strides[axis] % shape[axis];
            let before = if at == 0 { 0 } else { depths[index - strides[axis]] };
            depths[index] = depths[index].min(before.saturating_add(1));
        }
    }
    for index in (0..depths.len()).rev() {
        for &axis in &axes {
            let at = index / strides[axis] % shape[axis];
            let after = if at + 1 == shape[axis] { 0 } else { depths[index + strides[axis]] };
            depths[index] = depths[index].min(after.saturating_add(1));
        }
    }
    depths
}

/// The part of an array around what is painted, and where it begins. `None` if nothing is painted.
pub(crate) fn cropped(painted: &[bool], shape: [usize; 3]) -> Option<(Vec<bool>, [usize; 3], [usize; 3])> {
    let (mut low, mut high) = (shape, [0; 3]);
    for (row, voxels) in painted.chunks_exact(shape[2]).enumerate() {
        let Some(first) = voxels.iter().position(|&inside| inside) else { continue };
        let last = voxels.iter().rposition(|&inside| inside).unwrap_or(first);
        let [a, b] = [row / shape[1], row % shape[1]];
        low = [low[0].min(a), low[1].min(b), low[2].min(first)];
        high = [high[0].max(a + 1), high[1].max(b + 1), high[2].max(last + 1)];
    }
    if high[0] == 0 {
        return None;
    }
    let size = [0, 1, 2].map(|axis| high[axis] - low[axis]);
    let mut part = Vec::with_capacity(size.iter().product());
    for a in low[0]..high[0] {
        for b in low[1]..high[1] {
            let row = (a * shape[1] + b) * shape[2];
            part.extend_from_slice(&painted[row + low[2]..row + high[2]]);
        }
    }
    Some((part, size, low))
}
