"""Handouts: what was suggested to clients and has not come back yet as something staged or measured.

In:    suggestions as they are handed out; the ledger, which says what became of them.
Out:   points that the next suggestion takes for pending; what was noted of a point when it was suggested.
Never: forgets at a restart, or takes for pending for ever what a client only looked at.

The last 64 count, for an hour each. One that was staged is pending as all that is staged; one whose
neighbourhood was measured since then (nearer than 0.01, since people round) has come back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from alchemy_async.clock import from_wire, to_wire
from alchemy_async.experiment import History
from alchemy_async.ledger import Change, Ledger
from alchemy_async.space import Point, Space, Value

MOST = 64
LASTS = timedelta(hours=1)
ROUNDED = 0.01  # distance of what was measured to what was suggested
_KEY = "handed_out"
_MOST_STAGED = 1000  # experiments that are looked at for one that was staged since


@dataclass(frozen=True)
class Handout:
    """One suggestion that was handed out.

    Args:
        point: Its parameters.
        at: When.
        number: Number of the newest experiment then.
        seen: How many observations there were.
        noted: What the planner said of it.
    """

    point: Point
    at: datetime
    number: int
    seen: int
    noted: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "point": dict(self.point),
            "at": to_wire(self.at),
            "number": self.number,
            "seen": self.seen,
            "noted": dict(self.noted),
        }


def outstanding(ledger: Ledger, space: Space, history: History, now: datetime) -> list[Handout]:
    """Return what was handed out and has not come back, oldest first.

    Args:
        ledger: The ledger.
        space: The search space.
        history: All that was measured.
        now: The time.
    """
    fresh = [one for one in _read(ledger.meta(_KEY) or "[]") if now - LASTS < one.at and _fits(one.point, space)]
    if not fresh:
        return []
    first = max(min(one.number for one in fresh), ledger.last_number() - _MOST_STAGED)
    staged = [(found.number, found.parameters) for found in ledger.added_after(first)]
    return [one for one in fresh if not _has_come_back(one, space, history, staged)]


def hand_out(change: Change, before: Sequence[Handout], fresh: Sequence[Handout]) -> None:
    """Keep suggestions that are handed out now, and what is outstanding of those before."""
    kept = [*before, *fresh][-MOST:]
    change.set_meta(**{_KEY: json.dumps([one.as_dict() for one in kept], allow_nan=False)})


def noted(ledger: Ledger, point: Mapping[str, Value]) -> dict[str, Any]:
    """Return what was noted of a point when it was suggested; empty if it was not, or something in it was changed."""
    asked = dict(point)
    found = (one for one in reversed(_read(ledger.meta(_KEY) or "[]")) if one.point == asked)
    return dict(next((one.noted for one in found), {}))


@lru_cache(maxsize=64)
def _read(text: str) -> tuple[Handout, ...]:
    return tuple(
        Handout(one["point"], from_wire(one["at"]), one["number"], one["seen"], one["noted"])
        for one in json.loads(text)
    )


def _fits(point: Point, space: Space) -> bool:
    """Tell whether a point is one of the space still: variables may have been changed since."""
    return point.keys() == set(space.names) and all(
        parameter.fit(point[parameter.name]) is not None for parameter in space.parameters
    )


def _has_come_back(one: Handout, space: Space, history: History, staged: Sequence[tuple[int, Point]]) -> bool:
    if space.is_copy(one.point, [point for number, point in staged if number > one.number]):
        return True
    measured = [observed.parameters for observed in history.observations[one.seen :]]
    if not measured:
        return False
    return bool(space.distances(space.to_unit([one.point]), space.to_unit(measured)).min() < ROUNDED)
