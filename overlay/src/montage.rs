//! The montage: a row of slices for each object.

use std::sync::Arc;

use image::imageops;
use segvol_volume::Grid;
use segvol_volume::{Marks, Mask, PointLabel, Volume};

use crate::canvas::{Canvas, Stroke};
use crate::error::OverlayError;
use crate::legend::{Entry, Legend, Sample};
use crate::neighbours::Surroundings;
use crate::palette::{self, FAINT, GROUND, TEXT, TRUTH, opaque};
use crate::picture::Picture;
use crate::plane::{Axis, Plane};
use crate::shape::Shape;
use crate::slices;
use crate::text::{self, Weight};
use crate::tile::{self, Frame};
use crate::window::Window;

/// The maximum number of objects in a picture. Each object is a row.
pub const MAX_OBJECTS: usize = 64;

const _: () = assert!(palette::COUNT == MAX_OBJECTS, "every object of a picture has a colour of its own");

/// The gap around the picture and between its parts, in pixels.
const GAP: u32 = 8;
/// The minimum width of a column in pixels, so that captions fit.
const NARROWEST: u32 = 200;

/// How the scan is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct View {
    /// The direction of the slices.
    pub axis: Axis,
    /// The CT window: the range of intensities from black to white.
    pub window: Window,
}

/// One object of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its name, in the legend and above its row.
    pub name: &'a str,
    /// A label map on the scan's grid, and the object's label in it.
    pub mask: (&'a Mask, u16),
    /// The points and the box of its prompt.
    pub marks: &'a Marks,
    /// The true mask, if there is one: a label map on the scan's grid, and the object's label in it.
    pub truth: Option<(&'a Mask, u16)>,
    /// Text beside the name, such as a score. Can be empty.
    pub note: &'a str,
}

/// The objects of a picture, on a scan's grid.
#[derive(Clone, Debug)]
pub struct Montage {
    grid: Arc<Grid>,
    plane: Plane,
    window: Window,
    close: bool,
    rows: Vec<Row>,
}

/// The parts of an object that are needed for drawing.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    note: String,
    shape: Shape,
    truth: Option<Shape>,
    marks: Marks,
    needed: Vec<usize>,
}

impl Montage {
    /// A montage for a scan on this grid, without objects.
    #[must_use]
    pub fn new(grid: &Arc<Grid>, view: View) -> Self {
        let plane = Plane::new(grid, view.axis);
        Self { grid: Arc::clone(grid), plane, window: view.window, close: false, rows: Vec::new() }
    }

    /// Shows, in each row, only the part of the slices around its object, its true mask and its box, in smaller tiles.
    #[must_use]
    pub fn close_up(mut self) -> Self {
        self.close = true;
        self
    }

    /// Adds an object as a row of slices.
    ///
    /// The mask can be empty. The row then says so, and shows the slices of the prompts.
    ///
    /// # Errors
    /// [`OverlayError::Grid`] if the shape of the mask or the true mask is not the scan's; [`OverlayError::TooMany`] if
    /// there are already [`MAX_OBJECTS`]; [`OverlayError::Memory`] if there is not enough memory for the object.
    pub fn add(&mut self, object: Object<'_>) -> Result<(), OverlayError> {
        if self.rows.len() == MAX_OBJECTS {
            return Err(OverlayError::TooMany { most: MAX_OBJECTS });
        }
        let shape = |what: &str, (mask, label): (&Mask, u16)| {
            self.check_shape(&format!("{what} of {:?}", object.name), mask.shape_xyz())?;
            Shape::new(mask, label, &self.plane)
        };
        let mask = shape("mask", object.mask)?;
        let truth = object.truth.map(|truth| shape("truth", truth)).transpose()?;
        let needed = slices::needed(&mask, truth.as_ref(), object.marks, &self.plane);
        let (name, note, marks) = (object.name.to_owned(), object.note.to_owned(), object.marks.clone());
        self.rows.push(Row { name, note, shape: mask, truth, marks, needed });
        Ok(())
    }

