"""DICOM SEG: what `segvol` writes is read by pydicom, highdicom and dcmqi with equal voxels at equal places, dciodvfy finds no error,
and what highdicom and dcmqi write is read as truth."""

import json
import os
import subprocess

import highdicom
import nibabel
import numpy as np
import pydicom
import SimpleITK
from highdicom.seg import SegmentDescription
from pydicom.sr.codedict import codes
from _shared import ROOT, WORK, check, finish, not_checked, on_grid, segment, segvol, variants, write_series

TEXTS = ("liver", "spleen", "left kidney")
# The last overlaps the first.
OVERLAPPING = ("liver", "spleen", "left kidney", "liver tumor")


def planes_of(seg):
    """Number of the segment, position, orientation and spacing of each frame."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, float)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        identified = frame.get("SegmentIdentificationSequence")
        number = identified[0].ReferencedSegmentNumber if identified else None
        yield number, np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float), orientation, spacing


def by_pydicom(path, voxels, affine):
    """Masks [segment][i, j, k] on the grid of the phantom, by bits and positions alone."""
    seg = pydicom.dcmread(path)
    rows, columns = seg.Rows, seg.Columns
    if seg.BitsAllocated == 1:
        bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
        frames = bits[: rows * columns * seg.NumberOfFrames].reshape(-1, rows, columns)
    else:
        frames = np.frombuffer(seg.PixelData, f"<u{seg.BitsAllocated // 8}")[: rows * columns * seg.NumberOfFrames]
        frames = frames.reshape(-1, rows, columns)
    numbers = [item.SegmentNumber for item in seg.SegmentSequence if item.SegmentNumber != 0]
    masks = {number: np.zeros(voxels.shape, int) for number in numbers}
    to_voxel = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    row, column = np.mgrid[:rows, :columns]
    for frame, (number, position, orientation, spacing) in zip(frames, planes_of(seg), strict=True):
        places = position[:, None] + np.outer(orientation[:3], column.ravel() * spacing[1])
        places += np.outer(orientation[3:], row.ravel() * spacing[0])
        ijk = to_voxel[:3, :3] @ places + to_voxel[:3, 3:]
        index = tuple(ijk.round().astype(int))
        if np.abs(ijk - np.round(ijk)).max() > 0.01:
            raise ValueError("a frame is not on the scan's voxels")
        for one in numbers if number is None else [number]:
            inside = frame.ravel() == one if number is None else frame.ravel() != 0
            masks[one][index] |= inside.astype(int)
    return masks


def by_highdicom(path, images):
    """Masks [segment][slice of the source, row, column]."""
    seg = highdicom.seg.segread(path)
    uids = [image.SOPInstanceUID for image in images]
    pixels = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True, ignore_spatial_locations=False)
    return {number: pixels[..., n] for n, number in enumerate(seg.segment_numbers)}


def by_dcmqi(path, name, tilted):
    """Masks of each segment as SimpleITK images."""
    folder = WORK / f"{name}-dcmqi"
    subprocess.run(["rm", "-rf", folder], check=True)
    folder.mkdir()
    command = ["segimage2itkimage", "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stdout + done.stderr
    return sorted(folder.glob("*.nrrd"), key=lambda path: int(path.stem.split("-")[-1].split(".")[0])), ""


def itk_on_grid(path, voxels, affine):
    """Voxels of an image on the phantom's grid; slices that it does not have are empty."""
    image = SimpleITK.ReadImage(str(path))
    array = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = direction * image.GetSpacing(), image.GetOrigin()
    to = np.linalg.inv(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine) @ lps
    places = to[:3, :3] @ np.argwhere(array != 0).T + to[:3, 3:]
    index = places.round().astype(int)
    if places.size and np.abs(places - index).max() > 0.05:
        raise ValueError(f"{np.abs(places - index).max():.3f} voxels away")
    mask = np.zeros(voxels.shape, int)
    mask[tuple(index)] = 1
    return mask


