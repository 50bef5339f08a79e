"""RTSTRUCT: contours that `segvol` writes enclose the same voxels in programs that fill them differently, dciodvfy finds no error, and
what rt-utils writes is read as truth.

| reader       | how it fills                                                              | expected Dice      |
|--------------|---------------------------------------------------------------------------|--------------------|
| even-odd     | numpy: a centre inside of an odd number of contours                       | 1                  |
| winding      | numpy: a centre that the contours wind around                             | 1                  |
| scikit-image | each contour alone, united                                                | 1                  |
| plastimatch  | each contour alone, united; corners rounded to float32                    | at least 0.99 (1)  |
| rt-utils     | OpenCV: corners rounded to whole voxels, border voxels inside             | at least 0.94      |

rt-utils rounds a corner between two voxels to one of them, and fills the border too: no voxel is lost, and none is further than one
voxel outside. It also mixes up rows and columns of images that are not square, so it reads square ones only.

Besides what the model finds, a ring with an island in it is written: programs disagree most about holes.
"""

import os
import subprocess

import nibabel
import numpy as np
import pydicom
from _shared import ROOT, WORK, check, finish, segment, segvol, variants, write_nifti, write_series
from skimage.draw import polygon2mask

TEXTS = ("liver", "spleen", "left kidney")
RING = "ring"


def dice(a, b):
    both = a.sum() + b.sum()
    return 2 * (a & b).sum() / both if both else 1.0


def contours_of(path, affine):
    """Name: list of (k, corners [n, 2] in voxels i, j)."""
    dataset = pydicom.dcmread(path)
    names = {roi.ROINumber: roi.ROIName for roi in dataset.StructureSetROISequence}
    to_voxel = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    found = {}
    for roi in dataset.ROIContourSequence:
        own = found.setdefault(names[roi.ReferencedROINumber], [])
        for contour in roi.get("ContourSequence", []):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            ijk = points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
            k = round(ijk[0, 2])
            if np.abs(ijk[:, 2] - k).max() > 0.01 or len(points) < 3 or len(points) != contour.NumberOfContourPoints:
                raise ValueError("a contour is not in a slice")
            own.append((k, ijk[:, :2]))
    return found


def windings(corners, shape):
    """How often a polygon winds around the centre of each voxel [i, j], and how often a ray crosses it."""
    i, j = np.mgrid[: shape[0], : shape[1]]
    wound, crossed = np.zeros(shape, int), np.zeros(shape, int)
    for (ai, aj), (bi, bj) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if aj == bj:
            continue
        spans = (min(aj, bj) <= j) & (j < max(aj, bj))
        left = spans & (ai + (j - aj) / (bj - aj) * (bi - ai) <= i)
        wound += left * (1 if bj < aj else -1)
        crossed += left
    return wound, crossed


def filled(contours, shape):
    """Masks [i, j, k] by three rules."""
    wound, crossed = np.zeros(shape, int), np.zeros(shape, int)
    united = np.zeros(shape, bool)
    for k, corners in contours:
        a, b = windings(corners, shape[:2])
        wound[..., k] += a
        crossed[..., k] += b
        united[..., k] |= polygon2mask(shape[:2], corners)
    return {"even-odd": crossed % 2 == 1, "winding": wound != 0, "scikit-image": united}


