"""Checks `segvol cohort` at length: against single runs, through kills, by several processes, and on disks and folders that fail.

    python scripts/check_cohort.py [--scans 200] [--kills 50] [--only singles,kills,shards,processes,faults]

- singles: every scan by a `segvol segment` of its own, with all names of the bundle, then all of them by one `segvol cohort --jobs 2`. The
  masks must be the same bytes. Both times are printed, and the cohort's peak memory, which must be within what `--plan` said.
- memory: larger scans with several jobs, and with gates (`--memory`) for two scans at a time and for one. Peaks must be within the gate.
- kills: a run is killed at random moments and resumed. It must end in the files of an undisturbed run, and no scan is recorded
  twice: what a kill costs is the scans in flight.
- shards: two shards in one folder, both killed several times and started again.
- processes: three processes in one folder, of which one is killed and not started again.
- faults: a full disk, a disk that fills up, an output folder that cannot be written, scans that cannot be read, a folder that vanishes, two
  scans with one id. Each is one line that names the scan or the folder, and the rest is done.

Needs numpy and nibabel, the command in SEGVOL, ONNX Runtime's library in ORT_DYLIB_PATH, and a bundle of the demo model in BUNDLE; a file
system of a limited size and one that is read-only need Linux and the right to mount (`unshare --mount`). Exit code 1 if anything is wrong,
4 if a part was not checked; the script says which.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from cohort_manifest import masks, records, times_done

PARTS = ("singles", "memory", "kills", "shards", "processes", "faults")
MIB = 1 << 20
# What `segvol cohort` counts for each voxel of a scan.
BYTES_PER_VOXEL = 40
# Large scans that are done with different gates.
LARGE = 6
# Two jobs, as `segvol cohort` has by itself.
JOBS = 2
# How often the command line is looked at until a scan is done, in seconds.
TICK_S = 0.01

wrong: list[str] = []
not_checked: list[str] = []


def check(what: str, is_right: bool, more: object = "") -> None:
    """Prints a result, and keeps what is wrong. `more` is printed only then."""
    print(f"{'right' if is_right else 'WRONG':<13}{what}{'' if is_right else f': {more}'}", flush=True)
    if not is_right:
        wrong.append(what)


def skip(what: str) -> None:
    """Says that something was not checked."""
    print(f"NOT CHECKED  {what}", flush=True)
    not_checked.append(what)


@dataclass
class Ended:
    """A process that has ended."""

    code: int
    said: str
    errors: list[str]
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Command:
    """The command, its bundle, and the objects that every scan is asked for."""

    segvol: str
    bundle: str
    names: tuple[str, ...]

    def cohort(self, images: Path, out: Path, *more: object) -> list[str]:
        texts = [part for name in self.names for part in ("--text", name)]
        return [self.segvol, "cohort", "-m", self.bundle, "--images", str(images), "--out", str(out), *texts, *map(str, more)]

    def segment(self, scan: Path, out: Path) -> list[str]:
        texts = [part for name in self.names for part in ("--text", name)]
        return [self.segvol, "segment", "-q", "-m", self.bundle, "-i", str(scan), "--per-object", str(out), *texts]


def run(command: list[str], log: Path) -> Ended:
    """Runs a command to its end."""
    start = time.monotonic()
    with open(log.with_suffix(".out"), "w+b") as out, open(log.with_suffix(".err"), "w+b") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        lines = err.read().decode().splitlines()
        return Ended(process.returncode, out.read().decode(), lines, seconds, usage.ru_maxrss * 1024)


def report(file: Path) -> dict:
    """A report without what differs between two runs of the same scan."""
    found = json.loads(file.read_text())
    found["scan"].pop("seconds")
    found.pop("times_ms")
    return found


def files(out: Path) -> dict[str, object]:
    """Everything in an output folder: masks by their hashes, reports without times, the scans that the manifest has as done."""
    found: dict[str, object] = dict(masks(out))
    for file in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(file.relative_to(out))
        if name == "manifest.jsonl":
            found[name] = sorted(times_done(out))
        elif name not in found:
            found[name] = report(file) if name.endswith("report.json") else file.read_bytes()
    return found


def differing(one: dict, other: dict) -> list[str]:
    """The first names whose contents differ."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))[:5]


