"""Seeded CT phantoms: a torso of implicit shapes with Hounsfield values, and its label map.

The same seed gives the same phantom. Between seeds everything that a position could give away changes: field of view,
patient size, organ size, place, tilt and outline, contrast phase, oral contrast, noise, and which organs are absent.
Unlabelled distractors (heart, bowel, vena cava, gallbladder, lung vessels) look like labelled structures.

    python scripts/phantom.py --seed 7 --out demo
    python scripts/phantom.py --seed 800000 --count 20 --out target/held-out      # with the list that `segvol eval` reads
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

STRUCTURES: dict[str, int] = {
    "liver": 1,
    "spleen": 2,
    "left kidney": 3,
    "right kidney": 4,
    "aorta": 5,
    "spine": 6,
    "lungs": 7,
    "stomach": 8,
    "bladder": 9,
    "liver tumour": 10,
    "lung nodule": 11,
}
LESIONS = ("liver tumour", "lung nodule")

# Half axes of the nominal body in mm, and the height of the torso; z = 0 is the pelvic floor.
BODY_HALF_WIDTH_MM, BODY_HALF_DEPTH_MM, TORSO_MM = 165.0, 112.0, 440.0


@dataclass(frozen=True)
class Phantom:
    """A CT in RAS axes: `hu` int16 `[X, Y, Z]`, `labels` uint8 `[X, Y, Z]`, voxel edges in mm."""

    hu: np.ndarray
    labels: np.ndarray
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Ellipsoid:
    """Centre and half axes in nominal mm; `roughness` is how far the outline strays, as a share of the radius."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    roughness: float = 0.12


class Canvas:
    """The voxel grid, its nominal (warped) coordinates, and what has been painted so far."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        spacing_xy, spacing_z = rng.uniform(2.7, 3.3), rng.uniform(5.5, 7.5)
        self.spacing_mm = (float(spacing_xy), float(spacing_xy), float(spacing_z))
        bottom, top = rng.uniform(-10.0, 90.0), rng.uniform(350.0, TORSO_MM + 10.0)
        scale = rng.uniform(0.88, 1.12) * rng.uniform(0.93, 1.07, 3)
        margin = rng.uniform(-6.0, 25.0, 2)
        low = np.array([-BODY_HALF_WIDTH_MM, -BODY_HALF_DEPTH_MM, 0.0]) * scale
        low[:2] -= margin
        high = -low
        low[2], high[2] = bottom * scale[2], top * scale[2]
        self.shape = tuple(int(n) for n in np.round((high - low) / self.spacing_mm))
        axes = [low[a] + (np.arange(self.shape[a]) + 0.5) * self.spacing_mm[a] for a in range(3)]
        axes = [axis / scale[a] for a, axis in enumerate(axes)]
        x, y, z = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
        roll = rng.normal(0.0, 0.06)
        x, y = np.cos(roll) * x - np.sin(roll) * y, np.sin(roll) * x + np.cos(roll) * y
        warp = [self.smooth((5, 5, 6)) * amplitude for amplitude in (7.0, 6.0, 8.0)]
        self.xyz = (x + warp[0], y + warp[1], z + warp[2])
        self.fov_z = (float(bottom), float(top))
        self.hu = np.full(self.shape, -1000.0, np.float32)
        self.labels = np.zeros(self.shape, np.uint8)

    def smooth(self, knots: tuple[int, int, int]) -> np.ndarray:
        """A smooth random field `[X, Y, Z]` of about unit deviation, from a coarse grid of knots."""
        field = self.rng.standard_normal(knots).astype(np.float32)
        for axis, (count, size) in enumerate(zip(knots, self.shape)):
            position = np.linspace(0.0, count - 1.0, size)[:, None]
            weight = np.exp(-0.5 * ((position - np.arange(count)) / 0.6) ** 2)
            weight /= np.sqrt((weight**2).sum(1, keepdims=True))
            field = np.moveaxis(np.tensordot(weight.astype(np.float32), field, (1, axis)), 0, axis)
        return np.ascontiguousarray(field)

    def level(self, shape: Ellipsoid, outline: np.ndarray, tilt: float = 0.0) -> np.ndarray:
        """`[X, Y, Z]`: squared distance over squared radius; below 1 is inside."""
        x, y, z = (c - o for c, o in zip(self.xyz, shape.centre))
        x, z = np.cos(tilt) * x - np.sin(tilt) * z, np.sin(tilt) * x + np.cos(tilt) * z
        rx, ry, rz = shape.radii
        return (x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2 + shape.roughness * outline

    def paint(self, mask: np.ndarray, hu: float | np.ndarray, name: str | None) -> None:
        """Sets the Hounsfield values inside `mask` and the label (none for a distractor)."""
        self.hu[mask] = hu[mask] if isinstance(hu, np.ndarray) else hu
        self.labels[mask] = STRUCTURES[name] if name else 0

    def varied(self, shape: Ellipsoid, shift_mm: float = 9.0, stretch: float = 0.14) -> Ellipsoid:
        """The same organ in another patient: moved and resized."""
        size = self.rng.uniform(1 - stretch, 1 + stretch)
        radii = np.array(shape.radii) * size * self.rng.uniform(0.93, 1.07, 3)
        centre = np.array(shape.centre) + self.rng.normal(0.0, shift_mm, 3)
        return Ellipsoid(tuple(centre), tuple(radii), shape.roughness)


def generate(seed: int) -> Phantom:
    """Draws the phantom of `seed`; about half a million voxels, under a second."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng)
    outlines = [canvas.smooth((9, 8, 10)) for _ in range(3)]

    def outline() -> np.ndarray:
        return outlines[rng.integers(3)] * rng.choice((-1.0, 1.0))

    paint_trunk(canvas, rng)
    paint_chest(canvas, rng, outline)
    paint_abdomen(canvas, rng, outline)
    paint_column(canvas, rng)
    paint_liver_tumour(canvas, rng, outline)
    paint_lung_nodule(canvas, rng, outline)
    return Phantom(scan(canvas, rng), canvas.labels, canvas.spacing_mm)


