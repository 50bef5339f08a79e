"""Files with all objects of a call, and pictures, are those of the command."""

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import segvol

OBJECTS = [{"text": "liver"}, {"name": "mark <1>", "text": "spleen", "points": [(99, 56, 34)]}]


@pytest.fixture(scope="module")
def series(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scan as a series of DICOM."""
    folder = tmp_path_factory.mktemp("dicom")
    image = nib.as_closest_canonical(nib.load(scan))
    voxels = np.asanyarray(image.dataobj)
    spacing = image.header.get_zooms()[:3]
    study, series, frame = (generate_uid(entropy_srcs=[text]) for text in ("study", "series", "frame"))
    for k in range(voxels.shape[2]):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid(entropy_srcs=["image", str(k)])
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = "Phantom", "1", "", "O"
        one.StudyDate, one.StudyTime, one.StudyID, one.AccessionNumber, one.ReferringPhysicianName = "20260101", "120000", "1", "", ""
        one.Modality, one.SeriesNumber, one.InstanceNumber = "CT", 1, k + 1
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [0, 0, float(k * spacing[2])]
        one.PixelSpacing, one.SliceThickness = [float(spacing[1]), float(spacing[0])], float(spacing[2])
        one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = voxels.shape[1], voxels.shape[0], 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        # Right to left and front to back, as LPS.
        one.PixelData = np.ascontiguousarray(voxels[::-1, ::-1, k].T).astype("<i2").tobytes()
        one.save_as(folder / f"{k:03}.dcm", enforce_file_format=True)
    return folder


def command(bundle: Path, given: Path, objects: Any, tmp_path: Path, *options: "str | os.PathLike[str]") -> None:
    prompts = tmp_path / "objects.json"
    prompts.write_text(json.dumps({"schema_version": 1, "objects": objects}))
    segvol.command("segment", "-i", given, "-m", bundle, "--provider", "cpu", "--prompts", prompts, "-q", *options)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.seg.nrrd"])
def test_files_are_those_of_the_command(model: segvol.Model, bundle: Path, scan: Path, tmp_path: Path, name: str) -> None:
    command(bundle, scan, OBJECTS, tmp_path, "-o", tmp_path / f"command-{name}")
    study = model.study(scan)
    study.save(study.segment(OBJECTS), tmp_path / name)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"command-{name}").read_bytes()
    command(bundle, scan, OBJECTS[:1], tmp_path, "-o", tmp_path / f"one-{name}")
    liver = model.study(scan).segment(text="liver")
    liver.save(tmp_path / f"liver-{name}")
    assert (tmp_path / f"liver-{name}").read_bytes() == (tmp_path / f"one-{name}").read_bytes()


@pytest.mark.parametrize("options", [{}, {"seg": "labelmap", "anonymous": True, "uid_root": "1.2.3"}])
def test_objects_of_dicom_are_those_of_the_command(
    model: segvol.Model, bundle: Path, series: Path, tmp_path: Path, options: "dict[str, Any]"
) -> None:
    words = ["--seg=labelmap", "--anonymous", "--uid-root=1.2.3"] if options else []
    command(bundle, series, OBJECTS, tmp_path, "-o", tmp_path / "command.dcm", "--rtstruct", tmp_path / "command-lines.dcm", *words)
    study = model.study(series)
    found = study.segment(OBJECTS)
    study.save(found, tmp_path / "ours.dcm", **options)
    study.save_rtstruct(found, tmp_path / "lines.dcm", **{name: value for name, value in options.items() if name != "seg"})
    assert (tmp_path / "ours.dcm").read_bytes() == (tmp_path / "command.dcm").read_bytes()
    assert (tmp_path / "lines.dcm").read_bytes() == (tmp_path / "command-lines.dcm").read_bytes()
    seg = pydicom.dcmread(tmp_path / "ours.dcm")
    assert {one.SegmentLabel for one in seg.SegmentSequence} >= {"liver", "mark <1>"}
    found[1].save(tmp_path / "alone.dcm")
    assert [one.SegmentLabel for one in pydicom.dcmread(tmp_path / "alone.dcm").SegmentSequence] == ["mark <1>"]


def test_what_dicom_lacks_is_made_up_with_a_warning(model: segvol.Model, series: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    poor.mkdir()
    for file in series.iterdir():
        image = pydicom.dcmread(file)
        del image.FrameOfReferenceUID
        image.save_as(poor / file.name)
    liver = model.study(poor).segment(text="liver")
    with pytest.raises(segvol.InputError, match="Frame of Reference"):
        liver.save(tmp_path / "a.dcm")
    assert not (tmp_path / "a.dcm").exists()
    with pytest.warns(segvol.SegvolWarning, match="Frame of Reference"):
        liver.save(tmp_path / "a.dcm", fill_missing=True)
    assert pydicom.dcmread(tmp_path / "a.dcm").FrameOfReferenceUID


def test_no_output_replaces_the_scan(model: segvol.Model, series: Path, scan: Path, tmp_path: Path) -> None:
    copy = tmp_path / "ct.nii.gz"
    copy.write_bytes(scan.read_bytes())
    link = tmp_path / "link.nii.gz"
    link.symlink_to(copy)
    for given in (copy, link, nib.load(copy)):
        study = model.study(given)
        found = study.segment([{"text": "liver"}])
        for path in (copy, link, tmp_path / "." / "ct.nii.gz"):
            with pytest.raises(segvol.UsageError, match="no output may replace"):
                study.save(found, path)
            with pytest.raises(segvol.UsageError, match="no output may replace"):
                found[0].save(path)
    assert copy.read_bytes() == scan.read_bytes()
    image = next(iter(series.iterdir()))
    before = image.read_bytes()
    study = model.study(series)
    found = study.segment([{"text": "liver"}])
    for write in (study.save, study.save_rtstruct):
        with pytest.raises(segvol.UsageError, match="no output may replace"):
            write(found, image)
    assert image.read_bytes() == before


def test_outputs_that_cannot_be_are_refused(model: segvol.Model, scan: Path, tmp_path: Path) -> None:
    study = model.study(scan)
    found = study.segment(OBJECTS)
    for path, options, message in [
        ("a.dcm", {}, "DICOM"),
        ("a.png", {}, r"\.nii"),
        ("a.nii.gz", {"seg": "binary"}, r"seg: expected a file whose name ends in \.dcm"),
        ("a.nii.gz", {"anonymous": True}, r"anonymous: expected a file"),
        ("a.dcm", {"seg": "rle"}, '"labelmap", found "rle"'),
        ("a.dcm", {"uid_root": "1..2"}, "UID root"),
        ("none/a.nii.gz", {}, "none"),
    ]:
        for write in (lambda path, study=study, **options: study.save(found, path, **options), found[0].save):
            with pytest.raises(segvol.SegvolError, match=message):
                write(tmp_path / path, **options)
    with pytest.raises(segvol.UsageError, match=r"ends in \.dcm"):
        study.save_rtstruct(found, tmp_path / "a.xml")
    with pytest.raises(segvol.UsageError, match="save: expected all segmentations of one call"):
        study.save(found[:1], tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())


def test_pictures_are_those_of_the_command(model: segvol.Model, bundle: Path, scan: Path, voxels: np.ndarray, tmp_path: Path) -> None:
    affine = nib.load(scan).affine
    for axis, window in [("axial", (40.0, 400.0)), ("sagittal", (-600.0, 1500.0))]:
        view = ["--overlay-axis", axis, f"--window={window[0]},{window[1]}"]
        command(bundle, scan, OBJECTS, tmp_path, "-o", tmp_path / "a.nii.gz", "--overlay", tmp_path / "a.png", *view)
        expected = (tmp_path / "a.png").read_bytes()
        for given, options in [
            (scan, {}),
            (nib.load(scan), {}),
            ((voxels, affine), {}),
            (voxels.transpose(2, 1, 0).astype(np.int64), {"affine": affine, "axes": "kji"}),
        ]:
            study = model.study(given, **options)
            assert study.picture(study.segment(OBJECTS), axis=axis, window=window) == expected
    command(bundle, scan, OBJECTS[:1], tmp_path, "-o", tmp_path / "a.nii.gz", "--overlay", tmp_path / "liver.png")
    liver = model.study(SimpleITK.ReadImage(str(scan))).segment(text="liver")
    assert liver.picture().startswith(b"\x89PNG")
    assert model.study(scan).segment(text="liver")._repr_png_() == (tmp_path / "liver.png").read_bytes()
    for options, message in [({"axis": "oblique"}, "axial, coronal, sagittal"), ({"window": (40, 0)}, "window")]:
        with pytest.raises(segvol.SegvolError, match=message):
            liver.picture(**options)


def test_auto_chooses_by_what_was_measured(bundle: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = {"provider": "cpu", "save": True, "runs": 1, "warm_up": 0, "bench_results": tmp_path}
    segvol.bench(bundle, **bench)
    measured = segvol.Model(bundle, bench_results=tmp_path).study(scan).segment(text="liver").report["provider"]["measured"]
    assert measured["rows"][0]["provider"] == "cpu" and measured["rows"][0].get("reason") is None
    for options in ({"bench_results": False}, {"bench_results": tmp_path, "provider": "cpu"}):
        report = segvol.Model(bundle, **options).study(scan).segment(text="liver").report
        assert report["provider"].get("measured") is None
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "bench").symlink_to(tmp_path)
    assert segvol.Model(bundle).study(scan).segment(text="liver").report["provider"]["measured"]["rows"]
    with pytest.raises(segvol.UsageError, match="there is no folder"):
        segvol.Model(bundle, bench_results=tmp_path / "none")
    (next(tmp_path.glob("*.json"))).write_text("{}")
    with pytest.warns(segvol.SegvolWarning) as told:
        model = segvol.Model(bundle, bench_results=tmp_path)
    assert told[0].message.code == model.warnings[0].code == "bench_unusable"
