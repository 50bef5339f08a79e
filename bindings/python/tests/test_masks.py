"""Masks are those of the command, whatever the scan came as, in the axes that it came with."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import segvol

OBJECTS = [{"text": "liver"}, {"name": "kidneys", "text": "left kidney", "space": "voxel"}]


def test_files_are_those_of_the_command_byte_for_byte(model: segvol.Model, bundle: Path, scan: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "objects.json"
    prompts.write_text(json.dumps({"schema_version": 1, "objects": OBJECTS}))
    segvol.command("segment", "-i", scan, "-m", bundle, "--provider", "cpu", "--prompts", prompts, "-o", tmp_path / "map.nii.gz", "-q")
    segvol.command("segment", "-i", scan, "-m", bundle, "--provider", "cpu", "--text", "liver", "-o", tmp_path / "liver.nii.gz", "-q")
    study = model.study(scan)
    study.segment(text="liver").save(tmp_path / "ours.nii.gz")
    assert (tmp_path / "ours.nii.gz").read_bytes() == (tmp_path / "liver.nii.gz").read_bytes()
    again = model.study(scan)
    labels = again.label_map(again.segment(OBJECTS))
    assert labels.dtype == np.uint16
    assert np.array_equal(labels, np.asanyarray(nib.load(tmp_path / "map.nii.gz").dataobj))
    assert {1, 2} <= set(np.unique(labels))


def test_every_kind_of_scan_has_the_same_mask(
    model: segvol.Model, scan: Path, voxels: np.ndarray, affine: np.ndarray, liver: np.ndarray
) -> None:
    assert liver.dtype == np.bool_ and liver.any()
    kinds = {
        "nibabel": (nib.load(scan), {}),
        "pair": ((voxels, affine), {}),
        "keyword": (voxels, {"affine": affine, "axes": "ijk"}),
        "3 x 4": (voxels, {"affine": affine[:3].tolist(), "axes": "ijk"}),
    }
    for kind, (given, options) in kinds.items():
        study = model.study(given, **options)
        assert study.axes == "ijk" and study.shape == voxels.shape, kind
        assert np.allclose(study.affine, affine), kind
        assert np.array_equal(study.segment(text="liver").mask, liver), kind
    for kind, given, options in [
        ("SimpleITK", SimpleITK.ReadImage(str(scan)), {}),
        ("reversed", voxels.transpose(2, 1, 0), {"affine": affine, "axes": "kji"}),
        ("reversed pair", (np.ascontiguousarray(voxels.transpose(2, 1, 0)), affine), {"axes": "kji"}),
    ]:
        study = model.study(given, **options)
        assert study.axes == "kji" and study.shape == voxels.shape, kind
        found = study.segment(text="liver")
        assert np.array_equal(found.mask.transpose(2, 1, 0), liver), kind
        assert found.logits.shape == found.probabilities.shape == voxels.shape[::-1], kind


def test_an_oblique_image_of_simpleitk_lies_where_it_says(model: segvol.Model, voxels: np.ndarray, tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(voxels.transpose(2, 1, 0))
    image.SetSpacing((2.5, 2.25, 4.0))
    image.SetOrigin((-31.0, 17.0, 250.0))
    turned = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    image.SetDirection(turned.flatten().tolist())
    SimpleITK.WriteImage(image, str(tmp_path / "oblique.nii.gz"))
    study = model.study(image)
    assert np.allclose(study.affine, nib.load(tmp_path / "oblique.nii.gz").affine, atol=1e-4)
    of_file = model.study(tmp_path / "oblique.nii.gz").segment(text="liver").mask
    # NIfTI holds float32, so that the last bit of a position differs.
    assert np.count_nonzero(study.segment(text="liver").mask.transpose(2, 1, 0) != of_file) < 20


def test_numbers_belong_to_their_voxels(model: segvol.Model, scan: Path) -> None:
    found = model.study(scan).segment(text="liver")
    logits, probabilities = found.logits, found.probabilities
    assert logits.dtype == probabilities.dtype == np.float32
    inside = ~np.isnan(logits)
    assert np.array_equal(np.nan_to_num(logits, nan=-1.0) > 0, found.mask)
    assert np.allclose(probabilities[inside], 1 / (1 + np.exp(-logits[inside].astype(np.float64))), atol=1e-6)
    assert (probabilities[~inside] == 0).all()
    header = nib.load(scan).header.get_zooms()
    assert found.volume_ml == pytest.approx(np.count_nonzero(found.mask) * np.prod(header[:3]) / 1000, rel=1e-6)
    assert found.report["objects"][0]["voxels"]["zoom_in"] == np.count_nonzero(found.mask)
    assert found.label == 1 and found.name == "liver"


def test_postprocessing_of_prompts_is_applied(model: segvol.Model, scan: Path) -> None:
    study = model.study(scan)
    plain, cut = study.segment([{"text": "liver"}, {"text": "liver", "name": "cut", "postprocess": {"min_volume_ml": 1e5}}])
    assert plain.mask.any() and not cut.mask.any()
    assert cut.volume_ml == 0 and cut.report["objects"][1]["postprocessing"]["voxels_before"] > 0


def test_points_are_voxels_of_the_file_whatever_the_axes(model: segvol.Model, scan: Path, liver: np.ndarray) -> None:
    point = np.argwhere(liver).mean(axis=0).round().astype(int)
    image = SimpleITK.ReadImage(str(scan))
    ours = model.study(scan).segment(points=[point])
    theirs = model.study(image).segment(points=point[None, :])
    assert ours.mask.any() and np.array_equal(theirs.mask.transpose(2, 1, 0), ours.mask)
    box = [*np.argwhere(liver).min(axis=0), *np.argwhere(liver).max(axis=0)]
    assert np.count_nonzero(model.study(scan).segment(box=box).mask & liver) > 0.7 * np.count_nonzero(liver)
