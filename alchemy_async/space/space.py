"""The space: all parameters of a campaign, and which of their combinations are allowed.

In:    parameters, constraints, rules; points from people, planners or instruments.
Out:   checked points; coordinates in the unit cube and back; distances.
Never: chooses a point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from alchemy_async.errors import Mistake, PointError, RuleError
from alchemy_async.space.columns import MANY, column, least_step, nearest_value
from alchemy_async.space.constraints import LinearConstraint
from alchemy_async.space.fidelity import Fidelity
from alchemy_async.space.held import Context, Fixed
from alchemy_async.space.parameters import (
    Array,
    Categorical,
    Chosen,
    Continuous,
    Discrete,
    Integer,
    Point,
    Value,
    number_of,
)
from alchemy_async.space.rules import Rule

COPY_DISTANCE = 1e-3  # two points nearer than this are copies of each other
MAX_LISTED = 10_000  # a finite space of up to so many points is listed whole, and no point of it is a copy of another

Parameter = Chosen | Fixed | Context


@dataclass(frozen=True)
class Space:
    """All parameters of a campaign, the linear constraints between them, and people's own rules.

    ``fidelity`` says which parameter makes experiments cheap or true; None: all are as true.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[LinearConstraint, ...] = ()
    rules: tuple[Rule, ...] = ()
    fidelity: Fidelity | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the settings."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def is_categorical(self) -> NDArray[np.bool_]:
        """Which coordinates are categorical, shape ``(d,)``."""
        bare = (p.of if isinstance(p, (Fixed, Context)) else p for p in self.parameters)
        return np.array([isinstance(parameter, Categorical) for parameter in bare])

    @property
    def is_context(self) -> NDArray[np.bool_]:
        """Which coordinates are readings that nobody chooses, shape ``(d,)``."""
        return np.array([isinstance(parameter, Context) for parameter in self.parameters])

    @property
    def is_restricted(self) -> bool:
        """Whether constraints or rules forbid some combinations."""
        return bool(self.constraints or self.rules)

    @property
    def limits(self) -> tuple[str, ...]:
        """What forbids some combinations, in words."""
        return (*map(str, self.constraints), *map(str, self.rules))

    @property
    def n_points(self) -> float:
        """Number of points, constraints and rules left aside; infinite with a continuous parameter to choose."""
        return math.prod(parameter.n_values for parameter in self.parameters)

    def given(self, readings: Mapping[str, Value]) -> Space:
        """Return the space as it is while its context parameters read what is given, by name."""
        if not self.is_context.any():
            return self
        present = (
            replace(p, reading=readings[p.name]) if isinstance(p, Context) and p.name in readings else p
            for p in self.parameters
        )
        return replace(self, parameters=tuple(present))

    def holding(self, values: Mapping[str, Value]) -> Space:
        """Return the space in which parameters that could be chosen are held at values, by name.

        Raises:
            PointError: If a name is unknown, or a value does not fit its parameter; all reasons at once.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        mistakes = [
            Mistake(name, "is not a parameter of this campaign", f"The parameters are {', '.join(self.names)}.")
            for name in values
            if name not in known
        ]
        held: dict[str, Parameter] = {}
        for name in values.keys() & known.keys():
            parameter, at = known[name], known[name].fit(values[name])
            if at is None:
                mistakes.append(Mistake(name, f"is {_shown(values[name])}", f"Give {parameter.allowed()}."))
            elif isinstance(parameter, Context):
                held[name] = replace(parameter, reading=at)
            elif not isinstance(parameter, Fixed):
                held[name] = Fixed(parameter.name, parameter.unit, parameter.description, of=parameter, at=at)
        if mistakes:
            raise PointError(mistakes)
        return replace(self, parameters=tuple(held.get(one.name, one) for one in self.parameters))

    @property
    def at_target(self) -> Space:
        """The space in which the fidelity is held where the answer is wanted; without one, the space itself."""
        return self if self.fidelity is None else self.holding({self.fidelity.name: self.fidelity.target})

    def check(self, point: Mapping[str, object]) -> dict[str, Value]:
        """Return a point in canonical form: every parameter, in order, in its own type.

        A parameter that nobody chooses may be left out.

        Raises:
            PointError: If a name is missing or unknown, a value does not fit its parameter, or
                a constraint or a rule is not met; all reasons at once.
        """
        mistakes = [
            Mistake(name, "is not a parameter of this campaign", f"The parameters are {', '.join(self.names)}.")
            for name in self._strange(point)
        ]
        checked: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.name not in point and isinstance(parameter, (Fixed, Context)):
                checked[parameter.name] = parameter.value
                continue
            if parameter.name not in point:
                mistakes.append(Mistake(parameter.name, "is missing", f"Give {parameter.allowed()}."))
                continue
            value = parameter.fit(point[parameter.name])
            if value is None:
                what = f"{_shown(point[parameter.name])} does not fit"
                mistakes.append(Mistake(parameter.name, what, f"Give {parameter.allowed()}."))
            else:
                checked[parameter.name] = value
        if not mistakes:
            mistakes = [
                Mistake("constraint", f"{constraint} is not met", f"Here it is {constraint.total(checked):g}.")
                for constraint in self.constraints
                if not constraint.is_met(checked)
            ] or [mistake for rule in self.rules for mistake in _broken(rule, checked)]
        if mistakes:
            raise PointError(mistakes)
        return checked

    def check_as_run(self, point: Mapping[str, object]) -> dict[str, Value]:
        """Return parameters as an instrument ran them; numbers may lie off the grid and the bounds.

        Raises:
            PointError: If a name is missing or unknown, or a value is no finite
                number (categorical: none of the options).
        """
        mistakes = [Mistake(n, "is not a parameter", "Leave it out.") for n in self._strange(point)]
        ran: dict[str, Value] = {}
        for parameter in self.parameters:
            given = point.get(parameter.name)
            bare = parameter.of if isinstance(parameter, (Fixed, Context)) else parameter
            value = bare.fit(given)
            if value is None and not isinstance(bare, Categorical):
                value = number_of(given)
            if value is None:
                mistakes.append(
                    Mistake(parameter.name, f"{_shown(given)} can't have been run", f"Give {bare.allowed()}.")
                )
            else:
                ran[parameter.name] = value
        if mistakes:
            raise PointError(mistakes)
        return ran

    def _strange(self, point: Mapping[str, object]) -> list[str]:
        """Return names that are no parameters, as an error may quote them; not all, where somebody sent thousands."""
        strange = [str(name) for name in point if name not in self.names][:20]
        return [name if re.fullmatch(r"\w{1,60}", name) else _shown(name) for name in strange]

    def meets_constraints(self, point: Point) -> bool:
        """Tell whether a point meets every linear constraint, rules left aside."""
        return all(constraint.is_met(point) for constraint in self.constraints)

    def is_feasible(self, point: Point) -> bool:
        """Tell whether a point meets every linear constraint and every rule.

        Raises:
            RuleError: If a rule can't say.
        """
        return self.meets_constraints(point) and all(rule.is_met(point) for rule in self.rules)

    def check_rules(self) -> None:
        """Import the functions of all rules, so that one that is missing is told before anything is done.

        Raises:
            RuleError: If one can't be imported, or called with the parameters.
        """
        for rule in self.rules:
            rule.check(self.names)

    def to_unit(self, points: Iterable[Point]) -> Array:
        """Return points as unit-cube coordinates, shape ``(n, d)``."""
        listed = list(points)
        if len(listed) < MANY:
            rows = [[parameter.to_unit(point[parameter.name]) for parameter in self.parameters] for point in listed]
            return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.parameters))
        coordinates = np.empty((len(listed), len(self.parameters)))
        for i, parameter in enumerate(self.parameters):
            coordinates[:, i] = column(parameter, [point[parameter.name] for point in listed])
        return coordinates

    def from_unit(self, coordinates: Array) -> list[dict[str, Value]]:
        """Return the points nearest to unit-cube coordinates, shape ``(n, d)``."""
        return [
            {parameter.name: parameter.from_unit(u) for parameter, u in zip(self.parameters, row, strict=True)}
            for row in np.atleast_2d(coordinates)
        ]

    def distances(self, a: Array, b: Array) -> Array:
        """Return the distance of each point in ``a`` to each in ``b``.

        Root mean square over the unit cube, without readings that nobody chooses; a different category counts 1.
        Different values of a discrete parameter are never copies, nor are different points of a small finite space:
        however near they lie, they count as ``COPY_DISTANCE`` apart.

        Args:
            a: Unit-cube coordinates, shape ``(n, d)``.
            b: Unit-cube coordinates, shape ``(m, d)``.

        Returns:
            Distances, shape ``(n, m)``.
        """
        chosen, categorical = ~self.is_context, self.is_categorical
        apart = [(nearest_value(p, a[:, i])[:, None] != nearest_value(p, b[:, i])) for i, p in self._finely_stepped]
        if not chosen.all():
            a, b, categorical = a[:, chosen], b[:, chosen], categorical[chosen]
        difference = np.abs(a[:, None, :] - b[None, :, :])
        different = categorical & (difference > 1e-9)
        difference = np.where(categorical, different.astype(np.float64), difference)
        found = np.sqrt(np.mean(difference**2, axis=-1))
        for differ in apart:
            found = np.where(differ, np.maximum(found, COPY_DISTANCE), found)
        return np.asarray(found, dtype=np.float64)

    @cached_property
    def _finely_stepped(self) -> tuple[tuple[int, Integer | Discrete], ...]:
        """Columns and parameters whose values are told apart although a step is less than ``COPY_DISTANCE``."""
        bare = [p.of if isinstance(p, (Fixed, Context)) else p for p in self.parameters]
        kinds = (Integer, Discrete) if self.n_points <= MAX_LISTED else (Discrete,)
        least = 1.1 * COPY_DISTANCE * math.sqrt(len(bare))
        return tuple(
            (i, p)
            for i, p in enumerate(bare)
            if isinstance(p, kinds) and not self.is_context[i] and least_step(p) < least
        )

    def is_copy(self, point: Point, others: Iterable[Point]) -> bool:
        """Tell whether a point is nearer than ``COPY_DISTANCE`` to any of the others."""
        coordinates = self.to_unit(others)
        if not len(coordinates):
            return False
        return bool(np.min(self.distances(self.to_unit([point]), coordinates)) < COPY_DISTANCE)

    def grid(self) -> Iterator[dict[str, Value]]:
        """Yield every feasible point of a space without continuous parameters.

        Raises:
            ValueError: If the space has a continuous parameter.
        """
        axes: list[tuple[Value, ...]] = []
        for parameter in self.parameters:
            if isinstance(parameter, Continuous):
                raise ValueError(f"{parameter.name!r} is continuous: its points can't be listed")
            axes.append(parameter.values())
        for values in product(*axes):
            point = dict(zip(self.names, values, strict=True))
            if self.is_feasible(point):
                yield point


def _shown(value: object) -> str:
    """Return what somebody sent as an error may quote it: one short line that steers no terminal."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _broken(rule: Rule, point: Point) -> list[Mistake]:
    try:
        if rule.is_met(point):
            return []
    except RuleError as error:
        return [Mistake("constraint", error.what, error.mend)]
    return [Mistake("constraint", f"{rule} says that this point is not possible", "Choose another point.")]
