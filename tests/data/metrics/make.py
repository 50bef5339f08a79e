"""Prints the figures that `runtime/src/metrics/surface.rs` is tested with.

Usage: python make.py    (numpy and scipy; run once, with scipy 1.17.1 and numpy 2.4.6)

Two ragged ellipsoids by an integer formula that both sides compute; their surfaces by binary erosion, distances by
scipy.ndimage.distance_transform_edt over the whole grid, percentiles by numpy.
"""

import numpy as np
from scipy import ndimage

SHAPE = (24, 20, 15)


def ellipsoid(center, limit, salt):
    i, j, k = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    ragged = (i * 7 + j * 13 + k * 29 + salt) * 2654435761 % 2**32 >> 24
    form = 4 * (i - center[0]) ** 2 + 6 * (j - center[1]) ** 2 + 11 * (k - center[2]) ** 2
    return form + ragged <= limit


def surface(mask):
    return mask & ~ndimage.binary_erosion(mask, ndimage.generate_binary_structure(3, 1), border_value=0)


def figures(a, b, spacing, tolerances):
    a, b = surface(a), surface(b)
    a_to_b = ndimage.distance_transform_edt(~b, sampling=spacing)[a]
    b_to_a = ndimage.distance_transform_edt(~a, sampling=spacing)[b]
    print("spacing", spacing, "surfaces", a.sum(), b.sum())
    for percentile in (50, 95, 100):
        print("  hausdorff", percentile, max(np.percentile(a_to_b, percentile), np.percentile(b_to_a, percentile)))
    for tolerance in tolerances:
        within = (a_to_b <= tolerance).sum() + (b_to_a <= tolerance).sum()
        print("  surface dice", tolerance, within / (a.sum() + b.sum()))


A, B = ellipsoid((11, 9, 7), 500, 0), ellipsoid((13, 8, 6), 420, 5)
print("voxels", A.sum(), B.sum(), "shared", (A & B).sum(), "dice", 2 * (A & B).sum() / (A.sum() + B.sum()))
for spacing in ((1.0, 1.0, 1.0), (0.75, 1.25, 3.5), (3.5, 1.25, 0.75)):
    figures(A, B, spacing, (0.5, 1.0, 2.0, 3.0))
# The second reaches out of the grid: what lies beyond is outside.
print("cut by the grid")
figures(ellipsoid((2, 9, 13), 700, 1), ellipsoid((0, 9, 15), 600, 2), (0.75, 1.25, 3.5), (1.0, 2.0))
