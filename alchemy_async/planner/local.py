"""Local models: of a long history, what a core leaves out is told by the observations nearest to a point.

In:    all observations, the core of them, the kernel.
Out:   predictions anywhere, also given values that are drawn at further points, with their pull.
Never: forgets an observation: which ones count depends on where it is asked.

A core alone, however chosen, takes regions for unknown that the history knows well, and a search is drawn to
just these. So each point is predicted twice: from the core, which is dense where values are best, and from its own
neighbours; the prediction with less variance counts. Neighbours are nearest by the kernel's lengths: those
whose values are correlated most.

Source:
    Snelson & Ghahramani (2007), AISTATS, for local and global approximations beside each other;
    Vecchia (1988), J. R. Stat. Soc. B 50(2), 297-312, and Gramacy & Apley (2015), J. Comput. Graph. Stat.
    24(2), 561-578, for prediction from neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from alchemy_async.planner.factors import Factor
from alchemy_async.planner.gp import GaussianProcess, Kernel, extended
from alchemy_async.space import Array

N_NEIGHBOURS = 80
_N_BESIDE = 512  # neighbours of further points that join the core
_BLOCK = 64  # points predicted at once: bounds the memory
_LEAST_SD = 1e-7  # of standardised values
_JITTER = 1e-5  # on values that are drawn: they lie so near each other that less would magnify rounding


class Columns(Protocol):
    """What a kernel sees of a point: columns, made of its unit-cube coordinates."""

    def __call__(self, x: Array) -> Array:
        """Return columns, shape ``(n, c)``, of coordinates, shape ``(n, d)``."""
        ...

    def back(self, gradient: Array) -> Array:
        """Return the gradient by coordinates, shape ``(n, d)``, of one by columns, shape ``(n, c)``."""
        ...

    def restore(self, columns: Array) -> Array:
        """Return the coordinates, shape ``(n, d)``, that columns, shape ``(n, c)``, were made of."""
        ...


class _Coordinates:
    """Columns that are the coordinates themselves."""

    def __call__(self, x: Array) -> Array:
        return x

    def back(self, gradient: Array) -> Array:
        return gradient

    def restore(self, columns: Array) -> Array:
        return columns


@dataclass(frozen=True)
class _Block:
    """Some points, and what each is predicted from: ``k`` neighbours and ``m`` further points.

    Args:
        at: Which points, ``b`` of them.
        here: What the kernel sees of them, shape ``(b, c)``.
        near: What it sees of those that they are predicted from, shape ``(b, k + m, c)``.
        system: The covariance of its values, shape ``(b, k + m, k + m)``.
        values: Those of the neighbours, less the mean, shape ``(b, k)``.
        covariance: Covariance of each point with what it is predicted from, shape ``(b, k + m)``.
    """

    at: slice
    here: Array
    near: Array
    system: Array
    values: Array
    covariance: Array

    def solve(self, right: Array) -> Array:
        """Return the inverse of each system times its row of ``right``, shapes ``(b, k + m)``."""
        return np.asarray(np.linalg.solve(self.system, right[..., None])[..., 0])


class LocalProcess(GaussianProcess):
    """A Gaussian process of many observations, which holds a core of them and looks up neighbours.

    ``x``, ``y``, ``fitted`` and ``covariance`` are those of the core.

    Args:
        x: Unit-cube coordinates of all observations, shape ``(n, d)``.
        y: Standardised values, shape ``(n,)``.
        variances: Noise variance of each value, shape ``(n,)``.
        kernel: The covariance; takes coordinates, whatever it makes of them.
        core: Rows of the core, shape ``(c,)``.
        factor: The factor of the covariance of the core's values, where it is known already.
        columns: What the kernel makes of coordinates; None: it takes them as they are.

    Raises:
        NotPositiveDefiniteError: If the covariance of the core has no factor.

    Attributes:
        columns: What the kernel makes of coordinates.
        of_columns: The covariance, as a kernel that takes these.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        variances: Array,
        kernel: Kernel,
        core: NDArray[np.intp],
        factor: Factor | None = None,
        columns: Columns | None = None,
    ) -> None:
        super().__init__(x[core], y[core], variances[core], kernel, factor)
        self.columns = _Coordinates() if columns is None else columns
        self.of_columns = Kernel(kernel.lengths, kernel.categorical, kernel.is_rough)
        self._core, self._all, self._seen = core, (x, y, variances), self.columns(x)
        self._categories = [np.unique(self._seen[:, i]) for i in np.flatnonzero(kernel.categorical)]

    def over(self, columns: Columns, kernel: Kernel) -> LocalProcess:
        """Return the same process, asked by the coordinates that its own were made of.

        Args:
            columns: How they were made.
            kernel: The covariance, which takes those coordinates.
        """
        x, y, variances = self._all
        return LocalProcess(columns.restore(x), y, variances, kernel, self._core, self.factor, columns)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return posterior means and variances of the noise-free values, each of shape ``(m,)``."""
        mean, variance = super().predict(x)
        for block in self.blocks(x, np.empty((0, x.shape[1]))):
            weights = block.solve(block.covariance)
            left = np.maximum(1.0 - np.sum(weights * block.covariance, axis=1), 0.0)
            local = self.mean + np.sum(weights * block.values, axis=1)
            mean[block.at] = np.where(left < variance[block.at], local, mean[block.at])
            variance[block.at] = np.minimum(left, variance[block.at])
        return mean, variance

    def with_neighbours(self, points: Array) -> GaussianProcess:
        """Return a process of the core and of the neighbours of some points.

        Args:
            points: Unit-cube coordinates, shape ``(m, d)``.
        """
        per_point = int(np.clip(_N_BESIDE // max(len(points), 1), 8, N_NEIGHBOURS))
        x, y, variances = self._all
        rows = np.setdiff1d(self._nearest(self.columns(points), per_point), self._core)
        x, variances = np.vstack([self.x, x[rows]]), np.concatenate([self.variances, variances[rows]])
        factor = extended(self.factor, x, variances, self.kernel)
        return GaussianProcess(x, np.concatenate([self.y, y[rows]]), variances, self.kernel, factor)

    def blocks(self, x: Array, points: Array) -> Iterator[_Block]:
        """Yield what points are predicted from: their neighbours, and further points that are known without noise.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
            points: The further points, shape ``(m, d)``.
        """
        _, y, variances = self._all
        known = self.columns(points)
        for start in range(0, len(x), _BLOCK):
            here = self.columns(x[start : start + _BLOCK])
            rows = self._nearest(here, N_NEIGHBOURS)
            near = np.concatenate([self._seen[rows], np.broadcast_to(known, (len(here), *known.shape))], axis=1)
            system, place = self.of_columns(near, near), np.arange(near.shape[1])
            noise = np.column_stack([variances[rows], np.full((len(here), len(points)), _JITTER)])
            system[:, place, place] = 1.0 + noise
            covariance = self.of_columns(here[:, None, :], near)[:, 0, :]
            yield _Block(slice(start, start + len(here)), here, near, system, y[rows] - self.mean, covariance)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._scaled(self._seen), balanced_tree=False, compact_nodes=False)

    def _nearest(self, seen: Array, n: int) -> NDArray[np.intp]:
        """Return the rows of the ``n`` observations nearest to each point, ascending, shape ``(q, n)``."""
        _, rows = self._tree.query(self._scaled(seen), k=min(n, self._tree.n))
        return np.sort(rows.reshape(len(seen), -1), axis=1)

    def _scaled(self, seen: Array) -> Array:
        """Return columns whose squared distances are twice minus the logarithm of the kernel, shape ``(n, e)``."""
        is_categorical, lengths = self.kernel.categorical, self.kernel.lengths
        columns = [seen[:, ~is_categorical] / lengths[~is_categorical]]
        for i, values in zip(np.flatnonzero(is_categorical), self._categories, strict=True):
            is_value = np.abs(seen[:, i, None] - values) < 1e-9
            columns.append(is_value / np.sqrt(is_categorical.sum() * lengths[i]))
        return np.column_stack(columns)


class LocalDraws:
    """What a local process expects given each draw of the values at further points.

    Args:
        process: The process.
        points: The further points, shape ``(m, d)``.
        values: Noise-free values there, shape ``(m, draws)``.
    """

    def __init__(self, process: LocalProcess, points: Array, values: Array) -> None:
        self._process, self._points, self._drawn = process, points, values - process.mean

    def better(self, x: Array, mean: Array, sd: Array) -> NDArray[np.bool_]:
        """Replace means and standard deviations where neighbours know more; return where that is, shape ``(q,)``.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
            mean: Mean under each draw, shape ``(q, draws)``; overwritten.
            sd: Standard deviations, shape ``(q,)``; overwritten.
        """
        is_local = np.zeros(len(x), dtype=np.bool_)
        for block in self._process.blocks(x, self._points):
            weights, n_near = block.solve(block.covariance), block.values.shape[1]
            left = 1.0 - np.sum(weights * block.covariance, axis=1)
            knows_more = (left > _LEAST_SD**2) & (left < sd[block.at] ** 2)
            local = np.sum(weights[:, :n_near] * block.values, axis=1)[:, None] + weights[:, n_near:] @ self._drawn
            mean[block.at] = np.where(knows_more[:, None], self._process.mean + local, mean[block.at])
            sd[block.at] = np.where(knows_more, np.sqrt(np.maximum(left, _LEAST_SD**2)), sd[block.at])
            is_local[block.at] = knows_more
        return is_local

    def pull(self, x: Array, by_mean: Array, share: Array) -> Array:
        """Return the gradient by ``x`` of a function of the local moments, shape ``(q, d)``.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
            by_mean: The function's derivative by each mean, shape ``(q, draws)``.
            share: Its derivative by each standard deviation, over that, shape ``(q,)``.
        """
        kernel = self._process.of_columns
        slopes = np.zeros((len(x), len(kernel.lengths)))
        for block in self._process.blocks(x, self._points):
            values = block.values * by_mean[block.at].sum(axis=1)[:, None]
            wanted = np.hstack([values, by_mean[block.at] @ self._drawn.T]) - share[block.at, None] * block.covariance
            bent = kernel.bent(block.here[:, None, :], block.near, block.covariance[:, None, :])[:, 0, :]
            pulled = block.solve(wanted) * bent
            towards = np.einsum("qs,qsd->qd", pulled, block.near) - pulled.sum(axis=1)[:, None] * block.here
            slopes[block.at] = np.where(kernel.categorical, 0.0, towards / kernel.lengths**2)
        return self._process.columns.back(slopes)
