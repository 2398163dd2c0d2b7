"""Staging: the points a person wants measured, checked and put into the ledger together.

In:    JSON, or the name of a design.
Out:   queued experiments that the planner never revises: all of them, or none.
Never: lets half a list through.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemy_async import files
from alchemy_async.errors import BudgetError, Mistake, PlannerError, PointError

if TYPE_CHECKING:
    from alchemy_async.cli.site import Site
    from alchemy_async.ledger import Ledger
    from alchemy_async.space import Point


@dataclass(frozen=True)
class Wanted:
    """Points with where they come from."""

    points: Sequence[Point]
    origin: str
    reason: str


def from_person(site: Site, text: str, reason: str) -> Wanted:
    """Return the points that a person wrote.

    Args:
        site: The campaign.
        text: One point or a list of them as JSON; ``-`` means stdin.
        reason: Why, for the record.

    Raises:
        PointError: If it is no JSON, or any point does not fit; with every mistake.
    """
    return Wanted(_check_points(site, _read_points(text)), "person", reason)


def _read_points(text: str) -> list[Mapping[str, Any]]:
    text = (sys.stdin.read() if text == "-" else text).strip()
    is_list = text.startswith("[")
    try:
        document = files.parse_json((f'{{"points": {text}}}' if is_list else text).encode())
        if is_list and len(document) > 1:
            raise ValueError("has something behind the list")
    except (ValueError, UnicodeEncodeError) as error:
        mend = 'Write \'{"temperature": 350, "time": 30}\' with these quotes, or - and send it to stdin.'
        raise PointError([Mistake("POINTS", f"{error}", mend)]) from None
    found = document["points"] if is_list else [document]
    wrong = [i for i, point in enumerate(found, 1) if not isinstance(point, dict)]
    if wrong or not found:
        what = f"point {wrong[0]} is no object" if wrong else "is an empty list"
        raise PointError([Mistake("POINTS", what, 'Each point is an object such as {"temperature": 350}.')])
    return list(found)


def _check_points(site: Site, points: Sequence[Mapping[str, Any]]) -> list[Point]:
    space = site.settings.as_space()
    checked: list[Point] = []
    mistakes: list[Mistake] = []
    for i, point in enumerate(points, 1):
        try:
            checked.append(space.check(point))
        except PointError as error:
            where = f"point {i}, " if len(points) > 1 else ""
            mistakes += [Mistake(f"{where}{found.path}", found.what, found.mend) for found in error.mistakes]
    if mistakes:
        raise PointError(mistakes)
    return checked


def from_design(site: Site, method: str, n: int, seed: int | None, reason: str) -> Wanted:
    """Return a design of ``n`` points away from all that the ledger has.

    Raises:
        PlannerError: If there is no such design, or no room for so many points.
    """
    from alchemy_async.planner.designs import design

    seed = secrets.randbelow(2**31) if seed is None else seed
    points = design(site.settings.as_space(), method, n, seed, _known_points(site))
    if len(points) < n:
        raise PlannerError(
            f"The space has {len(points)} points that are not in the ledger yet, and {n} were asked for. "
            "Ask for fewer with --n, or stage the points that you want measured once more by themselves."
        )
    return Wanted(points, "design", reason or f"{method} design of {n}, seed {seed}")


def _known_points(site: Site) -> list[Point]:
    """Return every point that was measured, refused or is pending."""
    from alchemy_async.experiment import PENDING

    if not site.has_ledger():
        return []
    with site.open_ledger() as ledger:
        history, pending = ledger.history(), ledger.experiments(*PENDING)
    return [found.parameters for kind in (history.observations, history.refused, pending) for found in kind]


def add_all(
    ledger: Ledger, wanted: Wanted, *, priority: float, requires: Callable[[Point], Collection[str]]
) -> list[str]:
    """Queue the points in one transaction and return their ids.

    Args:
        ledger: The ledger.
        wanted: The points.
        priority: The highest goes first.
        requires: Of a point, the labels that a worker must have.

    Raises:
        BudgetError: If not all of them have a place; none is queued then.
    """
    names: list[str] = []
    try:
        with ledger.change() as change:
            for point in wanted.points:
                added = change.add(
                    point,
                    origin=wanted.origin,
                    reason=wanted.reason,
                    priority=priority,
                    pinned=True,
                    requires=sorted(set(requires(point))),
                )
                names.append(added.id)
    except BudgetError as error:
        n = len(wanted.points)
        if n == 1:
            raise
        fit = f"With the first {len(names)} of these {n} experiments there is no place left, so none was queued."
        raise BudgetError(f"{fit} {error}") from error
    return names
