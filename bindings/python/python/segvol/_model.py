"""Models, studies and segmentations."""

import json
import os
import warnings as python_warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from segvol import _library, _prompts, _scan, _segvol
from segvol._errors import ProviderError, SegvolWarning, UsageError


class Model:
    """An open bundle, as `segvol.convert` makes it. Threads may share it.

    `provider`: "auto", "cpu", "openvino", "cuda", "tensorrt", … `precision`: "fp32", "fp16" or "int8", one of the bundle's. `threads`:
    per graph; by default the cores that this process may use. `library`: ONNX Runtime's library; `segvol.library` says where it is
    looked for. `provider_options`: `["cuda.device=1"]`, as `--provider-option`. `bench_results`: the folder with what
    `segvol bench --save` stored, by which "auto" chooses; by default the user's, False for none.

    Raises BundleError, ProviderError, UsageError, OutOfMemoryError.
    """

    def __init__(
        self,
        bundle: "str | os.PathLike[str]",
        *,
        provider: str = "auto",
        precision: "str | None" = None,
        threads: "int | None" = None,
        library: "str | os.PathLike[str] | None" = None,
        provider_options: Iterable[str] = (),
        bench_results: "str | os.PathLike[str] | bool | None" = None,
    ) -> None:
        found = _library.library(library)
        folder = None if bench_results in (None, True, False) else os.fspath(bench_results)  # type: ignore[arg-type]
        if folder is not None and not os.path.isdir(folder):
            raise UsageError(f"bench_results: there is no folder `{folder}`")
        if threads is not None and threads < 1:
            raise UsageError(f"threads: expected at least 1, found {threads}")
        arguments = {
            "provider": provider,
            "precision": precision,
            "threads": threads,
            "library": None if found is None else os.fspath(found),
            "provider_options": list(provider_options),
            "bench_results": folder,
            "use_bench_results": bench_results is not False,
        }
        try:
            self._model = _segvol.Model(os.fspath(bundle), arguments)
        except ProviderError as error:
            _library.hint(error)
            raise
        self.bundle = os.fspath(bundle)
        _warn(self.warnings)

    @property
    def provider(self) -> str:
        """The provider that runs the graphs."""
        return self._model.provider

    @property
    def precision(self) -> str:
        """The precision of the graphs."""
        return self._model.precision

    @property
    def manifest_sha256(self) -> str:
        """The SHA-256 of the bundle's manifest, which has the hashes of all its files."""
        return self._model.manifest_sha256

    @property
    def warnings(self) -> "list[SegvolWarning]":
        """Warnings about how the bundle was opened."""
        return _warnings(self._model.warnings)

    def study(
        self,
        scan: Any,
        *,
        affine: Any = None,
        spacing: "Sequence[float] | None" = None,
        axes: "str | None" = None,
        series: "str | None" = None,
        fill_gaps: bool = False,
        affine_form: "str | None" = None,
        orientation: "str | None" = None,
        profile: str = "default",
        zoom_in: bool = True,
        effort: str = "balanced",
        overlap: "float | None" = None,
        independent: bool = False,
        straighten: bool = False,
        threshold: "float | None" = None,
        cache_mib: "int | None" = None,
        embeddings: "str | os.PathLike[str] | None" = None,
    ) -> "Study":
        """Prepares a scan, in Hounsfield units.

        | `scan` | axes of its masks |
        |---|---|
        | a path: NIfTI, NRRD, MetaImage, a DICOM folder or zip | `[i, j, k]`, the file's axes, as nibabel has them |
        | an image of nibabel | `[i, j, k]` |
        | an image of SimpleITK | `[k, j, i]`, as `SimpleITK.GetArrayFromImage` |
        | `(array, affine)` | `[i, j, k]`, or as `axes` says |
        | an array with `axes=`, and `affine=` or `spacing=` | as `axes` says |

        `affine` is 4 x 4, from voxels `[i, j, k]` to RAS+ millimetres. `spacing`: millimetres along i, j, k; the axes are then taken as
        right, front and head. `axes`: "ijk" or "kji". Arrays of any layout are read where they lie if they are of uint8, int16, uint16,
        int32, float32 or float64; other numbers are converted first.

        `series`, `fill_gaps`, `affine_form` ("sform" or "qform") are for files; the others are the options of `segvol segment` with the
        same names. Raises InputError, UsageError, OutOfMemoryError.
        """
        arguments = {
            "orientation": orientation,
            "profile": profile,
            "zoom_in": zoom_in,
            "effort": effort,
            "overlap": overlap,
            "independent": independent,
            "straighten": straighten,
            "threshold": threshold,
            "cache_mib": cache_mib,
            "embeddings": None if embeddings is None else os.fspath(embeddings),
        }
        found = _scan.taken(scan, affine, spacing, axes)
        if isinstance(found, _scan.Array):
            of_files = {"series": series, "affine_form": affine_form, "fill_gaps": fill_gaps or None}
            for name, value in of_files.items():
                if value is not None:
                    raise UsageError(f"{name}: only for files")
            study = self._model.study_of_array(found.voxels, found.affine.tolist(), found.axes, found.origin, arguments)
        else:
            study = self._model.study_of_path(found, series, fill_gaps, affine_form, arguments)
        made = Study(study, lambda: _scan.voxels(scan, affine, spacing, axes))
        _warn(made.warnings)
        return made