def paint_trunk(canvas: Canvas, rng: np.random.Generator) -> None:
    """Skin fat, the muscle wall and the fat between the organs."""
    x, y, _ = canvas.xyz
    body = (np.abs(x) / BODY_HALF_WIDTH_MM) ** 2.4 + (np.abs(y) / BODY_HALF_DEPTH_MM) ** 2.4
    wall = rng.uniform(0.76, 0.9)
    canvas.paint(body < 1.0, rng.uniform(-115, -90), None)
    canvas.paint(body < wall, rng.uniform(45, 65), None)
    canvas.paint(body < wall - rng.uniform(0.14, 0.22), rng.uniform(-95, -60), None)


def paint_chest(canvas: Canvas, rng: np.random.Generator, outline) -> None:
    """Both lungs with their vessels, and the heart."""
    lung_hu = rng.uniform(-860, -760)
    vessels = np.abs(canvas.smooth((26, 22, 26))) + np.abs(canvas.smooth((22, 20, 22)))
    for side in (-1.0, 1.0):
        lung = canvas.varied(Ellipsoid((side * 78.0, -2.0, 355.0), (58.0, 80.0, 88.0), 0.06), 6.0, 0.08)
        mask = canvas.level(lung, outline()) < 1.0
        canvas.paint(mask, lung_hu, "lungs")
        canvas.hu[mask & (vessels < 0.16)] = rng.uniform(-350, -100)
    heart = canvas.varied(Ellipsoid((-16.0, 28.0, 338.0), (48.0, 42.0, 46.0)))
    canvas.paint(canvas.level(heart, outline(), 0.4) < 1.0, rng.uniform(40, 190), None)


