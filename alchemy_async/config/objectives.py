"""Settings of the objectives: what is measured, and what is wanted of it.

In:    the tables ``[[objectives]]``.
Out:   checked settings, and the objectives made from them.
Never: weighs one objective against another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from alchemy_async.config.base import Line, Name, Number, Settings, wrong

if TYPE_CHECKING:
    from alchemy_async.experiment import Objective

_LIMITS = ("at_least", "at_most")


class ObjectiveSettings(Settings):
    """One thing to make large or small, to bring near a value, or to keep within limits."""

    name: Name = Field(
        description="Its name in results and exports, and the key under which a driver returns it; "
        "with a single objective, the driver may return the bare number.",
        examples=["yield"],
    )
    goal: Literal["minimize", "maximize", "target", "limit"] = Field(
        description="What is wanted: as little or as much as can be, a value as near as can be to `target`, or nothing "
        "but that its limits are kept.",
        examples=["maximize"],
    )
    target: Number | None = Field(
        default=None, description='The value to match; for `goal = "target"`.', examples=[7.4], validate_default=True
    )
    at_least: Number | None = Field(
        default=None, description="A value below this will not do, whatever else is good.", examples=[90.0]
    )
    at_most: Number | None = Field(
        default=None,
        description="A value above this will not do, whatever else is good.",
        examples=[50.0],
        validate_default=True,
    )
    reference: Number | None = Field(
        default=None,
        description="With several objectives: the value that is just not worth having, from which the hypervolume "
        "counts. Without it, it is inferred from what was measured.",
        examples=[20.0],
    )
    unit: Line = Field(default="", description="Unit of its values; shown, never converted.", examples=["%"])
    description: str = Field(default="", description="A sentence for people.", examples=["HPLC yield of the amide"])

    @field_validator("target")
    @classmethod
    def _has_a_target_if_it_needs_one(cls, target: float | None, info: ValidationInfo) -> float | None:
        goal = info.data.get("goal")  # missing where it is wrong in itself
        if goal == "target" and target is None:
            raise wrong("is missing", "Add the value to match, for example `target = 7.4`.")
        if goal not in (None, "target") and target is not None:
            raise wrong(f'is given, but the goal is "{goal}"', 'Write `goal = "target"`, or leave `target` out.')
        return target

    @field_validator("at_most")
    @classmethod
    def _has_limits_that_can_be_kept(cls, at_most: float | None, info: ValidationInfo) -> float | None:
        if not {"goal", "target", "at_least"} <= set(info.data):  # one of them is wrong in itself
            return at_most
        goal, target, at_least = info.data["goal"], info.data["target"], info.data["at_least"]
        if goal == "limit" and at_least is None and at_most is None:
            mend = "Add `at_least`, `at_most` or both, or another goal."
            raise wrong('has the goal "limit", but no limit', mend, of_table=True)
        if at_least is not None and at_most is not None and at_least >= at_most:
            raise wrong(f"is {at_most:g}, but `at_least` is {at_least:g}", "Let `at_most` be the larger one.")
        beyond = (at_least is not None and target is not None and target < at_least) or (
            at_most is not None and target is not None and target > at_most
        )
        if beyond:
            mend = "Let the limits include the target."
            raise wrong(f"has the target {target:g}, which its own limits rule out", mend, of_table=True)
        return at_most

    @field_validator("reference")
    @classmethod
    def _is_for_what_is_large_or_small(cls, reference: float | None, info: ValidationInfo) -> float | None:
        goal = info.data.get("goal")
        if reference is not None and goal in ("target", "limit"):
            mend = "Leave it out: it is for what is minimised or maximised."
            raise wrong(f'is given, but the goal is "{goal}"', mend)
        return reference

    def as_objective(self) -> Objective:
        """Return the objective."""
        from alchemy_async.experiment import Objective

        return Objective(**self.model_dump())

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        kept = {"name", "goal", "target", *_LIMITS}
        return self.model_dump(mode="json", include=kept, exclude_none=True)