class Study:
    """A scan that is ready to be segmented. It keeps the embeddings of its windows, so that a second question is answered faster.
    Threads may share it.
    """

    def __init__(self, study: "_segvol.Study", voxels: "Callable[[], np.ndarray | None]") -> None:
        self._study = study
        # A picture takes the scan from where it was: a copy would be as large as the scan.
        self._voxels = voxels

    @property
    def shape(self) -> "tuple[int, int, int]":
        """Voxels along i, j, k, the file's axes."""
        i, j, k = self._study.shape
        return i, j, k

    @property
    def affine(self) -> np.ndarray:
        """The matrix from voxels [i, j, k] to RAS+ millimetres, 4 x 4."""
        return np.vstack([np.array(self._study.affine), [0.0, 0.0, 0.0, 1.0]])

    @property
    def axes(self) -> str:
        """The order of the axes of masks and other arrays: "ijk" or "kji"."""
        return self._study.axes

    @property
    def warnings(self) -> "list[SegvolWarning]":
        """Warnings about the scan."""
        return _warnings(self._study.warnings)

    @overload
    def segment(
        self,
        objects: "Mapping[str, Any] | None" = None,
        *,
        text: "str | None" = None,
        points: Any = None,
        box: Any = None,
        name: "str | None" = None,
        space: "str | None" = None,
        progress: "bool | Callable[[int, int], object] | None" = None,
    ) -> "Segmentation": ...

    @overload
    def segment(
        self,
        objects: "Sequence[Mapping[str, Any]]",
        *,
        progress: "bool | Callable[[int, int], object] | None" = None,
    ) -> "list[Segmentation]": ...

    def segment(
        self,
        objects: Any = None,
        *,
        text: "str | None" = None,
        points: Any = None,
        box: Any = None,
        name: "str | None" = None,
        space: "str | None" = None,
        progress: "bool | Callable[[int, int], object] | None" = None,
    ) -> "Segmentation | list[Segmentation]":
        """Segments one object, or several in one call, which share their windows.

        One object: `text="liver"`, `points=[(211, 160, 47), (190, 150, 47, 0)]` (0: outside the object) and
        `box=(300, 220, 30, 380, 300, 60)` (both corners inside), in any combination; or one dict with these keys. Several: a list of
        dicts, and the result is a list in the same order. A dict may have `name`, `space` and `postprocess`, as in a prompts file.

        Points and boxes are voxels (i, j, k) of the file whatever the axes of the array, unless `space` is "ras" or "lps" (mm) or "window".
        `progress`: True for a bar (needs tqdm), or a function that is called with the windows that are done and their total; an
        exception in it stops the call, and so does Ctrl-C. Raises InputError, UsageError, OutOfMemoryError, RunError.
        """
        single = {"name": name, "text": text, "points": points, "box": box, "space": space}
        prompts, is_one = _prompts.as_json(objects, single)
        with _Bar(progress) as follow:
            found = [Segmentation(one, self._voxels) for one in self._study.segment(prompts, follow)]
        for one in found:
            _warn(one.warnings)
        return found[0] if is_one else found

    def label_map(self, segmentations: "Sequence[Segmentation]") -> np.ndarray:
        """The label map of all objects of one call, uint16: 0 is background, 1 the first object. Where objects overlap, the higher logit
        wins.
        """
        return self._study.label_map(_call("label_map", segmentations))

    def save(
        self,
        segmentations: "Sequence[Segmentation]",
        path: "str | os.PathLike[str]",
        *,
        seg: "str | None" = None,
        uid_root: "str | None" = None,
        fill_missing: bool = False,
        anonymous: bool = False,
    ) -> None:
        """Writes all objects of one call to one file, which is whole or is not there.

        | name | contents |
        |---|---|
        | `.nii`, `.nii.gz`, `.nrrd`, `.mha` | a label map, as `label_map` |
        | `.seg.nrrd` | a segmentation of 3D Slicer, with names and colours |
        | `.dcm` | a DICOM SEG; the scan must come from DICOM |

        For DICOM: `seg` is "binary" (one bit a voxel for each object) or "labelmap"; `uid_root`, `fill_missing` and `anonymous` are the
        options of `segvol segment`. Raises InputError, UsageError, RunError.
        """
        of_call = _call("save", segmentations)
        _warn(_warnings(self._study.save(of_call, os.fspath(path), _dicom(seg, uid_root, fill_missing, anonymous))))

    def save_rtstruct(
        self,
        segmentations: "Sequence[Segmentation]",
        path: "str | os.PathLike[str]",
        *,
        uid_root: "str | None" = None,
        fill_missing: bool = False,
        anonymous: bool = False,
    ) -> None:
        """Writes all objects of one call as a DICOM RT Structure Set, `.dcm`; the scan must come from DICOM. The options are those of
        `save`.
        """
        of_call = _call("save_rtstruct", segmentations)
        dicom = {**_dicom(None, uid_root, fill_missing, anonymous), "rtstruct": True}
        _warn(_warnings(self._study.save(of_call, os.fspath(path), dicom)))

    def picture(
        self, segmentations: "Sequence[Segmentation]", *, axis: str = "axial", window: "tuple[float, float]" = (40.0, 400.0)
    ) -> bytes:
        """Slices of the scan with the contours and prompts of all objects of one call, PNG: `IPython.display.Image` shows it.

        The patient's right is on the left. `axis`: "axial", "coronal" or "sagittal". `window`: level and width of the CT window in HU.
        The scan is taken from its file or array again, which must still be what they were. Raises InputError, UsageError, OutOfMemoryError.
        """
        return self._study.picture(_call("picture", segmentations), axis, window, self._voxels())

    def forget_windows(self) -> None:
        """Forgets the windows of earlier calls, so that the next one gets those of a new study. Embeddings are kept."""
        self._study.forget_windows()


