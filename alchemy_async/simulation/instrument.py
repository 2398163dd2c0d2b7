"""The instrument of a simulation: a driver that measures at once, and what becomes of its answer.

In:    a driver, the parameters of an attempt, when it started and ended in simulated time.
Out:   an outcome, as a worker would have reported it.
Never: sleeps, or lets a driver's exception end the campaign.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from alchemy_async.drivers import Context, Driver
from alchemy_async.executors.outcomes import as_observation, completed, refused
from alchemy_async.experiment import AttemptKey, Outcome


@dataclass(frozen=True)
class SimulatedContext(Context):
    """What a driver may know of its attempt; a sleep takes no time, because how long it takes is drawn."""

    def sleep(self, seconds: float) -> None:
        """Return at once."""


def measure(
    driver: Driver, parameters: Mapping[str, Any], context: Context, started_at: datetime, finished_at: datetime
) -> Outcome:
    """Return the outcome of one attempt; whatever the driver raises is a failure with that as its reason."""
    try:
        check = getattr(driver, "check", None)
        if check is not None:
            _resolve(check(dict(parameters)))
        seen = as_observation(_resolve(driver.measure(dict(parameters), context)), context.objectives)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (a driver may raise anything: that is data)
        return refused(error, started_at, finished_at, is_stopping=False)
    return completed(seen, started_at, finished_at)


def call(driver: Driver, parameters: Mapping[str, Any], folder: Path, objectives: tuple[str, ...]) -> object:
    """Return what a driver returns, outside any campaign."""
    key = AttemptKey("simulated", 1)
    context = SimulatedContext(key.experiment, key.attempt, "simulated", folder, objectives=objectives)
    return _resolve(driver.measure(dict(parameters), context))


def _resolve(returned: Any) -> object:  # noqa: ANN401  (whatever a driver returns)
    return asyncio.run(_awaited(returned)) if inspect.isawaitable(returned) else returned


async def _awaited(returned: Any) -> object:  # noqa: ANN401  (whatever a driver returns)
    return await returned
