"""Training data: what a model is shown of a history.

In:    a history and one objective.
Out:   unit-cube coordinates and standardised values, in an order of their own; turned over where less is better.
       Of values that are all equal: where they were measured, and what they are.
Never: invents a value, or depends on the order in which results came in.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alchemy_async.experiment import History, Objective, Observed
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
        is_flat: Whether the values say where was measured, and nothing else: all of ``y`` is 0.
    """

    x: Array
    y: Array
    sems: Array | None
    came: NDArray[np.intp]
    centre: float
    scale: float
    sign: float
    is_flat: bool = False

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
    found, x, values = _found(space, objective, history)
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


def flat(space: Space, objective: Objective, history: History) -> Training | None:
    """Return the training data of values that can't tell one point from another, in which `training` finds none.

    Nothing says how far such values would spread. Where they break a limit, the scale is how far off it is, so that it
    lies one standard deviation away: it is likeliest kept where least is known. Else it is the most that still
    counts as equal.

    Returns:
        None where there is nothing to go by: with fewer than two different points of what is to be optimised, or
        without a broken limit of what is not.
    """
    found, x, values = _found(space, objective, history)
    if not found:
        return None
    largest = float(np.max(np.abs(values))) or 1.0
    centre = float(np.mean(values / largest)) * largest
    breach = min(objective.breach(centre), _LARGEST)
    if len(np.unique(x, axis=0)) < 2 if objective.is_optimised else not breach:
        return None
    order = np.lexsort(x.T)
    return Training(
        x=x[order],
        y=np.zeros(len(x)),
        sems=None,
        came=order,
        centre=centre,
        scale=breach or max(_LEAST_SPREAD * largest, sys.float_info.min),
        sign=objective.sign,
        is_flat=True,
    )


def _found(space: Space, objective: Objective, history: History) -> tuple[list[Observed], Array, Array]:
    """Return what has a value of the objective, its unit-cube coordinates, shape ``(n, d)``, and values, ``(n,)``."""
    found = [observed for observed in history.observations if objective.name in observed.values]
    x = space.to_unit([observed.parameters for observed in found])
    return found, x, np.array([observed.values[objective.name] for observed in found], dtype=np.float64)
