//! One slice, with all that is drawn on it.

use segvol::{Marks, PointLabel, Volume};

use crate::canvas::{Canvas, Stroke};
use crate::contour::contours;
use crate::palette::{Colour, TEXT, TRUTH};
use crate::plane::Plane;
use crate::resample::Lattice;
use crate::shape::Shape;
use crate::slices::{box_crosses, slice_of};
use crate::text;
use crate::window::Window;

/// The longest side of a tile, in pixels: as many as voxels within these bounds.
const SIDE: std::ops::RangeInclusive<f64> = 360.0..=480.0;

/// Steps from black to white: finer than a CT's noise in the windows in use, and files are a third smaller than with 255.
const GREYS: f32 = 63.0;

/// Pixels from the middle of a point's mark to its ends.
const ARM: f64 = 6.0;

/// The object that a tile is about.
pub(crate) const OWN: Stroke = Stroke { colour: TEXT, width: 2.0, dash: None, halo: 0.8 };
/// Another object that the slice crosses.
pub(crate) const OTHER: Stroke = Stroke { colour: TEXT, width: 1.1, dash: None, halo: 0.0 };
/// Truth.
pub(crate) const DASHED: Stroke = Stroke { colour: TRUTH, width: 1.2, dash: Some([5.0, 4.0]), halo: 0.5 };
const BOX: Stroke = Stroke { colour: TEXT, width: 1.4, dash: None, halo: 0.8 };
const POINT: Stroke = Stroke { colour: TEXT, width: 2.6, dash: None, halo: 1.3 };

/// How large all tiles of a picture are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// Pixels across and down.
    pub(crate) width: usize,
    pub(crate) height: usize,
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
        Self { width: width as usize, height: height as usize, scale }
    }

    /// Where a voxel's row and column are in the tile, `(x, y)`.
    fn at(&self, row: f64, column: f64) -> [f64; 2] {
        [(column + 0.5) * self.scale[1], (row + 0.5) * self.scale[0]]
    }
}

/// The scan's slice in grey, with letters for where its borders are in the patient.
pub(crate) fn image(volume: &Volume, plane: &Plane, slice: usize, frame: Frame, window: Window) -> Canvas {
    let values = plane.cut(volume.voxels(), slice, |hu| window.grey(hu));
    let lattice = Lattice { first: [0, 0], size: [plane.shape[1], plane.shape[2]], values };
    let grey = lattice.resample(frame.scale, 0..frame.height as isize, 0..frame.width as isize);
    let mut canvas = Canvas::new(frame.width, frame.height, [0; 3]);
    for (pixel, grey) in canvas.rgb.chunks_exact_mut(3).zip(grey.values) {
        pixel.fill(((grey.clamp(0.0, 1.0) * GREYS).round() * 255.0 / GREYS).round() as u8);
    }
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
pub(crate) fn outline(canvas: &mut Canvas, shape: &Shape, slice: usize, frame: Frame, stroke: Stroke) {
    if let Some(patch) = shape.patch(slice) {
        canvas.stroke(&contours(&patch, frame.scale), stroke);
    }
}

/// The box, on slices that it crosses, and the points of this slice: + inside of the object, x outside.
pub(crate) fn marks(canvas: &mut Canvas, marks: &Marks, plane: &Plane, slice: usize, frame: Frame, colour: Colour) {
    if let Some(bounds) = marks.bounding_box {
        let (a, b) = (plane.place(bounds.min), plane.place(bounds.max));
        if box_crosses([a[0], b[0]], slice) {
            // To the outer sides of the voxels at its corners.
            let [x0, y0] = frame.at(a[1].min(b[1]) - 0.5, a[2].min(b[2]) - 0.5);
            let [x1, y1] = frame.at(a[1].max(b[1]) + 0.5, a[2].max(b[2]) + 0.5);
            let sides = vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]];
            canvas.stroke(&[sides], Stroke { colour, ..BOX });
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
pub(crate) fn point(canvas: &mut Canvas, [x, y]: [f64; 2], label: PointLabel, colour: Colour) {
    let lines = match label {
        PointLabel::Foreground => [vec![[x - ARM, y], [x + ARM, y]], vec![[x, y - ARM], [x, y + ARM]]],
        PointLabel::Background => {
            let arm = ARM / std::f64::consts::SQRT_2;
            [vec![[x - arm, y - arm], [x + arm, y + arm]], vec![[x - arm, y + arm], [x + arm, y - arm]]]
        }
    };
    canvas.stroke(&lines, Stroke { colour, ..POINT });
}
