//! A tile: one slice, with everything that is drawn on it.

use image::imageops::{self, FilterType};
use segvol_volume::{Marks, PointLabel, Volume};

use crate::canvas::{Canvas, Stroke, rectangle, stroke};
use crate::contour::contours;
use crate::palette::{Colour, TEXT, TRUTH, opaque};
use crate::plane::Plane;
use crate::shape::Shape;
use crate::slices::{box_crosses, slice_of};
use crate::text;
use crate::window::Window;

/// The limits of the longest side of a tile, in pixels. Within them, the smallest spacing is one pixel.
const SIDE: std::ops::RangeInclusive<f64> = 360.0..=480.0;

/// The number of grey steps from black to white. They are finer than a CT's noise in common windows, and files are a
/// third smaller than with 255 steps.
const GREYS: f32 = 63.0;

/// The length of an arm of a point's mark, from its centre, in pixels.
const ARM: f32 = 6.0;

/// The contour of the row's own object.
pub(crate) const OWN: Stroke = Stroke { colour: TEXT, width: 2.0, dash: None, halo: 0.8 };
/// The contour of another object.
pub(crate) const OTHER: Stroke = Stroke { colour: TEXT, width: 1.1, dash: None, halo: 0.0 };
/// The contour of the true mask.
pub(crate) const DASHED: Stroke = Stroke { colour: TRUTH, width: 1.2, dash: Some([5.0, 4.0]), halo: 0.5 };
/// The outline of a box, around its outermost voxels.
pub(crate) const BOX: Stroke = Stroke { colour: TEXT, width: 1.4, dash: None, halo: 0.8 };
const POINT: Stroke = Stroke { colour: TEXT, width: 2.6, dash: None, halo: 1.3 };

/// The limits of the longest side of a close view.
const CLOSE_SIDE: std::ops::RangeInclusive<f64> = 280.0..=320.0;

/// The scan around the object in a close view, at least, in millimetres.
const AROUND_MM: f64 = 20.0;

/// The shortest side of what a close view shows, if the scan has it, in millimetres.
const CLOSEST_MM: f64 = 100.0;

/// The part of the slices that tiles show, and the size and scale of tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Width and height in pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pixels per voxel, rows and columns.
    pub(crate) scale: [f64; 2],
    /// The first row and column of the slices that is shown.
    first: [usize; 2],
    /// Rows and columns that are shown.
    size: [usize; 2],
}

impl Frame {
    /// The frame for whole slices of a plane. Pixels are square in millimetres.
    pub(crate) fn new(plane: &Plane) -> Self {
        let [_, rows, columns] = plane.shape;
        Self::of_part(plane, [0, 0], [rows, columns], SIDE)
    }

    /// The frame for the part of slices around these rows and columns, both ends inclusive.
    pub(crate) fn close(plane: &Plane, low: [f64; 2], high: [f64; 2]) -> Self {
        let (mut first, mut size) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            let (spacing, count) = (plane.spacing_mm[axis + 1], plane.shape[axis + 1]);
            let around =
                (AROUND_MM / spacing).max((CLOSEST_MM / spacing - (high[axis] - low[axis] + 1.0)) / 2.0).ceil();
            let last = (count - 1) as f64;
            let start = (low[axis] - around).floor().clamp(0.0, last);
            let end = (high[axis] + around).ceil().clamp(start, last);
            first[axis] = start as usize;
            size[axis] = (end - start) as usize + 1;
        }
        Self::of_part(plane, first, size, CLOSE_SIDE)
    }

    fn of_part(plane: &Plane, first: [usize; 2], size: [usize; 2], limits: std::ops::RangeInclusive<f64>) -> Self {
        let ([rows, columns], [_, row_mm, column_mm]) = (size, plane.spacing_mm);
        let longest_mm = (rows as f64 * row_mm).max(columns as f64 * column_mm);
        let side = (longest_mm / row_mm.min(column_mm)).clamp(*limits.start(), *limits.end());
        let pixels = |count: usize, mm: f64| (count as f64 * mm / longest_mm * side).round().max(1.0);
        let (height, width) = (pixels(rows, row_mm), pixels(columns, column_mm));
        let scale = [height / rows as f64, width / columns as f64];
        Self { width: width as u32, height: height as u32, scale, first, size }
    }

    /// The position in the tile, `(x, y)` in pixels, of the centre of the voxel at this row and column.
    fn at(&self, row: f64, column: f64) -> [f32; 2] {
        let [first_row, first_column] = self.first.map(|first| first as f64);
        [((column - first_column + 0.5) * self.scale[1]) as f32, ((row - first_row + 0.5) * self.scale[0]) as f32]
    }
}

