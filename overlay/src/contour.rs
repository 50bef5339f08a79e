//! The outline of a mask in one slice.

use contour::ContourBuilder;
use image::Luma;
use image::imageops::{self, FilterType};

use crate::canvas::{Field, Line};
use crate::shape::Patch;

/// The margin around a patch, in voxels. The smoothed edge can reach into it, and it closes every line.
const MARGIN: usize = 3;

/// The minimum difference between the smoothed value of a voxel and the edge, which is at 0.5.
const GUARD: f32 = 0.08;

/// A binomial filter: 1 2 1 along rows and columns.
const BINOMIAL: [f32; 9] = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0];

/// The edges of a patch as closed lines in pixels of the tile. `scale` is the number of pixels per voxel (rows,
/// columns).
///
/// The edges of the voxels are smoothed, but the line always runs between the voxel centres inside and those outside.
/// So no voxel is lost.
pub(crate) fn contours(patch: &Patch<'_>, scale: [f64; 2]) -> Vec<Line> {
    let smooth = smoothed(patch);
    // At least one sample per pixel, and an odd number per voxel, so that one sample lies at the voxel's centre.
    let samples = scale.map(|scale| 2 * ((scale - 1.0) / 2.0).ceil().max(0.0) as u32 + 1);
    let (width, height) = (smooth.width() * samples[1], smooth.height() * samples[0]);
    let field = imageops::resize(&smooth, width, height, FilterType::CatmullRom);
    let found = ContourBuilder::new(width as usize, height as usize, true)
        .lines(field.as_raw(), &[0.5])
        .expect("a field has a value for each of its pixels");
    let pixel = |axis: usize, sample: f32| {
        let voxel = f64::from(sample) / f64::from(samples[axis]) + patch.first[axis] as f64 - MARGIN as f64;
        (voxel * scale[axis]) as f32
    };
    let lines = found.iter().flat_map(|line| line.geometry());
    lines.map(|line| line.coords().map(|at| [pixel(1, at.x), pixel(0, at.y)]).collect()).collect()
}

/// The smoothed patch: values from 0 (outside) to 1 (inside), with a margin around it.
fn smoothed(patch: &Patch<'_>) -> Field {
    let [rows, columns] = patch.size;
    let mask = Field::from_fn((columns + 2 * MARGIN) as u32, (rows + 2 * MARGIN) as u32, |x, y| {
        let (column, row) = ((x as usize).wrapping_sub(MARGIN), (y as usize).wrapping_sub(MARGIN));
        let inside = row < rows && column < columns && patch.inside[row * columns + column];
        Luma([f32::from(u8::from(inside))])
    });
    let mut values = mask.clone();
    for _ in 0..2 {
        values = imageops::filter3x3(&values, &BINOMIAL);
        // The values are clamped after each pass, so the next pass smooths the edge around the voxel centres.
        for (value, &inside) in values.iter_mut().zip(mask.iter()) {
            *value = if inside > 0.5 { value.max(0.5 + GUARD) } else { value.min(0.5 - GUARD) };
        }
    }
    values
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
        let scale = [4.0_f32, 3.0];
        let loops = contours(&patch, scale.map(f64::from));
        assert_eq!(loops.len(), 1);
        assert_eq!(loops[0].first(), loops[0].last());
        let middle = (size as f64 - 1.0) / 2.0;
        let mut total = 0.0;
        for [x, y] in &loops[0] {
            let row = f64::from(y / scale[0]) - 0.5 - 5.0 - middle;
            let column = f64::from(x / scale[1]) - 0.5 - 9.0 - middle;
            let error = row.hypot(column) - radius;
            assert!(error.abs() < 0.75, "({x}, {y}): {error} voxels from the edge");
            total += error;
        }
        let mean = total / loops[0].len() as f64;
        assert!(mean.abs() < 0.15, "{mean} voxels from the edge on average");
    }

    #[test]
    fn no_voxel_changes_sides() {
        // A single voxel, a line one voxel wide, a ring with a hole of one voxel, two voxels that touch at a corner.
        let cases: [(&str, [usize; 2], usize); 4] =
            [("#", [1, 1], 1), ("#########", [1, 9], 1), ("####.####", [3, 3], 2), ("#..#", [2, 2], 2)];
        for (picture, size, most) in cases {
            let inside: Vec<bool> = picture.chars().map(|c| c == '#').collect();
            // Voxels of 5 by 5 pixels, of 1.3 by 2.6, and several voxels per pixel.
            for scale in [[5.0_f32, 5.0], [1.3, 2.6], [0.4, 0.9]] {
                let loops = contours(&Patch { first: [0, 0], size, inside: &inside }, scale.map(f64::from));
                assert!(!loops.is_empty() && loops.len() <= most, "{picture}: {} lines", loops.len());
                for row in 0..size[0] {
                    for column in 0..size[1] {
                        let at = [scale[1] * (column as f32 + 0.5), scale[0] * (row as f32 + 0.5)];
                        let voxel = inside[row * size[1] + column];
                        assert_eq!(winds_around(&loops, at), voxel, "{picture} {row} {column} {scale:?}");
                    }
                }
            }
        }
    }

    /// Whether a ray to the right crosses the lines an odd number of times.
    fn winds_around(loops: &[Line], [x, y]: [f32; 2]) -> bool {
        let pieces = loops.iter().flat_map(|line| line.windows(2));
        let crossings = pieces.filter(|piece| {
            let ([ax, ay], [bx, by]) = (piece[0], piece[1]);
            (ay > y) != (by > y) && x < ax + (y - ay) / (by - ay) * (bx - ax)
        });
        crossings.count() % 2 == 1
    }
}
