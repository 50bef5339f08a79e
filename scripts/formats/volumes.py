"""NRRD, MetaImage, .seg.nrrd and label tables, compared with SimpleITK, pynrrd, slicerio and nibabel.

    python volumes.py [SEGVOL FOLDER]

SEGVOL is the command, and files are written to FOLDER; without them, the variables SEGVOL and WORK say so. The variable BUNDLE names
a bundle for segmentations. Files that the other libraries write are read with `segvol copy`, and files that it writes are read by
them: the same voxels must be at the same places. Exits with 1 and a message on any difference, with 4 if something was not checked.
"""

import itertools
import os
import subprocess
import sys

import nibabel
import nrrd
import numpy as np
import SimpleITK as sitk
import slicerio

TO_RAS = np.diag([-1.0, -1.0, 1.0])


def fail(message):
    print(f"volumes.py: {message}", file=sys.stderr)
    sys.exit(1)


def copy(segvol, source, target):
    run = subprocess.run([segvol, "copy", "-q", "-i", source, "-o", target], capture_output=True, text=True)
    if run.returncode != 0:
        fail(f"`segvol copy` of {source}: {run.stderr}")


def of_sitk(image):
    """Voxels [i, j, k] and the affine to RAS."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine = np.eye(4)
    affine[:3, :3] = TO_RAS @ direction @ np.diag(image.GetSpacing())
    affine[:3, 3] = TO_RAS @ np.array(image.GetOrigin())
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine


def of_nifti(path):
    image = nibabel.load(path)
    return np.asarray(image.dataobj), image.affine


def of_nrrd(path):
    voxels, header = nrrd.read(path)
    affine = np.eye(4)
    if header["space"] != "left-posterior-superior":
        fail(f"{path}: space {header['space']}")
    affine[:3, :3] = TO_RAS @ header["space directions"].T
    affine[:3, 3] = TO_RAS @ header["space origin"]
    return voxels, affine


def compare(what, found, expected, tolerance_mm):
    (voxels, affine), (expected_voxels, expected_affine) = found, expected
    if voxels.shape != expected_voxels.shape:
        fail(f"{what}: expected the shape {expected_voxels.shape}, found {voxels.shape}")
    if not np.array_equal(voxels.astype(np.float64), expected_voxels.astype(np.float64), equal_nan=True):
        fail(f"{what}: the voxels differ")
    difference = np.abs(affine - expected_affine).max()
    if difference > tolerance_mm:
        fail(f"{what}: the affines differ by {difference}:\n{affine}\n{expected_affine}")


def rotation(degrees):
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def directions():
    yield "straight", np.eye(3)
    yield "flipped", np.diag([-1.0, -1.0, 1.0])
    yield "mirrored", np.diag([1.0, -1.0, 1.0])
    yield "sagittal", np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    yield "oblique", rotation([10.0, -20.0, 35.0])
    tilted = np.eye(3)
    tilted[:, 2] = [0.0, -np.sin(np.radians(14)), np.cos(np.radians(14))]
    yield "sheared", tilted


def check_itk(segvol, folder):
    """SimpleITK's files in each type, and with each direction."""
    types = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
    random = np.random.default_rng(7)
    count = 0
    for (name, direction), kind, (extension, compressed) in itertools.product(
        directions(), types, [(e, c) for e in ["nrrd", "nhdr", "mha", "mhd"] for c in [False, True]]
    ):
        low, high = (-100, 100) if np.dtype(kind).kind in "if" else (0, 200)
        voxels = random.integers(low, high, (4, 5, 6)).astype(kind)
        image = sitk.GetImageFromArray(voxels)
        image.SetSpacing([0.7, 0.8, 2.5])
        image.SetOrigin([-120.25, 33.1, 1200.0])
        image.SetDirection(direction.ravel().tolist())
        base = os.path.join(folder, f"itk_{name}_{np.dtype(kind).name}_{int(compressed)}")
        source = f"{base}.{extension}"
        sitk.WriteImage(image, source, compressed)
        expected = of_sitk(sitk.ReadImage(source))
        copy(segvol, source, f"{base}.nii.gz")
        compare(source, of_nifti(f"{base}.nii.gz"), expected, 1e-4)
        count += 1
        if kind in (np.int16, np.float32):
            for target in ["nrrd", "mha"]:
                path = f"{base}_{extension}_copy.{target}"
                copy(segvol, source, path)
                compare(path, of_sitk(sitk.ReadImage(path)), expected, 1e-9)
            compare(path, of_nrrd(f"{base}_{extension}_copy.nrrd"), expected, 1e-9)
    return count


