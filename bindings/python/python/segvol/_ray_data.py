"""Segments the rows of a dataset of Ray Data."""

import importlib
import json
import os
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from segvol import _errors, _ray_worker
from segvol._model import Model
from segvol._segvol import VERSION

_KINDS = {
    _errors.UsageError: "usage",
    _errors.InputError: "input",
    _errors.BundleError: "bundle",
    _errors.ProviderError: "provider",
    _errors.OutOfMemoryError: "memory",
}
_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".zip", ".dcm")
_COLUMNS = ("id", "path", "status", "kind", "error", "objects", "warnings", "seconds")


class Segmenter:
    """Segments scans for Ray Data. Each actor opens the model once.

        rows = ray.data.from_items([{"path": "/scans/a.nii.gz"}, {"path": "/scans/b.nii.gz", "id": "b", "text": "spleen"}])
        rows = rows.map_batches(
            segvol.ray.Segmenter,
            fn_constructor_kwargs={"model": "/models/bundle", "out": "/masks", "text": ["liver"]},
            batch_size=1, num_cpus=2, compute=ray.data.ActorPoolStrategy(size=4),
        )

    A row has the `path` of a scan, and may have `id` (else the name of the file or folder), `text` (a name) or `prompts` (JSON as in a
    prompts file: an object or a list), which take the place of the constructor's `text` and `prompts`. `threads`: by default the cores
    that Ray has assigned. `provider`, `precision`, `library` and `provider_options` are those of `segvol.Model`, and `options` those of
    `Model.study`. All nodes must see all files under the same, absolute paths.

    The masks are `{out}/{id}/{object}.nii.gz`, equal to those of `segvol cohort`; no file of a scan is moved there before all
    are whole. A scan that fails is a row, and no exception. Rows that come out:

    | column | contents |
    |---|---|
    | `id`, `path` | the scan |
    | `status` | "done" or "failed" |
    | `kind`, `error` | why it failed, as in the manifest of a cohort; else empty |
    | `objects` | JSON: name, voxels, volume_ml and file of each object, the file relative to `out` |
    | `warnings` | JSON: code and message of each warning |
    | `seconds` | for the scan |

    A row that Ray runs again, as after the loss of a node, has the same files again. An id that cannot name a folder, or that is already
    in `out` with another path, other objects or settings, is a failed row: its folder has an empty file `.segvol-…` named by their hash.
    """

    def __init__(
        self,
        model: "str | os.PathLike[str]",
        *,
        out: "str | os.PathLike[str]",
        text: "str | Iterable[str] | None" = None,
        prompts: "Mapping[str, Any] | Iterable[Mapping[str, Any]] | None" = None,
        threads: "int | None" = None,
        provider: str = "auto",
        precision: "str | None" = None,
        library: "str | os.PathLike[str] | None" = None,
        provider_options: Iterable[str] = (),
        **options: Any,
    ) -> None:
        if text is not None and prompts is not None:
            raise _errors.UsageError("text: give text or prompts, not both")
        if threads is None:
            threads = _assigned()
        self._model = Model(
            model, provider=provider, precision=precision, threads=threads, library=library, provider_options=provider_options
        )
        self._out = Path(out)
        self._out.mkdir(parents=True, exist_ok=True)
        self._objects = _named(text) if text is not None else _listed(prompts)
        self._options = options

    def __call__(self, batch: "Mapping[str, Any]") -> "dict[str, list[Any]]":
        """A batch of rows to the rows that come out."""
        if "path" not in batch:
            raise _errors.UsageError(f"path: expected this column, found {', '.join(batch) or 'none'}")
        rows = [self._row({name: batch[name][at] for name in batch}) for at in range(len(batch["path"]))]
        return {name: [row[name] for row in rows] for name in _COLUMNS}

    def _row(self, row: "dict[str, Any]") -> "dict[str, Any]":
        start = time.monotonic()
        path = str(row["path"])
        name = _given(row, "id") or _stem(path)
        found: dict[str, Any] = {"id": name, "path": path, "status": "failed", "kind": "", "error": "", "objects": "[]", "warnings": "[]"}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", _errors.SegvolWarning)
                objects, said = self._segment(name, path, self._objects_of(row))
            told = [{"code": warning.code, "message": str(warning)} for warning in said]
            found.update(status="done", objects=json.dumps(objects), warnings=json.dumps(told))
        except (_errors.SegvolError, OSError, MemoryError) as error:
            kind = next(
                (kind for of, kind in _KINDS.items() if isinstance(error, of)), "memory" if isinstance(error, MemoryError) else "runtime"
            )
            found.update(kind=kind, error=str(error))
        return {**found, "seconds": time.monotonic() - start}

    def _objects_of(self, row: "dict[str, Any]") -> "list[Any]":
        text, prompts = _given(row, "text"), _given(row, "prompts")
        if text and prompts:
            raise _errors.UsageError("text: give text or prompts, not both")
        if not prompts:
            return _named(text) if text else self._objects
        try:
            return _listed(json.loads(prompts))
        except ValueError as error:
            raise _errors.InputError(f"prompts: expected JSON: {error}") from None

    def _segment(self, name: str, path: str, objects: "list[Any]") -> "tuple[list[Any], list[_errors.SegvolWarning]]":
        if not objects:
            raise _errors.UsageError("nothing to segment: give text or prompts")
        if not _names_a_folder(name):
            raise _errors.InputError(f"the id {json.dumps(name)} cannot name a folder: give another one")
        model = self._model
        question = [os.path.abspath(path), objects, self._options, VERSION, model.manifest_sha256, model.provider, model.precision]
        mark = self._out / name / f".segvol-{sha256(json.dumps(question, sort_keys=True, default=str).encode()).hexdigest()}"
        _take(mark, name)
        study = model.study(path, **self._options)
        segmentations = study.segment(objects)
        files = [f"{_file_stem(one.name)}.nii.gz" for one in segmentations]
        if len({file.casefold() for file in files}) < len(files):
            raise _errors.InputError(f"two objects would have one file: {', '.join(files)}")
        with tempfile.TemporaryDirectory(prefix=".segvol-", dir=self._out) as beside:
            for one, file in zip(segmentations, files, strict=True):
                one.save(Path(beside) / file)
            for file in files:
                os.replace(Path(beside) / file, mark.parent / file)
        told = [
            {"name": one.name, "voxels": int(np.count_nonzero(one.mask)), "volume_ml": one.volume_ml, "file": f"{name}/{file}"}
            for one, file in zip(segmentations, files, strict=True)
        ]
        return told, [*study.warnings, *(warning for one in segmentations for warning in one.warnings)]


