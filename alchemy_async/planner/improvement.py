"""Noisy expected improvement in closed form, given all that is pending.

In:    a Gaussian process, points whose values nobody knows yet, and what else an experiment must meet.
Out:   the logarithm of the improvement to be expected at any point, and its gradient.
Never: chooses a point, or sees a unit: all values are standardised.

What the best value is, is uncertain: measurements are noisy, and pending points may turn out better.
So joint values at the points that may be the best, pending ones among them, are drawn from the
posterior; given one draw, the improvement at another point is a formula, and the mean over the draws
is the criterion. Drawing there, and only there, leaves no noise in the search, and a pending point is
worth nothing: its value is in every draw. Where there are conditions, such as limits, they are drawn
at the same points: the best of a draw is the best that meets them in it, and the improvement is
multiplied, draw by draw, by the chance that they are met. Where values count at a fidelity's target alone,
the best of a draw is the best that is expected there of what was drawn: a cheap result that looks well
does not stand for a true one, but it says where one is likely.

Source:
    Letham, Karrer, Ottoni & Bakshy (2019), Bayesian Analysis 14(2), 495-519, for the criterion, with
    conditions too; Ament et al. (2023), NeurIPS 36, for its logarithm; Balandat et al. (2020), NeurIPS
    33, for which points may be the best.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from alchemy_async.planner.chances import Conditions
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.expected import Factor, Product, normal_draws
from alchemy_async.planner.gains import Above, AtLeast, Gain, Likelier, Nearer
from alchemy_async.planner.gp import GaussianProcess, root
from alchemy_async.planner.levels import Aim
from alchemy_async.space import Array

_N_TRIALS = 256  # draws that show which observed points may be the best
_MOST_BEST = 24  # of these
_MOST_TRIED = 256  # observed points that are tried: those with the highest hopes
_NOT_HOPELESS = -7.0  # log chance of meeting the conditions; a point below that is tried last
_WORSE = 10.0  # where no point of a draw meets the conditions, any that does is so much better that they alone count
_LEAST_DISTANCE = 1e-6  # of a target, standardised: nobody can come nearer
_NO_CONDITIONS = Conditions(())


class NoisyImprovement(Product):
    """Log expected improvement over the best of what is observed and pending.

    Args:
        process: The model; larger is better.
        pending: Unit-cube coordinates of points not yet observed, shape ``(m, d)``.
        seed: Seed of the draws.
        conditions: What a point must meet beside.
        margin: By how much a value must be better to count, standardised, >= 0.
        aim: Where values count; None: everywhere.
    """

    _gain: ClassVar[type[Above] | type[Likelier]] = Above

    def __init__(
        self,
        process: GaussianProcess,
        pending: Array,
        seed: int,
        conditions: Conditions = _NO_CONDITIONS,
        margin: float = 0.0,
        aim: Aim | None = None,
    ) -> None:
        drawn, best, beside = _drawn(process, pending, seed, conditions, np.asarray, aim)
        super().__init__(_product(drawn, self._gain(best + margin), beside))


class NoisyProbability(NoisyImprovement):
    """Log probability of being better than the best of what is observed and pending."""

    _gain = Likelier


class TargetImprovement(Product):
    """Log expected improvement over the nearest to a target of what is observed and pending.

    The model is of the value itself; that of its distance would see a kink in the middle of what matters.

    Args:
        process: The model.
        target: The value to match, standardised.
        pending: Unit-cube coordinates of points not yet observed, shape ``(m, d)``.
        seed: Seed of the draws.
        conditions: What a point must meet beside.
        aim: Where values count; None: everywhere.
    """

    def __init__(
        self,
        process: GaussianProcess,
        target: float,
        pending: Array,
        seed: int,
        conditions: Conditions = _NO_CONDITIONS,
        aim: Aim | None = None,
    ) -> None:
        drawn, best, beside = _drawn(process, pending, seed, conditions, lambda values: -np.abs(values - target), aim)
        super().__init__(_product(drawn, Nearer(target, np.maximum(-best, _LEAST_DISTANCE)), beside))


Score = Callable[[Array], Array]


def _product(drawn: DrawnProcess, gain: Gain, beside: list[Factor]) -> list[Factor]:
    """Return the factors of a criterion; where there are conditions, an improvement of almost nothing is nothing."""
    return [(drawn, AtLeast(gain) if beside else gain), *beside]


def _drawn(
    process: GaussianProcess, pending: Array, seed: int, conditions: Conditions, score: Score, aim: Aim | None
) -> tuple[DrawnProcess, Array, list[Factor]]:
    """Return the drawn process, the best score under each draw, shape ``(draws,)``, and a factor for each condition."""
    rows = may_be_best(process, seed, conditions, score, aim)
    unknown = np.vstack([process.x[rows], pending])
    drawn = DrawnProcess(process, unknown, normal_draws(len(unknown), seed))
    counting = None if aim is None else aim(unknown)
    beside, met = conditions.drawn(unknown, len(rows), seed, same=(process, drawn), at=counting)
    scores = score(drawn.values if counting is None else drawn.moments(counting).mean)
    worst = min(float(scores.min()), float(score(process.y).min())) - _WORSE
    best = np.where(met, scores, worst).max(axis=0)
    return drawn, best, beside


def may_be_best(
    process: GaussianProcess,
    seed: int,
    conditions: Conditions = _NO_CONDITIONS,
    score: Score = np.asarray,
    aim: Aim | None = None,
) -> list[int]:
    """Return the observed points that are the best of all in some draw, never none; conditions met on average.

    Args:
        process: The model.
        seed: Seed of the draws.
        conditions: What a point must meet to be the best.
        score: Says of values, of any shape, how good they are.
        aim: Where values count, so that each point is looked at there; None: everywhere.
    """
    if aim is None:
        x, means = process.x, process.fitted()
        most = process.variances / (1.0 + process.variances)  # no variance is larger: the value itself is known
    else:
        x = aim(process.x)
        means, most = process.predict(x)
    hopes = score(means) + 3.0 * np.sqrt(most)
    chance = conditions.log_chance(x)
    hopes = np.where(chance < _NOT_HOPELESS, hopes - 1e6, hopes)
    tried = np.sort(np.argsort(-hopes, kind="stable")[:_MOST_TRIED])
    mean, covariance = process.covariance(x[tried])
    rng = np.random.default_rng([seed, len(tried)])
    scores = score(mean[:, None] + root(covariance) @ rng.standard_normal((len(tried), _N_TRIALS)))
    if conditions:
        is_met = np.log(rng.random(scores.shape)) <= chance[tried, None]
        scores = np.where(is_met, scores, scores - 1e3)
    best, counts = np.unique(np.argmax(scores, axis=0), return_counts=True)
    kept = best[np.argsort(-counts, kind="stable")[:_MOST_BEST]]
    return [int(i) for i in tried[np.sort(kept)]]