def check_pynrrd(segvol, folder):
    """pynrrd's files: encodings, byte orders, spaces, and detached ones."""
    random = np.random.default_rng(8)
    signs = {
        "left-posterior-superior": [-1, -1, 1],
        "right-anterior-superior": [1, 1, 1],
        "left-anterior-superior": [-1, 1, 1],
        "LPS": [-1, -1, 1],
        "RAS": [1, 1, 1],
    }
    count = 0
    for (space, sign), encoding, endian, detached in itertools.product(
        signs.items(), ["raw", "gzip", "ascii"], ["little", "big"], [False, True]
    ):
        voxels = random.integers(-1000, 3000, (6, 5, 4)).astype("<i2" if endian == "little" else ">i2")
        vectors = np.array([[0.7, 0.1, 0.0], [0.0, -0.8, 0.2], [0.3, 0.0, 2.5]])
        header = {
            "space": space,
            "space directions": vectors,
            "space origin": [10.5, -20.25, 300.0],
            "encoding": encoding,
            "endian": endian,
        }
        base = os.path.join(folder, f"pynrrd_{space}_{encoding}_{endian}_{int(detached)}")
        source = base + (".nhdr" if detached else ".nrrd")
        nrrd.write(source, voxels, header, detached_header=detached, relative_data_path=True)
        affine = np.eye(4)
        affine[:3, :3] = np.diag(sign) @ vectors.T
        affine[:3, 3] = np.diag(sign) @ header["space origin"]
        copy(segvol, source, f"{base}.nii.gz")
        compare(source, of_nifti(f"{base}.nii.gz"), (voxels, affine), 1e-4)
        count += 1
    return count


def check_loose_geometry(segvol, folder):
    """Headers that leave something open are read as ITK reads them."""
    voxels = np.arange(120, dtype="<i2")
    nrrd_start = "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nencoding: raw\nendian: little\n"
    meta_start = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\n"
    headers = {
        "spacings.nrrd": nrrd_start + "spacings: 0.7 0.8 2.5\n\n",
        "mins.nrrd": nrrd_start + "spacings: 0.7 0.8 2.5\naxis mins: 1 2 3\ncenters: cell node cell\n\n",
        "dimension.nrrd": nrrd_start
        + "space dimension: 3\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\nspace origin: (1,2,3)\n\n",
        "scanner.nrrd": nrrd_start + "space: scanner-xyz\nspace directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)\n\n",
        "nothing.nrrd": nrrd_start + "\n",
        "plain.mha": meta_start + "ElementSpacing = 0.7 0.8 2.5\nElementDataFile = LOCAL\n",
        "nothing.mha": meta_start + "ElementDataFile = LOCAL\n",
        "size.mha": meta_start + "ElementSize = 0.7 0.8 2.5\nElementDataFile = LOCAL\n",
        "rotation.mha": meta_start
        + "ElementSpacing = 0.7 0.8 2.5\nRotation = 0 1 0 0 0 -1 -1 0 0\nPosition = 1 2 3\nElementDataFile = LOCAL\n",
        "center.mha": meta_start
        + "ElementSpacing = 0.7 0.8 2.5\nTransformMatrix = 0 1 0 0 0 -1 -1 0 0\nCenterOfRotation = 5 6 7\n"
        + "Offset = 1 2 3\nAnatomicalOrientation = RAI\nElementDataFile = LOCAL\n",
        "msb.mha": meta_start
        + "ElementSpacing = 1 1 1\nBinaryDataByteOrderMSB = True\nElementByteOrderMSB = True\nElementDataFile = LOCAL\n",
    }
    for name, header in headers.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(header.encode() + voxels.tobytes())
        copy(segvol, path, path + ".nii.gz")
        compare(path, of_nifti(path + ".nii.gz"), of_sitk(sitk.ReadImage(path)), 1e-4)
    return len(headers)


