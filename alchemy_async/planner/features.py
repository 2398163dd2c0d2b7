"""Features: what a model sees of a point, where categories are described by numbers.

In:    unit-cube coordinates of a space.
Out:   columns for a Gaussian process, and a process over the unit cube made of one over columns.
Never: changes what a space, a search or a distance of copies takes a point to be.

A categorical parameter with descriptors becomes a column for each of them, scaled to 0 ... 1 over its options;
every other parameter stays the column that it is. So two solvents with similar descriptors are near to each
other, by one length for each descriptor, where else a different one is just different.

Source:
    Shields et al. (2021), Nature 590, 89-96, for descriptors of reagents in Bayesian optimisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alchemy_async.planner.gp import GaussianProcess, Kernel, Mask
from alchemy_async.planner.local import LocalProcess
from alchemy_async.space import Array, Categorical, Context, Fixed, Parameter, Space


class Features:
    """The columns of one space.

    Args:
        space: The search space.

    Attributes:
        categorical: Which columns are categorical, shape ``(c,)``.
        names: What each column is called: the parameter, with the descriptor's number where there are several.
        is_plain: Whether columns are coordinates, because nothing is described.
    """

    def __init__(self, space: Space) -> None:
        tables = [_table(parameter) for parameter in space.parameters]
        self.is_plain = all(table is None for table in tables)
        self._tables = tuple(tables)
        counts = [1 if table is None else table.shape[1] for table in tables]
        self._of = np.repeat(np.arange(len(tables)), counts)  # the coordinate that each column is made of
        described = np.array([table is not None for table in tables])
        self.categorical: Mask = (space.is_categorical & ~described)[self._of]
        self._is_same = ~described[self._of]
        self.names = tuple(
            f"{name}[{k}]" if count > 1 else name
            for name, count in zip(space.names, counts, strict=True)
            for k in range(1, count + 1)
        )

    def __call__(self, x: Array) -> Array:
        """Return columns, shape ``(n, c)``, of unit-cube coordinates, shape ``(n, d)``."""
        if self.is_plain:
            return x
        blocks = [
            x[:, i : i + 1] if table is None else table[_options(x[:, i], len(table))]
            for i, table in enumerate(self._tables)
        ]
        return np.hstack(blocks)

    def back(self, gradient: Array) -> Array:
        """Return the gradient by coordinates, shape ``(n, d)``, of one by columns; 0 in categorical coordinates."""
        if self.is_plain:
            return gradient
        by_coordinate = np.zeros((len(gradient), len(self._tables)))
        by_coordinate[:, self._of[self._is_same]] = gradient[:, self._is_same]
        return by_coordinate

    def restore(self, columns: Array) -> Array:
        """Return the unit-cube coordinates, shape ``(n, d)``, that columns, shape ``(n, c)``, were made of."""
        if self.is_plain:
            return columns
        x = np.empty((len(columns), len(self._tables)))
        for i, table in enumerate(self._tables):
            mine = columns[:, self._of == i]
            if table is None:
                x[:, i] = mine[:, 0]
            else:
                apart = np.sum((mine[:, None, :] - table[None, :, :]) ** 2, axis=2)
                x[:, i] = np.argmin(apart, axis=1) / (len(table) - 1)
        return x

    def over_unit_cube(self, process: GaussianProcess) -> GaussianProcess:
        """Return a process of columns as one of unit-cube coordinates: the same one, asked otherwise.

        One that looks up neighbours goes on looking them up.
        """
        if self.is_plain:
            return process
        kernel = DescribedKernel(
            process.kernel.lengths, process.kernel.categorical, process.kernel.is_rough, features=self
        )
        if isinstance(process, LocalProcess):
            return process.over(self, kernel)
        return GaussianProcess(self.restore(process.x), process.y, process.variances, kernel, process.factor)


@dataclass(frozen=True)
class DescribedKernel(Kernel):
    """A kernel of columns that takes unit-cube coordinates.

    Args:
        lengths: Length of each column, shape ``(c,)``, > 0.
        categorical: Which columns are categorical, shape ``(c,)``.
        features: Makes columns of coordinates.
    """

    features: Features = field(kw_only=True)

    def __call__(self, a: Array, b: Array) -> Array:
        """Return the covariance of each point in ``a``, shape ``(n, d)``, with each in ``b``, shape ``(m, d)``."""
        return super().__call__(self.features(a), self.features(b))

    def pull(self, a: Array, b: Array, covariance: Array, weights: Array) -> Array:
        """Return the gradient of ``sum(weights * k(a, b), axis=1)`` by ``a``, shape ``(n, d)``; 0 for categories."""
        return self.features.back(super().pull(self.features(a), self.features(b), covariance, weights))


def _table(parameter: Parameter) -> Array | None:
    """Return the scaled descriptors of each option, shape ``(options, descriptors)``; None where there are none.

    A descriptor that is the same for all options tells nothing and is left out.
    """
    bare = parameter.of if isinstance(parameter, (Fixed, Context)) else parameter
    if not isinstance(bare, Categorical) or not bare.descriptors:
        return None
    table = np.array(bare.descriptors, dtype=np.float64)
    low, spread = table.min(axis=0), np.ptp(table, axis=0)
    return np.asarray((table - low)[:, spread > 0.0] / spread[spread > 0.0])


def _options(column: Array, n: int) -> NDArray[np.intp]:
    return np.clip(np.rint(column * (n - 1)), 0, n - 1).astype(np.intp)