class Segmentation:
    """What was found of one object."""

    def __init__(self, segmentation: "_segvol.Segmentation", voxels: "Callable[[], np.ndarray | None]") -> None:
        self._segmentation = segmentation
        self._voxels = voxels

    def __repr__(self) -> str:
        return f"<segvol.Segmentation {self.name!r}: {self.volume_ml:.4g} mL>"

    @property
    def name(self) -> str:
        """The object's name."""
        return self._segmentation.name

    @property
    def label(self) -> int:
        """Its value in the label map of its call, from 1."""
        return self._segmentation.label

    @property
    def mask(self) -> np.ndarray:
        """The object's own mask, which may overlap others: bool, with the axes of the scan's array, after the postprocessing that
        was asked for. Made anew each time.
        """
        return self._segmentation.mask().view(np.bool_)

    @property
    def logits(self) -> np.ndarray:
        """The logits, float32, with the axes of the scan's array; NaN outside the body's box. Made anew each time."""
        return self._segmentation.logits()

    @property
    def probabilities(self) -> np.ndarray:
        """The probabilities, float32, with the axes of the scan's array; 0 outside the body's box. Made anew each time."""
        return self._segmentation.probabilities()

    @property
    def volume_ml(self) -> float:
        """The volume of the mask in millilitres."""
        return self._segmentation.volume_ml

    @property
    def report(self) -> "dict[str, Any]":
        """The report of the call: docs/report.md describes it."""
        report: dict[str, Any] = json.loads(self._segmentation.report())
        return report

    @property
    def warnings(self) -> "list[SegvolWarning]":
        """Warnings about this object."""
        return _warnings(self._segmentation.warnings)

    def save(
        self,
        path: "str | os.PathLike[str]",
        *,
        seg: "str | None" = None,
        uid_root: "str | None" = None,
        fill_missing: bool = False,
        anonymous: bool = False,
    ) -> None:
        """Writes the object's own mask, on the scan's grid: `.nii`, `.nii.gz`, `.nrrd` or `.mha` (uint8), `.seg.nrrd` or `.dcm`, as
        `Study.save`, which writes several objects. The file is whole, or is not there.
        """
        _warn(_warnings(self._segmentation.save(os.fspath(path), _dicom(seg, uid_root, fill_missing, anonymous))))

    def picture(self, *, axis: str = "axial", window: "tuple[float, float]" = (40.0, 400.0)) -> bytes:
        """Slices of the scan with the object's contour and prompts, PNG, as `Study.picture`."""
        return self._segmentation.picture(axis, window, self._voxels())

    def _repr_png_(self) -> bytes:
        return self.picture()

    def _is_call(self, segmentations: "Sequence[Segmentation]") -> bool:
        return self._segmentation.is_call([one._segmentation for one in segmentations])


