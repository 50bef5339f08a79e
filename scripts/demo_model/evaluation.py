"""Dice of the demo model on phantoms that it never saw."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import phantom

from . import dataset
from .preprocessing import bounding_box
from .prompting import Kind
from .segvol import SegVol
from .tokenizer import PromptTokenizer
from .zoom import Study, UserPrompt

KINDS: tuple[Kind, ...] = (("text",), ("box",), ("points",), ("text", "box"), ("text", "points"))
POINTS = 5
MIN_VOXELS = 100
"""A structure that the field of view cuts down to less is left out."""


@dataclass(frozen=True)
class Score:
    """Dice of one structure of one phantom under one kind of prompt."""

    seed: int
    structure: str
    kind: str
    zoom_out: float
    zoom_in: float


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Twice the overlap over the sum of the sizes."""
    return 2.0 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def asked_for(
    name: str, truth: np.ndarray, kind: Kind, size: np.ndarray, tokenizer: PromptTokenizer, rng: np.random.Generator
) -> UserPrompt:
    """The prompt of a user who knows the truth `[D, H, W]`: its name, its exact box, five random points in it."""
    voxels = np.argwhere(truth)
    scale = size / np.array(truth.shape)
    points = np.floor((rng.choice(voxels, POINTS) + 0.5) * scale).astype(np.float32)
    box = np.concatenate([np.floor((corner + 0.5) * scale) for corner in bounding_box(truth)]).astype(np.float32)
    return UserPrompt(
        tokenizer([name]) if "text" in kind else None,
        box if "box" in kind else None,
        points if "points" in kind else None,
    )


def evaluate(model: SegVol, tokenizer: PromptTokenizer, seeds: range, cache: Path) -> list[Score]:
    """Every kind of prompt for every structure of every phantom."""
    model.eval()
    size = np.array(model.config.spatial_size)
    scores = []
    for seed in seeds:
        scan = dataset.load(seed, cache)
        study = Study(model, scan.image.astype(np.float32))
        for name, label in phantom.STRUCTURES.items():
            truth = scan.labels == label
            if truth.sum() < MIN_VOXELS:
                continue
            for kind in KINDS:
                rng = np.random.default_rng((seed, label))
                found = study.segment(asked_for(name, truth, kind, size, tokenizer, rng))
                scores.append(
                    Score(seed, name, "+".join(kind), dice(found.zoom_out, truth), dice(found.zoom_in, truth))
                )
    return scores


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def table(scores: list[Score]) -> str:
    """Markdown: one row per structure, mean Dice after zooming in, zoom-out in brackets; last the mean of all."""
    kinds = ["+".join(kind) for kind in KINDS]
    names = [name for name in phantom.STRUCTURES if any(score.structure == name for score in scores)]
    lines = ["| structure | n | " + " | ".join(kinds) + " |", "|---|---|" + "---|" * len(kinds)]
    groups = [(name, (name,)) for name in names]
    groups += [("**lesions**", phantom.LESIONS), ("**all**", tuple(names))]
    for title, members in groups:
        cells = []
        for kind in kinds:
            chosen = [score for score in scores if score.kind == kind and score.structure in members]
            cells.append(f"{mean([s.zoom_in for s in chosen]):.3f} ({mean([s.zoom_out for s in chosen]):.3f})")
        lines.append(f"| {title} | {len(chosen)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
