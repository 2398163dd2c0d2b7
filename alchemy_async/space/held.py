"""Held parameters: those that nobody chooses, because they are fixed, or because they are a reading.

In:    a parameter, and the value at which it is fixed or that was read last.
Out:   the same parameter with a single value to choose from.
Never: reads an instrument.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from alchemy_async.space.parameters import Categorical, Chosen, Named, Value, number_of


@dataclass(frozen=True)
class _Held(Named):
    """What the two share. They have the name, unit and scale of the parameter that they stand for."""

    of: Chosen = field(kw_only=True)

    @property
    def value(self) -> Value:
        """The one value that there is to choose."""
        raise NotImplementedError

    @property
    def n_values(self) -> float:
        """Number of different values: one."""
        return 1

    def values(self) -> tuple[Value, ...]:
        """Return the only value."""
        return (self.value,)

    def to_unit(self, value: Value) -> float:
        """Return the coordinate in the unit interval; a value as run may lie anywhere on its scale."""
        return self.of.to_unit(value)

    def from_unit(self, _coordinate: float) -> Value:
        """Return the only value."""
        return self.value


@dataclass(frozen=True)
class Fixed(_Held):
    """A parameter that has one value in every experiment from now on; earlier ones may have had others."""

    at: Value = field(kw_only=True)
    kind: ClassVar[str] = "fixed"

    @property
    def value(self) -> Value:
        """The value at which it is fixed."""
        return self.at

    def fit(self, value: object) -> Value | None:
        """Return the value in its canonical form, or None if it is another one."""
        return self.at if self.of.fit(value) == self.at else None

    def allowed(self) -> str:
        """Say in words what fits."""
        return f"nothing or {self.at!r}, at which it is fixed in campaign.toml"


@dataclass(frozen=True)
class Context(_Held):
    """A reading that nobody chooses, such as the humidity; ``reading`` is the newest one, None before the first."""

    reading: Value | None = None
    kind: ClassVar[str] = "context"

    @property
    def value(self) -> Value:
        """The newest reading; before the first the middle of the bounds, or the first option."""
        if self.reading is not None:
            return self.reading
        return self.of.options[0] if isinstance(self.of, Categorical) else self.of.from_unit(0.5)

    def fit(self, value: object) -> Value | None:
        """Return the value in its canonical form, or None: a reading may lie outside the bounds."""
        return self.of.fit(value) if isinstance(self.of, Categorical) else number_of(value)

    def allowed(self) -> str:
        """Say in words what fits."""
        return self.of.allowed() if isinstance(self.of, Categorical) else "nothing or a number, as it was read"
