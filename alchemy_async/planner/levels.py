"""Levels: how true the next experiment is to be, where truth has its price.

In:    a space with a fidelity; points chosen as if all were run at its target; models, what runs, what was spent.
Out:   the same points, each at the level at which it is to be run.
Never: chooses a point.

A level is worth the part of the doubt about the value at the target that a measurement there would take
away, over what it costs. That asks the model how much one level tells of another, and a model that has
seen little of the target may believe too much. So half of all that is spent is spent at the target:
whatever the cheap levels are worth, the other half buys results that count.

Source:
    Huang, Allen, Notz & Miller (2006), Struct. Multidiscip. Optim. 32(5), 369-382, "Sequential kriging
    optimization using multiple-fidelity evaluations".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from alchemy_async.planner.taken import Taken
from alchemy_async.space import Array, Context, Continuous, Fidelity, Fixed, Point, Space, Value

if TYPE_CHECKING:  # scipy loads slowly, and designs do without it
    from alchemy_async.planner.gp import GaussianProcess

MOST_LEVELS = 17  # that are compared; of a longer scale these are spread evenly, and the target is one of them
AT_TARGET = 0.5  # of all costs, at least
_LEAST_DOUBT = 1e-6  # of standardised values, a variance: less is known
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0  # steps of it around a circle spread any number of points evenly


@dataclass(frozen=True)
class Aim:
    """Where the answer is wanted: coordinates moved to the target of the fidelity.

    Args:
        column: Coordinate of the fidelity.
        at: Its unit-cube coordinate at the target.
    """

    column: int
    at: float

    def __call__(self, x: Array) -> Array:
        """Return unit-cube coordinates at the target, shape ``(n, d)``, of ``x`` of the same shape."""
        moved = x.copy()
        moved[:, self.column] = self.at
        return moved


def aim_of(space: Space) -> Aim | None:
    """Return where the answer is wanted; None in a space without a fidelity."""
    if space.fidelity is None:
        return None
    column = space.names.index(space.fidelity.name)
    return Aim(column, space.parameters[column].to_unit(space.fidelity.target))


def levels_of(space: Space) -> tuple[Value, ...]:
    """Return the values of the fidelity to choose from, ascending; one of them is the target, unless it is held.

    What costs more than the target is none of them: it would tell less of the target than that itself.
    """
    fidelity = _fidelity(space)
    (parameter,) = (one for one in space.parameters if one.name == fidelity.name)
    if isinstance(parameter, (Fixed, Context)):
        return (parameter.value,)
    target = parameter.fit(fidelity.target)
    found: set[Value] = set() if target is None else {target}
    if not isinstance(parameter, Continuous) and parameter.n_values <= MOST_LEVELS:
        found |= set(parameter.values())
    else:
        found |= {parameter.from_unit(float(u)) for u in np.linspace(0.0, 1.0, MOST_LEVELS)}
    most = fidelity.cost(fidelity.target)
    return tuple(sorted((one for one in found if fidelity.cost(one) <= most), key=float))


class Levels:
    """Says at which level each point is to be run; remembers what that costs.

    Args:
        space: A space with a fidelity.
        processes: The models of all that is measured.
        run: Every point that was run, is running or is about to.
    """

    def __init__(self, space: Space, processes: Sequence[GaussianProcess], run: Sequence[Point]) -> None:
        self._space, self._processes, self._fidelity = space, processes, _fidelity(space)
        self._levels = levels_of(space)
        self._costs = np.array([self._fidelity.cost(level) for level in self._levels])
        self._spent = {True: 0.0, False: 0.0}  # at the target, elsewhere
        for point in run:
            self._pay(point)

    def choose(self, point: Point, waiting: Array, taken: Taken) -> dict[str, Value]:
        """Return a point at the level that tells most of its value at the target for what it costs.

        Args:
            point: A free point at the target.
            waiting: Unit-cube coordinates of points not yet observed, at their levels, shape ``(m, d)``.
            taken: Points that are not to be run again.
        """
        chosen = dict(point)
        if not self._is_target_due():
            offers = [dict(point) | {self._fidelity.name: level} for level in self._levels]
            worth = self._told(self._space.to_unit(offers), self._space.to_unit([point]), waiting) / self._costs
            for k in np.argsort(-worth, kind="stable"):
                if _is_free(self._space, offers[k], taken):
                    chosen = offers[k]
                    break
        self._pay(chosen)
        return chosen

    def _is_target_due(self) -> bool:
        return self._spent[True] < AT_TARGET * (self._spent[True] + self._spent[False])

    def _pay(self, point: Point) -> None:
        self._spent[self._fidelity.counts(point)] += self._fidelity.cost(point[self._fidelity.name])

    def _told(self, offers: Array, aim: Array, waiting: Array) -> Array:
        """Return what share of the doubt at the target each level would take away, of what it tells least of."""
        return np.asarray(np.min([told(one, offers, aim, waiting) for one in self._processes], axis=0))


def told(process: GaussianProcess, offers: Array, aim: Array, waiting: Array) -> Array:
    """Return what share of the variance at one point a noisy measurement at each other would take away.

    Args:
        process: The model.
        offers: Unit-cube coordinates, shape ``(k, d)``.
        aim: That one point, shape ``(1, d)``.
        waiting: Points whose values will be known by then, shape ``(m, d)``.

    Returns:
        Squared correlations between the measured values and the one wanted, shape ``(k,)``, 0 to 1.
    """
    k, noise = len(offers), float(np.mean(process.variances)) + _LEAST_DOUBT
    _, covariance = process.covariance(np.vstack([offers, aim, waiting]))
    here, across, there = covariance[: k + 1, : k + 1], covariance[: k + 1, k + 1 :], covariance[k + 1 :, k + 1 :]
    if len(waiting):
        here = here - across @ np.linalg.solve(there + noise * np.eye(len(waiting)), across.T)
    variances = np.maximum(np.diag(here), 0.0)
    shares = here[:k, k] ** 2 / ((variances[:k] + noise) * max(variances[k], _LEAST_DOUBT))
    return np.asarray(np.minimum(shares, 1.0))


def spread_levels(space: Space, points: Sequence[Point], avoid: Sequence[Point], seed: int) -> list[dict[str, Value]]:
    """Return points of a design at levels whose shares are inverse to their costs, one at least at the target.

    Args:
        space: A space with a fidelity.
        points: Points at the target, free there.
        avoid: Points that are taken: the design goes on where one with the same seed stood after as many.
        seed: Seed of the order of the levels.
    """
    fidelity, levels, taken = _fidelity(space), levels_of(space), Taken(space, avoid)
    shares = np.cumsum([1.0 / fidelity.cost(level) for level in levels])
    begin = float(np.random.default_rng([seed, len(levels)]).random())
    is_met = any(fidelity.counts(point) for point in avoid)
    placed: list[dict[str, Value]] = []
    for i, point in enumerate(points):
        wanted = int(np.searchsorted(shares, (begin + (len(avoid) + i) * _GOLDEN) % 1.0 * shares[-1], side="right"))
        near = sorted(range(len(levels)), key=lambda k: abs(k - wanted))
        offers = [dict(point) | {fidelity.name: levels[k]} for k in near] if is_met else []
        placed.append(next((offer for offer in offers if _is_free(space, offer, taken)), dict(point)))
        taken.add(placed[-1])
        is_met = True
    return placed


def _is_free(space: Space, point: Point, taken: Taken) -> bool:
    return space.is_feasible(point) and not taken.has(point)


def _fidelity(space: Space) -> Fidelity:
    if space.fidelity is None:
        raise ValueError("the space has no fidelity; ask for levels only where there is one")
    return space.fidelity
