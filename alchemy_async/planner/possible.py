"""Possible points: those that a person's own rules allow, which nobody can know without asking.

In:    a space with rules; points that meet its linear constraints.
Out:   points that all rules allow: by rejection, or around one that is known, or back towards it.
Never: asks without bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from alchemy_async.errors import PlannerError
from alchemy_async.planner.region import region_of
from alchemy_async.space import Array, Space, Value

Mask = NDArray[np.bool_]
Draw = Callable[[Space, int, np.random.Generator], list[dict[str, Value]]]

MOST_TRIED = 8192  # points drawn over the whole space, before it is searched around those that were possible
_BLOCK = 512
_HALVINGS = 12  # of the way back to a possible point: a last step of 1/4096 of it
_CHANGED = 0.3  # of the discrete parameters, from a point to one near by


def possible(space: Space, draw: Draw, n: int, rng: np.random.Generator) -> list[dict[str, Value]]:
    """Return up to ``n`` feasible points: evenly spread, or around the few that an even spread brought.

    Args:
        space: A space with rules.
        draw: Draws points that meet the linear constraints.
        n: How many.
        rng: Source of randomness.

    Raises:
        PlannerError: If none of `MOST_TRIED` points was possible.
        RuleError: If a rule can't say.
    """
    found: list[dict[str, Value]] = []
    for _ in range(MOST_TRIED // _BLOCK):
        found += [point for point in draw(space, _BLOCK, rng) if space.is_feasible(point)]
        if len(found) >= n:
            return found[:n]
    if not found:
        rules = " and ".join(map(str, space.rules))
        raise PlannerError(
            f"None of {MOST_TRIED} points, drawn evenly, is possible by {rules}. Let it allow more, or narrow the "
            "bounds of the parameters to where it does."
        )
    known = space.to_unit(found)
    for _ in range(MOST_TRIED // _BLOCK):
        centres = known[rng.integers(len(known), size=_BLOCK)]
        found += as_points(space, _near(space, centres, 10.0 ** rng.uniform(-3.0, -0.3, size=(_BLOCK, 1)), rng))
        if len(found) >= n:
            break
    return found[:n]


def as_points(space: Space, rows: Array) -> list[dict[str, Value]]:
    """Return the feasible points among those nearest to unit-cube coordinates, shape ``(n, d)``.

    Those that break a linear constraint are moved; those that a rule forbids are left out.
    """
    return [point for point in _moved(space, rows) if point is not None and space.is_feasible(point)]


def held_back(space: Space, starts: Array, ends: Array) -> tuple[Array, Mask]:
    """Return the last possible points found on the ways from possible points to others, and which are not the ends.

    Args:
        space: A space with rules.
        starts: Unit-cube coordinates of possible points, shape ``(q, d)``.
        ends: Those that would be better, shape ``(q, d)``.

    Returns:
        Coordinates, shape ``(q, d)``, and whether each was held back, shape ``(q,)``.
    """
    reached = ends.copy()
    held = np.flatnonzero(~_is_possible(space, ends))
    low, high = np.zeros(len(held)), np.ones(len(held))
    for _ in range(_HALVINGS if len(held) else 0):
        middle = 0.5 * (low + high)
        is_in = _is_possible(space, starts[held] + middle[:, None] * (ends - starts)[held])
        low, high = np.where(is_in, middle, low), np.where(is_in, high, middle)
    reached[held] = starts[held] + low[:, None] * (ends - starts)[held]
    return reached, np.isin(np.arange(len(ends)), held)


def near_by(space: Space, row: Array, step: Array, n: int, rng: np.random.Generator) -> Array:
    """Return feasible points near to one, shape ``(m, d)``.

    Args:
        space: The search space.
        row: Unit-cube coordinates, shape ``(d,)``.
        step: Standard deviation of a step in each coordinate, shape ``(d,)``.
        n: How many are tried.
        rng: Source of randomness.
    """
    tried = np.clip(row + step * rng.standard_normal((n, len(row))), 0.0, 1.0)
    return space.to_unit(as_points(space, tried))


def _near(space: Space, centres: Array, share: Array, rng: np.random.Generator) -> Array:
    """Return points on the way from known ones to any others; a discrete parameter changes altogether or not."""
    others = space.to_unit(space.from_unit(rng.random(centres.shape)))
    smooth = np.array([parameter.n_values == np.inf for parameter in space.parameters])
    jumps = rng.random(centres.shape) < np.where(smooth, 0.0, _CHANGED)
    return np.where(jumps, others, centres + np.where(smooth, share, 0.0) * (others - centres))


def _is_possible(space: Space, rows: Array) -> Mask:
    return np.array([point is not None and space.is_feasible(point) for point in _moved(space, rows)], dtype=bool)


def _moved(space: Space, rows: Array) -> list[dict[str, Value] | None]:
    points = space.from_unit(rows)
    if not space.constraints:
        return list(points)
    region = region_of(space)
    return [region.repair(point) for point in points]
