"""Strategies: other answers than an improvement to what makes a point worth measuring.

In:    the model of one objective, the conditions, what is pending, how much is wanted.
Out:   the chance of an improvement, an optimistic bound, or how much of what is unknown a point would tell.
Never: chooses a point, or knows how a space is searched.

All know what is pending: the chance of an improvement counts pending points among those to be beaten, as the
expected improvement does; the bound takes a pending point for measured, at the value that is expected there, so that
doubt is gone and hope is not; what a point tells is what the data and the pending points leave to be told.

Source:
    Kushner (1964), J. Basic Eng. 86(1), 97-106; Srinivas, Krause, Kakade & Seeger (2010), ICML, for the bound;
    Desautels, Krause & Burdick (2014), J. Mach. Learn. Res. 15, 4053-4103, for what is pending under it;
    Seo, Wallat, Graepel & Obermayer (2000), IJCNN, for the integrated variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.planner.chances import Conditions
from alchemy_async.planner.criteria import Acquisition, Criterion, Improvement, Modelled, Sum
from alchemy_async.planner.designs import spread
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.expected import N_DRAWS, Product
from alchemy_async.planner.gains import Bound
from alchemy_async.planner.gp import LEAST_VARIANCE, GaussianProcess, solve
from alchemy_async.planner.improvement import NoisyProbability
from alchemy_async.planner.levels import Aim, aim_of
from alchemy_async.planner.local import LocalProcess
from alchemy_async.space import Array, Space

STRATEGIES = ("improvement", "probability", "bound", "variance")
_MOST_MARGIN, _MOST_KAPPA = 100.0, 1e6  # standard deviations: more makes no other choice, and formulas overflow
_N_PROBES = 512  # points at which what is unknown is summed


@dataclass(frozen=True)
class Strategy:
    """What makes a point worth measuring.

    Args:
        name: One of `STRATEGIES`.
        margin: By how much a value must be better to count as an improvement, in the objective's unit, >= 0.
        kappa: How many standard deviations the bound lies above the mean, >= 0.
    """

    name: str = "improvement"
    margin: float = 0.0
    kappa: float = 2.0


IMPROVEMENT = Strategy()


def criterion_of(space: Space, modelled: Modelled, conditions: Conditions, seed: int, strategy: Strategy) -> Criterion:
    """Return what makes a point worth measuring, of one objective; where there is a fidelity, at its target.

    Args:
        space: The search space.
        modelled: The objective and its model.
        conditions: What an experiment must meet beside.
        seed: Seed of the draws.
        strategy: Which answer is wanted.

    Raises:
        PlannerError: If the strategy can't serve the objective or so long a history.
    """
    margin = min(strategy.margin / modelled.data.scale, _MOST_MARGIN)
    is_target = modelled.objective.goal == "target"
    if is_target and (strategy.name in ("probability", "bound") or margin):
        raise PlannerError(
            f"{modelled.objective.name} is to meet a target, for which there are the strategies improvement, without "
            "a margin, and variance. Choose one of them, or maximise or minimise."
        )
    aim = aim_of(space)
    if strategy.name == "improvement":
        return Improvement(modelled, conditions, seed, margin, aim)
    if strategy.name == "probability":
        return Probability(modelled, conditions, seed, margin, aim)
    if strategy.name == "bound":
        return Optimism(modelled, conditions, seed, min(strategy.kappa, _MOST_KAPPA), aim)
    if isinstance(modelled.process, LocalProcess):
        raise PlannerError(
            "The strategy variance is for shorter histories: up to 2,000 observations. Choose improvement or bound."
        )
    return Variance(modelled, conditions, seed, spread(space.at_target, _N_PROBES, seed), aim)


class Probability(Improvement):
    """How probable it is that a value is better than the best, by a margin."""

    def acquisition(self, pending: Array) -> Acquisition:
        """Return the log probability, given what is pending, shape ``(m, d)``."""
        process = self._modelled.process
        return NoisyProbability(process, pending, self._seed, self._conditions, self._margin, self._aim)


class Optimism(Improvement):
    """How good a value may well be: so many standard deviations better than is expected.

    Where there are conditions, the log chance that they are met is added, in standard deviations of the values.

    Args:
        modelled: The objective and its model.
        conditions: What an experiment must meet beside.
        seed: Seed of the draws.
        kappa: How many standard deviations.
        aim: Where values count; None: everywhere.
    """

    def __init__(
        self, modelled: Modelled, conditions: Conditions, seed: int, kappa: float, aim: Aim | None = None
    ) -> None:
        super().__init__(modelled, conditions, seed, aim=aim)
        self._kappa = kappa

    def acquisition(self, pending: Array) -> Acquisition:
        """Return the bound, standardised, given what is pending, shape ``(m, d)``."""
        expected = DrawnProcess(self._modelled.process, pending, np.zeros((len(pending), N_DRAWS)))
        bound = Product([(expected, Bound(self._kappa))])
        if not self._conditions:
            return bound
        return Sum([bound, self._conditions.product(pending, self._seed)])


class Variance(Improvement):
    """How much of what is unknown of the space a point would tell, whatever the goal.

    Args:
        modelled: The objective and its model.
        conditions: What an experiment must meet beside.
        seed: Seed of the draws.
        probes: Unit-cube coordinates of points spread over the space, shape ``(k, d)``.
        aim: Where values count; None: everywhere.
    """

    def __init__(
        self, modelled: Modelled, conditions: Conditions, seed: int, probes: Array, aim: Aim | None = None
    ) -> None:
        super().__init__(modelled, conditions, seed, aim=aim)
        self._probes = probes

    def acquisition(self, pending: Array) -> Acquisition:
        """Return the log of the variance that goes, given what is pending, shape ``(m, d)``."""
        told = Told(self._modelled.process, pending, self._probes)
        return Sum([told, self._conditions.product(pending, self._seed)]) if self._conditions else told


class Told:
    """The log of how much smaller the variance is, on average over some points, once another is measured.

    Args:
        process: The model.
        pending: Unit-cube coordinates of points not yet observed, shape ``(m, d)``.
        probes: Unit-cube coordinates of the points that the average is over, shape ``(k, d)``.
    """

    def __init__(self, process: GaussianProcess, pending: Array, probes: Array) -> None:
        self._noise = float(np.mean(process.variances)) + LEAST_VARIANCE
        x = np.vstack([process.x, pending])
        variances = np.concatenate([process.variances, np.full(len(pending), self._noise)])
        y = np.concatenate([process.y, process.predict(pending)[0]])
        self._process = GaussianProcess(x, y, variances, process.kernel)
        self._probes = probes
        self._solved = solve(self._process.factor, process.kernel(x, probes))

    def __call__(self, x: Array) -> Array:
        """Return values, shape ``(q,)``, at unit-cube coordinates, shape ``(q, d)``."""
        return self._parts(x)[0]

    def with_gradient(self, x: Array) -> tuple[Array, Array]:
        """Return values, shape ``(q,)``, and gradients, shape ``(q, d)``; 0 in categorical coordinates."""
        value, shared, left, near, first, far = self._parts(x)
        process, total = self._process, np.sum(shared**2, axis=1)
        by_shared = 2.0 * shared / total[:, None]
        by_left = 1.0 / (left + self._noise)
        # left = 1 - |first|², shared = far - firstᵀ solved, first = factor⁻¹ near
        by_first = 2.0 * first * by_left - self._solved @ by_shared.T
        by_near = solve(process.factor, by_first, transposed=True)
        pull = process.kernel.pull
        return value, pull(x, self._probes, far, by_shared) + pull(x, process.x, near.T, by_near.T)

    def _parts(self, x: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Return the value, the covariances with the probes, the variance, and the steps on the way to these."""
        near, far = self._process.kernel(self._process.x, x), self._process.kernel(x, self._probes)
        first = solve(self._process.factor, near)
        left = np.maximum(1.0 - np.sum(first * first, axis=0), 0.0)
        shared = far - first.T @ self._solved
        gone = np.mean(shared**2, axis=1) / (left + self._noise)
        return np.log(np.maximum(gone, 1e-300)), shared, left, near, first, far
