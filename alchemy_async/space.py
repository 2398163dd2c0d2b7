"""The search space: parameters, linear constraints, the unit cube, distance.

In:    definitions of parameters, and points from people, planners or instruments.
Out:   checked points; coordinates in the unit cube and back; distances.
Never: chooses a point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from alchemy_async.errors import Mistake, PointError

Value = float | int | str
Point = Mapping[str, Value]
Array = NDArray[np.float64]

COPY_DISTANCE = 1e-3  # two points nearer than this are copies of each other
_SLACK = 1e-9  # of a parameter's or constraint's scale: rounding, not a violation


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    """Return what somebody sent as an error may quote it: one short line that steers no terminal."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class _Named:
    name: str
    unit: str = ""
    description: str = ""
    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class Continuous(_Named):
    """Any number from ``low`` to ``high``; with ``log``, scaled by its logarithm."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    kind: ClassVar[str] = "continuous"

    @property
    def n_values(self) -> float:
        """Number of different values."""
        return math.inf

    def fit(self, value: object) -> float | None:
        """Return the value in its canonical form, or None if it does not fit."""
        number = _number(value)
        slack = _SLACK * (self.high - self.low)
        if number is None or not self.low - slack <= number <= self.high + slack:
            return None
        return min(max(number, self.low), self.high)

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        number = float(value)
        if self.log:
            number = max(number, self.low * 1e-6)  # a value as run may lie below the bounds, at 0 even
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def from_unit(self, coordinate: float) -> float:
        """Return the value at a coordinate of the unit interval."""
        u = min(max(float(coordinate), 0.0), 1.0)
        value = self.low * (self.high / self.low) ** u if self.log else self.low + u * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def allowed(self) -> str:
        """Say in words what fits."""
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Integer(_Named):
    """Any whole number from ``low`` to ``high``."""

    low: int = 0
    high: int = 1
    log: bool = False
    kind: ClassVar[str] = "integer"

    @property
    def n_values(self) -> float:
        """Number of different values."""
        return self.high - self.low + 1

    def values(self) -> tuple[int, ...]:
        """Return every value, ascending."""
        return tuple(range(self.low, self.high + 1))

    def fit(self, value: object) -> int | None:
        """Return the value in its canonical form, or None if it does not fit."""
        number = _number(value)
        if number is None or not number.is_integer() or not self.low <= number <= self.high:
            return None
        return int(number)

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        number = float(value)
        if self.log:
            return math.log(max(number, self.low * 1e-6) / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def from_unit(self, coordinate: float) -> int:
        """Return the nearest value to a coordinate of the unit interval."""
        u = min(max(float(coordinate), 0.0), 1.0)
        value = self.low * (self.high / self.low) ** u if self.log else self.low + u * (self.high - self.low)
        return min(max(round(value), self.low), self.high)

    def allowed(self) -> str:
        """Say in words what fits."""
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Discrete(_Named):
    """One of several numbers, ascending."""

    options: tuple[float, ...] = (0.0, 1.0)
    kind: ClassVar[str] = "discrete"

    @property
    def n_values(self) -> float:
        """Number of different values."""
        return len(self.options)

    def values(self) -> tuple[float, ...]:
        """Return every value, ascending."""
        return self.options

    def fit(self, value: object) -> float | None:
        """Return the value in its canonical form, or None if it does not fit."""
        number = _number(value)
        if number is None:
            return None
        nearest = min(self.options, key=lambda option: abs(option - number))
        return nearest if abs(nearest - number) <= _SLACK * (self.options[-1] - self.options[0]) else None

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        return (float(value) - self.options[0]) / (self.options[-1] - self.options[0])

    def from_unit(self, coordinate: float) -> float:
        """Return the nearest value to a coordinate of the unit interval."""
        wanted = self.options[0] + float(coordinate) * (self.options[-1] - self.options[0])
        return min(self.options, key=lambda option: abs(option - wanted))

    def allowed(self) -> str:
        """Say in words what fits."""
        return "one of " + ", ".join(f"{option:g}" for option in self.options)


@dataclass(frozen=True)
class Categorical(_Named):
    """One of several names, in no order; its coordinate is the option's index over n - 1."""

    options: tuple[str, ...] = ("a", "b")
    kind: ClassVar[str] = "categorical"

    @property
    def n_values(self) -> float:
        """Number of different values."""
        return len(self.options)

    def values(self) -> tuple[str, ...]:
        """Return every option, in the order of the settings."""
        return self.options

    def fit(self, value: object) -> str | None:
        """Return the value in its canonical form, or None if it does not fit."""
        return value if isinstance(value, str) and value in self.options else None

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        return self.options.index(str(value)) / (len(self.options) - 1)

    def from_unit(self, coordinate: float) -> str:
        """Return the option nearest to a coordinate of the unit interval."""
        u = min(max(float(coordinate), 0.0), 1.0)
        return self.options[round(u * (len(self.options) - 1))]

    def allowed(self) -> str:
        """Say in words what fits."""
        return "one of " + ", ".join(repr(option) for option in self.options)


