"""Expected hypervolume improvement in closed form, under each of many draws.

In:    processes conditioned on draws, one for each objective; the boxes that each draw leaves undominated.
Out:   the logarithm of the hypervolume that a point is expected to add, and its gradient.
Never: chooses what is drawn, or where; larger scores are better, and all values are standardised.

Under one draw the objectives at a point are independent normal values. The volume that they add within one
box is a product over the objectives, and the mean of a product of independent values is the product of their
means: each is the expected improvement over the box's lower end less that over its upper end. What is added is
the sum over the boxes, and the criterion the mean over the draws. Where that underflows, logarithms are summed,
and a box's upper end, which then counts for nothing, is left out.

Source:
    Yang, Emmerich, Deutz & Bäck (2019), J. Global Optim. 75, 3-34, for the formula over boxes;
    Daulton, Balandat & Bakshy (2021), NeurIPS 34, for noise and pending points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from alchemy_async.planner.boxes import Boxes, Index
from alchemy_async.planner.drawn import DrawnProcess, Moments
from alchemy_async.planner.gains import log_improvement
from alchemy_async.space import Array

_LEAST = 1e-250  # of a volume: below this, logarithms are summed
_CELLS = 2**18  # boxes times points at once: bounds the memory, and stays within a processor's cache
_ROOT_2PI = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True)
class Goal:
    """What is wanted of one objective.

    Args:
        drawn: Its process, conditioned on draws.
        target: The value to match; None: larger is better.
    """

    drawn: DrawnProcess
    target: float | None


@dataclass(frozen=True)
class _Expected:
    """What is to be expected above each level, or its logarithm, and the derivatives; each of shape ``(t, q)``."""

    value: Array
    by_mean: Array
    by_sd: Array


@dataclass(frozen=True)
class _Axis:
    """The boxes' ends in one objective: every level once for each draw.

    Args:
        levels: Scores, shape ``(t, 1)``.
        draw: Which draw each belongs to, shape ``(t,)``.
        lower: Which level is a box's lower end, shape ``(n,)``.
        upper: Which is its upper end, shape ``(n,)``.
    """

    levels: Array
    draw: Index
    lower: Index
    upper: Index


class HypervolumeImprovement:
    """Log expected hypervolume improvement, the mean over all draws.

    Args:
        goals: One for each objective, with the same draws.
        cut: The boxes of each draw.
    """

    def __init__(self, goals: Sequence[Goal], cut: Boxes) -> None:
        self._goals = tuple(goals)
        self._axes = [_axis(cut, j) for j in range(len(goals))]
        self._first = np.flatnonzero(np.append(True, np.diff(cut.draw) > 0))
        self._n_draws = len(self._first)
        self._block = max(_CELLS // len(cut.draw), 1)

    def __call__(self, x: Array) -> Array:
        """Return the log expected improvement at each point, shape ``(q,)``.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
        """
        blocks = (x[i : i + self._block] for i in range(0, len(x), self._block))
        return np.concatenate([np.empty(0), *(self._at(block, has_slopes=False)[0] for block in blocks)])

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return the log expected improvement, shape ``(q,)``, and its gradient, 0 in categorical coordinates.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
        """
        found = [self._at(x[i : i + self._block], has_slopes=True) for i in range(0, len(x), self._block)]
        values, gradients = zip(*found, strict=True)
        return np.concatenate(values), np.vstack(gradients)

    def _at(self, x: Array, *, has_slopes: bool) -> tuple[Array, Array]:
        moments = [goal.drawn.moments(x) for goal in self._goals]
        expected = [self._expected(j, now) for j, now in enumerate(moments)]
        sides = [
            np.maximum(one.value[axis.lower] - one.value[axis.upper], 0.0)
            for one, axis in zip(expected, self._axes, strict=True)
        ]
        volume = np.sum(np.prod(sides, axis=0), axis=0) / self._n_draws
        is_far = volume < _LEAST
        value = np.log(np.maximum(volume, _LEAST))
        slopes = self._slopes(expected, sides, np.maximum(volume, _LEAST)) if has_slopes else []
        if is_far.any():
            value[is_far], far_slopes = self._far([_rows(now, is_far) for now in moments])
            for (by_mean, by_sd), (far_mean, far_sd) in zip(slopes, far_slopes, strict=False):
                by_mean[is_far], by_sd[is_far] = far_mean, far_sd
        gradient = np.zeros_like(x)
        for goal, now, (by_mean, by_sd) in zip(self._goals, moments, slopes, strict=False):
            gradient += goal.drawn.pull(x, now, by_mean, by_sd)
        return value, gradient

    def _expected(self, j: int, now: Moments) -> _Expected:
        """Return what is to be expected above each level of an objective."""
        axis, target = self._axes[j], self._goals[j].target
        mean = np.ascontiguousarray(now.mean.T)[axis.draw]
        if target is None:
            return _above(axis.levels, mean, now.sd)
        return _nearer(axis.levels, mean - target, now.sd)

    def _slopes(self, expected: list[_Expected], sides: list[Array], volume: Array) -> list[tuple[Array, Array]]:
        """Return the derivatives of the logarithm by each mean, ``(q, draws)``, and standard deviation, ``(q,)``."""
        slopes: list[tuple[Array, Array]] = []
        for j, (one, axis) in enumerate(zip(expected, self._axes, strict=True)):
            others = np.prod([side for i, side in enumerate(sides) if i != j], axis=0) / (self._n_draws * volume)
            by_mean = others * (one.by_mean[axis.lower] - one.by_mean[axis.upper])
            by_sd = np.sum(others * (one.by_sd[axis.lower] - one.by_sd[axis.upper]), axis=0)
            slopes.append((np.add.reduceat(by_mean, self._first, axis=0).T, by_sd))
        return slopes

    def _far(self, moments: list[tuple[Array, Array]]) -> tuple[Array, list[tuple[Array, Array]]]:
        """Return logarithms that don't underflow, and their derivatives, at points far from any improvement."""
        found = [
            _log_expected(goal.target, axis.levels[axis.lower], mean[axis.draw[axis.lower]], sd)
            for goal, axis, (mean, sd) in zip(self._goals, self._axes, moments, strict=True)
        ]
        logs = np.sum([one.value for one in found], axis=0)
        largest = logs.max(axis=0)
        value = largest + np.log(np.sum(np.exp(logs - largest), axis=0) / self._n_draws)
        share = np.exp(logs - value) / self._n_draws
        slopes = [
            (np.add.reduceat(share * one.by_mean, self._first, axis=0).T, np.sum(share * one.by_sd, axis=0))
            for one in found
        ]
        return np.asarray(value), slopes


