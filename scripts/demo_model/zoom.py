"""Zoom-out-zoom-in inference on one scan, to the letter of the released program."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from .preprocessing import bounding_box, nearest_indices, resized
from .prompting import NO_BOX, POINTS_IN_WINDOW
from .segvol import Prompts, SegVol


@dataclass(frozen=True)
class UserPrompt:
    """What the user asks, in zoom-out voxels `(d, h, w)`; all points are inside the structure."""

    input_ids: torch.Tensor | None = None  # [1, T]
    box: np.ndarray | None = None  # [6], maximum inclusive
    points: np.ndarray | None = None  # [n, 3]

    def drawing(self, size: np.ndarray) -> np.ndarray:
        """The prompt as 1s on the zoom-out grid `[D, H, W]`."""
        drawn = np.zeros(size, bool)
        if self.points is not None:
            drawn[tuple(self.points.astype(int).T)] = True
        elif self.box is not None:
            low, high = self.box[:3].astype(int), self.box[3:].astype(int)
            drawn[tuple(slice(a, b + 1) for a, b in zip(low, high))] = True
        return drawn


@dataclass(frozen=True)
class Segmentation:
    """Masks `[D, H, W]` at the crop's shape: from the whole volume, and after zooming in."""

    zoom_out: np.ndarray
    zoom_in: np.ndarray


