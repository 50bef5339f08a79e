//! The legend: the meaning of the lines and marks.

use segvol_volume::PointLabel;

use crate::canvas::{Canvas, Stroke, rectangle, stroke};
use crate::palette::{Colour, TEXT};
use crate::text::{self, Weight};
use crate::tile;

/// The width of a sample and the gap after it, in pixels.
const SAMPLE: u32 = 34;
/// The gap between entries, in pixels.
const GAP: u32 = 20;

/// The sample of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sample {
    Line(Stroke),
    Point(PointLabel),
    Box,
}

/// An entry: a sample and its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sample: Sample,
    pub(crate) colour: Colour,
    pub(crate) words: String,
}

/// A legend: entries arranged in lines.
#[derive(Clone, Debug)]
pub(crate) struct Legend {
    entries: Vec<([u32; 2], Entry)>,
    lines: u32,
}

impl Legend {
    /// Arranges entries in lines of this width, in pixels.
    pub(crate) fn new(entries: Vec<Entry>, width: u32) -> Self {
        let (mut x, mut line) = (0, 0);
        let mut placed = Vec::new();
        for mut entry in entries {
            entry.words = text::fitted(&entry.words, width.saturating_sub(SAMPLE));
            let takes = SAMPLE + text::width(&entry.words);
            if x > 0 && x + takes > width {
                (x, line) = (0, line + 1);
            }
            placed.push(([x, line], entry));
            x += takes + GAP;
        }
        Self { entries: placed, lines: line + 1 }
    }

    /// The height in pixels.
    pub(crate) fn height(&self) -> u32 {
        self.lines * text::LINE
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas, [left, top]: [u32; 2]) {
        for ([x, line], entry) in &self.entries {
            let (x, y) = (left + x, top + line * text::LINE);
            sample(canvas, [x, y], entry.sample, entry.colour);
            text::draw(canvas, [x + SAMPLE, y], &entry.words, Weight::Regular, TEXT);
        }
    }
}

/// Draws a piece of line, a mark or a box, as high as a line of text.
fn sample(canvas: &mut Canvas, [x, y]: [u32; 2], sample: Sample, colour: Colour) {
    let (left, middle) = (x as f32 + 1.0, y as f32 + text::HEIGHT as f32 / 2.0 + 0.5);
    let right = left + SAMPLE as f32 - 10.0;
    match sample {
        Sample::Line(look) => stroke(canvas, &[vec![[left, middle], [right, middle]]], Stroke { colour, ..look }),
        Sample::Point(label) => tile::point(canvas, [(left + right) / 2.0, middle], label, colour),
        Sample::Box => {
            let sides = rectangle([left + 3.0, middle - 5.0], [right - 3.0, middle + 5.0]);
            stroke(canvas, &[sides], Stroke { colour, halo: 0.0, ..tile::BOX });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_named_within_the_width() {
        let names = ["liver", "left kidney", "a name that is longer than the picture is wide, by far and farther"];
        let entry = |name: &&str| Entry { sample: Sample::Box, colour: TEXT, words: (*name).to_owned() };
        let legend = Legend::new(names.iter().map(entry).collect(), 300);
        assert_eq!((legend.lines, legend.height()), (2, 2 * text::LINE));
        let words: Vec<&str> = legend.entries.iter().map(|(_, entry)| entry.words.as_str()).collect();
        assert_eq!(words[..2], ["liver", "left kidney"]);
        assert!(words[2].starts_with("a name that is") && words[2].ends_with(".."), "{words:?}");
        for ([x, _], entry) in &legend.entries {
            assert!(x + SAMPLE + text::width(&entry.words) <= 300);
        }
        assert_eq!(legend.entries.iter().map(|(at, _)| at[1]).collect::<Vec<_>>(), [0, 0, 1]);
    }
}
