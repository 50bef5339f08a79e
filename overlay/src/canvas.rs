//! Pixels that lines, discs and text are drawn on.

use crate::palette::{Colour, HALO};

/// A picture in the making, red, green and blue per pixel.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<u8>,
}

/// How a line looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stroke {
    pub(crate) colour: Colour,
    /// Pixels across.
    pub(crate) width: f64,
    /// Pixels drawn and left out in turn; none for a whole line.
    pub(crate) dash: Option<[f64; 2]>,
    /// Pixels of dark on both sides.
    pub(crate) halo: f64,
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize, ground: Colour) -> Self {
        Self { width, height, rgb: ground.repeat(width * height) }
    }

    /// Mixes a colour into a pixel: 0 leaves it, 1 replaces it. Pixels elsewhere are none.
    pub(crate) fn blend(&mut self, x: usize, y: usize, colour: Colour, share: f64) {
        if x >= self.width || y >= self.height {
            return;
        }
        let pixel = &mut self.rgb[3 * (y * self.width + x)..][..3];
        for (channel, colour) in pixel.iter_mut().zip(colour) {
            let mixed = f64::from(*channel) + (f64::from(colour) - f64::from(*channel)) * share.clamp(0.0, 1.0);
            *channel = mixed.round() as u8;
        }
    }

    /// Fills a rectangle of whole pixels.
    pub(crate) fn fill(&mut self, [x, y]: [usize; 2], [width, height]: [usize; 2], colour: Colour) {
        for y in y..y + height {
            for x in x..x + width {
                self.blend(x, y, colour, 1.0);
            }
        }
    }

    /// Puts another canvas here.
    pub(crate) fn paste(&mut self, other: &Self, [x, y]: [usize; 2]) {
        let columns = other.width.min(self.width.saturating_sub(x));
        for row in 0..other.height.min(self.height.saturating_sub(y)) {
            let from = &other.rgb[3 * row * other.width..][..3 * columns];
            self.rgb[3 * ((y + row) * self.width + x)..][..3 * columns].copy_from_slice(from);
        }
    }

    /// Draws lines through points `(x, y)`; what lies beside the canvas is cut off.
    pub(crate) fn stroke(&mut self, lines: &[Vec<[f64; 2]>], stroke: Stroke) {
        let dashed: Vec<Vec<[f64; 2]>>;
        let lines = match stroke.dash {
            None => lines,
            Some(dash) => {
                dashed = lines.iter().flat_map(|line| dashes(line, dash)).collect();
                &dashed
            }
        };
        if stroke.halo > 0.0 {
            self.cover(lines, stroke.width + 2.0 * stroke.halo, HALO, 0.55);
        }
        self.cover(lines, stroke.width, stroke.colour, 1.0);
    }

    /// Each pixel is covered once, as far as the nearest piece of any line covers it.
    fn cover(&mut self, lines: &[Vec<[f64; 2]>], width: f64, colour: Colour, strength: f64) {
        let reach = width / 2.0 + 0.5;
        let mut covered = std::collections::BTreeMap::new();
        for piece in lines.iter().flat_map(|line| line.windows(2)) {
            let ([ax, ay], [bx, by]) = (piece[0], piece[1]);
            let pixels = |a: f64, b: f64, count: usize| {
                let low = (a.min(b) - reach).floor().max(0.0);
                let high = (a.max(b) + reach).ceil().min(count as f64);
                if low < high { low as usize..high as usize } else { 0..0 }
            };
            for y in pixels(ay, by, self.height) {
                for x in pixels(ax, bx, self.width) {
                    let at = [x as f64 + 0.5, y as f64 + 0.5];
                    let share = (reach - distance(at, [ax, ay], [bx, by])).clamp(0.0, 1.0);
                    if share > 0.0 {
                        let most = covered.entry((y, x)).or_insert(0.0_f64);
                        *most = most.max(share);
                    }
                }
            }
        }
        for ((y, x), share) in covered {
            self.blend(x, y, colour, share * strength);
        }
    }
}

/// From a point to a piece of a line.
fn distance([x, y]: [f64; 2], [ax, ay]: [f64; 2], [bx, by]: [f64; 2]) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (x - ax - along * dx).hypot(y - ay - along * dy)
}

/// Cuts a line into dashes, `on` pixels long and `off` apart.
fn dashes(line: &[[f64; 2]], [on, off]: [f64; 2]) -> Vec<Vec<[f64; 2]>> {
    let mut found: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut drawing = true;
    let mut left = on;
    let mut dash: Vec<[f64; 2]> = line.first().copied().into_iter().collect();
    for piece in line.windows(2) {
        let (mut from, to) = (piece[0], piece[1]);
        loop {
            let length = (to[0] - from[0]).hypot(to[1] - from[1]);
            if length < left {
                left -= length;
                if drawing {
                    dash.push(to);
                }
                break;
            }
            let share = if length > 0.0 { left / length } else { 0.0 };
            from = [from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share];
            if drawing {
                dash.push(from);
                found.push(std::mem::take(&mut dash));
            } else {
                dash = vec![from];
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
    }
    if dash.len() > 1 {
        found.push(dash);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Colour = [255; 3];

    fn red(canvas: &Canvas, x: usize, y: usize) -> u8 {
        canvas.rgb[3 * (y * canvas.width + x)]
    }

    #[test]
    fn a_line_covers_its_width_and_no_more() {
        let mut canvas = Canvas::new(20, 9, [0; 3]);
        let line = vec![vec![[-5.0, 4.5], [30.0, 4.5]]];
        canvas.stroke(&line, Stroke { colour: WHITE, width: 2.0, dash: None, halo: 0.0 });
        let column: Vec<u8> = (0..9).map(|y| red(&canvas, 10, y)).collect();
        assert_eq!(column, [0, 0, 0, 128, 255, 128, 0, 0, 0]);
        canvas.stroke(&[vec![[1e9, 1e9], [2e9, 2e9]]], Stroke { colour: WHITE, width: 2.0, dash: None, halo: 1.0 });
        canvas.blend(20, 0, WHITE, 1.0);
    }

    #[test]
    fn dashes_are_as_long_as_they_should_be() {
        let corner = [[0.0, 0.0], [7.0, 0.0], [7.0, 7.0]];
        let found = dashes(&corner, [5.0, 3.0]);
        assert_eq!(found, [vec![[0.0, 0.0], [5.0, 0.0]], vec![[7.0, 1.0], [7.0, 6.0]]]);
    }
}
