"""Executors: where an attempt runs.

In:    an attempt and the driver that can run it.
Out:   a future of its outcome.
Never: claims, reports or decides what a failure means for the campaign.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol, runtime_checkable

from alchemy_async.experiment import Attempt, Outcome


@runtime_checkable
class Executor(Protocol):
    """Runs one attempt at a time."""

    def submit(self, attempt: Attempt) -> Future[Outcome]:
        """Start an attempt; the future never raises, a failure is an outcome."""
        ...

    def stop(self) -> None:
        """Ask the running attempt to break off; its future still brings an outcome."""
        ...

    def close(self) -> None:
        """Leave the instrument safe and give everything back."""
        ...
