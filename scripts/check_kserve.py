"""Checks the Open Inference Protocol of `segvol serve` with NVIDIA's client for Triton.

    segvol serve -m bundle &
    python scripts/check_kserve.py --url 127.0.0.1:8787 --scan demo/phantom.nii.gz

Masks must equal those of `segvol segment`, whether tensors travel as bytes or in JSON. Errors must arrive as `InferenceServerException`.

Needs numpy, nibabel and tritonclient[http], the command in SEGVOL, ONNX Runtime's library in ORT_DYLIB_PATH, and the bundle of the
server in BUNDLE. A server with a token needs the same token file for --token. Exit code 1 if anything is wrong.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

OBJECTS = [{"text": "liver"}, {"text": "spleen"}, {"text": "left kidney"}]
PATIENCE_S = 600.0

wrong: list[str] = []


def check(what: str, is_right: bool, more: object = "") -> None:
    """Prints a result, and keeps what is wrong. `more` is printed only then."""
    print(f"{'right' if is_right else 'WRONG':<8}{what}{'' if is_right else f': {more}'}", flush=True)
    if not is_right:
        wrong.append(what)


def document(objects: list[dict]) -> str:
    """A prompts file."""
    return json.dumps({"schema_version": 1, "objects": objects})


def tensor(name: str, values: np.ndarray, datatype: str, binary: bool) -> InferInput:
    """An input."""
    made = InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def inputs(image: np.ndarray, affine: np.ndarray, prompts: str, *, binary: bool = True) -> list[InferInput]:
    """The three inputs. `image` is [K, J, I]."""
    datatype = {"float32": "FP32", "int16": "INT16"}[image.dtype.name]
    return [
        tensor("image", image, datatype, binary),
        tensor("affine", affine, "FP64", binary),
        tensor("prompts", np.array([prompts], dtype=object), "BYTES", binary),
    ]


def of_command(scan: Path, bundle: str, segvol: str) -> tuple[np.ndarray, dict]:
    """The label map, [K, J, I], and the report of `segvol segment`."""
    with tempfile.TemporaryDirectory() as folder:
        prompts, mask, report = (Path(folder) / name for name in ("prompts.json", "mask.nii.gz", "report.json"))
        prompts.write_text(document(OBJECTS))
        command = [segvol, "segment", "-q", "-i", str(scan), "-m", bundle, "--prompts", str(prompts)]
        subprocess.run([*command, "-o", str(mask), "--report", str(report)], check=True)
        labels = np.asanyarray(nib.load(mask).dataobj).transpose(2, 1, 0)
        return np.ascontiguousarray(labels), json.loads(report.read_text())


def described(client: InferenceServerClient, headers: dict[str, str]) -> None:
    """What the server says about itself."""
    check("the server is live", client.is_server_live())
    end = time.monotonic() + PATIENCE_S
    while not client.is_server_ready() and time.monotonic() < end:
        time.sleep(0.1)
    check("the server is ready", client.is_server_ready())
    check("the model is ready", client.is_model_ready("segvol", headers=headers))
    check("its version is ready", client.is_model_ready("segvol", "1", headers=headers))
    check("another model is not", not client.is_model_ready("other", headers=headers))
    check("another version is not", not client.is_model_ready("segvol", "2", headers=headers))
    server = client.get_server_metadata(headers=headers)
    check("the server's metadata", server["name"] == "segvol" and server["extensions"] == ["binary_tensor_data"], server)
    model = client.get_model_metadata("segvol", headers=headers)
    names = [[one["name"] for one in model[kind]] for kind in ("inputs", "outputs")]
    check("the model's metadata", names == [["image", "affine", "prompts"], ["labels", "report"]], model)


def masks(client: InferenceServerClient, headers: dict[str, str], scan: Path, expected: np.ndarray, report: dict) -> None:
    """Masks of every way in which tensors travel."""
    file = nib.load(scan)
    whole = np.ascontiguousarray(np.asanyarray(file.dataobj).transpose(2, 1, 0))
    affine = file.affine.astype(np.float64)
    for datatype in (np.float32, np.int16):
        image = whole.astype(datatype)
        if not np.array_equal(image, whole):
            continue
        for binary in (True, False):
            for binary_outputs in (None, True, False):
                rows = affine if binary else affine[:3]
                names = ("labels", "report")
                outputs = [InferRequestedOutput(name, binary_data=bool(binary_outputs)) for name in names]
                outputs = None if binary_outputs is None else outputs
                start = time.monotonic()
                sent = inputs(image, rows, document(OBJECTS), binary=binary)
                answer = client.infer("segvol", sent, outputs=outputs, request_id="one", headers=headers)
                seconds = time.monotonic() - start
                labels = answer.as_numpy("labels")
                way = f"{image.dtype.name}, {'bytes' if binary else 'JSON'}, outputs {binary_outputs}: {seconds:.1f} s"
                check(way, labels.dtype == np.uint8 and np.array_equal(labels, expected), labels.shape)
                found = json.loads(answer.as_numpy("report")[0])
                check("  its report", found["objects"] == report["objects"], found["objects"])
                check("  its name", answer.get_response()["id"] == "one", answer.get_response())
    only = [InferRequestedOutput("labels")]
    sent = inputs(whole.astype(np.float32), affine, document(OBJECTS))
    answer = client.infer("segvol", sent, model_version="1", outputs=only, headers=headers)
    check("one output only", answer.as_numpy("report") is None and np.array_equal(answer.as_numpy("labels"), expected))


def refused(client: InferenceServerClient, headers: dict[str, str]) -> None:
    """Errors of the client's kind."""
    image = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    eye, text = np.eye(4), document([{"text": "liver"}])

    def error(what: str, status: str, part: str, sent: list[InferInput], model: str = "segvol", **more: object) -> None:
        try:
            client.infer(model, sent, headers=headers, **more)
            check(what, False, "no error")
        except InferenceServerException as found:
            is_right = found.status() == status and part in found.message()
            check(f"{what}: {found.message()}", is_right, f"{found.status()} {found.message()}")

    good = inputs(image, eye, text)
    nan = image.copy()
    nan[1, 1, 1] = np.nan
    error("another model", "404", "other", good, model="other")
    error("another version", "404", "version", good, model_version="7")
    error("no affine", "400", "affine", [good[0], good[2]])
    error("an input that is not there", "400", "mask", [*good[:2], tensor("mask", image, "FP32", True)])
    error("an output that is not there", "400", "logits", good, outputs=[InferRequestedOutput("logits")])
    error("a class count", "400", "classification", good, outputs=[InferRequestedOutput("labels", class_count=3)])
    error("a parameter that is not there", "400", "timeout", good, timeout=5)
    error("another datatype", "400", "FP64", [tensor("image", image.astype(np.float64), "FP64", True), *good[1:]])
    error("four dimensions", "400", "[K, J, I]", inputs(image[None], eye, text))
    error("an affine of two rows", "400", "affine", inputs(image, eye[:2], text))
    error("an affine of zeros", "400", "affine", inputs(image, np.zeros((3, 4)), text))
    error("no JSON in the prompts", "422", "prompts", inputs(image, eye, "liver"))
    error("no objects", "422", "objects", inputs(image, eye, document([])))
    error("NaN as bytes", "422", "NaN", inputs(nan, eye, text))
    error("NaN in JSON", "400", "request", inputs(nan, eye, text, binary=False))
    error("no contrast", "422", "contrast", inputs(np.zeros_like(image), eye, text))
    error("a compressed request", "415", "compressed", good, request_compression_algorithm="gzip")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8787", help="the server, as HOST:PORT")
    parser.add_argument("--scan", type=Path, default=Path("demo/phantom.nii.gz"), help="a scan in NIfTI")
    parser.add_argument("--token", type=Path, help="the file with the server's token")
    arguments = parser.parse_args()
    headers = {"Authorization": f"Bearer {arguments.token.read_text().strip()}"} if arguments.token else {}
    client = InferenceServerClient(arguments.url, connection_timeout=PATIENCE_S, network_timeout=PATIENCE_S)
    described(client, headers)
    expected, report = of_command(arguments.scan, os.environ["BUNDLE"], os.environ.get("SEGVOL", "segvol"))
    check("the scan has every object", set(np.unique(expected)) == set(range(len(OBJECTS) + 1)), np.unique(expected))
    masks(client, headers, arguments.scan, expected, report)
    refused(client, headers)
    print(f"{len(wrong)} wrong" if wrong else "all right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
