"""The summary of fronts and of failures: rows of their trials, and comparisons with ours.

In:    trials on problems with two objectives, or on problems where experiments fail.
Out:   a row for each problem and contender, a row for each comparison, pooled ones first.
Never: runs anything, compares times of two processes, or leaves a comparison out because it is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alchemy_async.benchmark.planning.comparing import compare, log10_ratios
from alchemy_async.benchmark.planning.contenders import IGNORING, OURS
from alchemy_async.benchmark.planning.failing import FAILING
from alchemy_async.benchmark.planning.fronts import FRONTS
from alchemy_async.benchmark.planning.problem import Record
from alchemy_async.benchmark.planning.summary import Row, grouped, regrets, spread
from alchemy_async.benchmark.planning.trial import Key


class Both(NamedTuple):
    """Two trials of one seed."""

    key: Key
    ours: Record
    theirs: Record


def front(records: Mapping[Key, Record]) -> dict[str, list[Row]]:
    """Return ``problems`` and ``comparisons`` of campaigns with two objectives."""
    found = _of(records, FRONTS)
    peers = sorted({key.contender for key in found} - {OURS})
    return {
        "problems": grouped(found, FRONTS, lambda each: {"share": spread([record["share"] for record in each])}),
        "comparisons": [
            {**where, **_shares(both), **_times(both)} for peer in peers for where, both in _pairs(found, peer, FRONTS)
        ],
    }


def failing(records: Mapping[Key, Record]) -> dict[str, list[Row]]:
    """Return ``problems``, and ``comparisons`` of learning from failures with ignoring them."""
    found = _of(records, FAILING)
    return {
        "problems": grouped(found, FAILING, lambda each: {**regrets(each), **_failures(each)}),
        "comparisons": [
            {**where, **_ratios(both), **_regret_ratios(both)} for where, both in _pairs(found, IGNORING, FAILING)
        ],
    }


def _of(records: Mapping[Key, Record], problems: Mapping[str, object]) -> dict[Key, Record]:
    return {key: record for key, record in records.items() if key.problem in problems}


def _pairs(
    records: Mapping[Key, Record], peer: str, problems: Mapping[str, object]
) -> Iterator[tuple[Row, list[Both]]]:
    """Yield ours beside a peer's of the same seed: for all problems, then for each; only where there are some.

    ``n_of_each`` is how many pairs each problem has at least.
    """
    for n_workers in sorted({key.n_workers for key in records}):
        both = [
            Both(key, record, records[key._replace(contender=peer)])
            for key, record in sorted(records.items())
            if key.contender == OURS and key.n_workers == n_workers and key._replace(contender=peer) in records
        ]
        on = {problem: [pair for pair in both if pair.key.problem == problem] for problem in problems}
        where = {"peer": peer, "n_workers": n_workers}
        if both:
            n_of_each = min(len(found) for found in on.values())
            yield {**where, "problem": None, "n_pairs": len(both), "n_of_each": n_of_each}, both
        for problem, found in on.items():
            if found:
                yield {**where, "problem": problem, "n_pairs": len(found), "n_of_each": len(found)}, found


def _shares(both: Sequence[Both]) -> Row:
    """Return by how much the peer's share of the hypervolume is larger, and how often."""
    found = compare([pair.theirs["share"] - pair.ours["share"] for pair in both])
    upper = None if math.isnan(found.upper) else found.upper
    return {"n_wins": found.n_wins, "n_losses": found.n_losses, "difference": found.mean, "upper": upper}


def _times(both: Sequence[Both]) -> Row:
    """Return the share that ours has of the peer's median ask time, where one process ran both."""
    together = [pair for pair in both if pair.ours["process"] == pair.theirs["process"]]
    row: Row = {"n_timed_pairs": len(together)}
    for kind in ("wall", "cpu"):
        mine = [seconds for pair in together for seconds in pair.ours["asks"][f"{kind}_s"]]
        others = [seconds for pair in together for seconds in pair.theirs["asks"][f"{kind}_s"]]
        theirs = float(np.median(others)) if others else 0.0
        row[f"ask_{kind}_ratio"] = float(np.median(mine)) / theirs if mine and theirs > 0 else None
    return row


def _failures(found: Sequence[Record]) -> Row:
    """Return how often the optimum was found, and sums of failures: until then, of all, of the initial design."""
    return {
        "n_found": sum(math.isfinite(FAILING[record["problem"]].found_s(record)) for record in found),
        "n_failed": sum(record["n_failed"] for record in found),
        "n_failed_until_found": sum(FAILING[record["problem"]].n_failed_until_found(record) for record in found),
        "n_failed_initial": sum(record["n_failed_initial"] for record in found),
    }


def _ratios(both: Sequence[Both]) -> Row:
    """Return both sums of failures and their ratio: of all, until the optimum was found, without the initial design."""
    ours, theirs = (_failures(found) for found in ([pair.ours for pair in both], [pair.theirs for pair in both]))
    for sums in (ours, theirs):
        sums["n_failed_chosen"] = sums["n_failed"] - sums["n_failed_initial"]
    row: Row = {"n_found": ours["n_found"], "n_found_peer": theirs["n_found"]}
    for ratio, name in (
        ("ratio", "n_failed"),
        ("ratio_until_found", "n_failed_until_found"),
        ("ratio_chosen", "n_failed_chosen"),
    ):
        row |= {name: ours[name], f"{name}_peer": theirs[name], ratio: _ratio(ours[name], theirs[name])}
    return row


def _ratio(ours: int, theirs: int) -> float | None:
    return ours / theirs if theirs else None


def _regret_ratios(both: Sequence[Both]) -> Row:
    ours = {pair.key: pair.ours["regret"] for pair in both}
    theirs = {pair.key: pair.theirs["regret"] for pair in both}
    found = compare(log10_ratios(ours, theirs, {key: FAILING[key.problem].floor for key in ours}))
    upper = None if math.isnan(found.upper) else found.upper
    return {"n_wins": found.n_wins, "n_losses": found.n_losses, "log10_ratio": found.mean, "upper": upper}


PARTS: dict[str, Any] = {"front": front, "failing": failing}
"""By the part that runs the trials."""
