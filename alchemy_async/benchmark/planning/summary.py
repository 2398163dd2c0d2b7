"""The summary: what all trials of a store come to.

In:    trials of several contenders.
Out:   a row for each problem and contender, a row for each comparison with ours.
Never: runs anything, or leaves a comparison out because it is lost.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from alchemy_async.benchmark.planning.comparing import Comparison, compare, log10_ratios, quartiles
from alchemy_async.benchmark.planning.contenders import OURS
from alchemy_async.benchmark.planning.problem import Record
from alchemy_async.benchmark.planning.problems import PROBLEMS
from alchemy_async.benchmark.planning.trial import Key
from alchemy_async.simulation.figures import percentile

Row = dict[str, Any]


def by_problem(records: Mapping[Key, Record]) -> list[Row]:
    """Return regret (quartiles), ask times and copies for each number of workers, problem and contender."""
    return grouped(records, PROBLEMS, regrets)


def regrets(found: Sequence[Record]) -> Row:
    """Return the regret of some trials, and that of the points which were measured best."""
    return {
        "regret": spread([record["regret"] for record in found]),
        "regret_chosen": quartiles([record["regret_chosen"] for record in found])[1],
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles of at least one value."""
    return dict(zip(("p25", "p50", "p75"), quartiles(values), strict=True))


def grouped(
    records: Mapping[Key, Record], problems: Iterable[str], figures: Callable[[Sequence[Record]], Row]
) -> list[Row]:
    """Return a row for each number of workers, problem and contender.

    Args:
        records: Trials of some of these problems.
        problems: In this order.
        figures: What the trials of one row came to; ask times and copies are added.
    """
    groups: dict[tuple[int, str, str], list[Record]] = defaultdict(list)
    for key, record in records.items():
        groups[key.n_workers, key.problem, key.contender].append(record)
    order = list(problems)
    rows: list[Row] = []
    for n_workers, problem, name in sorted(groups, key=lambda group: (group[0], order.index(group[1]), group[2])):
        found = groups[n_workers, problem, name]
        walls_s = [seconds for record in found for seconds in record["asks"]["wall_s"]]
        cpus_s = [seconds for record in found for seconds in record["asks"]["cpu_s"]]
        nearest = [record["nearest_pending_min"] for record in found if record["nearest_pending_min"] is not None]
        rows.append(
            {
                "n_workers": n_workers,
                "problem": problem,
                "contender": name,
                "n_trials": len(found),
                **figures(found),
                "ask_wall_s": {"p50": percentile(walls_s, 50), "p95": percentile(walls_s, 95)},
                "ask_cpu_s": {"p50": percentile(cpus_s, 50), "p95": percentile(cpus_s, 95)},
                "n_asks": sum(record["n_asks"] for record in found),
                "n_copies": sum(record["n_copies"] for record in found),
                "nearest_pending_min": min(nearest, default=None),
            }
        )
    return rows


def comparisons(records: Mapping[Key, Record], *, ours: str = OURS) -> list[Row]:
    """Return ours against every other contender: pooled over problems, then for each problem.

    Problems that are declared exact are pooled apart.
    """
    peers = sorted({key.contender for key in records} - {ours})
    groups = sorted({(key.n_workers, PROBLEMS[key.problem].is_declared_exact) for key in records})
    rows: list[Row] = []
    for n_workers, is_exact in groups:
        names = [problem.name for problem in PROBLEMS.values() if problem.is_declared_exact == is_exact]
        for peer in peers:
            pooled = against(records, ours, peer, n_workers, names)
            if not pooled.n_pairs:
                continue
            where = {"peer": peer, "n_workers": n_workers, "is_exact": is_exact}
            rows.append({**where, "problem": None, **_as_row(pooled)})
            each = ((name, against(records, ours, peer, n_workers, [name])) for name in names)
            rows += [{**where, "problem": name, **_as_row(found)} for name, found in each if found.n_pairs]
    return rows


def against(records: Mapping[Key, Record], ours: str, peer: str, n_workers: int, problems: Sequence[str]) -> Comparison:
    """Compare two contenders on all trials that both have, paired by problem and seed."""
    regrets: dict[str, dict[tuple[str, int], float]] = {ours: {}, peer: {}}
    for key, record in sorted(records.items()):
        if key.contender in regrets and key.n_workers == n_workers and key.problem in problems:
            regrets[key.contender][key.problem, key.seed] = record["regret"]
    floors = {pair: PROBLEMS[pair[0]].floor for pair in regrets[ours]}
    return compare(log10_ratios(regrets[ours], regrets[peer], floors))


def _as_row(found: Comparison) -> Row:
    return {
        "n_pairs": found.n_pairs,
        "n_wins": found.n_wins,
        "n_losses": found.n_losses,
        "log10_ratio": found.mean,
        "upper": None if math.isnan(found.upper) else found.upper,
    }
