"""Gains: what a value with a known mean and standard deviation is worth, in closed form.

In:    means and standard deviations; the best value so far, a target, or limits.
Out:   logarithms of the improvement to be expected, or of the chance that limits are kept; their derivatives.
Never: sees a point or a model: larger is better, and all values are standardised.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr

from alchemy_async.space import Array

_FAR, _NEAR = -40.0, 35.0  # standard deviations above the best, beyond which the improvement follows its asymptotes
_NARROW = 0.02  # best distances, in standard deviations, where differences cancel and a series is exact
_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF_PI, _ROOT_HALF = math.sqrt(math.pi / 2.0), math.sqrt(0.5)
NOTHING = math.log(1e-6)  # of an improvement, standardised: no failure is risked for less
_LEAST_LOG = -1e15  # of what underflows even so


class Gain(Protocol):
    """What a value is worth under each draw."""

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the logarithm of what is to be expected, shape ``(q, draws)``.

        Args:
            mean: Shape ``(q, draws)`` or ``(q, 1)``.
            sd: Shape ``(q,)``, > 0.
        """
        ...

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:
        """Return the derivatives of `logs` by mean and by standard deviation, each of shape ``(q, draws)``."""
        ...


class Above:
    """How much better than the best a value is, 0 where it is not.

    Args:
        best: The best value under each draw, shape ``(draws,)``.
    """

    def __init__(self, best: Array) -> None:
        self._best = best

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the log expected improvement, shape ``(q, draws)``."""
        return np.asarray(log_improvement((mean - self._best) / sd[:, None]) + np.log(sd)[:, None])

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:  # noqa: ARG002 - as `Gain` has it
        """Return its derivatives."""
        by_mean, by_sd = _slopes_of_improvement((mean - self._best) / sd[:, None])
        return by_mean / sd[:, None], by_sd / sd[:, None]


class Likelier:
    """Whether a value is better than the best.

    Args:
        best: The best value under each draw, shape ``(draws,)``.
    """

    def __init__(self, best: Array) -> None:
        self._best = best

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the log probability, shape ``(q, draws)``."""
        return np.asarray(np.maximum(log_ndtr((mean - self._best) / sd[:, None]), _LEAST_LOG))

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:
        """Return its derivatives."""
        z = (mean - self._best) / sd[:, None]
        by_mean = np.exp(np.minimum(-0.5 * z * z - _LOG_ROOT_2PI - logs, 50.0)) / sd[:, None]
        return by_mean, -z * by_mean


