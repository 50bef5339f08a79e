"""Many scans on a cluster of Ray: `cohort` is `segvol cohort` on all of its nodes, and `Segmenter` is for the datasets of Ray Data.

    import segvol.ray

    segvol.ray.cohort("scans", model="bundle", text=["liver", "spleen"], out="masks")

Needs `pip install 'segvol[ray]'` on every node. Only paths go through Ray: all nodes must see scans, bundle and output folder under the
same paths.
"""

import importlib
import json
import logging
import os
import re
import uuid
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from segvol import _command, _errors, _model
from segvol._ray_data import Segmenter
from segvol._ray_worker import News, Worker

try:
    # By its name, so that types are checked alike with and without it.
    ray: Any = importlib.import_module("ray")
except ModuleNotFoundError as _error:
    if _error.name != "ray":
        raise
    raise ImportError("segvol.ray needs Ray: pip install 'segvol[ray]'") from None

__all__ = ["Segmenter", "cohort"]

_LOG = logging.getLogger(__name__)
# Seconds: between two looks at the workers, and for a worker to give back the scan that it has begun.
_POLL, _GRACE = 1.0, 30.0
# So many workers more than there are at a time may die while no scan is finished.
_DEATHS = 3
_PATHS = ("prompts", "embeddings", "library", "bench_results", "csv", "parquet")
_NOT_HERE = {
    "plan": "segvol.command('cohort', '--plan', …) says how long one machine takes",
    "review": "segvol.cohort(…, resume=True, review=K) draws it afterwards",
}
# The command ends with one of these when there is nothing left to do, and with 1 also after other failures.
_DONE, _FAILED = 0, 1
_OVER = re.compile(r"(?s).*\d+ of \d+ scans failed")
# And with one of these when another worker would do no better.
_FATAL = range(2, 9)


def cohort(
    images: "str | os.PathLike[str]",
    *,
    model: "str | os.PathLike[str]",
    out: "str | os.PathLike[str]",
    text: "str | Iterable[str] | None" = None,
    prompts: "str | os.PathLike[str] | None" = None,
    workers: "int | None" = None,
    num_cpus: float = 1,
    num_gpus: float = 0,
    resume: bool = False,
    progress: "bool | Callable[[int, int], object] | None" = None,
    **options: Any,
) -> Any:
    """Segments many scans, as `segvol cohort` on each worker of a cluster, and returns the summary of the output folder.

    Uses the cluster to which `ray.init` has connected, else the one that `ray.init()` finds or starts. A worker is one process with
    `num_cpus` cores as threads and `num_gpus` GPUs, and takes the next scan that is free. `workers`: how many; by default as many as the
    nodes hold now. More may be asked for: they start when nodes join. All nodes must see scans, bundle and `out` under the same
    paths. `options` are those of the command: `provider="cuda"`, `retries=2`, `csv="volumes.csv"`.

    Workers that die, with their node or alone, are replaced, and their scans done by others: at once on the same machine, elsewhere
    after the 60 seconds in which the dead one gave no sign of life. `progress`: True for a bar (needs tqdm), or a function that is
    called with the scans that are over and their total; scans of an earlier run count from the start. An exception in it and
    Ctrl-C stop all workers; `resume=True` goes on.

    Raises what `segvol.cohort` raises: UsageError if `out` holds an earlier run and `resume` is not True, RunError after all others are
    done if scans failed, or if workers die again and again while no scan is finished.
    """
    for name, instead in _NOT_HERE.items():
        if options.pop(name, None):
            raise _errors.UsageError(f"{name}: not with Ray; {instead}")
    options.pop("quiet", None)
    options = {name: _absolute(value) if name in _PATHS and value else value for name, value in {"prompts": prompts, **options}.items()}
    tables = {name: options.pop(name, None) for name in ("csv", "parquet")}
    folder = Path(_absolute(out))
    if not resume and (folder / "manifest.jsonl").exists():
        if scans := json.loads(_command._called("cohort", "summary", folder, "--json"))["scans"]:
            plural = "scan" if scans == 1 else "scans"
            raise _errors.UsageError(f"`{folder}`: holds an earlier run of {scans} {plural}\n--resume goes on with it")
    names = [text] if isinstance(text, str) else text
    words = ["cohort", f"--model={_absolute(model)}", f"--images={_absolute(images)}", f"--out={folder}", "--resume"]
    words += _command._options({"text": names, "jobs": 1, **options})
    if not ray.is_initialized():
        ray.init()
    count = _held(num_cpus, num_gpus) if workers is None else workers
    if count < 1:
        what = f"num_cpus={num_cpus} and num_gpus={num_gpus}"
        raise _errors.UsageError(
            f"workers: expected at least 1, found {count}" if workers is not None else f"no node of the cluster has {what}"
        )
    resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
    with _model._Bar(progress, "scan") as follow, _Mark(folder) as mark:
        run = _Run(words, folder, mark, resources, count, follow)
        try:
            run.wait()
        finally:
            run.stop()
            for warning in run.warnings.values():
                warnings.warn(warning, stacklevel=2)
    return json.loads(_command._called("cohort", "summary", folder, "--json", *_command._options(tables)))


