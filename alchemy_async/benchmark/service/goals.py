"""Goals: what the service's figures should reach, and whether they do.

In:    the document of a run.
Out:   one line for each goal whose figures were measured, missed ones too.
Never: measures, or judges by a figure of another run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from alchemy_async.benchmark.service.turns import OURS

Document = Mapping[str, Any]
Goal = dict[str, Any]

STAGE_WITH_MANY = 20.0  # times their requests a second
SUGGEST = 5.0  # times as quick
GROWTH = 2.0  # times the median in an empty session
_AHEAD = 1.0


def judge(document: Document) -> list[Goal]:
    """Return every goal with the figure that it is judged by: ``goal, figure, limit, is_met``."""
    parts: tuple[Callable[[Document], Iterator[Goal]], ...] = (_staged, _mixed, _suggest, _regret, _start, _growth)
    return [goal for part in parts for goal in part(document)]


def _at_most(what: str, figure: float | None, limit: float) -> Goal:
    is_met = figure is not None and figure <= limit
    return {"goal": what, "figure": figure, "limit": f"<= {limit:g}", "is_met": is_met}


def _at_least(what: str, figure: float | None, limit: float) -> Goal:
    is_met = figure is not None and figure >= limit
    return {"goal": what, "figure": figure, "limit": f">= {limit:g}", "is_met": is_met}


def _staged(document: Document) -> Iterator[Goal]:
    for row in document.get("staged") or ():
        if row["times_quicker"] is not None:
            limit = STAGE_WITH_MANY if "n_waiting" in row else _AHEAD
            yield _at_least(f"{row['what']}: times as quick", row["times_quicker"], limit)


def _mixed(document: Document) -> Iterator[Goal]:
    found = document.get("mixed")
    if not found:
        return
    mine = found["each"][OURS]
    if found["times_quicker"] is not None:
        what = f"{found['n_clients']} clients at once: times their requests a second"
        yield _at_least(what, found["times_quicker"], _AHEAD)
    yield _at_most("clients at once: requests refused", mine["n_refused"], 0)
    yield _at_most("clients at once: acknowledged rows missing, or rows too many", mine["n_missing"], 0)


def _suggest(document: Document) -> Iterator[Goal]:
    """Judge ours, which trains when it is asked, by theirs that was trained before."""
    for row in document.get("suggest") or ():
        if row["times_quicker"] is not None:
            yield _at_least(f"{row['what']}: times as quick", row["times_quicker"], SUGGEST)


def _regret(document: Document) -> Iterator[Goal]:
    found = document.get("regret")
    if found and found["ratio"] is not None:
        yield _at_most(f"regret on {found['problem']}, of theirs (geometric means)", found["ratio"], 1)


def _start(document: Document) -> Iterator[Goal]:
    found = document.get("start")
    for key, what in (("ready_s", "start to ready"), ("memory_mb", "memory after a first suggestion")):
        if found and found["times_less"][key] is not None:
            yield _at_least(f"{what}: times less", found["times_less"][key], _AHEAD)


def _growth(document: Document) -> Iterator[Goal]:
    for row in document.get("growth") or ():
        yield _at_most(f"{row['what']} with {row['n_rows']} rows, times an empty session", row["ratio"], GROWTH)
