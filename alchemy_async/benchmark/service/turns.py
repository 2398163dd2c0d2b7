"""Turns: both sides measured alternately, so that what else the machine does falls on both.

In:    what to do, once for each side.
Out:   one row: the figures of each side, and how many times quicker ours was.
Never: lets one side run while the other is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alchemy_async.benchmark.figures import percentile

OURS, THEIRS = "alchemy-async", "ALchemist"


def in_turns(n: int, each: Mapping[str, Callable[[int], float]]) -> dict[str, list[float]]:
    """Do something ``n`` times on each side, in turns.

    Args:
        n: How often, > 0.
        each: By the side's name: given the number of the turn, what returns its seconds.

    Returns:
        The seconds of each side, in the order of the turns.
    """
    found: dict[str, list[float]] = {name: [] for name in each}
    for k in range(n):
        for name, once in each.items():
            found[name].append(once(k))
    return found


def row(what: str, seconds: Mapping[str, Sequence[float]], **more: object) -> dict[str, Any]:
    """Return a row of a table: figures of each side, and the ratio of the medians."""
    each = {name: figures(values) for name, values in seconds.items() if values}
    return {"what": what, "each": each, "times_quicker": times_quicker(each), **more}


def figures(seconds: Sequence[float]) -> dict[str, Any]:
    """Return number, percentiles and rate of requests that followed one another."""
    return {
        "n": len(seconds),
        "p50_ms": _ms(seconds, 50),
        "p95_ms": _ms(seconds, 95),
        "per_s": len(seconds) / sum(seconds) if sum(seconds) > 0 else None,
    }


def times_quicker(each: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return their median over ours; None where one of them is missing."""
    if OURS not in each or THEIRS not in each or not each[OURS]["p50_ms"]:
        return None
    return float(each[THEIRS]["p50_ms"] / each[OURS]["p50_ms"])


def _ms(seconds: Sequence[float], percent: float) -> float | None:
    found = percentile(seconds, percent)
    return None if found is None else 1000 * found
