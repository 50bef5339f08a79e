//! A drawing of a benchmark: one box per variant, as SVG.
//!
//! A box spans the middle half of the samples, its line is the median, its whiskers the least and the greatest.

use std::fmt::Write as _;

use crate::bench::Benchmark;
use crate::row::{Measured, Outcome, Variant};
use crate::statistics::quantile;

const WIDTH: f64 = 960.0;
const LABELS: f64 = 330.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 46.0;
const ROW: f64 = 30.0;
const AXIS: f64 = 44.0;

/// Draws the rows that were timed; stages share one axis from 0, in milliseconds.
#[must_use]
pub fn svg(benchmark: &Benchmark) -> String {
    let rows: Vec<(&Variant, &Measured)> = benchmark
        .rows
        .iter()
        .filter_map(|row| match &row.outcome {
            Outcome::Measured(measured) => Some((&row.variant, measured.as_ref())),
            _ => None,
        })
        .collect();
    let longest = rows.iter().map(|(_, measured)| measured.summary_ms.max).fold(0.0, f64::max);
    let step = tick_step(longest);
    let end = (longest / step).ceil().max(1.0) * step;
    let x = |ms: f64| LABELS + (WIDTH - LABELS - RIGHT) * ms / end;
    let bottom = TOP + ROW * rows.len() as f64;
    let height = bottom + AXIS;

    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">"
    ));
    line("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>".to_owned());
    line(text(12.0, 24.0, "start", &format!("Time of one run, milliseconds ({})", benchmark.bundle)));
    let mut tick = 0.0;
    while tick <= end + step / 2.0 {
        let at = x(tick);
        line(format!("<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#dddddd\"/>"));
        line(text(at, bottom + 18.0, "middle", &number(tick)));
        tick += step;
    }
    for (index, (variant, measured)) in rows.into_iter().enumerate() {
        let middle = TOP + ROW * (index as f64 + 0.5);
        let mut sorted = measured.samples_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let [least, lower, median, upper, greatest] =
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| x(quantile(&sorted, share)));
        line(text(LABELS - 10.0, middle + 4.0, "end", &variant.label()));
        line(format!(
            "<line x1=\"{least:.1}\" y1=\"{middle:.1}\" x2=\"{greatest:.1}\" y2=\"{middle:.1}\" stroke=\"#444444\"/>"
        ));
        for end in [least, greatest] {
            let (above, below) = (middle - 5.0, middle + 5.0);
            line(format!(
                "<line x1=\"{end:.1}\" y1=\"{above:.1}\" x2=\"{end:.1}\" y2=\"{below:.1}\" stroke=\"#444444\"/>"
            ));
        }
        // A box of equal samples is still seen.
        let width = (upper - lower).max(2.0);
        line(format!(
            "<rect x=\"{lower:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\" fill=\"#9ecae1\" stroke=\"#3182bd\"/>",
            middle - 8.0
        ));
        let (above, below) = (middle - 8.0, middle + 8.0);
        line(format!(
            "<line x1=\"{median:.1}\" y1=\"{above:.1}\" x2=\"{median:.1}\" y2=\"{below:.1}\" stroke=\"#08519c\" stroke-width=\"2\"/>"
        ));
        line(text(greatest + 8.0, middle + 4.0, "start", &format!("{} ms", number(measured.summary_ms.median))));
    }
    line("</svg>".to_owned());
    out
}

fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{}</text>", escaped(content))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// 1, 2 or 5 times a power of ten, at least a sixth of the length.
fn tick_step(length: f64) -> f64 {
    let least = length.max(1e-6) / 6.0;
    let power = 10.0_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&step| step >= least).unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    let mut text = String::new();
    let digits = if value >= 100.0 || value == 0.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    let _ = write!(text, "{value:.digits$}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!([2700.0, 31.0, 0.7].map(tick_step), [500.0, 10.0, 0.2]);
    }

    #[test]
    fn names_cannot_break_the_drawing() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
