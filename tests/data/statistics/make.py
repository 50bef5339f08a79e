"""Prints the figures that `evaluation/src/statistics.rs` is tested with.

Usage: python make.py    (numpy and scipy; run once, with scipy 1.17.1 and numpy 2.4.6)

Quantiles, means and standard deviations by numpy; Wilcoxon's signed-rank test by scipy.stats.wilcoxon with its defaults; the bootstrap
by the same resamples in numpy, drawn with SplitMix64.
"""

import numpy as np
from scipy import stats

MASK = 2**64 - 1


def split_mix(seed):
    """Vigna, "splitmix64.c" (2015)."""
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def values(count, step):
    """The same numbers on both sides: whole multiples of 1/1024, so that sums are exact."""
    return np.array([(n * n * step + 37 * n) % 1021 / 1024 for n in range(count)])


def summary(samples):
    q1, median, q3 = np.percentile(samples, [25, 50, 75])
    print(f"  n {len(samples)} mean {np.mean(samples)!r} sd {np.std(samples, ddof=1)!r} q1 {q1!r} median {median!r} q3 {q3!r}")


def bootstrap(cases, samples, resamples=2000, seed=0):
    """Resamples whole cases; the mean is over the objects of the drawn cases."""
    names = sorted(set(cases))
    sums = np.array([sum(s for c, s in zip(cases, samples) if c == name) for name in names])
    counts = np.array([cases.count(name) for name in names])
    draw = split_mix(seed)
    means = []
    for _ in range(resamples):
        drawn = [next(draw) * len(names) >> 64 for _ in names]
        means.append(sums[drawn].sum() / counts[drawn].sum())
    print("  interval", np.percentile(means, [2.5, 97.5]).tolist())


def wilcoxon(name, differences):
    found = stats.wilcoxon(differences)
    print(f"  {name}: n {np.count_nonzero(differences)} statistic {found.statistic!r} p {found.pvalue!r}")


draw = split_mix(1234567)
print("SplitMix64 with seed 1234567:", [next(draw) for _ in range(5)])
print("summaries")
for count, step in ((5, 3), (12, 7), (101, 11)):
    summary(values(count, step))
print("bootstrap")
bootstrap([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], values(12, 7))
bootstrap([n // 3 for n in range(31)], values(31, 5))
print("wilcoxon")
steps = np.arange(1, 61)
signed = lambda count, modulus: steps[:count] * np.where(steps[:count] * 7 % modulus < modulus // 3, -1, 1) / 64
wilcoxon("without ties, 6", signed(6, 5))
wilcoxon("all better, 8", steps[:8] / 64)
wilcoxon("without ties, 30", signed(30, 11))
wilcoxon("without ties, 50", signed(50, 11))
wilcoxon("without ties, 51: normal", signed(51, 11))
wilcoxon("ties, 10", np.array([1, 1, -1, 2, 3, 3, -3, 4, 5, 5]) / 64)
wilcoxon("ties and zeros, 13", np.array([0, 0, 1, 1, -1, 2, 3, 3, -3, 4, 5, 5, 0]) / 64)
wilcoxon("ties and zeros, 14: normal", np.array([0, 0, 1, 1, -1, 2, 3, 3, -3, 4, 5, 5, 0, 6]) / 64)
wilcoxon("ties, 40: normal", np.array([(n % 7 - 2) for n in range(40)]) / 64)
wilcoxon("one", np.array([0.5]))
