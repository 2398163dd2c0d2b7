"""Durations: how long a simulated instrument keeps an experiment busy.

In:    bounds in seconds, a seed, and the context of one attempt.
Out:   time spent.
Never: goes on sleeping once somebody asks to stop.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from alchemy_async.drivers import Context
from alchemy_async.errors import DriverError


class Durations:
    """Durations drawn uniformly, anew for each attempt.

    Args:
        bounds: Shortest and longest, in seconds; None: no time passes.
        seed: With a seed an attempt takes equally long wherever and whenever it
            runs; None: fresh entropy.

    Raises:
        DriverError: If the bounds are not two numbers, 0 <= shortest <= longest.
    """

    def __init__(self, bounds: Sequence[float] | None, seed: int | None) -> None:
        self._seed = seed
        self._bounds = None if bounds is None else _checked(bounds)

    def spend(self, context: Context) -> None:
        """Spend the time of one attempt.

        Raises:
            StoppedError: If somebody asked to stop meanwhile.
        """
        if self._bounds is not None:
            context.sleep(stream(self._seed, context).uniform(*self._bounds))


def stream(seed: int | None, context: Context, purpose: str = "") -> random.Random:
    """Return the random stream of one attempt and purpose, equal in every process for equal seeds."""
    if seed is None:
        return random.Random()
    return random.Random(f"{seed}/{context.experiment}.{context.attempt}" + (f"/{purpose}" if purpose else ""))


def _checked(bounds: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not 0 <= low <= high < math.inf:
        raise DriverError(
            f"durations = {bounds!r} is not the shortest and the longest time in seconds. "
            "Write, for example, durations = [5, 30]."
        )
    return low, high
