"""From a CT to the array that the model sees: normalised, depth first, cropped, resized to a window."""

import numpy as np

from .config import Size3


def normalised(hu: np.ndarray) -> np.ndarray:
    """Intensities of the whole scan, any axes, scaled to [0, 1] by what lies above the mean."""
    foreground = hu[hu > hu.mean(dtype=np.float64)].astype(np.float64)
    low, high = np.percentile(foreground, (0.05, 99.95))
    scaled = (np.clip(hu, low, high) - foreground.mean()) / max(foreground.std(), 1e-8)
    scaled -= scaled.min()
    return (scaled / max(scaled.max(), 1e-8)).astype(np.float32)


def bounding_box(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """First and last (inclusive) index of the true voxels along each axis; None if there are none."""
    low, high = [], []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if hit.size == 0:
            return None
        low.append(hit[0])
        high.append(hit[-1])
    return np.array(low), np.array(high)


def prepared(hu_xyz: np.ndarray, labels_xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 and labels `[D, H, W]`, both cropped to where the image is above 0."""
    image = normalised(hu_xyz.astype(np.float32)).transpose(2, 1, 0)
    found = bounding_box(image > 0)
    if found is None:
        raise ValueError("the scan is constant")
    inside = tuple(slice(a, b + 1) for a, b in zip(*found))
    return image[inside], labels_xyz.transpose(2, 1, 0)[inside]


def nearest_indices(size_in: int, size_out: int, offset: float) -> np.ndarray:
    """Source index of each target index, in float32: offset 0 is `nearest`, offset 0.5 `nearest-exact`."""
    scale = np.float32(size_in) / np.float32(size_out)
    position = (np.arange(size_out, dtype=np.float32) + np.float32(offset)) * scale
    return np.minimum(np.floor(position).astype(np.int64), size_in - 1)


def resized(volume: np.ndarray, shape: Size3 | tuple[int, ...], offset: float) -> np.ndarray:
    """`volume` `[D, H, W]` by nearest neighbour at `shape`."""
    return volume[np.ix_(*(nearest_indices(a, b, offset) for a, b in zip(volume.shape, shape)))]
