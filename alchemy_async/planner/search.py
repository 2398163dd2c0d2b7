"""The search: where the acquisition function is largest. Loads torch.

In:    a fitted model, what is pending, and what is taken.
Out:   the best points that may be proposed, one after the other, each pending for the next.
Never: proposes a copy of a taken point, or a point that does not fit the space.

A small finite space is scored whole. A continuous one is searched from many starts by gradient,
a mixed one by steps over its discrete part and gradients over the rest, and one with linear
constraints by `constrained`. What a search brings is snapped to the space and, where that breaks
a constraint, moved to the nearest feasible point; if all of it is taken, points at random follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.optim.optimize import optimize_acqf
from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating
from botorch.sampling.normal import SobolQMCNormalSampler

from alchemy_async.planner.constrained import ConstrainedSearch
from alchemy_async.planner.designs import design, listing, scatter
from alchemy_async.planner.model import hushed, tensor
from alchemy_async.planner.region import region_of
from alchemy_async.planner.scores import score
from alchemy_async.planner.taken import Taken
from alchemy_async.space import COPY_DISTANCE, Array, Categorical, Space, Value

RESTARTS, RAW_SAMPLES, MC_SAMPLES = 10, 256, 512  # fewer restarts or raw samples cost regret
MOST_STEPS = 20  # numbers with more values than this are searched as if continuous, then rounded
_SPARE = 64  # points at random to choose from where all that a search brought is taken


@dataclass(frozen=True)
class Found:
    """A point worth measuring: its prediction in standardised units, larger being better."""

    point: dict[str, Value]
    mean: float
    sd: float
    acquisition: float


def best_points(
    model: SingleTaskGP, space: Space, pending: Array, taken: Taken, n: int, seed: int, max_enumerated: int
) -> list[Found]:
    """Return up to ``n`` points, each the best given the model, the pending ones and those before it.

    Args:
        model: Fitted over the unit cube.
        space: The search space.
        pending: Unit-cube coordinates of points not yet observed, shape ``(m, d)``.
        taken: Points not to be proposed; grows by what is returned.
        n: How many.
        seed: Seed of the sampler; the caller seeds torch.
        max_enumerated: A finite space of up to this many points is scored whole.
    """
    waiting = tensor(pending)
    search = Search(space, seed, max_enumerated)
    found: list[Found] = []
    with hushed():
        acquisition = qLogNoisyExpectedImprovement(
            model,
            X_baseline=model.train_inputs[0],
            sampler=SobolQMCNormalSampler(torch.Size([MC_SAMPLES]), seed=seed),
            X_pending=waiting if len(waiting) else None,
        )
        while len(found) < n and (best := search.best(acquisition, taken)) is not None:
            taken.add(best[0])
            at = tensor(space.to_unit([best[0]]))
            found.append(_predict(model, best, at))
            waiting = torch.cat([waiting, at])
            acquisition.set_X_pending(waiting)
    return found


def _predict(model: SingleTaskGP, best: tuple[dict[str, Value], float], at: torch.Tensor) -> Found:
    with torch.no_grad():
        posterior = model.posterior(at)
        return Found(best[0], posterior.mean.item(), posterior.variance.clamp_min(0.0).sqrt().item(), best[1])


class Search:
    """Finds the best free point of one space; made once for an ask."""

    def __init__(self, space: Space, seed: int, max_enumerated: int) -> None:
        self._space = space
        self._seed = seed
        self._is_listed = space.n_points <= max_enumerated
        self._region = region_of(space) if space.constraints and not self._is_listed else None
        self._constrained = ConstrainedSearch(space, MOST_STEPS) if self._region is not None else None

    def best(self, acquisition: qLogNoisyExpectedImprovement, taken: Taken) -> tuple[dict[str, Value], float] | None:
        """Return the best free point and its acquisition value; None where none is left."""
        if self._is_listed:
            return self._best_listed(acquisition, taken)
        for row in self._candidates(acquisition):
            (point,) = self._space.from_unit(row)
            repaired = point if self._region is None else self._region.repair(point)
            if repaired is not None and not taken.has(repaired):
                value = score(acquisition, self._space.to_unit([repaired]))[0]
                return repaired, float(value)
        return self._best_spare(acquisition, taken)

    def _best_listed(
        self, acquisition: qLogNoisyExpectedImprovement, taken: Taken
    ) -> tuple[dict[str, Value], float] | None:
        points, coordinates = listing(self._space)
        free = np.flatnonzero(taken.distances(coordinates) >= COPY_DISTANCE)
        if not len(free):
            return None
        values = score(acquisition, coordinates[free])
        best = int(np.argmax(values))
        return dict(points[free[best]]), float(values[best])

    def _best_spare(
        self, acquisition: qLogNoisyExpectedImprovement, taken: Taken
    ) -> tuple[dict[str, Value], float] | None:
        points = design(self._space, "random", _SPARE, self._seed, avoid=taken.points)
        if not points:
            return None
        values = score(acquisition, self._space.to_unit(points))
        best = int(np.argmax(values))
        return points[best], float(values[best])

    def _candidates(self, acquisition: qLogNoisyExpectedImprovement) -> Iterator[Array]:
        """Yield unit-cube coordinates, shape ``(d,)``, the best first."""
        if self._constrained is not None:
            starts = self._space.to_unit(scatter(self._space, RAW_SAMPLES, self._seed))
            rows, values = self._constrained.climb(acquisition, starts, RESTARTS)
        else:
            rows, values = self._unconstrained(acquisition)
        yield from rows[np.argsort(-values, kind="stable")]

    def _unconstrained(self, acquisition: qLogNoisyExpectedImprovement) -> tuple[Array, Array]:
        categories: dict[int, list[float]] = {}
        steps: dict[int, list[float]] = {}
        for i, parameter in enumerate(self._space.parameters):
            if isinstance(parameter, Categorical):
                categories[i] = [parameter.to_unit(value) for value in parameter.values()]
            elif parameter.n_values <= MOST_STEPS:
                steps[i] = [parameter.to_unit(value) for value in parameter.values()]  # type: ignore[union-attr]
        bounds = tensor(np.vstack([np.zeros(len(self._space.names)), np.ones(len(self._space.names))]))
        if not categories and not steps:
            rows, _ = optimize_acqf(
                acquisition, bounds, q=1, num_restarts=RESTARTS, raw_samples=RAW_SAMPLES, return_best_only=False
            )
        else:
            rows, _ = optimize_acqf_mixed_alternating(
                acquisition, bounds, steps, categories, num_restarts=RESTARTS, raw_samples=RAW_SAMPLES
            )
        found = rows.detach().reshape(-1, bounds.shape[1])
        return found.numpy(), score(acquisition, found.numpy())
