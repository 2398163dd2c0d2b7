"""Placing: which suggestion goes under which experiment id.

In:    suggestions that were conditioned on what was pending when the ask began; what has happened since.
Out:   revisions of queued experiments, and new ones.
Never: offers a point under two ids, or one that is now a copy of something held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alchemy_async.experiment import Suggestion
from alchemy_async.space import COPY_DISTANCE, Point, Space

NEAR_DISTANCE = 0.02  # a suggestion this near to a point it did not know of would not have been made


@dataclass(frozen=True)
class Placement:
    """What to do with the suggestions, best first."""

    revisions: tuple[tuple[str, Suggestion], ...] = ()
    additions: tuple[Suggestion, ...] = ()


def place(
    suggestions: Sequence[Suggestion],
    *,
    space: Space,
    taken: Sequence[Point],
    held: Sequence[Point],
    revisable: Sequence[str],
    offered: Mapping[str, Sequence[Point]],
) -> Placement:
    """Distribute suggestions over ids.

    Args:
        suggestions: The best first.
        space: For distances.
        taken: Points that a worker claimed while the ask ran, and that the ask
            did not know as pending: each makes a suggestion near to it superfluous.
        held: Every point that is running or interrupted.
        revisable: Ids that may be given other parameters, the first to be run first.
        offered: Every point that each queued id was ever offered with. Somebody may
            still read an old list, so such a point goes to that id or to none.
    """
    rest = _without_nearest(list(suggestions), taken, space)
    rest = _without_copies([suggestion for suggestion in rest if not space.is_copy(suggestion.parameters, held)], space)
    placed: dict[str, Suggestion] = {}
    free: list[Suggestion] = []
    for suggestion in rest:
        owners = [name for name, points in offered.items() if space.is_copy(suggestion.parameters, points)]
        if not owners:
            free.append(suggestion)
        elif len(owners) == 1 and owners[0] in revisable:
            placed.setdefault(owners[0], suggestion)
    unplaced = iter(free)
    for name in revisable:
        following = None if name in placed else next(unplaced, None)
        if following is not None:
            placed[name] = following
    return Placement(tuple((name, placed[name]) for name in revisable if name in placed), tuple(unplaced))


def _without_copies(rest: list[Suggestion], space: Space) -> list[Suggestion]:
    coordinates = space.to_unit([suggestion.parameters for suggestion in rest])
    is_copy = space.distances(coordinates, coordinates) < COPY_DISTANCE
    kept: list[int] = []
    for i in range(len(rest)):
        if not is_copy[i, kept].any():
            kept.append(i)
    return [rest[i] for i in kept]


def _without_nearest(rest: list[Suggestion], taken: Sequence[Point], space: Space) -> list[Suggestion]:
    for point in taken:
        if not rest:
            break
        distances = space.distances(space.to_unit([point]), space.to_unit([s.parameters for s in rest]))[0]
        nearest = int(np.argmin(distances))
        if distances[nearest] < NEAR_DISTANCE:
            del rest[nearest]
    return rest