def paint_abdomen(canvas: Canvas, rng: np.random.Generator, outline) -> None:
    """Bowel, stomach, liver, gallbladder, spleen, kidneys and bladder, nearest to the body's axis last."""
    for _ in range(rng.integers(9, 16)):
        centre = (rng.uniform(-95, 95), rng.uniform(-15, 65), rng.uniform(60, 195))
        loop = Ellipsoid(centre, tuple(rng.uniform(14, 30, 3)), 0.2)
        canvas.paint(canvas.level(loop, outline()) < 1.0, rng.choice((-500, 15, 30, 45, 160)), None)

    stomach = canvas.varied(Ellipsoid((-62.0, 34.0, 236.0), (42.0, 38.0, 46.0)), 10.0, 0.2)
    level = canvas.level(stomach, outline(), rng.uniform(-0.4, 0.4))
    content = np.full(canvas.shape, rng.choice((10.0, 25.0, 120.0, 220.0)), np.float32)
    air_above_mm = stomach.centre[1] + rng.uniform(0.1, 1.2) * stomach.radii[1]
    content[canvas.xyz[1] > air_above_mm] = -900.0
    content[level > 0.78] = rng.uniform(40, 70)
    canvas.paint(level < 1.0, content, "stomach")

    liver = canvas.varied(Ellipsoid((72.0, 8.0, 252.0), (80.0, 78.0, 62.0)), 8.0)
    lobe = canvas.varied(Ellipsoid((4.0, 36.0, 264.0), (56.0, 40.0, 34.0)), 8.0)
    mask = (canvas.level(liver, outline(), 0.25) < 1.0) | (canvas.level(lobe, outline()) < 1.0)
    canvas.paint(mask, rng.uniform(45, 125) + 5.0 * canvas.smooth((14, 12, 14)), "liver")
    gallbladder = canvas.varied(Ellipsoid((52.0, 52.0, 205.0), (15.0, 15.0, 22.0)))
    canvas.paint(canvas.level(gallbladder, outline()) < 1.0, rng.uniform(0, 20), None)

    if rng.random() > 0.05:
        spleen = canvas.varied(Ellipsoid((-98.0, -36.0, 250.0), (27.0, 42.0, 46.0)), 10.0, 0.22)
        canvas.paint(canvas.level(spleen, outline(), -0.3) < 1.0, rng.uniform(45, 145), "spleen")

    cortex, medulla = rng.uniform(40, 190), rng.uniform(25, 60)
    for side, name in ((-1.0, "left kidney"), (1.0, "right kidney")):
        if rng.random() < 0.05:
            continue
        kidney = canvas.varied(Ellipsoid((side * 62.0, -48.0, 185.0 - 8.0 * side), (27.0, 25.0, 50.0), 0.08))
        level = canvas.level(kidney, outline(), side * 0.2)
        canvas.paint(level < 1.0, np.where(level > 0.42, cortex, medulla).astype(np.float32), name)

    bladder = canvas.varied(Ellipsoid((0.0, 30.0, 44.0), (36.0, 30.0, 29.0), 0.08), 6.0, 0.25)
    level = canvas.level(bladder, outline())
    canvas.paint(level < 1.18, 45.0, None)
    canvas.paint(level < 1.0, rng.choice((4.0, 12.0, 150.0)), "bladder")


def paint_column(canvas: Canvas, rng: np.random.Generator) -> None:
    """Vertebrae and discs with the posterior arch, the aorta, and the vena cava beside it."""
    x, y, z = canvas.xyz
    sway = rng.uniform(-9, 9) * np.sin(z / 70.0 + rng.uniform(0, 6))
    blood, bend = rng.uniform(40, 290), rng.uniform(-6, 6)
    vena_cava = np.hypot(x - 17.0 - bend, y + 42.0) < rng.uniform(9, 13)
    canvas.paint(vena_cava & (z < 310.0), 0.5 * blood + rng.uniform(10, 60), None)
    path = rng.uniform(-6, 6) * np.sin(z / 60.0 + rng.uniform(0, 6))
    aorta = np.hypot(x + 11.0 - bend - path, y + 44.0) < rng.uniform(10.5, 15.0)
    canvas.paint(aorta & (z > 85.0) & (z < 395.0), blood, "aorta")

    height, phase = rng.uniform(26, 34), rng.uniform(0, 1)
    disc = np.mod(z / height + phase, 1.0) < 0.2
    body = np.hypot((x - sway) / 1.15, y + 76.0) < rng.uniform(18, 22)
    arch = (np.abs(x - sway) < 7.0) & (y < -80.0) & (y > -80.0 - rng.uniform(28, 36)) & ~disc
    bone = np.where(disc, rng.uniform(70, 110), rng.uniform(180, 420)).astype(np.float32)
    canvas.paint(body | arch, bone, "spine")


