//! Box plots, as SVG inside the page.

use maud::{Markup, PreEscaped, html};

/// Width of the plot, of the names on its left, and the space on its right, in pixels.
const WIDTH: f64 = 720.0;
const NAMES: f64 = 220.0;
const RIGHT: f64 = 20.0;
/// Height of a box's line, of the axis, and the gap between names.
const LINE: f64 = 20.0;
const AXIS: f64 = 44.0;
const GAP: f64 = 10.0;
/// Half of a box's height.
const HALF: f64 = 6.5;
/// Characters of a name that fit.
const NAME_LENGTH: usize = 22;

/// A line of a plot: a box with its name.
pub(crate) struct Line {
    /// Without characters that hide or turn text. Shown on the first of neighbouring lines that share it.
    pub(crate) name: String,
    /// Whether it is about all that other lines are about, one by one.
    pub(crate) is_all: bool,
    /// What distinguishes it from other lines with its name.
    pub(crate) kind: Option<String>,
    /// The class of its colour.
    pub(crate) class: String,
    /// Its numbers in words.
    pub(crate) said: String,
    pub(crate) of: Box,
}

/// The numbers of a box.
pub(crate) struct Box {
    /// The end of the lower whisker.
    pub(crate) low: f64,
    pub(crate) q1: f64,
    pub(crate) median: f64,
    pub(crate) q3: f64,
    /// The end of the upper whisker.
    pub(crate) high: f64,
    pub(crate) mean: Option<f64>,
    /// Single values beyond the whiskers.
    pub(crate) beyond: Vec<f64>,
}

/// What the horizontal axis shows.
pub(crate) struct Scale {
    /// Where the marks are, and what is written there. The first and the last one are the ends.
    marks: Vec<(f64, String)>,
    is_logarithmic: bool,
}

/// A plot without its lines.
pub(crate) struct Plot<'a> {
    /// Different from that of any other plot of the page.
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) axis: &'a str,
    pub(crate) scale: Scale,
}

impl Scale {
    /// From 0 to 1.
    pub(crate) fn shares() -> Self {
        Self::linear(vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 1)
    }

    /// From 0 to at least `most`.
    pub(crate) fn to(most: f64) -> Self {
        let ticks = ticks(most);
        let digits = usize::from(ticks.last().is_none_or(|end| *end < 5.0));
        Self::linear(ticks, digits)
    }

    /// Powers of ten around all values above 0, from `least` to `most`.
    pub(crate) fn powers(least: f64, most: f64) -> Self {
        let exponent = |value: f64| if value > 0.0 && value.is_finite() { value.log10() } else { 0.0 };
        let first = exponent(least).floor() as i32;
        let last = (exponent(most).ceil() as i32).max(first + 1);
        let factors: &[f64] = if last - first <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let within = (first..last).flat_map(|power| factors.iter().map(move |factor| (power, *factor)));
        let marks = within.chain([(last, 1.0)]).map(|(power, factor)| {
            let digits = usize::try_from(-power).unwrap_or(0);
            let value = factor * 10_f64.powi(power);
            (value, format!("{value:.digits$}"))
        });
        Self { marks: marks.collect(), is_logarithmic: true }
    }

    fn linear(ticks: Vec<f64>, digits: usize) -> Self {
        let marks = ticks.into_iter().map(|tick| (tick, format!("{tick:.digits$}"))).collect();
        Self { marks, is_logarithmic: false }
    }

    /// The place of a value on the plot, in pixels.
    fn x(&self, value: f64) -> f64 {
        let along = |value: f64| if self.is_logarithmic { value.log10() } else { value };
        let end = |mark: Option<&(f64, String)>, otherwise: f64| mark.map_or(otherwise, |(value, _)| along(*value));
        let (start, end) = (end(self.marks.first(), 0.0), end(self.marks.last(), 1.0));
        NAMES + (along(value) - start) / (end - start) * (WIDTH - NAMES - RIGHT)
    }
}

impl Plot<'_> {
    /// The plot with these lines. Empty if there are none.
    pub(crate) fn draw(&self, lines: &[Line]) -> Markup {
        if lines.is_empty() {
            return html! {};
        }
        let named = |index: usize| (&lines[index].name, lines[index].is_all);
        let is_first = |index: usize| index == 0 || named(index - 1) != named(index);
        let mut y = GAP;
        let mut boxes = String::new();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 && is_first(index) && line.kind.is_some() {
                y += GAP;
            }
            let middle = y + LINE / 2.0;
            if is_first(index) {
                let class = if line.is_all { "name all" } else { "name" };
                let name = cut(&line.name);
                boxes +=
                    &html! { text class=(class) x="0" y=(format!("{:.1}", middle + 4.0)) { (name) } }.into_string();
            }
            boxes += &line.svg(middle, &self.scale).into_string();
            y += LINE;
        }
        let mut svg = String::new();
        for (value, words) in &self.scale.marks {
            let place = self.scale.x(*value);
            svg += &format!("<line class=\"grid\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"0\" y2=\"{y:.1}\"/>");
            svg += &format!("<text class=\"tick\" x=\"{place:.1}\" y=\"{:.1}\">{words}</text>", y + 16.0);
        }
        let middle = f64::midpoint(NAMES, WIDTH - RIGHT);
        svg += &format!("<text class=\"axis\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>", y + 36.0, self.axis);
        svg += &boxes;
        let (title, description) = (format!("{}-title", self.id), format!("{}-description", self.id));
        html! {
            div.scroll.plot tabindex="0" role="region" aria-label=(self.title) {
                svg width=(WIDTH) height=(format!("{:.0}", y + AXIS)) viewBox=(format!("0 0 {WIDTH} {:.0}", y + AXIS))
                    role="img" aria-labelledby={ (title) " " (description) } {
                    title id=(title) { (self.title) }
                    desc id=(description) { (self.description) }
                    (PreEscaped(svg))
                }
            }
        }
    }
}

