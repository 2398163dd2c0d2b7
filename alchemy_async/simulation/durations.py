"""Durations: how long a simulated experiment takes.

In:    a text such as ``5,30`` or ``lognormal:20,8``, or the name of a function of the parameters.
Out:   seconds for each experiment.
Never: spends them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from alchemy_async.drivers.load import load_driver
from alchemy_async.simulation import SimulationError
from alchemy_async.simulation.instrument import call
from alchemy_async.space import Point

Durations = Callable[[random.Random, Point], float]
"""Draws the duration of one experiment in seconds, > 0; each draw takes as much from the generator."""

_MEND = (
    "Write the shortest and the longest time in seconds, such as 5,30; or lognormal:MEAN,SD, such as lognormal:20,8; "
    "or module:function for a function that takes the parameters by name and returns seconds."
)


def uniform(shortest_s: float, longest_s: float) -> Durations:
    """Return durations that are equally likely anywhere between two bounds, in seconds.

    Raises:
        SimulationError: If not 0 < shortest <= longest.
    """
    if not 0 < shortest_s <= longest_s < math.inf:
        raise SimulationError(f"Durations from {shortest_s:g} to {longest_s:g} s are none. {_MEND}")
    return lambda rng, _: rng.uniform(shortest_s, longest_s)


def lognormal(mean_s: float, sd_s: float) -> Durations:
    """Return log-normal durations of a mean and a standard deviation, both in seconds.

    Raises:
        SimulationError: If the mean is not > 0, or the standard deviation is < 0.
    """
    if not (0 < mean_s < math.inf and 0 <= sd_s < math.inf):
        raise SimulationError(f"Durations with mean {mean_s:g} s and standard deviation {sd_s:g} s are none. {_MEND}")
    variance = math.log1p((sd_s / mean_s) ** 2)
    centre = math.log(mean_s) - variance / 2
    return lambda rng, _: rng.lognormvariate(centre, math.sqrt(variance))


def parse(text: str, folder: Path) -> Durations:
    """Return the durations that a text names.

    Args:
        text: ``SHORTEST,LONGEST``, ``lognormal:MEAN,SD`` or ``module:function``.
        folder: Where the module of a function is looked for first.

    Raises:
        SimulationError: If it names none.
        DriverError: If the function can't be loaded.
    """
    kind, colon, rest = text.rpartition(":")
    if colon and kind != "lognormal":
        return _by_function(text, folder)
    try:
        first, second = (float(part) for part in (rest if colon else text).split(","))
    except ValueError:
        raise SimulationError(f"{text!r} says no durations. {_MEND}") from None
    return lognormal(first, second) if colon else uniform(first, second)


def _by_function(name: str, folder: Path) -> Durations:
    driver = load_driver(name, {}, folder)

    def seconds(_rng: random.Random, parameters: Mapping[str, float | int | str]) -> float:
        returned = call(driver, parameters, folder, ())
        try:
            found = float(returned)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            found = math.nan
        if not 0 < found < math.inf:
            raise SimulationError(f"{name} returned {returned!r} for {dict(parameters)}. Let it return seconds, > 0.")
        return found

    return seconds