def _absolute(path: "str | os.PathLike[str]") -> str:
    """The path as all nodes see it. `os.path.abspath` would remove `..` behind a link."""
    return os.path.join(os.getcwd(), path)


def _held(num_cpus: float, num_gpus: float) -> int:
    """How many workers the nodes of the cluster hold."""
    wanted = {name: number for name, number in {"CPU": num_cpus, "GPU": num_gpus}.items() if number > 0}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(int(min((node.get(name, 0) // number for name, number in wanted.items()), default=1)) for node in nodes)


class _Mark:
    """A file by which workers see that they share the output folder, which is made if it is missing, and removed if it stays empty."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f".segvol-ray-{uuid.uuid4().hex}"
        self._is_new = not folder.exists()

    def __enter__(self) -> Path:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
        except OSError as error:
            raise _errors.UsageError(f"`{self._path.parent}`: cannot be written: {error}") from None
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        if self._is_new and self._path.parent.is_dir() and not any(self._path.parent.iterdir()):
            self._path.parent.rmdir()


class _Manifest:
    """The scans that are over, by the manifest, which workers write to meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "manifest.jsonl"
        self._end = 0
        # Those that failed before are tried again.
        self.over = {id for id, status in dict(self.read()).items() if status == "done"}

    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> "list[tuple[str, str]]":
        """Id and status of the lines that are new."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._end)
                whole = file.read().rpartition(b"\n")[0]
            lines = [json.loads(line) for line in whole.splitlines()]
        except (OSError, ValueError):
            # It is not there yet, or a worker changes it at this moment. The next look sees it whole.
            return []
        self._end += len(whole) + bool(whole)
        return [(line["id"], line["status"]) for line in lines if "status" in line]


class _Slot:
    """A worker, and the call that it is at."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.call = actor.ready.remote()
        self.news: "News | None" = None
        self.works = False


class _Run:
    """Workers, and what they have said. The run ends when the engine says so in one of them: it looks at every scan itself."""

    def __init__(
        self,
        words: "list[str]",
        folder: Path,
        mark: Path,
        resources: "dict[str, float]",
        count: int,
        follow: "Callable[[int, int], object] | None",
    ) -> None:
        self._folder = folder
        self._manifest = _Manifest(folder)
        self._follow = follow
        self._told: "tuple[int, int] | None" = None
        self._total: "int | None" = None
        self._deaths = 0
        self.warnings: "dict[str, _errors.SegvolWarning]" = {}
        remote = ray.remote(Worker).options(**resources, scheduling_strategy="SPREAD", max_restarts=0, max_task_retries=0)
        self._new: "Callable[[], _Slot]" = lambda: _Slot(remote.remote(words, mark))
        self._slots = [self._new() for _ in range(count)]

    def wait(self) -> None:
        """Returns when all scans are done. Raises what went wrong."""
        while not self._is_over():
            pass
        count = self._total or len(self._manifest.over)
        self._tell(count, count)

    def _is_over(self) -> bool:
        """Hears the workers that have something to say. True: all scans are done."""
        self._start()
        ready, _ = ray.wait([slot.call for slot in self._slots if slot.call is not None], timeout=_POLL)
        # Before deaths are counted.
        self._look()
        return any(self._heard(slot) for slot in [slot for slot in self._slots if slot.call in ready])

    def _start(self) -> None:
        """Lets one worker make the manifest, so that what is wrong for all is said once, and then all."""
        idle = [slot for slot in self._slots if slot.news is not None and not slot.works]
        if not self._manifest.exists():
            idle = [] if any(slot.works for slot in self._slots) else idle[:1]
        for slot in idle:
            slot.works = True
            slot.call = slot.actor.work.remote(_POLL)

    def _heard(self, slot: _Slot) -> bool:
        """Notes what a worker says. True: all scans are done."""
        try:
            news = ray.get(slot.call)
        except ray.exceptions.RayTaskError as error:
            raise _errors.RunError(f"a worker failed: {error}") from error
        except ray.exceptions.RayError as error:
            self._died(slot, str(error))
            return False
        self._note(slot, news)
        code = news.code
        if code is None:
            slot.call = slot.actor.work.remote(_POLL) if slot.works else None
            return False
        message = "\n".join(news.errors)
        if code == _DONE:
            return True
        if code == _FAILED and _OVER.fullmatch(message):
            raise _errors.RunError(message)
        if code in _FATAL:
            raise _command._OF_EXIT_CODE.get(code, _errors.RunError)(f"{message}\non the node {news.node}")
        self._died(slot, f"segvol has ended with exit code {code} on the node {news.node}\n{message}".strip())
        return False

    def _died(self, slot: _Slot, why: str) -> None:
        """Starts another worker in the place of one that has died."""
        # It may be alive behind a broken connection.
        ray.kill(slot.actor)
        self._slots.remove(slot)
        self._deaths += 1
        if self._deaths > len(self._slots) + 1 + _DEATHS:
            begun = f"; being done were: {', '.join(found)}" if (found := self._begun()) else ""
            raise _errors.RunError(f"{self._deaths} workers have died since a scan was finished{begun}\n{why}")
        _LOG.warning("a worker has died, and another one is started: %s", why.splitlines()[0])
        self._slots.append(self._new())

    def _begun(self) -> "list[str]":
        """The scans that workers have begun, also dead ones."""
        claims = []
        for claim in sorted((self._folder / ".segvol-cohort" / "claims").glob("*")):
            try:
                claims.append(str(json.loads(claim.read_bytes())["id"]))
            except (OSError, ValueError, KeyError):
                continue
        return claims

    def _note(self, slot: _Slot, news: News) -> None:
        slot.news = news
        self._total = news.total or self._total
        for warning in news.warnings:
            self.warnings.setdefault(str(warning), warning)
        if news.code is not None:
            _LOG.info("the worker on %s has ended with exit code %d after %d scans", news.node, news.code, news.done)

    def _look(self) -> None:
        """Sees which scans are over."""
        if new := self._manifest.read():
            self._deaths = 0
            self._manifest.over.update(id for id, _ in new)
        if self._total is not None:
            self._tell(min(len(self._manifest.over), self._total), self._total)

    def _tell(self, done: int, total: int) -> None:
        if self._follow is not None and self._told != (done, total):
            self._told = (done, total)
            self._follow(done, total)

    def stop(self) -> None:
        """Ends all workers. Those that wait for a place in the cluster are not waited for."""
        running = [slot for slot in self._slots if slot.works and slot.news is not None and slot.news.code is None]
        calls = {slot.actor.stop.remote(_GRACE): slot for slot in running}
        try:
            if calls:
                for call in ray.wait(list(calls), num_returns=len(calls), timeout=2 * _GRACE)[0]:
                    try:
                        self._note(calls[call], ray.get(call))
                    except ray.exceptions.RayError as error:
                        _LOG.warning("a worker has died while it was stopped: %s", error)
        finally:
            for slot in self._slots:
                ray.kill(slot.actor)
