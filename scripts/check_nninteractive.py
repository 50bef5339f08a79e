"""Checks `segvol serve` with the real client of nnInteractive, on the demo's phantom.

    pip install nninteractive-client==2.6.0 nibabel
    segvol serve -m demo/out/bundle --independent &
    SEGVOL=target/release/segvol python scripts/check_nninteractive.py http://127.0.0.1:8787 demo/out/bundle

Sends what 3D Slicer's extension sends: an array `[k, j, i]` of a scan that is stored as LPS, its spacing, and points, boxes, scribbles and
lassos. After every answer, the client's buffer must be the mask that the server has, and the masks of points and boxes must be those
of `segvol segment`, voxel by voxel. The server needs `--independent`, or else windows
from earlier interactions are used again, and masks differ a little; its default `--array-axes`; and no other client, because the check
claims all sessions once. NN_INTERACTIVE_API_KEY is the server's token, if it has one. SEGVOL is the command, or else `segvol` of PATH.

Exit code 1: something is not as it should be; it is named.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import httpx
import nibabel
import numpy as np
from nnInteractive.inference.remote.remote_session import (
    ServerAtCapacityError,
    SessionExpiredError,
    nnInteractiveRemoteInferenceSession,
)
from nnInteractive.inference.remote.serialization import pack_array

ROOT = Path(__file__).resolve().parents[1]
SCAN = ROOT / "demo/phantom.nii.gz"
# Voxels [k, j, i] of the array: in the spleen, in the liver, and in the left kidney.
SPLEEN, LIVER, KIDNEY = [34, 56, 99], [33, 47, 36], [25, 58, 86]


class Check:
    """The real client, with the phantom as 3D Slicer sends it."""

    def __init__(self, url: str, bundle: Path) -> None:
        self.url, self.bundle = url, bundle
        scan = nibabel.load(SCAN)
        if "".join(nibabel.aff2axcodes(scan.affine)) != "LPS":
            raise SystemExit(f"{SCAN}: expected a scan that is stored as LPS")
        self.image = np.asarray(scan.dataobj).T[None]
        self.spacing = [float(spacing) for spacing in scan.header.get_zooms()[::-1]]
        self.checks = 0
        self.client = self.connect()
        self.upload()

    def connect(self) -> nnInteractiveRemoteInferenceSession:
        return nnInteractiveRemoteInferenceSession(self.url)

    def upload(self) -> None:
        self.client.set_image(np.ascontiguousarray(self.image), {"spacing": self.spacing})
        self.buffer = np.zeros(self.image.shape[1:], np.uint8)
        self.client.set_target_buffer(self.buffer)

    def expect(self, what: str, holds: bool) -> None:
        self.checks += 1
        if not holds:
            raise SystemExit(f"failed: {what}")

    def get(self, path: str) -> httpx.Response:
        """Asks the server's own interface for something about this lease: a session has one token in both."""
        return self.client._http.get(f"/v1/sessions/{self.client._lease_token}{path}").raise_for_status()

    def on_server(self) -> np.ndarray:
        """The mask that the server has, `[k, j, i]`."""
        mask = np.zeros(self.buffer.shape, np.uint8)
        answer = self.get("/mask/region")
        if answer.status_code == 200:
            i0, j0, k0, i1, j1, k1 = map(int, answer.headers["X-Segvol-Box"].split(","))
            part = np.frombuffer(answer.content, answer.headers["X-Segvol-Dtype"]) != 0
            mask[k0 : k1 + 1, j0 : j1 + 1, i0 : i1 + 1] = part.reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        return mask

    def same(self, what: str) -> None:
        self.expect(f"{what}: the client's buffer is the server's mask", np.array_equal(self.buffer, self.on_server()))

    def by_command(self) -> np.ndarray:
        """The mask of `segvol segment` with the prompts that the server has, `[k, j, i]`."""
        with tempfile.TemporaryDirectory() as folder:
            prompts, mask = Path(folder, "prompts.json"), Path(folder, "mask.nii")
            prompts.write_text(json.dumps(self.get("").json()["prompts"]))
            command = [os.environ.get("SEGVOL", "segvol"), "segment", "-i", SCAN, "-m", self.bundle]
            subprocess.run([*command, "--prompts", prompts, "-o", mask], check=True, capture_output=True)
            return (np.asarray(nibabel.load(mask).dataobj).T != 0).astype(np.uint8)

    def as_command(self, what: str) -> None:
        self.same(what)
        self.expect(f"{what}: there is a mask", bool(self.buffer.any()))
        self.expect(f"{what}: as `segvol segment`", np.array_equal(self.buffer, self.by_command()))

    def refused(self, what: str, status: int, call: Callable[[], object], words: str) -> None:
        try:
            call()
        except httpx.HTTPStatusError as error:
            found = error.response.status_code
            self.expect(f"{what}: status {status}, found {found}", found == status)
            detail = error.response.json()["detail"]
            self.expect(f"{what}: {detail!r} has {words!r}", words in detail)
        else:
            self.expect(f"{what}: refused", False)