def place_inside(canvas: Canvas, rng: np.random.Generator, host: str, radii: np.ndarray) -> Ellipsoid | None:
    """An ellipsoid centred on a voxel of `host` at least two voxels inside it; None if there is none."""
    inside = ndimage.binary_erosion(canvas.labels == STRUCTURES[host], iterations=2, border_value=0)
    candidates = np.flatnonzero(inside)
    if candidates.size == 0:
        return None
    spot = rng.choice(candidates)
    centre = tuple(float(np.broadcast_to(axis, canvas.shape).flat[spot]) for axis in canvas.xyz)
    return Ellipsoid(centre, tuple(radii), 0.1)


def paint_liver_tumour(canvas: Canvas, rng: np.random.Generator, outline) -> None:
    """One lesion in the liver, darker than it, sometimes with a bright rim."""
    shape = place_inside(canvas, rng, "liver", rng.uniform(14, 28) * rng.uniform(0.85, 1.15, 3))
    if shape is None:
        return
    level = canvas.level(shape, outline())
    liver = canvas.labels == STRUCTURES["liver"]
    tissue = float(np.median(canvas.hu[liver]))
    hu = np.full(canvas.shape, tissue - rng.uniform(60, 95), np.float32)
    if rng.random() < 0.3:
        hu[level > 0.7] = tissue + rng.uniform(30, 60)
    canvas.paint((level < 1.0) & liver, hu, "liver tumour")


def paint_lung_nodule(canvas: Canvas, rng: np.random.Generator, outline) -> None:
    """One solid lesion in a lung."""
    shape = place_inside(canvas, rng, "lungs", rng.uniform(12, 20) * rng.uniform(0.9, 1.1, 3))
    if shape is None:
        return
    mask = (canvas.level(shape, outline()) < 1.0) & (canvas.labels == STRUCTURES["lungs"])
    canvas.paint(mask, rng.uniform(0, 90), "lung nodule")


def scan(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """What the scanner makes of the painting: blur, tissue texture, shading, noise. Returns int16 `[X, Y, Z]`."""
    hu = ndimage.gaussian_filter(canvas.hu, (0.55, 0.55, 0.3))
    grain = rng.standard_normal(canvas.shape, dtype=np.float32)
    clumped = ndimage.gaussian_filter(grain, (1.0, 1.0, 0.6))
    noise = grain + clumped * rng.uniform(0.0, 1.5) / clumped.std()
    hu += noise * rng.uniform(5.0, 16.0)
    hu += canvas.smooth((4, 4, 4)) * rng.uniform(0.0, 6.0)
    return np.clip(np.round(hu), -1024, 2000).astype(np.int16)


def save(phantom: Phantom, folder: Path, name: str = "phantom", axes: str = "LPS") -> None:
    """Writes `NAME.nii.gz` and `NAME_labels.nii.gz`, voxels stored in `axes` order."""
    import nibabel as nib
    from nibabel.orientations import axcodes2ornt, ornt_transform

    affine = np.diag([*phantom.spacing_mm, 1.0])
    affine[:3, 3] = -0.5 * np.array(phantom.spacing_mm) * phantom.hu.shape
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    for file, voxels in ((name, phantom.hu), (f"{name}_labels", phantom.labels)):
        image = nib.Nifti1Image(voxels, affine).as_reoriented(turn)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / f"{file}.nii.gz")


def save_cases(seeds: range, folder: Path, axes: str) -> None:
    """Writes the phantom of each seed under its number, and `cases.json`."""
    for seed in seeds:
        save(generate(seed), folder, str(seed), axes)
    cases = [{"image": f"{seed}.nii.gz", "labels": f"{seed}_labels.nii.gz"} for seed in seeds]
    listed = {"schema_version": 1, "structures": STRUCTURES, "cases": cases}
    (folder / "cases.json").write_text(json.dumps(listed, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes CT phantoms and their label maps.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, help="so many seeds, named by their numbers, and a list of cases")
    parser.add_argument("--out", type=Path, required=True, help="folder, made where it is missing")
    parser.add_argument("--axes", default="LPS", help="orientation of the stored voxels")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.count is not None:
        save_cases(range(arguments.seed, arguments.seed + arguments.count), arguments.out, arguments.axes)
        return
    save(generate(arguments.seed), arguments.out, axes=arguments.axes)
    (arguments.out / "labels.json").write_text(json.dumps(STRUCTURES, indent=1) + "\n")


if __name__ == "__main__":
    main()
