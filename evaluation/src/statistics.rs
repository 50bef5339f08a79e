//! Statistics of figures over objects: summaries, bootstrap intervals of means, Wilcoxon's signed-rank test, Holm's correction.
//!
//! Objects of one case are not independent: a scan of poor quality lowers all its figures. So the bootstrap draws whole cases,
//! and the test compares cases.

use serde::Serialize;

/// How often cases are drawn for an interval.
pub const RESAMPLES: usize = 2000;

/// The seed of these draws: the same figures have the same interval.
pub const SEED: u64 = 0;

/// The share of the resampled means that lies inside an interval.
pub const CONFIDENCE: f64 = 0.95;

/// With more differences than this, the test uses the normal distribution.
const MOST_EXACT: usize = 50;

/// The same if there are ties or zeros.
const MOST_EXACT_TIED: usize = 13;

/// A figure of one object, with the index of its case.
pub type Sample = (usize, f64);

/// Summary of one figure over objects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Statistics {
    /// Number of objects that have the figure.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (with the divisor `n - 1`); `None` for one object.
    pub sd: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// First quartile: linear between the two nearest samples, like NumPy's `percentile`.
    pub q1: f64,
    /// Median.
    pub median: f64,
    /// Third quartile.
    pub q3: f64,
    /// Largest.
    pub max: f64,
    /// 95 % bootstrap interval of the mean, see [`interval`].
    pub ci95: Option<[f64; 2]>,
}

impl Statistics {
    /// The summary of these samples; `None` if there are none.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.iter().map(|&(_, value)| value).collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let n = sorted.len();
        let mean = samples.iter().map(|&(_, value)| value).sum::<f64>() / n as f64;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (n > 1).then(|| (squares / (n as f64 - 1.0)).sqrt());
        let [q1, median, q3] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
        Some(Self { n, mean, sd, min, q1, median, q3, max, ci95: interval(samples) })
    }
}

/// The value that a share of the sorted samples is below, linear between the two nearest samples like NumPy's `percentile`.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// The 95 % percentile bootstrap interval of the mean over objects. Each of the [`RESAMPLES`] draws takes as many cases as there
/// are, with replacement, and the mean over all their objects. `None` with fewer than two cases.
#[must_use]
pub fn interval(samples: &[Sample]) -> Option<[f64; 2]> {
    let mut cases: std::collections::BTreeMap<usize, (f64, usize)> = std::collections::BTreeMap::new();
    for &(case, value) in samples {
        let (sum, count) = cases.entry(case).or_default();
        *sum += value;
        *count += 1;
    }
    let cases: Vec<(f64, usize)> = cases.into_values().collect();
    if cases.len() < 2 {
        return None;
    }
    let mut draw = SplitMix64(SEED);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut sum, mut count) = (0.0, 0);
            for _ in 0..cases.len() {
                let (case_sum, case_count) = cases[draw.below(cases.len())];
                sum += case_sum;
                count += case_count;
            }
            sum / count as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let outside = (1.0 - CONFIDENCE) / 2.0;
    Some([quantile(&means, outside), quantile(&means, 1.0 - outside)])
}

/// The generator of the bootstrap.
///
/// # Source
/// Vigna, "splitmix64.c" (2015), in the public domain.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `count`.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

/// How a p-value was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// From all signs that the differences could have.
    Exact,
    /// From the normal distribution, corrected for ties, without correction for continuity.
    Normal,
}

/// The result of Wilcoxon's signed-rank test, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// Differences that are not 0.
    pub n: usize,
    /// The smaller of the sums of the ranks of positive and of negative differences.
    pub statistic: f64,
    /// The probability of a statistic at most as large if both signs were equally likely.
    pub p: f64,
    /// How it was computed.
    pub method: Method,
}