def verify(path, about):
    """dciodvfy finds no error."""
    program = os.environ.get("DCIODVFY")
    if not program:
        return  # scripts/check-formats has said so.
    done = subprocess.run([program, str(path)], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    if any("information object not found" in line.lower() for line in errors):
        return not_checked("label map segmentations by dciodvfy: it is older than they are")
    check(not errors, f"{about}: dciodvfy finds {errors or 'no error'}")
    for line in lines:
        if line.startswith("Warning"):
            print(f"        {line}")


for name, (voxels, affine, is_reversed) in variants().items():
    folder = write_series(WORK / name, voxels, affine, is_reversed)
    images = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    single = WORK / f"{name}-masks"
    segment(folder, WORK / f"{name}.nii.gz", "--per-object", single, texts=OVERLAPPING)
    label_map = on_grid(nibabel.load(WORK / f"{name}.nii.gz"), voxels, affine)
    files = [single / f"{text.replace(' ', '_')}.nii.gz" for text in OVERLAPPING]
    expected = [on_grid(nibabel.load(path), voxels, affine) for path in files]
    for kind in ("binary", "labelmap"):
        about, path = f"{name}, {kind}", WORK / f"{name}-{kind}.dcm"
        segment(folder, path, "--seg", kind, texts=OVERLAPPING)
        wanted = expected if kind == "binary" else [(label_map == n + 1).astype(int) for n in range(len(OVERLAPPING))]
        check(all(mask.any() for mask in wanted[:3]), f"{about}: there is something to compare")
        found = by_pydicom(path, voxels, affine)
        equal = [np.array_equal(found[n + 1], mask) for n, mask in enumerate(wanted)]
        check(all(equal), f"{about}: pydicom finds the voxels of {sum(equal)} of {len(wanted)} objects")
        found = by_highdicom(path, images)
        to_index = np.linalg.inv(affine)
        places = [to_index @ [*(np.array(image.ImagePositionPatient, float) * [-1, -1, 1]), 1] for image in images]
        slices = [int(round(place[2])) for place in places]
        equal = [
            all(np.array_equal(found[n + 1][at].T != 0, mask[:, :, k] != 0) for at, k in enumerate(slices))
            for n, mask in enumerate(wanted)
        ]
        check(all(equal), f"{about}: highdicom finds the voxels of {sum(equal)} of {len(wanted)} objects by source image")
        volumes, message = by_dcmqi(path, about.replace(", ", "-"), name == "tilted")
        if volumes is None and name == "tilted":
            check("outside image geometry" in message, f"{about}: dcmqi refuses it, because images of ITK have no shear")
        elif volumes is None:
            check(False, f"{about}: dcmqi does not read it: {message[-400:]}")
        elif name == "tilted":
            # ITK's images have no shear: only the number of voxels can be compared.
            counts = [int((SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(one))) != 0).sum()) for one in volumes]
            expected_counts = [int(mask.sum()) for mask in wanted if mask.any()]
            check(sum(counts) == sum(expected_counts), f"{about}: dcmqi finds {counts} voxels, expected {expected_counts}")
        else:
            filled = [mask for mask in wanted if mask.any()]
            if len(volumes) == 1 and kind == "labelmap":
                one = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(volumes[0])))
                check(sorted(set(np.unique(one)) - {0}) == [n + 1 for n, mask in enumerate(wanted) if mask.any()], f"{about}: dcmqi finds the labels {np.unique(one)}")
                union = np.zeros(voxels.shape, int)
                for mask in wanted:
                    union |= mask
                check(np.array_equal(itk_on_grid(volumes[0], voxels, affine), union), f"{about}: dcmqi finds the voxels")
            else:
                masks = [itk_on_grid(one, voxels, affine) for one in volumes]
                masks = [mask for mask in masks if mask.any()]
                equal = [np.array_equal(a, b) for a, b in zip(masks, filled)]
                check(len(masks) == len(filled) and all(equal), f"{about}: dcmqi finds the voxels of {sum(equal)} of {len(filled)} objects")
        verify(path, about)

# What other programs write is read as truth: the masks that were just made have Dice 1 with it.
voxels, affine, _ = variants()["plain"]
images = [pydicom.dcmread(path) for path in sorted((WORK / "plain").iterdir())]


def described(number, label):
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type="MANUAL",
    )


def score(path, about):
    report = segment(WORK / "plain", WORK / "scored.nii.gz", "--truth", path, texts=TEXTS)
    found = {one["name"]: one.get("dice") for one in report["objects"]}
    check(all(dice == 1.0 for dice in found.values()) and len(found) == len(TEXTS), f"{about}: Dice {found}")


segment(WORK / "plain", WORK / "plain.nii.gz", "--per-object", WORK / "single-masks", texts=TEXTS)
singles = [on_grid(nibabel.load(WORK / "single-masks" / f"{text.replace(' ', '_')}.nii.gz"), voxels, affine) for text in TEXTS]
stack = np.stack([mask.transpose(2, 1, 0) for mask in singles], axis=-1).astype(np.uint8)
order = [int(round((np.linalg.inv(affine) @ [*(np.array(i.ImagePositionPatient, float) * [-1, -1, 1]), 1])[2])) for i in images]
stack = stack[order]
for kind in ("BINARY", "FRACTIONAL"):
    written = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=stack if kind == "BINARY" else stack.astype(np.float32),
        segmentation_type=kind,
        segment_descriptions=[described(n + 1, text) for n, text in enumerate(TEXTS)],
        series_instance_uid="1.2.3.1",
        series_number=9,
        sop_instance_uid="1.2.3.2",
        instance_number=1,
        manufacturer="highdicom",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    )
    written.save_as(WORK / f"highdicom-{kind}.dcm")
    score(WORK / f"highdicom-{kind}.dcm", f"highdicom's {kind}")

