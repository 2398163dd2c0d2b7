"""Look-ahead: how many experiments the queue holds ready, and how many points one ask is for.

In:    measured times of asks and experiments, the number of workers, the setting.
Out:   a depth beyond the idle workers; the size of a round.
Never: asks, or knows which experiments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median

MAX_DEPTH = 64  # a queue deeper than this is stale before it is read


@dataclass(frozen=True)
class Pace:
    """How quick planner and instruments have been.

    Args:
        n_workers: Workers that live, > 0.
        point_s: How long the last asks took for each point that they were asked for, in seconds.
        duration_s: How long the last experiments took, in seconds, by the name of the worker.
    """

    n_workers: int
    point_s: tuple[float, ...] = ()
    duration_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def n_freed(self) -> float | None:
        """Workers that become free while the planner thinks about one point; None before anything was measured.

        Each becomes free as often as its own experiments are short; one that has finished nothing yet
        is reckoned with the mean of the others.
        """
        seconds = [one for of_one in self.duration_s.values() for one in of_one]
        if not self.point_s or not seconds:
            return None
        most_s = 10 * median(seconds)  # one worker's clock may be years behind
        usual_s = fmean(min(one, most_s) for one in seconds)
        if usual_s <= 0:
            return None
        # Few experiments of one worker say little of it alone: each has one more, which took as long as usual.
        own_s = [fmean((usual_s, *(min(one, most_s) for one in of_one))) for of_one in self.duration_s.values()]
        return self.n_workers * fmean(1 / mean_s for mean_s in own_s) * median(self.point_s)


def depth(setting: int | str, pace: Pace) -> int:
    """Return the look-ahead depth: what is taken before an answer comes, and two standard deviations more.

    An answer comes after one and a half asks: on average another one is half done
    when a worker takes something. Workers become free at random, so what they take
    meanwhile is taken as Poisson distributed. Twice the mean, the simpler rule, left workers idle where
    experiments are short (utilisation down to 0.94 of a gapless schedule).

    Args:
        setting: A number, which is taken as it is, or ``auto``.
        pace: What was measured.

    Returns:
        The depth, >= 0; with ``auto`` from 1 to `MAX_DEPTH`.

    Source:
        The base-stock policy; Zipkin (2000), Foundations of Inventory Management, ch. 6.
    """
    if not isinstance(setting, str):
        return setting
    if pace.n_freed is None:
        return 1
    n_taken = 1.5 * pace.n_freed
    return min(max(math.ceil(n_taken + 2 * math.sqrt(n_taken)), 1), MAX_DEPTH)


def round_size(pace: Pace, *, is_starved: bool = False) -> int:
    """Return how many points one ask is for, at most.

    As many as the planner can think about before the next worker becomes free,
    so that no answer is old before it comes; where it can't keep up with one at
    a time, as many as become free meanwhile.

    Args:
        pace: What was measured.
        is_starved: Whether a worker waits already: then the first point must not wait for a second.
    """
    if pace.n_freed is None or pace.n_freed == 0:
        return MAX_DEPTH
    in_time = 1 if is_starved else math.floor(1 / pace.n_freed)
    return min(max(in_time, math.ceil(pace.n_freed)), MAX_DEPTH)
