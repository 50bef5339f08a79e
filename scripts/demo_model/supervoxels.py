"""Pseudo-masks for unlabelled scans: Felzenszwalb-Huttenlocher segments, grown into supervoxels."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import felzenszwalb

MIN_OVERLAP = 0.5
"""Intersection over union above which segments of neighbouring slices are one supervoxel."""


def supervoxels(image: np.ndarray) -> np.ndarray:
    """Ids `[D, H, W]` uint16 from 1 of a window in [0, 1]; 0 is air.

    `scikit-image` segments in two dimensions, so each slice is segmented and its segments are joined to those of the
    next slice that they mostly cover.
    """
    slices, count = [], 0
    for plane in image:
        segments = felzenszwalb(plane, scale=0.6, sigma=0.7, min_size=16) + count
        count = int(segments.max()) + 1
        slices.append(segments)
    area = np.bincount(np.stack(slices).ravel(), minlength=count)
    below, above = np.stack(slices[:-1]).ravel(), np.stack(slices[1:]).ravel()
    pairs, shared = np.unique(np.stack([below, above]), axis=1, return_counts=True)
    union = area[pairs[0]] + area[pairs[1]] - shared
    same = pairs[:, shared / union > MIN_OVERLAP]
    graph = coo_array((np.ones(same.shape[1]), (same[0], same[1])), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    ids = component[np.stack(slices)] + 1
    air = np.bincount(ids.ravel(), weights=image.ravel()) < 0.02 * np.bincount(ids.ravel())
    ids[air[ids]] = 0
    return ids.astype(np.uint16)
