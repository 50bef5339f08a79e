"""Cohorts and datasets on a cluster of Ray: two nodes of one core each, on this machine."""

import json
import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import segvol

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'segvol[ray]'")
pytest.importorskip("pyarrow", reason="Ray Data is not installed: pip install 'ray[data]'")
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0")

from ray.cluster_utils import Cluster  # noqa: E402

import segvol.ray  # noqa: E402

NAMES = ["liver", "spleen", "aorta"]
# Windows that overlap much make scans slow enough that workers can be killed while they do them.
SLOW = {"provider": "cpu", "text": NAMES, "independent": True, "overlap": 0.8}
COUNT = 8


class Nodes:
    """The cluster. Its head has no core. Ray takes 127.0.0.1 for the address of the machine, open to others; 127.0.0.2 is not."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.add(0, include_dashboard=False)
        self.workers = [self.add(1), self.add(1)]
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    def add(self, cores: int, **options: Any) -> Any:
        return self.cluster.add_node(num_cpus=cores, node_ip_address="127.0.0.2", object_store_memory=80 << 20, **options)

    def lose(self, actor: int) -> None:
        """Kills a node together with an actor on it, so that neither can end what the actor has started."""
        raylet = parent(actor)
        lost = next(node for node in self.workers if raylet in [process.pid for _, process in node.live_processes()])
        os.kill(raylet, signal.SIGKILL)
        os.kill(actor, signal.SIGKILL)
        self.workers.remove(lost)
        self.cluster.remove_node(lost, allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    # So that tests see each scan that is over before the next one is.
    segvol.ray._POLL = 0.1
    yield nodes
    segvol.ray._POLL = 1.0
    ray.shutdown()
    nodes.cluster.shutdown()


@pytest.fixture(scope="module")
def scans(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scan twice, one above the other, with noise."""
    folder = tmp_path_factory.mktemp("scans")
    whole = nib.load(scan)
    voxels = np.tile(np.asanyarray(whole.dataobj), (1, 1, 2))
    for seed in range(COUNT):
        noise = np.random.default_rng(seed).normal(0.0, 6.0, voxels.shape)
        nib.save(
            nib.Nifti1Image(np.round(voxels + noise).clip(-1024, 3071).astype(np.int16)[seed:], whole.affine), folder / f"s{seed}.nii.gz"
        )
    return folder


