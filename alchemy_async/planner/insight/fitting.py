"""Fitting: one model of each objective, and what it says of itself.

In:    training data.
Out:   predictions in the objective's unit; how well each value is predicted without itself.
Never: searches for a point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.experiment.goals import standing
from alchemy_async.planner import gp
from alchemy_async.planner.features import Features
from alchemy_async.planner.insight.records import Quality
from alchemy_async.planner.learning import modelled
from alchemy_async.planner.training import Training
from alchemy_async.space import Array, Fidelity, Space

Noise = str | float

MOST = 400  # results that a model is shown: a fit to them takes less than a second
_N_BEST = 100  # of these; the others are drawn at random
_WITHIN_95 = 1.959964
_N_PROBES = 256  # points at which a parameter's share is reckoned


@dataclass(frozen=True)
class Fitted:
    """A model of one objective."""

    objective: Objective
    data: Training
    process: gp.GaussianProcess
    quality: Quality

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Return means and standard deviations in the objective's unit, each of shape ``(m,)``.

        Args:
            x: Unit-cube coordinates, shape ``(m, d)``.
        """
        mean, variance = self.process.predict(x)
        means = self.data.centre + self.data.sign * self.data.scale * mean
        return np.nan_to_num(means), np.nan_to_num(self.data.scale * np.sqrt(variance))


def subset(history: History, objectives: Sequence[Objective], fidelity: Fidelity | None = None) -> list[int]:
    """Return which observations a model is shown, oldest first: all, or ``MOST`` with the best among them.

    Args:
        history: All of them.
        objectives: What is measured.
        fidelity: Where there is one: the best are those of its target, as far as there are any.
    """
    n = len(history.observations)
    if n <= MOST:
        return list(range(n))
    standings = [
        (fidelity is None or fidelity.counts(observed.parameters), *standing_of(objectives, observed))
        for observed in history.observations
    ]
    order = sorted(range(n), key=lambda i: standings[i], reverse=True)
    others = np.random.default_rng(n).choice(order[_N_BEST:], size=MOST - _N_BEST, replace=False)
    return sorted([*order[:_N_BEST], *map(int, others)])


def standing_of(objectives: Sequence[Objective], observed: Observed) -> tuple[float, float, float]:
    """Return what observations are compared by, larger being better; the least of all without the first's value."""
    try:
        return standing(objectives, observed.values)
    except KeyError:
        return (-math.inf, -math.inf, -math.inf)


def fitted(space: Space, objective: Objective, data: Training, noise: Noise, kernel: str = "auto") -> Fitted:
    """Return the model of one objective.

    Args:
        space: The search space.
        objective: What ``data`` are values of.
        data: What the model is shown.
        noise: ``inferred``, ``none``, or a standard deviation in the objective's unit.
        kernel: One of `gp.KERNELS`.

    Raises:
        NotPositiveDefiniteError: If no hyperparameters fit.
    """
    process = modelled(space, data, noise if _is_noise(noise) else "inferred", kernel=kernel)
    return Fitted(objective, data, process, _quality(space, objective, process))


def _is_noise(noise: Noise) -> bool:
    """Whether the bayesian planner understands it; another planner may call something else noise."""
    return noise in ("inferred", "none") or (isinstance(noise, (int, float)) and noise >= 0)


def _quality(space: Space, objective: Objective, process: gp.GaussianProcess) -> Quality:
    y, n = process.y, len(process.y)
    mean, variance = process.leave_one_out()
    errors, spread = y - mean, (y - y.mean()) * n / (n - 1)  # each from the mean of the others
    return Quality(
        objective=objective.name,
        n=n,
        explained=1.0 - float(errors @ errors / (spread @ spread)),
        rank_correlation=_correlation(_ranks(y), _ranks(mean)),
        inside=float(np.mean(np.abs(errors) <= _WITHIN_95 * np.sqrt(variance))),
        noise=min(float(np.mean(process.variances) / np.var(y, ddof=1)), 1.0),
        importance=dict(zip(space.names, map(float, _importance(process)), strict=True)),
        lengths=dict(zip(Features(space).names, map(float, process.kernel.lengths), strict=True)),
    )


def _importance(process: gp.GaussianProcess) -> Array:
    """Return the total effect of each parameter on the predicted mean, over what was tried of each, shape ``(d,)``.

    Beyond what was tried a mean goes back to that of all values, and would tell of effects that nobody saw.

    Source:
        Jansen (1999), Comput. Phys. Commun. 117, 35-43.
    """
    rng = np.random.default_rng(0)
    here, there = (_probes(process, rng) for _ in range(2))
    base, _ = process.predict(here)
    whole = float(np.var(base))
    d = process.x.shape[1]
    if whole <= 0.0:
        return np.zeros(d)
    effects: list[float] = []
    for i in range(d):
        moved = here.copy()
        moved[:, i] = there[:, i]
        effects.append(float(np.mean((process.predict(moved)[0] - base) ** 2)) / 2.0 / whole)
    return np.asarray(np.minimum(effects, 1.0))


def _probes(process: gp.GaussianProcess, rng: np.random.Generator) -> Array:
    """Return points spread over the ranges and the categories that were tried, shape ``(_N_PROBES, d)``."""
    low, high = process.x.min(axis=0), process.x.max(axis=0)
    spread = low + rng.random((_N_PROBES, len(low))) * (high - low)
    tried = process.x[rng.integers(len(process.x), size=spread.shape), np.arange(len(low))]
    return np.asarray(np.where(process.kernel.categorical, tried, spread))


def _ranks(values: Array) -> Array:
    """Return the rank of each value, equal values sharing theirs, shape ``(n,)``."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle: Array = np.cumsum(counts) - 0.5 * (counts - 1)
    return middle[which]


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0.0 else 0.0
