//! Where a window and its tokens are: in the crop, in the scan's file, and in the patient.
//!
//! A window of `n` cells along an axis that spans `size` voxels of the crop from `start` on has cells of `size / n` voxels. The centre
//! of cell `a` is at `start + (a + 1/2) size / n - 1/2`, if the centre of voxel 0 is at 0. The cells are the tokens, or the window's own
//! voxels; in the zoom-out window, `size` is the crop's.

use segvol::volume::grid::{bounds, corners};
use segvol::{Study, WindowKey};
use segvol_onnx::Architecture;
use serde::Serialize;

/// A map to RAS+ millimetres, `[4, 4]`, row-major: `(x, y, z, 1) = affine (d, h, w, 1)`.
pub type Affine4 = [[f64; 4]; 4];

/// The place of a window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placed {
    /// `zoom_out` (the whole crop, resized) or `zoom_in` (full resolution).
    pub pass: &'static str,
    /// The window's first voxel in the crop, `(d, h, w)`; negative if the window begins with zeros.
    pub start_dhw: [i64; 3],
    /// Voxels of the crop that the window spans, `(d, h, w)`.
    pub size_dhw: [i64; 3],
    /// The first voxel of the crop that the window shows, `(d, h, w)`.
    pub shown_start_dhw: [i64; 3],
    /// One past the last voxel of the crop that it shows, `(d, h, w)`. The rest of the window is 0.
    pub shown_end_dhw: [i64; 3],
    /// The window's smallest voxel in the file, `(i, j, k)`; outside the scan where the window is larger than it.
    pub min_ijk: [i64; 3],
    /// The window's largest voxel in the file, `(i, j, k)`, inclusive.
    pub max_ijk: [i64; 3],
    /// From a token of the grid, `(d, h, w)`, to its centre.
    pub affine: Affine4,
    /// From a voxel of the window, `(d, h, w)`, to its centre.
    pub window_affine: Affine4,
}

impl Placed {
    /// The place of a window of a study.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "never: see the expectation")]
    pub fn of(study: &Study, window: &WindowKey, architecture: &Architecture) -> Self {
        let whole = |n: usize| i64::try_from(n).expect("an index of an array in memory fits in 64 bits");
        let (shape, crop) = (study.crop().shape_dhw(), study.crop().start_dhw.map(whole));
        let start = window.start_dhw().map(|n| n as i64);
        let size = window.size_dhw(shape, architecture.window_dhw).map(whole);
        let shown = window.shown_dhw(shape);
        let first = [0, 1, 2].map(|axis| (crop[axis] + start[axis]) as f64);
        let last = [0, 1, 2].map(|axis| (crop[axis] + start[axis] + size[axis] - 1) as f64);
        // A flipped axis swaps the two ends, and a shear moves all eight corners.
        let (min, max) = bounds(corners(first, last).map(|corner| study.seen_to_ijk(corner)));
        Self {
            pass: if window.is_zoom_out() { "zoom_out" } else { "zoom_in" },
            start_dhw: start,
            size_dhw: size,
            shown_start_dhw: shown.map(|(from, _)| whole(from)),
            shown_end_dhw: shown.map(|(_, to)| whole(to)),
            min_ijk: min.map(|index| index.floor() as i64),
            max_ijk: max.map(|index| index.ceil() as i64),
            affine: cells(study, window, architecture, architecture.grid_dhw()),
            window_affine: cells(study, window, architecture, architecture.window_dhw),
        }
    }
}

/// The map from the cells of a window that is divided into `count` of them along each axis.
fn cells(study: &Study, window: &WindowKey, architecture: &Architecture, count: [usize; 3]) -> Affine4 {
    let (start, crop) = (window.start_dhw(), study.crop().start_dhw);
    let size = window.size_dhw(study.crop().shape_dhw(), architecture.window_dhw);
    let step = [0, 1, 2].map(|axis| size[axis] as f64 / count[axis] as f64);
    let first = [0, 1, 2].map(|axis| crop[axis] as f64 + start[axis] as f64 + step[axis] / 2.0 - 0.5);
    let (axes, file) = (study.axes(), study.grid().affine());
    let place = |dhw: [f64; 3]| file.apply(study.seen_to_ijk(dhw));
    let (origin, rows) = (place(first), file.rows());
    let mut affine = [[0.0; 4], [0.0; 4], [0.0; 4], [0.0, 0.0, 0.0, 1.0]];
    for axis in 0..3 {
        let sign = if axes.flipped()[axis] { -1.0 } else { 1.0 };
        let mut next = first;
        next[axis] += step[axis];
        let next = place(next);
        for row in 0..3 {
            affine[row][axis] = match study.shear() {
                None => sign * step[axis] * rows[row][axes.file_axes()[axis]],
                Some(_) => next[row] - origin[row],
            };
        }
    }
    for row in 0..3 {
        affine[row][3] = origin[row];
    }
    affine
}