    /// Draws the objects on the scan.
    ///
    /// # Errors
    /// [`OverlayError::Grid`] if the scan's grid is not the one that the montage was made for.
    pub fn draw(&self, volume: &Volume) -> Result<Picture, OverlayError> {
        if volume.grid() != &self.grid {
            let (expected, found) = (self.grid.shape_xyz(), volume.shape_xyz());
            return Err(OverlayError::Grid { what: "scan".to_owned(), expected, found });
        }
        let frames: Vec<Frame> = self.rows.iter().map(|row| self.frame(row)).collect();
        let needed = self.rows.iter().map(|row| row.needed.len()).max().unwrap_or(0);
        let columns = needed.clamp(*slices::COLUMNS.start(), *slices::COLUMNS.end());
        let column = frames.iter().map(|frame| frame.width).max().unwrap_or(0).max(NARROWEST);
        let inner = columns as u32 * (column + GAP) - GAP;
        let row_height = |frame: &Frame| text::LINE + frame.height + text::LINE + GAP;

        let legend = Legend::new(self.entries(), inner);
        let top = GAP + text::LINE + legend.height() + GAP;
        let height = top + frames.iter().map(|frame| row_height(frame) + GAP).sum::<u32>();
        let mut canvas = Canvas::from_pixel(inner + 2 * GAP, height, opaque(GROUND));
        text::draw(&mut canvas, [GAP, GAP], &text::fitted(&self.title(), inner), Weight::Regular, FAINT);
        legend.draw(&mut canvas, [GAP, GAP + text::LINE]);

        let mut next = top;
        for (index, (row, &frame)) in self.rows.iter().zip(&frames).enumerate() {
            let y = next;
            next += row_height(&frame) + GAP;
            self.head(&mut canvas, index, [GAP, y], inner);
            let y = y + text::LINE + 2;
            let shown = slices::fill(row.needed.clone(), columns, &row.shape, row.truth.as_ref());
            for (x, slice) in (GAP..).step_by((column + GAP) as usize).zip(shown) {
                let tile = self.tile(volume, index, slice, frame);
                imageops::replace(&mut canvas, &tile, (x + (column - frame.width) / 2).into(), y.into());
                let caption = text::fitted(&self.caption(row, slice), column);
                let x = x + (column - text::width(&caption)) / 2;
                text::draw(&mut canvas, [x, y + frame.height + 2], &caption, Weight::Regular, FAINT);
            }
        }
        Ok(Picture::new(canvas))
    }

    /// The part of the slices that a row shows.
    fn frame(&self, row: &Row) -> Frame {
        let shapes = [Some(&row.shape), row.truth.as_ref()].into_iter().flatten().filter_map(Shape::bounds);
        let mut ends: Vec<[[f64; 2]; 2]> = shapes.map(|ends| ends.map(|end| end.map(|index| index as f64))).collect();
        if let Some(bounds) = row.marks.bounding_box {
            let [[_, a, b], [_, c, d]] = [bounds.min, bounds.max].map(|ijk| self.plane.place(ijk));
            ends.push([[a.min(c), b.min(d)], [a.max(c), b.max(d)]]);
        }
        let join = |[low, high]: [[f64; 2]; 2], [a, b]: [[f64; 2]; 2]| {
            [[low[0].min(a[0]), low[1].min(a[1])], [high[0].max(b[0]), high[1].max(b[1])]]
        };
        match ends.into_iter().reduce(join).filter(|_| self.close) {
            Some([low, high]) => Frame::close(&self.plane, low, high),
            None => Frame::new(&self.plane),
        }
    }

    /// A slice with the outlines of the row's object and of its neighbours in it. The row's own object is on top.
    fn tile(&self, volume: &Volume, index: usize, slice: usize, frame: Frame) -> Canvas {
        let mut canvas = tile::image(volume, &self.plane, slice, frame, self.window);
        let row = &self.rows[index];
        let own: Vec<&Shape> = std::iter::once(&row.shape).chain(&row.truth).collect();
        let near = Surroundings::new(&own, &row.marks, &self.plane, slice);
        let others = self.rows.iter().enumerate().filter(|&(other, _)| other != index);
        for (other, row) in others.filter(|(_, row)| near.touch(&row.shape, slice)) {
            let stroke = Stroke { colour: palette::object(other), ..tile::OTHER };
            tile::outline(&mut canvas, &row.shape, slice, frame, stroke);
        }
        let colour = palette::object(index);
        tile::outline(&mut canvas, &row.shape, slice, frame, Stroke { colour, ..tile::OWN });
        if let Some(truth) = &row.truth {
            tile::outline(&mut canvas, truth, slice, frame, tile::DASHED);
        }
        tile::marks(&mut canvas, &row.marks, &self.plane, slice, frame, colour);
        canvas
    }

    fn title(&self) -> String {
        let [left, right, ..] = self.plane.axis().letters();
        let axis = self.plane.axis().name();
        format!("{axis} slices, {left} on the left, {right} on the right, {}", self.window.describe())
    }