impl Line {
    fn svg(&self, y: f64, scale: &Scale) -> Markup {
        let of = &self.of;
        let at = |value: f64| format!("{:.1}", scale.x(value));
        let vertical = |offset: f64| format!("{:.1}", y + offset);
        let diamond = |mean: f64| {
            let mean = scale.x(mean);
            let (left, right) = (mean - 4.0, mean + 4.0);
            let [middle, top, bottom] = [0.0, -4.0, 4.0].map(vertical);
            format!("{left:.1},{middle} {mean:.1},{top} {right:.1},{middle} {mean:.1},{bottom}")
        };
        html! {
            g class=(self.class) {
                title { (self.said) }
                @if let Some(kind) = &self.kind {
                    text.kind x=(format!("{:.1}", NAMES - 10.0)) y=(vertical(4.0)) { (kind) }
                }
                line.whisker x1=(at(of.low)) x2=(at(of.high)) y1=(vertical(0.0)) y2=(vertical(0.0)) {}
                @for end in [of.low, of.high] {
                    line.whisker x1=(at(end)) x2=(at(end)) y1=(vertical(-HALF / 2.0)) y2=(vertical(HALF / 2.0)) {}
                }
                rect x=(at(of.q1)) y=(vertical(-HALF)) width=(format!("{:.1}", (scale.x(of.q3) - scale.x(of.q1)).max(1.0)))
                    height=(format!("{:.1}", 2.0 * HALF)) {}
                line.median x1=(at(of.median)) x2=(at(of.median)) y1=(vertical(-HALF)) y2=(vertical(HALF)) {}
                @for value in &of.beyond { circle cx=(at(*value)) cy=(vertical(0.0)) r="2.5" {} }
                @if let Some(mean) = of.mean { polygon points=(diamond(mean)) {} }
            }
        }
    }
}

/// A name that fits on the left.
fn cut(name: &str) -> String {
    if name.chars().count() <= NAME_LENGTH {
        return name.to_owned();
    }
    name.chars().take(NAME_LENGTH - 1).chain(['…']).collect()
}
/// Round numbers from 0 to at least `most`, about five.
fn ticks(most: f64) -> Vec<f64> {
    let most = if most > 0.0 && most.is_finite() { most } else { 1.0 };
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| step * 5.0 >= most);
    let step = step.unwrap_or(10.0 * power);
    let count = (most / step).ceil().max(1.0) as usize;
    (0..=count).map(|index| index as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        assert_eq!(ticks(23.0), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        assert_eq!(ticks(5.0), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(ticks(0.0).last(), Some(&1.0));
        for most in [0.013, 0.7, 99.0, 1234.5, 1e300] {
            let found = ticks(most);
            assert!(
                (3..=6).contains(&found.len()) && found.last().is_some_and(|end| *end >= most),
                "{most}: {found:?}"
            );
        }
    }

    #[test]
    fn powers_of_ten_hold_all_values() {
        let marks = |least: f64, most: f64| {
            let scale = Scale::powers(least, most);
            scale.marks.iter().map(|(_, words)| words.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(marks(3.0, 4200.0), "1 10 100 1000 10000");
        assert_eq!(marks(0.004, 30.0), "0.001 0.01 0.1 1 10 100");
        assert_eq!(marks(20.0, 70.0), "10 20 50 100");
        assert_eq!(marks(0.2, 5.0), "0.1 0.2 0.5 1 2 5 10");
        assert_eq!(marks(100.0, 100.0), "100 200 500 1000");
        for (least, most) in [(3.0, 4200.0), (1e-9, 1e9), (10.0, 1000.0), (0.5, 0.5)] {
            let scale = Scale::powers(least, most);
            for value in [least, most] {
                assert!((NAMES..=WIDTH - RIGHT).contains(&scale.x(value)), "{value} of {least} to {most}");
            }
        }
        let scale = Scale::powers(1.0, 10_000.0);
        assert_eq!(scale.x(100.0), f64::midpoint(NAMES, WIDTH - RIGHT), "equal factors have equal widths");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("left kidney"), "left kidney");
        assert_eq!(cut(&"x".repeat(30)), "x".repeat(21) + "…");
    }
}
