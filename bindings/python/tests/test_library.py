"""Which library of ONNX Runtime is used."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import segvol
from segvol import _library

USE = """
import sys
{before}
import segvol
found = segvol.Model(sys.argv[1], provider="cpu").study(sys.argv[2]).segment(text="liver").mask.sum()
{after}
print(found)
"""
BOTH = """
import onnxruntime
graph = sys.argv[1] + "/segvol_prompt_encoder.portable.onnx"
onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
"""


def package(folder: Path, name: str, library: str) -> None:
    """An installed package, as pip leaves it."""
    info = folder / f"{name.replace('-', '_')}-1.24.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.24.0\n")
    (info / "RECORD").write_text(f"onnxruntime/capi/{library},,\nonnxruntime/__init__.py,,\n")
    (folder / "onnxruntime/capi").mkdir(parents=True, exist_ok=True)
    (folder / "onnxruntime/capi" / library).write_bytes(b"")


@pytest.fixture
def site(tmp_path: Path, clean: pytest.MonkeyPatch) -> Path:
    """A folder of packages, the only one."""
    clean.setattr(sys, "path", [str(tmp_path)])
    return tmp_path


def test_the_one_package_has_it(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert segvol.library() is None
    package(site, "onnxruntime-openvino", "libonnxruntime.so.1.24.1")
    expected = site / "onnxruntime/capi/libonnxruntime.so.1.24.1"
    assert segvol.library() == expected
    monkeypatch.setenv("ORT_DYLIB_PATH", "/elsewhere/libonnxruntime.so")
    assert segvol.library() == Path("/elsewhere/libonnxruntime.so")
    assert segvol.library("mine.so") == Path("mine.so")


def test_two_packages_are_an_error_that_says_what_to_remove(site: Path) -> None:
    package(site, "onnxruntime", "libonnxruntime.so.1.32.0")
    package(site, "onnxruntime-gpu", "libonnxruntime.so.1.31.1")
    with pytest.raises(segvol.ProviderError, match="pip uninstall onnxruntime onnxruntime-gpu"):
        segvol.library()


def test_what_a_removed_package_left_is_an_error(site: Path) -> None:
    package(site, "onnxruntime", "libonnxruntime.so.1.32.0")
    (site / "onnxruntime/capi/libonnxruntime.so.1.24.1").write_bytes(b"")
    with pytest.raises(segvol.ProviderError, match="several libraries"):
        segvol.library()


def test_without_any_the_error_says_what_to_install(site: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = segvol.ProviderError("ONNX Runtime was not found")
    _library.hint(error)
    assert error.__notes__ == ["ONNX Runtime comes with pip install 'segvol[cpu]' (or segvol[openvino], segvol[gpu])"]


def test_the_installed_package_runs_its_provider(bundle: Path, scan: Path, liver: np.ndarray, clean: pytest.MonkeyPatch) -> None:
    [installed] = [name for name in _library.PACKAGES if _library._of(name) is not None]
    assert f"{os.sep}onnxruntime{os.sep}capi{os.sep}" in str(segvol.library())
    if installed != "onnxruntime-openvino":
        # The package for GPUs has the CPU's provider too.
        with pytest.raises(segvol.ProviderError, match="openvino"):
            segvol.Model(bundle, provider="openvino")
        return
    model = segvol.Model(bundle, provider="openvino")
    assert model.provider == "openvino"
    found = model.study(scan).segment(text="liver").mask
    assert 2 * np.count_nonzero(found & liver) / (np.count_nonzero(found) + np.count_nonzero(liver)) > 0.999


def test_python_s_onnxruntime_may_be_used_before_and_after(bundle: Path, scan: Path, clean: pytest.MonkeyPatch) -> None:
    counts = set()
    for before, after in [("", ""), (BOTH, ""), ("", BOTH)]:
        code = USE.format(before=before, after=after)
        counts.add(subprocess.run([sys.executable, "-c", code, bundle, scan], capture_output=True, text=True, check=True).stdout)
    assert len(counts) == 1 and int(counts.pop()) > 0