@dataclass(frozen=True)
class Region:
    """The part of the crop that zoom-in looks at, `stop` exclusive, and the zeros around it up to a window."""

    start: np.ndarray
    stop: np.ndarray
    lead: np.ndarray
    trail: np.ndarray

    @staticmethod
    def around(mask: np.ndarray, window: np.ndarray) -> "Region | None":
        """The bounding box of the mask, grown evenly towards the window's size and cut at the volume."""
        found = bounding_box(mask)
        if found is None:
            return None
        low, high = found
        half = np.maximum(window - (high - low + 1), 0) // 2
        start, stop = np.maximum(low - half, 0), np.minimum(high + half + 1, mask.shape)
        short = np.maximum(window - (stop - start), 0)
        return Region(start, stop, short // 2, short - short // 2)

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """The region of a volume of the crop's shape, without the zeros around it."""
        return volume[tuple(slice(a, b) for a, b in zip(self.start, self.stop))]

    def padded(self, volume: np.ndarray) -> np.ndarray:
        """The region with the zeros around it."""
        return np.pad(self.cut(volume), list(zip(self.lead, self.trail)))


def window_origins(shape: tuple[int, ...], window: np.ndarray) -> list[tuple[int, ...]]:
    """Origins of windows that overlap by half, the last of each axis shifted back inside."""
    axes = []
    for size, length in zip(shape, window):
        step = int(length * 0.5)
        count = -(-(size - length) // step) + 1
        axes.append([min(i * step, size - length) for i in range(count)])
    return list(product(*axes))


def box_of(mask: np.ndarray) -> np.ndarray:
    """Bounding box `[6]`, maximum inclusive.

    # Quirk
    An empty mask gives six -1, which the prompt encoder takes for coordinates.
    """
    found = bounding_box(mask)
    return NO_BOX if found is None else np.concatenate(found).astype(np.float32)


def five_points(drawing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Five voxels of the drawing, evenly spaced in raster order, and their labels.

    # Quirk
    An empty drawing gives one point of -1 that is labelled "not a point".
    """
    inside = np.argwhere(drawing)
    if not len(inside):
        return np.full((1, 3), -1.0, np.float32), np.full(1, -1.0, np.float32)
    ranks = (2 * np.arange(POINTS_IN_WINDOW) + 1) * len(inside) // (2 * POINTS_IN_WINDOW)
    return inside[ranks].astype(np.float32), np.ones(POINTS_IN_WINDOW, np.float32)


class Study:
    """One scan; each window of it is encoded once, whatever is asked."""

    def __init__(self, model: SegVol, image: np.ndarray) -> None:
        """`image` `[D, H, W]` in [0, 1], cropped."""
        self.model, self.image = model, image
        self.window = np.array(model.config.spatial_size)
        self.whole = self.encode(resized(image, model.config.spatial_size, 0.5))
        self.embeddings: dict[tuple[int, ...], torch.Tensor] = {}

    @torch.inference_mode()
    def encode(self, window: np.ndarray) -> torch.Tensor:
        """`[1, N, C]` of a window `[D, H, W]`."""
        return self.model.image_encoder(torch.from_numpy(np.ascontiguousarray(window))[None, None])

    @torch.inference_mode()
    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> np.ndarray:
        """Logits `[D, H, W]`."""
        return self.model.decode(embedding, prompts)[0].numpy()

    def window_embedding(self, region: Region, padded: np.ndarray, origin: tuple[int, ...]) -> torch.Tensor:
        """Embedding of the window at `origin` of the padded region."""
        place = tuple(int(v) for v in (*(region.start + origin), *region.lead, *region.trail))
        if place not in self.embeddings:
            self.embeddings[place] = self.encode(padded[self.window_at(origin)])
        return self.embeddings[place]

    def window_at(self, origin: tuple[int, ...]) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for a, n in zip(origin, self.window))

    def segment(self, asked: UserPrompt) -> Segmentation:
        """Zoom out over the whole scan, then zoom in where something was found."""
        points = None if asked.points is None else torch.from_numpy(asked.points)[None]
        labels = None if points is None else torch.ones(points.shape[:2])
        box = None if asked.box is None else torch.from_numpy(asked.box)[None]
        logits = self.decode(self.whole, Prompts(points, labels, box, asked.input_ids))
        logits = resized(logits, self.image.shape, 0.0)
        zoom_out = logits > 0
        region = Region.around(zoom_out, self.window)
        if region is None:
            return Segmentation(zoom_out, zoom_out)
        zoom_in = zoom_out.copy()
        region.cut(zoom_in)[...] = self.zoomed_in(asked, region, zoom_out) > 0
        return Segmentation(zoom_out, zoom_in)

    def zoomed_in(self, asked: UserPrompt, region: Region, zoom_out: np.ndarray) -> np.ndarray:
        """Mean of the window logits over the region, at its shape.

        # Quirk
        The drawing's positions count from the region's start, without the zeros that lead the image.
        """
        image, coarse = region.padded(self.image), region.padded(zoom_out)
        drawing = self.drawing_in(asked, region)
        origins = window_origins(image.shape, self.window)
        total, seen = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
        for origin in origins:
            inside = self.window_at(origin)
            prompts = self.window_prompts(asked, drawing[inside], coarse[inside], len(origins) == 1)
            total[inside] += self.decode(self.window_embedding(region, image, origin), prompts)
            seen[inside] += 1
        shape = region.stop - region.start
        return (total / seen)[tuple(slice(a, a + n) for a, n in zip(region.lead, shape))]

    def drawing_in(self, asked: UserPrompt, region: Region) -> np.ndarray:
        """The user's drawing at full resolution, inside the region."""
        drawn = asked.drawing(self.window)
        axes = [nearest_indices(n, size, 0.0) for n, size in zip(drawn.shape, self.image.shape)]
        return drawn[np.ix_(*(axis[a:b] for axis, a, b in zip(axes, region.start, region.stop)))]

    def window_prompts(self, asked: UserPrompt, drawing: np.ndarray, coarse: np.ndarray, only: bool) -> Prompts:
        """The prompt as one window gets it: the zoom-out mask bounds it, unless the user's box can."""
        points = labels = box = None
        if asked.points is not None:
            voxels, flags = five_points(drawing)
            points, labels = torch.from_numpy(voxels)[None], torch.from_numpy(flags)[None]
            box = box_of(coarse)
        elif asked.box is not None:
            box = box_of(drawing if only else coarse)
        return Prompts(points, labels, None if box is None else torch.from_numpy(box)[None], asked.input_ids)
