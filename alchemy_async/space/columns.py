"""Columns: the coordinates of many values of one parameter at once.

In:    a parameter, values.
Out:   the very coordinates that the parameter gives of each, sooner.
Never: knows of more than one parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from alchemy_async.space.parameters import Array, Continuous, Discrete, Integer, Value

MANY = 16  # points: fewer are quicker one by one


class HasCoordinates(Protocol):
    """What a column is of."""

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        ...


def column(parameter: HasCoordinates, values: Sequence[Value]) -> Array | list[float]:
    """Return the coordinate of each value, shape ``(n,)``, to the last bit as ``parameter.to_unit`` gives it."""
    if isinstance(parameter, Discrete):
        low, high = parameter.options[0], parameter.options[-1]
    elif isinstance(parameter, Continuous | Integer) and not parameter.log:
        low, high = parameter.low, parameter.high
    else:  # a logarithm of numpy may differ in the last bit
        return [parameter.to_unit(value) for value in values]
    return np.asarray((np.array(values, dtype=np.float64) - low) / (high - low))
