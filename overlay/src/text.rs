//! Words on a canvas, in Noto Sans Mono.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::canvas::Canvas;
use crate::palette::{Colour, HALO};

const SIZE: RasterHeight = RasterHeight::Size16;

/// Pixels from line to line.
pub(crate) const LINE: usize = 20;
/// Pixels that a line of text is high.
pub(crate) const HEIGHT: usize = SIZE.val();

/// How thick letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

impl Weight {
    fn font(self) -> FontWeight {
        match self {
            Self::Regular => FontWeight::Regular,
            Self::Bold => FontWeight::Bold,
        }
    }
}

/// Pixels that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count() * advance()
}

fn advance() -> usize {
    get_raster_width(FontWeight::Regular, SIZE)
}

/// The text, cut off with dots where it takes more than `pixels`.
pub(crate) fn fitted(text: &str, pixels: usize) -> String {
    let room = pixels / advance();
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(2)).collect();
    format!("{}..", kept.trim_end())
}

/// Draws a text whose left top is here. A character that the font lacks is a hollow box.
pub(crate) fn draw(canvas: &mut Canvas, [x, y]: [usize; 2], text: &str, weight: Weight, colour: Colour) {
    for (place, character) in text.chars().enumerate() {
        let x = x + place * advance();
        let Some(raster) = get_raster(character, weight.font(), SIZE) else {
            let (width, height) = (advance(), HEIGHT);
            for (dx, dy) in (1..width - 1).flat_map(|dx| (3..height - 3).map(move |dy| (dx, dy))) {
                if dx == 1 || dx == width - 2 || dy == 3 || dy == height - 4 {
                    canvas.blend(x + dx, y + dy, colour, 1.0);
                }
            }
            continue;
        };
        for (dy, row) in raster.rows().enumerate() {
            for (dx, &share) in row.iter().enumerate() {
                canvas.blend(x + dx, y + dy, colour, f64::from(share) / 255.0);
            }
        }
    }
}

/// Draws a text that can be read on any grey.
pub(crate) fn draw_on_image(canvas: &mut Canvas, [x, y]: [usize; 2], text: &str, colour: Colour) {
    for (dx, dy) in [(0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (2, 2), (0, 2), (2, 0)] {
        draw(canvas, [(x + dx).saturating_sub(1), (y + dy).saturating_sub(1)], text, Weight::Bold, HALO);
    }
    draw(canvas, [x, y], text, Weight::Bold, colour);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(text: &str) -> Vec<u8> {
        let mut canvas = Canvas::new(100, HEIGHT, [0; 3]);
        draw(&mut canvas, [0, 0], text, Weight::Regular, [255; 3]);
        canvas.rgb
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