def each_once(out: Path, count: int) -> bool:
    """Whether the manifest has this many scans as done, and each of them once."""
    done = times_done(out)
    return len(done) == count and set(done.values()) == {1}


@dataclass
class Work:
    """The scans, and an undisturbed run of them."""

    command: Command
    folder: Path
    scans: Path
    count: int
    random: random.Random
    undisturbed_s: float = 0.0
    undisturbed_bytes: int = 0

    @property
    def undisturbed(self) -> Path:
        return self.folder / "undisturbed"

    def ensure_undisturbed(self) -> None:
        """The run that the others are compared with."""
        if self.undisturbed.exists():
            return
        ended = run(self.command.cohort(self.scans, self.undisturbed, "--jobs", JOBS), self.folder / "undisturbed")
        self.undisturbed_s, self.undisturbed_bytes = ended.seconds, ended.peak_bytes
        check("an undisturbed run does all scans", ended.code == 0 and each_once(self.undisturbed, self.count), ended.errors[-3:])

    def same_as_undisturbed(self, out: Path) -> None:
        found = differing(files(out), files(self.undisturbed))
        check("  the files are those of an undisturbed run, and nothing else is there", not found, found)
        check("  the manifest has each scan as done, once", each_once(out, self.count), times_done(out).most_common(3))


def singles(work: Work) -> None:
    """One cohort in place of many single runs."""
    print(f"\n== {work.count} scans, {len(work.command.names)} names: single runs, and one cohort", flush=True)
    start = time.monotonic()
    for scan in sorted(work.scans.glob("*.nii.gz")):
        ended = run(work.command.segment(scan, work.folder / "singles" / scan.name.removesuffix(".nii.gz")), work.folder / "single")
        if ended.code != 0:
            check(f"single run of {scan.name}", False, ended.errors[-3:])
            return
    singles_s = time.monotonic() - start
    shutil.rmtree(work.undisturbed, ignore_errors=True)
    plan = run([*work.command.cohort(work.scans, work.undisturbed, "--jobs", JOBS), "--plan"], work.folder / "plan")
    planned = next((int(line.split()[-2]) * MIB for line in plan.said.splitlines() if line.startswith("memory: ")), 0)
    work.ensure_undisturbed()
    print(f"{'':<13}{work.count} single runs {singles_s:.1f} s, one cohort {work.undisturbed_s:.1f} s: {work.undisturbed_s / singles_s:.2f} of them")
    expected = masks(work.folder / "singles")
    check(f"the {len(expected)} masks are those of the single runs", masks(work.undisturbed) == expected, differing(masks(work.undisturbed), expected))

    print(f"{'':<13}peak memory {work.undisturbed_bytes / MIB:.0f} MiB; the plan says {planned / MIB:.0f} MiB")
    check("the peak is at most what --plan says", work.undisturbed_bytes <= planned)


