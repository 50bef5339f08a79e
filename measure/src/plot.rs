//! A plot of a benchmark as SVG: one box per variant.
//!
//! A box spans the middle half of the samples. Its line is the median. The whiskers reach to the smallest and the largest
//! sample.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::bench::Benchmark;
use crate::error::Error;
use crate::row::{Measured, Outcome, Variant};
use crate::statistics::quantile;

const WIDTH: u32 = 960;
/// Left margin, for the names of the variants.
const LABELS: u32 = 330;
/// Right margin, for the median of the longest variant.
const RIGHT: u32 = 100;
const CAPTION: u32 = 36;
const ROW: u32 = 30;
const AXIS: u32 = 40;
/// Half of a box's height, and of a whisker's end, as shares of a row.
const BOX: f64 = 0.27;
const WHISKER: f64 = 0.17;

const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const WHISKERS: RGBColor = RGBColor(0x44, 0x44, 0x44);
const FILL: RGBColor = RGBColor(0x9e, 0xca, 0xe1);
const EDGE: RGBColor = RGBColor(0x31, 0x82, 0xbd);
const MEDIAN: RGBColor = RGBColor(0x08, 0x51, 0x9c);

/// Draws the rows that were timed. All share one axis, in milliseconds from 0.
///
/// # Errors
///
/// [`Error::Plot`] with what the drawing library says.
pub fn svg(benchmark: &Benchmark) -> Result<String, Error> {
    let rows: Vec<(&Variant, &Measured)> = benchmark
        .rows
        .iter()
        .filter_map(|row| match &row.outcome {
            Outcome::Measured(measured) => Some((&row.variant, measured.as_ref())),
            Outcome::Wrong { .. } | Outcome::Failed { .. } => None,
        })
        .collect();
    let height = CAPTION + AXIS + ROW * rows.len() as u32;
    let mut out = String::new();
    draw(SVGBackend::with_string(&mut out, (WIDTH, height)), &benchmark.bundle, &rows)
        .map_err(|error| Error::Plot { reason: error.to_string() })?;
    Ok(out)
}

fn draw<B: DrawingBackend>(
    backend: B,
    bundle: &str,
    rows: &[(&Variant, &Measured)],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    // The SVG has 0.8 times this size.
    let font = |size: u32| ("sans-serif", size).into_font().color(&INK);
    let area = backend.into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled(&format!("Time of one run, milliseconds ({bundle})"), font(18))?;
    let longest = rows.iter().map(|(_, measured)| measured.summary_ms.max).fold(f64::MIN_POSITIVE, f64::max);
    // Row 0 is at the top.
    let mut chart = ChartBuilder::on(&area)
        .x_label_area_size(AXIS)
        .y_label_area_size(LABELS)
        .margin_right(RIGHT)
        .build_cartesian_2d(0.0..longest, rows.len() as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(font(15))
        .x_labels(8)
        .draw()?;

    for (row, (variant, measured)) in rows.iter().enumerate() {
        let middle = row as f64 + 0.5;
        let mut sorted = measured.samples_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let [min, lower, median, upper, max] = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(&sorted, share));
        let line = |from: (f64, f64), to: (f64, f64), style| PathElement::new(vec![from, to], style);
        let whiskers = ShapeStyle::from(&WHISKERS);
        chart.draw_series([
            line((min, middle), (max, middle), whiskers),
            line((min, middle - WHISKER), (min, middle + WHISKER), whiskers),
            line((max, middle - WHISKER), (max, middle + WHISKER), whiskers),
        ])?;
        let corners = [(lower, middle - BOX), (upper, middle + BOX)];
        chart
            .draw_series([Rectangle::new(corners, FILL.filled()), Rectangle::new(corners, ShapeStyle::from(&EDGE))])?;
        let median_line = MEDIAN.stroke_width(2);
        chart.draw_series([line((median, middle - BOX), (median, middle + BOX), median_line)])?;

        let text = |x: i32, anchor: HPos, content: String| {
            let style = font(15).pos(Pos::new(anchor, VPos::Center));
            Text::new(content, (x, 0), style)
        };
        let name = EmptyElement::at((0.0, middle)) + text(-10, HPos::Right, variant.label());
        let time = EmptyElement::at((max, middle)) + text(8, HPos::Left, format!("{} ms", number(median)));
        chart.draw_series([name])?;
        chart.draw_series([time])?;
    }
    area.present()
}

/// About three significant digits.
fn number(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 1.0 {
        1
    } else {
        3
    };
    format!("{value:.digits$}")
}