    fn entries(&self) -> Vec<Entry> {
        let objects = self.rows.iter().enumerate().map(|(index, row)| {
            let empty = if row.shape.voxels() == 0 { " (empty)" } else { "" };
            let colour = palette::object(index);
            Entry { sample: Sample::Line(tile::OWN), colour, words: format!("{}{empty}", row.name) }
        });
        let any = |test: &dyn Fn(&Row) -> bool| self.rows.iter().any(test);
        let has = |wanted: PointLabel| move |row: &Row| row.marks.points.iter().any(|&(_, label)| label == wanted);
        let rest = [
            (any(&|row| row.truth.is_some()), Sample::Line(tile::DASHED), TRUTH, "truth"),
            (any(&|row| row.marks.bounding_box.is_some()), Sample::Box, TEXT, "box"),
            (any(&has(PointLabel::Foreground)), Sample::Point(PointLabel::Foreground), TEXT, "point inside"),
            (any(&has(PointLabel::Background)), Sample::Point(PointLabel::Background), TEXT, "point outside"),
        ];
        let rest = rest.into_iter().filter(|&(shown, ..)| shown);
        let rest = rest.map(|(_, sample, colour, words)| Entry { sample, colour, words: words.to_owned() });
        objects.chain(rest).collect()
    }

    /// Draws the first line of a row: colour, name, size, note.
    fn head(&self, canvas: &mut Canvas, index: usize, [x, y]: [u32; 2], width: u32) {
        let row = &self.rows[index];
        let sample = Canvas::from_pixel(10, 10, opaque(palette::object(index)));
        imageops::replace(canvas, &sample, x.into(), (y + 3).into());
        let name = text::fitted(&row.name, width / 2);
        text::draw(canvas, [x + 18, y], &name, Weight::Bold, TEXT);
        let voxels = row.shape.voxels();
        let mut words = match voxels {
            0 => "empty: nothing was found".to_owned(),
            _ => format!("{:.1} mL", voxels as f64 * self.grid.voxel_volume_ml()),
        };
        if !row.note.is_empty() {
            words = format!("{words}, {}", row.note);
        }
        let hidden = row.needed.len().saturating_sub(*slices::COLUMNS.end());
        if hidden > 0 {
            words = format!("{words}; {hidden} more slices with points are not shown");
        }
        let x = x + 18 + text::width(&name) + 16;
        let words = text::fitted(&words, width.saturating_sub(x));
        text::draw(canvas, [x, y], &words, Weight::Regular, FAINT);
    }

    /// The caption of a slice: its position, and whether it is the largest.
    fn caption(&self, row: &Row, slice: usize) -> String {
        let position = self.plane.position_mm(slice, &self.grid);
        // Adding 0 turns -0 into 0.
        let position = (position * 10.0).round() / 10.0 + 0.0;
        let mut words = format!("{} {position:.1} mm", self.plane.axis().coordinate());
        if row.shape.largest() == Some(slice) {
            words.push_str(", largest");
        }
        words
    }

    fn check_shape(&self, what: &str, found: [usize; 3]) -> Result<(), OverlayError> {
        let expected = self.grid.shape_xyz();
        if found == expected { Ok(()) } else { Err(OverlayError::Grid { what: what.to_owned(), expected, found }) }
    }
}

#[cfg(test)]
mod tests {
    use segvol_volume::{BoundingBox, Mask};

    use super::*;
    use crate::palette::Colour;
    use crate::plane::tests::stored;

    /// The top left corner of the first tile, with a legend of one line.
    const TILE: [usize; 2] = [GAP as usize, (GAP + text::LINE + text::LINE + GAP + text::LINE + 2) as usize];

    /// A block of bone in water at the patient's left front, on slices 8 to 11.
    fn block([x, y, z]: [usize; 3]) -> bool {
        (6..12).contains(&x) && (20..26).contains(&y) && (8..12).contains(&z)
    }

