"""Phantoms prepared for training, and the windows cut from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import phantom

from .config import Size3
from .preprocessing import bounding_box, prepared, resized

LABELLED, UNLABELLED, VALIDATION, HELD_OUT = 0, 100_000, 200_000, 800_000
"""First seed of each share; the shares never meet."""
CUT_OUT_SHARE = 0.6
"""Of the zoomed-in windows around a structure, those that show nothing beyond its region, as the zoom-in pass cuts it out."""
ZOOM_OUT_ERROR = np.array((3, 2, 3))
"""How many voxels a zoom-out mask's box may be off, per axis."""


@dataclass(frozen=True)
class Scan:
    """A prepared scan `[D, H, W]`: image float16 in [0, 1], labels uint8."""

    image: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Window:
    """What the encoder sees, `[D, H, W]` of the window's size: image float32, labels uint8 or supervoxel ids.

    `focus` is the label around which a zoomed-in window was placed, 0 if none.
    """

    image: np.ndarray
    labels: np.ndarray
    zoomed_in: bool
    focus: int = 0


def load(seed: int, cache: Path) -> Scan:
    """The prepared phantom of `seed`, kept in `cache` and mapped from there."""
    paths = [cache / f"{seed}.{part}.npy" for part in ("image", "labels")]
    if not all(path.exists() for path in paths):
        drawn = phantom.generate(seed)
        image, labels = prepared(drawn.hu, drawn.labels)
        for path, array in zip(paths, (np.ascontiguousarray(image, np.float16), np.ascontiguousarray(labels))):
            partial = path.with_suffix(".part.npy")
            np.save(partial, array)
            partial.rename(path)
    return Scan(*(np.load(path, mmap_mode="r") for path in paths))


def zoomed_out(scan: Scan, size: Size3, rng: np.random.Generator) -> Window:
    """The whole scan, or a shorter field of view along the body, at the window's size."""
    depth = len(scan.image)
    kept = int(depth * rng.uniform(0.7, 1.0)) if rng.random() < 0.5 else depth
    start = rng.integers(0, depth - kept + 1)
    image, labels = (resized(part[start : start + kept], size, 0.5) for part in (scan.image, scan.labels))
    return Window(varied(image, rng), labels, False)


def zoomed_in(scan: Scan, size: Size3, rng: np.random.Generator) -> Window:
    """A window at full resolution: over a structure's region as inference cuts it out, around one, or anywhere."""
    shape, window = np.array(scan.image.shape), np.array(size)
    present = np.flatnonzero(np.bincount(scan.labels.ravel())[1:]) + 1
    focus = int(rng.choice(present)) if rng.random() < 0.85 and present.size else 0
    first, last = np.zeros(3, int), shape - 1  # what the window may show
    if focus:
        low, high = bounding_box(scan.labels == focus)
        if rng.random() < CUT_OUT_SHARE:
            low, high = (np.clip(corner + rng.integers(-ZOOM_OUT_ERROR, ZOOM_OUT_ERROR + 1), 0, last) for corner in (low, high))
            low, high = np.minimum(low, high), np.maximum(low, high)
            half = np.maximum(window - (high - low + 1), 0) // 2
            first, last = np.maximum(low - half, 0), np.minimum(high + half, last)
            origin = rng.integers(first, np.maximum(first, last + 1 - window) + 1)
        else:
            spare = window - (high - low + 1)
            centred = low - spare // 2 + rng.integers(-window // 8, window // 8 + 1)
            crossing = rng.integers(np.minimum(low, high - window) - window // 4, np.maximum(low, high - window) + window // 4)
            origin = np.clip(np.where(spare >= 0, centred, crossing), 0, np.maximum(shape - window, 0))
    else:
        origin = rng.integers(0, np.maximum(shape - window, 0) + 1)
    origin = np.where(last + 1 - first < window, first - (window - (last + 1 - first)) // 2, origin)
    begin, end = np.maximum(origin, first), np.minimum(origin + window, last + 1)
    source = tuple(slice(a, b) for a, b in zip(begin, end))
    place = tuple(slice(a, b) for a, b in zip(begin - origin, end - origin))
    image, labels = np.zeros(size, scan.image.dtype), np.zeros(size, scan.labels.dtype)
    image[place], labels[place] = scan.image[source], scan.labels[source]
    return Window(varied(image, rng), labels, True, focus)


def varied(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image as float32 under a random gamma, which keeps 0 and 1."""
    return image.astype(np.float32) ** np.float32(rng.uniform(0.85, 1.2))
