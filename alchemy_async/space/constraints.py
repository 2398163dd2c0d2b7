"""Linear constraints between numeric parameters.

In:    coefficients, a sense, a bound.
Out:   whether a point keeps to it.
Never: moves a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from alchemy_async.space.parameters import Point


@dataclass(frozen=True)
class LinearConstraint:
    """A bound on a weighted sum of numeric parameters, in their own units.

    Args:
        terms: Coefficient of each parameter, by name.
        sense: ``at_most``, ``at_least`` or ``equals``.
        bound: Right-hand side.
    """

    terms: tuple[tuple[str, float], ...]
    sense: str
    bound: float

    def total(self, point: Point) -> float:
        """Return the weighted sum at a point."""
        return math.fsum(coefficient * float(point[name]) for name, coefficient in self.terms)

    def is_met(self, point: Point, *, slack: float = 1e-6) -> bool:
        """Tell whether a point keeps to the bound, within ``slack`` of the size of its terms."""
        tolerance = slack * max(abs(self.bound), *(abs(c * float(point[n])) for n, c in self.terms), 1e-12)
        excess = self.total(point) - self.bound
        if self.sense == "at_most":
            return excess <= tolerance
        if self.sense == "at_least":
            return excess >= -tolerance
        return abs(excess) <= tolerance

    def __str__(self) -> str:
        total = " + ".join(f"{coefficient:g} x {name}" for name, coefficient in self.terms)
        return f"{total} {self.sense.replace('_', ' ')} {self.bound:g}"
