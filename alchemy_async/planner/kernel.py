"""The kernel: how alike the values at two points are.

In:    unit-cube coordinates, lengths.
Out:   covariances of noise-free values whose variance is 1, and their gradient.
Never: sees a value, or chooses a length.

A product of two: over the numbers a squared-exponential one or a Matérn one of 5/2, with a length for each; over ``c``
categorical coordinates, as in BoTorch's ``CategoricalKernel``, ``exp(-[differs] / (c l))``.

Source:
    Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, ch. 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alchemy_async.space import Array

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Kernel:
    """A product kernel with variance 1.

    Args:
        lengths: Length of each coordinate, shape ``(d,)``, > 0.
        categorical: Which coordinates are categorical, shape ``(d,)``.
        is_rough: Whether that of the numbers is Matérn's of 5/2, with two derivatives, instead of one with all.
    """

    lengths: Array
    categorical: Mask
    is_rough: bool = False

    def __call__(self, a: Array, b: Array) -> Array:
        """Return the covariance of each point in ``a`` with each in ``b``.

        Args:
            a: Points, shape ``(..., n, d)``.
            b: Points, shape ``(..., m, d)``.

        Returns:
            Shape ``(..., n, m)``.
        """
        squares, exponent = self._parts(a, b)
        if not self.is_rough:
            return np.exp(exponent - 0.5 * squares)
        steps = np.sqrt(5.0 * squares)
        return np.asarray((1.0 + steps + steps * steps / 3.0) * np.exp(exponent - steps))

    def pull(self, a: Array, b: Array, covariance: Array, weights: Array) -> Array:
        """Return the gradient of ``sum(weights * k(a, b), axis=1)`` by ``a``; 0 in categorical coordinates.

        Args:
            a: Where, shape ``(n, d)``.
            b: The other points, shape ``(m, d)``.
            covariance: ``k(a, b)``, shape ``(n, m)``.
            weights: Shape ``(n, m)``.

        Returns:
            Shape ``(n, d)``.
        """
        weighted = weights * self.bent(a, b, covariance)
        slope = (weighted @ b - a * weighted.sum(axis=1)[:, None]) / self.lengths**2
        return np.where(self.categorical, 0.0, slope)

    def bent(self, a: Array, b: Array, covariance: Array) -> Array:
        """Return minus the derivative of ``k(a, b)`` by half the squared distance over the numbers.

        Args:
            a: Points, shape ``(..., n, d)``.
            b: Points, shape ``(..., m, d)``.
            covariance: ``k(a, b)``, shape ``(..., n, m)``.

        Returns:
            Shape ``(..., n, m)``.
        """
        if not self.is_rough:
            return covariance
        squares, exponent = self._parts(a, b)
        steps = np.sqrt(5.0 * squares)
        return np.asarray((5.0 / 3.0) * (1.0 + steps) * np.exp(exponent - steps))

    def _parts(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Return squared distances over the numbers, and the logarithm of the categorical part, ``(..., n, m)``."""
        n_categorical = int(self.categorical.sum())
        if not n_categorical:
            return _squares(a / self.lengths, b / self.lengths), np.zeros(())
        number = ~self.categorical
        p, q = a[..., number] / self.lengths[number], b[..., number] / self.lengths[number]
        exponent = np.zeros((*a.shape[:-1], b.shape[-2]))
        for i in np.flatnonzero(self.categorical):
            differs = np.abs(a[..., :, None, i] - b[..., None, :, i]) > 1e-9
            exponent -= differs / (n_categorical * self.lengths[i])
        return _squares(p, q), exponent


def _squares(p: Array, q: Array) -> Array:
    """Return the squared distances between points whose lengths are 1, shape ``(..., n, m)``."""
    squares = np.einsum("...i,...i->...", p, p)[..., :, None] + np.einsum("...i,...i->...", q, q)[..., None, :]
    squares -= 2.0 * (p @ np.swapaxes(q, -1, -2))
    return np.asarray(np.maximum(squares, 0.0, out=squares))