/// The slice of the scan in grey, with letters for the patient's directions at its borders.
pub(crate) fn image(volume: &Volume, plane: &Plane, slice: usize, frame: Frame, window: Window) -> Canvas {
    let slice = plane.cut(volume.voxels(), slice, |hu| window.grey(hu));
    let ([y, x], [height, width]) = (frame.first.map(|first| first as u32), frame.size.map(|size| size as u32));
    let slice = imageops::crop_imm(&slice, x, y, width, height).to_image();
    // The Catmull-Rom filter passes through the voxels' values. It is widened if a pixel covers several voxels.
    let scaled = imageops::resize(&slice, frame.width, frame.height, FilterType::CatmullRom);
    let mut canvas = Canvas::from_fn(frame.width, frame.height, |x, y| {
        opaque([((scaled.get_pixel(x, y)[0] * GREYS).round() * 255.0 / GREYS).round() as u8; 3])
    });
    let [left, right, top, bottom] = plane.axis().letters().map(String::from);
    let (width, height) = (text::width(&left), text::HEIGHT);
    let (middle_x, middle_y) = (frame.width.saturating_sub(width) / 2, frame.height.saturating_sub(height) / 2);
    let (end_x, end_y) = (frame.width.saturating_sub(width + 4), frame.height.saturating_sub(height + 1));
    let places = [(left, [4, middle_y]), (right, [end_x, middle_y]), (top, [middle_x, 1]), (bottom, [middle_x, end_y])];
    for (letter, at) in places {
        text::draw_on_image(&mut canvas, at, &letter, TEXT);
    }
    canvas
}

/// Draws the contour of an object.
pub(crate) fn outline(canvas: &mut Canvas, shape: &Shape, slice: usize, frame: Frame, look: Stroke) {
    if let Some(patch) = shape.patch(slice) {
        let [y, x] = [0, 1].map(|axis| (frame.first[axis] as f64 * frame.scale[axis]) as f32);
        let mut lines = contours(&patch, frame.scale);
        lines.iter_mut().flatten().for_each(|at| *at = [at[0] - x, at[1] - y]);
        stroke(canvas, &lines, look);
    }
}

/// Draws the box, if it crosses this slice, and the points of this slice: + for inside of the object, x for outside.
pub(crate) fn marks(canvas: &mut Canvas, marks: &Marks, plane: &Plane, slice: usize, frame: Frame, colour: Colour) {
    if let Some(bounds) = marks.bounding_box {
        let (a, b) = (plane.place(bounds.min), plane.place(bounds.max));
        if box_crosses([a[0], b[0]], slice) {
            // The box includes the whole voxels at its corners.
            let first = frame.at(a[1].min(b[1]) - 0.5, a[2].min(b[2]) - 0.5);
            let last = frame.at(a[1].max(b[1]) + 0.5, a[2].max(b[2]) + 0.5);
            stroke(canvas, &[rectangle(first, last)], Stroke { colour, ..BOX });
        }
    }
    for &(ijk, label) in &marks.points {
        let [at, row, column] = plane.place(ijk);
        if slice_of(at, plane) == slice {
            point(canvas, frame.at(row, column), label, colour);
        }
    }
}

/// Draws the mark of a point: + or x.
pub(crate) fn point(canvas: &mut Canvas, [x, y]: [f32; 2], label: PointLabel, colour: Colour) {
    let lines = match label {
        PointLabel::Foreground => [vec![[x - ARM, y], [x + ARM, y]], vec![[x, y - ARM], [x, y + ARM]]],
        PointLabel::Background => {
            let arm = ARM / std::f32::consts::SQRT_2;
            [vec![[x - arm, y - arm], [x + arm, y + arm]], vec![[x - arm, y + arm], [x + arm, y - arm]]]
        }
    };
    stroke(canvas, &lines, Stroke { colour, ..POINT });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plane::Axis;
    use crate::plane::tests::stored;

    /// The first axial slice as a tile, black at 0 HU and white at 1 HU.
    fn tile(counts: [usize; 2], spacing: [f64; 2], value: impl Fn(usize) -> f32) -> (Canvas, Frame) {
        let volume = stored("LPS", [counts[0], counts[1], 1], [spacing[0], spacing[1], 1.0], |[x, ..]| value(x));
        let plane = Plane::new(volume.grid(), Axis::Axial);
        let frame = Frame::new(&plane);
        (image(&volume, &plane, 0, frame, Window::new(0.5, 1.0).expect("a window")), frame)
    }

    #[test]
    fn a_tile_has_the_patient_s_proportions() {
        // A ramp over 100 columns of 1 mm, with 40 rows of 3 mm.
        let (canvas, frame) = tile([100, 40], [1.0, 3.0], |x| x as f32 / 99.0);
        assert_eq!((frame.width, frame.height, canvas.dimensions()), (300, 360, (300, 360)));
        assert_eq!(frame.scale, [9.0, 3.0]);
        // Columns go from high x to low x, towards the patient's left.
        for pixel in [20, 100, 200, 280] {
            let expected = 255.0 * (99.0 - ((pixel as f32 + 0.5) / 3.0 - 0.5)) / 99.0;
            let found = f32::from(canvas.get_pixel(pixel, 100)[0]);
            assert!((found - expected).abs() < 5.0, "{pixel}: {found}, not {expected}");
        }
    }

    #[test]
    fn pixels_larger_than_voxels_are_means() {
        let (canvas, frame) = tile([1920, 960], [0.2, 0.2], |x| (x % 2) as f32);
        assert_eq!((frame.width, frame.height), (480, 240));
        let greys: Vec<u8> = (20..400).map(|x| canvas.get_pixel(x, 60)[0]).collect();
        assert!(greys.iter().all(|grey| grey.abs_diff(128) < 8), "{greys:?}");
    }
}
