"""Many small scans for checks of `segvol cohort`: pieces of the demo's phantom, of different sizes, each with noise of its own.

    python scripts/cohort_scans.py --count 12 --out target/scans

Writes scan-000.nii.gz, scan-001.nii.gz and so on. The same count gives the same files. Needs numpy and nibabel.
"""

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np

PHANTOM = Path(__file__).resolve().parent.parent / "demo" / "phantom.nii.gz"
SMALLEST, LARGEST = np.array([56, 56, 22]), np.array([88, 80, 34])


def piece(voxels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A box of the phantom in Hounsfield units with noise of 6 HU, int16 `[X, Y, Z]`, and its first voxel `[3]`."""
    rng = np.random.default_rng(seed)
    size = rng.integers(SMALLEST, LARGEST + 1)
    first = rng.integers(0, np.array(voxels.shape) - size + 1)
    box = voxels[tuple(slice(a, a + n) for a, n in zip(first, size))]
    noisy = box + rng.normal(0.0, 6.0, box.shape)
    return np.clip(np.round(noisy), -1024, 3071).astype(np.int16), first


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes small scans, pieces of the demo's phantom.")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder, made where it is missing")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    phantom = nib.load(PHANTOM)
    voxels = np.asarray(phantom.dataobj)
    for seed in range(arguments.count):
        box, first = piece(voxels, seed)
        affine = phantom.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ first
        nib.save(nib.Nifti1Image(box, affine), arguments.out / f"scan-{seed:03}.nii.gz")


if __name__ == "__main__":
    main()