class Bound:
    """How good a value may well be; itself a logarithm, so that a mean over equal draws changes nothing.

    Args:
        kappa: How many standard deviations better than expected, >= 0.
    """

    def __init__(self, kappa: float) -> None:
        self._kappa = kappa

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the bound, shape ``(q, draws)``."""
        return np.asarray(mean + self._kappa * sd[:, None])

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:  # noqa: ARG002 - as `Gain` has it
        """Return its derivatives."""
        return np.ones_like(mean), np.full_like(mean, self._kappa)


class Nearer:
    """How much nearer to a target than the nearest a value is, 0 where it is not: ``E[(best - |f - target|)+]``.

    That is the second difference of the improvement over a value: over ``target - best``, less
    twice that over ``target``, plus that over ``target + best``.

    Args:
        target: The target.
        best: Distance of the nearest value under each draw, shape ``(draws,)``, > 0.
    """

    def __init__(self, target: float, best: Array) -> None:
        self._target, self._best = target, best

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the log expected improvement, shape ``(q, draws)``."""
        z, reach, is_narrow = self._scaled(mean, sd)
        first, second, third = (log_improvement(z + step * reach) for step in (1.0, 0.0, -1.0))
        rest = -2.0 * np.exp(second - first) + np.exp(third - first)
        wide = first + np.log1p(np.maximum(rest, -1.0 + 1e-15))
        near = np.where(is_narrow, z, 0.0)
        narrow = 2.0 * np.log(reach) - 0.5 * near**2 - _LOG_ROOT_2PI + np.log1p(_series(near, reach, is_narrow))
        return np.asarray(np.where(is_narrow, narrow, wide) + np.log(sd)[:, None])

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:
        """Return its derivatives."""
        z, reach, is_narrow = self._scaled(mean, sd)
        steps, weights = (1.0, 0.0, -1.0), (1.0, -2.0, 1.0)
        by_mean, by_sd = np.zeros_like(logs), np.zeros_like(logs)
        for step, weight in zip(steps, weights, strict=True):
            at = z + step * reach
            by_mean += weight * np.exp(np.minimum(log_ndtr(at) - logs, 700.0))
            by_sd += weight * np.exp(np.minimum(-0.5 * at * at - _LOG_ROOT_2PI - logs, 700.0))
        near, width = np.where(is_narrow, z, 0.0), np.where(is_narrow, reach, 0.0) ** 2
        by_mean = np.where(is_narrow, (-near + width * near / 6.0) / sd[:, None], by_mean)
        by_sd = np.where(is_narrow, (near**2 - 1.0 - width * (2.0 * near**2 - 1.0) / 6.0) / sd[:, None], by_sd)
        return by_mean * np.where(mean > self._target, -1.0, 1.0), by_sd

    def _scaled(self, mean: Array, sd: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Return how far below the target the mean is and how far the best is, in sd, and where that is narrow.

        What is worth the same above and below the target is reckoned below it, where nothing cancels.
        """
        z = -np.abs(mean - self._target) / sd[:, None]
        reach = np.broadcast_to(self._best / sd[:, None], np.broadcast_shapes(z.shape, (len(sd), len(self._best))))
        z = np.broadcast_to(z, reach.shape)
        return z, reach, reach * np.maximum(1.0, -z) < _NARROW


def _series(z: Array, reach: Array, is_narrow: NDArray[np.bool_]) -> Array:
    square = np.where(is_narrow, reach, 0.0) ** 2
    return np.asarray(square * (z**2 - 1.0) / 12.0 + square**2 * (z**4 - 6.0 * z**2 + 3.0) / 360.0)


class AtLeast:
    """What another gain is worth, and a little beside, so that nothing is worth nothing.

    Logarithms of improvements that are as good as none still differ by hundreds: a point that surely fails would be
    worth more than one that surely succeeds, because more is unknown there.

    Args:
        gain: The other gain.
        least: Logarithm of what is as good as none.
    """

    def __init__(self, gain: Gain, least: float = NOTHING) -> None:
        self._gain, self._least = gain, least

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the logarithm of the sum, shape ``(q, draws)``."""
        return np.asarray(np.logaddexp(self._gain.logs(mean, sd), self._least))

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:
        """Return its derivatives."""
        alone = self._gain.logs(mean, sd)
        share = np.exp(alone - logs)
        by_mean, by_sd = self._gain.slopes(mean, sd, alone)
        return share * by_mean, share * by_sd


class Within:
    """The chance that a value keeps its limits.

    Args:
        low: Not below this; minus infinity: no such limit.
        high: Not above this; infinity: no such limit.
        blur: Standard deviation of what a model of the value does not know it does not know, >= 0.
        caution: Power of the chance that counts, > 0: with more than 1, what is unlikely is worth still less.
    """

    def __init__(self, low: float, high: float, blur: float = 0.0, caution: float = 1.0) -> None:
        self.low, self.high, self.blur, self.caution = low, high, blur, caution

    def holds(self, values: Array) -> NDArray[np.bool_]:
        """Tell which values keep the limits; the same shape."""
        return np.asarray((values >= self.low) & (values <= self.high))

    def logs(self, mean: Array, sd: Array) -> Array:
        """Return the log probability times the caution, the same shape as ``mean``."""
        return self.caution * self.log_chance(mean, sd)

    def log_chance(self, mean: Array, sd: Array) -> Array:
        """Return the log probability itself, the same shape as ``mean``."""
        below, above = self._scaled(mean, sd)
        if math.isinf(self.high):
            return np.asarray(np.maximum(log_ndtr(-below), _LEAST_LOG))
        if math.isinf(self.low):
            return np.asarray(np.maximum(log_ndtr(above), _LEAST_LOG))
        turned = below + above > 0.0  # mirrored, so that both lie below the middle and nothing cancels
        lower, upper = np.where(turned, -above, below), np.where(turned, -below, above)
        larger, smaller = log_ndtr(upper), log_ndtr(lower)
        gap = np.minimum(smaller - larger, -1e-300)
        return np.asarray(np.maximum(larger + np.log(-np.expm1(gap)), _LEAST_LOG))

    def slopes(self, mean: Array, sd: Array, logs: Array) -> tuple[Array, Array]:
        """Return its derivatives, each of the same shape as ``mean``."""
        by_mean, by_width = np.zeros_like(mean), np.zeros_like(mean)
        width, log_chance = np.hypot(sd, self.blur)[:, None], logs / self.caution
        for at, side in zip(self._scaled(mean, sd), (1.0, -1.0), strict=True):
            if np.isfinite(at).all():
                density = side * np.exp(np.minimum(-0.5 * at * at - _LOG_ROOT_2PI - log_chance, 50.0)) / width
                by_mean += density
                by_width += density * at
        return self.caution * by_mean, self.caution * by_width * sd[:, None] / width

    def _scaled(self, mean: Array, sd: Array) -> tuple[Array, Array]:
        width = np.hypot(sd, self.blur)[:, None]
        return (self.low - mean) / width, (self.high - mean) / width


def log_improvement(z: Array) -> Array:
    """Return the logarithm of ``phi(z) + z Phi(z)``, also where that underflows.

    Args:
        z: Standard deviations above the best, any shape.

    Source:
        Ament et al. (2023), NeurIPS 36, eq. 9 and appendix A.
    """
    inner, ratio = _mills(z)
    found = np.log1p(inner * ratio) - 0.5 * inner * inner - _LOG_ROOT_2PI
    below, above = z < _FAR, z > _NEAR
    if below.any():
        square = 1.0 / (z[below] * z[below])
        found[below] = -0.5 / square - _LOG_ROOT_2PI + np.log(square * (1.0 - 3.0 * square + 15.0 * square**2))
    if above.any():
        found[above] = np.log(z[above])
    return found


def _slopes_of_improvement(z: Array) -> tuple[Array, Array]:
    """Return ``Phi(z)`` and ``phi(z)``, both over ``phi(z) + z Phi(z)``: the derivative of its logarithm is the first.

    Args:
        z: Standard deviations above the best, any shape.
    """
    inner, ratio = _mills(z)
    share = 1.0 / (1.0 + inner * ratio)
    by_mean = ratio * share
    below, above = z < _FAR, z > _NEAR
    if below.any():
        share[below] = z[below] * z[below] + 3.0
        by_mean[below] = -z[below] - 2.0 / z[below]
    if above.any():
        share[above], by_mean[above] = 0.0, 1.0 / z[above]
    return by_mean, share


def _mills(z: Array) -> tuple[Array, Array]:
    """Return ``z``, held within what has a ratio, and ``Phi(z) / phi(z)`` there: nothing underflows, or cancels."""
    inner = np.minimum(np.maximum(z, _FAR), _NEAR)
    return inner, _ROOT_HALF_PI * erfcx(-_ROOT_HALF * inner)
