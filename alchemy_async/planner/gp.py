"""The Gaussian process in closed form: one factor, one set of weights, no automatic differentiation.

In:    unit-cube coordinates, standardised values, their noise.
Out:   the most probable hyperparameters; predictions, and what each value would have been without itself.
Never: sees a unit, a goal or a pending point, or loads torch.

Where no kernel is wanted, it is the Matérn one, until the data speak strongly for the squared-exponential one: that
takes a function to be smooth without end, and with a few values it is often surer of itself than it should be. The
prior of each length is BoTorch's, a log-normal one that grows with the dimension; that of an inferred noise is wider
than BoTorch's, which takes small differences of an exact measurement for noise.

Source:
    Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, ch. 2, 5;
    Hvarfner, Hellsten & Nardi (2024), ICML, for the prior of the lengths;
    Kass & Raftery (1995), J. Am. Stat. Assoc. 90, 773-795, for what strong evidence is.
"""

from __future__ import annotations

import copy
import math

import numpy as np
from scipy.optimize import minimize

from alchemy_async.planner.factors import Factor, NotPositiveDefiniteError, factorise, inverse_of, root, solve
from alchemy_async.planner.kernel import Kernel, Mask
from alchemy_async.space import Array

__all__ = ["GaussianProcess", "Kernel", "Mask", "NotPositiveDefiniteError", "Posterior", "fit", "root", "solve"]

KERNELS = ("auto", "matern", "rbf")
"""Which kernel the numbers have; ``auto``: Matérn's, or the other if the data speak strongly for it."""

LEAST_VARIANCE = 1e-6  # of the standardised values: what a factor needs on its diagonal
LEAST_NOISE, MOST_NOISE = 1e-6, 10.0  # an inferred variance of the standardised values
SHORTEST, LONGEST = 2.5e-2, 1e3  # lengths, of a side of the cube
NOISE_PRIOR = (-6.0, 2.0)  # mean and standard deviation of the variance's logarithm
_NUMBER_PRIOR_SD = math.sqrt(3.0)
_CATEGORY_PRIOR = (0.0, 1.0)
_FIRST_NOISE = 2.5e-3
_PRECISION = {"maxiter": 200, "ftol": 1e-6, "gtol": 1e-2}  # of a log density: more changes no choice
_FEW = 64  # values; of more the posterior density has one maximum that counts
_STRONG = 3.0  # log of how many times as probable the data are under the smoother kernel before it is believed
_LOG_2PI = math.log(2.0 * math.pi)


