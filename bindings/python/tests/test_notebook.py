"""The notebook of the documents runs from its first cell to its last, and shows what it has stored."""

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = os.environ.get("SEGVOL_TEST_NOTEBOOK", "")


def shown(cell: Any) -> "list[tuple[str, ...]]":
    """The outputs of a cell: their text without numbers, of which the last digits differ between processors, and their kinds."""
    return [
        (
            one.output_type,
            one.get("name", ""),
            re.sub(r"[\d.]+", "0", one.get("text", one.get("data", {}).get("text/plain", ""))),
            *sorted(one.get("data", {})),
        )
        for one in cell.get("outputs", [])
    ]


@pytest.mark.skipif(not NOTEBOOK, reason="SEGVOL_TEST_NOTEBOOK names no notebook")
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "demo").symlink_to(scan.parent)
    stored = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(run, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path / "docs")}}).execute()
    assert [shown(cell) for cell in run.cells] == [shown(cell) for cell in stored.cells]
    pictures = [one for cell in stored.cells for one in shown(cell) if "image/png" in one]
    assert len(pictures) == 2, "they are stored, so that they are seen where the notebook is not run"
