"""Settings of the budget: when the campaign is done.

In:    the table ``[budget]``.
Out:   checked settings.
Never: counts anything; the ledger does.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from alchemy_async.config.base import Number, Settings, wrong

Count = Annotated[int, Field(ge=1, le=1_000_000)]


class BudgetSettings(Settings):
    """What ends the campaign, whichever comes first; with none of them it goes on until it is told to stop."""

    experiments: Count | None = Field(
        default=None, description="End when this many experiments are completed.", examples=[20]
    )
    hours: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(
        default=None, description="End this many hours after the first start.", examples=[12]
    )
    target: Number | None = Field(
        default=None,
        description="End when the objective is this good or better and all limits are kept; for a single objective. "
        'With `goal = "target"`: end when a value is this near to it.',
        examples=[95.0],
    )
    max_started: Count | None = Field(
        default=None,
        description="Start at most this many experiments, failed ones included. Without it: twice `experiments`.",
        examples=[40],
    )

    @field_validator("max_started")
    @classmethod
    def _is_enough(cls, most: int | None, info: ValidationInfo) -> int | None:
        experiments = info.data.get("experiments")
        if most is not None and experiments is not None and most < experiments:
            mend = f"Write at least `max_started = {experiments}`, or leave it out."
            raise wrong(f"is {most}, too few to complete {experiments} experiments", mend)
        return most

    def most_started(self) -> int | None:
        """Return how many experiments may be started; None if there is no limit."""
        if self.max_started is not None:
            return self.max_started
        return None if self.experiments is None else 2 * self.experiments
