"""Elimination: linear constraints without equalities, for an optimiser that knows inequalities only.

In:    a space with linear constraints.
Out:   inequalities between fewer parameters, and the values of the others, computed from these.
Never: chooses a point, or solves for a parameter that has gaps between its values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alchemy_async.planner.region import Numeric, ends, tied_parameters
from alchemy_async.space import Continuous, LinearConstraint, Space

_SLACK = 2e-6  # of a constraint's size: a point that counts as feasible elsewhere is to count here too
_NOTHING = 1e-12  # of the largest coefficient: what is left where terms cancel


@dataclass(frozen=True)
class AtMost:
    """A weighted sum of parameters, in their own units, that may not exceed a bound."""

    terms: Mapping[str, float]
    bound: float


@dataclass(frozen=True)
class _Rest:
    """A parameter that makes up the rest: ``bound`` less the weighted sum of others."""

    name: str
    terms: Mapping[str, float]
    bound: float


class Elimination:
    """The constraints of a space, its equalities solved one after the other.

    Args:
        space: The search space; with no constraints, there is nothing to eliminate.
    """

    def __init__(self, space: Space) -> None:
        self._sides = {parameter.name: ends(parameter) for parameter in tied_parameters(space)}
        self._rests: list[_Rest] = []
        self.unsolved: list[LinearConstraint] = []
        free = {p.name: p for p in tied_parameters(space) if isinstance(p, Continuous) and not p.log}
        for constraint in space.constraints:
            if constraint.sense == "equals":
                self._solve(constraint, free)
        rows = [_at_most(constraint) for constraint in space.constraints if constraint.sense != "equals"]
        for rest in self._rests:
            low, high = self._sides[rest.name]
            rows += [AtMost({rest.name: 1.0}, high), AtMost({rest.name: -1.0}, -low)]
        self.rows = [row for row in map(self._scaled, map(self._without, rows)) if row is not None]

    @property
    def solved(self) -> frozenset[str]:
        """Names of the parameters that the others determine."""
        return frozenset(rest.name for rest in self._rests)

    def restore(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of all parameters, given those of the parameters that are left."""
        full = dict(values)
        for rest in reversed(self._rests):  # a later one holds no earlier one
            full[rest.name] = rest.bound - math.fsum(c * float(full[name]) for name, c in rest.terms.items())
        return full

    def _solve(self, constraint: LinearConstraint, free: Mapping[str, Numeric]) -> None:
        row = self._without(AtMost(_summed(constraint), constraint.bound))
        if not row.terms:  # said by the equalities before it; whether both can be met, the region tells
            return
        widths = {name: abs(c) * self._width(name) for name, c in row.terms.items() if name in free}
        if not widths:
            self.unsolved.append(constraint)
            return
        name = max(widths, key=lambda candidate: widths[candidate])
        pivot = row.terms[name]
        others = {other: c / pivot for other, c in row.terms.items() if other != name}
        self._rests.append(_Rest(name, others, row.bound / pivot))

    def _without(self, row: AtMost) -> AtMost:
        """Return a row in which no parameter that makes up a rest is left."""
        terms, bound = dict(row.terms), row.bound
        for rest in self._rests:
            coefficient = terms.pop(rest.name, 0.0)
            bound -= coefficient * rest.bound
            for name, c in rest.terms.items():
                terms[name] = terms.get(name, 0.0) - coefficient * c
        largest = max((abs(c) * self._width(name) for name, c in terms.items()), default=0.0)
        kept = {n: c for n, c in terms.items() if abs(c) * self._width(n) > _NOTHING * largest}
        return AtMost(kept, bound)

    def _scaled(self, row: AtMost) -> AtMost | None:
        """Return a row divided by its largest reach, a little loosened; None where the bounds keep it anyway."""
        reach = {name: c * self._sides[name][c > 0] for name, c in row.terms.items()}
        if not reach or math.fsum(reach.values()) <= row.bound:
            return None
        size = max(abs(c) * self._width(name) for name, c in row.terms.items())
        slack = _SLACK * max(abs(row.bound), *(abs(c) * max(map(abs, self._sides[n])) for n, c in row.terms.items()))
        return AtMost({name: c / size for name, c in row.terms.items()}, (row.bound + slack) / size)

    def _width(self, name: str) -> float:
        low, high = self._sides[name]
        return high - low


def _summed(constraint: LinearConstraint) -> dict[str, float]:
    terms: dict[str, float] = {}
    for name, coefficient in constraint.terms:
        terms[name] = terms.get(name, 0.0) + coefficient
    return terms


def _at_most(constraint: LinearConstraint) -> AtMost:
    sign = -1.0 if constraint.sense == "at_least" else 1.0
    return AtMost({name: sign * c for name, c in _summed(constraint).items()}, sign * constraint.bound)
