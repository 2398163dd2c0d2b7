"""Chances: how probable it is that an experiment succeeds, and that its values keep their limits.

In:    Gaussian processes of limited values, and one of success, learnt from what failed and what did not.
Out:   the log probability that all conditions are met, anywhere; the same under each draw of what is pending.
Never: lets one failure rule out more than its neighbourhood, or a failure that says nothing of its point rule out any.

Success is modelled as a value that is 1 where an experiment brought a measurement and -1 where it
failed, with a noise of its own: an instrument that fails at random, whatever the parameters, looks
noisy, and so moves no region. The chance of success is the probability that the value is above 0.
Lengths and noise follow from the marginal likelihood, with priors that let one failure count near by:
a fifth of a side, much alike in all directions until more failures tell them apart. Labels are no values,
and a process that takes them for such is too sure of itself between them: a blur makes up for that.
The improvement is multiplied by a power of this chance, because a failure teaches no value; without it,
a region that nobody can measure keeps its promise, and is tried at its edge again and again.

Source:
    Rasmussen & Williams (2006), sec. 6.5 (least-squares classification) and 3.4.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alchemy_async.experiment import History
from alchemy_async.planner import gp
from alchemy_async.planner.drawn import DrawnProcess
from alchemy_async.planner.expected import N_DRAWS, Factor, Product, normal_draws
from alchemy_async.planner.features import Features
from alchemy_async.planner.gains import Within
from alchemy_async.space import Array, Space

SUCCEEDS = ""  # the name of the condition that an experiment brings a measurement at all
UNTAUGHT = frozenset({"retryable", "not_started", "stopped", "cancelled"})
"""Kinds of failures that say nothing of the point: another try may mend them."""
_NEAR, _NEAR_SPREAD = 0.2, 0.5  # of a side of the square; of its logarithm
_NOISE_PRIOR = (-3.5, 0.4)  # mean and standard deviation of the variance's logarithm
_BLUR = 0.2
_CAUTION = 3.0  # a failure costs a place on the bench, and brings no value to learn from
_MOST = 400  # experiments that success is learnt from: the failures, and what succeeded nearest to them


@dataclass(frozen=True)
class Condition:
    """Something that an experiment meets or not.

    Args:
        name: Of the objective whose limits it is about, or `SUCCEEDS`.
        process: The model of the value that decides.
        within: Between which of its values the condition is met.
    """

    name: str
    process: gp.GaussianProcess
    within: Within


class Conditions:
    """All that an experiment must meet, independent of each other.

    Args:
        all_of_them: None, one or several.
    """

    def __init__(self, all_of_them: Sequence[Condition]) -> None:
        self._all = tuple(all_of_them)

    def __bool__(self) -> bool:
        return bool(self._all)

    def log_chance(self, x: Array) -> Array:
        """Return the log probability that all are met, shape ``(q,)``, as far as the data tell.

        Args:
            x: Unit-cube coordinates, shape ``(q, d)``.
        """
        total = np.zeros(len(x))
        for condition in self._all:
            mean, variance = condition.process.predict(x)
            total += condition.within.log_chance(mean[:, None], np.sqrt(np.maximum(variance, 1e-12)))[:, 0]
        return total

    def drawn(
        self,
        points: Array,
        n_observed: int,
        seed: int,
        same: tuple[gp.GaussianProcess, DrawnProcess] | None = None,
        at: Array | None = None,
    ) -> tuple[list[Factor], NDArray[np.bool_]]:
        """Return a factor for each condition, and whether all are met at each point in each draw, ``(m, draws)``.

        Args:
            points: Unit-cube coordinates of the points to draw at, shape ``(m, d)``.
            n_observed: How many of them, the first ones, were observed: these experiments succeeded.
            seed: Seed of the draws.
            same: A model that is drawn at these points already: a limit on its values has the very same draws.
            at: For each point the one at which the conditions are to be met, shape ``(m, d)``, by what each draw
                lets expect there; None: the point itself.
        """
        met = np.ones((len(points), N_DRAWS), dtype=np.bool_)
        is_same = np.ones(len(points), dtype=np.bool_) if at is None else np.all(points == at, axis=1)
        factors: list[Factor] = []
        for stream, condition in enumerate(self._all, start=1):
            if same is not None and condition.process is same[0]:
                drawn = same[1]
            else:
                drawn = DrawnProcess(condition.process, points, normal_draws(len(points), seed, stream))
            is_met = condition.within.holds(drawn.values if at is None else drawn.moments(at).mean)
            if condition.name == SUCCEEDS:
                is_met[:n_observed] |= is_same[:n_observed, None]
            met &= is_met
            factors.append((drawn, condition.within))
        return factors, met

    def product(self, pending: Array, seed: int) -> Product:
        """Return the log chance that all are met, given what is pending, shape ``(m, d)``."""
        return Product(self.drawn(pending, 0, seed)[0])


def success(space: Space, history: History) -> Condition | None:
    """Return that an experiment succeeds; None where nothing failed, or nothing else happened.

    Args:
        space: The search space.
        history: What was observed, and what failed.
    """
    failed = space.to_unit([one.parameters for one in history.refused if one.kind not in UNTAUGHT])
    done = space.to_unit([one.parameters for one in history.observations])
    if not len(failed) or not len(done):
        return None
    failed = failed[-_MOST // 2 :]
    if len(failed) + len(done) > _MOST:
        distances = np.min([space.distances(done, one[None])[:, 0] for one in failed], axis=0)
        done = done[np.argsort(distances, kind="stable")[: _MOST - len(failed)]]
    x = np.vstack([done, failed])
    labels = np.concatenate([np.ones(len(done)), -np.ones(len(failed))])
    order = np.lexsort([labels, *x.T])
    features = Features(space)
    columns = features(x[order])
    posterior = _Posterior(columns, labels[order], None, features.categorical)
    lengths, noise = posterior.read(gp.most_probable(posterior, posterior.starts()))
    kernel = gp.Kernel(lengths, features.categorical)
    process = features.over_unit_cube(gp.GaussianProcess(columns, labels[order], noise, kernel))
    return Condition(SUCCEEDS, process, Within(0.0, math.inf, _BLUR, _CAUTION))


class _Posterior(gp.Posterior):
    """That of the hyperparameters of a model of success."""

    def __init__(self, x: Array, y: Array, variances: Array | None, categorical: gp.Mask) -> None:
        super().__init__(x, y, variances, categorical)
        d, n_numbers = len(categorical), max(int(np.count_nonzero(~categorical)), 1)
        near = math.log(_NEAR * math.sqrt(n_numbers))
        self._centres[:d] = np.where(categorical, self._centres[:d], near)
        self._spreads[:d] = np.where(categorical, self._spreads[:d], _NEAR_SPREAD)
        self._centres[d], self._spreads[d] = _NOISE_PRIOR
