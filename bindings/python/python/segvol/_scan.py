"""Scans as Python has them: paths, arrays, images of nibabel and SimpleITK."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from segvol._errors import InputError, UsageError

# What is read where it lies. Others are converted to the first that holds all their values.
_READ = (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)
_HOLDS = {
    np.dtype(np.bool_): np.uint8,
    np.dtype(np.int8): np.int16,
    np.dtype(np.float16): np.float32,
    np.dtype(np.uint32): np.float64,
    np.dtype(np.int64): np.float64,
    np.dtype(np.uint64): np.float64,
    np.dtype(np.longdouble): np.float64,
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Array:
    """Voxels in Hounsfield units, where they are, and the order of the array's axes. `origin` is the file that they come from, if the
    image knows it.
    """

    voxels: np.ndarray
    affine: np.ndarray
    axes: str
    origin: "str | None" = None


def taken(scan: Any, affine: Any, spacing: Any, axes: "str | None") -> "Array | str":
    """The scan as an array, or as the path that it is."""
    given = {"affine": affine is not None, "spacing": spacing is not None, "axes": axes is not None}
    told = next((name for name, is_given in given.items() if is_given), None)
    if isinstance(scan, (str, os.PathLike)):
        _nothing_else(told, "a path")
        return os.fspath(scan)
    module = type(scan).__module__.partition(".")[0]
    if module == "SimpleITK":
        _nothing_else(told, "an image of SimpleITK")
        return _of_simpleitk(scan)
    if hasattr(scan, "dataobj") and hasattr(scan, "affine"):
        _nothing_else(told, "an image of nibabel")
        origin = scan.get_filename() if hasattr(scan, "get_filename") else None
        return Array(prepared(np.asanyarray(scan.dataobj), squeeze=True), _matrix(scan.affine), "ijk", origin)
    if isinstance(scan, tuple):
        if len(scan) != 2:
            raise UsageError(f"scan: expected (array, affine), found a tuple of {len(scan)}")
        _nothing_else(told if told != "axes" else None, "(array, affine)")
        scan, affine = scan
        axes = axes or "ijk"
    if not hasattr(scan, "__array__"):
        raise UsageError(
            "scan: expected a path, (array, affine), an array with affine= or spacing=, or an image of nibabel or SimpleITK; "
            f"found {type(scan).__name__}"
        )
    if (affine is None) == (spacing is None):
        raise UsageError(
            "scan: an array says nothing about the patient. Give affine= (4 x 4, from voxels [i, j, k] to RAS+ millimetres) or "
            'spacing= (mm along i, j, k; the axes are then taken as R, A, S), and axes="ijk" for an array [i, j, k] as of nibabel, or '
            'axes="kji" for one [k, j, i] as of SimpleITK'
        )
    if axes not in ("ijk", "kji"):
        raise UsageError(
            'axes: expected "ijk" for an array [i, j, k] as of nibabel, or "kji" for one [k, j, i] as of SimpleITK; '
            f"found {axes!r}, and the array does not say it"
        )
    return Array(prepared(np.asanyarray(scan)), _matrix(affine) if spacing is None else _spacing(spacing), axes)


def voxels(scan: Any, affine: Any, spacing: Any, axes: "str | None") -> "np.ndarray | None":
    """The voxels of a scan, unless it is a path."""
    found = taken(scan, affine, spacing, axes)
    return found.voxels if isinstance(found, Array) else None


def prepared(array: np.ndarray, squeeze: bool = False) -> np.ndarray:
    """The array with a type that is read where it lies. It is the same array if it has one."""
    if isinstance(array, np.ma.MaskedArray):
        raise InputError("scan: expected an array without masked values; fill them first")
    if squeeze:
        while array.ndim > 3 and array.shape[-1] == 1:
            array = array[..., 0]
    if array.ndim != 3:
        raise InputError(f"scan: expected three axes, found {array.ndim}: shape {array.shape}")
    if array.size == 0:
        raise InputError(f"scan: expected voxels, found none: shape {array.shape}")
    kind = array.dtype.newbyteorder("=")
    if kind not in _READ and kind not in _HOLDS:
        raise InputError(f"scan: expected numbers, found an array of {array.dtype}")
    wanted = np.dtype(_HOLDS.get(kind, kind))
    is_readable = array.dtype == wanted and array.flags.aligned and all(step % wanted.itemsize == 0 for step in array.strides)
    # A stride of 0 repeats a voxel, as numpy.broadcast_to makes it.
    repeats = any(step == 0 and count > 1 for step, count in zip(array.strides, array.shape, strict=True))
    return np.asarray(array) if is_readable and not repeats else np.array(array, dtype=wanted, order="K", subok=False)


def _nothing_else(told: "str | None", what: str) -> None:
    if told is not None:
        raise UsageError(f"{told}: {what} says this itself")


def _matrix(affine: Any) -> np.ndarray:
    if affine is None:
        raise InputError("affine: expected a 4 x 4 matrix, found None")
    try:
        matrix = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"affine: expected numbers: {error}") from None
    if matrix.shape not in ((4, 4), (3, 4)):
        raise UsageError(f"affine: expected a 4 x 4 matrix, found shape {matrix.shape}")
    if matrix.shape == (4, 4) and not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise UsageError(f"affine: expected the last row 0, 0, 0, 1, found {matrix[3].tolist()}")
    return matrix[:3]


def _spacing(spacing: Any) -> np.ndarray:
    try:
        steps = np.asarray(spacing, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"spacing: expected three numbers: {error}") from None
    if steps.shape != (3,) or not np.all(np.isfinite(steps) & (steps > 0)):
        raise UsageError(f"spacing: expected three positive numbers, in millimetres, found {spacing!r}")
    return np.hstack([np.diag(steps), np.zeros((3, 1))])


def _of_simpleitk(image: Any) -> Array:
    import SimpleITK

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"scan: expected an image of three axes with one number per voxel, found {image.GetDimension()} axes and "
            f"{image.GetNumberOfComponentsPerPixel()} numbers"
        )
    direction = np.array(image.GetDirection()).reshape(3, 3)
    columns = _LPS_TO_RAS @ direction * np.array(image.GetSpacing())
    affine = np.hstack([columns, (_LPS_TO_RAS @ np.array(image.GetOrigin()))[:, None]])
    return Array(prepared(SimpleITK.GetArrayViewFromImage(image)), affine, "kji")
