//! The line around a mask in one slice.

use std::collections::BTreeMap;

use crate::resample::Lattice;
use crate::shape::Patch;

/// A closed line, in pixels `(x, y)` of the tile; its last point is its first.
pub(crate) type Loop = Vec<[f64; 2]>;

/// Voxels around a patch that its smoothed edge may reach into, and that close every line.
const MARGIN: usize = 3;

/// How far a smoothed voxel stays on its side of the edge, which is at 0.5.
const GUARD: f32 = 0.08;

/// The edges of a patch, `scale` pixels (rows, columns) to a voxel.
///
/// The steps of the voxels are smoothed, but no voxel's centre changes sides: the line runs between the centres inside
/// and outside, and no voxel is lost.
pub(crate) fn contours(patch: &Patch<'_>, scale: [f64; 2]) -> Vec<Loop> {
    let smooth = smoothed(patch);
    // Where a pixel holds several voxels the line is sought between pixels, or single voxels would be passed over.
    let finer = scale.map(|scale| (1.0 / scale).ceil().max(1.0));
    let scale = [scale[0] * finer[0], scale[1] * finer[1]];
    let [rows, columns] = [0, 1].map(|axis| {
        let first = smooth.first[axis] as f64;
        let last = first + smooth.size[axis] as f64;
        (first * scale[axis]).floor() as isize..(last * scale[axis]).ceil() as isize
    });
    let mut loops = level_lines(&smooth.resample(scale, rows, columns));
    for [x, y] in loops.iter_mut().flatten() {
        (*x, *y) = (*x / finer[1], *y / finer[0]);
    }
    loops
}

/// The patch as numbers from 0 (outside) to 1 (inside), with a margin around it.
fn smoothed(patch: &Patch<'_>) -> Lattice {
    let [height, width] = patch.size.map(|n| n + 2 * MARGIN);
    let mut mask = vec![0.0_f32; height * width];
    for (row, inside) in patch.inside.chunks_exact(patch.size[1]).enumerate() {
        for (column, &inside) in inside.iter().enumerate() {
            mask[(row + MARGIN) * width + column + MARGIN] = f32::from(u8::from(inside));
        }
    }
    let mut values = mask.clone();
    for _ in 0..2 {
        blur(&mut values, width);
        // Clamped after each pass, the edge finds its way around guarded centres.
        for (value, &inside) in values.iter_mut().zip(&mask) {
            *value = if inside > 0.5 { value.max(0.5 + GUARD) } else { value.min(0.5 - GUARD) };
        }
    }
    Lattice { first: patch.first.map(|n| n as isize - MARGIN as isize), size: [height, width], values }
}

/// Binomial weights 1, 2, 1 along rows and columns. The border, outside of the shape, is left as it is.
fn blur(values: &mut [f32], width: usize) {
    for step in [1, width] {
        let before = values.to_vec();
        for index in step..values.len() - step {
            values[index] = (before[index - step] + 2.0 * before[index] + before[index + step]) / 4.0;
        }
    }
}

/// Where a lattice of pixels is 0.5, by marching squares; values at the lattice's border are below.
fn level_lines(field: &Lattice) -> Vec<Loop> {
    let [height, width] = field.size;
    let inside = |row: usize, column: usize| field.get(row, column) > 0.5;
    // From the edge where a piece enters a cell to the edge where it leaves; inside is on its left.
    let mut pieces: BTreeMap<Edge, Edge> = BTreeMap::new();
    for row in 0..height.saturating_sub(1) {
        for column in 0..width.saturating_sub(1) {
            let corners =
                [inside(row, column), inside(row, column + 1), inside(row + 1, column + 1), inside(row + 1, column)];
            // The cell's edges, clockwise from the top; edge n lies between corners n and n + 1.
            let edges = [
                Edge { row, column, down: false },
                Edge { row, column: column + 1, down: true },
                Edge { row: row + 1, column, down: false },
                Edge { row, column, down: true },
            ];
            // Going around, the line leaves where inside begins, and enters where it ends.
            let entries: Vec<usize> = (0..4).filter(|&n| corners[n] && !corners[(n + 1) % 4]).collect();
            let exits: Vec<usize> = (0..4).filter(|&n| !corners[n] && corners[(n + 1) % 4]).collect();
            match (&entries[..], &exits[..]) {
                (&[entry], &[exit]) => {
                    pieces.insert(edges[entry], edges[exit]);
                }
                (&[a, b], _) => {
                    // Two corners across the cell are inside: the middle says whether they are one.
                    let sum = field.get(row, column)
                        + field.get(row, column + 1)
                        + field.get(row + 1, column + 1)
                        + field.get(row + 1, column);
                    let turn = if sum > 2.0 { 1 } else { 3 };
                    pieces.insert(edges[a], edges[(a + turn) % 4]);
                    pieces.insert(edges[b], edges[(b + turn) % 4]);
                }
                _ => {}
            }
        }
    }
    let mut loops = Vec::new();
    while let Some((start, mut edge)) = pieces.pop_first() {
        let mut line = vec![start.crossing(field), edge.crossing(field)];
        while edge != start {
            let Some(next) = pieces.remove(&edge) else { break };
            line.push(next.crossing(field));
            edge = next;
        }
        loops.push(line);
    }
    loops
}