def memory(work: Work) -> None:
    """Large scans, as many at a time as the gate lets in."""
    print("\n== memory", flush=True)
    large = work.folder / "large"
    large.mkdir()
    small = nib.load(work.scans / "scan-000.nii.gz")
    voxels = np.asarray(small.dataobj)
    for axis, count in enumerate((288, 288, 96)):
        voxels = np.repeat(voxels, -(-count // voxels.shape[axis]), axis)
    voxels = np.ascontiguousarray(voxels[:288, :288, :96])
    for number in range(LARGE):
        nib.save(nib.Nifti1Image(voxels + np.int16(number), small.affine), large / f"large-{number}.nii")
    scan_bytes = BYTES_PER_VOXEL * voxels.size
    one_name = replace(work.command, names=work.command.names[:1])
    peaks: dict[str, int] = {}
    expected: dict[str, str] = {}

    def peak(name: str, jobs: int, mib: int) -> None:
        """Runs all scans; the highest peak of this name counts."""
        nonlocal expected
        out = work.folder / "memory"
        ended = run(one_name.cohort(large, out, "--jobs", jobs, "--memory", mib, "--no-zoom", "-q"), work.folder / "memory")
        found, peaks[name] = masks(out), max(ended.peak_bytes, peaks.get(name, 0))
        expected = expected or found
        check(f"{name}: the same masks", ended.code == 0 and found == expected and len(found) == LARGE, ended.errors[-3:])
        shutil.rmtree(out)

    peak("one job", 1, 100_000)
    peak("four jobs, room for two", 4, 2 * scan_bytes // MIB + 1)
    peak("four jobs, room for none", 4, 1)
    # What the process has without any scan is in it.
    base = peaks["one job"]
    # Whether the largest moments of several scans meet is chance: a gate must never let them, a run without one does so sooner or later.
    for _ in range(10):
        peak("four jobs", 4, 100_000)
        if peaks["four jobs"] > base + scan_bytes / 4:
            break
    print(f"{'':<13}{voxels.size} voxels each, {scan_bytes / MIB:.0f} MiB by the estimate; peak: {', '.join(f'{name} {highest / MIB:.0f} MiB' for name, highest in peaks.items())}")
    check("a scan more takes at most what is estimated for it", peaks["four jobs"] <= base + 3 * scan_bytes)
    check("without a gate, several scans are in memory at once", peaks["four jobs"] > base + scan_bytes / 4, f"{peaks['four jobs']} bytes")
    check("room for two: at most one more than with one job", peaks["four jobs, room for two"] <= base + scan_bytes)
    # Allocators keep something of each of the four threads.
    check("room for none: one at a time", peaks["four jobs, room for none"] <= base + scan_bytes / 4)


def kills(work: Work, count: int) -> None:
    """A run that is killed again and again."""
    print(f"\n== {count} kills at random moments", flush=True)
    work.ensure_undisturbed()
    out, lost = work.folder / "killed", 0
    command = work.command.cohort(work.scans, out, "--jobs", JOBS, "--resume")
    # Together they do most of the work; some runs are killed while the model is opened.
    share = work.undisturbed_s / count
    for _ in range(count):
        with open(work.folder / "killed.err", "ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
            opening_s = min(0.5, work.undisturbed_s / 10)
            time.sleep(work.random.uniform(0.0, opening_s + 2.0 * share))
            process.kill()
            lost += process.wait() == -signal.SIGKILL
    left = work.count - times_done(out).total()
    print(f"{'':<13}{lost} of {count} runs were killed, {left} scans were left to the last one")
    check("most runs were killed before their end", lost >= count / 2, lost)
    ended = run(command, work.folder / "killed-last")
    check("the last run ends with 0", ended.code == 0, ended.errors[-3:])
    work.same_as_undisturbed(out)


def shards(work: Work) -> None:
    """Two shards in one folder, each killed three times."""
    print("\n== two shards in one folder, killed and started again", flush=True)
    work.ensure_undisturbed()
    out = work.folder / "shards"

    def start(shard: int) -> subprocess.Popen:
        command = work.command.cohort(work.scans, out, "--jobs", 1, "--resume", "--shard", f"{shard}/2", "-q")
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    running = [start(0), start(1)]
    kills = 0
    for number in range(6):
        target = work.count * (number + 1) // 8
        while times_done(out).total() < target and any(process.poll() is None for process in running):
            time.sleep(TICK_S)
        victim = number % 2
        running[victim].kill()
        kills += running[victim].wait() == -signal.SIGKILL
        running[victim] = start(victim)
    codes = [process.wait() for process in running]
    check(f"both shards end with 0 after {kills} kills", codes == [0, 0] and kills > 0, codes)
    work.same_as_undisturbed(out)


def processes(work: Work) -> None:
    """Three processes without shards; one is killed."""
    print("\n== three processes in one folder, one of which is killed", flush=True)
    work.ensure_undisturbed()
    out = work.folder / "processes"
    command = work.command.cohort(work.scans, out, "--jobs", 1, "--resume", "-q")
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(3)]
    while times_done(out).total() < work.count // 3 and running[0].poll() is None:
        time.sleep(TICK_S)
    running[0].kill()
    was_killed = running[0].wait() == -signal.SIGKILL
    codes = [process.wait() for process in running[1:]]
    check("the other two do its scans and end with 0", was_killed and codes == [0, 0], (was_killed, codes))
    work.same_as_undisturbed(out)


def can_mount() -> bool:
    """Whether this user can mount file systems of its own."""
    return shutil.which("unshare") is not None and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


def failed(out: Path) -> dict[str, str]:
    """The scans that failed, with the reasons that the manifest has."""
    return {line["id"]: line["error"] for line in records(out) if line["status"] == "failed"}


def of_scan(errors: list[str], scan: str) -> list[str]:
    """What was said about a scan."""
    return [line for line in errors if f'"{scan}"' in line and "done in" not in line]


def disturbed(command: list[str], out: Path, disturb: Callable[[], object]) -> tuple[int, list[str]]:
    """Runs a command, and disturbs it when two scans are done. Its exit code, and what it said about scans that are not done."""
    with tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err)
        while times_done(out).total() < 2 and process.poll() is None:
            time.sleep(TICK_S)
        disturb()
        code = process.wait()
        err.seek(0)
        return code, [line for line in err.read().decode().splitlines() if "done in" not in line]


def faults(work: Work) -> None:
    """Disks, folders and scans that fail."""
    print("\n== faults", flush=True)
    scans = work.folder / "faults"
    shutil.copytree(work.scans, scans, ignore=lambda _, names: sorted(names)[8:])
    first = [f"scan-{number:03}" for number in range(8)]
    expected = {name: mask for name, mask in masks(reference(work, scans)).items()}

    def done_are_right(out: Path) -> bool:
        """Whether every scan that the manifest has as done has the right masks."""
        found, done = masks(out), times_done(out)
        return all(found.get(name) == mask for name, mask in expected.items() if name.split("/")[0] in done)

    bad = work.folder / "unreadable"
    shutil.copytree(scans, bad)
    (bad / "empty.nii.gz").write_bytes(b"")
    (bad / "half.nii.gz").write_bytes((scans / "scan-000.nii.gz").read_bytes()[:20000])
    (bad / "dangling.nii.gz").symlink_to("nowhere.nii.gz")
    (bad / "twice").mkdir()
    shutil.copy(scans / "scan-001.nii.gz", bad / "twice")
    out = work.folder / "unreadable-out"
    ended = run(work.command.cohort(bad, out), work.folder / "unreadable")
    found = failed(out)
    check("unreadable scans and a duplicate id: exit code 1, the rest is done", ended.code == 1 and sorted(times_done(out)) == [first[0], *first[2:]], ended)
    check("  one line for each", all(len(of_scan(ended.errors, scan)) == 1 for scan in ("empty", "half", "dangling")), ended.errors)
    check("  the duplicate id is named for both scans", len(of_scan(ended.errors, "scan-001")) == 2, ended.errors)
    check("  the manifest has the causes", sorted(found) == ["dangling", "empty", "half", "scan-001"], found)
    check("  the masks of the others are right", done_are_right(out))

    vanishing = work.folder / "vanishing"
    shutil.copytree(scans, vanishing)
    out = work.folder / "vanishing-out"
    command = work.command.cohort(vanishing, out, "--jobs", 1)
    code, errors = disturbed(command, out, lambda: shutil.rmtree(vanishing))
    done, found = times_done(out), failed(out)
    check("the folder of scans vanishes: exit code 1, each scan is done or has failed", code == 1 and done.total() >= 2 and sorted([*done, *found]) == first, (code, done, found))
    check("  one line for each scan that is gone", bool(found) and all(len(of_scan(errors, scan)) == 1 for scan in found), errors)
    shutil.copytree(scans, vanishing)
    ended = run([*command, "--resume"], work.folder / "vanishing-again")
    check("  it is back: --resume does the rest", ended.code == 0 and masks(out) == expected, ended)

    out = work.folder / "lost-out"
    command = work.command.cohort(scans, out, "--jobs", 1)
    code, errors = disturbed(command, out, lambda: out.rename(work.folder / "lost-moved"))
    check("the output folder vanishes: exit code 1, and the folder is named", code == 1 and any(str(out) in line for line in errors), (code, errors))
    check("  it is not made anew", not out.exists(), errors)
    (work.folder / "lost-moved").rename(out)
    ended = run([*command, "--resume"], work.folder / "lost-again")
    check("  it is back: --resume does the rest", ended.code == 0 and masks(out) == expected, ended)

    if not can_mount():
        skip("a full disk and a read-only disk: no right to mount")
        return
    mount = work.folder / "mount"
    mount.mkdir()

    def mounted(script: str, *arguments: str) -> Ended:
        """Runs a shell script that may mount things, which nobody else sees."""
        return run(["unshare", "--mount", "sh", "-euc", script, "sh", str(mount), *arguments], work.folder / "mounted")

    # Room for a few scans: after the run, what is there is copied out, and another disk goes on from it.
    out, kept = mount / "out", work.folder / "full"
    size = sum(file.stat().st_size for file in (work.folder / "reference").rglob("*") if file.is_file()) // 2
    command = work.command.cohort(scans, out, "--jobs", 1)
    script = 'mount -t tmpfs -o size="$2" tmpfs "$1"; kept=$3; shift 3; code=0; "$@" || code=$?; cp -r "$OUT" "$kept"; exit $code'
    os.environ["OUT"] = str(out)
    ended = mounted(script, str(size), str(kept), *command)
    errors = [line for line in ended.errors if "done in" not in line]
    done = times_done(kept)
    check("a disk that fills up: exit code 1, what fits is done", ended.code == 1 and 0 < len(done) < len(first), (ended.code, done))
    check("  No space left on device is said in one line for each scan, or once if nothing can be written", all("No space left" in line or "failed" in line for line in errors) and errors, errors)
    check("  what is done is right", done_are_right(kept))
    ended = run([*work.command.cohort(scans, kept), "--resume"], work.folder / "full-again")
    check("  with room, --resume does the rest", ended.code == 0 and masks(kept) == expected, ended)

    script = 'mount -t tmpfs -o size=100k tmpfs "$1"; dd if=/dev/zero of="$1"/full bs=1k 2>/dev/null || true; shift; exec "$@"'
    ended = mounted(script, *command)
    check("a full disk: exit code 1, one line with the folder", ended.code == 1 and len(ended.errors) == 1 and "No space left" in ended.errors[0] and str(mount) in ended.errors[0], ended)

    script = 'mount -t tmpfs -o size=1m tmpfs "$1"; mount -o remount,ro "$1"; shift; exec "$@"'
    ended = mounted(script, *command)
    check("a read-only output: exit code 2, one line with the folder", ended.code == 2 and len(ended.errors) == 1 and "write-protected" in ended.errors[0] and str(mount) in ended.errors[0], ended)


def reference(work: Work, scans: Path) -> Path:
    """An undisturbed run of a few scans."""
    out = work.folder / "reference"
    ended = run(work.command.cohort(scans, out), work.folder / "reference-run")
    check("a run without faults", ended.code == 0, ended)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks `segvol cohort` at length.")
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills [default: another one each time]")
    parser.add_argument("--only", type=lambda text: text.split(","), default=PARTS, help=f"parts, of {','.join(PARTS)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))}: expected {', '.join(PARTS)}")
    variables = [os.environ.get(name) for name in ("SEGVOL", "BUNDLE", "ORT_DYLIB_PATH")]
    if not all(variables):
        print("NOT CHECKED  cohort: SEGVOL, BUNDLE or ORT_DYLIB_PATH is not set")
        return 4
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}")
    manifest = json.loads((Path(variables[1]) / "manifest.json").read_text())
    names = tuple(entry["name"] for entry in manifest["names"]["list"])
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder) / "scans"
        make = Path(__file__).with_name("cohort_scans.py")
        subprocess.run([sys.executable, make, "--count", str(arguments.scans), "--out", scans], check=True)
        work = Work(Command(variables[0], variables[1], names), Path(folder), scans, arguments.scans, random.Random(seed))
        for part in arguments.only:
            match part:
                case "singles":
                    singles(work)
                case "memory":
                    memory(work)
                case "kills":
                    kills(work, arguments.kills)
                case "shards":
                    shards(work)
                case "processes":
                    processes(work)
                case "faults":
                    faults(work)
    if wrong:
        return 1
    return 4 if not_checked else 0


if __name__ == "__main__":
    sys.exit(main())
