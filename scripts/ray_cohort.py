"""What a cluster of Ray costs: seconds for N scans with one `segvol cohort`, and with `segvol.ray.cohort` on one and two nodes.

    python scripts/ray_cohort.py --model bundle --scans 40

The nodes are on this machine, with one core each. Needs the Python package with Ray (`pip install 'segvol[cpu]' 'ray[default]' nibabel`).
The scans are pieces of the demo's phantom; `--overlap` makes them slower. Masks are compared with those of the one process.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
import segvol.ray
from cohort_manifest import masks
from ray.cluster_utils import Cluster


@contextmanager
def cluster(nodes: int) -> Iterator[None]:
    """Nodes of one core on this machine. Ray takes 127.0.0.1 for the address of the machine, which is open to others."""
    made = Cluster()
    for cores in [0] + [1] * nodes:
        options = {} if cores else {"include_dashboard": False}
        made.add_node(num_cpus=cores, node_ip_address="127.0.0.2", object_store_memory=80 << 20, **options)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
    made.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares cohorts on Ray with one process.")
    parser.add_argument("--model", type=Path, required=True, help="a bundle")
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--overlap", type=float, default=0.8)
    arguments = parser.parse_args()
    options = {"text": ["liver", "spleen", "aorta"], "provider": "cpu", "independent": True, "overlap": arguments.overlap}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def scans(count: int) -> Path:
            out = root / f"scans{count}"
            script = Path(__file__).with_name("cohort_scans.py")
            subprocess.run([sys.executable, script, "--count", str(count), "--out", out], check=True)
            return out

        one, many = scans(1), scans(arguments.scans)
        print(f"{arguments.scans} scans, s  | 1 scan | all | masks")
        expected: dict[str, str] = {}
        for name, nodes in [("one process, 1 core", 0), ("Ray, 1 node", 1), ("Ray, 2 nodes", 2)]:
            seconds = []
            for images in (one, many):
                out = root / f"out-{nodes}-{images.name}"
                with cluster(nodes) if nodes else nullcontext():
                    start = time.perf_counter()
                    if nodes:
                        segvol.ray.cohort(images, model=arguments.model, out=out, **options)
                    else:
                        segvol.cohort(arguments.model, images, out, threads=1, jobs=1, **options)
                    seconds.append(time.perf_counter() - start)
            expected = expected or masks(out)
            same = "the same" if masks(out) == expected else "DIFFERENT"
            print(f"{name:20} | {seconds[0]:6.1f} | {seconds[1]:6.1f} | {same}", flush=True)


if __name__ == "__main__":
    main()
