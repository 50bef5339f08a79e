"""Arrays of any type and layout are read right, or refused."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import nibabel as nib
import numpy as np
import pytest

import segvol
from segvol._scan import prepared

READ = ["u1", "i2", "u2", "i4", "f4", "f8"]
OTHERS = ["i1", "f2", "u4", "i8", "u8", "?", "g"]


@pytest.mark.parametrize("kind", READ)
def test_arrays_are_read_where_they_lie(kind: str) -> None:
    whole = np.zeros((9, 8, 14), dtype=kind)
    for array in [whole, np.asfortranarray(whole), whole[::-1, :, ::2], whole.transpose(1, 2, 0), whole[1:, 2:-1]]:
        assert prepared(array) is array or np.shares_memory(prepared(array), array)
        array.flags.writeable = False
        assert np.shares_memory(prepared(array), array)


@pytest.mark.parametrize("kind", [">i2", ">f4", *OTHERS])
def test_other_numbers_are_converted_without_loss(kind: str) -> None:
    array = np.arange(60).reshape(3, 4, 5).astype(kind)
    found = prepared(array)
    assert found.dtype.isnative and found.dtype.str[1:] in READ
    assert np.array_equal(found, array.astype(np.float64))


LAYOUTS: "dict[str, Any]" = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "other order": lambda a: np.ascontiguousarray(a.transpose(1, 2, 0)).transpose(2, 0, 1),
    "backwards": lambda a: np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "one axis backwards": lambda a: np.asfortranarray(a[:, ::-1])[:, ::-1],
    "gaps": lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=2)[::2, :, ::3],
    "part of a larger one": lambda a: np.pad(a, 3)[3:-3, 3:-3, 3:-3],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), dtype=a.dtype, offset=1).reshape(a.shape),
    "field of records": lambda a: np.rec.fromarrays([a, np.zeros(a.shape, "u1")], names="hu,other")["hu"],
    "read-only": lambda a: np.frombuffer(a.tobytes(), dtype=a.dtype).reshape(a.shape),
    "matrix of a subclass": lambda a: a.view(type("Mine", (np.ndarray,), {})),
}


@hypothesis.given(
    # Types that have negative numbers.
    kind=st.sampled_from(["i2", "i4", "f4", "f8", "f2", "i8", "g", ">i2", ">i4", ">f4", ">f8"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    reverse=st.booleans(),
)
@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_a_mask_does_not_depend_on_type_and_layout(
    kind: str, layout: str, reverse: bool, model: segvol.Model, voxels: np.ndarray, affine: np.ndarray, liver: np.ndarray
) -> None:
    # float16 has every whole number up to 2048 only.
    given = voxels.clip(-1024, 2048)
    hypothesis.assume((given == voxels).all())
    array = LAYOUTS[layout](given.astype(kind))
    if reverse:
        found = model.study(array.transpose(2, 1, 0), affine=affine, axes="kji").segment(text="liver").mask.transpose(2, 1, 0)
    else:
        found = model.study((array, affine)).segment(text="liver").mask
    assert np.array_equal(found, liver)


@pytest.mark.parametrize(
    ("scan", "options", "message"),
    [
        (np.zeros((4, 4)), {"affine": np.eye(4), "axes": "ijk"}, "three axes, found 2"),
        (np.zeros((4, 4, 4, 2)), {"affine": np.eye(4), "axes": "ijk"}, "three axes, found 4"),
        (np.zeros((4, 0, 4)), {"affine": np.eye(4), "axes": "ijk"}, "voxels, found none"),
        (np.zeros((4, 4, 4), dtype=complex), {"affine": np.eye(4), "axes": "ijk"}, "numbers, found an array of complex128"),
        (np.full((4, 4, 4), "a"), {"affine": np.eye(4), "axes": "ijk"}, "numbers, found"),
        (np.full((4, 4, 4), None), {"affine": np.eye(4), "axes": "ijk"}, "numbers, found an array of object"),
        (np.ma.masked_array(np.zeros((4, 4, 4)), mask=True), {"affine": np.eye(4), "axes": "ijk"}, "masked"),
        (np.zeros((4, 4, 4)), {}, "says nothing about the patient"),
        (np.zeros((4, 4, 4)), {"affine": np.eye(4), "spacing": (1, 1, 1)}, "says nothing about the patient"),
        (np.zeros((4, 4, 4)), {"affine": np.eye(4)}, 'expected "ijk".* or "kji".* found None'),
        (np.zeros((4, 4, 4)), {"spacing": (1, 1, 1)}, 'expected "ijk".* or "kji".* found None'),
        (np.zeros((4, 4, 4)), {"spacing": (1, 0, 1), "axes": "ijk"}, "three positive numbers"),
        (np.zeros((4, 4, 4)), {"affine": np.eye(4), "axes": "xyz"}, "'xyz'"),
        (np.zeros((4, 4, 4)), {"affine": np.eye(3), "axes": "ijk"}, "4 x 4"),
        (np.zeros((4, 4, 4)), {"affine": np.ones((4, 4)), "axes": "ijk"}, "last row"),
        (np.zeros((4, 4, 4)), {"affine": "abc", "axes": "ijk"}, "numbers"),
        (np.zeros((4, 4, 4)), {"affine": np.zeros((3, 4)), "axes": "ijk"}, "affine"),
        ((np.zeros((4, 4, 4)), np.eye(4), 3), {}, "tuple of 3"),
        ("ct.nii.gz", {"affine": np.eye(4)}, "a path says this itself"),
        (17, {}, "found int"),
        (nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), {}, "three axes, found 4"),
        (np.zeros((4, 4, 4)), {"affine": np.eye(4), "axes": "ijk", "series": "3"}, "only for files"),
        (np.full((40, 40, 40), np.nan), {"affine": np.eye(4), "axes": "kji"}, "NaN"),
        (np.broadcast_to(np.float32(0), (1 << 20, 1 << 20, 1 << 20)), {"affine": np.eye(4), "axes": "ijk"}, None),
    ],
)
def test_what_is_no_scan_is_refused(model: segvol.Model, scan: Any, options: "dict[str, Any]", message: "str | None") -> None:
    with pytest.raises((segvol.SegvolError, MemoryError), match=message):
        model.study(scan, **options)
