"""Designs: points that fill a space before, or without, a model.

In:    a space, a method, how many, a seed, and points to keep away from.
Out:   feasible points, no two of them copies, none a copy of a point to avoid.
Never: looks at what was measured, or repeats a point to make up the number.

Where constraints or rules leave little room, or an equality none at all, the points are chosen from a
pool drawn inside the feasible region: each next one as far as possible from all before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.planner.levels import spread_levels
from alchemy_async.planner.possible import possible
from alchemy_async.planner.region import region_of
from alchemy_async.planner.taken import Taken
from alchemy_async.space import COPY_DISTANCE, MAX_LISTED, Array, Continuous, Parameter, Point, Space, Value

METHODS = ("sobol", "lhs", "random", "grid")

_TRIES = 512  # rows of a sequence tried at least ...
_TRIES_PER_POINT = 32  # ... and for each point wanted, before the feasible region is sampled itself
_POOL, _POOL_PER_POINT = 64, 8
_MAX_OPTIMISED = 128  # a Latin hypercube beyond this is even enough as it falls
_MAX_GRID = 4096


def design(space: Space, method: str, n: int, seed: int, avoid: Sequence[Point] = ()) -> list[dict[str, Value]]:
    """Return up to ``n`` points spread over a space.

    ``sobol`` goes on where a sequence with the same seed would stand after as many points as are
    to be avoided. ``grid`` gives each axis the least number of levels that makes ``n`` points to
    choose from (an axis with fewer values has them all), and takes ``n`` that lie far from each other.
    Where there is a fidelity, the points are spread as if it were held at its target; then each gets a level,
    the cheaper the oftener, and the first one the target, unless a point to be avoided has it.

    Args:
        space: The search space.
        method: ``sobol``, ``lhs``, ``random`` or ``grid``.
        n: How many points, >= 0.
        seed: Seed of every random choice, >= 0.
        avoid: Points to be no copy of; they may lie off the grid and the bounds.

    Returns:
        Points in canonical form; fewer than ``n`` only where the space has no more.

    Raises:
        PlannerError: If the method is unknown, or no point meets all constraints and rules.
        RuleError: If a rule can't say.
    """
    if method not in METHODS:
        raise PlannerError(f"{method!r} is no design. Choose one of {', '.join(METHODS)}.")
    if space.fidelity is not None and space.at_target != space:
        return spread_levels(space, design(space.at_target, method, n, seed, avoid), avoid, seed)
    rng = np.random.default_rng(seed)
    # Only a Sobol sequence is gone on with: of any other the first rows would be drawn again and again, all taken.
    further = np.random.default_rng([seed, len(avoid)]) if avoid else rng
    taken = Taken(space, avoid)
    if method == "grid":
        chosen = _choose_far(space, _grid(space, n, taken, rng), n, taken, rng)
    else:
        drawn = _sequence(space, method, n, rng if method == "sobol" else further, len(avoid))
        chosen = _choose_first(drawn, n, taken)
    if len(chosen) < n:
        chosen += _choose_far(space, _pool(space, n - len(chosen), further), n - len(chosen), taken, further)
    return [space.check(point) for point in chosen]


def spread(space: Space, n: int, seed: int) -> Array:
    """Return unit-cube coordinates of about ``n`` feasible points, copies among them: starts for a search.

    Args:
        space: The search space.
        n: How many.
        seed: Seed of the choice.

    Returns:
        Shape ``(m, d)``; discrete coordinates lie on their values.

    Raises:
        PlannerError: If no point meets all constraints and rules.
        RuleError: If a rule can't say.
    """
    rng = np.random.default_rng(seed)
    if not space.is_restricted:
        rows = next(_rows("sobol", len(space.names), n, rng, 0))[:n]
        return _snapped(space, rows)
    found = [] if _has_equality(space) else _feasible(space, rng.random((max(_TRIES, 2 * n), len(space.names))))
    if 2 * len(found) < n:
        found += _inside(space, n - len(found), rng)
    return space.to_unit(found[:n])


def _snapped(space: Space, rows: Array) -> Array:
    """Return the coordinates of points that there are, each value of a parameter as likely as the next."""
    return np.column_stack([_snap(p, column) for p, column in zip(space.parameters, rows.T, strict=True)])


def _snap(parameter: Parameter, column: Array) -> Array:
    """Return the coordinates of values that a parameter has, each as likely as the next, shape ``(n,)``."""
    if isinstance(parameter, Continuous):
        return column
    n_values = int(parameter.n_values)
    if n_values > MAX_LISTED:
        return np.array([parameter.to_unit(parameter.from_unit(u)) for u in column])
    levels = np.array([parameter.to_unit(value) for value in parameter.values()])
    return np.asarray(levels[np.minimum((column * n_values).astype(int), n_values - 1)])


def _has_equality(space: Space) -> bool:
    return any(constraint.sense == "equals" for constraint in space.constraints)


def _feasible(space: Space, rows: Array) -> list[dict[str, Value]]:
    return [point for point in space.from_unit(_snapped(space, rows)) if space.is_feasible(point)]


def _sequence(space: Space, method: str, n: int, rng: np.random.Generator, skip: int) -> Iterator[dict[str, Value]]:
    """Yield the feasible points among the first rows of a sequence, in its order."""
    if _has_equality(space):  # a sequence never hits it
        return
    budget = max(_TRIES, _TRIES_PER_POINT * n)
    rows = _rows(method, len(space.names), n, rng, skip)
    while budget > 0:
        block = next(rows)
        budget -= len(block)
        yield from _feasible(space, block)


def _rows(method: str, d: int, n: int, rng: np.random.Generator, skip: int) -> Iterator[Array]:
    """Yield blocks of unit-cube coordinates without end; the first has at least ``n`` rows."""
    size = 2 ** max(n - 1, 7).bit_length()
    if method == "random":
        while True:
            yield rng.random((size, d))
    from scipy.stats import qmc  # takes a second to load, and plain random points do without

    if method == "sobol":
        sobol = qmc.Sobol(d, rng=rng)
        if skip:
            sobol.fast_forward(skip)
        while True:
            yield np.asarray(sobol.random(size))
    if method == "lhs":
        optimisation = "random-cd" if 1 < n <= _MAX_OPTIMISED else None
        yield np.asarray(qmc.LatinHypercube(d, rng=rng, optimization=optimisation).random(n))
        while True:
            yield np.asarray(qmc.LatinHypercube(d, rng=rng).random(size))


def _choose_first(points: Iterator[dict[str, Value]], n: int, taken: Taken) -> list[dict[str, Value]]:
    """Take points in their order until there are ``n``, leaving out copies."""
    chosen: list[dict[str, Value]] = []
    while len(chosen) < n and (point := next(points, None)) is not None:
        if not taken.has(point):
            chosen.append(point)
            taken.add(point)
    return chosen


def _choose_far(
    space: Space, pool: Sequence[dict[str, Value]], n: int, taken: Taken, rng: np.random.Generator
) -> list[dict[str, Value]]:
    """Take points one by one, each as far as possible from all that are taken, leaving out copies."""
    chosen: list[dict[str, Value]] = []
    if not pool or n < 1:
        return chosen
    coordinates = space.to_unit(pool)
    nearest = taken.distances(coordinates)
    while len(chosen) < n:
        best = int(np.argmax(nearest)) if len(taken) else int(rng.integers(len(pool)))
        if nearest[best] < COPY_DISTANCE:
            break
        chosen.append(pool[best])
        taken.add(pool[best])
        nearest = np.minimum(nearest, space.distances(coordinates, coordinates[best : best + 1])[:, 0])
    return chosen


@lru_cache(maxsize=4)
def listing(space: Space) -> tuple[tuple[dict[str, Value], ...], Array]:
    """Return every feasible point of a finite space, and their unit-cube coordinates, shape ``(n, d)``.

    Raises:
        ValueError: If the space has a continuous parameter.
        PlannerError: If no point meets all constraints.
    """
    points = tuple(space.grid())
    if not points:
        if space.constraints:
            region_of(space)  # names the constraints if they can't be met even between the grid's points
        raise PlannerError(
            f"None of the {space.n_points:.0f} points of the space meets all constraints "
            f"({'; '.join(space.limits)}). Loosen one, or add values to a parameter."
        )
    return points, space.to_unit(points)


def _pool(space: Space, n: int, rng: np.random.Generator) -> Sequence[dict[str, Value]]:
    """Return points to choose ``n`` from, where a sequence did not bring enough."""
    if space.n_points <= MAX_LISTED:
        return listing(space)[0]
    if space.is_restricted:
        return _inside(space, max(_POOL, _POOL_PER_POINT * n), rng)
    return []


def _inside(space: Space, n: int, rng: np.random.Generator) -> list[dict[str, Value]]:
    """Return up to ``n`` feasible points, drawn as evenly as constraints and rules allow."""
    return possible(space, _drawn, n, rng) if space.rules else _drawn(space, n, rng)


def _drawn(space: Space, n: int, rng: np.random.Generator) -> list[dict[str, Value]]:
    """Return up to ``n`` points that meet the constraints, rules left aside; what no constraint mentions is uniform."""
    free = space.from_unit(_snapped(space, rng.random((n, len(space.names)))))
    if not space.constraints:
        return free
    region = region_of(space)
    drawn = ({**point, **region.values(row)} for point, row in zip(free, region.sample(n, rng), strict=True))
    return [point for point in map(region.repair, drawn) if point is not None]


def _grid(space: Space, n: int, taken: Taken, rng: np.random.Generator) -> list[dict[str, Value]]:
    """Return the free points of the coarsest grid with ``n`` of them, if one is small enough."""
    if space.constraints:
        region_of(space)  # tells at once where no grid, however fine, has a point
    finest = max(parameter.n_values for parameter in space.parameters)
    points: list[dict[str, Value]] = []
    levels, total = 1, 1.0
    while len(points) < n and levels <= finest and total < _MAX_GRID:
        axes = [_levels(parameter.n_values, levels) for parameter in space.parameters]
        total = math.prod(float(len(axis)) for axis in axes)
        if total >= n or levels == finest:
            points = [point for point in _feasible(space, _product(axes, total, rng)) if not taken.has(point)]
        levels += max(1, levels // 16)
    return points


def _levels(n_values: float, levels: int) -> Array:
    """Return evenly spread coordinates of one axis: both ends, or the middle where there is one level."""
    count = int(min(n_values, levels))
    return np.linspace(0.0, 1.0, count) if count > 1 else np.array([0.5])


def _product(axes: list[Array], total: float, rng: np.random.Generator) -> Array:
    """Return every combination of levels, or a random part of them where there are very many."""
    if total <= _MAX_GRID:
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    return np.stack([rng.choice(axis, size=_MAX_GRID) for axis in axes], axis=-1)
