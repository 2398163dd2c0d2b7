"""Settings of constraints: which combinations of parameters are allowed.

In:    the tables ``[[constraints]]``.
Out:   checked settings, and the constraints of ``alchemy_async.space`` made from them.
Never: imports a person's function, or looks at the parameters; what two tables must agree on is in ``checks``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from alchemy_async.config.base import NotEmpty, Number, Settings, show, wrong

if TYPE_CHECKING:  # the space needs numpy, which a pool of workers can do without
    from alchemy_async.space import LinearConstraint

SENSES = ("at_most", "at_least", "equals")


def _check_function(text: str) -> str:
    if re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", text):
        return text
    mend = 'Write `function = "my_lab:is_possible"` for the function `is_possible` in my_lab.py beside campaign.toml.'
    raise wrong(f"is {show(text)}, which names no function", mend)


class ConstraintSettings(Settings):
    """A bound on a weighted sum of numeric parameters (exactly one of the three bounds), or a function."""

    function: Annotated[str, AfterValidator(_check_function)] | None = Field(
        default=None,
        description="A function of your own in a module beside campaign.toml, instead of `terms` and a bound. It is "
        "given by name those parameters that it has arguments for (all of them with `**parameters`), and returns "
        "True where they are possible together; the same values must always bring the same answer.",
        examples=["my_lab:is_possible"],
    )
    terms: Annotated[dict[str, Number], NotEmpty] | None = Field(
        default=None,
        description="The coefficient of each parameter in the sum; a parameter that is not named has none.",
        examples=[{"temperature": 1.0, "time": 2.0}],
        validate_default=True,
    )
    at_most: Number | None = Field(default=None, description="The sum may not be more than this.", examples=[500])
    at_least: Number | None = Field(default=None, description="The sum may not be less than this.", examples=[100])
    equals: Number | None = Field(
        default=None, description="The sum must be this.", examples=[100], validate_default=True
    )

    @field_validator("terms")
    @classmethod
    def _count(cls, terms: dict[str, float] | None, info: ValidationInfo) -> dict[str, float] | None:
        if terms is None:
            if info.data.get("function", "") is None:
                mend = 'Add for example `terms = { temperature = 1, time = 2 }`, or `function = "my_lab:is_possible"`.'
                raise wrong("is missing", mend)
            return None
        if info.data.get("function") is not None:
            raise wrong("is given beside a function", "Write a constraint of its own for each of the two.")
        idle = next((name for name, coefficient in terms.items() if coefficient == 0), None)
        if idle is not None:
            raise wrong(f"gives {show(idle)} the coefficient 0", "Leave it out of the terms.")
        return terms

    @field_validator("equals")
    @classmethod
    def _is_the_only_bound(cls, equals: float | None, info: ValidationInfo) -> float | None:
        if {"at_most", "at_least"} <= set(info.data):  # otherwise one of them is wrong in itself
            given = [sense for sense in SENSES if {**info.data, "equals": equals}[sense] is not None]
            is_function = info.data.get("function", "") is not None
            if given and is_function and "terms" in info.data:
                mend = f"Leave `{given[0]}` out: the function itself says what is possible."
                raise wrong("has a function and a bound", mend, of_table=True)
            if not given and not is_function:
                raise wrong("has no bound", "Add one of `at_most`, `at_least` and `equals`.", of_table=True)
            if len(given) > 1:
                mend = "Write a constraint of its own, with the same terms, for each bound."
                raise wrong(f"has more than one bound: {' and '.join(given)}", mend, of_table=True)
        return equals

    def as_constraint(self) -> LinearConstraint:
        """Return the constraint of the search space; only of one with terms."""
        from alchemy_async.space import LinearConstraint

        sense = next(sense for sense in SENSES if getattr(self, sense) is not None)
        return LinearConstraint(tuple((self.terms or {}).items()), sense, getattr(self, sense))

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return self.model_dump(mode="json", exclude_none=True)