def _take(mark: Path, name: str) -> None:
    """Makes the folder of an id belong to this row. Of two rows with one id that come at the same moment, both are refused: empty files
    need neither locks nor links.
    """
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    if any(other != mark for other in mark.parent.glob(".segvol-*")):
        mark.unlink()
        raise _errors.InputError(
            f"the id {json.dumps(name)} is that of another scan in `{mark.parent.parent}`, or of other objects or settings"
        )


def _assigned() -> "int | None":
    """The cores that Ray has assigned to this actor; None outside of Ray."""
    ray: Any = importlib.import_module("ray")
    return _ray_worker.cores(ray.get_runtime_context()) if ray.is_initialized() else None


def _named(text: "str | Iterable[str]") -> "list[Any]":
    return [{"text": name} for name in ([text] if isinstance(text, str) else text)]


def _listed(prompts: Any) -> "list[Any]":
    return [] if prompts is None else [prompts] if isinstance(prompts, Mapping) else list(prompts)


def _given(row: "dict[str, Any]", name: str) -> str:
    """A field of a row. Rows without it have None or NaN there."""
    value = row.get(name)
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return ""
    if not isinstance(value, (str, int, np.integer)):
        raise _errors.InputError(f"{name}: expected text, found {type(value).__name__}")
    return str(value)


def _stem(path: str) -> str:
    name = Path(path).name
    ending = next((ending for ending in _EXTENSIONS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def _names_a_folder(name: str) -> bool:
    is_plain = not any(unicodedata.category(c) == "Cc" or c in '/\\:*?"<>|' for c in name)
    return is_plain and 0 < len(name.encode(errors="replace")) <= 200 and name[0] not in ".-" and name.strip() == name


def _file_stem(name: str) -> str:
    """The name of an object's file, as `segvol segment` makes it."""
    stem = "".join(c if c.isalnum() or c == "-" else "_" for c in unicodedata.normalize("NFC", name.strip()))
    return "_" + stem[1:] if stem.startswith("-") else stem or "object"
