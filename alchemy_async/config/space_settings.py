"""Settings of the search space: parameters, and constraints between them.

In:    the tables ``[[parameters]]`` and ``[[constraints]]``.
Out:   checked settings, and the parameters and constraints of ``alchemy_async.space`` made from them.
Never: looks at more than one table; what two tables must agree on is in ``checks``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from alchemy_async.config.base import (
    FreeValue,
    Line,
    Name,
    NotEmpty,
    Number,
    Settings,
    Several,
    Whole,
    Word,
    show,
    toml,
    wrong,
)
from alchemy_async.config.fidelity import FidelitySettings

if TYPE_CHECKING:  # the space needs numpy, which a pool of workers can do without
    from alchemy_async.space import Categorical, Chosen, Continuous, Discrete, Integer, Parameter

SMALLEST_LOG = 1e-100
_NUMBER_OR_TEXT = WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})


class _ParameterSettings(Settings):
    name: Name = Field(
        description="Its name in results and exports, and the keyword under which a driver function gets it.",
        examples=["temperature"],
    )
    type: str
    unit: Line = Field(default="", description="Unit of its values; shown, never converted.", examples=["K"])
    description: str = Field(default="", description="A sentence for people.", examples=["Temperature of the oil bath"])
    fixed: Annotated[FreeValue, _NUMBER_OR_TEXT] | None = Field(
        default=None,
        description="The value that it has in every experiment from now on: a number, or an option in quotes. It is "
        "kept in results and never varied; may be set, changed and taken out between two starts.",
        examples=[25.0],
    )
    context: bool = Field(
        default=False,
        description="True for a reading that nobody chooses, such as the humidity. The driver reports it among the "
        "parameters as run; the planner learns from it, and asks for what is best at the newest reading (before the "
        "first: the middle of the bounds). A point that differs in it alone is the same point.",
        examples=[True],
    )

    shared: bool = Field(
        default=False,
        description="True if all experiments that run at the same time must have the same value, such as the "
        "temperature of the one oven that they stand in. The queue then offers one value at a time: a batch of "
        "`planner.batch` experiments, and the next value once nothing of it runs any more.",
        examples=[True],
    )

    @field_validator("context")
    @classmethod
    def _is_not_fixed(cls, context: bool, info: ValidationInfo) -> bool:
        if context and info.data.get("fixed") is not None:
            mend = "Leave one of the two out: a fixed parameter is set, a reading is only taken note of."
            raise wrong("is true, but the parameter is fixed", mend)
        return context

    @property
    def is_held(self) -> bool:
        """Whether nobody chooses its value."""
        return self.context or self.fixed is not None

    def n_choices(self) -> float:
        """Return how many different values there are to choose from."""
        return 1 if self.is_held else self.n_values()

    def n_values(self) -> float:
        """Return how many different values it can have."""
        raise NotImplementedError

    def as_chosen(self) -> Chosen:
        """Return the parameter of the search space as if it were to be chosen."""
        raise NotImplementedError

    def as_parameter(self) -> Parameter:
        """Return the parameter of the search space.

        Raises:
            ValueError: If it is fixed at a value that does not fit.
        """
        chosen = self.as_chosen()
        if not self.is_held:
            return chosen
        from alchemy_async.space import Context, Fixed

        named = (self.name, self.unit, self.description)
        if self.context:
            return Context(*named, of=chosen)
        at = chosen.fit(self.fixed)
        if at is None:
            raise ValueError(f"{self.name} is fixed at {self.fixed!r}. Give {chosen.allowed()}.")
        return Fixed(*named, of=chosen, at=at)


class _BoundedSettings(FidelitySettings, _ParameterSettings):
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

    def priced(self) -> Sequence[float]:
        """Return the values that ``costs`` are of: the bounds or, of an integer, all of them."""
        low, high = self.bounds
        return self.bounds if self.costs is None or len(self.costs) == 2 else range(int(low), int(high) + 1)


class ContinuousSettings(_BoundedSettings):
    """A parameter that can have any value between two bounds."""

    type: Literal["continuous"] = Field(description="Any number between two bounds.", examples=["continuous"])
    bounds: Annotated[tuple[Number, Number], Field(strict=False)] = Field(
        description="The lowest and the highest value, in `unit`.", examples=[[300, 400]]
    )

    def n_values(self) -> float:
        """Return how many different values it has."""
        return math.inf

    def as_chosen(self) -> Continuous:
        """Return the parameter of the search space as if it were to be chosen."""
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

    def as_chosen(self) -> Integer:
        """Return the parameter of the search space as if it were to be chosen."""
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


class DiscreteSettings(FidelitySettings, _ParameterSettings):
    """A parameter that can have one of several numbers."""

    type: Literal["discrete"] = Field(description="One of several numbers.", examples=["discrete"])
    values: Annotated[Several[Number], Field(max_length=10_000)] = Field(
        description="The allowed numbers, in `unit`, in any order; at least two.", examples=[[0.1, 0.5, 1.0]]
    )
    log: bool = Field(
        default=False,
        description="True if the scale is logarithmic, so that 1 to 10 is as far as 10 to 100. All values must be > 0.",
        examples=[True],
    )

    @field_validator("values")
    @classmethod
    def _are_several(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        _check_choices(values)
        return values

    @field_validator("log")
    @classmethod
    def _have_logarithms(cls, value: bool, info: ValidationInfo) -> bool:
        low = min(info.data.get("values", (1.0,)))
        if value and low < SMALLEST_LOG:
            mend = f"Leave out {toml(low)} (the least value may be {SMALLEST_LOG:g}), or leave log out."
            raise wrong("is true, but only numbers above 0 have a logarithm", mend)
        return value

    def n_values(self) -> float:
        """Return how many different values it has."""
        return len(self.values)

    def limits(self) -> tuple[float, float]:
        """Return the lowest and the highest value."""
        return min(self.values), max(self.values)

    def priced(self) -> Sequence[float]:
        """Return the values that ``costs`` are of, in the order of the file."""
        return self.values

    def as_chosen(self) -> Discrete:
        """Return the parameter of the search space as if it were to be chosen, its values ascending."""
        from alchemy_async.space import Discrete

        return Discrete(self.name, self.unit, self.description, options=tuple(sorted(self.values)), log=self.log)

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "type": self.type, "values": sorted(self.values)} | (
            {"log": True} if self.log else {}
        )


def _check_descriptors(descriptors: dict[str, tuple[float, ...]], options: tuple[str, ...]) -> None:
    strange = next((name for name in descriptors if name not in options), None)
    if strange is not None:
        raise wrong(
            f"describe {show(strange)}, which is no option", f"The options are {', '.join(map(show, options))}."
        )
    missing = next((option for option in options if option not in descriptors), None)
    if missing is not None:
        raise wrong(f"lack {show(missing)}", "Describe every option, or leave descriptors out.")
    first, *others = options
    for option in others:
        n, n_first = len(descriptors[option]), len(descriptors[first])
        if n != n_first:
            what = f"give {show(option)} {n} and {show(first)} {n_first} numbers"
            raise wrong(what, "Give each option the same ones, in the same order.")
    for i, option in enumerate(options):
        twin = next((other for other in options[:i] if descriptors[other] == descriptors[option]), None)
        if twin is not None:
            mend = "Add a number that tells them apart: the model would take them for one."
            raise wrong(f"are the same for {show(twin)} and {show(option)}", mend)


class CategoricalSettings(_ParameterSettings):
    """A parameter that can have one of several names."""

    type: Literal["categorical"] = Field(description="One of several names, in no order.", examples=["categorical"])
    options: Annotated[Several[Word], Field(max_length=1_000)] = Field(
        description="The names, as texts; at least two.", examples=[["DMF", "THF"]]
    )

    descriptors: dict[str, Annotated[Several[Number], NotEmpty]] = Field(
        default_factory=dict,
        description="Numbers that describe each option, as many for each, such as its polarity and boiling point. "
        "The model then takes options with similar numbers to behave alike. May be changed between two starts.",
        examples=[{"DMF": [36.7, 153], "THF": [7.6, 66]}],
    )

    tied: bool = Field(
        default=False,
        description="True if the options are machines, or kinds of them: an experiment with one of them runs only on "
        "a worker that has a label of that name, and for each worker points are sought among those that it can run.",
        examples=[True],
    )

    @field_validator("options")
    @classmethod
    def _are_several(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        _check_choices(options)
        return options

    @field_validator("descriptors")
    @classmethod
    def _describe_each(
        cls, descriptors: dict[str, tuple[float, ...]], info: ValidationInfo
    ) -> dict[str, tuple[float, ...]]:
        if descriptors and "options" in info.data:
            _check_descriptors(descriptors, info.data["options"])
        return descriptors

    def n_values(self) -> float:
        """Return how many different values it has."""
        return len(self.options)

    def as_chosen(self) -> Categorical:
        """Return the parameter of the search space as if it were to be chosen."""
        from alchemy_async.space import Categorical

        described = tuple(tuple(map(float, self.descriptors[option])) for option in self.options if self.descriptors)
        return Categorical(self.name, self.unit, self.description, options=self.options, descriptors=described)

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "type": self.type, "options": list(self.options)}


ParameterSettings = Annotated[
    ContinuousSettings | IntegerSettings | DiscreteSettings | CategoricalSettings, Field(discriminator="type")
]
