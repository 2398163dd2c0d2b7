"""The nearest point: a mixed-integer linear program for the values nearest to given ones.

In:    numeric parameters, and the coordinates that are to be approached.
Out:   the variables of the program, their costs, and the rows that tie them to values that exist.
Never: knows a constraint between parameters, or solves anything.

Coordinates are linear here, 0 at the low end of a parameter and 1 at the high end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alchemy_async.space import Array, Continuous, Discrete, Integer

Numeric = Continuous | Integer | Discrete


class Program:
    """The variables of the nearest-point program: coordinates, differences, counts, choices.

    Each integer parameter has a count (its value above the low end), each discrete one a 0/1
    choice for each of its options; rows tie these to the coordinates.

    Args:
        parameters: Whose coordinates are sought, ``t`` of them.

    Attributes:
        width: How many variables there are; the first ``t`` are the coordinates.
    """

    def __init__(self, parameters: Sequence[Numeric]) -> None:
        self._parameters = parameters
        self._first: list[int] = []
        self.width = 2 * len(parameters)
        for parameter in parameters:
            self._first.append(self.width)
            self.width += {"integer": 1, "discrete": int(min(parameter.n_values, 1e9))}.get(parameter.kind, 0)

    def costs(self) -> Array:
        """Return what each variable costs: the differences, nothing else, shape ``(width,)``."""
        costs = np.zeros(self.width)
        costs[len(self._parameters) : 2 * len(self._parameters)] = 1.0
        return costs

    def integrality(self) -> Array:
        """Return 1 for each variable that is a whole number, else 0, shape ``(width,)``."""
        return np.append(np.zeros(2 * len(self._parameters)), np.ones(self.width - 2 * len(self._parameters)))

    def highest(self) -> Array:
        """Return the largest value of each variable, shape ``(width,)``; the least is 0."""
        highest = np.ones(self.width)
        for parameter, first in zip(self._parameters, self._first, strict=True):
            if isinstance(parameter, Integer):
                highest[first] = parameter.high - parameter.low
        return highest

    def rows(self, target: Array) -> tuple[Array, Array, Array]:
        """Return rows with their lower and upper bounds: differences from the target, and values that exist.

        Args:
            target: Linear coordinates, shape ``(t,)``.

        Returns:
            Rows, shape ``(r, width)``, and their bounds, each of shape ``(r,)``.
        """
        rows: list[Array] = []
        low: list[float] = []
        high: list[float] = []

        def add(entries: dict[int, float], at_least: float, at_most: float) -> None:
            row = np.zeros(self.width)
            row[list(entries)] = list(entries.values())
            rows.append(row)
            low.append(at_least)
            high.append(at_most)

        size = len(self._parameters)
        for i, (parameter, first) in enumerate(zip(self._parameters, self._first, strict=True)):
            add({i: 1.0, size + i: -1.0}, -np.inf, float(target[i]))
            add({i: 1.0, size + i: 1.0}, float(target[i]), np.inf)
            if isinstance(parameter, Integer):
                add({i: float(parameter.high - parameter.low), first: -1.0}, 0.0, 0.0)
            elif isinstance(parameter, Discrete):
                choices = {first + k: 1.0 for k in range(len(parameter.options))}
                add(choices, 1.0, 1.0)
                low_end, side = parameter.options[0], parameter.options[-1] - parameter.options[0]
                places = {first + k: (low_end - option) / side for k, option in enumerate(parameter.options)}
                add({i: 1.0, **places}, 0.0, 0.0)
        return np.array(rows), np.array(low), np.array(high)
