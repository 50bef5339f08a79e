//! Where the slices of a scan lie.

use segvol_dicom::SourceSeries;
use segvol_volume::Grid;

use crate::error::SegmentsError;

/// How far a slice may be from where the grid has it, as a share of the smallest spacing. The grid is regular, the positions in
/// the files are rounded. Another order of slices, rows or columns is off by at least one spacing.
const TOLERANCE: f64 = 0.1;

/// The plane of one slice, LPS+ millimetres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plane {
    /// The centre of the first voxel.
    pub(crate) position_mm: [f64; 3],
    /// The directions of a row (towards greater i) and of a column (towards greater j).
    pub(crate) orientation: [f64; 6],
    /// Between rows (along j), between columns (along i).
    pub(crate) pixel_spacing_mm: [f64; 2],
    /// As the source states it.
    pub(crate) thickness_mm: Option<f64>,
}

impl Plane {
    /// The place of a voxel's centre, by column and row; both may have fractions.
    pub(crate) fn place(&self, column: f64, row: f64) -> [f64; 3] {
        let [between_rows, between_columns] = self.pixel_spacing_mm;
        std::array::from_fn(|axis| {
            let [along_row, along_column] = [self.orientation[axis], self.orientation[axis + 3]];
            self.position_mm[axis] + along_row * between_columns * column + along_column * between_rows * row
        })
    }

    /// Perpendicular to rows and columns, of length 1.
    pub(crate) fn normal(&self) -> [f64; 3] {
        let [a, b, c, d, e, f] = self.orientation;
        [b * f - c * e, c * d - a * f, a * e - b * d]
    }
}

/// The planes of the slices, in the order of k. The plane of an interpolated slice follows from the grid.
///
/// # Errors
///
/// [`SegmentsError::NotDicom`]; [`SegmentsError::OffPlanes`] if the grid is not that of the slices.
pub(crate) fn planes(grid: &Grid) -> Result<Vec<Plane>, SegmentsError> {
    let series: &SourceSeries = grid.dicom().ok_or(SegmentsError::NotDicom)?;
    let [ni, nj, nk] = grid.shape_xyz();
    let off = |reason: String| SegmentsError::OffPlanes { reason };
    if series.slices.len() != nk {
        return Err(off(format!("the series has {} slices, the grid has {nk}", series.slices.len())));
    }
    let lps = |ijk: [f64; 3]| {
        let [x, y, z] = grid.affine().apply(ijk);
        [-x, -y, z]
    };
    let Some(first) = series.slices.iter().flatten().next() else {
        return Err(off("the series has no slices".to_owned()));
    };
    let tolerance_mm = TOLERANCE * grid.spacing_mm().into_iter().fold(f64::INFINITY, f64::min);
    let mut planes = Vec::with_capacity(nk);
    for (k, slice) in series.slices.iter().enumerate() {
        let slice_or_first = slice.as_ref().unwrap_or(first);
        let plane = Plane {
            position_mm: slice.as_ref().map_or_else(|| lps([0.0, 0.0, k as f64]), |slice| slice.position_mm),
            orientation: slice_or_first.orientation,
            pixel_spacing_mm: slice_or_first.pixel_spacing_mm,
            thickness_mm: slice_or_first.slice_thickness_mm,
        };
        for (i, j) in [(0, 0), (ni - 1, 0), (0, nj - 1)] {
            let [on_plane, on_grid] = [plane.place(i as f64, j as f64), lps([i as f64, j as f64, k as f64])];
            let distance = (0..3).map(|axis| (on_plane[axis] - on_grid[axis]).powi(2)).sum::<f64>().sqrt();
            if !(distance <= tolerance_mm) {
                return Err(off(format!(
                    "voxel ({i}, {j}, {k}) is at {on_grid:.3?} mm (LPS) on the grid, and at {on_plane:.3?} mm in its image"
                )));
            }
        }
        planes.push(plane);
    }
    Ok(planes)
}
