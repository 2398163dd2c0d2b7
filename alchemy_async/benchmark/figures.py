"""Figures: what a finished campaign's ledger says about time.

In:    start and end of every measurement, turnarounds, ask times.
Out:   utilisation, the same for a gapless schedule, percentiles.
Never: reads a clock.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


def utilisation(spans_s: Sequence[tuple[float, float]], n_workers: int) -> float:
    """Return busy worker time over workers times the time between first start and last finish.

    Args:
        spans_s: Start and end of each measurement, in seconds of one clock.
        n_workers: Number of workers, > 0.

    Returns:
        A share from 0 to 1; NaN without measurements.
    """
    if not spans_s:
        return math.nan
    wall = max(end for _, end in spans_s) - min(start for start, _ in spans_s)
    busy = math.fsum(end - start for start, end in spans_s)
    return busy / (n_workers * wall) if wall > 0 else math.nan


def gapless(spans_s: Sequence[tuple[float, float]], n_workers: int) -> list[tuple[float, float]]:
    """Return the same durations in the same order of starts, each on the worker that is free first, without gaps."""
    free_at = [0.0] * n_workers
    schedule = []
    for start, end in sorted(spans_s):
        begin = heapq.heappop(free_at)
        schedule.append((begin, begin + end - start))
        heapq.heappush(free_at, begin + end - start)
    return schedule


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile by linear interpolation between order statistics; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
