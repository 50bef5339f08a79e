"""The command in the package, and the functions that run it."""

import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import segvol

BESIDE = Path(sys.executable).with_name("segvol")


def test_the_command_finds_the_library_of_python(bundle: Path, scan: Path, tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    for program in ([BESIDE], [sys.executable, "-m", "segvol"]):
        said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
        assert said.stdout.startswith(f"segvol {segvol.__version__}")
        out = tmp_path / "liver.nii.gz"
        subprocess.run([*program, "segment", "-i", scan, "-m", bundle, "--text", "liver", "-o", out, "-q"], check=True)
        assert np.asanyarray(nib.load(out).dataobj).any()
    refused = subprocess.run([BESIDE, "segment"], capture_output=True, text=True)
    assert refused.returncode == 2 and "--input" in refused.stderr


def test_errors_are_exceptions_with_the_same_message(bundle: Path, scan: Path, tmp_path: Path) -> None:
    with pytest.raises(segvol.InputError, match="cannot read checkpoint `nowhere.pth`"):
        segvol.convert("nowhere.pth", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(segvol.UsageError, match="unexpected argument '--nope'"):
        segvol.bench(bundle, nope=True)
    with pytest.raises(segvol.BundleError):
        segvol.names(tmp_path)
    for kind in (segvol.InputError, segvol.UsageError):
        assert issubclass(kind, segvol.SegvolError) and issubclass(kind, ValueError)
    with pytest.raises(segvol.BundleError):
        segvol.Model(tmp_path)
    with pytest.raises(segvol.UsageError, match="provider: expected one of auto, cpu"):
        segvol.Model(bundle, provider="gpu")
    with pytest.raises(segvol.ProviderError, match="cuda"):
        segvol.Model(bundle, provider="cuda")


def test_warnings_have_codes(model: segvol.Model, scan: Path, bundle: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        segmentation = model.study(scan).segment(text="nonsense")
    assert [warning.message.code for warning in found][0] == "name_unknown"
    assert segmentation.warnings[0].code == "name_unknown"
    assert found[0].filename == __file__
    with pytest.warns(segvol.SegvolWarning, match="not trained") as said:
        segvol.command("segment", "-i", scan, "-m", bundle, "--text", "nonsense", "-o", tmp_path / "x.nii", "-q")
    assert said[0].filename == __file__


def test_what_the_command_does_can_be_called(bundle: Path, scan: Path, tmp_path: Path) -> None:
    assert "image_encoder" in segvol.inspect(bundle)
    assert [entry["name"] for entry in segvol.names(bundle, "kidney")["names"]] == ["left kidney", "right kidney"]
    assert segvol.bench(bundle, provider="cpu", runs=2, warm_up=0, stage="text_encoder")["rows"]
    assert segvol.verify(bundle, provider="cpu", against=bundle)
    embedded = segvol.embed(bundle, scan, tmp_path / "scan.safetensors", provider="cpu", windows="zoom-out")
    assert embedded.stat().st_size > 1000
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("a", "b"):
        (scans / f"{name}.nii.gz").write_bytes(scan.read_bytes())
    summary = segvol.cohort(bundle, scans, tmp_path / "out", text=["liver", "spleen"], provider="cpu")
    assert summary["done"] == 2 and [found["object"] for found in summary["objects"]] == ["liver", "spleen"]
    again = segvol.cohort(bundle, scans, tmp_path / "out", text=["liver", "spleen"], provider="cpu", resume=True)
    assert again == summary
    (scans / "c.nii.gz").write_bytes(b"no scan")
    with pytest.raises(segvol.RunError, match='(?s)scan "c".*1 of 3 scans failed'):
        segvol.cohort(bundle, scans, tmp_path / "out", text=["liver", "spleen"], provider="cpu", resume=True)
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "a.nii.gz").write_bytes(scan.read_bytes())
    (pairs / "a_labels.nii.gz").write_bytes((tmp_path / "out/a/liver.nii.gz").read_bytes())
    (pairs / "labels.json").write_text('{"liver": 1}')
    found = segvol.evaluate(bundle, data=pairs, provider="cpu", prompts="text")
    assert found["cases"][0]["rows"][0]["zoom_in"]["dice"] > 0.99
