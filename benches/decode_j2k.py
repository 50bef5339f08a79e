"""Writes 600 slices of 512 x 512 as JPEG 2000 and decodes them with OpenJPEG alone, in C, on all cores.

    python3 benches/decode_j2k.py FOLDER        (needs numpy and imagecodecs)
    cargo bench -p segvol-benches --bench decode_j2k -- FOLDER

The second command decodes the same files with the toolkit. Both print processor time, which other programs change little.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy

SLICES = 600


def slice_of_a_phantom(k: int) -> numpy.ndarray:
    """A body with organs, bones and noise in air: stored values of 12 bits, HU + 1024."""
    j, i = numpy.mgrid[-1:1:512j, -1:1:512j]
    values = numpy.where((i / 0.8) ** 2 + (j / 0.6) ** 2 < 1, 1040.0, 24.0)
    for organ in range(12):
        x, y, r = 0.5 * numpy.cos(organ + k / 90), 0.35 * numpy.sin(2 * organ + k / 70), 0.06 + 0.01 * (organ % 5)
        values[(i - x) ** 2 + (j - y) ** 2 < r * r] = [300, 1090, 1120, 1900][organ % 4]
    values += numpy.random.default_rng(k).normal(0, 12, values.shape)
    return values.clip(0, 4095).astype("<u2")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    streams = []
    for k in range(SLICES):
        path = folder / f"{k:03}.j2k"
        if not path.exists():
            image = slice_of_a_phantom(k)
            path.write_bytes(imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=True, level=0, bitspersample=12))
        streams.append(path.read_bytes())
    cores = os.cpu_count() or 1
    wall, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda stream: imagecodecs.jpeg2k_decode(stream, numthreads=1).shape, streams))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"OpenJPEG in C: {SLICES} slices on {cores} cores: {wall:.2f} s, {processor:.2f} s of processor time")


main()
