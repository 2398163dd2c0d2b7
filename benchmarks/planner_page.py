"""Planner page: what `alchemy-async bench planner --json` measured, as tables of docs/benchmarks.md.

    alchemy-async bench planner --json > planner.json
    .venv/bin/python benchmarks/planner_page.py planner.json              # prints the tables
    .venv/bin/python benchmarks/planner_page.py planner.json --write      # and puts them into docs/benchmarks.md

Of several documents, such as one for each part, the parts of all are shown, and of each part the last that has it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from alchemy_async.benchmark.planning.goals import judge
from alchemy_async.cli.bench_planner import tables

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- planner: begin -->", "<!-- planner: end -->"


def merged(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one document with what each of them measured, judged anew."""
    whole: dict[str, Any] = {}
    for document in documents:
        whole |= {name: part for name, part in document.items() if name not in whole or _is_measured(part)}
    return {**whole, "goals": judge(whole)}


def _is_measured(part: Any) -> bool:  # noqa: ANN401 - whatever JSON can hold
    return any(_is_measured(inner) for inner in part.values()) if isinstance(part, dict) else bool(part)


def markdown(table: Table) -> Iterator[str]:
    """Yield the lines of a table; none of one without rows."""
    if table.row_count:
        yield f"| {' | '.join(str(column.header) for column in table.columns)} |"
        yield f"| {' | '.join('---' for _ in table.columns)} |"
        for cells in zip(*(column.cells for column in table.columns), strict=True):
            yield f"| {' | '.join(str(cell).replace('NOT MET', '**not met**') for cell in cells)} |"
        yield ""


def main() -> int:
    """Print the tables, and write them where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, nargs="+")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    whole = merged([json.loads(path.read_text(encoding="utf-8")) for path in arguments.documents])
    text = "\n".join(line for table in tables(whole) for line in markdown(table)).rstrip()
    print(text)
    if arguments.write:
        before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        if not begin:
            parser.error(f"{PAGE} has no line {BEGIN}; write it, and {END} below it, where the tables are to stand")
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