class GaussianProcess:
    """A Gaussian process with known hyperparameters, conditioned on data.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        y: Standardised values, shape ``(n,)``.
        variances: Noise variance of each value, shape ``(n,)``.
        kernel: The covariance.
        factor: The factor of the covariance of ``y``, where it is known already.

    Raises:
        NotPositiveDefiniteError: If the covariance has no factor.

    Attributes:
        mean: The constant mean, chosen by generalised least squares.
        factor: Lower Cholesky factor of the covariance of ``y``, shape ``(n, n)``.
        whitened: ``factor⁻¹ (y - mean)``, shape ``(n,)``.
    """

    def __init__(self, x: Array, y: Array, variances: Array, kernel: Kernel, factor: Factor | None = None) -> None:
        self.x, self.y, self.variances, self.kernel = x, y, variances, kernel
        self.factor = covariance_factor(x, variances, kernel) if factor is None else factor
        ones, values = solve(self.factor, np.column_stack([np.ones(len(x)), y])).T
        self.mean = float(ones @ values / (ones @ ones))
        self.whitened = values - self.mean * ones

    def fitted(self) -> Array:
        """Return the posterior means of the noise-free values at the data themselves, shape ``(n,)``."""
        return self.y - self.variances * self._weights()

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return posterior means and variances of the noise-free values, each of shape ``(m,)``.

        Args:
            x: Unit-cube coordinates, shape ``(m, d)``.
        """
        solved = solve(self.factor, self.kernel(self.x, x))
        return self.mean + solved.T @ self.whitened, np.maximum(1.0 - np.sum(solved * solved, axis=0), 0.0)

    def covariance(self, x: Array) -> tuple[Array, Array]:
        """Return the posterior mean, shape ``(m,)``, and covariance, shape ``(m, m)``, of noise-free values."""
        solved = solve(self.factor, self.kernel(self.x, x))
        return self.mean + solved.T @ self.whitened, self.kernel(x, x) - solved.T @ solved

    def leave_one_out(self) -> tuple[Array, Array]:
        """Return what each value would have been predicted to be without itself: means and variances, ``(n,)``.

        The variances include the noise.

        Source:
            Rasmussen & Williams (2006), sec. 5.4.2.
        """
        inverse = inverse_of(self.factor) if isinstance(self.factor, np.ndarray) else self.factor.inverse()
        variances = 1.0 / np.diag(inverse)
        return self.y - self._weights() * variances, variances

    def _weights(self) -> Array:
        """Return the inverse covariance times what the values differ from the mean, shape ``(n,)``."""
        return solve(self.factor, self.whitened[:, None], transposed=True)[:, 0]


def fit(x: Array, y: Array, variances: Array | None, categorical: Mask, kernel: str = "auto") -> GaussianProcess:
    """Return the Gaussian process with the most probable hyperparameters.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        y: Standardised values, shape ``(n,)``.
        variances: Known noise variance of each value, shape ``(n,)``; None: one variance is inferred.
        categorical: Which coordinates are categorical, shape ``(d,)``.
        kernel: One of `KERNELS`.

    Raises:
        NotPositiveDefiniteError: If no hyperparameters give a factor.
    """
    smooth = Posterior(x, y, variances, categorical)
    kinds = [] if kernel == "matern" else [smooth]
    if kernel == "matern" or (kernel == "auto" and not categorical.all()):
        kinds.append(smooth.of_rough_functions())
    found = [(most_probable(posterior, posterior.starts()), posterior) for posterior in kinds]
    logs, posterior = min(found, key=lambda one: one[1].loss(one[0])[0] + (0.0 if one[1].is_rough else _STRONG))
    lengths, noise = posterior.read(logs)
    return GaussianProcess(x, y, noise, Kernel(lengths, categorical, posterior.is_rough))


def most_probable(posterior: Posterior, starts: list[Array]) -> Array:
    """Return the logarithms of the most probable hyperparameters, shape ``(k,)``.

    Args:
        posterior: Their density.
        starts: Where to climb from, each of shape ``(k,)``.

    Raises:
        NotPositiveDefiniteError: If no hyperparameters give a factor.
    """
    best: tuple[float, Array] | None = None
    for start in starts:
        found = minimize(
            posterior.loss, start, jac=True, method="L-BFGS-B", bounds=posterior.bounds(), options=_PRECISION
        )
        if np.isfinite(found.fun) and (best is None or found.fun < best[0]):
            best = (float(found.fun), np.asarray(found.x))
    if best is None:
        raise NotPositiveDefiniteError("no hyperparameters give a covariance that has a factor")
    return best[1]


class Posterior:
    """The log posterior density of the hyperparameters, and its gradient by their logarithms.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        y: Standardised values, shape ``(n,)``.
        variances: Known noise variance of each value, shape ``(n,)``; None: one variance is inferred.
        categorical: Which coordinates are categorical, shape ``(d,)``.

    Attributes:
        is_rough: Which kernel the numbers have, as in `Kernel`.
    """

    def __init__(self, x: Array, y: Array, variances: Array | None, categorical: Mask) -> None:
        self.is_rough = False
        self._y, self._categorical = y, categorical
        self._known = None if variances is None else np.maximum(variances, LEAST_VARIANCE)
        self._n_categorical = int(categorical.sum())
        difference = np.abs(x[:, None, :] - x[None, :, :])
        apart = np.where(categorical, difference > 1e-9, 0.5 * difference**2)
        self._apart = np.ascontiguousarray(apart.reshape(len(x) ** 2, x.shape[1]), dtype=np.float64)
        n_numbers = max(x.shape[1] - self._n_categorical, 1)
        centre, spread = math.sqrt(2.0) + 0.5 * math.log(n_numbers), _NUMBER_PRIOR_SD
        self._centres = np.where(categorical, _CATEGORY_PRIOR[0], centre)
        self._spreads = np.where(categorical, _CATEGORY_PRIOR[1], spread)
        if self._known is None:
            self._centres = np.append(self._centres, NOISE_PRIOR[0])
            self._spreads = np.append(self._spreads, NOISE_PRIOR[1])

    def of_rough_functions(self) -> Posterior:
        """Return that of the same data under the other kernel."""
        other = copy.copy(self)
        other.is_rough = True
        return other

    def starts(self) -> list[Array]:
        """Return where to start from: the prior's mode and, where few values leave room for two, a noisier surface."""
        mode = self._centres - self._spreads**2
        smooth = self._centres - 0.25 * self._spreads**2
        if self._known is None:
            mode[-1], smooth[-1] = math.log(_FIRST_NOISE), math.log(0.1)
        low, high = np.array(self.bounds()).T
        starts = [np.clip(mode, low, high), np.clip(smooth, low, high)]
        return starts if len(self._y) <= _FEW else starts[:1]

    def bounds(self) -> list[tuple[float, float]]:
        """Return the least and the largest logarithm of each hyperparameter."""
        noise = [] if self._known is not None else [(math.log(LEAST_NOISE), math.log(MOST_NOISE))]
        return [(math.log(SHORTEST), math.log(LONGEST))] * len(self._categorical) + noise

    def read(self, logs: Array) -> tuple[Array, Array]:
        """Return lengths, shape ``(d,)``, and the noise variance of each value, shape ``(n,)``."""
        values = np.exp(logs)
        d = len(self._categorical)
        return values[:d], self._known if self._known is not None else np.full(len(self._y), values[d])

    def loss(self, logs: Array) -> tuple[float, Array]:
        """Return minus the log posterior density, constants included, and its gradient; infinity without a factor.

        Args:
            logs: Logarithms of the lengths and, where it is inferred, of the noise variance.
        """
        n, d = len(self._y), len(self._categorical)
        lengths, noise = self.read(logs)
        rates = np.where(self._categorical, 1.0 / (max(self._n_categorical, 1) * lengths), 1.0 / lengths**2)
        kernel, bent = self._kernel(rates)
        covariance = kernel.copy()
        covariance.flat[:: n + 1] += noise
        try:
            factor = factorise(covariance)
        except NotPositiveDefiniteError:
            return math.inf, np.zeros_like(logs)
        inverse = inverse_of(factor)
        rows = inverse.sum(axis=1)
        residual = self._y - (rows @ self._y) / rows.sum()  # from the mean of generalised least squares
        weights = inverse @ residual
        slope = np.outer(weights, weights) - inverse  # twice the derivative of the log likelihood by the covariance
        number = ~self._categorical
        gradient = np.empty_like(logs)
        gradient[:d] = rates * ((slope * bent).ravel() @ self._apart)
        if self._n_categorical:
            gradient[:d] = np.where(number, gradient[:d], 0.5 * rates * ((slope * kernel).ravel() @ self._apart))
        if self._known is None:
            gradient[d] = 0.5 * np.trace(slope) * noise[0]
        likelihood = -0.5 * (residual @ weights) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * _LOG_2PI
        scaled = (logs - self._centres) / self._spreads
        prior = -np.sum(0.5 * scaled**2 + logs + np.log(self._spreads) + 0.5 * _LOG_2PI)
        return -float(likelihood + prior), -(gradient - 1.0 - scaled / self._spreads)

    def _kernel(self, rates: Array) -> tuple[Array, Array]:
        """Return the covariances, and minus their derivatives by half the squared distance, each ``(n, n)``."""
        n, number = len(self._y), ~self._categorical
        if not self.is_rough:
            kernel = np.exp(-(self._apart @ rates)).reshape(n, n)
            return kernel, kernel
        steps = np.sqrt(10.0 * (self._apart[:, number] @ rates[number]))
        fall = np.exp(-(self._apart[:, ~number] @ rates[~number]) - steps)
        kernel = (1.0 + steps + steps * steps / 3.0) * fall
        return kernel.reshape(n, n), ((5.0 / 3.0) * (1.0 + steps) * fall).reshape(n, n)


