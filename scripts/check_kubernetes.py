"""Checks docs/kubernetes/cohort-job.yaml without a cluster.

    python scripts/check_kubernetes.py

Needs kubernetes-validate from PyPI: the manifest is compared with the API's strict schemas of several versions, each of its fields is
misspelt once, which must be refused, and what no schema knows is checked here (numbers of shards that agree, names that exist).

Then the job is simulated with processes, as Kubernetes would run it: every index its own process, one of them killed with SIGKILL and
started again after a delay, one removed with SIGTERM. Its masks must be those of a single run. A scan that is no scan fails only its index,
without another try, and many of them end the job. This part needs numpy and nibabel, the command in SEGVOL, ONNX Runtime's library in
ORT_DYLIB_PATH, and a bundle of the demo model in BUNDLE; without these variables the exit code is 4. It is 1 if anything is wrong.
"""

import copy
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import kubernetes_validate
import yaml

from cohort_manifest import masks, records, shard_of, times_done

MANIFEST = Path(__file__).resolve().parent.parent / "docs" / "kubernetes" / "cohort-job.yaml"
VERSIONS = ("1.29", "1.33", kubernetes_validate.latest_version().rsplit(".", 1)[0])
# Below these, keys are the user's own.
FREE = ("labels", "requests", "limits")
SCANS = 16
BACK_OFF_S = 0.5

wrong: list[str] = []


def check(what: str, is_right: bool) -> None:
    """Prints a result, and keeps what is wrong."""
    print(f"{'right' if is_right else 'WRONG':<13}{what}", flush=True)
    if not is_right:
        wrong.append(what)


def is_valid(job: dict, version: str) -> bool:
    """Whether the strict schema of this version accepts the job."""
    try:
        kubernetes_validate.validate(job, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError, KeyError):
        return False  # Without `kind` or `apiVersion` there is no schema.
    return True


def keys(value: object, path: tuple = ()) -> Iterator[tuple]:
    """The path of every key of the manifest that the API names."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        if isinstance(key, str):
            yield (*path, key)
        if key not in FREE:
            yield from keys(below, (*path, key))


def misspelt(job: dict, path: tuple) -> dict:
    """The job with a letter too many in one key."""
    changed = copy.deepcopy(job)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[f"{path[-1]}s"] = at.pop(path[-1])
    return changed


def check_manifest(job: dict) -> None:
    """Schemas, near misses, and what schemas do not know."""
    for version in dict.fromkeys(VERSIONS):
        check(f"valid in Kubernetes {version}, strictly", is_valid(job, version))
    paths = list(keys(job))
    accepted = [".".join(map(str, path)) for path in paths if is_valid(misspelt(job, path), VERSIONS[-1])]
    check(f"each of {len(paths)} misspelt fields is refused{': ' + ', '.join(accepted) if accepted else ''}", not accepted)

    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    shards = {variable["name"]: variable["value"] for variable in container["env"]}["SHARDS"]
    check("as many shards as indexes", int(shards) == spec["completions"] >= spec["parallelism"])
    check("any number of failed indexes does not end the others", spec["maxFailedIndexes"] == spec["completions"])
    rules = spec["podFailurePolicy"]["rules"]
    named = {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule}
    check("the policy names the container, and pods do not restart by themselves", named == {container["name"]} and pod["restartPolicy"] == "Never")
    volumes = {volume["name"]: volume["persistentVolumeClaim"].get("readOnly", False) for volume in pod["volumes"]}
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    check("volumes and mounts agree, and only the output is writable", volumes == mounts == {"model": True, "scans": True, "out": False})
    check("nothing is requested that is not the limit", container["resources"]["requests"] == container["resources"]["limits"])


@dataclass
class Index:
    """One index of the job: its pods, one after the other."""

    number: int
    process: subprocess.Popen | None = None
    starts: int = 0
    failures: int = 0
    ready_at: float = 0.0
    result: str | None = None
    removed: bool = False


@dataclass
class Simulation:
    """The job with folders of this machine in place of its volumes."""

    job: dict
    folders: dict[str, Path]
    library: Path
    command: Path
    indexes: list[Index] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.indexes = [Index(number) for number in range(self.job["spec"]["completions"])]

    def start(self, index: Index) -> None:
        """Starts a pod: the container's arguments and its environment, and nothing else."""
        container = self.job["spec"]["template"]["spec"]["containers"][0]
        variables = {variable["name"]: variable["value"] for variable in container["env"]}
        variables |= {"JOB_COMPLETION_INDEX": str(index.number), "ORT_DYLIB_PATH": str(self.library)}
        arguments = []
        for argument in [*container["command"][1:], *container["args"]]:
            for name, value in variables.items():
                argument = argument.replace(f"$({name})", value)
            option, _, path = argument.partition("=")
            arguments.append(f"{option}={self.folders[path]}" if path in self.folders else argument)
        with open(self.folders["/out"].with_suffix(f".{index.number}.log"), "ab") as log:
            index.process = subprocess.Popen([self.command, *arguments], env=variables, stdout=log, stderr=log)
        index.starts += 1

    def action(self, index: Index, code: int) -> str:
        """What the manifest's policy says to a pod that ended with `code`: the first rule that applies."""
        for rule in self.job["spec"]["podFailurePolicy"]["rules"]:
            if index.removed and "onPodConditions" in rule or code in rule.get("onExitCodes", {}).get("values", ()):
                return rule["action"]
        return "Count"

    def ended(self, index: Index) -> None:
        """Follows the end of a pod."""
        code = index.process.returncode
        index.process = None
        if code == 0:
            index.result = "Complete"
            return
        action = self.action(index, 128 - code if code < 0 else code)
        if action == "FailJob":
            for other in self.indexes:
                if other.process is not None:
                    other.process.terminate()
                    other.process.wait()
                    other.process = None
                other.result = other.result or "Failed"
            return
        index.failures += action == "Count"
        if action == "FailIndex" or index.failures > self.job["spec"]["backoffLimitPerIndex"]:
            index.result = "Failed"
        index.ready_at = time.monotonic() + BACK_OFF_S * 2 ** max(index.failures - 1, 0)
        index.removed = False

    def run(self, disturb=lambda simulation: None) -> list[str]:
        """Runs the job, and calls `disturb` between. Returns the result of every index."""
        deadline = time.monotonic() + 900
        try:
            while any(index.result is None for index in self.indexes):
                for index in self.indexes:
                    if index.process is not None and index.process.poll() is not None:
                        self.ended(index)
                running = sum(index.process is not None for index in self.indexes)
                for index in self.indexes:
                    waits = index.result is None and index.process is None and time.monotonic() >= index.ready_at
                    if waits and running < self.job["spec"]["parallelism"]:
                        self.start(index)
                        running += 1
                disturb(self)
                if time.monotonic() > deadline:
                    raise TimeoutError("the job did not end within 15 minutes")
                time.sleep(0.02)
        finally:
            for index in self.indexes:
                if index.process is not None:
                    index.process.kill()
                    index.process.wait()
        return [index.result for index in self.indexes]


