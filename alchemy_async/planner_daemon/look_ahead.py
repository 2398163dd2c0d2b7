"""Look-ahead: how many experiments the queue holds ready beyond the idle workers.

In:    measured ask times and experiment times, the number of workers, the setting.
Out:   a depth.
Never: asks, or knows which experiments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

MAX_DEPTH = 64  # a queue deeper than this is stale before it is read


def depth(setting: int | str, *, n_workers: int, ask_s: Sequence[float], duration_s: Sequence[float]) -> int:
    """Return the look-ahead depth.

    While one ask runs, ``n_workers * ask / duration`` workers become free; twice
    that many experiments are held ready, because both times vary.

    Args:
        setting: A number, which is taken as it is, or ``auto``.
        n_workers: Workers that live.
        ask_s: How long the last asks took, in seconds.
        duration_s: How long the last experiments took, in seconds.

    Returns:
        The depth, >= 0; with ``auto`` at least 1.
    """
    if not isinstance(setting, str):
        return setting
    if not ask_s or not duration_s:
        return 1
    mean_s = fmean(duration_s)
    if mean_s <= 0:
        return MAX_DEPTH
    return min(max(math.ceil(2 * n_workers * median(ask_s) / mean_s), 1), MAX_DEPTH)