def prompts(check: Check) -> list[list[int]]:
    """The points that the server has, `[i, j, k, inside]`."""
    objects = check.get("").json()["prompts"]["objects"]
    return objects[0].get("points", []) if objects else []


def check_interactions(check: Check) -> None:
    client, buffer = check.client, check.buffer
    bbox = client.add_point_interaction(SPLEEN, include_interaction=True)
    check.as_command("a point")
    check.expect("a point: the box is that of the mask", bbox == [[int(a.min()), int(a.max()) + 1] for a in buffer.nonzero()])
    one = buffer.copy()
    client.add_point_interaction(LIVER, include_interaction=False)
    check.as_command("a negative point")
    check.expect("undo", client.undo())
    check.expect("undo: the mask before", np.array_equal(buffer, one))
    check.same("undo")
    check.expect("undo of all", client.undo() and not buffer.any())
    check.expect("nothing to undo", not client.undo())

    client.add_point_interaction(LIVER, include_interaction=True, run_prediction=False)
    client.add_point_interaction([35, 40, 30], include_interaction=True, run_prediction=False)
    check.expect("nothing runs before it is asked", not buffer.any())
    check.expect("predict", client._predict() is not None)
    check.as_command("two points at once")
    check.expect("nothing left to predict", client._predict() is None)

    client.reset_interactions()
    check.expect("reset", not buffer.any() and not client.undo())
    check.same("reset")
    client.add_bbox_interaction([[18, 33], [50, 67], [76, 97]], include_interaction=True)
    check.as_command("a box")
    client.add_bbox_interaction([[25, 26], [50, 67], [76, 97]], include_interaction=True)
    check.as_command("a box of one slice")
    points = prompts(check)
    check.expect(f"a box of one slice: points in its inner half, {points}", len(points) == 5 and all(54 <= p[1] < 63 for p in points))
    client.reset_interactions()


def check_strokes(check: Check) -> None:
    client = check.client
    stroke = np.zeros((1, 3, 40), np.uint8)
    stroke[0, 1] = 1
    client.add_scribble_interaction(stroke, True, interaction_bbox=[[33, 34], [46, 49], [20, 60]])
    check.as_command("a scribble")
    points = prompts(check)
    check.expect(f"a scribble: five points on it, {points}", len(points) == 5 and all(p[1:] == [47, 33, 1] for p in points))
    whole = np.zeros(check.buffer.shape, bool)
    whole[34, 50:63, 95:104] = True
    client.add_lasso_interaction(whole, False)
    check.as_command("a negative lasso of the whole size")
    points = prompts(check)[5:]
    inside = [whole[k, j, i] and label == 0 for i, j, k, label in points]
    check.expect(f"a lasso: points in it, {points}", bool(points) and all(inside))
    check.expect("undo of a lasso", client.undo() and len(prompts(check)) == 5)
    check.same("undo of a lasso")
    client.reset_interactions()


