"""Fidelity: the parameter that says how true an experiment is, and at which of its values the answer is wanted.

In:    a numeric parameter, one of its values, what experiments cost.
Out:   whether a result counts; the cost at any value.
Never: chooses a value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from alchemy_async.space.parameters import Continuous, Discrete, Integer, Point, Value

_AS_RUN = 1e-3  # of the scale: an instrument that sets it a little differently has run it all the same
_ROUNDING = 1e-9  # of the scale: a value of a grid is the value or is another one


@dataclass(frozen=True)
class Fidelity:
    """One parameter of a space by which experiments are cheap and rough, or dear and true.

    Args:
        name: The parameter.
        unit: Its unit.
        target: Its value at which the answer is wanted; results at others inform the model only.
        low: The least value as run that counts as the target.
        high: The largest one.
        costs: Values, ascending, and what an experiment costs there, > 0; between two of them along a straight line.
    """

    name: str
    unit: str
    target: float
    low: float
    high: float
    costs: tuple[tuple[float, float], ...]

    @classmethod
    def of(
        cls, parameter: Continuous | Integer | Discrete, target: float, costs: Sequence[tuple[float, float]]
    ) -> Self:
        """Return the fidelity of a parameter.

        Args:
            parameter: The parameter.
            target: One of its values.
            costs: Values and what an experiment costs there, as in the class.
        """
        if isinstance(parameter, Continuous):
            low, high = parameter.low, parameter.high
            slack = _AS_RUN * (target * math.log(high / low) if parameter.log else high - low)
        else:
            values = parameter.values() if isinstance(parameter, Discrete) else (parameter.low, parameter.high)
            slack = _ROUNDING * (values[-1] - values[0])
        return cls(parameter.name, parameter.unit, target, target - slack, target + slack, tuple(sorted(costs)))

    def counts(self, point: Point) -> bool:
        """Tell whether a point, as chosen or as run, is at the target."""
        return self.low <= float(point[self.name]) <= self.high

    def cost(self, value: Value) -> float:
        """Return what an experiment costs at a value; beyond the scale, as much as at its end."""
        values, costs = zip(*self.costs, strict=True)
        return float(np.interp(float(value), values, costs))

    def in_words(self, n_at: int, n: int) -> str:
        """Say how many of ``n`` results count, ``n_at`` of them being at the target."""
        others = "; the others inform the model" if n > n_at else ""
        return f"Only results at {self} count: {n_at} of {n}{others}."

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name} = {self.target:g}{unit}"
