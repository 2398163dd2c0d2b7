"""The search: where the acquisition function is largest.

In:    an acquisition function, what is taken, and good points to look around.
Out:   the best point that may be proposed.
Never: proposes a copy of a taken point, or a point that does not fit the space.

A small finite space is scored whole. Any other is searched from the best of many starts: by steps over
the discrete part, then uphill over the rest, within the constraints if there are any. What that brings
is snapped to the space and, where that breaks a constraint, moved to the nearest feasible point; if
all of it is taken, points at random follow. What a person's own rule forbids is not climbed to: the way
there ends at the last point that is possible, and goes on along the border from there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from alchemy_async.planner.climbing import climb
from alchemy_async.planner.constrained import ConstrainedClimb
from alchemy_async.planner.criteria import Acquisition
from alchemy_async.planner.designs import design, listing, spread
from alchemy_async.planner.possible import Mask, as_points, held_back, near_by
from alchemy_async.planner.taken import Taken
from alchemy_async.space import COPY_DISTANCE, Array, Categorical, Space, Value

RESTARTS, RAW_SAMPLES, NEAR_SAMPLES = 10, 512, 64  # fewer restarts or samples cost regret
MOST_STEPS = 20  # numbers with more values than this are searched as if continuous, then rounded
_GREEDY = 4  # restarts from the very best samples; the others are drawn by their value, so that they lie apart
_WARMTH = 2.0  # of that draw, as in BoTorch
_ROUNDS = 8  # of steps over the discrete part
_WORTH = 1e-8
_WALKERS, _WALK_ROUNDS, _WALK_TRIES, _FIRST_STEP = 4, 24, 16, 0.1  # along the border; the step is of a side of the cube
_SPARE = 64  # points at random to choose from where all that a search brought is taken
_BLOCK = 2048  # points scored at once: bounds the memory


class Search:
    """Finds the best free point of one space; made once for an ask.

    Args:
        space: The search space.
        seed: Seed of the starts.
        max_enumerated: A finite space of up to this many points is scored whole.
        around: Unit-cube coordinates of good points, shape ``(k, d)``: some starts lie near them.
    """

    def __init__(self, space: Space, seed: int, max_enumerated: int, around: Array) -> None:
        self._space = space
        self._seed = seed
        self._around = around
        self._is_listed = space.n_points <= max_enumerated
        self._fixed = np.array(
            [isinstance(p, Categorical) or p.n_values <= MOST_STEPS for p in space.parameters], dtype=bool
        )
        is_constrained = bool(space.constraints) and not self._is_listed
        self._constrained = ConstrainedClimb(space, ~self._fixed) if is_constrained else None

    def best(self, acquisition: Acquisition, taken: Taken) -> tuple[dict[str, Value], float] | None:
        """Return the best free point and its acquisition value; None where none is left."""
        if self._is_listed:
            points, coordinates = listing(self._space)
            free = np.flatnonzero(taken.distances(coordinates) >= COPY_DISTANCE)
            return _best_of([points[i] for i in free], coordinates[free], acquisition)
        for row in self._candidates(acquisition):
            for point in as_points(self._space, row[None]):
                if not taken.has(point):
                    return point, float(acquisition(self._space.to_unit([point]))[0])
        spare = design(self._space, "random", _SPARE, self._seed, avoid=taken.points)
        return _best_of(spare, self._space.to_unit(spare), acquisition)

    def _candidates(self, acquisition: Acquisition) -> Iterator[Array]:
        """Yield unit-cube coordinates, shape ``(d,)``, the best first."""
        starts = self._starts()
        values = score(acquisition, starts)
        chosen = _choose(values, np.random.default_rng([self._seed, 2]))
        rows, before = self._step(acquisition, starts[chosen], values[chosen])
        climbed, heights = self._slide(acquisition, rows)
        if self._space.rules:
            climbed, heights = self._along_border(acquisition, *held_back(self._space, rows, climbed))
        climbed, heights = self._step(acquisition, climbed, heights)
        found, worth = np.vstack([climbed, rows, starts]), np.concatenate([heights, before, values])
        yield from found[np.argsort(-worth, kind="stable")]

    def _starts(self) -> Array:
        """Return feasible unit-cube coordinates, spread over the space and near good points, shape ``(n, d)``."""
        wide = spread(self._space, RAW_SAMPLES, self._seed)
        if not len(self._around) or not len(wide):
            return wide
        rng = np.random.default_rng([self._seed, 1])
        centres = self._around[rng.integers(len(self._around), size=NEAR_SAMPLES)]
        others = wide[rng.integers(len(wide), size=NEAR_SAMPLES)]
        share = 10.0 ** rng.uniform(-3.0, -0.3, size=(NEAR_SAMPLES, 1))
        is_other = rng.random(centres.shape) < np.where(self._fixed, 0.2, 0.0)
        near = np.where(is_other, others, centres + np.where(self._fixed, 0.0, share) * (others - centres))
        return np.vstack([wide, self._space.to_unit(as_points(self._space, near))])

    def _slide(self, acquisition: Acquisition, rows: Array) -> tuple[Array, Array]:
        """Move points uphill along what is not discrete."""
        if self._fixed.all():
            return rows, score(acquisition, rows)
        if self._constrained is not None:
            return self._constrained.climb(acquisition.with_gradient, rows)
        return climb(acquisition.with_gradient, rows, ~self._fixed)

    def _along_border(self, acquisition: Acquisition, rows: Array, held: Mask) -> tuple[Array, Array]:
        """Move the best points that a rule held back to better ones near by, by smaller steps where there are none."""
        values = score(acquisition, rows)
        walking = np.flatnonzero(held)[np.argsort(-values[held], kind="stable")[:_WALKERS]]
        size = np.full(len(rows), _FIRST_STEP)
        rng = np.random.default_rng([self._seed, 3])
        for _ in range(_WALK_ROUNDS if len(walking) else 0):
            steps = np.where(self._fixed, 0.0, size[walking, None])
            around = [
                near_by(self._space, rows[i], step, _WALK_TRIES, rng) for i, step in zip(walking, steps, strict=True)
            ]
            scored = np.split(score(acquisition, np.vstack(around)), np.cumsum([len(block) for block in around])[:-1])
            for i, near, found in zip(walking, around, scored, strict=True):
                if len(found) and found.max() > values[i]:
                    rows[i], values[i] = near[int(found.argmax())], found.max()
                else:
                    size[i] *= 0.5
        return rows, values

    def _step(self, acquisition: Acquisition, rows: Array, values: Array) -> tuple[Array, Array]:
        """Move each point to its best feasible neighbour in one discrete parameter, while that improves it.

        Returns:
            Where each point is then, and the value there.
        """
        rows, values = rows.copy(), values.copy()
        active = np.arange(len(rows)) if self._fixed.any() else np.empty(0, dtype=int)
        for _ in range(_ROUNDS):
            around = [self._neighbours(rows[i]) for i in active]
            if not sum(map(len, around)):
                break
            scored = np.split(score(acquisition, np.vstack(around)), np.cumsum([len(block) for block in around])[:-1])
            improved = []
            for i, block, found in zip(active, around, scored, strict=True):
                if len(found) and found.max() > values[i] + _WORTH:
                    rows[i], values[i] = block[int(found.argmax())], found.max()
                    improved.append(i)
            active = np.array(improved, dtype=int)
        return rows, values

    def _neighbours(self, row: Array) -> Array:
        """Return the coordinates of every feasible point that differs in one discrete parameter, by one step."""
        (point,) = self._space.from_unit(row)
        around: list[Array] = []
        for i in np.flatnonzero(self._fixed):
            parameter = self._space.parameters[i]
            values = parameter.values()  # type: ignore[union-attr]  # a continuous one is never fixed
            here = values.index(point[parameter.name])
            near = values if isinstance(parameter, Categorical) else values[max(here - 1, 0) : here + 2]
            for value in near:
                if value != values[here] and self._space.is_feasible({**point, parameter.name: value}):
                    other = row.copy()
                    other[i] = parameter.to_unit(value)
                    around.append(other)
        return np.array(around).reshape(len(around), len(row))


def score(acquisition: Acquisition, coordinates: Array) -> Array:
    """Return the acquisition value of each point, shape ``(n,)``, in bounded memory.

    Args:
        acquisition: The function.
        coordinates: Unit-cube coordinates, shape ``(n, d)``.
    """
    blocks = [acquisition(coordinates[i : i + _BLOCK]) for i in range(0, len(coordinates), _BLOCK)]
    return np.concatenate([np.empty(0), *blocks])


def _best_of(
    points: list[dict[str, Value]], coordinates: Array, acquisition: Acquisition
) -> tuple[dict[str, Value], float] | None:
    if not points:
        return None
    values = score(acquisition, coordinates)
    best = int(np.argmax(values))
    return dict(points[best]), float(values[best])


def _choose(values: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return which starts to climb from: the best ones, and others drawn by their value.

    Source:
        Balandat et al. (2020), NeurIPS 33, appendix F: Boltzmann sampling of initial conditions.
    """
    order = np.argsort(-values, kind="stable")
    best, rest = order[:_GREEDY], order[_GREEDY:]
    n = min(RESTARTS - len(best), len(rest))
    if n <= 0:
        return best
    spread = float(np.std(values[rest])) or 1.0
    weights = np.exp(_WARMTH * np.clip((values[rest] - values[rest].max()) / spread, -100.0, 0.0))
    return np.concatenate([best, rng.choice(rest, size=n, replace=False, p=weights / weights.sum())])
