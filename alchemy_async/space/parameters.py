"""Parameters: what can be changed from one experiment to the next, each for itself.

In:    bounds, options, units.
Out:   values in canonical form; coordinates in the unit interval and back.
Never: knows of another parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Value = float | int | str
Point = Mapping[str, Value]
Array = NDArray[np.float64]

_SLACK = 1e-9  # of a parameter's scale: rounding, not a violation


def number_of(value: object) -> float | None:
    """Return a finite number as a float; None for anything else, True and False among it."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Named:
    """What all parameters have."""

    name: str
    unit: str = ""
    description: str = ""
    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class Continuous(Named):
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
        number = number_of(value)
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
class Integer(Named):
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
        number = number_of(value)
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
class Discrete(Named):
    """One of several numbers, ascending; with ``log``, scaled by their logarithm."""

    options: tuple[float, ...] = (0.0, 1.0)
    log: bool = False
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
        number = number_of(value)
        if number is None:
            return None
        nearest = min(self.options, key=lambda option: abs(option - number))
        slack = _SLACK * (max(abs(nearest), abs(number)) if self.log else self.options[-1] - self.options[0])
        return nearest if abs(nearest - number) <= slack else None

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval."""
        low, high = self.options[0], self.options[-1]
        if self.log:
            return math.log(max(float(value), low * 1e-6) / low) / math.log(high / low)
        return (float(value) - low) / (high - low)

    def from_unit(self, coordinate: float) -> float:
        """Return the nearest value to a coordinate of the unit interval."""
        if self.log:
            return min(self.options, key=lambda option: abs(self.to_unit(option) - float(coordinate)))
        wanted = self.options[0] + float(coordinate) * (self.options[-1] - self.options[0])
        return min(self.options, key=lambda option: abs(option - wanted))

    def allowed(self) -> str:
        """Say in words what fits."""
        return "one of " + ", ".join(f"{option:g}" for option in self.options)


@dataclass(frozen=True)
class Categorical(Named):
    """One of several names, in no order; its coordinate is the option's index over n - 1.

    ``descriptors`` are numbers that describe each option, as many for each, in the order of the
    options; empty where there are none.
    """

    options: tuple[str, ...] = ("a", "b")
    descriptors: tuple[tuple[float, ...], ...] = ()
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


Chosen = Continuous | Integer | Discrete | Categorical