def check_refusals(check: Check) -> None:
    client = check.client
    refused = check.refused
    refused("a negative box", 400, lambda: client.add_bbox_interaction([[1, 2], [3, 9], [3, 9]], False), "negative points")
    refused("an empty box", 400, lambda: client.add_bbox_interaction([[1, 1], [3, 9], [3, 9]], True), "no voxel")
    refused("a point outside", 400, lambda: client.add_point_interaction([52, 0, 0], True), "outside")
    refused("a negative point first", 400, lambda: client.add_point_interaction(LIVER, False), "begin with")
    empty = np.zeros((2, 2, 2), np.uint8)
    refused("an empty stroke", 400, lambda: client.add_scribble_interaction(empty, True, interaction_bbox=[[0, 2]] * 3), "painted")
    refused("a stroke of another size", 400, lambda: client.add_scribble_interaction(empty, True), "shape")
    refused("floats", 400, lambda: client.set_target_buffer(np.zeros(check.buffer.shape)), "integers")
    refused("another shape", 400, lambda: client.set_target_buffer(np.zeros((1, 2, 3), np.uint8)), "shape")
    refused("two channels", 400, lambda: client.set_image(np.zeros((2, 3, 4, 5), np.int16)), "one channel")
    client.set_target_buffer(check.buffer)
    seed = np.ones(check.buffer.shape, np.uint8)
    refused("a mask to begin with", 400, lambda: client.add_initial_seg_interaction(seed), "begin with a mask")
    check.expect("a refused mask is in the client's buffer", bool(check.buffer.all()))
    client.add_point_interaction(KIDNEY, True)
    check.as_command("after a refused mask")
    client.reset_interactions()
    headers = {"X-Meta": "{", "Content-Type": "application/octet-stream"}
    answer = client._http.post("/set_image", content=pack_array(check.image[:, :2]), headers=headers)
    check.expect("X-Meta that is no JSON", answer.status_code == 400)
    answer = client._http.post("/set_image", content=pack_array(check.image)[:5000])
    check.expect("a part of an array", answer.status_code == 400 and "incomplete" in answer.json()["detail"])
    check.expect("and the image before is still there", client.add_point_interaction(KIDNEY, True) is not None)
    client.reset_interactions()


def check_random(check: Check, steps: int) -> None:
    """Anything in any order: the client's buffer stays the server's mask."""
    draw = random.Random(1)
    client = check.client
    for step in range(steps):
        what = draw.choice(["point", "point", "point", "box", "scribble", "undo", "undo", "queue", "predict", "reset", "buffer"])
        k, j, i = draw.choice([SPLEEN, LIVER, KIDNEY])
        if what in ("point", "queue"):
            inside = draw.random() < 0.7 or not prompts(check)
            client.add_point_interaction([k, j, i], inside, run_prediction=what == "point")
        elif what == "box":
            client.add_bbox_interaction([[k - 4, k + 5], [j - 9, j + 9], [i - 9, i + 9]], True)
        elif what == "scribble":
            client.add_scribble_interaction(np.ones((1, 2, 20), bool), True, interaction_bbox=[[k, k + 1], [j, j + 2], [i - 9, i + 11]])
        elif what == "undo":
            client.undo()
        elif what == "predict":
            client._predict()
        elif what == "reset":
            client.reset_interactions()
        else:
            check.buffer[:] = 0
            client.set_target_buffer(check.buffer)
            client.add_point_interaction([k, j, i], True)
        check.same(f"step {step}, {what}")
    client.reset_interactions()


def check_leases(check: Check) -> None:
    client = check.client
    status = client.lease_status()
    check.expect("lease_status", 0 < status["remaining_seconds"] <= status["idle_timeout_seconds"])
    check.expect("heartbeat", client.heartbeat() > 0)
    check.expect("ping", client.ping())
    others = []
    try:
        for _ in range(10_000):
            others.append(check.connect())
    except ServerAtCapacityError as error:
        check.expect(f"{error} names the number of sessions", "sessions" in str(error))
    check.expect("a server has a capacity", len(others) < 10_000)
    for other in others:
        other.close()
    token = client._lease_token
    client._http.headers["X-Lease-Token"] = "0" * 32
    for call in (client.heartbeat, client.lease_status, client.undo):
        try:
            call()
        except SessionExpiredError:
            check.checks += 1
        else:
            raise SystemExit(f"failed: {call.__name__} with an unknown lease")
    client._http.headers["X-Lease-Token"] = token


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks `segvol serve` with the real client of nnInteractive.")
    parser.add_argument("url", help="of the server, such as http://127.0.0.1:8787")
    parser.add_argument("bundle", type=Path, help="that the server has opened")
    parser.add_argument("--steps", type=int, default=60, help="random interactions")
    arguments = parser.parse_args()
    check = Check(arguments.url, arguments.bundle)
    axes = httpx.get(f"{arguments.url}/capabilities", headers=check.client._http.headers).json()["segvol"]["array_axes"]
    check.expect(f"--array-axes is SPL, found {axes}", axes == "SPL")
    check_interactions(check)
    check_strokes(check)
    check_refusals(check)
    check_random(check, arguments.steps)
    check_leases(check)
    check.client.close()
    check.expect("a closed lease", httpx.post(f"{arguments.url}/release").status_code in (200, 401))
    print(f"{check.checks} checks with nninteractive-client passed")


if __name__ == "__main__":
    sys.exit(main())
