"""Drivers: one instrument, simulation or person each, behind ``measure``.

In:    the parameters of one attempt, and its context.
Out:   a number, a mapping of objectives, or an observation; or an error that says what kind of failure it was.
Never: knows of queues, ledgers or planners.

Only ``measure`` is required. What else a driver may have is found by name:

    connect()      open the link to the instrument; moves and heats nothing
    setup()        make it ready to measure; once, after connect
    stop()         break the running measurement off; called from another thread
    teardown()     leave the instrument safe; after this the process ends
    check(parameters)   raise LimitError for a point the instrument must not run; moves nothing
    idempotent     True if an attempt that was cut off may simply be run again
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from alchemy_async.errors import StoppedError
from alchemy_async.experiment import Observation

if TYPE_CHECKING:
    from alchemy_async.space import Point

Measured = float | Mapping[str, float] | Observation


@dataclass(frozen=True)
class Context:
    """What a driver may know of the attempt that it runs.

    Args:
        experiment: Id of the experiment.
        attempt: Which try at it this is, from 1.
        worker: Name of the worker.
        folder: The campaign folder.
        stopping: Set when the measurement is to be broken off.
        objectives: Names of the objectives that the campaign wants values of.
    """

    experiment: str
    attempt: int
    worker: str
    folder: Path
    stopping: threading.Event = field(default_factory=threading.Event)
    objectives: tuple[str, ...] = ()

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until somebody asks to stop.

        Raises:
            StoppedError: If somebody did.
        """
        if self.stopping.wait(seconds):
            raise StoppedError("the measurement was asked to stop")


@runtime_checkable
class Driver(Protocol):
    """What every driver must do."""

    def measure(self, parameters: Point, context: Context) -> Measured:
        """Run one attempt and return what was measured.

        Args:
            parameters: Value of each parameter, in its unit; integers as int.
            context: The attempt.

        Raises:
            LimitError: The point is outside what the instrument allows (infeasible).
            RetryableError: Worth another attempt.
            NotStartedError: Nothing was done (the experiment goes back).
            StoppedError: It was broken off on request.
            Exception: Anything else is a failure and is kept with its traceback.
        """
        ...
