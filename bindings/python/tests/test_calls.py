"""Calls follow their progress, stop when they are asked to, and leave other threads alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import segvol


def test_progress_counts_windows(model: segvol.Model, scan: Path) -> None:
    seen: "list[tuple[int, int]]" = []
    model.study(scan).segment(text="liver", progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(seen[0][0], seen[-1][1] + 1)) and seen[-1][0] == seen[-1][1]
    model.study(scan).segment(text="liver", progress=True)
    with pytest.raises(segvol.UsageError, match="True or a function, found int"):
        model.study(scan).segment(text="liver", progress=3)


def test_an_exception_in_a_callback_stops_the_call(model: segvol.Model, scan: Path, liver: np.ndarray) -> None:
    study = model.study(scan)

    def stop(done: int, total: int) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        study.segment(text="liver", progress=stop)
    assert np.array_equal(study.segment(text="liver").mask, liver), "the study can still be used"


def test_ctrl_c_stops_a_call(bundle: Path, scan: Path) -> None:
    code = """
import sys, segvol
study = segvol.Model(sys.argv[1], provider="cpu", threads=1).study(sys.argv[2], effort="exact", profile="released")
print("ready", flush=True)
while True:
    study = study if study.segment(text="liver", progress=lambda done, total: None) else None
"""
    process = subprocess.Popen([sys.executable, "-c", code, bundle, scan], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors and process.returncode in (1, 130, -signal.SIGINT)


def test_other_threads_run_meanwhile(model: segvol.Model, scan: Path) -> None:
    ticks = 0
    over = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not over.wait(0.001):
            ticks += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = ticks
        model.study(scan).segment(text="liver")
        assert ticks > before + 3
    finally:
        over.set()
        thread.join()


def test_threads_share_a_model_and_a_study(model: segvol.Model, scan: Path, liver: np.ndarray) -> None:
    study = model.study(scan, independent=True)
    alone = model.study(scan, independent=True).segment(text="spleen").mask
    with ThreadPoolExecutor(4) as pool:
        names = ["liver", "spleen"] * 3
        found = list(pool.map(lambda name: study.segment(text=name).mask, names))
        others = list(pool.map(lambda _: model.study(scan).segment(text="liver").mask, range(3)))
    assert all(np.array_equal(mask, liver if name == "liver" else alone) for name, mask in zip(names, found, strict=True))
    assert all(np.array_equal(mask, liver) for mask in others)


def test_results_outlive_their_study_and_model(bundle: Path, scan: Path, liver: np.ndarray) -> None:
    found = segvol.Model(bundle, provider="cpu").study(scan).segment(text="liver")
    mask = found.mask
    del found
    mask[0, 0, 0] = True
    mask[0, 0, 0] = liver[0, 0, 0]
    assert np.array_equal(mask, liver)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_of_a_process_with_a_model_is_told_so(bundle: Path, scan: Path) -> None:
    code = """
import os, sys, numpy, segvol
model = segvol.Model(sys.argv[1], provider="cpu")
study = model.study(sys.argv[2])
found = study.segment(text="liver")
child = os.fork()
if child == 0:
    refused = []
    for work in (
        lambda: segvol.Model(sys.argv[1], provider="cpu"),
        lambda: model.study(sys.argv[2]),
        lambda: model.study(numpy.zeros((90, 90, 90), numpy.int16), spacing=(1, 1, 1), axes="ijk"),
        lambda: study.segment(text="liver"),
        lambda: found.mask,
        lambda: found.logits,
        lambda: found.report,
        lambda: found.picture(),
        lambda: found.save("a.nii.gz"),
        lambda: study.label_map([found]),
        lambda: repr(found),
    ):
        try:
            work()
        except segvol.RunError as error:
            refused.append("was forked" in str(error))
    del model, study, found, work
    sys.exit(0 if refused == [True] * 11 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert found.mask.any() and study.segment(text="spleen").mask.any()
"""
    subprocess.run([sys.executable, "-c", code, bundle, scan], check=True, timeout=60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_flat(bundle: Path, scan: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    model = segvol.Model(bundle, provider="cpu")
    rounds = int(os.environ.get("SEGVOL_TEST_ROUNDS", "60"))
    at: "list[int]" = []
    for _ in range(rounds):
        study = model.study(scan)
        found = study.segment(text="liver")
        assert found.mask.any() and found.probabilities.max() > 0.5
        at.append(resident())
    # The first rounds fill the pools of the allocators.
    settled = at[rounds // 3]
    assert at[-1] - settled < 20 << 20, f"{settled >> 20} MiB after a third, {at[-1] >> 20} MiB after {rounds} rounds"


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({}, "nothing to segment"),
        ({"text": ""}, "only blanks"),
        ({"points": [(1, 2)]}, r"\[0\].points\[0\]: expected \[i, j, k\]"),
        ({"points": [(1e9, 0, 0)]}, "outside"),
        ({"points": [(float("nan"), 0, 0)]}, "finite"),
        ({"points": object()}, "found object"),
        ({"box": (1, 2, 3)}, "box"),
        ({"text": "liver", "space": "mars"}, "space"),
        ({"objects": [{"txt": "liver"}]}, "did you mean `text`"),
        ({"objects": []}, "at least one object"),
        ({"objects": [{"text": "liver"}], "text": "spleen"}, "not both"),
        ({"objects": 17}, "objects"),
    ],
)
def test_prompts_that_are_wrong_are_refused(model: segvol.Model, scan: Path, prompts: dict, message: str) -> None:
    with pytest.raises(segvol.SegvolError, match=message):
        model.study(scan).segment(**prompts)


def test_label_maps_are_of_one_call(model: segvol.Model, scan: Path) -> None:
    study, other = model.study(scan), model.study(scan)
    first = study.segment([{"text": "liver"}, {"text": "spleen"}])
    assert study.label_map(first).shape == study.shape
    second = other.segment([{"text": "liver"}])
    for wrong in ([], first[:1], first[::-1], [first[0], second[0]]):
        with pytest.raises(segvol.UsageError, match="one call"):
            study.label_map(wrong)
    with pytest.raises(segvol.UsageError, match="this study"):
        study.label_map(second)
