//! Where a frame of a segmentation lies on the grid of a scan.

use segvol_volume::Grid;

/// How far a voxel of a frame may be from the voxel of the grid that it is taken for, in voxels.
const TOLERANCE: f64 = 0.1;

/// How far one step along a row or column may be from a step of the grid, in voxels. More is another grid.
const MOST_OFF: f64 = 0.15;

/// The geometry of a frame, LPS+ millimetres.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FramePlane {
    pub(super) position_mm: [f64; 3],
    pub(super) orientation: [f64; 6],
    /// Between rows, between columns.
    pub(super) pixel_spacing_mm: [f64; 2],
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// The voxel of the grid at each pixel of a frame: steps along the axes of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    first: [i64; 3],
    per_column: [i64; 3],
    per_row: [i64; 3],
}

impl Placed {
    /// The index of the voxel at a pixel; `None` if it is not on the grid.
    pub(super) fn voxel(&self, column: usize, row: usize, shape_xyz: [usize; 3]) -> Option<usize> {
        let mut ijk = [0_usize; 3];
        for axis in 0..3 {
            let at = self.first[axis] + self.per_column[axis] * column as i64 + self.per_row[axis] * row as i64;
            ijk[axis] = usize::try_from(at).ok().filter(|&at| at < shape_xyz[axis])?;
        }
        Some(ijk[0] + shape_xyz[0] * (ijk[1] + shape_xyz[1] * ijk[2]))
    }
}

/// Finds the voxels of a frame. Its rows and columns may run along any axes of the grid in any direction, and it may cover a part
/// of the grid or more than it. The error says what does not fit.
pub(super) fn place(plane: &FramePlane, grid: &Grid) -> Result<Placed, String> {
    let at = |column: f64, row: f64| {
        let [between_rows, between_columns] = plane.pixel_spacing_mm;
        let [x, y, z]: [f64; 3] = std::array::from_fn(|axis| {
            let [along_row, along_column] = [plane.orientation[axis], plane.orientation[axis + 3]];
            plane.position_mm[axis] + along_row * between_columns * column + along_column * between_rows * row
        });
        grid.inverse().apply([-x, -y, z])
    };
    let step = |from: [f64; 3], to: [f64; 3]| -> Option<[i64; 3]> {
        let exact: [f64; 3] = std::array::from_fn(|axis| to[axis] - from[axis]);
        let step = exact.map(f64::round);
        let is_near = (0..3).all(|axis| (exact[axis] - step[axis]).abs() <= MOST_OFF);
        (is_near && step.iter().map(|along| along.abs()).sum::<f64>() == 1.0).then(|| step.map(|along| along as i64))
    };
    let first = at(0.0, 0.0);
    if !first.iter().all(|index| index.abs() < 1e9) {
        return Err(format!("its position {:?} mm is far from the scan", plane.position_mm));
    }
    let steps = (step(first, at(1.0, 0.0)), step(first, at(0.0, 1.0)));
    let (Some(per_column), Some(per_row)) = steps else {
        return Err("its pixels are not those of the scan: another spacing or direction of rows and columns".to_owned());
    };
    let placed = Placed { first: first.map(|index| index.round() as i64), per_column, per_row };
    for (column, row) in [(0, 0), (plane.columns - 1, 0), (0, plane.rows - 1), (plane.columns - 1, plane.rows - 1)] {
        let exact = at(column as f64, row as f64);
        let taken: [f64; 3] = std::array::from_fn(|axis| {
            (placed.first[axis] + per_column[axis] * column as i64 + per_row[axis] * row as i64) as f64
        });
        let off = (0..3).map(|axis| (exact[axis] - taken[axis]).abs()).fold(0.0, f64::max);
        if off.is_nan() || off > TOLERANCE {
            return Err(format!(
                "the pixel in column {column}, row {row} is {off:.2} voxels away from a voxel of the scan"
            ));
        }
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use segvol_volume::Affine;

    use super::*;

    /// 4 × 3 × 2 voxels of 2, 3, 5 mm; voxel (0, 0, 0) at (10, 20, 30) mm LPS, axes along LPS.
    fn grid() -> Grid {
        let lps = Affine::new([[2.0, 0.0, 0.0, 10.0], [0.0, 3.0, 0.0, 20.0], [0.0, 0.0, 5.0, 30.0]]);
        Grid::new([4, 3, 2], Affine::from_lps(lps)).expect("a grid")
    }

    fn plane() -> FramePlane {
        FramePlane {
            position_mm: [10.0, 20.0, 35.0],
            orientation: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            pixel_spacing_mm: [3.0, 2.0],
            rows: 3,
            columns: 4,
        }
    }

    #[test]
    fn rows_and_columns_run_along_any_axis() {
        let grid = grid();
        let voxel =
            |plane: &FramePlane, column, row| place(plane, &grid).expect("placed").voxel(column, row, [4, 3, 2]);
        assert_eq!(voxel(&plane(), 1, 2), Some(1 + 4 * (2 + 3)));
        let flipped =
            FramePlane { position_mm: [16.0, 26.0, 30.0], orientation: [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0], ..plane() };
        assert_eq!((voxel(&flipped, 0, 0), voxel(&flipped, 3, 2)), (Some(3 + 4 * 2), Some(0)));
        // Coronal: columns along i, rows down along k.
        let coronal = FramePlane {
            position_mm: [10.0, 23.0, 35.0],
            orientation: [1.0, 0.0, 0.0, 0.0, 0.0, -1.0],
            pixel_spacing_mm: [5.0, 2.0],
            rows: 2,
            columns: 4,
        };
        assert_eq!((voxel(&coronal, 2, 0), voxel(&coronal, 2, 1)), (Some(2 + 4 * (1 + 3)), Some(2 + 4)));
        // A part of the scan, and more than the scan.
        let part = FramePlane { position_mm: [14.0, 20.0, 30.0], rows: 1, columns: 2, ..plane() };
        assert_eq!((voxel(&part, 0, 0), voxel(&part, 1, 0)), (Some(2), Some(3)));
        let more = FramePlane { position_mm: [8.0, 20.0, 30.0], columns: 6, ..plane() };
        assert_eq!((voxel(&more, 0, 0), voxel(&more, 1, 0), voxel(&more, 5, 0)), (None, Some(0), None));
    }

    #[test]
    fn what_is_between_the_voxels_is_refused() {
        let grid = grid();
        let refused = |plane: FramePlane| place(&plane, &grid).expect_err("refused");
        assert!(refused(FramePlane { position_mm: [10.0, 20.0, 32.5], ..plane() }).contains("0.50 voxels away"));
        assert!(refused(FramePlane { pixel_spacing_mm: [1.5, 1.0], ..plane() }).contains("another spacing"));
        let turned = [0.6, 0.8, 0.0, -0.8, 0.6, 0.0];
        assert!(refused(FramePlane { orientation: turned, ..plane() }).contains("direction of rows"));
        assert!(refused(FramePlane { pixel_spacing_mm: [3.0, 2.2], ..plane() }).contains("voxels away"));
        for wrong in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(refused(FramePlane { position_mm: [wrong, 0.0, 0.0], ..plane() }).contains("far from the scan"));
        }
    }
}
