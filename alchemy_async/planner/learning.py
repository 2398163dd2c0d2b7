"""Learning: from a history to what makes a point worth measuring.

In:    space, objectives and history; what is known of the noise; whether failures teach.
Out:   a model of each objective, the conditions that an experiment must meet, and the criterion made of them.
Never: chooses a point, or drops an observation for what it does not tell of another objective.

Values that are all equal tell nothing of a goal, but they are no reason to forget the rest: where experiments fail,
what limits others keep, and what another objective says, count as ever. Such an objective is left out of what is to be
gained. Where nothing else is to be optimised, a point is worth what it tells of the space where experiments are likely
to succeed; where equal values break a limit, it is likeliest kept far from them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, optimised
from alchemy_async.planner import gp
from alchemy_async.planner.chances import Conditions, success
from alchemy_async.planner.criteria import Criterion, Modelled, Prediction
from alchemy_async.planner.designs import spread
from alchemy_async.planner.features import Features
from alchemy_async.planner.growth import DEFAULT_LIMITS, Limits, Values, process_for
from alchemy_async.planner.levels import aim_of
from alchemy_async.planner.pareto import Hypervolume
from alchemy_async.planner.strategies import IMPROVEMENT, Strategy, Variance, criterion_of
from alchemy_async.planner.training import Training, flat, training
from alchemy_async.space import Array, Space

Noise = str | float
_N_PROBES = 512  # points at which what is unknown is summed
_NOISE = 1e-2  # variance, of a flat model: without any, a neighbour tells the slope at a point, and so the most
_LIKELY = -0.7  # log chance of meeting the conditions, about one half


@dataclass(frozen=True)
class Learnt:
    """What a history taught.

    Args:
        modelled: Every objective that has a model, in the order of the settings.
        conditions: What an experiment must meet.
        criterion: What makes a point worth measuring.
        explores: Whether that is what it tells of the unknown, as all values to be optimised are equal.
    """

    modelled: tuple[Modelled, ...]
    conditions: Conditions
    criterion: Criterion
    explores: bool = False

    @property
    def revision(self) -> str:
        """Eight hex digits that differ as soon as data, noise or hyperparameters do."""
        digest = hashlib.blake2b(digest_size=4)
        for one in self.modelled:
            for part in (one.process.x, one.process.y, one.process.variances, one.process.kernel.lengths):
                digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    @property
    def n_observations(self) -> int:
        """How many observations the model with the most has."""
        return max(len(one.data.y) for one in self.modelled)

    def predict(self, x: Array) -> list[dict[str, Prediction]]:
        """Return what is expected of each modelled objective, limited ones too, at each point, shape ``(q, d)``."""
        columns = [[(one.objective.name, found) for found in one.predict(x)] for one in self.modelled]
        return [dict(row) for row in zip(*columns, strict=True)]


def learn(
    space: Space,
    objectives: tuple[Objective, ...],
    history: History,
    *,
    noise: Mapping[str, Noise],
    learns_failures: bool,
    seed: int,
    bounds: Limits = DEFAULT_LIMITS,
    kernel: str = "auto",
    strategy: Strategy = IMPROVEMENT,
) -> Learnt | None:
    """Return what a history taught; None where an objective to be optimised has no values at two different points.

    Args:
        space: The search space.
        objectives: What is wanted; one at least is to be optimised.
        history: Observations, each of which may lack an objective, and refused points.
        noise: For each objective's name ``inferred``, ``none``, or the standard deviation of a measurement.
        learns_failures: Whether refused points teach where experiments fail.
        seed: Seed of the draws.
        bounds: How much a model may hold, and where it is reckoned.
        kernel: One of `gp.KERNELS`.
        strategy: What makes a point worth measuring.

    Raises:
        NotPositiveDefiniteError: If a model can't be fitted.
        PlannerError: If there is no such device, or the strategy can't serve.
    """
    found = {one.name: _model(space, one, history, noise[one.name], bounds, kernel) for one in objectives}
    wanted = [found[one.name] for one in optimised(objectives)]
    if any(one is None for one in wanted):
        return None
    modelled = tuple(one for one in found.values() if one is not None)
    limits = [limit for limit in (one.condition() for one in modelled) if limit is not None]
    succeeds = success(space, history) if learns_failures else None
    conditions = Conditions([*limits, *([] if succeeds is None else [succeeds])])
    best = [one for one in modelled if one.objective.is_optimised]
    explores = all(one.data.is_flat for one in best)
    return Learnt(modelled, conditions, _criterion(space, best, conditions, seed, strategy), explores)


def _criterion(space: Space, best: list[Modelled], conditions: Conditions, seed: int, strategy: Strategy) -> Criterion:
    if len(best) > 1 and strategy != IMPROVEMENT:
        raise PlannerError(
            "Several objectives are to be optimised, for which there is the strategy improvement alone, without a "
            "margin. Choose it, or give all objectives but one the goal limit."
        )
    telling = [one for one in best if not one.data.is_flat]
    if not telling:
        return _exploration(space, best[0], conditions, seed)
    if len(telling) == 1:
        return criterion_of(space, telling[0], conditions, seed, strategy)
    return Hypervolume(telling, seed, conditions)


def _exploration(space: Space, modelled: Modelled, conditions: Conditions, seed: int) -> Criterion:
    """Return what a point tells of the space, as far as it is likely that experiments there meet all conditions."""
    probes = spread(space.at_target, _N_PROBES, seed)
    is_likely = conditions.log_chance(probes) > _LIKELY
    return Variance(modelled, conditions, seed, probes[is_likely] if is_likely.any() else probes, aim_of(space))


def _model(
    space: Space, objective: Objective, history: History, noise: Noise, bounds: Limits, kernel: str
) -> Modelled | None:
    data = training(space, objective, history)
    if data is not None:
        return Modelled(objective, data, modelled(space, data, noise, bounds, kernel))
    data = flat(space, objective, history)
    return None if data is None else Modelled(objective, data, _flat(space, data, bounds, kernel))


def _flat(space: Space, data: Training, bounds: Limits, kernel: str) -> gp.GaussianProcess:
    """Return a model that knows where was measured, by the lengths that are likely before anything is known.

    Equal values would have every length without end, and no noise. Of more than a model holds, some count, spread
    evenly over time.
    """
    features = Features(space)
    n = len(data.y)
    rows = np.sort(np.argsort(data.came)[np.linspace(0, n - 1, min(n, bounds.exact)).astype(np.intp)])
    columns, y = features(data.x[rows]), data.y[rows]
    prior = gp.Posterior(columns[:1], y[:1], y[:1], features.categorical)
    lengths, _ = prior.read(prior.starts()[0])
    variances = np.full(len(rows), _NOISE)
    found = gp.Kernel(lengths, features.categorical, is_rough=kernel != "rbf")
    return features.over_unit_cube(gp.GaussianProcess(columns, y, variances, found))


def modelled(
    space: Space, data: Training, noise: Noise, bounds: Limits = DEFAULT_LIMITS, kernel: str = "auto"
) -> gp.GaussianProcess:
    """Return the model of one objective.

    Args:
        space: The search space.
        data: What the model is shown.
        noise: ``inferred``, ``none``, or a standard deviation in the objective's unit.
        bounds: How much it may hold, and where it is reckoned.
        kernel: One of `gp.KERNELS`.

    Raises:
        NotPositiveDefiniteError: If no hyperparameters fit.
        PlannerError: If there is no such device.
    """
    features = Features(space)
    values = Values(features(data.x), data.y, _variances(data, noise), features.categorical)
    try:
        process = process_for(values, data.came, bounds, kernel)
    except gp.NotPositiveDefiniteError:  # copies that differ more than the noise they are given
        process = process_for(replace(values, variances=None), data.came, bounds, kernel)
    return features.over_unit_cube(process)


def _variances(data: Training, noise: Noise) -> Array | None:
    """Return the known noise variance of each standardised value; None where it is to be inferred."""
    if noise == "inferred":
        return None if data.sems is None else data.sems**2
    known = 0.0 if noise == "none" else float(noise) / data.scale
    return np.full(len(data.y), known**2)