/// The edge from a lattice point to the next one, down or to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    row: usize,
    column: usize,
    down: bool,
}

impl Edge {
    /// Where the field is 0.5 on it, in pixels `(x, y)`.
    fn crossing(self, field: &Lattice) -> [f64; 2] {
        let Self { row, column, down } = self;
        let from = f64::from(field.get(row, column));
        let to = f64::from(if down { field.get(row + 1, column) } else { field.get(row, column + 1) });
        let share = if from == to { 0.5 } else { (0.5 - from) / (to - from) };
        let x = field.first[1] as f64 + column as f64 + 0.5 + if down { 0.0 } else { share };
        let y = field.first[0] as f64 + row as f64 + 0.5 + if down { share } else { 0.0 };
        [x, y]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disc(radius: f64, size: usize) -> Vec<bool> {
        let middle = (size as f64 - 1.0) / 2.0;
        let inside = |row: usize, column: usize| (row as f64 - middle).hypot(column as f64 - middle) <= radius;
        (0..size).flat_map(|row| (0..size).map(move |column| inside(row, column))).collect()
    }

    #[test]
    fn a_circle_s_line_lies_on_its_edge() {
        let (size, radius) = (31, 12.3);
        let inside = disc(radius, size);
        let patch = Patch { first: [5, 9], size: [size, size], inside: &inside };
        let scale = [4.0, 3.0];
        let loops = contours(&patch, scale);
        assert_eq!(loops.len(), 1);
        assert_eq!(loops[0].first(), loops[0].last());
        let middle = (size as f64 - 1.0) / 2.0;
        let mut total = 0.0;
        for [x, y] in &loops[0] {
            let row = y / scale[0] - 0.5 - 5.0 - middle;
            let column = x / scale[1] - 0.5 - 9.0 - middle;
            let error = row.hypot(column) - radius;
            assert!(error.abs() < 0.75, "({x}, {y}): {error} voxels beside the edge");
            total += error;
        }
        let mean = total / loops[0].len() as f64;
        assert!(mean.abs() < 0.15, "{mean} voxels beside the edge in the mean");
    }

    #[test]
    fn no_voxel_changes_sides() {
        // A lone voxel, a line one voxel wide, a ring with a hole of one voxel, two voxels that touch at a corner.
        let cases: [(&str, [usize; 2], usize); 4] =
            [("#", [1, 1], 1), ("#########", [1, 9], 1), ("####.####", [3, 3], 2), ("#..#", [2, 2], 1)];
        for (picture, size, most) in cases {
            let inside: Vec<bool> = picture.chars().map(|c| c == '#').collect();
            let loops = contours(&Patch { first: [0, 0], size, inside: &inside }, [5.0, 5.0]);
            assert!(!loops.is_empty() && loops.len() <= most.max(2), "{picture}: {} lines", loops.len());
            for row in 0..size[0] {
                for column in 0..size[1] {
                    let at = [5.0 * column as f64 + 2.5, 5.0 * row as f64 + 2.5];
                    assert_eq!(winds_around(&loops, at), inside[row * size[1] + column], "{picture} {row} {column}");
                }
            }
        }
    }

    /// Whether a ray to the right crosses the lines an odd number of times.
    fn winds_around(loops: &[Loop], [x, y]: [f64; 2]) -> bool {
        let pieces = loops.iter().flat_map(|line| line.windows(2));
        let crossings = pieces.filter(|piece| {
            let ([ax, ay], [bx, by]) = (piece[0], piece[1]);
            (ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
        });
        crossings.count() % 2 == 1
    }
}
