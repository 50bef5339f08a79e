"""What the checks of formats share: the command, series made of the demo's phantom, and a list of what failed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

WORK = Path(os.environ.get("WORK", "target/formats"))
ROOT = Path(__file__).resolve().parents[2]

_failed, _unchecked = [], set()


def check(holds, what):
    """Notes whether something holds."""
    print(("ok      " if holds else "FAILED  ") + what, flush=True)
    if not holds:
        _failed.append(what)


def not_checked(what):
    """Notes that another program cannot check something. Said once, and no failure."""
    if what not in _unchecked:
        print(f"NOT CHECKED  {what}", flush=True)
    _unchecked.add(what)


def finish():
    """Ends the check: exit code 1 if something failed."""
    sys.exit(1 if _failed else 0)


def segvol(*arguments, fails=False):
    """Runs the command, and returns what it says on standard error."""
    command = [os.environ["SEGVOL"], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if (done.returncode != 0) != fails:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stderr


def segment(scan, output, *options, texts=("liver", "spleen", "left kidney")):
    """Segments objects by name, and returns the report."""
    report = Path(f"{output}.json")
    # A file of an earlier run must not pass for this one's.
    for old in (Path(output), report):
        old.unlink(missing_ok=True)
    named = [part for text in texts for part in ("--text", text)]
    segvol("segment", "-i", scan, "-m", os.environ["BUNDLE"], *named, "-o", output, "--report", report, "--quiet", *options)
    return json.loads(report.read_text())


def phantom():
    """The voxels of the demo's phantom, whole Hounsfield units [i, j, k], and its affine to RAS+ millimetres."""
    image = nibabel.load(ROOT / "demo/phantom.nii.gz")
    return np.asarray(image.dataobj).round().astype(np.int16), image.affine


def rotation(degrees_x, degrees_z):
    a, b = np.radians([degrees_x, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z


def variants():
    """Name: voxels, affine, and whether the files are in reverse order. Every affine is orthogonal but that of `tilted`."""
    voxels, affine = phantom()
    oblique = affine.copy()
    oblique[:3] = rotation(12, 7) @ affine[:3]
    tilted = affine.copy()
    # The gantry's tilt shifts each slice along its columns: 14 degrees.
    columns = affine[:3, 1] / np.linalg.norm(affine[:3, 1])
    tilted[:3, 2] += columns * np.linalg.norm(affine[:3, 2]) * np.tan(np.radians(14))
    return {
        "plain": (voxels, affine, False),
        "odd": (voxels[:, 2:], affine @ shift([0, 2, 0]), False),
        "oblique": (voxels, oblique, False),
        "reversed": (voxels, affine, True),
        "tilted": (voxels, tilted, False),
    }


def shift(voxels):
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix


def write_nifti(path, voxels, affine):
    image = nibabel.Nifti1Image(voxels, affine)
    image.set_sform(affine, 1)
    image.set_qform(None, 0)
    nibabel.save(image, path)


def decimal(number):
    """A decimal string of at most 16 characters."""
    return next(text for digits in range(14, 0, -1) if len(text := f"{number:.{digits}g}") <= 16)


def write_series(folder, voxels, affine, is_reversed=False, **changes):
    """Writes one file for each slice along k: a row along i, a column along j. The affine goes to RAS+ millimetres."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    normal = np.cross(directions[:, 0], directions[:, 1])
    root = f"1.2.826.0.1.3680043.10.999.{sum(map(ord, folder.name))}"
    count = voxels.shape[2]
    for k in range(count):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"{root}.4.{k + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        image.SpecificCharacterSet = "ISO_IR 100"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20200304"
        image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "101112"
        image.AccessionNumber, image.ReferringPhysicianName, image.StudyID = "A1", "", "S1"
        image.Modality, image.Manufacturer = "CT", "phantom"
        image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "Müller^Jörg", "P1", "19500102", "M"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = f"{root}.1", f"{root}.2", f"{root}.3"
        image.PositionReferenceIndicator, image.SeriesNumber, image.AcquisitionNumber = "", 3, 1
        image.InstanceNumber = count - k if is_reversed else k + 1
        image.PatientPosition, image.KVP, image.SliceThickness = "HFS", "120", decimal(abs(normal @ lps[:3, 2]))
        image.ImagePositionPatient = [decimal(x) for x in lps[:3, :3] @ [0, 0, k] + lps[:3, 3]]
        image.ImageOrientationPatient = [decimal(x) for x in [*directions[:, 0], *directions[:, 1]]]
        image.PixelSpacing = [decimal(spacing[1]), decimal(spacing[0])]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows, image.Columns = voxels.shape[1], voxels.shape[0]
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "-1024", "1", "HU"
        image.PixelData = (voxels[:, :, k].T + 1024).astype("<i2").tobytes()
        for name, value in changes.items():
            setattr(image, name, value)
        number = count - k if is_reversed else k + 1
        image.save_as(folder / f"IM{number:04}", enforce_file_format=True)
    return folder


def on_grid(image, voxels, affine):
    """Labels of a NIfTI image, in the order of other voxels with this affine. The axes of both are parallel."""
    to = np.linalg.inv(image.affine) @ affine
    ijk = np.indices(voxels.shape).reshape(3, -1)
    found = to[:3, :3] @ ijk + to[:3, 3:]
    rounded = found.round().astype(int)
    if np.abs(found - rounded).max() > 0.05:
        raise ValueError(f"the grids differ by {np.abs(found - rounded).max():.3f} voxels")
    return np.asarray(image.dataobj)[tuple(rounded)].reshape(voxels.shape).astype(int)
