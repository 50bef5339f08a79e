//! How numbers are spread.

use serde::Serialize;

/// Quantiles of numbers, in their unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// How many there are.
    pub n: usize,
    /// The smallest.
    pub min: f64,
    /// 5th percentile.
    pub p5: f64,
    /// First quartile.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// 95th percentile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Distribution {
    /// The quantiles of these numbers, in any order; `None` if there are none.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(numbers);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let [p5, q1, median, q3, p95] = [0.05, 0.25, 0.5, 0.75, 0.95].map(|share| quantile(&sorted, share));
        Some(Self { n: sorted.len(), min, p5, q1, median, q3, p95, max })
    }
}

/// The median of these numbers, in any order; NaN if there are none.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&sorted(numbers), 0.5)
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The number that a share of the sorted numbers is below: linear between the two nearest. NaN without numbers.
///
/// # Source
/// NumPy, `quantile` with its default `method="linear"`: `_lerp` of `numpy/lib/_function_base_impl.py`, bit for bit.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let below = place.floor();
    let (a, b) = (sorted[below as usize], sorted[(below as usize + 1).min(last)]);
    let part = place - below;
    if part < 0.5 { a + (b - a) * part } else { b - (b - a) * (1.0 - part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that the expected values were computed from.
    fn numbers(count: usize) -> Vec<f64> {
        (0..count).map(|n| ((n * n * 7 + 37 * n) % 1021) as f64 / 7.0).collect()
    }

    /// Expected values: NumPy 2.4.6, `numpy.quantile(numbers, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])`.
    #[test]
    fn quantiles_are_those_of_numpy() {
        for (count, expected) in [
            (1, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            (
                2,
                [
                    0.0,
                    0.3142857142857143,
                    1.5714285714285714,
                    3.142857142857143,
                    4.714285714285714,
                    5.971428571428571,
                    6.285714285714286,
                ],
            ),
            (
                5,
                [
                    0.0,
                    1.2571428571428571,
                    6.285714285714286,
                    14.571428571428571,
                    24.857142857142858,
                    34.68571428571428,
                    37.142857142857146,
                ],
            ),
            (
                12,
                [
                    0.0,
                    3.4571428571428573,
                    12.678571428571429,
                    35.214285714285715,
                    72.28571428571428,
                    116.3142857142857,
                    128.57142857142858,
                ],
            ),
            (
                101,
                [
                    0.0,
                    6.714285714285714,
                    26.857142857142858,
                    61.142857142857146,
                    97.42857142857143,
                    128.57142857142858,
                    143.85714285714286,
                ],
            ),
        ] {
            let found = Distribution::of(numbers(count)).expect("numbers");
            let Distribution { n, min, p5, q1, median, q3, p95, max } = found;
            assert_eq!((n, [min, p5, q1, median, q3, p95, max]), (count, expected));
        }
        assert_eq!(Distribution::of([]), None);
    }

    #[test]
    fn the_order_of_the_numbers_does_not_matter() {
        let mut turned = numbers(12);
        turned.reverse();
        assert_eq!(Distribution::of(turned), Distribution::of(numbers(12)));
        assert_eq!(median([3.0, 1.0, 2.0, 10.0]), 2.5);
        assert!(median([]).is_nan());
    }
}
