"""Measures what a click costs when a server does it: where the time goes, first and next clicks, against the time of one window.

Usage: server_latency.py [--runs N] [--scan FILE] [--threads N]

Starts `segvol serve` (SEGVOL, BUNDLE and ORT_DYLIB_PATH as for scripts/check-server), and prints Markdown: medians over sessions, each with
the scan uploaded anew, so that no embedding is known. Needs httpx, numpy and nibabel: the environment of scripts/check-server has them.

The time of one window is that of the image encoder in the same calls: its seconds over its windows. Ratios are of one run, so that they
hold on other machines, too.
"""

import argparse
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "server"))

from _server import ROOT, Server, prompts, put, session  # noqa: E402

# Where the steps of /metrics belong.
PARTS = {
    "text": ("encode_text",),
    "encoder": ("encode_image",),
    # The prompt encoder runs with the decoder.
    "prompt and decoder": ("decode",),
    "stitch": ("stitch", "upsample", "cut", "normalise", "orient"),
}


def steps(client):
    """Seconds of each step, and windows encoded, since the server started."""
    text = client.get("/metrics").text
    found = {name: float(value) for name, value in re.findall(r'segvol_step_seconds_total\{step="(\w+)"\} (\S+)', text)}
    windows = re.search(r'segvol_windows_total\{from="encoder"\} (\d+)', text)
    return found, int(windows[1]) if windows else 0


def click(client, path, objects):
    """One click: milliseconds until each event and until the mask is here, and of each part."""
    before, windows_before = steps(client)
    at = {}
    start = time.perf_counter()
    with client.stream("POST", f"{path}/segment", json=prompts(*objects), headers={"Accept": "text/event-stream"}) as answer:
        name = None
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
                at.setdefault(name, time.perf_counter() - start)
            elif line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    if name != "done":
        raise SystemExit(f"the call ended with {name}: {last}")
    client.get(f"{path}/mask/region", params={"since": last["state"]["revision"] - 2}).raise_for_status()
    mask = time.perf_counter() - start
    after, windows = steps(client)
    parts = {part: sum(after.get(step, 0) - before.get(step, 0) for step in names) for part, names in PARTS.items()}
    seconds = last["state"]["result"]["seconds"]
    found = {
        "coarse": at["coarse"],
        "final": at["done"],
        "mask": mask,
        # From the request to its first event, on this machine: what a round trip costs.
        "network and reply": at["queued"] + (mask - at["done"]),
        "queue": max(at["done"] - seconds - at["queued"], 0),
        "rest": max(seconds - sum(parts.values()), 0),
        **parts,
    }
    return {key: value * 1e3 for key, value in found.items()}, windows - windows_before


def looked_ahead(client, windows):
    """Waits until the zoom-out window of a scan is encoded, as it is while a user looks at the scan."""
    while steps(client)[1] == windows:
        time.sleep(0.005)


def measure(server, scan, runs, upload_times):
    """Three clicks of each run, and how many windows were encoded for them: the first one of a session, at once after the upload; the first
    one of another session, whose user has looked at the scan; the next one there."""
    measured = []
    with server.client() as client:
        for _ in range(runs):
            clicks = []
            for waits in (False, True):
                path, windows = session(client), steps(client)[1]
                start = time.perf_counter()
                state = put(client, path, scan)
                upload_times.append((time.perf_counter() - start) * 1e3)
                middle = [size // 2 for size in state["scan"]["shape_xyz"]]
                point = [*middle, 1]
                if waits:
                    looked_ahead(client, windows)
                clicks.append(click(client, path, [{"name": "click", "points": [point]}]))
                if waits:
                    # A second point a few voxels away: what a user corrects.
                    more = [{"name": "click", "points": [point, [middle[0] + 3, middle[1], middle[2], 1]]}]
                    clicks.append(click(client, path, more))
                client.delete(path)
            measured.append(clicks)
    # The first run is the warm-up.
    return list(zip(*measured[1:], strict=True))


def table(columns):
    """Medians, and in brackets the least, which other programs on the machine disturb the least."""

    def cells(values_of, digits=1):
        return " | ".join(f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f})" for values in map(values_of, columns))

    print("| ms | first click, at once | first click | next click |\n|---|---|---|---|")
    names = {key: key for key in ("network and reply", "queue", "text", "encoder", "prompt and decoder", "stitch", "rest")}
    names |= {"coarse": "**coarse mask known**", "final": "**final mask known**", "mask": "**final mask received**"}
    for key, name in names.items():
        print(f"| {name} | {cells(lambda runs, key=key: [run[key] for run, _ in runs])} |")
    print("| windows encoded | " + " | ".join(f"{statistics.median(count for _, count in runs):.0f}" for runs in columns) + " |")
    # Each with the window of its own run.
    per_window = [run["encoder"] / count for run, count in columns[0]]
    print(f"| one window of the encoder | {statistics.median(per_window):.1f} ({min(per_window):.1f}) | | |")
    for key in ("coarse", "final"):
        print(f"| {key} mask, in windows | {cells(lambda runs, key=key: [run[key] / one for (run, _), one in zip(runs, per_window, strict=True)], 2)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="sessions that count [10]")
    parser.add_argument("--scan", type=Path, default=ROOT / "demo/phantom.nii.gz", help="[demo/phantom.nii.gz]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads per graph [the cores of this process]")
    given = parser.parse_args()
    uploads = []
    with Server("--threads", given.threads) as server:
        load = os.getloadavg()[0]
        columns = measure(server, given.scan.read_bytes(), given.runs + 1, uploads)
    print(f"{given.runs} sessions, {given.threads} threads, load of the machine before: {load:.1f}\n")
    table(columns)
    print(f"\nUpload of the scan, until the session is ready for prompts: {statistics.median(uploads[2:]):.0f} ms")


if __name__ == "__main__":
    main()
