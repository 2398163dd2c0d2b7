"""Figures: what one simulated campaign showed.

In:    a lab whose campaign has ended.
Out:   best value, regret, makespan, utilisation, distance to what was pending, ask times, the trace.
Never: runs anything, or reads a clock.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alchemy_async.experiment import Objective, Status, optimised, standing
from alchemy_async.simulation.lab import Lab, Ran
from alchemy_async.space import Fidelity


def figures(
    lab: Lab,
    *objectives: Objective,
    n_workers: int,
    is_synchronous: bool,
    optimum: float | None,
    fidelity: Fidelity | None = None,
) -> Figures:
    """Return the figures of a campaign, as ``alchemy-async simulate --json`` prints those of one seed, without it.

    Args:
        lab: The lab, after its run.
        objectives: All of the campaign; values of the first that is to be optimised count.
        n_workers: How many workers it had.
        is_synchronous: Whether they took experiments in batches.
        optimum: The best value that there is, in the objective's unit; None if nobody knows.
        fidelity: Where there is one: only experiments at its target have a best value and a regret.
    """
    trace = running_best(lab.ran, *objectives, fidelity=fidelity)
    best = trace[-1]["best"] if trace else None
    ideal_s = makespan_s([ran.finished_s - ran.started_s for ran in by_start(lab.ran)], n_workers, is_synchronous)
    last_s = max((ran.finished_s for ran in lab.ran), default=0.0)
    asks_s = [asked.wall_s for asked in lab.asker.asked]
    return {
        "best": best,
        "regret": None if best is None or optimum is None else abs(best - optimum),
        "makespan_s": last_s,
        "utilisation": utilisation(lab.ran, n_workers, last_s),
        "utilisation_ideal": utilisation(lab.ran, n_workers, ideal_s),
        "nearest_pending_min": nearest_pending(lab.ran),
        "ask_s": {"p50": percentile(asks_s, 50), "p95": percentile(asks_s, 95)},
        "trace": trace,
    }


Figures = dict[str, Any]


def running_best(
    ran: Sequence[Ran], *objectives: Objective, fidelity: Fidelity | None = None
) -> list[dict[str, float]]:
    """Return ``t_s``, ``value`` and the ``best`` so far of every completed experiment, by the time it ended.

    Where there is a fidelity, of those at its target.
    """
    name = optimised(objectives)[0].name
    trace: list[dict[str, float]] = []
    best: Mapping[str, float] | None = None
    for one in sorted(ran, key=lambda one: one.finished_s):
        counts = fidelity is None or fidelity.counts(one.outcome.parameters or one.offer.parameters)
        if one.outcome.status is Status.COMPLETED and counts:
            values = one.outcome.values
            if best is None or standing(objectives, values) > standing(objectives, best):
                best = values
            trace.append({"t_s": one.finished_s, "value": values[name], "best": best[name]})
    return trace


def by_start(ran: Sequence[Ran]) -> list[Ran]:
    """Return attempts in the order in which they started."""
    return sorted(ran, key=lambda one: one.started_s)


def utilisation(ran: Sequence[Ran], n_workers: int, wall_s: float) -> float | None:
    """Return busy worker time over workers times ``wall_s``, in seconds; None where nothing ran."""
    busy_s = math.fsum(one.finished_s - one.started_s for one in ran)
    return busy_s / (n_workers * wall_s) if wall_s > 0 else None


def makespan_s(durations_s: Sequence[float], n_workers: int, is_synchronous: bool) -> float:
    """Return how long experiments take in a schedule in which nobody waits for a planner, in seconds.

    Args:
        durations_s: How long each takes, in the order in which they start, in seconds.
        n_workers: How many workers, > 0.
        is_synchronous: Whether the next start together once all workers are free; else each starts on
            the worker that is free first.
    """
    if is_synchronous:
        batches = [durations_s[k : k + n_workers] for k in range(0, len(durations_s), n_workers)]
        return math.fsum(max(batch) for batch in batches)
    free_at_s = [0.0] * n_workers
    for duration_s in durations_s:
        heapq.heapreplace(free_at_s, free_at_s[0] + duration_s)
    return max(free_at_s)


def nearest_pending(ran: Sequence[Ran]) -> float | None:
    """Return the least distance of a point, other than of the initial design, to what was pending when it was taken."""
    chosen = [one.nearest_pending for one in ran if one.offer.origin != "initial"]
    least = min(chosen, default=math.inf)
    return least if math.isfinite(least) else None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile by linear interpolation between order statistics; None without values."""
    return float(np.percentile(values, percent)) if len(values) else None
