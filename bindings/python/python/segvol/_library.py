"""Finds ONNX Runtime's library, of which the packages `onnxruntime`, `onnxruntime-gpu` and `onnxruntime-openvino` have one each."""

import os
import re
from importlib import metadata
from pathlib import Path

from segvol._errors import ProviderError

PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")
VARIABLE = "ORT_DYLIB_PATH"
_LIBRARY = re.compile(r"(libonnxruntime\.so(\.\d+)*|libonnxruntime(\.\d+)*\.dylib|onnxruntime\.dll)")
_INSTALL = "pip install 'segvol[cpu]' (or segvol[openvino], segvol[gpu])"


def library(path: "str | os.PathLike[str] | None" = None) -> "Path | None":
    """The library that is used: `path`, else what the variable ORT_DYLIB_PATH names, else that of the one installed package that has
    one, else a file beside this module. None: where the command looks, which `segvol setup` fills.

    Raises ProviderError if several packages are installed: they write into the same folder, so that none of them is whole.
    """
    if path is not None:
        return Path(path)
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    installed = {name: found for name in PACKAGES if (found := _of(name)) is not None}
    if len(installed) > 1:
        names = ", ".join(installed)
        raise ProviderError(
            f"several packages with ONNX Runtime are installed, and write into the same folder: {names}. "
            f"Remove all of them (pip uninstall {' '.join(installed)}), then install one"
        )
    for files in installed.values():
        if len(files) > 1:
            names = ", ".join(str(file) for file in files)
            raise ProviderError(f"several libraries of ONNX Runtime: {names}. Install the package again, alone")
        if files:
            return files[0]
    beside = sorted(file for file in Path(__file__).parent.iterdir() if _LIBRARY.fullmatch(file.name))
    return beside[0] if beside else None


def hint(error: BaseException) -> None:
    """Says how to install ONNX Runtime, if none was found."""
    if isinstance(error, ProviderError) and not any(_of(name) for name in PACKAGES) and not os.environ.get(VARIABLE):
        error.add_note(f"ONNX Runtime comes with {_INSTALL}")


def _of(package: str) -> "list[Path] | None":
    """The libraries of an installed package; None if it is not installed."""
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    listed = [file for file in distribution.files or [] if _LIBRARY.fullmatch(file.name)]
    found = [Path(str(distribution.locate_file(file))) for file in listed]
    # Another package may have left its library in the same folder.
    folders = {file.parent for file in found}
    lying = {file for folder in folders if folder.is_dir() for file in folder.iterdir() if _LIBRARY.fullmatch(file.name)}
    return sorted({file for file in lying if not file.is_symlink()})