    /// The picture of the block in a scan that is stored along `axes`, with its box and a point at its centre.
    fn picture(axes: &str, view: View, label: u16) -> Picture {
        let scan = stored(axes, [36, 30, 20], [2.5, 2.5, 5.0], |at| if block(at) { 1000.0 } else { 0.0 });
        let labels: Vec<u8> = scan.voxels().iter().map(|&hu| u8::from(hu > 500.0)).collect();
        let mask = Mask::from_labels(labels, scan.grid().clone()).expect("a mask");
        let back = scan.grid().affine().inverse().expect("invertible");
        let ijk = |[x, y, z]: [f64; 3]| back.apply([2.5 * x, 2.5 * y, 5.0 * z]).map(f64::round);
        let (a, b) = (ijk([4.0, 18.0, 7.0]), ijk([13.0, 27.0, 12.0]));
        let bounding_box = Some(BoundingBox {
            min: std::array::from_fn(|axis| a[axis].min(b[axis])),
            max: std::array::from_fn(|axis| a[axis].max(b[axis])),
        });
        let marks = Marks { points: vec![(ijk([9.0, 23.0, 10.0]), PointLabel::Foreground)], bounding_box };
        let mut montage = Montage::new(scan.grid(), view);
        montage
            .add(Object { name: "block", mask: (&mask, label), marks: &marks, truth: None, note: "" })
            .expect("added");
        montage.draw(&scan).expect("drawn")
    }

    #[test]
    fn a_block_at_the_left_front_is_at_the_right_top_however_the_file_is_stored() {
        let pictures = ["RAS", "LPS", "SPL", "AIR"].map(|axes| picture(axes, View::default(), 1));
        let first = &pictures[0];
        assert!(pictures.iter().all(|other| other == first), "one patient, other pictures");
        assert_eq!(first.width(), 3 * (360 + 8) + 8);
        // A voxel is ten pixels wide. Columns go from x 35 (right) down, rows from y 29 (front) down. This is slice 10.
        let at = |x: f64, y: f64| {
            let (x, y) = ((35.5 - x) * 10.0, (29.5 - y) * 10.0);
            first.pixel(TILE[0] + x as usize, TILE[1] + y as usize).expect("inside")
        };
        let orange: Colour = palette::object(0);
        assert_eq!(at(8.0, 22.0), [255; 3], "bone");
        assert_eq!(at(26.0, 22.0), at(26.0, 8.0), "water");
        assert!((90..140).contains(&at(26.0, 22.0)[0]), "water");
        // The sides of the mask and of the box are half a voxel beyond the centres of their outermost voxels.
        for (x, y) in [(5.5, 22.8), (11.5, 22.8), (8.8, 19.5), (8.8, 25.5), (3.5, 22.8), (13.5, 22.8), (8.8, 17.5)] {
            let near = [-0.1, 0.0, 0.1].map(|d| at(x + d, y + d));
            let close = |pixel: &Colour| (0..3).all(|channel| pixel[channel].abs_diff(orange[channel]) <= 60);
            assert!(near.iter().any(close), "({x}, {y}): {near:?}");
        }
    }

    #[test]
    fn points_are_drawn_on_their_own_slice() {
        let picture = picture("LPS", View::default(), 1);
        // The tiles are slices 10, 9 and 8.
        let marked: Vec<usize> = (0..3)
            .filter(|tile| {
                let (x, y) = (TILE[0] + tile * (360 + 8) + 265, TILE[1] + 65);
                picture.pixel(x, y) == Some(palette::object(0)) && picture.pixel(x + 4, y) == Some(palette::object(0))
            })
            .collect();
        assert_eq!(marked, [0]);
    }

    #[test]
    fn an_empty_mask_is_said_and_its_prompts_are_drawn() {
        let picture = picture("RAS", View::default(), 2);
        let (x, y) = (TILE[0] + 265, TILE[1] + 65);
        assert_eq!(picture.pixel(x, y), Some(palette::object(0)), "the point, on the one slice that is shown");
        assert_eq!(picture.pixel(x + 368, y), Some(GROUND), "no second slice");
    }

    #[test]
    fn other_grids_and_too_many_objects_are_refused() {
        let grid = |counts| stored("RAS", counts, [1.0; 3], |_| 0.0);
        let (scan, other) = (grid([4, 5, 6]), grid([4, 5, 7]));
        let mask =
            |scan: &Volume| Mask::from_labels(vec![0_u8; scan.voxels().len()], scan.grid().clone()).expect("a mask");
        let (fits, odd, marks) = (mask(&scan), mask(&other), Marks::default());
        let mut montage = Montage::new(scan.grid(), View::default());
        let object = Object { name: "a", mask: (&fits, 1), marks: &marks, truth: None, note: "" };
        let error = montage.add(Object { truth: Some((&odd, 1)), ..object }).expect_err("of another shape").to_string();
        assert!(error.contains("truth of \"a\"") && error.contains("[4, 5, 7]"), "{error}");
        for _ in 0..MAX_OBJECTS {
            montage.add(object).expect("added");
        }
        assert!(matches!(montage.add(object), Err(OverlayError::TooMany { .. })));
        assert!(matches!(montage.draw(&other), Err(OverlayError::Grid { .. })));
    }
}