labels = np.zeros(voxels.shape, np.uint8)
items = []
for n, (text, mask) in enumerate(zip(TEXTS, singles)):
    labels[(mask != 0) & (labels == 0)] = n + 1
    organ = {"CodeValue": "10200004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Liver"}
    category = {"CodeValue": "123037004", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Anatomical Structure"}
    items.append({
        "labelID": n + 1, "SegmentLabel": text, "SegmentDescription": text, "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": category, "SegmentedPropertyTypeCodeSequence": organ,
    })
itk = SimpleITK.GetImageFromArray(labels.transpose(2, 1, 0))
lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
spacing = np.linalg.norm(lps[:3, :3], axis=0)
itk.SetSpacing(spacing), itk.SetOrigin(lps[:3, 3]), itk.SetDirection((lps[:3, :3] / spacing).ravel())
SimpleITK.WriteImage(itk, str(WORK / "labels.nrrd"))
about = {"ContentCreatorName": "test", "ClinicalTrialSeriesID": "1", "ClinicalTrialTimePointID": "1", "SeriesDescription": "s",
         "SeriesNumber": "9", "InstanceNumber": "1", "BodyPartExamined": "", "segmentAttributes": [items]}
(WORK / "labels.json").write_text(json.dumps(about))
command = ["itkimage2segimage", "--inputImageList", WORK / "labels.nrrd", "--inputDICOMDirectory", WORK / "plain",
           "--outputDICOM", WORK / "dcmqi.dcm", "--inputMetadata", WORK / "labels.json"]
done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
check(done.returncode == 0, f"dcmqi writes a segmentation {done.stderr[-300:] if done.returncode else ''}")
if done.returncode == 0:
    disjoint = all((labels == n + 1).sum() == mask.sum() for n, mask in enumerate(singles))
    if disjoint:
        score(WORK / "dcmqi.dcm", "dcmqi's BINARY")
    else:
        not_checked("dcmqi's segmentation as truth: the demo's organs overlap")

# The same scan gives the same bytes, also from another folder.
again = write_series(WORK / "again" / "plain", *variants()["plain"])
segment(again, WORK / "again.dcm", texts=OVERLAPPING)
check((WORK / "again.dcm").read_bytes() == (WORK / "plain-binary.dcm").read_bytes(), "the same scan gives the same bytes")

# Refusals, before any work.
voxels, affine, _ = variants()["plain"]
bare = write_series(WORK / "bare", voxels, affine, FrameOfReferenceUID="")
ask = ["segment", "-m", os.environ["BUNDLE"], "--text", "liver", "-o", WORK / "bare.dcm"]
message = segvol(*ask, "-i", bare, fails=True)
check("Frame of Reference UID" in message and "--fill-missing" in message, f"what is missing is named: {message.strip()}")
message = segvol(*ask, "-i", bare, "--fill-missing")
check("dicom_filled" in message, "what is made up is warned of")
verify(WORK / "bare.dcm", "made-up identifiers")
message = segvol(*ask, "-i", ROOT / "demo/phantom.nii.gz", fails=True)
check("needs a DICOM scan" in message, f"a NIfTI scan is refused: {message.strip()}")
segvol("segment", "-m", os.environ["BUNDLE"], "--text", "liver", "-i", WORK / "plain", "-o", WORK / "anonymous.dcm", "--anonymous", "--quiet")
seg = pydicom.dcmread(WORK / "anonymous.dcm")
secrets = [secret for secret in (b"ller", b"P1", b"1950", b"20200304", b"A1") if secret in (WORK / "anonymous.dcm").read_bytes()]
check(seg.PatientIdentityRemoved == "YES" and not secrets, f"an anonymous SEG has no {secrets or 'names and dates'}")
verify(WORK / "anonymous.dcm", "anonymous")

# The scan's own images are safe, given as a folder or as one of them; a segmentation beside them may be written again.
for scan in (WORK / "plain", WORK / "plain" / "IM0007"):
    ask = ["segment", "-m", os.environ["BUNDLE"], "--text", "liver", "-i", scan, "--quiet"]
    message = segvol(*ask, "-o", WORK / "plain" / "IM0001", fails=True)
    check("expected a name that ends in" in message, "a name without an extension is refused")
    message = segvol(*ask, "-o", WORK / "x.nii.gz", "--report", WORK / "plain" / "IM0001", fails=True)
    check("is a DICOM image in the folder" in message, f"an image of the scan is not replaced: {message.strip()}")
    for _ in range(2):
        segvol(*ask, "-o", WORK / "plain" / "seg.dcm")
    (WORK / "plain" / "seg.dcm").unlink()
    check(True, f"a SEG in the folder of {scan.name} is written twice")
finish()
