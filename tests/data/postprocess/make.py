"""Records what SciPy makes of masks, for `postprocess/src/tests.rs`: golden.json beside this file.

Usage: python make.py    (numpy, scipy and SimpleITK; run with scipy 1.17.1, numpy 2.4.6 and SimpleITK 2.5.7)

Masks are an integer formula that both sides compute. Arrays are [k, j, i], so that SciPy's order is the file's. A mask is recorded as
the first 16 hexadecimal digits of the SHA-256 of its voxels, one byte each, 0 or 1. SimpleITK must find the same components and holes
where it knows the neighbours (6 and 26).
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

# shape along i, j, k; spacing in mm; kind of mask; limit of the formula; salt; smoothing in mm
CASES = [
    ((23, 19, 14), (0.75, 1.25, 3.5), "noise", 40, 1, 0.9),
    ((23, 19, 14), (0.75, 1.25, 3.5), "noise", 100, 2, 0.7),
    ((17, 20, 9), (1.0, 1.0, 1.0), "noise", 170, 3, 1.0),
    ((17, 20, 9), (2.0, 0.8, 5.0), "noise", 225, 4, 1.5),
    ((12, 11, 13), (1.0, 1.0, 1.0), "noise", 245, 5, 2.5),
    ((40, 36, 20), (0.8, 0.8, 2.5), "blobs", 60, 6, 1.2),
    ((40, 36, 20), (0.8, 0.8, 2.5), "blobs", 110, 7, 3.0),
    ((30, 44, 25), (1.5, 0.7, 1.1), "blobs", 90, 8, 0.8),
    ((31, 1, 27), (1.0, 3.0, 2.0), "noise", 140, 9, 1.0),
    ((1, 1, 33), (1.0, 1.0, 2.0), "noise", 128, 10, 4.0),
    ((9, 8, 7), (3.0, 3.0, 3.0), "noise", 256, 11, 9.0),
    ((9, 8, 7), (3.0, 3.0, 3.0), "noise", 0, 12, 9.0),
]
STRUCTURES = {6: ndimage.generate_binary_structure(3, 1), 18: ndimage.generate_binary_structure(3, 2), 26: np.ones((3, 3, 3))}
BACKGROUND = {6: 26, 18: 6, 26: 6}


def mixed(index):
    """Eight bits that look random, from the index of a voxel."""
    x = (index * 0x9E3779B1).astype(np.uint32)
    x ^= x >> np.uint32(15)
    x = (x.astype(np.uint64) * 0x85EBCA77).astype(np.uint32)
    x ^= x >> np.uint32(13)
    return (x.astype(np.uint64) * 0xC2B2AE3D).astype(np.uint32) >> np.uint32(24)


def mask(shape, kind, limit, salt):
    ni, nj, nk = shape
    k, j, i = np.meshgrid(np.arange(nk), np.arange(nj), np.arange(ni), indexing="ij")
    noise = mixed(((k * nj + j) * ni + i + salt * 1_000_003).astype(np.uint64)).astype(np.int64)
    if kind == "noise":
        return noise < limit
    inside = np.zeros(k.shape, bool)
    # Balls with a ragged surface and a ragged hole, at places that follow from the salt.
    for ball in range(6):
        place = mixed(np.arange(ball * 3, ball * 3 + 3, dtype=np.uint64) + salt * 7919).astype(np.int64)
        away = [a - place[axis] * n // 256 for axis, (a, n) in enumerate(((i, ni), (j, nj), (k, nk)))]
        form = sum(a * a for a in away) * 8 + noise % 64
        inside |= (form < limit * 8) & (form > limit)
    return inside


def digest(inside):
    return hashlib.sha256(np.ascontiguousarray(inside).astype(np.uint8).tobytes()).hexdigest()[:16]


def check_with_itk(inside, neighbours, labels, filled):
    if neighbours == 18 or not inside.any():
        return
    image = sitk.GetImageFromArray(inside.astype(np.uint8))
    found = sitk.GetArrayFromImage(sitk.ConnectedComponent(image, neighbours == 26))
    # The same partition: each label of the one has one label of the other.
    pairs = set(zip(labels[inside].tolist(), found[inside].tolist()))
    assert len(pairs) == labels.max() == found.max(), (len(pairs), labels.max(), found.max())
    # FullyConnected of BinaryFillhole is that of the mask; ITK takes the border as open, as here.
    holes = sitk.GetArrayFromImage(sitk.BinaryFillhole(image, neighbours == 6)).astype(bool)
    assert (holes == filled).all(), (neighbours, holes.sum(), filled.sum())


def record(shape, spacing, kind, limit, salt, smooth_mm):
    inside = mask(shape, kind, limit, salt)
    ml = float(np.prod(spacing)) / 1000
    found = {"shape": shape, "spacing": spacing, "kind": kind, "limit": limit, "salt": salt, "voxels": int(inside.sum()), "mask": digest(inside)}
    sigma = [smooth_mm / spacing[axis] for axis in (2, 1, 0)]
    smoothed = ndimage.gaussian_filter(inside.astype(np.float32), sigma, mode="nearest", truncate=4.0) > 0.5
    found["smooth"] = {"mm": smooth_mm, "voxels": int(smoothed.sum()), "mask": digest(smoothed)}
    for neighbours, structure in STRUCTURES.items():
        labels, count = ndimage.label(inside, structure)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        # Not binary_fill_holes: what is connected to the border is found by labels, as its documentation defines it.
        background, _ = ndimage.label(~inside, STRUCTURES[BACKGROUND[neighbours]])
        border = np.ones(inside.shape, bool)
        border[tuple(slice(1, max(n - 1, 1)) for n in inside.shape)] = False
        open_ = set(background[border].tolist())
        holes = ~inside & ~np.isin(background, list(open_))
        filled = inside | holes
        if BACKGROUND[neighbours] == 6:
            assert (filled == ndimage.binary_fill_holes(inside)).all()
        check_with_itk(inside, neighbours, labels, filled)
        row = {"components": count, "sizes": hashlib.sha256(",".join(map(str, sizes)).encode()).hexdigest()[:16]}
        row["holes"] = len(set(background[holes].tolist()))
        row["filled"] = digest(filled)
        if count:
            row["largest"] = digest(labels == 1 + int(sizes.argmax()))
            least = int(min(np.sort(sizes)[count // 2] + 1, sizes.max()))
            row["least_voxels"] = least
            row["min_volume_ml"] = least * ml
            row["large_ones"] = digest(np.isin(labels, 1 + np.flatnonzero(sizes >= least)))
            # A click on the last voxel of the mask, and one on the first voxel outside of it.
            click = [int(at[-1]) for at in np.nonzero(inside)]
            row["click"] = click[::-1]
            row["clicked"] = digest(labels == labels[tuple(click)])
            if not inside.all():
                miss = [int(at[0]) for at in np.nonzero(~inside)]
                places = np.argwhere(inside)
                away = (((places - miss) * spacing[::-1]) ** 2).sum(1)
                near = labels[tuple(places[away.argmin()])]
                row["miss"], row["away_mm"] = miss[::-1], float(np.sqrt(away.min()))
                row["nearest"] = digest(labels == near)
        found[str(neighbours)] = row
    return found


records = [record(*case) for case in CASES]
lines = ",\n".join(json.dumps(record) for record in records)
(Path(__file__).parent / "golden.json").write_text(f"[\n{lines}\n]\n")
for found in records:
    print(found["shape"], found["kind"], found["limit"], found["voxels"], found["smooth"]["voxels"], *((n, found[n]["components"], found[n]["holes"], found[n].get("least_voxels")) for n in ("6", "18", "26")))
