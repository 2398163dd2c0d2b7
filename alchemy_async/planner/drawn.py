"""Drawn values: a Gaussian process given values at further points, many draws of them at once.

In:    a Gaussian process, points whose values nobody knows, standard normal numbers.
Out:   joint values at those points; mean under each draw, and standard deviation, anywhere, with their pulls.
Never: decides which points these are, or what a value is worth.

The data's factor is used as it is and never copied: the further points are a second block below it.
So an ask costs no memory of the size of the factor, whatever is pending. Where a process has a local model that
knows more of a point, its moments are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alchemy_async.planner.gp import GaussianProcess, root, solve
from alchemy_async.planner.local import LocalDraws, LocalProcess
from alchemy_async.space import Array

LEAST_SD = 1e-7  # of standardised values


@dataclass(frozen=True)
class Moments:
    """What the drawn process expects at some points.

    Args:
        mean: Mean under each draw, shape ``(q, draws)``.
        sd: Standard deviation, the same under each draw, shape ``(q,)``, > 0.
        steps: Arrays on the way to these, which the way back needs.
        is_local: Where they are those of a local model, shape ``(q,)``.
    """

    mean: Array
    sd: Array
    steps: tuple[Array, ...]
    is_local: NDArray[np.bool_]


class DrawnProcess:
    """A Gaussian process conditioned on data, and on each of many draws of the values at further points.

    Args:
        process: The model of the data, ``n`` of them.
        points: Unit-cube coordinates of the further points, shape ``(m, d)``.
        normal: Independent standard normal numbers, shape ``(m, draws)``.

    Attributes:
        points: The further points, shape ``(m, d)``.
        values: Joint noise-free values there, shape ``(m, draws)``.
    """

    def __init__(self, process: GaussianProcess, points: Array, normal: Array) -> None:
        self.points = points
        self._process = process.with_neighbours(points) if isinstance(process, LocalProcess) else process
        kernel = self._process.kernel
        self._x = np.vstack([self._process.x, points])
        self._cross = solve(self._process.factor, kernel(self._process.x, points))
        self._normal, self._root = normal, root(kernel(points, points) - self._cross.T @ self._cross)
        mean = self._process.mean + self._cross.T @ self._process.whitened
        self.values = mean[:, None] + self._root @ normal
        self._local = LocalDraws(process, points, self.values) if isinstance(process, LocalProcess) else None

    def moments(self, x: Array) -> Moments:
        """Return the moments of the noise-free values at unit-cube coordinates of shape ``(q, d)``."""
        process = self._process
        near, n = process.kernel(self._x, x), len(process.x)
        first = solve(process.factor, near[:n])
        second = solve(self._root, near[n:] - self._cross.T @ first)
        mean = process.mean + (first.T @ process.whitened)[:, None] + second.T @ self._normal
        left = 1.0 - np.sum(first * first, axis=0) - np.sum(second * second, axis=0)
        sd = np.sqrt(np.maximum(left, LEAST_SD**2))
        is_local = np.zeros(len(x), dtype=np.bool_) if self._local is None else self._local.better(x, mean, sd)
        return Moments(mean, sd, (near, first, second), is_local)

    def pull(self, x: Array, moments: Moments, by_mean: Array, by_sd: Array) -> Array:
        """Return the gradient by ``x`` of a function of the moments; 0 in categorical coordinates.

        Args:
            x: Where, unit-cube coordinates, shape ``(q, d)``.
            moments: The moments there.
            by_mean: The function's derivative by each mean, shape ``(q, draws)``.
            by_sd: Its derivative by each standard deviation, shape ``(q,)``.

        Returns:
            Shape ``(q, d)``.
        """
        process = self._process
        near, first, second = moments.steps
        share = by_sd / moments.sd
        by_second = solve(self._root, self._normal @ by_mean.T - second * share, transposed=True)
        by_first = np.outer(process.whitened, by_mean.sum(axis=1)) - first * share - self._cross @ by_second
        by_near = solve(process.factor, by_first, transposed=True)
        slope = process.kernel.pull(x, self._x, near.T, np.vstack([by_near, by_second]).T)
        if self._local is not None and moments.is_local.any():
            rows = np.flatnonzero(moments.is_local)
            slope[rows] = self._local.pull(x[rows], by_mean[rows], share[rows])
        return slope