class Disturbance:
    """Kills one pod when the first scan is done, and removes another when three are."""

    def __init__(self) -> None:
        self.killed: Index | None = None
        self.evicted: Index | None = None
        self.done_at_kill = 0

    def __call__(self, simulation: Simulation) -> None:
        done = times_done(simulation.folders["/out"]).total()
        running = [index for index in simulation.indexes if index.process is not None and index is not self.killed]
        if self.killed is None and done >= 1 and running:
            self.killed, self.done_at_kill = running[0], done
            self.killed.process.send_signal(signal.SIGKILL)
        elif self.evicted is None and done >= 3 and running:
            self.evicted = running[-1]
            self.evicted.removed = True
            self.evicted.process.send_signal(signal.SIGTERM)


def simulate(job: dict, command: Path, library: Path, bundle: Path, work: Path) -> None:
    """The job in processes of this machine."""
    scans = work / "scans"
    make = Path(__file__).with_name("cohort_scans.py")
    subprocess.run([sys.executable, make, "--count", str(SCANS), "--out", scans], check=True)

    def simulation(name: str, images: Path) -> Simulation:
        return Simulation(job, {"/model": bundle, "/scans": images, "/out": work / name}, library, command)

    single = copy.deepcopy(job)
    single["spec"]["completions"] = 1
    single["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "1"
    one = Simulation(single, {"/model": bundle, "/scans": scans, "/out": work / "single"}, library, command)
    check("one index", one.run() == ["Complete"])
    expected = masks(work / "single")
    check(f"has masks of all {SCANS} scans", len({Path(path).parts[0] for path in expected}) == SCANS)

    disturbance = Disturbance()
    shards = simulation("shards", scans)
    check("four indexes, one killed, one removed: all complete", shards.run(disturbance) == ["Complete"] * 4)
    check("  the killed one started again", disturbance.killed is not None and disturbance.killed.starts == 2 and disturbance.killed.failures == 1)
    evicted = disturbance.evicted
    check("  so did the removed one, which does not count", evicted is not None and evicted.starts == 2 and evicted.failures == 0)
    check("  the masks are those of one index", masks(work / "shards") == expected)
    check("  each scan was done once", set(times_done(work / "shards").values()) == {1})

    broken = "broken"
    (scans / f"{broken}.nii.gz").write_bytes(b"not a scan")
    results = simulation("broken", scans)
    shard = shard_of(broken, len(results.indexes))
    right = ["Failed" if number == shard else "Complete" for number in range(len(results.indexes))]
    check("a scan that is no scan fails its index, and no other", results.run() == right)
    check("  without another try", [index.starts for index in results.indexes] == [1] * len(right))
    check("  the other masks are there", masks(work / "broken") == expected)

    many = work / "many"
    many.mkdir()
    for number in range(200):
        (many / f"broken-{number}.nii.gz").write_bytes(b"not a scan")
    check("many of them fail the job", simulation("many-out", many).run() == ["Failed"] * 4)
    check("  before all were tried", len(times_failed(work / "many-out")) < 200)


def times_failed(folder: Path) -> set[str]:
    """The scans that failed."""
    return {line["id"] for line in records(folder) if line["status"] == "failed"}


def main() -> int:
    job = yaml.safe_load(MANIFEST.read_text())
    check_manifest(job)
    variables = [os.environ.get(name) for name in ("SEGVOL", "ORT_DYLIB_PATH", "BUNDLE")]
    if not all(variables):
        print("NOT CHECKED  the job in processes: SEGVOL, ORT_DYLIB_PATH or BUNDLE is not set")
        return 1 if wrong else 4
    with tempfile.TemporaryDirectory() as work:
        simulate(job, *(Path(variable).resolve() for variable in variables), Path(work))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
