"""What each step of the postprocessing does to the masks of held-out phantoms: Dice and the greatest surface distance.

    python scripts/phantom.py --seed 970000 --count 20 --out target/postprocessing
    python scripts/postprocessing_table.py --segvol target/release/segvol --bundle bundle --cases target/postprocessing/cases.json \
        --out target/postprocessing/rows

Runs `segvol eval` once for each step, with the embeddings of the first run, and prints Markdown tables. Rows are kept as JSON in --out. A
mask that became empty has Dice 0, and no distance: such objects are counted.
"""

import argparse
import json
import subprocess
from pathlib import Path
from statistics import mean

STEPS: dict[str, list[str]] = {
    "model": [],
    "keep-with-prompt": ["--keep-with-prompt"],
    "smooth 2 mm": ["--smooth", "2"],
    "smooth 4 mm": ["--smooth", "4"],
    "fill-holes": ["--fill-holes"],
    "min-volume 1 mL": ["--min-volume", "1"],
    "largest": ["--largest-component"],
    "fill + largest": ["--fill-holes", "--largest-component"],
}
FIGURES = {"Dice": ("dice", 3), "greatest surface distance, mm": ("hausdorff_mm", 1)}


def rows_of(arguments: argparse.Namespace, step: str) -> list[dict]:
    """The rows of one step, computed if they are not there."""
    file = arguments.out / f"{step.replace(' ', '_')}.json"
    if not file.exists():
        command = [arguments.segvol, "eval", "-m", arguments.bundle, "--cases", arguments.cases, "-q", "-o", file]
        command += ["--prompts", "text,text+points", "--embeddings", arguments.out / "embeddings", "--jobs", "1"]
        subprocess.run([*map(str, command), *STEPS[step]], check=True, stdout=subprocess.DEVNULL)
    cases = json.loads(file.read_text())["cases"]
    return [row for case in cases for row in case["rows"] if row["truth_voxels"] > 0]


def table(rows: dict[str, list[dict]], prompt: str, figure: str, digits: int) -> str:
    """One line per structure, one column per step."""
    steps = [step for step in rows if prompt != "text" or step != "keep-with-prompt"]
    value = {row["structure"]: row["value"] for row in rows["model"]}
    lines = [f"| structure | n | {' | '.join(steps)} |", "|---" * (len(steps) + 2) + "|"]
    for structure in [*sorted(value, key=value.get), None]:
        cells = []
        for step in steps:
            of = [row for row in rows[step] if row["prompt"] == prompt and structure in (None, row["structure"])]
            found = [row["zoom_in"][figure] for row in of if row["zoom_in"][figure] is not None]
            missing = f" ({len(of) - len(found)} without)" if len(found) < len(of) else ""
            cells.append(f"{mean(found):.{digits}f}{missing}" if found else "–")
        n = sum(row["prompt"] == prompt and structure in (None, row["structure"]) for row in rows["model"])
        lines.append(f"| {structure or '**all**'} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--segvol", type=Path, required=True, help="the command")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--cases", type=Path, required=True, help="the list that scripts/phantom.py writes")
    parser.add_argument("--out", type=Path, required=True, help="folder for rows and embeddings")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = {step: rows_of(arguments, step) for step in STEPS}
    for prompt in ("text", "text+points"):
        for title, (figure, digits) in FIGURES.items():
            print(f"{title}, by {prompt}\n\n{table(rows, prompt, figure, digits)}\n")


if __name__ == "__main__":
    main()
