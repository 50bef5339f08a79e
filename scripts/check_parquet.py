#!/usr/bin/env python3
"""Compares the two tables of a cohort, CSV and Parquet, cell for cell. Both are read by programs that segvol does not share.

    pip install pandas==3.1.1 pyarrow==26.0.1
    scripts/check_parquet.py CSV PARQUET

Columns and their order, types, the number of rows, and every value must be equal; numbers exactly. A text that CSV must not show as
a formula has a `'` before it there. pandas must read the same from both.
Exits with 1 if anything differs.
"""

import csv
import sys

import pandas
import pyarrow
import pyarrow.parquet

TYPES = {pyarrow.string(): str, pyarrow.int64(): int, pyarrow.float64(): float}
FORMULA = tuple("=+-@＝＋－＠")


def value(cell: str, kind: type) -> str | int | float | None:
    """The value of a cell of the CSV."""
    if cell == "":
        return None
    if kind is str and cell.startswith("'") and cell.lstrip("'").startswith(FORMULA):
        return cell[1:]
    return kind(cell)


def differences(csv_file: str, parquet_file: str) -> list[str]:
    """What differs, in words."""
    table = pyarrow.parquet.read_table(parquet_file)
    with open(csv_file, encoding="utf-8", newline="") as file:
        names, *lines = csv.reader(file, strict=True)
    if names != table.column_names:
        return [f"columns: {names} in CSV, {table.column_names} in Parquet"]
    if len(lines) != table.num_rows:
        return [f"rows: {len(lines)} in CSV, {table.num_rows} in Parquet"]
    found = []
    for index, field in enumerate(table.schema):
        if field.type not in TYPES:
            found.append(f"column `{field.name}`: unexpected type {field.type}")
            continue
        kind = TYPES[field.type]
        for row, (line, other) in enumerate(zip(lines, table.column(index).to_pylist()), 1):
            cell = line[index]
            if kind is str and cell.startswith(FORMULA):
                found.append(f"row {row}, column `{field.name}`: {cell!r} is a formula in a spreadsheet")
            if value(cell, kind) != other:
                found.append(f"row {row}, column `{field.name}`: {cell!r} in CSV, {other!r} in Parquet")
    if not found and lines:
        found = by_pandas(csv_file, parquet_file, [field.name for field in table.schema if TYPES[field.type] is not str])
    return found


def by_pandas(csv_file: str, parquet_file: str, numbers: list[str]) -> list[str]:
    """Whether the columns with numbers are the same for those who read both with pandas."""
    left = pandas.read_csv(csv_file, usecols=numbers, low_memory=False)[numbers].astype(float)
    right = pandas.read_parquet(parquet_file)[numbers].astype(float)
    return [] if left.equals(right) else ["pandas reads other numbers from CSV than from Parquet"]


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found = differences(*arguments)
    for line in found[:20]:
        print(line, file=sys.stderr)
    if found:
        print(f"{len(found)} differences", file=sys.stderr)
        return 1
    print(f"{arguments[1]}: equal to {arguments[0]}, {pyarrow.parquet.read_metadata(arguments[1]).num_rows} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
