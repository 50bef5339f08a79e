"""The command `segvol`, which the package brings along, and functions that run it."""

import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segvol import _errors, _library

_OF_EXIT_CODE: "dict[int, type[_errors.SegvolError]]" = {
    2: _errors.UsageError,
    3: _errors.ComparisonError,
    4: _errors.ProviderError,
    5: _errors.InputError,
    6: _errors.BundleError,
}


def executable() -> Path:
    """The program."""
    return Path(__file__).parent / "bin" / ("segvol.exe" if os.name == "nt" else "segvol")


def _environment() -> "dict[str, str]":
    """The environment in which the program finds the ONNX Runtime that Python has."""
    found = _library.library()
    return dict(os.environ) if found is None else {**os.environ, _library.VARIABLE: str(found)}


def main() -> None:
    """Takes the place of this process, as the command `segvol`."""
    arguments = sys.argv[1:]
    try:
        environment = _environment()
    except _errors.ProviderError as error:
        sys.exit(f"error: {error}")
    program = str(executable())
    if os.name == "nt":
        sys.exit(subprocess.call([program, *arguments], env=environment))
    os.execve(program, [program, *arguments], environment)


def command(*arguments: "str | os.PathLike[str]") -> str:
    """Runs `segvol ARGUMENTS…`, as in a shell, and returns what it prints on standard output.

    Its warnings become warnings of Python, and its errors exceptions of this package, with the same messages. Ctrl-C stops it.
    """
    return _run([os.fspath(argument) for argument in arguments], 3)


def _run(words: "list[str]", stacklevel: int) -> str:
    """Runs the command with these words. The warnings are those of the line that many calls above."""
    process = subprocess.Popen(
        [executable(), "--log-format", "json", *words],
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    printed, said = process.stdout, process.stderr
    assert printed is not None and said is not None
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.append(printed.read()), daemon=True)
    reader.start()
    errors: list[str] = []
    found: list[_errors.SegvolWarning] = []
    try:
        for line in said:
            _said(line.rstrip("\n"), errors, found)
        code = process.wait()
    except BaseException:
        # A terminal has sent Ctrl-C to the program too; a notebook has not.
        process.terminate()
        process.wait()
        raise
    finally:
        reader.join()
        printed.close()
        said.close()
    for warning in found:
        warnings.warn(warning, stacklevel=stacklevel)
    if code != 0:
        message = "\n".join(errors) or f"segvol has ended with exit code {code}"
        raise _OF_EXIT_CODE.get(code, _errors.RunError)(message)
    return "".join(output)


def _said(line: str, errors: "list[str]", found: "list[_errors.SegvolWarning]") -> None:
    """Notes what a line on standard error says."""
    try:
        entry = json.loads(line)
        fields, level = entry["fields"], entry["level"]
        message = str(fields["message"])
        if "scan" in fields:
            message = f"scan {json.dumps(fields['scan'], ensure_ascii=False)}: {message}"
    except (ValueError, TypeError, KeyError):
        errors.append(line)
        return
    if level == "ERROR":
        errors.append(f"{message}\n{fields['hint']}" if "hint" in fields else message)
    elif level == "WARN":
        found.append(_errors.SegvolWarning(message, str(fields.get("code", ""))))


def _options(options: "dict[str, Any]") -> "list[str]":
    """Keywords as options: `fail_on_warning=True` is `--fail-on-warning`, and a list repeats its option."""
    words = []
    for name, value in options.items():
        option = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, (str, os.PathLike)) or not isinstance(value, Iterable):
            words.append(f"{option}={os.fspath(value) if isinstance(value, os.PathLike) else value}")
        else:
            words.extend(f"{option}={os.fspath(one) if isinstance(one, os.PathLike) else one}" for one in value)
    return words


def _called(*arguments: "str | os.PathLike[str]") -> str:
    """As `command`, for the functions below, whose callers the warnings are for."""
    return _run([os.fspath(argument) for argument in arguments], 4)


def convert(
    checkpoint: "str | os.PathLike[str]",
    output: "str | os.PathLike[str]",
    *,
    precision: "str | Iterable[str]" = "fp32",
    **options: Any,
) -> Path:
    """Converts a checkpoint to a bundle, as `segvol convert`, and returns its folder.

    `precision`: "fp32", "fp16", "int8", or several of them. `options` are those of the command: `names=`, `calibrate=`, `force=True`.
    """
    precisions = precision if isinstance(precision, str) else ",".join(precision)
    _called("convert", checkpoint, "--output", output, "--precision", precisions, *_options(options))
    return Path(output)


def inspect(path: "str | os.PathLike[str]", **options: Any) -> str:
    """What a checkpoint, a bundle, a scan or a folder of DICOM holds, as `segvol inspect` prints it."""
    return _called("inspect", *_options(options), path)


def names(bundle: "str | os.PathLike[str]", *search: str) -> Any:
    """The names that a model was trained with, or those that contain these words."""
    return json.loads(_called("names", "--json", bundle, *search))


def verify(bundle: "str | os.PathLike[str]", **options: Any) -> Any:
    """Compares the numbers of a bundle on a provider with a reference, as `segvol verify`. ComparisonError: they are not equal."""
    return json.loads(_called("verify", "--json", "--model", bundle, *_options(options)))


def bench(bundle: "str | os.PathLike[str]", **options: Any) -> Any:
    """Measures the stages of a bundle, as `segvol bench`, with every sample."""
    return json.loads(_called("bench", "--format", "json", "--model", bundle, *_options(options)))


def evaluate(bundle: "str | os.PathLike[str]", **options: Any) -> Any:
    """Compares masks with known ones, as `segvol eval`: settings, means, rows and failures. `data=`: a folder of scans and masks."""
    return json.loads(_called("eval", "--format", "json", "--output=-", "--quiet", "--model", bundle, *_options(options)))


def embed(
    bundle: "str | os.PathLike[str]",
    scan: "str | os.PathLike[str]",
    output: "str | os.PathLike[str]",
    **options: Any,
) -> Path:
    """Writes the image encoder's output for a scan, as `segvol embed`, and returns the file."""
    _called("embed", "--model", bundle, "--input", scan, "--output", output, "--quiet", *_options(options))
    return Path(output)


def cohort(
    bundle: "str | os.PathLike[str]",
    images: "str | os.PathLike[str]",
    out: "str | os.PathLike[str]",
    *,
    text: "str | Iterable[str] | None" = None,
    **options: Any,
) -> Any:
    """Segments many scans, as `segvol cohort`, and returns the summary of the output folder. `resume=True` goes on."""
    names = [text] if isinstance(text, str) else text
    _called("cohort", "--model", bundle, "--images", images, "--out", out, "--quiet", *_options({"text": names, **options}))
    return json.loads(_called("cohort", "summary", out, "--json"))
