#!/usr/bin/env python3
"""Checks the graphs of bundles with the ONNX project's own checker: full check, and strict shape inference.

    pip install onnx==1.23.2
    scripts/check_graphs.py BUNDLE ...

Shape inference knows only standard operators: it is run on the graphs without fused attention, whose every tensor must
get a shape.
Exits with 1 if a graph fails, after having looked at all.
"""

import sys
from pathlib import Path

import onnx


def check(path: Path) -> list[str]:
    """What is wrong with one graph."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
        if "fused" in path.name:
            return []
        model = onnx.load(str(path), load_external_data=False)
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # the checker's own errors, and files that are no model
        return [str(error).strip().splitlines()[0]]
    known = {value.name for value in [*inferred.value_info, *inferred.output] if value.type.tensor_type.HasField("shape")}
    return [f"tensor `{name}` has no shape" for node in inferred.node for name in node.output if name not in known]


def main(bundles: list[str]) -> int:
    if not bundles:
        print(__doc__, file=sys.stderr)
        return 2
    failed = False
    for bundle in bundles:
        graphs = sorted(Path(bundle).glob("*.onnx"))
        if not graphs:
            print(f"{bundle}: expected graphs (*.onnx), found none", file=sys.stderr)
            failed = True
        for graph in graphs:
            faults = check(graph)
            failed |= bool(faults)
            print(f"{graph}: {'; '.join(faults) or 'passes'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