/// Wilcoxon's signed-rank test as SciPy's `wilcoxon` does it by default: differences of 0 are left out (`zero_method="wilcox"`),
/// equal ones have their mean rank. The p-value is exact for up to 50 differences, with ties or zeros for up to 13; else it
/// comes from the normal distribution. `None` if all differences are 0.
#[must_use]
pub fn wilcoxon(differences: &[f64]) -> Option<Wilcoxon> {
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = sorted.len();
    if n == 0 {
        return None;
    }
    // Twice the ranks, which are whole numbers also for ties.
    let (mut ranks, mut ties) = (Vec::with_capacity(n), 0.0);
    for equal in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = ranks.len() + 1;
        ranks.extend(std::iter::repeat_n(2 * first + equal.len() - 1, equal.len()));
        let count = equal.len() as f64;
        ties += count.powi(3) - count;
    }
    let positive: usize = ranks.iter().zip(&sorted).filter(|(_, value)| **value > 0.0).map(|(rank, _)| rank).sum();
    let total = n * (n + 1);
    let smaller = positive.min(total - positive);
    let plain = ties == 0.0 && n == differences.len();
    let exact = if plain { n <= MOST_EXACT } else { differences.len() <= MOST_EXACT_TIED };
    let (p, method) = if exact {
        (exact_p(&ranks, smaller), Method::Exact)
    } else {
        let count = n as f64;
        let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - ties / 2.0) / 24.0;
        let z = (total as f64 / 4.0 - smaller as f64 / 2.0) / variance.sqrt();
        (libm::erfc(z / std::f64::consts::SQRT_2), Method::Normal)
    };
    Some(Wilcoxon { n, statistic: smaller as f64 / 2.0, p, method })
}

/// Twice the probability that the positive ranks' sum is at most `sum`, if each rank has either sign with probability 1/2.
fn exact_p(ranks: &[usize], sum: usize) -> f64 {
    // probabilities[s]: of the sum s, for the ranks so far. Only sums up to the observed one matter.
    let mut probabilities = vec![0.0; sum + 1];
    probabilities[0] = 1.0;
    for &rank in ranks {
        for at in (0..=sum).rev() {
            let with = if at >= rank { probabilities[at - rank] } else { 0.0 };
            probabilities[at] = f64::midpoint(probabilities[at], with);
        }
    }
    (2.0 * probabilities.iter().sum::<f64>()).min(1.0)
}

