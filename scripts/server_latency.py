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


def measure(server, scan, runs, upload_times):
    firsts, nexts, windows = [], [], []
    with server.client() as client:
        for run in range(runs):
            path = session(client)
            start = time.perf_counter()
            state = put(client, path, scan)
            upload_times.append((time.perf_counter() - start) * 1e3)
            middle = [size // 2 for size in state["scan"]["shape_xyz"]]
            point = [*middle, 1]
            first, count = click(client, path, [{"name": "click", "points": [point]}])
            # A second point a few voxels away, and a third outside: what a user corrects.
            more = [{"name": "click", "points": [point, [middle[0] + 3, middle[1], middle[2], 1]]}]
            following, count_next = click(client, path, more)
            client.delete(path)
            if run > 0:  # The first run is the warm-up.
                firsts.append(first)
                nexts.append(following)
                windows.append((count, count_next))
    return firsts, nexts, windows


def table(firsts, nexts, windows):
    """Medians, and in brackets the least, which other programs on the machine disturb the least."""

    def cells(values_of):
        return " | ".join(f"{statistics.median(values):.1f} ({min(values):.1f})" for values in map(values_of, (firsts, nexts)))

    print("| ms | first click | next click |\n|---|---|---|")
    names = {key: key for key in ("network and reply", "queue", "text", "encoder", "prompt and decoder", "stitch", "rest")}
    names |= {"coarse": "**coarse mask known**", "final": "**final mask known**", "mask": "**final mask received**"}
    for key, name in names.items():
        print(f"| {name} | {cells(lambda runs, key=key: [run[key] for run in runs])} |")
    counts = [statistics.median(count[at] for count in windows) for at in (0, 1)]
    print(f"| windows encoded | {counts[0]:.0f} | {counts[1]:.0f} |")
    per_window = [first["encoder"] / count for first, (count, _) in zip(firsts, windows, strict=True) if count]
    print(f"| one window of the encoder | {statistics.median(per_window):.1f} ({min(per_window):.1f}) | |")
    for key in ("coarse", "final"):
        # Each with the window of its own run.
        ratios = [[run[key] / one for run, one in zip(runs, per_window, strict=True)] for runs in (firsts, nexts)]
        print(f"| {key} mask, in windows | " + " | ".join(f"{statistics.median(each):.2f} ({min(each):.2f})" for each in ratios) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="sessions that count [10]")
    parser.add_argument("--scan", type=Path, default=ROOT / "demo/phantom.nii.gz", help="[demo/phantom.nii.gz]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads per graph [the cores of this process]")
    given = parser.parse_args()
    uploads = []
    with Server("--threads", given.threads) as server:
        load = os.getloadavg()[0]
        firsts, nexts, windows = measure(server, given.scan.read_bytes(), given.runs + 1, uploads)
    print(f"{given.runs} sessions, {given.threads} threads, load of the machine before: {load:.1f}\n")
    table(firsts, nexts, windows)
    print(f"\nUpload of the scan, until the session is ready for prompts: {statistics.median(uploads[1:]):.0f} ms")


if __name__ == "__main__":
    main()