def check_segmentation(segvol, folder, bundle):
    """slicerio reads names, codes, colours and layers; ITK the label maps; nibabel the names in the extension."""
    scan = os.path.join(os.path.dirname(__file__), "../../demo/phantom.nii.gz")
    names = ["liver", "spleen", "left kidney", "liver tumor"]
    at = lambda name: os.path.join(folder, name)

    def segment(*options):
        texts = [word for name in names for word in ("--text", name)]
        run = subprocess.run(
            [segvol, "segment", "-q", "-i", scan, "-m", bundle, *texts, *options], capture_output=True, text=True
        )
        if run.returncode != 0:
            fail(f"`segvol segment {' '.join(options)}`: {run.stderr}")

    segment("-o", at("organs.seg.nrrd"), "--per-object", at("masks"))
    found = slicerio.read_segmentation(at("organs.seg.nrrd"))
    voxels = found["voxels"] if found["voxels"].ndim == 4 else found["voxels"][np.newaxis]
    if [one["name"] for one in found["segments"]] != names:
        fail(f"organs.seg.nrrd: names {[one['name'] for one in found['segments']]}")
    for name, one in zip(names, found["segments"], strict=True):
        mask, affine = of_nifti(at(f"masks/{name.replace(' ', '_')}.nii.gz"))
        layer = voxels[one["layer"]] == one["labelValue"]
        compare(f"organs.seg.nrrd, {name}", (layer, np.diag([-1, -1, 1, 1]) @ found["ijkToLPS"]), (mask, affine), 1e-4)
        inside = np.argwhere(mask)
        extent = [edge for low, high in zip(inside.min(0), inside.max(0)) for edge in (low, high)] if len(inside) else None
        if extent is not None and one["extent"] != extent:
            fail(f"organs.seg.nrrd, {name}: extent {one['extent']}, expected {extent}")
        if one["terminology"]["category"][0] != "SCT" or len(one["color"]) != 3 or one["colorAutoGenerated"]:
            fail(f"organs.seg.nrrd, {name}: {one}")
    segment("-o", at("organs.nii.gz"), "--labels-file", at("organs.txt"))
    labels = of_nifti(at("organs.nii.gz"))
    extensions = nibabel.load(at("organs.nii.gz")).header.extensions
    expected = "labels\n" + "".join(f"{n} {name}\n" for n, name in enumerate(names, 1))
    text = extensions[0].get_content()
    text = (text.decode() if isinstance(text, bytes) else text).rstrip("\0")
    if len(extensions) != 1 or extensions[0].get_code() != 6 or text != expected:
        fail(f"organs.nii.gz: expected one comment with the names, found {text!r}")
    compare("organs.nii.gz by ITK", of_sitk(sitk.ReadImage(at("organs.nii.gz"))), labels, 1e-4)
    for name in ["organs.nrrd", "organs.mha"]:
        segment("-o", at(name))
        compare(name, of_sitk(sitk.ReadImage(at(name))), labels, 1e-4)
    return 6


def main():
    if len(sys.argv) not in (1, 3):
        fail("expected the path of the command and a folder")
    segvol, folder = sys.argv[1:] or (os.environ["SEGVOL"], os.environ["WORK"])
    os.makedirs(folder, exist_ok=True)
    count = sum(check(segvol, folder) for check in (check_itk, check_pynrrd, check_loose_geometry))
    bundle = os.environ.get("BUNDLE")
    if bundle:
        count += check_segmentation(segvol, folder, bundle)
    print(f"volumes.py: {count} files are read and written as SimpleITK, pynrrd, slicerio and nibabel do")
    if not bundle:
        print("NOT CHECKED  .seg.nrrd and label maps: BUNDLE names no bundle")
        sys.exit(4)


if __name__ == "__main__":
    main()
