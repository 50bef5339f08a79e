"""Training prompts: which structure is asked for, how, and what the right mask is."""

from dataclasses import dataclass

import numpy as np
import torch

import phantom

from .dataset import Window
from .preprocessing import bounding_box
from .segvol import Prompts
from .tokenizer import SYNONYMS, PromptTokenizer

Kind = tuple[str, ...]
LABELLED: tuple[Kind, ...] = (("text",), ("box",), ("points",), ("text", "box"), ("text", "points"))
PSEUDO: tuple[Kind, ...] = (("box",), ("points",), ("points", "box"))
"""What every window is asked for, where structures have names and where they are supervoxels."""
NAMES = {label: name for name, label in phantom.STRUCTURES.items()}
LESION_LABELS = tuple(phantom.STRUCTURES[name] for name in phantom.LESIONS)
NO_BOX = np.full(6, -1.0, np.float32)
POINTS_IN_WINDOW = 5
MIN_VOXELS_IN, MIN_VOXELS_OUT = 40, 4
"""A structure of fewer voxels is not asked for: a sliver at a window's edge teaches noise."""
FOCUS_SHARE = 0.5


@dataclass(frozen=True)
class Target:
    """One asked-for mask `[D, H, W]`; empty where the structure is not in the window."""

    label: int
    mask: np.ndarray


def choose(window: Window, kind: Kind, rng: np.random.Generator) -> Target:
    """A structure of the window, often the one it was placed around, else lesions twice as likely.

    Now and then one that is absent.
    """
    voxels = np.bincount(window.labels.ravel(), minlength=len(NAMES) + 1)
    present = np.flatnonzero(voxels >= (MIN_VOXELS_IN if window.zoomed_in else MIN_VOXELS_OUT))
    present = present[present > 0]
    absent = np.setdiff1d(list(NAMES), np.flatnonzero(voxels))
    absent_share = 0.05 if window.zoomed_in else 0.03 if kind == ("text",) else 0.0
    if absent.size and (rng.random() < absent_share or not present.size):
        label = int(rng.choice(absent))
    elif window.focus in present and rng.random() < FOCUS_SHARE:
        label = window.focus
    else:
        weight = np.where(np.isin(present, LESION_LABELS), 2.0, 1.0)
        label = int(rng.choice(present, p=weight / weight.sum()))
    return Target(label, window.labels == label)


def choose_pseudo(window: Window, rng: np.random.Generator) -> Target:
    """A supervoxel between 60 voxels and a fifth of the window, if there is one."""
    voxels = np.bincount(window.labels.ravel())
    voxels[0] = 0
    fitting = np.flatnonzero((voxels >= 60) & (voxels <= 0.2 * window.labels.size))
    label = int(rng.choice(fitting)) if fitting.size else int(voxels.argmax())
    return Target(label, window.labels == label)


def spoken(label: int, rng: np.random.Generator) -> str:
    """The structure's name, one time in five a synonym."""
    name = NAMES[label]
    others = SYNONYMS.get(name, ())
    return str(rng.choice(others)) if others and rng.random() < 0.2 else name


def drawn_box(mask: np.ndarray, zoomed_in: bool, rng: np.random.Generator) -> np.ndarray:
    """A box `[6]` around the mask: as a user draws it, or as a zoom-out mask bounds it when zoomed in."""
    found = bounding_box(mask)
    last = np.array(mask.shape) - 1
    if found is None:
        if rng.random() < 0.8:
            return NO_BOX
        corners = np.sort(rng.integers(0, last + 1, (2, 3)), axis=0)
        return corners.astype(np.float32).ravel()
    slack = np.array((1, 3, 3)) if zoomed_in else np.array((1, 1, 1))
    low, high = (np.clip(corner + rng.integers(-slack, slack + 1), 0, last) for corner in found)
    return np.concatenate([np.minimum(low, high), np.maximum(low, high)]).astype(np.float32)


def drawn_points(mask: np.ndarray, count: int, zoomed_in: bool, rng: np.random.Generator) -> np.ndarray:
    """Points `[count, 3]` inside the mask; zoomed in, few places of which several voxels are taken."""
    inside = np.argwhere(mask)
    if not zoomed_in:
        return rng.choice(inside, count).astype(np.float32)
    places = rng.choice(inside, rng.integers(1, POINTS_IN_WINDOW + 1))
    points = rng.choice(places, count) + rng.integers(-1, 2, (count, 3))
    points = np.clip(points, 0, np.array(mask.shape) - 1)
    return points[np.lexsort(points.T[::-1])].astype(np.float32)


def prompts_for(
    targets: list[Target], kind: Kind, zoomed_in: bool, tokenizer: PromptTokenizer, rng: np.random.Generator
) -> Prompts:
    """One prompt of `kind` per target. Zoomed in, points come with a box, and may all have fallen elsewhere."""
    points = labels = box = input_ids = None
    if "points" in kind:
        missed = zoomed_in and (rng.random() < 0.15 or not all(target.mask.any() for target in targets))
        if missed:
            coordinates, flags = np.full((len(targets), 1, 3), -1.0), np.full((len(targets), 1), -1.0)
        else:
            count = POINTS_IN_WINDOW if zoomed_in else int(rng.integers(1, POINTS_IN_WINDOW + 1))
            coordinates = np.stack([drawn_points(target.mask, count, zoomed_in, rng) for target in targets])
            flags = np.ones((len(targets), count))
        points, labels = torch.tensor(coordinates, dtype=torch.float32), torch.tensor(flags, dtype=torch.float32)
    if "box" in kind or (zoomed_in and "points" in kind):
        box = torch.from_numpy(np.stack([drawn_box(target.mask, zoomed_in, rng) for target in targets]))
    if "text" in kind:
        input_ids = tokenizer([spoken(target.label, rng) for target in targets])
    return Prompts(points, labels, box, input_ids)
