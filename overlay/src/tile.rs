//! One slice, with all that is drawn on it.

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

/// The longest side of a tile, in pixels: as many as voxels within these bounds.
const SIDE: std::ops::RangeInclusive<f64> = 360.0..=480.0;

/// Steps from black to white: finer than a CT's noise in the windows in use, and files are a third smaller than with 255.
const GREYS: f32 = 63.0;

/// Pixels from the middle of a point's mark to its ends.
const ARM: f32 = 6.0;

/// The object that a tile is about.
pub(crate) const OWN: Stroke = Stroke { colour: TEXT, width: 2.0, dash: None, halo: 0.8 };
/// Another object that the slice crosses.
pub(crate) const OTHER: Stroke = Stroke { colour: TEXT, width: 1.1, dash: None, halo: 0.0 };
/// Truth.
pub(crate) const DASHED: Stroke = Stroke { colour: TRUTH, width: 1.2, dash: Some([5.0, 4.0]), halo: 0.5 };
/// A box, around its outermost voxels.
pub(crate) const BOX: Stroke = Stroke { colour: TEXT, width: 1.4, dash: None, halo: 0.8 };
const POINT: Stroke = Stroke { colour: TEXT, width: 2.6, dash: None, halo: 1.3 };

/// How large all tiles of a picture are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Pixels across and down.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Pixels per voxel, rows and columns.
    pub(crate) scale: [f64; 2],
}

impl Frame {
    /// Pixels are square in the patient.
    pub(crate) fn new(plane: &Plane) -> Self {
        let [_, rows, columns] = plane.shape;
        let [_, row_mm, column_mm] = plane.spacing_mm;
        let longest_mm = (rows as f64 * row_mm).max(columns as f64 * column_mm);
        let side = (longest_mm / row_mm.min(column_mm)).clamp(*SIDE.start(), *SIDE.end());
        let pixels = |count: usize, mm: f64| (count as f64 * mm / longest_mm * side).round().max(1.0);
        let (height, width) = (pixels(rows, row_mm), pixels(columns, column_mm));
        let scale = [height / rows as f64, width / columns as f64];
        Self { width: width as u32, height: height as u32, scale }
    }

    /// Where a voxel's row and column are in the tile, `(x, y)`.
    fn at(&self, row: f64, column: f64) -> [f32; 2] {
        [((column + 0.5) * self.scale[1]) as f32, ((row + 0.5) * self.scale[0]) as f32]
    }
}

/// The scan's slice in grey, with letters for where its borders are in the patient.
pub(crate) fn image(volume: &Volume, plane: &Plane, slice: usize, frame: Frame, window: Window) -> Canvas {
    let slice = plane.cut(volume.voxels(), slice, |hu| window.grey(hu));
    // Catmull-Rom goes through the voxels' values; it is widened where a pixel holds several voxels.
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

/// The edge of an object.
pub(crate) fn outline(canvas: &mut Canvas, shape: &Shape, slice: usize, frame: Frame, look: Stroke) {
    if let Some(patch) = shape.patch(slice) {
        stroke(canvas, &contours(&patch, frame.scale), look);
    }
}

/// The box, on slices that it crosses, and the points of this slice: + inside of the object, x outside.
pub(crate) fn marks(canvas: &mut Canvas, marks: &Marks, plane: &Plane, slice: usize, frame: Frame, colour: Colour) {
    if let Some(bounds) = marks.bounding_box {
        let (a, b) = (plane.place(bounds.min), plane.place(bounds.max));
        if box_crosses([a[0], b[0]], slice) {
            // To the outer sides of the voxels at its corners.
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

/// The mark of a point, + or x.
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

    /// The grey at a pixel of the first axial slice, black at 0 HU and white at 1.
    fn tile(counts: [usize; 2], spacing: [f64; 2], value: impl Fn(usize) -> f32) -> (Canvas, Frame) {
        let volume = stored("LPS", [counts[0], counts[1], 1], [spacing[0], spacing[1], 1.0], |[x, ..]| value(x));
        let plane = Plane::new(volume.grid(), Axis::Axial);
        let frame = Frame::new(&plane);
        (image(&volume, &plane, 0, frame, Window::new(0.5, 1.0).expect("a window")), frame)
    }

    #[test]
    fn a_tile_has_the_patient_s_proportions() {
        // A ramp over 100 voxels of 1 mm, beside 40 of 3 mm.
        let (canvas, frame) = tile([100, 40], [1.0, 3.0], |x| x as f32 / 99.0);
        assert_eq!((frame.width, frame.height, canvas.dimensions()), (300, 360, (300, 360)));
        assert_eq!(frame.scale, [9.0, 3.0]);
        // Columns go to the right of the patient's left: from high x to low.
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
