"""Columns: the coordinates of many values of one parameter at once.

In:    a parameter, values.
Out:   the very coordinates that the parameter gives of each, sooner; which of its values coordinates mean.
Never: knows of more than one parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alchemy_async.space.parameters import Array, Continuous, Discrete, Integer, Value

MANY = 16  # points: fewer are quicker one by one


class HasCoordinates(Protocol):
    """What a column is of."""

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        ...


def column(parameter: HasCoordinates, values: Sequence[Value]) -> Array | list[float]:
    """Return the coordinate of each value, shape ``(n,)``, to the last bit as ``parameter.to_unit`` gives it."""
    if not isinstance(parameter, Continuous | Integer | Discrete) or parameter.log:
        return [parameter.to_unit(value) for value in values]  # a logarithm of numpy may differ in the last bit
    if isinstance(parameter, Discrete):
        low, high = parameter.options[0], parameter.options[-1]
    else:
        low, high = parameter.low, parameter.high
    return np.asarray((np.array(values, dtype=np.float64) - low) / (high - low))


def nearest_value(parameter: Integer | Discrete, coordinates: Array) -> NDArray[np.int64]:
    """Return which of its values, counted from 0, is nearest to each coordinate, shape ``(n,)``."""
    if isinstance(parameter, Discrete):
        places = np.array([parameter.to_unit(option) for option in parameter.options])
        return np.searchsorted((places[1:] + places[:-1]) / 2.0, coordinates).astype(np.int64)
    low, high = float(parameter.low), float(parameter.high)
    inside = np.clip(coordinates, 0.0, 1.0)
    values = low * (high / low) ** inside if parameter.log else low + inside * (high - low)
    return np.rint(values - low).astype(np.int64)


def least_step(parameter: Integer | Discrete) -> float:
    """Return how far apart the two nearest of its values lie in the unit interval."""
    if isinstance(parameter, Discrete):
        return float(min(np.diff([parameter.to_unit(option) for option in parameter.options])))
    return parameter.to_unit(parameter.high) - parameter.to_unit(parameter.high - 1)
