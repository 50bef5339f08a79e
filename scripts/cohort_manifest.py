"""What the checks of `segvol cohort` read: the manifest of an output folder, its masks, and which shard a scan belongs to."""

import hashlib
import json
from collections import Counter
from pathlib import Path


def shard_of(scan: str, count: int) -> int:
    """The shard of a scan's id: the first eight bytes of its SHA-256, most significant first, modulo the number of shards."""
    return int.from_bytes(hashlib.sha256(scan.encode()).digest()[:8], "big") % count


def records(folder: Path) -> list[dict]:
    """The lines about scans of `folder`/manifest.jsonl, in their order. There are none before the first scan."""
    try:
        lines = (folder / "manifest.jsonl").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    # The last part is empty, or a line that is being written.
    parsed = [json.loads(line) for line in lines[:-1] if line.strip()]
    return [line for line in parsed if "status" in line]


def times_done(folder: Path) -> Counter[str]:
    """How many lines of the manifest say of each scan that it is done."""
    return Counter(line["id"] for line in records(folder) if line["status"] == "done")


def masks(folder: Path) -> dict[str, str]:
    """SHA-256 of every mask below `folder`, by its path there."""
    files = sorted(folder.rglob("*.nii.gz"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
