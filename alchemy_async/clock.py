"""Clocks: what time it is, and how much of it has passed.

In:    nothing.
Out:   UTC times for the record, monotonic seconds for deciding.
Never: is asked for the time of another machine, or used to order events.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What every room that needs the time is given."""

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes backwards."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never goes backwards."""
        return time.monotonic()


class SimulatedClock:
    """A clock that moves only when told to.

    Args:
        start: The first time it shows, in UTC.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        """Return the simulated time, in UTC."""
        return self._start + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        """Return simulated seconds since the start."""
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Move the clock on.

        Raises:
            ValueError: If ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock can't go back by {-seconds} s")
        self._elapsed_s += seconds


def to_wire(moment: datetime) -> str:
    """Return a UTC time as ISO 8601 with microseconds, ``2026-11-22T10:33:27.000000Z``."""
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")  # strftime would write the year 1 as "1"
    return text.removesuffix("+00:00") + "Z"


def from_wire(text: str) -> datetime:
    """Read an ISO 8601 time with a zone.

    Raises:
        ValueError: If the text is no time, or names no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone; end it in Z for UTC")
    return moment.astimezone(UTC)
