"""For schemathesis: uploads that it means to be right are a scan, so that what follows them meets a model."""

import gzip

import nibabel
import numpy as np
import schemathesis
from schemathesis import GenerationMode

AXIS = np.arange(24)
BALL = ((AXIS[:, None, None] - 12) ** 2 + (AXIS[:, None] - 12) ** 2 + (AXIS - 12) ** 2 < 80) * 1000 - 1000
SCAN = gzip.compress(nibabel.Nifti1Image(BALL.astype(np.int16), np.diag([5.0, 5.0, 5.0, 1.0])).to_bytes())


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label == "PUT /v1/sessions/{id}/scan" and case.meta and case.meta.generation.mode == GenerationMode.POSITIVE:
        case.body = SCAN
