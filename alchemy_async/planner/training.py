"""Training data: what a model is shown of a history.

In:    a history and one objective.
Out:   unit-cube coordinates and standardised values, in an order of their own; turned over where less is better.
Never: invents a value, or depends on the order in which results came in.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alchemy_async.experiment import History, Objective
from alchemy_async.space import Array, Space

_LARGEST = sys.float_info.max
_LEAST_SPREAD = 1e-12  # of the largest value: less than this is rounding


@dataclass(frozen=True)
class Training:
    """Observations as a model takes them.

    Args:
        x: Unit-cube coordinates as run, shape ``(n, d)``; they may lie outside the cube.
        y: Standardised values, shape ``(n,)``; larger is better, unless there is a target or only limits.
        sems: Standard errors in the same units, shape ``(n,)``; None unless every value has one.
        came: Place of each among the objective's values as they came, shape ``(n,)``, 0 for the oldest.
        centre: Mean of the values, objective units.
        scale: Standard deviation of the values, objective units, > 0.
        sign: -1 where the objective is minimised, else 1.
    """

    x: Array
    y: Array
    sems: Array | None
    came: NDArray[np.intp]
    centre: float
    scale: float
    sign: float

    def to_units(self, mean: float, sd: float) -> tuple[float, float]:
        """Return a predicted mean and standard deviation in the objective's unit, finite ones."""
        found = self.centre + self.sign * self.scale * mean
        return min(max(found, -_LARGEST), _LARGEST), min(self.scale * sd, _LARGEST)

    def standardised(self, value: float) -> float:
        """Return a value in the objective's unit as the model has it."""
        return self.sign * (value - self.centre) / self.scale


def training(space: Space, objective: Objective, history: History) -> Training | None:
    """Return the training data of one objective; None where they can't tell one point from another.

    That is with fewer than two different points, or with values that are all equal.
    """
    found = [observed for observed in history.observations if objective.name in observed.values]
    x = space.to_unit([observed.parameters for observed in found])
    values = np.array([observed.values[objective.name] for observed in found], dtype=np.float64)
    if len(np.unique(x, axis=0)) < 2:
        return None
    largest = float(np.max(np.abs(values))) or 1.0
    scaled = values / largest  # first, so that no square overflows
    spread, centre = float(np.std(scaled, ddof=1)), float(np.mean(scaled))
    if spread <= _LEAST_SPREAD:
        return None
    y = objective.sign * (scaled - centre) / spread
    errors = [observed.sems.get(objective.name) for observed in found]
    known = [error for error in errors if error is not None]
    sems = np.array(known) / largest / spread if len(known) == len(errors) else None
    order = np.lexsort([*([] if sems is None else [sems]), y, *x.T])
    return Training(
        x=x[order],
        y=y[order],
        sems=None if sems is None else sems[order],
        came=order,
        centre=centre * largest,
        scale=spread * largest,
        sign=objective.sign,
    )
