"""The same program as `twin` in `calls.rs`, through the Python package: call.py BUNDLE SCAN.nii.gz ZOOM_IN."""

import sys
import time

import segvol

bundle, scan, zoom_in = sys.argv[1:]
model = segvol.Model(bundle, provider="cpu", threads=1)
study = model.study(scan, zoom_in=zoom_in != "0")
for _ in sys.stdin:
    start = time.perf_counter()
    asked = model.study(scan) if zoom_in == "whole" else study
    _mask = asked.segment(text="liver").mask
    print(f"{(time.perf_counter() - start) * 1e3:.5f}", flush=True)
