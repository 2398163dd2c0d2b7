"""Cholesky factors: covariances taken apart, and what is solved with them.

In:    covariances, right-hand sides.
Out:   lower factors, solutions, inverses.
Never: knows what a covariance is of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.linalg.blas import dtrsm
from scipy.linalg.lapack import dpotrf, dpotri

from alchemy_async.space import Array

if TYPE_CHECKING:
    from alchemy_async.planner.gp import Kernel

_JITTER = 1e-8


class NotPositiveDefiniteError(ArithmeticError):
    """A covariance has no factor: points are too near each other for the noise that they are given."""


class RemoteFactor(Protocol):
    """A lower Cholesky factor that another device holds."""

    def solve(self, right: Array, *, transposed: bool) -> Array:
        """Return ``factor⁻¹ right``, or with the factor transposed, shape ``(n, m)``."""
        ...

    def inverse(self) -> Array:
        """Return the inverse of the factored covariance, shape ``(n, n)``."""
        ...

    def extended(self, x: Array, variances: Array, kernel: Kernel) -> RemoteFactor:
        """Return the factor of all values, of which this is that of the first; see `gp.extended`."""
        ...


Factor = Array | RemoteFactor


def factorise(covariance: Array) -> Array:
    """Return the lower Cholesky factor; what was handed in is overwritten."""
    factor, info = dpotrf(covariance.T, lower=1, clean=1, overwrite_a=1)  # symmetric: no copy
    if info != 0:
        raise NotPositiveDefiniteError("the covariance has no Cholesky factor")
    return np.asarray(factor)


def inverse_of(factor: Array) -> Array:
    """Return the inverse of the factored covariance, shape ``(n, n)``."""
    lower, _ = dpotri(factor, lower=1)
    inverse = np.asarray(lower + lower.T)
    inverse.flat[:: len(inverse) + 1] *= 0.5
    return inverse


def solve(factor: Factor, right: Array, *, transposed: bool = False) -> Array:
    """Return ``factor⁻¹ right``, or with the factor transposed.

    Args:
        factor: Lower triangular, shape ``(n, n)``, here or on another device.
        right: Shape ``(n, m)``.
        transposed: Whether the factor is to be transposed.
    """
    if not isinstance(factor, np.ndarray):
        return factor.solve(right, transposed=transposed)
    return np.asarray(dtrsm(1.0, factor, right, lower=1, trans_a=int(transposed))) if right.size else right


def root(covariance: Array) -> Array:
    """Return a lower factor of a covariance that may be singular, shape ``(n, n)``.

    Raises:
        LinAlgError: If it is far from a covariance.
    """
    size = np.eye(len(covariance))
    jitter = _JITTER
    while True:
        try:
            return np.asarray(np.linalg.cholesky(covariance + jitter * size))
        except np.linalg.LinAlgError:
            if not jitter < 1.0:  # no covariance of values of variance 1 needs as much
                raise
            jitter *= 10.0
