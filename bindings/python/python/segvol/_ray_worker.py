"""A worker of `segvol.ray.cohort`: an actor of Ray that runs one process `segvol cohort`."""

import importlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segvol import _command, _errors

# Starts the program so that the kernel kills it with the actor. Ray ends what an actor has started when the actor dies alone, but not when
# its node is killed with it: the program would go on beside the one that takes its place. The kernel kills it when the *thread* ends that
# started it, which must be the actor's main thread. A preexec_fn is not safe in a process with threads, of which Ray's have many.
_LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""
# In a line of the JSON log: scan \"ID\" (3 of 12): done in 0.1 s
_DONE = re.compile(r'.*\\" \(\d+ of (\d+)\): done in ')
# How long another machine may need to see a new file on a network file system.
_VISIBLE = 5.0


@dataclass
class News:
    """What has happened since the last time."""

    node: str
    # Of the process; None while it runs.
    code: "int | None" = None
    # Scans of the cohort, when it is known; scans that this process has done.
    total: "int | None" = None
    done: int = 0
    warnings: "list[_errors.SegvolWarning]" = field(default_factory=list)
    # All of them, when the process has ended.
    errors: "list[str]" = field(default_factory=list)


class Worker:
    """`words` are those of the command. `mark` is a file in the output folder, which the driver has made."""

    def __init__(self, words: "list[str]", mark: Path) -> None:
        self._words = words
        self._mark = mark
        self._process: "subprocess.Popen[str] | None" = None
        self._reader: "threading.Thread | None" = None
        context: Any = importlib.import_module("ray").get_runtime_context()
        self._news = News(f"{socket.gethostname()} ({context.get_node_id()})")
        self._threads = cores(context)

    def ready(self) -> News:
        """Answers when the cluster has started this actor."""
        return self._news

    def work(self, seconds: float) -> News:
        """Starts the process at the first call. Returns when it has ended, or after this time."""
        if self._process is None:
            try:
                self._start()
            except _errors.SegvolError as error:
                codes = [code for code, kind in _command._OF_EXIT_CODE.items() if isinstance(error, kind)]
                return News(self._news.node, codes[0] if codes else 1, errors=[str(error)])
        return self._told(seconds)

    def stop(self, seconds: float) -> News:
        """Lets the process give back the scan that it has begun. Kills it after this time."""
        if self._process is None:
            return self._news
        self._process.terminate()
        news = self._told(seconds)
        if news.code is None:
            self._process.kill()
            news = self._told(None)
        return news

    def _start(self) -> None:
        deadline = time.monotonic() + _VISIBLE
        while not self._mark.exists():
            if time.monotonic() > deadline:
                raise _errors.InputError(f"`{self._mark.parent}`: expected the output folder; all nodes must share it under this path")
            time.sleep(0.2)
        threads = [] if any(word.startswith("--threads=") for word in self._words) else [f"--threads={self._threads}"]
        program = str(_command.executable())
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), program, "--log-format", "json", *self._words, *threads],
            env=_command._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=[self._process], daemon=True)
        self._reader.start()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                _command._said(line.rstrip("\n"), self._news.errors, self._news.warnings)
                if found := _DONE.match(line):
                    self._news.total = int(found[1])
                    self._news.done += 1

    def _told(self, seconds: "float | None") -> News:
        assert self._process is not None and self._reader is not None
        code = None
        try:
            code = self._process.wait(seconds)
            self._reader.join()
        except subprocess.TimeoutExpired:
            pass
        now = self._news
        # The reader goes on meanwhile.
        warnings = [now.warnings.pop(0) for _ in range(len(now.warnings))]
        return News(now.node, code, now.total, now.done, warnings, [] if code is None else now.errors)


def cores(context: Any) -> int:
    """The cores that Ray has assigned to this actor."""
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))