@pytest.fixture(scope="module")
def alone(bundle: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> "tuple[dict[str, bytes], Any]":
    """The masks of one process, and its summary."""
    out = tmp_path_factory.mktemp("alone") / "out"
    summary = segvol.cohort(bundle, scans, out, threads=1, **SLOW)
    return masks(out), summary


def masks(out: Path) -> "dict[str, bytes]":
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*.nii.gz"))}


def records(out: Path) -> "list[dict[str, Any]]":
    try:
        lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines(keepends=True) if line.endswith("\n")]
    except FileNotFoundError:
        return []
    return [line for line in lines if "status" in line]


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def processes(out: Path) -> "dict[int, int]":
    """Processes of the command that work on a folder, and the actors that are their parents."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.with_name("cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/segvol") and f"--out={out}".encode() in words:
                found[int(stat.parent.name)] = parent(int(stat.parent.name))
        except OSError:
            continue
    return found


def has_ended(process: int, out: Path) -> None:
    """Before nothing is left to do."""
    deadline = time.monotonic() + 10
    while process in processes(out) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() < deadline and len(records(out)) < COUNT


def is_whole(out: Path, alone: "tuple[dict[str, bytes], Any]") -> None:
    """All is done, nothing twice, and nobody is left."""
    assert masks(out) == alone[0]
    assert Counter(record["id"] for record in records(out)) == Counter({f"s{seed}": 1 for seed in range(COUNT)})
    assert all(record["status"] == "done" for record in records(out))
    deadline = time.monotonic() + 5
    while processes(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes(out)
    assert not list(out.glob(".segvol-ray-*"))


class Once:
    """Does something as soon as so many scans are over, and keeps what it was told."""

    def __init__(self, at: int, what: "Callable[[], object]") -> None:
        self.at, self.what, self.is_done = at, what, False
        self.seen: "list[tuple[int, int]]" = []

    def __call__(self, done: int, total: int) -> None:
        self.seen.append((done, total))
        if done >= self.at and not self.is_done:
            self.is_done = True
            self.what()


def stop() -> None:
    raise KeyError("stop")


def test_two_nodes_share_the_work(
    nodes: Nodes, bundle: Path, scans: Path, alone: "tuple[dict[str, bytes], Any]", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "segvol.ray")
    threads: "set[str]" = set()

    def look() -> None:
        for process in processes(tmp_path / "out"):
            threads.add(next(word for word in Path(f"/proc/{process}/cmdline").read_text().split("\0") if word.startswith("--threads")))

    follow = Once(1, look)
    # More workers than there is room for: the others wait, and nobody waits for them.
    summary = segvol.ray.cohort(scans, model=bundle, out=tmp_path / "out", workers=5, progress=follow, csv=tmp_path / "volumes.csv", **SLOW)
    is_whole(tmp_path / "out", alone)
    assert not (tmp_path / "out/.segvol-cohort").exists()
    assert {**summary, "seconds": 0, "seconds_of_scan": 0} == {**alone[1], "seconds": 0, "seconds_of_scan": 0}
    assert follow.seen == sorted(set(follow.seen)) and follow.seen[-1] == (COUNT, COUNT)
    did = re.findall(r"\((\w+)\) has ended .* after (\d+) scans", caplog.text)
    assert {node for node, scans in did if int(scans) > 0} == {node.node_id for node in nodes.workers}
    assert sum(int(scans) for _, scans in did) == COUNT
    assert threads == {"--threads=1"}
    assert len((tmp_path / "volumes.csv").read_text().splitlines()) == 1 + COUNT * len(NAMES)


def test_the_work_of_a_lost_node_is_done_by_others(
    nodes: Nodes, bundle: Path, scans: Path, alone: "tuple[dict[str, bytes], Any]", tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lose() -> None:
        process, actor = next(iter(processes(tmp_path / "out").items()))
        nodes.lose(actor)
        has_ended(process, tmp_path / "out")

    follow = Once(2, lose)
    try:
        segvol.ray.cohort(scans, model=bundle, out=tmp_path / "out", progress=follow, **SLOW)
    finally:
        nodes.workers.append(nodes.add(1))
    is_whole(tmp_path / "out", alone)
    assert follow.is_done and "a worker has died" in caplog.text


@pytest.mark.parametrize(("who", "left"), [("an actor", COUNT - 2), ("a process", COUNT - 2), ("all processes", 1)])
def test_workers_that_die_are_replaced(
    who: str,
    left: int,
    nodes: Nodes,
    bundle: Path,
    scans: Path,
    alone: "tuple[dict[str, bytes], Any]",
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def kill() -> None:
        found = processes(tmp_path / "out")
        first = next(iter(found))
        for victim in {"an actor": [found[first]], "a process": [first], "all processes": found}[who]:
            os.kill(victim, signal.SIGABRT)
        has_ended(first, tmp_path / "out")

    segvol.ray.cohort(scans, model=bundle, out=tmp_path / "out", progress=Once(COUNT - left, kill), **SLOW)
    is_whole(tmp_path / "out", alone)
    assert "a worker has died" in caplog.text


def test_workers_that_always_die_are_given_up(nodes: Nodes, bundle: Path, scans: Path, tmp_path: Path) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            # With a claim, so that the error can say what was being done.
            for process in processes(tmp_path / "out") if list((tmp_path / "out").glob(".segvol-cohort/claims/*")) else ():
                os.kill(process, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(segvol.RunError, match=r"(?s)5 workers have died since .* being done were: s\d.*exit code -9 on the node"):
            segvol.ray.cohort(scans, model=bundle, out=tmp_path / "out", workers=1, **{**SLOW, "overlap": 0.9})
    finally:
        over.set()
        thread.join()


def test_a_scan_that_fails_does_not_stop_the_others(nodes: Nodes, bundle: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / f"scans/{name}.nii.gz").write_bytes(scan.read_bytes())
    (tmp_path / "scans/bad.nii.gz").write_bytes(b"no scan")
    with pytest.warns(segvol.SegvolWarning, match="not trained") as said:
        with pytest.raises(segvol.RunError, match='(?s)scan "bad": .*expected a NIfTI.*\n1 of 4 scans failed'):
            segvol.ray.cohort(tmp_path / "scans", model=bundle, out=tmp_path / "out", provider="cpu", text="nonsense")
    assert len(said) == 1 and said[0].filename == __file__
    last = {record["id"]: record["status"] for record in records(tmp_path / "out")}
    assert last == {"a": "done", "b": "done", "c": "done", "bad": "failed"}


def test_an_earlier_run_goes_on_only_with_resume(nodes: Nodes, bundle: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    out = tmp_path / "out"
    (tmp_path / "scans/a.nii.gz").write_bytes(scan.read_bytes())

    def run(**options: Any) -> Any:
        return segvol.ray.cohort(tmp_path / "scans", model=bundle, out=out, provider="cpu", workers=1, **{"text": "liver", **options})

    assert run()["done"] == 1
    with pytest.raises(segvol.UsageError, match="holds an earlier run of 1 scan\n--resume goes on with it"):
        run()
    (tmp_path / "scans/b.nii.gz").write_bytes(scan.read_bytes())
    assert run(resume=True)["done"] == 2
    assert [record["id"] for record in records(out)] == ["a", "b"]
    with pytest.raises(segvol.UsageError, match="another list of objects: liver, now spleen"):
        run(resume=True, text="spleen")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"nope": True}, segvol.UsageError, "unexpected argument '--nope'"),
        ({"text": None}, segvol.UsageError, "nothing to segment"),
        ({"workers": 0}, segvol.UsageError, "at least 1, found 0"),
        ({"num_cpus": 64}, segvol.UsageError, "no node of the cluster has num_cpus=64"),
        ({"review": 3}, segvol.UsageError, "review: not with Ray"),
        ({"model": "/nowhere"}, segvol.BundleError, "(?s)nowhere.*\non the node"),
        ({"provider": "cuda"}, segvol.ProviderError, "(?s)cuda.*\non the node .+ \\(\\w+\\)"),
        ({"library": "/nowhere.so"}, segvol.ProviderError, "(?s)nowhere.so.*\non the node"),
        ({"images": "/nowhere"}, segvol.InputError, "nowhere.*\non the node"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    options: "dict[str, Any]",
    kind: "type[Exception]",
    message: str,
    nodes: Nodes,
    bundle: Path,
    scans: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "segvol.ray")
    start = time.monotonic()
    given = {"images": scans, "model": bundle, "text": "liver", "provider": "cpu", **options}
    with pytest.raises(kind, match=message):
        segvol.ray.cohort(given.pop("images"), out=tmp_path / "out", **given)
    assert time.monotonic() - start < 15
    assert caplog.text.count("has ended") <= 1, "one worker tries first"
    assert not (tmp_path / "out").exists()


def test_a_node_without_the_output_folder_is_an_error(
    nodes: Nodes, bundle: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segvol.ray._Mark, "__enter__", lambda _: Path("/elsewhere/.segvol-ray-1"))
    with pytest.raises(segvol.InputError, match="`/elsewhere`: expected the output folder"):
        segvol.ray.cohort(scans, model=bundle, out=tmp_path / "out", text="liver", provider="cpu")


@pytest.mark.parametrize(("how", "error"), [(stop, KeyError), (lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt)])
def test_a_run_that_is_stopped_goes_on(
    how: "Callable[[], object]",
    error: "type[BaseException]",
    nodes: Nodes,
    bundle: Path,
    scans: Path,
    alone: "tuple[dict[str, bytes], Any]",
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "segvol.ray")
    out = tmp_path / "out"
    with pytest.raises(error):
        segvol.ray.cohort(scans, model=bundle, out=out, progress=Once(2, how), **SLOW)
    assert not processes(out) and 2 <= len(records(out)) < COUNT
    assert "exit code 143" in caplog.text
    assert not (out / ".segvol-cohort").exists(), "the scans that were begun are given back"
    follow = Once(COUNT, lambda: None)
    segvol.ray.cohort(scans, model=bundle, out=out, progress=follow, resume=True, **SLOW)
    assert follow.seen[0][0] > 2 and follow.seen[-1] == (COUNT, COUNT)
    is_whole(out, alone)


def test_the_rows_of_a_dataset(nodes: Nodes, bundle: Path, scans: Path, tmp_path: Path) -> None:
    listed = [
        *({"path": str(scans / f"s{seed}.nii.gz"), "id": None, "text": None, "prompts": None} for seed in range(4)),
        {"path": str(scans / "s4.nii.gz"), "id": "four", "text": None, "prompts": json.dumps([{"name": "x/y", "text": "spleen"}])},
        {"path": str(scans / "s5.nii.gz"), "id": "nonsense", "text": "nonsense", "prompts": None},
        {"path": str(tmp_path / "bad.nii.gz"), "id": None, "text": None, "prompts": None},
        *({"path": str(scans / "s6.nii.gz"), "id": id, "text": None, "prompts": None} for id in ("..", "../up", "a/b", "-a", "a\n")),
        {"path": str(scans / "s6.nii.gz"), "id": "six", "text": None, "prompts": "no JSON"},
    ]
    (tmp_path / "bad.nii.gz").write_bytes(b"no scan")
    out = tmp_path / "out"

    def run(rows: "list[dict[str, Any]]") -> "dict[str, dict[str, Any]]":
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Actors,
            fn_constructor_kwargs={"model": bundle, "out": out, "text": ["liver", "spleen"], "provider": "cpu", "log": tmp_path / "opened"},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(2, len(rows))),
            num_cpus=1,
        )
        return {row["id"]: row for row in dataset.take_all()}

    found = run(listed)
    opened = [json.loads(line) for line in (tmp_path / "opened").read_text().splitlines()]
    assert len(opened) <= 2 and len({pid for pid, _ in opened}) == len(opened), "one model for each actor"
    assert opened and all(threads == 1 for _, threads in opened)
    done = {id for id, row in found.items() if row["status"] == "done"}
    assert done == {"s0", "s1", "s2", "s3", "four", "nonsense"}
    segvol.cohort(bundle, scans, tmp_path / "alone", provider="cpu", text=["liver", "spleen"], threads=1)
    for id in ("s0", "s1", "s2", "s3"):
        for name in ("liver", "spleen"):
            assert (out / id / f"{name}.nii.gz").read_bytes() == (tmp_path / "alone" / id / f"{name}.nii.gz").read_bytes()
    (spleen,) = json.loads(found["four"]["objects"])
    mask = np.asanyarray(nib.load(out / spleen["file"]).dataobj)
    assert spleen["name"] == "x/y" and spleen["file"] == "four/x_y.nii.gz" and spleen["voxels"] == np.count_nonzero(mask) > 0
    assert [warning["code"] for warning in json.loads(found["nonsense"]["warnings"])] == ["name_unknown"]
    assert found["bad"]["kind"] == "input" and "expected a NIfTI" in found["bad"]["error"]
    assert {found[id]["kind"] for id in ("..", "../up", "a/b", "-a", "a\n", "six")} == {"input"}
    assert "cannot name a folder" in found[".."]["error"] and "expected JSON" in found["six"]["error"]
    assert {path.name for path in tmp_path.iterdir()} == {"bad.nii.gz", "out", "opened", "alone"}
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing unfinished is left"

    # The same row again is done again; another scan with its id is refused, and changes nothing.
    before = masks(out)
    assert run(listed[:1])["s0"]["status"] == "done"
    twin = run([{**listed[1], "id": "s0"}])["s0"]
    assert twin["status"] == "failed" and "is that of another scan" in twin["error"]
    assert masks(out) == before


class Actors(segvol.ray.Segmenter):
    """Writes down when a model is opened, and with how many threads."""

    def __init__(self, *arguments: Any, log: Path, **options: Any) -> None:
        from segvol import _ray_data

        def opened(*arguments: Any, **options: Any) -> segvol.Model:
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps([os.getpid(), options["threads"]]) + "\n")
            return segvol.Model(*arguments, **options)

        _ray_data.Model = opened
        super().__init__(*arguments, **options)
