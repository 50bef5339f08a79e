//! Text on a canvas, in Noto Sans Mono.

use image::{Pixel as _, Rgba};
pub(crate) use noto_sans_mono_bitmap::FontWeight as Weight;
use noto_sans_mono_bitmap::{RasterHeight, get_raster, get_raster_width};

use crate::canvas::{Canvas, Stroke, rectangle, stroke};
use crate::palette::{Colour, HALO};

const SIZE: RasterHeight = RasterHeight::Size16;

/// The distance between lines of text, in pixels.
pub(crate) const LINE: u32 = 20;
/// The height of a line of text, in pixels.
pub(crate) const HEIGHT: u32 = SIZE.val() as u32;

/// The width of a text, in pixels.
pub(crate) fn width(text: &str) -> u32 {
    text.chars().count() as u32 * advance()
}

fn advance() -> u32 {
    get_raster_width(Weight::Regular, SIZE) as u32
}

/// The text. If it is wider than `pixels`, it is cut off and ends in dots.
pub(crate) fn fitted(text: &str, pixels: u32) -> String {
    let room = (pixels / advance()) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(2)).collect();
    format!("{}..", kept.trim_end())
}

/// Draws a text with its top left corner at `(x, y)`. A character that the font does not have is drawn as a hollow box.
pub(crate) fn draw(canvas: &mut Canvas, [x, y]: [u32; 2], text: &str, weight: Weight, colour: Colour) {
    let [red, green, blue] = colour;
    for (place, character) in text.chars().enumerate() {
        let x = x + place as u32 * advance();
        let Some(raster) = get_raster(character, weight, SIZE) else {
            let (left, top) = (x as f32 + 1.5, y as f32 + 3.5);
            let sides = rectangle([left, top], [left + advance() as f32 - 3.0, top + HEIGHT as f32 - 7.0]);
            stroke(canvas, &[sides], Stroke { colour, width: 1.0, dash: None, halo: 0.0 });
            continue;
        };
        for (y, row) in (y..).zip(raster.rows()) {
            for (x, &alpha) in (x..).zip(row) {
                if let Some(pixel) = canvas.get_pixel_mut_checked(x, y) {
                    pixel.blend(&Rgba([red, green, blue, alpha]));
                }
            }
        }
    }
}

/// Draws a text with a dark border, so that it can be read on any grey.
pub(crate) fn draw_on_image(canvas: &mut Canvas, [x, y]: [u32; 2], text: &str, colour: Colour) {
    for (dx, dy) in [(0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (2, 2), (0, 2), (2, 0)] {
        draw(canvas, [(x + dx).saturating_sub(1), (y + dy).saturating_sub(1)], text, Weight::Bold, HALO);
    }
    draw(canvas, [x, y], text, Weight::Bold, colour);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Vec<u8> {
        let mut canvas = Canvas::new(100, HEIGHT);
        draw(&mut canvas, [0, 0], text, Weight::Regular, [255; 3]);
        canvas.into_raw()
    }

    #[test]
    fn every_character_leaves_a_mark() {
        let empty = drawn("");
        for text in ["a", "ä", "Ł", "肝", "\u{1f600}", "\u{0}"] {
            assert!(drawn(text) != empty, "{text:?} cannot be seen");
        }
        assert!(drawn("肝") == drawn("脾"), "both are boxes");
        assert!(drawn("liver") != drawn("river"));
    }

    #[test]
    fn long_names_are_cut_off_visibly() {
        assert_eq!(fitted("liver", 5 * advance()), "liver");
        assert_eq!(fitted("left kidney", 8 * advance()), "left k..");
        assert_eq!(fitted("liver", 0), "..");
    }
}
