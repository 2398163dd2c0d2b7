"""The Bayesian planner: measure where an improvement is most to be expected, given all that still runs.

In:    space and objective; history, pending points, n and a seed at each ask.
Out:   suggestions with their prediction; space-filling ones until a model is possible.
Never: loads torch before a model is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Suggestion
from alchemy_async.planner.designs import MAX_LISTED, design
from alchemy_async.planner.space_filling import seen
from alchemy_async.planner.taken import Taken
from alchemy_async.planner.training import Training, training
from alchemy_async.space import Array, Point, Space

if TYPE_CHECKING:
    from alchemy_async.planner.search import Found

_log = logging.getLogger(__name__)


class BayesianPlanner:
    """A Gaussian process and log noisy expected improvement, conditioned on what is pending.

    Pending and refused points are both passed to the acquisition function as chosen and not yet
    observed, so that neither they nor their neighbours are worth proposing again.

    Args:
        space: The search space.
        objectives: Exactly one.
        noise: ``inferred`` (standard errors are used where every observation has one),
            ``none`` for a measurement that repeats exactly, or the standard deviation of a
            measurement in the objective's unit.
        max_enumerated: A finite space of up to this many points is scored whole; a larger
            one is searched.

    Raises:
        PlannerError: If there are several objectives, or an option is not valid.

    Source:
        Ament et al. (2023), NeurIPS 36, "Unexpected improvements to expected improvement".
    """

    def __init__(
        self,
        space: Space,
        objectives: tuple[Objective, ...],
        *,
        noise: str | float = "inferred",
        max_enumerated: int = MAX_LISTED,
    ) -> None:
        if len(objectives) != 1:
            names = ", ".join(objective.name for objective in objectives)
            raise PlannerError(
                f"The strategy bayesian plans one objective in this version; this campaign has {len(objectives)} "
                f"({names}). Leave one in [[objectives]], or set [planner] strategy to sobol or random."
            )
        is_number = isinstance(noise, (int, float)) and not isinstance(noise, bool)
        if noise not in ("inferred", "none") and not (is_number and 0 <= float(noise) < float("inf")):
            raise PlannerError(
                f'[planner] options.noise is {noise!r}. Set it to "inferred", to "none", '
                "or to the standard deviation of a measurement, a number >= 0."
            )
        if isinstance(max_enumerated, bool) or not isinstance(max_enumerated, int) or max_enumerated < 0:
            raise PlannerError(
                f"[planner] options.max_enumerated is {max_enumerated!r}. Set it to a whole number >= 0."
            )
        self._space = space
        self._objective = objectives[0]
        self._noise = noise
        self._max_enumerated = max_enumerated

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return up to ``n`` points, the best first; each is chosen as if those before it were pending.

        Raises:
            PlannerError: If no point meets all constraints.
        """
        data = training(self._space, self._objective, history)
        avoid = seen(history, pending)
        if data is None:
            return self._fill(avoid, n, seed, "space-filling: too little is observed for a model")
        from alchemy_async.planner import model, search  # loads torch

        waiting = self._space.to_unit([*pending, *(refused.parameters for refused in history.refused)])
        waiting = waiting[np.lexsort(waiting.T)]
        with model.reproducible(seed):
            try:
                fitted = model.fit(data.x, data.y, self._variances(data), self._space.is_categorical)
                found = search.best_points(
                    fitted, self._space, waiting, Taken(self._space, avoid), n, seed, self._max_enumerated
                )
            except model.NUMERICAL_ERRORS as error:
                _log.warning("the model of %s broke down; filling the space", self._objective.name, exc_info=True)
                return self._fill(avoid, n, seed, f"space-filling: the model failed ({type(error).__name__})")
        return [self._suggestion(one, data, len(pending) + i, seed) for i, one in enumerate(found)]

    def warm_up(self) -> None:
        """Load torch and take every step once, so that the first real ask is as quick as the next."""
        points = design(self._space, "sobol", 4, 0)
        observed = [Observed(point, {self._objective.name: float(i % 3)}) for i, point in enumerate(points)]
        self.ask(History(tuple(observed)), (), 1, 0)

    def _variances(self, data: Training) -> Array | None:
        """Return the known noise variance of each standardised value; None where it is to be inferred."""
        if self._noise == "inferred":
            return None if data.sems is None else data.sems**2
        known = 0.0 if self._noise == "none" else float(self._noise) / data.scale
        return np.full(len(data.y), known**2)

    def _fill(self, avoid: Sequence[Point], n: int, seed: int, reason: str) -> list[Suggestion]:
        points = design(self._space, "sobol", n, seed, avoid=avoid)
        return [Suggestion(point, origin="fill", reason=reason, metadata={"seed": seed}) for point in points]

    def _suggestion(self, found: Found, data: Training, n_pending: int, seed: int) -> Suggestion:
        mean, sd = data.to_units(found.mean, found.sd)
        unit = f" {self._objective.unit}" if self._objective.unit else ""
        return Suggestion(
            parameters=found.point,
            reason=f"most improvement expected: {self._objective.name} {mean:.4g} ± {sd:.2g}{unit} predicted",
            metadata={
                "mean": mean,
                "sd": sd,
                "acquisition": found.acquisition,
                "n_observations": len(data.y),
                "n_pending": n_pending,
                "seed": seed,
            },
        )
