//! Statistics of a list of times.

use serde::{Deserialize, Serialize};

/// Statistics of samples, in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of samples.
    pub runs: usize,
    /// Smallest sample.
    pub min: f64,
    /// Half of the samples are below this value.
    pub median: f64,
    /// 90 of 100 samples are below this value.
    pub p90: f64,
    /// 99 of 100 samples are below this value. With fewer samples it is between the two largest.
    pub p99: f64,
    /// Largest sample.
    pub max: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (with the divisor `runs - 1`); 0 for one sample.
    pub deviation: f64,
}

impl Summary {
    /// The statistics of these samples. `None` without samples.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let count = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / count;
        let squares: f64 = sorted.iter().map(|x| (x - mean).powi(2)).sum();
        let deviation = if sorted.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        let at = |share| quantile(&sorted, share);
        Some(Self { runs: sorted.len(), min, median: at(0.5), p90: at(0.9), p99: at(0.99), max, mean, deviation })
    }

    /// Standard deviation divided by mean.
    #[must_use]
    pub fn variation(&self) -> f64 {
        if self.mean > 0.0 { self.deviation / self.mean } else { 0.0 }
    }
}

/// The value that a share of the sorted samples is below, linearly interpolated between the two nearest samples like
/// NumPy's `percentile`. NaN without samples.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: NumPy's mean, std(ddof=1) and percentile.
    #[test]
    fn known_samples_have_their_summary() {
        let found = Summary::of(&[4.0, 1.0, 3.0, 2.0, 10.0]).expect("samples");
        assert_eq!((found.runs, found.min, found.median, found.max, found.mean), (5, 1.0, 3.0, 10.0, 4.0));
        assert!((found.p90 - 7.6).abs() < 1e-12, "{found:?}");
        assert!((found.p99 - 9.76).abs() < 1e-12, "{found:?}");
        assert!((found.deviation - 3.535_533_905_932_738).abs() < 1e-12, "{found:?}");
        assert!((found.variation() - 0.883_883_476_483_184_4).abs() < 1e-12);
    }

    #[test]
    fn one_sample_does_not_scatter_and_none_has_no_summary() {
        let found = Summary::of(&[2.5]).expect("a sample");
        assert_eq!((found.min, found.median, found.p99, found.deviation), (2.5, 2.5, 2.5, 0.0));
        assert_eq!(Summary::of(&[]), None);
    }
}
