//! The canvas of a picture, and lines on it.

use image::{ImageBuffer, Luma, RgbaImage};
use tiny_skia::{Color, LineCap, LineJoin, Paint, PathBuilder, PixmapMut, StrokeDash, Transform};

use crate::palette::{Colour, HALO};

/// The pixels of an unfinished picture. Every pixel is opaque. It has alpha because `tiny_skia` draws on RGBA pixels.
pub(crate) type Canvas = RgbaImage;

/// One value per pixel, from 0 to 1.
pub(crate) type Field = ImageBuffer<Luma<f32>, Vec<f32>>;

/// A line through points `(x, y)`, in pixels. It is closed if the last point equals the first.
pub(crate) type Line = Vec<[f32; 2]>;

/// The opacity of a halo, from 0 to 1.
const HALO_STRENGTH: f32 = 0.55;

/// The appearance of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stroke {
    pub(crate) colour: Colour,
    /// The width in pixels.
    pub(crate) width: f32,
    /// The lengths of a dash and of the gap after it, in pixels. `None` for a solid line.
    pub(crate) dash: Option<[f32; 2]>,
    /// The width of the dark border on each side, in pixels.
    pub(crate) halo: f32,
}

/// Draws lines. Parts outside of the canvas are cut off.
pub(crate) fn stroke(canvas: &mut Canvas, lines: &[Line], stroke: Stroke) {
    let mut path = PathBuilder::new();
    for line in lines {
        let Some((&[x, y], others)) = line.split_first() else { continue };
        path.move_to(x, y);
        others.iter().for_each(|&[x, y]| path.line_to(x, y));
        if others.last() == Some(&[x, y]) {
            path.close();
        }
    }
    let (width, height) = canvas.dimensions();
    // Without points or pixels there is nothing to draw.
    let Some((path, mut pixels)) = path.finish().zip(PixmapMut::from_bytes(canvas, width, height)) else { return };
    let dash = stroke.dash.and_then(|dash| StrokeDash::new(dash.to_vec(), 0.0));
    let mut draw = |[red, green, blue]: Colour, strength: f32, width: f32| {
        let mut colour = Color::from_rgba8(red, green, blue, 255);
        colour.apply_opacity(strength);
        let mut paint = Paint::default();
        paint.set_color(colour);
        let (line_cap, line_join, dash) = (LineCap::Round, LineJoin::Round, dash.clone());
        let stroke = tiny_skia::Stroke { width, line_cap, line_join, dash, ..Default::default() };
        pixels.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
    };
    if stroke.halo > 0.0 {
        draw(HALO, HALO_STRENGTH, stroke.width + 2.0 * stroke.halo);
    }
    draw(stroke.colour, 1.0, stroke.width);
}

/// A rectangle, from two opposite corners.
pub(crate) fn rectangle([x0, y0]: [f32; 2], [x1, y1]: [f32; 2]) -> Line {
    vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::palette::opaque;

    const WHITE: Colour = [255; 3];
    const GREY: Colour = [100; 3];

    /// A grey canvas with a horizontal line at half of its height.
    fn drawn(look: Stroke) -> Canvas {
        let mut canvas = Canvas::from_pixel(40, 9, opaque(GREY));
        stroke(&mut canvas, &[vec![[-5.0, 4.5], [50.0, 4.5]]], look);
        canvas
    }

    #[test]
    fn a_line_covers_its_width_and_its_halo_and_no_more() {
        let look = Stroke { colour: WHITE, width: 3.0, dash: None, halo: 1.0 };
        let mut canvas = drawn(look);
        let column: Vec<u8> = (0..9).map(|y| canvas.get_pixel(20, y)[0]).collect();
        assert_eq!(column, [100, 100, 45, 255, 255, 255, 45, 100, 100]);
        assert!(canvas.pixels().all(|pixel| pixel[3] == 255), "transparent");

        let before = canvas.clone();
        stroke(&mut canvas, &[vec![[1e9, 1e9], [2e9, 2e9]], vec![[-50.0, -50.0], [-9.0, 4.0]], Vec::new()], look);
        assert!(canvas == before, "lines outside the canvas");
    }

    #[test]
    fn a_picture_may_be_taller_than_what_is_drawn_at_once() {
        let mut canvas = Canvas::from_pixel(20, 30_000, opaque(GREY));
        let look = Stroke { colour: WHITE, width: 3.0, dash: None, halo: 0.0 };
        stroke(&mut canvas, &[vec![[5.0, 25_000.5], [15.0, 25_000.5]]], look);
        let rows: Vec<u32> = (0..30_000).filter(|&y| canvas.get_pixel(10, y)[0] == 255).collect();
        assert_eq!(rows, [24_999, 25_000, 25_001]);
    }

    #[test]
    fn a_dashed_line_has_gaps() {
        let canvas = drawn(Stroke { colour: WHITE, width: 1.0, dash: Some([5.0, 4.0]), halo: 0.0 });
        let drawn: Vec<u32> = (0..40).filter(|&x| canvas.get_pixel(x, 4)[0] == 255).collect();
        // The line starts at -5; a dash begins every 9 pixels from there.
        let expected: Vec<u32> = [4, 13, 22, 31].into_iter().flat_map(|first| first..first + 5).collect();
        assert_eq!(drawn, expected);
    }
}
