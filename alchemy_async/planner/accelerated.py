"""Acceleration: large factors made and kept on another device. Loads torch.

In:    coordinates, noise, the kernel; which device.
Out:   factors that `gp.solve` takes like any other.
Never: uses less than double precision: the same formulas give the same results, but for rounding.

Hyperparameters are fitted to a few hundred values at most, which takes a device no less time than a processor. What
grows with the history are the factor and the solutions with it, hundreds in an ask.
"""

from __future__ import annotations

import numpy as np
import torch

from alchemy_async.errors import PlannerError
from alchemy_async.planner.factors import NotPositiveDefiniteError
from alchemy_async.planner.gp import Kernel
from alchemy_async.space import Array


def is_available() -> bool:
    """Tell whether torch can use a GPU."""
    return torch.cuda.is_available()


def find_device(name: str) -> torch.device:
    """Return a device by the name that torch has for it, such as ``cuda`` or ``cuda:1``.

    Raises:
        PlannerError: If it is not there.
    """
    try:
        device = torch.device(name)
        if device.type == "cuda":  # counted: to put something there would take hundreds of MB of it
            n_there = torch.cuda.device_count()
            if (device.index or 0) >= n_there:
                raise RuntimeError(f"it finds {n_there} of that kind")
        else:
            torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for a device
        reason = str(error).strip().splitlines()[0]
        raise PlannerError(
            f'[planner] options.device is "{name}", which torch does not find here ({reason}). '
            'Set it to "auto" or to "cpu", or install a torch that is built for it.'
        ) from error
    return device


class DeviceFactor:
    """A lower Cholesky factor on a device.

    Args:
        factor: Shape ``(n, n)``, double precision.
    """

    def __init__(self, factor: torch.Tensor) -> None:
        self._factor = factor

    def __len__(self) -> int:
        return len(self._factor)

    def solve(self, right: Array, *, transposed: bool) -> Array:
        """Return ``factor⁻¹ right``, or with the factor transposed, shape ``(n, m)``."""
        moved = _moved(right, self._factor.device)
        left = self._factor.T if transposed else self._factor
        return _back(torch.linalg.solve_triangular(left, moved, upper=transposed))

    def inverse(self) -> Array:
        """Return the inverse of the factored covariance, shape ``(n, n)``."""
        return _back(torch.cholesky_inverse(self._factor))

    def extended(self, x: Array, variances: Array, kernel: Kernel) -> DeviceFactor:
        """Return the factor of all values, of which this is that of the first; see `gp.extended`.

        Args:
            x: Unit-cube coordinates of all, shape ``(n, d)``.
            variances: Noise variance of each value, shape ``(n,)``.
            kernel: The covariance of noise-free values.

        Raises:
            NotPositiveDefiniteError: If there is none.
        """
        m = len(self)
        if m == len(x):
            return self
        there = _moved(x, self._factor.device)
        below = torch.linalg.solve_triangular(self._factor, _covariance(there[:m], there[m:], kernel), upper=False)
        corner = _covariance(there[m:], there[m:], kernel) - below.T @ below
        corner += torch.diag(_moved(variances[m:], self._factor.device))
        whole = torch.zeros((len(x), len(x)), dtype=torch.float64, device=self._factor.device)
        whole[:m, :m], whole[m:, :m], whole[m:, m:] = self._factor, below.T, _cholesky(corner)
        return DeviceFactor(whole)


def covariance_factor(x: Array, variances: Array, kernel: Kernel, device: str) -> DeviceFactor:
    """Return the factor of the covariance of noisy values; see `gp.covariance_factor`.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        variances: Noise variance of each value, shape ``(n,)``.
        kernel: The covariance of noise-free values.
        device: Where it is made and kept, as torch names it.

    Raises:
        PlannerError: If there is no such device.
        NotPositiveDefiniteError: If there is none.
    """
    there = _moved(x, find_device(device))
    covariance = _covariance(there, there, kernel)
    covariance.diagonal().copy_(1.0 + _moved(variances, there.device))
    return DeviceFactor(_cholesky(covariance))


def _covariance(a: torch.Tensor, b: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """Return ``kernel(a, b)``, coordinate by coordinate, so that memory stays that of the result."""
    exponent = torch.zeros((len(a), len(b)), dtype=torch.float64, device=a.device)
    squares = torch.zeros_like(exponent) if kernel.is_rough else exponent
    n_categorical = int(kernel.categorical.sum())
    for i, (length, is_categorical) in enumerate(zip(kernel.lengths, kernel.categorical, strict=True)):
        difference = a[:, i, None] - b[None, :, i]
        if is_categorical:
            exponent -= (difference.abs() > 1e-9).double() / (n_categorical * float(length))
        else:
            squares.add_((difference / float(length)) ** 2, alpha=5.0 if kernel.is_rough else -0.5)
    if not kernel.is_rough:
        return exponent.exp_()
    steps = squares.sqrt_()
    return exponent.sub_(steps).exp_().mul_(1.0 + steps + steps * steps / 3.0)


def _cholesky(covariance: torch.Tensor) -> torch.Tensor:
    factor: torch.Tensor
    factor, info = torch.linalg.cholesky_ex(covariance)
    if int(info) != 0:
        raise NotPositiveDefiniteError("the covariance has no Cholesky factor")
    return factor


def _moved(array: Array, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _back(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.cpu().numpy())
