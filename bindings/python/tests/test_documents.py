"""The examples of the documents run as they are written."""

import os
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

# The package's own README, and pages of docs/.
DOCUMENTS = [path for path in os.environ.get("SEGVOL_TEST_DOCUMENTS", "").split(os.pathsep) if path]


@pytest.mark.filterwarnings("ignore::segvol.SegvolWarning")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_run(document: str, bundle: Path, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", Path(document).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert examples
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").symlink_to(bundle)
    (tmp_path / "scans").mkdir()
    for copy in ("ct.nii.gz", "scans/ct.nii.gz"):
        shutil.copy(scan, tmp_path / copy)
    for example in examples:
        exec(compile(example, document, "exec"), {"__name__": "__main__"})
    written = [file for file in tmp_path.rglob("*.nii.gz") if file.name != "ct.nii.gz"]
    assert written and all(np.asanyarray(nib.load(file).dataobj).any() for file in written)
