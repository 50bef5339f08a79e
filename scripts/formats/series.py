"""A DICOM series of the demo's phantom gives the mask that its NIfTI file gives, voxel for voxel."""

import shutil

import nibabel
import numpy as np
from _shared import WORK, check, finish, on_grid, segment, segvol, variants, write_nifti, write_series

for name, (voxels, affine, is_reversed) in variants().items():
    folder = write_series(WORK / name, voxels, affine, is_reversed)
    nifti = WORK / f"{name}.nii.gz"
    write_nifti(nifti, voxels, affine)
    masks = {}
    for scan in (folder, nifti):
        output = WORK / f"{name}-{'series' if scan is folder else 'nifti'}-mask.nii.gz"
        segment(scan, output)
        masks[scan] = on_grid(nibabel.load(output), voxels, affine)
    sizes = np.bincount(masks[nifti].ravel(), minlength=4)[1:]
    check(all(size > 50 for size in sizes), f"{name}: the NIfTI's masks have {sizes} voxels")
    differing = int((masks[folder] != masks[nifti]).sum())
    check(differing == 0, f"{name}: {differing} voxels differ from the NIfTI's mask")

plain = WORK / "plain"
mask = (WORK / "plain-series-mask.nii.gz").read_bytes()
archive = shutil.make_archive(str(WORK / "archive"), "zip", plain)
for what, scan in (("a zip of the folder", archive), ("one of its files", plain / "IM0007")):
    segment(scan, WORK / "other.nii.gz")
    check((WORK / "other.nii.gz").read_bytes() == mask, f"plain: {what} gives the same bytes")

gap = WORK / "gap"
shutil.rmtree(gap, ignore_errors=True)
shutil.copytree(plain, gap)
(gap / "IM0020").unlink()
message = segvol("segment", "-i", gap, "-m", WORK.parent / "bundle", "--text", "liver", "-o", WORK / "gap.nii.gz", fails=True)
check("error:" in message and not (WORK / "gap.nii.gz").exists(), f"a missing slice is refused: {message.strip()}")
finish()
