"""Settings of the objectives: what is measured, and whether more of it is better.

In:    the tables ``[[objectives]]``.
Out:   checked settings, and the objectives made from them.
Never: weighs one objective against another.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from alchemy_async.config.base import Line, Name, Settings
from alchemy_async.experiment import Objective


class ObjectiveSettings(Settings):
    """One thing to make large or small."""

    name: Name = Field(
        description="Its name in results and exports, and the key under which a driver returns it; "
        "with a single objective, the driver may return the bare number.",
        examples=["yield"],
    )
    goal: Literal["minimize", "maximize"] = Field(description="Which way is better.", examples=["maximize"])
    unit: Line = Field(default="", description="Unit of its values; shown, never converted.", examples=["%"])
    description: str = Field(default="", description="A sentence for people.", examples=["HPLC yield of the amide"])

    def as_objective(self) -> Objective:
        """Return the objective."""
        return Objective(self.name, self.goal, self.unit, self.description)

    def study(self) -> dict[str, Any]:
        """Return what must stay the same once there are results, as JSON can hold it."""
        return {"name": self.name, "goal": self.goal}
