"""Checks `segvol serve` as clients and attackers meet it: real processes on free ports.

Usage: check_server.py [--long] [NAME...]

    document   the OpenAPI document is valid, and schemathesis finds no answer that it does not describe
    load       eight clients side by side get the masks that they get alone, in fair turns and bounded memory
    memory     thousands of requests in flat memory
    ends       kill -9 leaves no file, SIGTERM ends streams and exits 0
    attacks    wrong tokens, lying lengths, bombs, slow clients, paths, other sites, garbage
    dicom      a zip of a series, and what it gives; a lone file never stands for another session's

SEGVOL is the command, BUNDLE a bundle of the demo model, ORT_DYLIB_PATH the library of ONNX Runtime. --long takes minutes: many more
requests and examples. Exit code: 0 if everything is right, else 1.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "server"))
# The series of the checks of formats.
sys.path.insert(1, str(Path(__file__).parent / "formats"))

import attacks  # noqa: E402
import dicom  # noqa: E402
import document  # noqa: E402
import ends  # noqa: E402
import load  # noqa: E402
import memory  # noqa: E402
from _server import main  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="many more requests and examples")
    parser.add_argument("names", nargs="*", metavar="NAME", help="document, load, memory, ends, attacks, dicom [default: all]")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    checks = {
        "document": lambda: document.run(examples=200 if given.long else 12),
        "load": lambda: load.run(rounds=6 if given.long else 2),
        "memory": lambda: memory.run(requests=50_000 if given.long else 10_000),
        "ends": ends.run,
        "attacks": attacks.run,
        "dicom": dicom.run,
    }
    if unknown := set(given.names) - set(checks):
        sys.exit(f"check_server.py: expected {', '.join(checks)}; found {', '.join(sorted(unknown))}")
    main({name: checks[name] for name in given.names or checks})