def by_plastimatch(path, folder, name, shape, affine):
    """Masks by the names of the ROIs."""
    out = WORK / f"{name}-plastimatch"
    subprocess.run(["rm", "-rf", out], check=True)
    command = ["plastimatch", "convert", "--input", path, "--referenced-ct", folder, "--output-prefix", out]
    command += ["--prefix-format", "nii.gz"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    found = {}
    for file in sorted(out.glob("*.nii.gz")):
        image = nibabel.load(file)
        to = np.linalg.inv(image.affine) @ affine
        ijk = np.indices(shape).reshape(3, -1)
        there = (to[:3, :3] @ ijk + to[:3, 3:]).round().astype(int)
        voxels = np.asarray(image.dataobj)
        inside = np.all((there >= 0) & (there < np.array(voxels.shape)[:, None]), axis=0)
        mask = np.zeros(ijk.shape[1], bool)
        mask[inside] = voxels[tuple(there[:, inside])] != 0
        found[file.name.removesuffix(".nii.gz").replace("_", " ")] = mask.reshape(shape)
    return found


def by_rt_utils(path, folder):
    """A function from the name of an ROI to its mask, `[i, j, k]` in order of the positions."""
    from rt_utils import RTStructBuilder

    structures = RTStructBuilder.create_from(dicom_series_path=str(folder), rt_struct_path=str(path))
    return lambda name: structures.get_roi_mask_by_name(name).transpose(1, 0, 2)


def dciodvfy(path, what):
    command = os.environ.get("DCIODVFY")
    if not command:
        return  # scripts/check-formats has said so.
    done = subprocess.run([command, str(path)], capture_output=True, text=True, errors="replace")
    errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
    check(not errors, f"{what}: dciodvfy finds no error {errors[:3]}")


def compare(what, path, folder, masks, affine):
    """Compares the contours of a file with masks [i, j, k] by name."""
    dciodvfy(path, what)
    dataset = pydicom.dcmread(path)
    points = [value for roi in dataset.ROIContourSequence for contour in roi.get("ContourSequence", []) for value in contour.ContourData]
    check(all(len(str(value)) <= 16 for value in points), f"{what}: {len(points)} coordinates of at most 16 characters")
    contours = contours_of(path, affine)
    check(sorted(contours) == sorted(masks), f"{what}: ROIs {sorted(contours)}")
    for name, mask in masks.items():
        for rule, found in filled(contours[name], mask.shape).items():
            check(np.array_equal(found, mask), f"{what}, {name}: {rule}: the same voxels ({mask.sum()})")
    orthogonal = np.allclose(np.cross(affine[:3, 0], affine[:3, 1]) @ affine[:3, :2], 0, atol=1e-6)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    along = abs(normal @ affine[:3, 2]) / np.linalg.norm(normal) / np.linalg.norm(affine[:3, 2])
    is_axial = abs(normal[2]) / np.linalg.norm(normal) > 0.9999
    if not (orthogonal and along > 0.9999 and is_axial):
        print(f"        {what}: plastimatch and rt-utils know axial slices without tilt only")
        return
    found = by_plastimatch(path, folder, what, next(iter(masks.values())).shape, affine)
    for name, mask in masks.items():
        score = dice(found.get(name, np.zeros_like(mask)), mask)
        check(score >= 0.99, f"{what}, {name}: plastimatch: Dice {score:.4f}")
    # rt-utils mixes up rows and columns where they differ in number.
    if masks and next(iter(masks.values())).shape[0] == next(iter(masks.values())).shape[1]:
        of = by_rt_utils(path, folder)
        for name, mask in masks.items():
            found = of(name)
            found = max(found, found[..., ::-1], key=lambda one: dice(one, mask))
            beyond, lost = int((found & ~with_neighbours(mask)).sum()), int((mask & ~found).sum())
            score = dice(found, mask)
            is_near = beyond == lost == 0 and score >= 0.94
            check(is_near, f"{what}, {name}: rt-utils: Dice {score:.4f}, {lost} voxels lost, {beyond} more than one voxel outside")


def with_neighbours(mask):
    """A mask with the eight neighbours of each voxel in its slice."""
    padded = np.pad(mask, ((1, 1), (1, 1), (0, 0)))
    ni, nj, _ = mask.shape
    return np.logical_or.reduce([padded[di : di + ni, dj : dj + nj] for di in range(3) for dj in range(3)])


def main():
    for name, (voxels, affine, is_reversed) in variants().items():
        folder = write_series(WORK / name, voxels, affine, is_reversed)
        path = WORK / f"{name}.dcm"
        per_object = WORK / f"{name}-masks"
        segment(folder, WORK / f"{name}.nii.gz", "--rtstruct", path, "--per-object", per_object, texts=TEXTS)
        first = path.read_bytes()
        segment(folder, WORK / f"{name}.nii.gz", "--rtstruct", path, "--per-object", per_object, texts=TEXTS)
        check(path.read_bytes() == first, f"{name}: the same bytes again")
        masks = {}
        for text in TEXTS:
            image = nibabel.load(per_object / f"{text.replace(' ', '_')}.nii.gz")
            masks[text] = np.asarray(image.dataobj) == 1
        compare(name, path, folder, masks, image.affine)
        # Its own contours as truth, found by their names.
        report = segment(folder, WORK / f"{name}.nii.gz", "--truth", path, texts=TEXTS)
        scores = [item["dice"] for item in report["objects"]]
        check(scores == [1.0] * len(TEXTS), f"{name}: read as truth: Dice {scores}")

    voxels, affine, _ = variants()["plain"]
    rt_utils_as_truth(WORK / "plain", affine)
    rings()
    finish()


def rings():
    """A ring with an island, and the phantom's liver, in square images, written by the library's example."""
    voxels, affine, _ = variants()["plain"]
    size = min(voxels.shape[:2])
    voxels = voxels[:size, :size]
    labels = np.asarray(nibabel.load(ROOT / "demo/phantom_labels.nii.gz").dataobj)[:size, :size] == 1
    i, j, k = np.indices(voxels.shape)
    ci, cj, ck = np.array(voxels.shape) / 2
    radius = np.hypot(i - ci, 1.1 * (j - cj))
    ring = (radius < 30) & (radius > 18) & (abs(k - ck) < 8) | (radius < 8) & (abs(k - ck) < 5)
    masks = {"liver": labels & ~ring, RING: ring}
    folder = write_series(WORK / "rings", voxels, affine)
    write_nifti(WORK / "rings.nii.gz", (masks["liver"] + 2 * ring).astype(np.uint8), affine)
    command = [os.environ["RTSTRUCT"], folder, WORK / "rings.nii.gz", WORK / "rings.dcm", "liver=1", f"{RING}=2"]
    subprocess.run(list(map(str, command)), check=True)
    compare("rings", WORK / "rings.dcm", folder, masks, affine)


def rt_utils_as_truth(folder, affine):
    """Contours that rt-utils writes, which run through the centres of voxels, give its masks back."""
    from rt_utils import RTStructBuilder

    # The windows that the model sees depend on all objects: the liver alone is not quite the liver with others.
    segment(folder, WORK / "liver.nii.gz", texts=("liver",))
    mask = np.asarray(nibabel.load(WORK / "liver.nii.gz").dataobj) == 1
    structures = RTStructBuilder.create_new(dicom_series_path=str(folder))
    # Slices in the order of rt-utils: by their positions along z; rows first.
    order = mask if (np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)[2, 2] > 0 else mask[..., ::-1]
    structures.add_roi(mask=order.transpose(1, 0, 2), name="Liver")
    path = WORK / "rt-utils.dcm"
    structures.save(str(path))
    report = segment(folder, WORK / "truth.nii.gz", "--truth", path, texts=("liver",))
    score = report["objects"][0]["dice"]
    # OpenCV draws no hole of one voxel.
    check(score >= 0.999, f"contours of rt-utils read as truth, by the name in another case: Dice {score:.4f}")
    said = segvol("segment", "-i", folder, "-m", os.environ["BUNDLE"], "--text", "pancreas", "-o", WORK / "none.nii.gz",
                  "--truth", path, "--quiet", fails=True)
    check("pancreas" in said and "Liver" in said, "a truth without the object is refused with the names that it has")


if __name__ == "__main__":
    main()
