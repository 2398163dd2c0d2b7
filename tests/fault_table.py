"""Fault table: which rows there are, and how the tests of each are shown.

In:    tests with their outcomes and what they counted.
Out:   text for people, a document for JSON, and the rows that nothing has shown.
Never: runs a test.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ROWS = {
    1: "kill -9 of the planner at each step, and at random",
    2: "kill -9 of a worker in mid-measurement",
    3: "kill -9 of the pool",
    4: "power cut",
    5: "disk full, EIO, read-only or missing folder",
    6: "damaged and hostile files",
    7: "unknown, duplicate, conflicting and late results",
    8: "two planners, two pools, 100 started at once",
    9: "10,000 contested claims",
    10: "SIGTERM, SIGINT",
    11: "SIGSTOP, suspend, a wall clock that jumps",
    12: "events that overflow, or never come",
    13: "a driver that hangs, raises, exits, crashes, floods or forks",
    14: "reset while daemons run",
    15: "files of a newer format",
    16: "kill -9 of the server",
    17: "an instrument's network that fails",
    18: "clients that vanish, repeat themselves or race",
}
OTHER = 0  # slow tests that belong to no row
OTHER_TITLE = "slow tests without a row"


@dataclass
class Test:
    """One test of the table. ``outcome`` is None until it has ended."""

    __test__ = False

    name: str
    rows: tuple[int, ...]
    is_slow: bool
    what: str
    outcome: str | None = None
    reason: str = ""
    seconds: float = 0.0
    counted: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The file it lies in."""
        return self.name.partition("::")[0]

    @property
    def function(self) -> str:
        """Its name without the case."""
        return self.name.partition("[")[0]

    def take(self, entry: Mapping[str, Any]) -> None:
        """Take what a line says about this test: what it counted, how it ended, or both."""
        self.counted = added(self.counted, entry.get("counted", {}))
        if "outcome" in entry:
            self.outcome, self.reason = entry["outcome"], entry.get("reason", "")
            self.seconds = entry.get("seconds", 0.0)

    def entry(self) -> dict[str, Any]:
        """Return all that was found out, as one line holds it."""
        return {
            "test": self.name, "outcome": self.outcome, "reason": self.reason,
            "seconds": self.seconds, "counted": self.counted,
        }  # fmt: skip


def added(ones: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Put two counts together: integers add up, of other numbers the largest stays, texts stand side by side."""
    both = dict(ones)
    for key, other in others.items():
        one = both.get(key)
        if one is None or (one == other and isinstance(one, str)):
            both[key] = other
        elif isinstance(one, dict) and isinstance(other, dict):
            both[key] = added(one, other)
        elif isinstance(one, bool) and isinstance(other, bool):
            both[key] = one and other
        elif isinstance(one, int) and isinstance(other, int):
            both[key] = one + other
        elif isinstance(one, int | float) and isinstance(other, int | float):
            both[key] = max(one, other)
        else:
            both[key] = f"{one}; {other}"
    return both


def summed(tests: Iterable[Test]) -> dict[str, Any]:
    """Return what several tests counted together."""
    total: dict[str, Any] = {}
    for test in tests:
        total = added(total, test.counted)
    return total


def totals(tests: Iterable[Test]) -> dict[str, int]:
    """Return what is counted in whole numbers; a test that shows two rows counts once."""
    counted = summed(tests)
    return {key: value for key, value in counted.items() if isinstance(value, int) and not isinstance(value, bool)}


def missing_rows(tests: Iterable[Test], rows: Iterable[int]) -> list[int]:
    """Return the rows that no test has shown: there is none, or all of them were skipped."""
    shown = {row for test in tests if test.outcome != "skipped" for row in test.rows}
    return sorted(set(rows) - shown)


def result(tests: Iterable[Test]) -> str:
    """Return one word, or counts, for the outcomes of several tests."""
    counts: dict[str, int] = {}
    for test in tests:
        counts[test.outcome or "not run"] = counts.get(test.outcome or "not run", 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))


def sentence(test: Test) -> str:
    """Return the first line of its docstring, or its name as a sentence."""
    name = test.function.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return test.what.rstrip(".") or name[:1].upper() + name[1:]


def by_row(tests: list[Test]) -> dict[int, dict[str, list[Test]]]:
    """Return the tests under their rows, the cases of one function together; a test may have several rows."""
    table: dict[int, dict[str, list[Test]]] = {}
    for test in tests:
        for row in test.rows or (OTHER,):
            table.setdefault(row, {}).setdefault(test.function, []).append(test)
    return {row: table[row] for row in sorted(table, key=lambda row: row or max(ROWS) + 1)}


def as_document(tests: list[Test], missing: list[int]) -> dict[str, Any]:
    """Return the table as JSON holds it."""
    rows = [
        {
            "row": row,
            "title": ROWS.get(row, OTHER_TITLE),
            "result": result([test for cases in functions.values() for test in cases]),
            "tests": [
                {
                    "test": function, "what": sentence(cases[0]), "n_cases": len(cases), "result": result(cases),
                    "skipped_because": sorted({test.reason for test in cases if test.outcome == "skipped"}),
                    "figures": summed(cases), "seconds": round(sum(test.seconds for test in cases), 1),
                }
                for function, cases in functions.items()
            ],
        }
        for row, functions in by_row(tests).items()
    ]  # fmt: skip
    failed = [test.name for test in tests if test.outcome not in ("passed", "skipped", None)]
    return {
        "result": result(tests), "n_tests": len(tests), "totals": totals(tests), "rows_not_shown": missing,
        "failed": failed, "seconds": round(sum(test.seconds for test in tests), 1), "rows": rows,
    }  # fmt: skip


def as_text(tests: list[Test], missing: list[int]) -> str:
    """Return the table as a terminal shows it."""
    width = min(max(shutil.get_terminal_size((120, 40)).columns, 80), 160)
    lines = ["", f"row  {'what':<{width - 38}}{'cases':>6}{'s':>9}  result"]
    for row, functions in by_row(tests).items():
        lines.append(f"{row or '-':>3}  {ROWS.get(row, OTHER_TITLE)}")
        for cases in functions.values():
            lines += _test_lines(cases, width)
    for row in missing:
        lines.append(f"{row:>3}  {ROWS[row]}: NOT SHOWN (no test, or all were skipped)")
    seconds = sum(test.seconds for test in tests)
    lines += ["", f"{len(tests)} tests, {seconds:.0f} s of testing: {result(tests)}"]
    if totals(tests):
        lines += textwrap.wrap(f"counted: {_figures(totals(tests))}", width)
    lines += [f"FAILED {test.name} {test.reason}".rstrip() for test in tests if _is_bad(test)]
    return "\n".join(lines)


def _test_lines(cases: list[Test], width: int) -> list[str]:
    what = textwrap.wrap(sentence(cases[0]), width - 41)
    seconds = sum(test.seconds for test in cases)
    first = f"     {what[0]:<{width - 38}}{len(cases):>6}{seconds:>9.1f}  {result(cases)}"
    lines = [first, *(f"       {line}" for line in what[1:])]
    notes = [_figures(summed(cases)), *sorted({f"skipped: {test.reason}" for test in cases if test.reason})]
    for note in filter(None, notes):
        lines += textwrap.wrap(note, width - 10, initial_indent=" " * 7, subsequent_indent=" " * 9)
    return lines


def _figures(counted: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in counted.items())


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | dict):
        return str(value)
    if isinstance(value, dict):
        return f"({_figures(value)})"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _is_bad(test: Test) -> bool:
    return test.outcome not in ("passed", "skipped", None)
