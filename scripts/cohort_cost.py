"""How long a cohort takes on k machines, from the times of scans that are done.

    python scripts/cohort_cost.py OUT --scans 10000 --machines 1,4,16 --jobs 2 --cores 8 --opening 4
    python scripts/cohort_cost.py --check

OUT is the output folder of a run with `--jobs 1`, so that no scan waited for another one: its manifest has the seconds of each scan, and
the reports say how many of them the graphs took. The schedule is then simulated: every scan of the cohort is one of those that were
measured, drawn at random with a fixed seed.

`--check` compares the simulation with real runs of 1, 2 and 4 shards, of two processes without shards, and of one with two jobs, on small
scans. A processor core takes the part of a machine, so that two machines can run at the same time here; four shards run two by two. It
needs numpy and nibabel, the command in SEGVOL, ONNX Runtime's library in ORT_DYLIB_PATH, and a bundle of the demo model in BUNDLE. Exit code
1: a prediction is off by more than `--tolerance`, or masks differ; 4: a variable is not set, and nothing was checked.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from cohort_manifest import masks, records, shard_of, times_done

GRAPHS = ("encode_image", "encode_text", "decode")
SCANS = 24
# A process that has no scan left looks this often whether another one has done its last.
LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Scan:
    """One scan: seconds of the graphs, which use all cores, and of everything else, which uses one."""

    id: str
    graphs_s: float
    rest_s: float


@dataclass
class Process:
    """One `segvol cohort`: it opens the model, then takes scans from its queue, as many at a time as it has jobs."""

    machine: int
    queue: deque[Scan]
    opening_s: float
    jobs: int
    is_open: bool = False
    graphs_are_busy: bool = False


@dataclass
class Step:
    """A part of the work of a process that runs now, or that waits for its graphs."""

    process: Process
    left_s: float
    is_graphs: bool
    then_graphs_s: float | None = None
    waits: bool = False


def measured(folder: Path) -> list[Scan]:
    """The scans of a run that are done, with the times of its manifest and its reports."""
    scans = {}
    for line in records(folder):
        if line["status"] != "done":
            continue
        times_ms = json.loads((folder / line["report"]["path"]).read_text())["times_ms"]
        graphs_s = sum(times_ms.get(step, 0.0) for step in GRAPHS) / 1000.0
        scans[line["id"]] = Scan(line["id"], graphs_s, max(line["seconds"] - graphs_s, 0.0))
    return list(scans.values())


def wall_s(processes: list[Process], cores: int) -> float:
    """Seconds until the last of these processes ends, on machines with so many cores each.

    Graphs have a thread on every core, and everything else has one thread. If a machine has more threads than cores, all of them slow down
    alike. The graphs of a process run one at a time.
    """
    steps = [Step(process, process.opening_s, is_graphs=False) for process in processes]
    now = 0.0
    while steps:
        threads: dict[int, int] = {}
        for step in steps:
            if not step.waits:
                threads[step.process.machine] = threads.get(step.process.machine, 0) + (cores if step.is_graphs else 1)
        speed = {machine: min(1.0, cores / count) for machine, count in threads.items()}
        running = [step for step in steps if not step.waits]
        passed = min(step.left_s / speed[step.process.machine] for step in running)
        now += passed
        for step in running:
            step.left_s -= passed * speed[step.process.machine]
        for step in [step for step in running if step.left_s <= 1e-9]:
            steps.remove(step)
            follow(step, steps)
    return now


def follow(step: Step, steps: list[Step]) -> None:
    """Adds what comes after a step: the graphs of the same scan, or the next scan."""
    process = step.process

    def next_scan() -> None:
        if process.queue:
            scan = process.queue.popleft()
            steps.append(Step(process, scan.rest_s, is_graphs=False, then_graphs_s=scan.graphs_s))

    if not process.is_open:
        process.is_open = True
        for _ in range(process.jobs):
            next_scan()
    elif step.is_graphs:
        process.graphs_are_busy = False
        waiting = next((other for other in steps if other.process is process and other.waits), None)
        if waiting is not None:
            waiting.waits, process.graphs_are_busy = False, True
        next_scan()
    elif step.then_graphs_s is not None:
        steps.append(Step(process, step.then_graphs_s, is_graphs=True, waits=process.graphs_are_busy))
        process.graphs_are_busy = True


def by_shards(scans: list[Scan], machines: int, jobs: int, cores: int, opening_s: float) -> float:
    """Seconds if every machine does one shard."""
    queues = [deque(scan for scan in scans if shard_of(scan.id, machines) == shard) for shard in range(machines)]
    return wall_s([Process(machine, queue, opening_s, jobs) for machine, queue in enumerate(queues)], cores)


def by_queue(scans: list[Scan], machines: int, jobs: int, cores: int, opening_s: float) -> float:
    """Seconds if every machine takes the next scan that nobody has, and at the end waits for those that others have."""
    queue = deque(scans)
    busy_s = wall_s([Process(machine, queue, opening_s, jobs) for machine in range(machines)], cores)
    return busy_s + (LOOK_AGAIN_S if machines > 1 else 0.0)


def predict(arguments: argparse.Namespace) -> int:
    """Prints a table for `--scans` scans like the measured ones."""
    known = measured(arguments.out)
    if not known:
        print(f"{arguments.out}: no scan is done", file=sys.stderr)
        return 1
    count = arguments.scans or len(known)
    drawn = random.Random(0).choices(known, k=count) if arguments.scans else known
    scans = [Scan(f"scan-{number:07}", scan.graphs_s, scan.rest_s) for number, scan in enumerate(drawn)]
    graphs, rest = (statistics.mean(getattr(scan, name) for scan in known) for name in ("graphs_s", "rest_s"))
    print(f"{len(known)} scans are done: {graphs:.2f} s of graphs and {rest:.2f} s of the rest each, on average\n")
    print(f"| machines | {count} scans in shards, h | without shards, h | scans in the largest shard |")
    print("|---|---|---|---|")
    for machines in arguments.machines:
        hours = [way(scans, machines, arguments.jobs, arguments.cores, arguments.opening) / 3600.0 for way in (by_shards, by_queue)]
        sizes = [0] * machines
        for scan in scans:
            sizes[shard_of(scan.id, machines)] += 1
        print(f"| {machines} | {hours[0]:.2f} | {hours[1]:.2f} | {max(sizes)} |")
    return 0


@dataclass(frozen=True)
class Real:
    """The command, and what it runs on."""

    segvol: str
    bundle: str
    scans: Path

    def start(self, out: Path, cores: list[int], more: list[str]) -> subprocess.Popen:
        """Starts a process that may use these cores only, and one thread of the graphs on each."""
        command = [self.segvol, "cohort", "-m", self.bundle, "--images", self.scans, "--text", "liver", "--text", "spleen"]
        command += ["--out", out, "--resume", "-q", "--threads", str(len(cores)), *more]
        return subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, cores), stdout=subprocess.DEVNULL)

    def seconds(self, out: Path, machines: list[list[int]], each: list[list[str]]) -> float:
        """Runs a process for each list of options, as many at a time as there are machines. Seconds of the slowest one."""
        longest = 0.0
        for first in range(0, len(each), len(machines)):
            start = time.monotonic()
            running = [self.start(out, *pair) for pair in zip(machines, each[first:])]
            for process in running:
                if process.wait() != 0:
                    raise RuntimeError(f"segvol cohort ended with {process.returncode}")
            longest = max(longest, time.monotonic() - start)
        return longest


def check(tolerance: float) -> int:
    """Compares predictions with real runs."""
    variables = [os.environ.get(name) for name in ("SEGVOL", "ORT_DYLIB_PATH", "BUNDLE")]
    if not all(variables):
        print("NOT CHECKED  cost: SEGVOL, ORT_DYLIB_PATH or BUNDLE is not set")
        return 4
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        print("NOT CHECKED  cost: two cores are needed")
        return 4
    off = 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make = Path(__file__).with_name("cohort_scans.py")
        subprocess.run([sys.executable, make, "--count", str(SCANS), "--out", work / "scans"], check=True)
        real = Real(variables[0], variables[2], work / "scans")
        one, both = [[cores[0]], [cores[1]]], [cores]

        def base(name: str, machines: list[list[int]]) -> tuple[list[Scan], float]:
            """A run of one job, from which the others are predicted: its scans, and the seconds until the first one."""
            seconds = real.seconds(work / name, machines[:1], [["--jobs", "1"]])
            scans = measured(work / name)
            return scans, max(seconds - sum(scan.graphs_s + scan.rest_s for scan in scans), 0.0)

        def shards(count: int) -> list[list[str]]:
            return [["--jobs", "1", "--shard", f"{shard}/{count}"] for shard in range(count)]

        # Files are read into the system's cache, and the first run of all is like the others.
        base("warm", one)
        scans, opening_s = base("single", one)
        wide, wide_opening_s = base("wide", both)
        graphs, rest = (statistics.mean(getattr(scan, name) for scan in scans) for name in ("graphs_s", "rest_s"))
        print(f"{len(scans)} scans on one core: {graphs:.2f} s of graphs and {rest:.2f} s of the rest each; {opening_s:.2f} s to open the model\n")
        runs = [
            ("1 shard", by_shards(scans, 1, 1, 1, opening_s), one[:1], shards(1)),
            ("2 shards", by_shards(scans, 2, 1, 1, opening_s), one, shards(2)),
            ("4 shards", by_shards(scans, 4, 1, 1, opening_s), one, shards(4)),
            ("2 processes without shards", by_queue(scans, 2, 1, 1, opening_s), one, [["--jobs", "1"]] * 2),
            ("1 process of 2 jobs, 2 cores", by_shards(wide, 1, 2, 2, wide_opening_s), both, [["--jobs", "2"]]),
        ]
        expected = masks(work / "single")
        print("| run | predicted, s | measured, s | measured / predicted |\n|---|---|---|---|")
        for name, predicted_s, machines, each in runs:
            out = work / name.replace(" ", "-")
            measured_s = real.seconds(out, machines, each)
            ratio = measured_s / predicted_s
            right = abs(ratio - 1.0) <= tolerance and masks(out) == expected and set(times_done(out).values()) == {1}
            off += not right
            print(f"| {name} | {predicted_s:.1f} | {measured_s:.1f} | {ratio:.2f}{'' if right else ' WRONG'} |", flush=True)
    return 1 if off else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Predicts how long a cohort takes on several machines.")
    parser.add_argument("out", type=Path, nargs="?", help="output folder of a run with --jobs 1")
    parser.add_argument("--scans", type=int, help="scans of the cohort [default: those of OUT]")
    parser.add_argument("--machines", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4, 8, 16])
    parser.add_argument("--jobs", type=int, default=1, help="--jobs of each process")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores of each machine [default: of this one]")
    parser.add_argument("--opening", type=float, default=0.0, help="seconds to open the model")
    parser.add_argument("--check", action="store_true", help="compare predictions with real runs")
    parser.add_argument("--tolerance", type=float, default=0.25, help="of --check: how far off a prediction may be, as a share")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.tolerance)
    if arguments.out is None:
        parser.error("OUT is missing")
    return predict(arguments)


if __name__ == "__main__":
    sys.exit(main())