def covariance_factor(x: Array, variances: Array, kernel: Kernel) -> Array:
    """Return the lower Cholesky factor of the covariance of noisy values, shape ``(n, n)``.

    Args:
        x: Unit-cube coordinates, shape ``(n, d)``.
        variances: Noise variance of each value, shape ``(n,)``.
        kernel: The covariance of noise-free values.

    Raises:
        NotPositiveDefiniteError: If there is none.
    """
    covariance = kernel(x, x)
    covariance.flat[:: len(x) + 1] = 1.0 + variances
    return factorise(covariance)


def extended(factor: Factor, x: Array, variances: Array, kernel: Kernel) -> Factor:
    """Return the factor of all values, given that of the first of them.

    Args:
        factor: Factor of the covariance of the first ``m`` values, shape ``(m, m)``, here or on another device.
        x: Unit-cube coordinates of all, shape ``(n, d)``.
        variances: Noise variance of each value, shape ``(n,)``.
        kernel: The covariance of noise-free values.

    Returns:
        Shape ``(n, n)``.

    Raises:
        NotPositiveDefiniteError: If there is none.

    Source:
        Rasmussen & Williams (2006), appendix A.3: a partitioned matrix.
    """
    if not isinstance(factor, np.ndarray):
        return factor.extended(x, variances, kernel)
    n, m = len(x), len(factor)
    if n == m:
        return factor
    below = solve(factor, kernel(x[:m], x[m:]))
    corner = kernel(x[m:], x[m:]) - below.T @ below
    corner.flat[:: n - m + 1] += variances[m:]
    whole = np.zeros((n, n), order="F")
    whole[:m, :m], whole[m:, :m], whole[m:, m:] = factor, below.T, factorise(corner)
    return whole