def _axis(cut: Boxes, j: int) -> _Axis:
    """Return the ends of all boxes in one objective, each level once for each draw."""
    ends = np.concatenate([cut.lower[:, j], cut.upper[:, j]])
    draw = np.concatenate([cut.draw, cut.draw])
    order = np.lexsort([ends, draw])
    is_first = np.append(True, (np.diff(ends[order]) > 0) | (np.diff(draw[order]) > 0))
    place = np.empty(len(ends), dtype=np.intp)
    place[order] = np.cumsum(is_first) - 1
    kept = order[is_first]
    return _Axis(ends[kept][:, None], draw[kept], place[: len(cut.draw)], place[len(cut.draw) :])


def _rows(now: Moments, chosen: Index | Array) -> tuple[Array, Array]:
    """Return means, shape ``(draws, r)``, and standard deviations, shape ``(r,)``, at some of the points."""
    return np.ascontiguousarray(now.mean[chosen].T), now.sd[chosen]


def _above(levels: Array, mean: Array, sd: Array) -> _Expected:
    """Return the expected improvement over levels.

    Args:
        levels: Shape ``(t, 1)``.
        mean: Shape ``(t, q)``.
        sd: Shape ``(q,)``, > 0.
    """
    z = (mean - levels) / sd
    density = np.exp(-0.5 * z * z) / _ROOT_2PI
    chance = ndtr(z)
    return _Expected(sd * (density + z * chance), chance, density)


def _nearer(levels: Array, away: Array, sd: Array) -> _Expected:
    """Return how much nearer to a target than levels a value is expected to be.

    That is a second difference of the improvement; it is reckoned below the target, where little cancels.

    Args:
        levels: Minus the distance from the target, shape ``(t, 1)``.
        away: How far above the target the mean is, shape ``(t, q)``.
        sd: Shape ``(q,)``, > 0.
    """
    reach, below = np.maximum(-levels, 0.0), -np.abs(away)
    inner, middle, outer = (_above(step * reach, below, sd) for step in (-1.0, 0.0, 1.0))
    return _Expected(
        inner.value - 2.0 * middle.value + outer.value,
        np.where(away > 0.0, -1.0, 1.0) * (inner.by_mean - 2.0 * middle.by_mean + outer.by_mean),
        inner.by_sd - 2.0 * middle.by_sd + outer.by_sd,
    )


def _log_expected(target: float | None, levels: Array, mean: Array, sd: Array) -> _Expected:
    """Return the log expected improvement over levels, and its derivatives; far below them, but without underflow."""
    sign = np.ones(())
    if target is not None:
        sign = np.where(mean > target, -1.0, 1.0)
        mean, levels = -np.abs(mean - target), np.minimum(levels, 0.0)
    z = (mean - levels) / sd
    logs = log_improvement(z)
    by_mean = np.exp(log_ndtr(z) - logs) / sd
    by_sd = np.exp(-0.5 * z * z - math.log(_ROOT_2PI) - logs) / sd
    return _Expected(logs + np.log(sd), sign * by_mean, by_sd)
