"""Segments CT scans with SegVol on ONNX Runtime: text, points and boxes in, masks out. No PyTorch.

Research software, not a medical device.

    import segvol

    model = segvol.Model("bundle")
    study = model.study("ct.nii.gz")
    liver = study.segment(text="liver")
    liver.save("liver.nii.gz")

ONNX Runtime comes with `pip install segvol[cpu]`, `segvol[openvino]` or `segvol[gpu]`: one of them.
"""

from segvol._command import bench, cohort, command, convert, embed, evaluate, inspect, names, verify
from segvol._errors import (
    BundleError,
    CancelledError,
    ComparisonError,
    InputError,
    OutOfMemoryError,
    ProviderError,
    RunError,
    SegvolError,
    SegvolWarning,
    UsageError,
)
from segvol._library import library
from segvol._model import Model, Segmentation, Study
from segvol._segvol import VERSION as __version__

__all__ = [
    "BundleError",
    "CancelledError",
    "ComparisonError",
    "InputError",
    "Model",
    "OutOfMemoryError",
    "ProviderError",
    "RunError",
    "Segmentation",
    "SegvolError",
    "SegvolWarning",
    "Study",
    "UsageError",
    "__version__",
    "bench",
    "cohort",
    "command",
    "convert",
    "embed",
    "evaluate",
    "inspect",
    "library",
    "names",
    "verify",
]