Parameter = Continuous | Integer | Discrete | Categorical


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


@dataclass(frozen=True)
class Space:
    """All parameters of a campaign, and the linear constraints between them."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[LinearConstraint, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the settings."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def is_categorical(self) -> NDArray[np.bool_]:
        """Which coordinates are categorical, shape ``(d,)``."""
        return np.array([isinstance(parameter, Categorical) for parameter in self.parameters])

    @property
    def n_points(self) -> float:
        """Number of points, constraints left aside; infinite with a continuous parameter."""
        return math.prod(parameter.n_values for parameter in self.parameters)

    def check(self, point: Mapping[str, object]) -> dict[str, Value]:
        """Return a point in canonical form: every parameter, in order, in its own type.

        Raises:
            PointError: If a name is missing or unknown, a value does not fit its
                parameter, or a constraint is not met; all reasons at once.
        """
        mistakes = [
            Mistake(name, "is not a parameter of this campaign", f"The parameters are {', '.join(self.names)}.")
            for name in self._strange(point)
        ]
        checked: dict[str, Value] = {}
        for parameter in self.parameters:
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
            ]
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
            value = parameter.fit(given)
            if value is None and not isinstance(parameter, Categorical):
                value = _number(given)
            if value is None:
                mistakes.append(
                    Mistake(parameter.name, f"{_shown(given)} can't have been run", f"Give {parameter.allowed()}.")
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

    def is_feasible(self, point: Point) -> bool:
        """Tell whether a point meets every linear constraint."""
        return all(constraint.is_met(point) for constraint in self.constraints)

    def to_unit(self, points: Iterable[Point]) -> Array:
        """Return points as unit-cube coordinates, shape ``(n, d)``."""
        rows = [[parameter.to_unit(point[parameter.name]) for parameter in self.parameters] for point in points]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.parameters))

    def from_unit(self, coordinates: Array) -> list[dict[str, Value]]:
        """Return the points nearest to unit-cube coordinates, shape ``(n, d)``."""
        return [
            {parameter.name: parameter.from_unit(u) for parameter, u in zip(self.parameters, row, strict=True)}
            for row in np.atleast_2d(coordinates)
        ]

    def distances(self, a: Array, b: Array) -> Array:
        """Return the distance of each point in ``a`` to each in ``b``.

        Root mean square over the unit cube; a different category counts 1.

        Args:
            a: Unit-cube coordinates, shape ``(n, d)``.
            b: Unit-cube coordinates, shape ``(m, d)``.

        Returns:
            Distances, shape ``(n, m)``.
        """
        difference = np.abs(a[:, None, :] - b[None, :, :])
        different = self.is_categorical & (difference > 1e-9)
        difference = np.where(self.is_categorical, different.astype(np.float64), difference)
        return np.asarray(np.sqrt(np.mean(difference**2, axis=-1)), dtype=np.float64)

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
