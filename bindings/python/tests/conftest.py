"""What the tests share. scripts/wheel makes the bundle, and names it and the scan in two variables."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import segvol

# A shell starts what runs in the background with Ctrl-C ignored, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def bundle() -> Path:
    return Path(os.environ["SEGVOL_TEST_BUNDLE"])


@pytest.fixture(scope="session")
def scan() -> Path:
    return Path(os.environ["SEGVOL_TEST_SCAN"])


@pytest.fixture(scope="session")
def model(bundle: Path) -> segvol.Model:
    return segvol.Model(bundle, provider="cpu")


@pytest.fixture(scope="session")
def voxels(scan: Path) -> np.ndarray:
    """The scan's Hounsfield units, [i, j, k], all of them whole numbers of int16."""
    found = np.asanyarray(nib.load(scan).dataobj)
    whole = found.astype(np.int16)
    assert (whole == found).all()
    return whole


@pytest.fixture(scope="session")
def affine(scan: Path) -> np.ndarray:
    return nib.load(scan).affine


@pytest.fixture(scope="session")
def liver(model: segvol.Model, scan: Path) -> np.ndarray:
    return model.study(scan).segment(text="liver").mask


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.delenv("ORT_DYLIB_PATH", raising=False)
    yield monkeypatch
