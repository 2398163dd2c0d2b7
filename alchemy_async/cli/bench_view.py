"""The benchmark for people: one table for each part, and the goals with what was reached.

In:    the document of a run.
Out:   tables on stdout.
Never: measures, or leaves a missed goal out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Document = Mapping[str, Any]

_FLOOR = {
    "replace": "write + fsync + rename + fsync folder",
    "publish": "write + fsync + link + fsync folder",
    "replace_without_fsync": "write + rename",
    "publish_without_fsync": "write + link",
    "sqlite_commit": "SQLite WAL FULL commit",
}
_WIDTH = 120  # of a file or pipe, which has none of its own
_TURNAROUND = ("p50_ms", "p99_ms", "max_ms", "n_above_500_ms")


def show(document: Document, console: Console | None = None) -> None:
    """Print all tables of a document."""
    console = console or Console(width=None if sys.stdout.isatty() else _WIDTH)
    place = document["machine"]
    console.print(
        f"{place['cores']} cores, load {place['load_1min']}, {place['system']}, Python {place['python']}, "
        f"SQLite {place['sqlite']}; {place['file_system']} under {place['folder']}",
        highlight=False,
    )
    for one in tables(document):
        console.print(one)
    for failure in document["failures"]:
        console.print(f"not measured: {failure['what']}: {failure['why']}", style="red", markup=False)
    console.print(f"{document['wall_s']:.0f} s in all.", highlight=False)


def tables(document: Document) -> list[Table]:
    """Return a table for each part that was measured."""
    found = [_floor(document["floor"])]
    found += [make(document[part]) for part, make in _TABLES.items() if document.get(part)]
    if document.get("throughput") or document.get("peers"):
        found.append(_rates(document))
    return [*found, _goals(document["goals"])]


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table whose first column is text."""
    made = Table()
    for k, head in enumerate(heads):
        made.add_column(head, justify="left" if k == 0 else "right", overflow="fold")
    for row in rows:
        made.add_row(*(escape(number(value)) for value in row))
    return made


def number(value: object) -> str:
    """Return a value as a table shows it: three digits that count, or more where it is large."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _floor(floor: Mapping[str, Any]) -> Table:
    columns = ("per_s", "p50_ms", "p99_ms", "max_ms")
    rows = [
        (_FLOOR[kind], *(found[column] for column in columns), *_span(found["p50_of_each_sample_ms"]))
        for kind, found in floor.items()
    ]
    heads = ("Floor: bare disk", "per s", "p50 ms", "p99 ms", "max ms", "p50 of quietest", "of noisiest sample")
    return table(heads, rows)


def _span(medians: Sequence[float]) -> tuple[float | None, float | None]:
    return min(medians, default=None), max(medians, default=None)


def _throughput(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ("Throughput, workers", "durable", "jobs", "jobs/s", "of floor", "turnaround p50 ms", "p99 ms", "max ms",
             "> 500 ms", "note")  # fmt: skip
    return table(
        heads,
        [
            (
                row["n_workers"], row["durable"], row["n_jobs"], row["jobs_per_s"],
                (row["jobs_per_s"] or 0.0) / row["floor_per_s"] if row["durable"] else None,
                *(row["turnaround"][key] for key in _TURNAROUND), row["note"],
            )
            for row in rows
        ],
    )  # fmt: skip


def _turnaround(found: Mapping[str, Any]) -> Table:
    heads = ("Turnaround, workers", "n", "p50 ms", "p99 ms", "max ms", "> 500 ms", "jobs/s", "note")
    row = (found["n_workers"], found["n"], *(found[key] for key in _TURNAROUND), found["jobs_per_s"], found["note"])
    return table(heads, [row])


def _backlog(rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("n_waiting", "planner_cpu_ms_per_job", "cost_ratio", "jobs_per_s", "seconds_per_job_ratio")
    heads = ("Backlog, waiting", "planner's CPU ms/job", "ratio", "jobs/s, 3 workers", "ratio of s/job")
    return table(heads, [tuple(row[key] for key in keys) for row in rows])


def _restart(found: Mapping[str, Any]) -> Table:
    keys = ("restart_s", "bare_read_s", "python_start_s", "import_s", "ratio", "ratio_without_imports", "first_start_s")
    heads = (f"Restart, {found['n_waiting']} waiting", "s")
    return table(heads, [(key.removesuffix("_s").replace("_", " "), found[key]) for key in keys])


def _idle(found: Mapping[str, Any]) -> Table:
    rows = [*found["each_percent_of_a_core"].items(), ("all", found["all_percent_of_a_core"])]
    return table((f"Idle for {found['seconds']:.0f} s", "% of a core"), rows)


def _memory(found: Mapping[str, Any]) -> Table:
    keys = ("pss_mb", "private_mb", "rss_mb")
    rows = [(role, *(one[key] for key in keys)) for role, one in found["each"].items()]
    return table(("Memory", "PSS MB", "private MB", "RSS MB"), rows)


def _start(found: Mapping[str, Any]) -> Table:
    rows = [
        ("pool of 3, from exec to the third idle heartbeat", found["pool_ready_s"]),
        ("bare spawn of 3 that import the same driver", found["bare_spawn_s"]),
        ("ratio", found["ratio"]),
    ]
    return table(("Start", "s"), rows)


def _rates(document: Document) -> Table:
    """Return ours among the peers: for each number of workers the quickest first, ours marked."""
    ours = [{"name": "* alchemy-async", "missing": "", **row} for row in document.get("throughput") or ()]
    rows = [*ours, *(document.get("peers") or ())]
    rows.sort(key=lambda row: (bool(row["missing"]), row["n_workers"], -(row["jobs_per_s"] or 0.0)))
    heads = ("Side by side", "workers", "durable", "jobs/s", "note")
    shown = [
        (row["name"], "-" if row["missing"] else row["n_workers"], row["durable"], row["jobs_per_s"],
         row["missing"] or row.get("note", ""))
        for row in rows
    ]  # fmt: skip
    return table(heads, shown)


def _goals(goals: Sequence[Mapping[str, Any]]) -> Table:
    rows = [(goal["goal"], goal["figure"], goal["limit"], "met" if goal["is_met"] else "NOT MET") for goal in goals]
    return table(("Goal", "figure", "limit", ""), rows)


_TABLES: dict[str, Callable[[Any], Table]] = {
    "throughput": _throughput,
    "turnaround": _turnaround,
    "backlog": _backlog,
    "restart": _restart,
    "idle": _idle,
    "memory": _memory,
    "start": _start,
}
