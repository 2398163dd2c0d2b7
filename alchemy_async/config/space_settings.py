"""Settings of the search space: parameters, and linear constraints between them.

In:    the tables ``[[parameters]]`` and ``[[constraints]]``.
Out:   checked settings, and the parameters and constraints of ``alchemy_async.space`` made from them.
Never: looks at more than one table; what two tables must agree on is in ``checks``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from alchemy_async.config.base import Line, Name, NotEmpty, Number, Settings, Several, Whole, Word, show, toml, wrong

if TYPE_CHECKING:  # the space needs numpy, which a pool of workers can do without
    from alchemy_async.space import LinearConstraint, Parameter

SMALLEST_LOG = 1e-100
SENSES = ("at_most", "at_least", "equals")


class _ParameterSettings(Settings):
    name: Name = Field(
        description="Its name in results and exports, and the keyword under which a driver function gets it.",
        examples=["temperature"],
    )
    type: str
    unit: Line = Field(default="", description="Unit of its values; shown, never converted.", examples=["K"])
    description: str = Field(default="", description="A sentence for people.", examples=["Temperature of the oil bath"])


class _BoundedSettings(_ParameterSettings):
    """What continuous and integer parameters share; ``bounds`` stands before ``log``, which looks at it."""

    bounds: tuple[float, float]
    log: bool = Field(
        default=False,
        description="True if the scale is logarithmic, so that 1 to 10 is as far as 10 to 100. The bounds must be > 0.",
        examples=[True],
    )

    @field_validator("bounds", mode="before", check_fields=False)
    @classmethod
    def _is_a_pair(cls, value: object) -> object:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            length = f" of {len(value)}" if isinstance(value, (list, tuple)) else ""
            mend = f"Write `bounds = {toml(cls.model_fields['bounds'].examples[0])}`."  # type: ignore[index]
            raise wrong(f"is {show(value)}{length}, but must be two numbers, the lowest and the highest", mend)
        return value

    @field_validator("bounds", mode="after", check_fields=False)
    @classmethod
    def _ascends(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if low == high:
            raise wrong(f"leaves one value only, {toml(low)}", "Widen the bounds, or leave this parameter out.")
        if low > high:
            raise wrong("has the highest value first", f"Write `bounds = {toml([high, low])}`.")
        return value

    @field_validator("log")
    @classmethod
    def _has_a_logarithm(cls, value: bool, info: ValidationInfo) -> bool:
        low = info.data.get("bounds", (1.0,))[0]
        if value and low < SMALLEST_LOG:
            mend = f"Raise the lower bound {toml(low)} above 0 (to {SMALLEST_LOG:g} at least), or leave log out."
            raise wrong("is true, but only numbers above 0 have a logarithm", mend)
        return value

    def limits(self) -> tuple[float, float]:
        """Return the lowest and the highest value."""
        return self.bounds


class ContinuousSettings(_BoundedSettings):
    """A parameter that can have any value between two bounds."""

    type: Literal["continuous"] = Field(description="Any number between two bounds.", examples=["continuous"])
    bounds: Annotated[tuple[Number, Number], Field(strict=False)] = Field(
        description="The lowest and the highest value, in `unit`.", examples=[[300, 400]]
    )

    def n_values(self) -> float:
        """Return how many different values it has."""
        return math.inf

    def as_parameter(self) -> Parameter:
        """Return the parameter of the search space."""
        from alchemy_async.space import Continuous

        low, high = self.bounds
        return Continuous(self.name, self.unit, self.description, low=low, high=high, log=self.log)

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "type": self.type, "bounds": list(self.bounds), "log": self.log}


class IntegerSettings(_BoundedSettings):
    """A parameter that can have any whole value between two bounds."""

    type: Literal["integer"] = Field(description="Any whole number between two bounds.", examples=["integer"])
    bounds: Annotated[tuple[Whole, Whole], Field(strict=False)] = Field(
        description="The lowest and the highest value, whole numbers in `unit`.", examples=[[1, 8]]
    )

    def n_values(self) -> float:
        """Return how many different values it has."""
        return self.bounds[1] - self.bounds[0] + 1

    def as_parameter(self) -> Parameter:
        """Return the parameter of the search space."""
        from alchemy_async.space import Integer

        low, high = self.bounds
        return Integer(self.name, self.unit, self.description, low=low, high=high, log=self.log)

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "type": self.type, "bounds": list(self.bounds), "log": self.log}


def _check_choices(values: tuple[Any, ...]) -> None:
    if len(values) < 2:
        count = "no value" if not values else "one value only"
        raise wrong(f"has {count}", "Give at least two, or leave this parameter out.")
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise wrong(f"has {toml(twice)} twice", "Leave one of the two out.")


class DiscreteSettings(_ParameterSettings):
    """A parameter that can have one of several numbers."""

    type: Literal["discrete"] = Field(description="One of several numbers.", examples=["discrete"])
    values: Annotated[Several[Number], Field(max_length=10_000)] = Field(
        description="The allowed numbers, in `unit`, in any order; at least two.", examples=[[0.1, 0.5, 1.0]]
    )

    @field_validator("values")
    @classmethod
    def _are_several(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        _check_choices(values)
        return values

    def n_values(self) -> float:
        """Return how many different values it has."""
        return len(self.values)

    def limits(self) -> tuple[float, float]:
        """Return the lowest and the highest value."""
        return min(self.values), max(self.values)

    def as_parameter(self) -> Parameter:
        """Return the parameter of the search space, its values ascending."""
        from alchemy_async.space import Discrete

        return Discrete(self.name, self.unit, self.description, options=tuple(sorted(self.values)))

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "type": self.type, "values": sorted(self.values)}


class CategoricalSettings(_ParameterSettings):
    """A parameter that can have one of several names."""

    type: Literal["categorical"] = Field(description="One of several names, in no order.", examples=["categorical"])
    options: Annotated[Several[Word], Field(max_length=1_000)] = Field(
        description="The names, as texts; at least two.", examples=[["DMF", "THF"]]
    )

    @field_validator("options")
    @classmethod
    def _are_several(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        _check_choices(options)
        return options

    def n_values(self) -> float:
        """Return how many different values it has."""
        return len(self.options)

    def as_parameter(self) -> Parameter:
        """Return the parameter of the search space."""
        from alchemy_async.space import Categorical

        return Categorical(self.name, self.unit, self.description, options=self.options)

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "type": self.type, "options": list(self.options)}


ParameterSettings = Annotated[
    ContinuousSettings | IntegerSettings | DiscreteSettings | CategoricalSettings, Field(discriminator="type")
]


class ConstraintSettings(Settings):
    """A bound on a weighted sum of numeric parameters; exactly one of the three bounds."""

    terms: Annotated[dict[str, Number], NotEmpty] = Field(
        description="The coefficient of each parameter in the sum; a parameter that is not named has none.",
        examples=[{"temperature": 1.0, "time": 2.0}],
    )
    at_most: Number | None = Field(default=None, description="The sum may not be more than this.", examples=[500])
    at_least: Number | None = Field(default=None, description="The sum may not be less than this.", examples=[100])
    equals: Number | None = Field(
        default=None, description="The sum must be this.", examples=[100], validate_default=True
    )

    @field_validator("terms")
    @classmethod
    def _count(cls, terms: dict[str, float]) -> dict[str, float]:
        idle = next((name for name, coefficient in terms.items() if coefficient == 0), None)
        if idle is not None:
            raise wrong(f"gives {show(idle)} the coefficient 0", "Leave it out of the terms.")
        return terms

    @field_validator("equals")
    @classmethod
    def _is_the_only_bound(cls, equals: float | None, info: ValidationInfo) -> float | None:
        if {"at_most", "at_least"} <= set(info.data):  # otherwise one of them is wrong in itself
            given = [sense for sense in SENSES if {**info.data, "equals": equals}[sense] is not None]
            if not given:
                raise wrong("has no bound", "Add one of `at_most`, `at_least` and `equals`.", of_table=True)
            if len(given) > 1:
                mend = "Write a constraint of its own, with the same terms, for each bound."
                raise wrong(f"has more than one bound: {' and '.join(given)}", mend, of_table=True)
        return equals

    def as_constraint(self) -> LinearConstraint:
        """Return the constraint of the search space."""
        from alchemy_async.space import LinearConstraint

        sense = next(sense for sense in SENSES if getattr(self, sense) is not None)
        return LinearConstraint(tuple(self.terms.items()), sense, getattr(self, sense))

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return self.model_dump(mode="json", exclude_none=True)