def _call(what: str, segmentations: "Sequence[Segmentation]") -> "_segvol.Segmentation":
    """The first of the objects of one call, if these are all of them."""
    found = [segmentations] if isinstance(segmentations, Segmentation) else list(segmentations)
    if not found or not found[0]._is_call(found):
        raise UsageError(f"{what}: expected all segmentations of one call to `segment`, in their order")
    return found[0]._segmentation


def _dicom(seg: "str | None", uid_root: "str | None", fill_missing: bool, anonymous: bool) -> "dict[str, Any]":
    return {"rtstruct": False, "seg": seg, "uid_root": uid_root, "fill_missing": fill_missing, "anonymous": anonymous}


class _Bar:
    """A function that follows the work, or None."""

    def __init__(self, progress: "bool | Callable[[int, int], object] | None", unit: str = "window") -> None:
        self._progress = progress
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> "Callable[[int, int], object] | None":
        if self._progress is True:
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
            except ImportError:
                raise UsageError("progress: True needs tqdm (pip install tqdm); a function needs nothing") from None
            self._bar = tqdm(unit=self._unit)
            return self._follow
        if self._progress in (False, None):
            return None
        if not callable(self._progress):
            raise UsageError(f"progress: expected True or a function, found {type(self._progress).__name__}")
        return self._progress

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _follow(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)


def _warnings(found: "Iterable[tuple[str, str]]") -> "list[SegvolWarning]":
    return [SegvolWarning(message, code) for code, message in found]


def _warn(found: "Iterable[SegvolWarning]") -> None:
    for warning in found:
        python_warnings.warn(warning, stacklevel=3)