/// The p-values after Holm's correction for several tests, in the same order.
///
/// # Source
/// Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut corrected, mut largest) = (vec![0.0; p_values.len()], 0.0_f64);
    for (place, index) in order.into_iter().enumerate() {
        largest = largest.max((p_values.len() - place) as f64 * p_values[index]).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: `tests/data/statistics/make.py`.

    fn values(count: usize, step: usize) -> Vec<f64> {
        (0..count).map(|n| ((n * n * step + 37 * n) % 1021) as f64 / 1024.0).collect()
    }

    fn in_cases(values: Vec<f64>, objects: usize) -> Vec<Sample> {
        values.into_iter().enumerate().map(|(n, value)| (n / objects, value)).collect()
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-3), "{found}, not {expected}");
    }

    #[test]
    fn summaries_are_those_of_numpy() {
        for (count, step, [mean, sd, q1, median, q3]) in [
            (5, 3, [0.089_843_75, 0.075_858_228_460_697_08, 0.039_062_5, 0.083_984_375, 0.134_765_625]),
            (12, 7, [0.320_800_781_25, 0.287_317_506_067_942_04, 0.086_669_921_875, 0.240_722_656_25, 0.494_140_625]),
            (101, 11, [0.496_615_872_524_752_5, 0.279_535_128_532_320_04, 0.291_015_625, 0.513_671_875, 0.697_265_625]),
        ] {
            let found = Statistics::of(&in_cases(values(count, step), 1)).expect("samples");
            assert_eq!(found.n, count);
            let sd_of = found.sd.expect("several samples");
            for (found, expected) in
                [(found.mean, mean), (sd_of, sd), (found.q1, q1), (found.median, median), (found.q3, q3)]
            {
                close(found, expected);
            }
        }
        let one = Statistics::of(&[(0, 0.5)]).expect("a sample");
        assert_eq!((one.n, one.sd, one.q1, one.max, one.ci95), (1, None, 0.5, 0.5, None));
        assert_eq!(Statistics::of(&[]), None);
    }

    #[test]
    fn draws_are_those_of_splitmix64() {
        let mut draw = SplitMix64(1_234_567);
        let found = std::array::from_fn(|_| draw.next());
        assert_eq!(
            found,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn intervals_draw_whole_cases_as_numpy_does() {
        let check = |samples: &[Sample], expected: [f64; 2]| {
            let found = interval(samples).expect("several cases");
            found.into_iter().zip(expected).for_each(|(found, expected)| close(found, expected));
        };
        check(&in_cases(values(12, 7), 1), [0.173_822_021_484_375, 0.479_260_253_906_249_93]);
        check(&in_cases(values(31, 5), 3), [0.329_333_290_588_173_4, 0.578_990_088_320_197_9]);
        // Were the objects of a case independent, the interval of equal objects would be narrower.
        let wide = interval(&[(0, 0.0), (0, 0.0), (1, 1.0), (1, 1.0)]).expect("two cases");
        assert_eq!(wide, [0.0, 1.0]);
        let mut turned = in_cases(values(31, 5), 3);
        turned.reverse();
        check(&turned, [0.329_333_290_588_173_4, 0.578_990_088_320_197_9]);
        assert_eq!(interval(&[(3, 0.0), (3, 1.0)]), None, "one case");
    }

    #[test]
    fn p_values_are_those_of_scipy() {
        let signed = |count: usize, modulus: usize| -> Vec<f64> {
            let sign = |n: usize| if n * 7 % modulus < modulus / 3 { -1.0 } else { 1.0 };
            (1..=count).map(|n| sign(n) * n as f64 / 64.0).collect()
        };
        let tied = [1.0, 1.0, -1.0, 2.0, 3.0, 3.0, -3.0, 4.0, 5.0, 5.0];
        let with = |more: &[f64]| tied.iter().chain(more).copied().collect::<Vec<_>>();
        let cases: [(Vec<f64>, usize, f64, f64, Method); 10] = [
            (signed(6, 5), 6, 5.0, 0.3125, Method::Exact),
            ((1..=8).map(f64::from).collect(), 8, 0.0, 0.007_812_5, Method::Exact),
            (signed(30, 11), 30, 138.0, 0.052_263_347_432_017_326, Method::Exact),
            (signed(50, 11), 50, 343.0, 0.003_913_313_547_160_513, Method::Exact),
            (signed(51, 11), 51, 343.0, 0.002_704_147_814_681_608, Method::Normal),
            (tied.to_vec(), 10, 8.0, 0.054_687_5, Method::Exact),
            (with(&[0.0; 3]), 10, 8.0, 0.054_687_5, Method::Exact),
            (with(&[0.0, 0.0, 0.0, 6.0]), 11, 8.0, 0.025_567_322_104_844_373, Method::Normal),
            ((0..40).map(|n| f64::from(n % 7 - 2)).collect(), 34, 150.0, 0.010_759_596_249_504_096, Method::Normal),
            (vec![0.5], 1, 0.0, 1.0, Method::Exact),
        ];
        for (differences, n, statistic, p, method) in cases {
            let found = wilcoxon(&differences).expect("differences");
            assert_eq!((found.n, found.statistic, found.method), (n, statistic, method), "{differences:?}");
            close(found.p, p);
            let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
            close(wilcoxon(&turned).expect("differences").p, p);
        }
        assert_eq!((wilcoxon(&[]), wilcoxon(&[0.0, -0.0])), (None, None));
    }

    #[test]
    fn holm_multiplies_and_keeps_the_order() {
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            close(*found, expected);
        }
        assert_eq!(holm(&[0.7, 0.6]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
