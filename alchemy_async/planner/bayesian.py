"""The Bayesian planner: measure where an improvement is most to be expected, given all that still runs.

In:    space and objectives; history, pending points, n and a seed at each ask.
Out:   suggestions with their prediction; space-filling ones until a model is possible.
Never: loads torch, or keeps anything between two asks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Suggestion, optimised
from alchemy_async.planner.designs import design
from alchemy_async.planner.levels import Levels
from alchemy_async.planner.space_filling import seen
from alchemy_async.planner.taken import Taken
from alchemy_async.space import MAX_LISTED, Array, Point, Space, Value

if TYPE_CHECKING:
    from alchemy_async.planner.criteria import Prediction
    from alchemy_async.planner.learning import Learnt

_log = logging.getLogger(__name__)

_WHY = {
    "improvement": "most improvement expected",
    "probability": "an improvement is likeliest",
    "bound": "the best that may well be",
    "variance": "most of the unknown to be learnt",
}
_WHY_ALL_EQUAL = "all values are equal so far, and most of the unknown is to be learnt"


@dataclass(frozen=True)
class _Found:
    """A point worth measuring, what is expected of each objective there, and the chance to meet all conditions.

    ``at_target`` is what is expected where the answer is wanted: the same, unless a fidelity makes it cheaper.
    """

    point: dict[str, Value]
    expected: dict[str, Prediction]
    at_target: dict[str, Prediction]
    acquisition: float
    chance: float


class BayesianPlanner:
    """Gaussian processes and log noisy expected improvement, or hypervolume, conditioned on what is pending.

    Where an objective has limits, or experiments have failed, the improvement is multiplied by the
    chance that the limits are kept and the experiment succeeds. Where the space has a fidelity, points are
    sought at its target, and each is run at the level that tells most of it for what it costs.

    Args:
        space: The search space.
        objectives: One or several that are to be optimised, and any number with limits only.
        noise: ``inferred`` (standard errors are used where every observation has one),
            ``none`` for a measurement that repeats exactly, or the standard deviation of a
            measurement in the objective's unit; a mapping gives each objective, by its name, its own.
        failures: ``avoid``: where experiments failed or were infeasible, others are thought likely to,
            and are proposed the less; ``ignore``: a point that failed is one more whose value is not known yet.
        max_enumerated: A finite space of up to this many points is scored whole; a larger
            one is searched.
        device: Where large models are reckoned: ``auto``, ``cpu``, or a device of torch, such as ``cuda``.
        kernel: Of the models: ``rbf`` for smooth functions, ``matern`` (5/2) for rougher ones, or ``auto``: the
            latter until the data speak strongly for the former.
        strategy: What makes a point worth measuring: ``improvement`` is best throughout; ``probability`` of an
            improvement, an optimistic ``bound``, and ``variance``, which only explores, for one objective.
        margin: By how much a value must be better to count as an improvement, in the objective's unit.
        kappa: How many standard deviations the bound lies above the mean.

    Raises:
        PlannerError: If no objective is to be optimised, an option is not valid, or several are to be optimised
            in a space with a fidelity.

    Source:
        Ament et al. (2023), NeurIPS 36, "Unexpected improvements to expected improvement";
        Daulton, Balandat & Bakshy (2021), NeurIPS 34, for several objectives;
        Gelbart, Snoek & Adams (2014), UAI, "Bayesian optimization with unknown constraints".
    """

    def __init__(
        self,
        space: Space,
        objectives: tuple[Objective, ...],
        *,
        noise: str | float | Mapping[str, str | float] = "inferred",
        failures: str = "avoid",
        max_enumerated: int = MAX_LISTED,
        device: str = "auto",
        kernel: str = "auto",
        strategy: str = "improvement",
        margin: float = 0.0,
        kappa: float = 2.0,
    ) -> None:
        _check_objectives(space, objectives)
        if failures not in ("avoid", "ignore"):
            raise PlannerError(f'[planner] options.failures is {failures!r}. Set it to "avoid" or to "ignore".')
        if isinstance(max_enumerated, bool) or not isinstance(max_enumerated, int) or max_enumerated < 0:
            raise PlannerError(
                f"[planner] options.max_enumerated is {max_enumerated!r}. Set it to a whole number >= 0."
            )
        if not isinstance(device, str):
            raise PlannerError(f'[planner] options.device is {device!r}. Set it to "auto", "cpu" or "cuda".')
        if device not in ("auto", "cpu"):
            from alchemy_async.planner.accelerated import find_device  # torch

            find_device(device)  # now, and not in the night when the history has grown long enough for it
        _check_choice("kernel", kernel, ("auto", "matern", "rbf"))
        _check_choice("strategy", strategy, ("improvement", "probability", "bound", "variance"))
        self._kernel = kernel
        self._strategy, self._margin, self._kappa = strategy, _amount("margin", margin), _amount("kappa", kappa)
        self._space = space
        self._device = device
        self._objectives = objectives
        self._noise = _noise(noise, objectives)
        self._failures = failures
        self._max_enumerated = max_enumerated

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return up to ``n`` points, the best first; each is chosen as if those before it were pending.

        Raises:
            PlannerError: If no point meets all constraints.
        """
        avoid = seen(history, pending)
        if not _may_be_learnt(self._objectives, history):  # scipy loads slowly, and the first points do without it
            return self._fill(avoid, n, seed, "too little is observed for a model")
        from alchemy_async.planner import gp
        from alchemy_async.planner.growth import Limits
        from alchemy_async.planner.learning import learn
        from alchemy_async.planner.strategies import Strategy

        ignored = [] if self._failures == "avoid" else [refused.parameters for refused in history.refused]
        waiting = self._space.to_unit([*pending, *ignored])
        waiting = waiting[np.lexsort(waiting.T)]
        try:
            learnt = learn(
                self._space,
                self._objectives,
                history,
                noise=self._noise,
                learns_failures=self._failures == "avoid",
                seed=seed,
                bounds=Limits(device=self._device),
                kernel=self._kernel,
                strategy=Strategy(self._strategy, self._margin, self._kappa),
            )
            if learnt is None:
                return self._fill(avoid, n, seed, "too little is observed for a model")
            found = self._search(learnt, waiting, Taken(self._space, avoid), n, seed)
        except (gp.NotPositiveDefiniteError, FloatingPointError, np.linalg.LinAlgError) as error:
            names = ", ".join(objective.name for objective in self._objectives)
            _log.warning("the model of %s broke down; filling the space", names, exc_info=True)
            return self._fill(avoid, n, seed, f"the model failed ({type(error).__name__})")
        return [self._suggestion(one, learnt, len(pending) + i, seed) for i, one in enumerate(found)]

    def _search(self, learnt: Learnt, waiting: Array, taken: Taken, n: int, seed: int) -> list[_Found]:
        from alchemy_async.planner.search import Search

        criterion = learnt.criterion
        search = Search(self._space.at_target, seed, self._max_enumerated, np.clip(criterion.around(), 0.0, 1.0))
        processes = [one.process for one in learnt.modelled]
        levels = None if self._space.fidelity is None else Levels(self._space, processes, taken.points)
        found: list[_Found] = []
        while len(found) < n:
            best = search.best(criterion.acquisition(waiting), taken)
            if best is None:
                break
            point = best[0] if levels is None else levels.choose(best[0], waiting, taken)
            taken.add(point)
            aim, at = self._space.to_unit(best[:1]), self._space.to_unit([point])
            chance = math.exp(float(learnt.conditions.log_chance(aim)[0]))
            found.append(_Found(point, learnt.predict(at)[0], learnt.predict(aim)[0], best[1], chance))
            waiting = np.vstack([waiting, at])
        return found

    def warm_up(self) -> None:
        """Load what is needed and take every step once, so that the first real ask is as quick as the next."""
        names = [objective.name for objective in self._objectives]
        points = design(self._space, "sobol", 4, 0)
        observed = [Observed(point, dict.fromkeys(names, float(i % 3))) for i, point in enumerate(points)]
        self.ask(History(tuple(observed)), (), 1, 0)

    def _fill(self, avoid: Sequence[Point], n: int, seed: int, why: str) -> list[Suggestion]:
        points = design(self._space, "sobol", n, seed, avoid=avoid)
        reason = f"space-filling: {why}"
        return [Suggestion(point, origin="fill", reason=reason, metadata={"seed": seed}) for point in points]

    def _suggestion(self, found: _Found, learnt: Learnt, n_pending: int, seed: int) -> Suggestion:
        wanted = optimised(self._objectives)
        told = " and ".join(_predicted(objective, found.at_target[objective.name]) for objective in wanted)
        chance = f", {found.chance:.0%} likely to succeed within all limits" if learnt.conditions else ""
        metadata: dict[str, Any] = {
            "expected": _noted(found.expected),
            "acquisition": found.acquisition,
            "model_revision": learnt.revision,
            "n_observations": learnt.n_observations,
            "n_pending": n_pending,
            "seed": seed,
        }
        if learnt.conditions:
            metadata["chance"] = found.chance
        fidelity, cheaply = self._space.fidelity, ""
        if fidelity is not None:
            metadata["at_target"] = _noted(found.at_target)
            level = found.point[fidelity.name]
            how = "measured there" if fidelity.counts(found.point) else f"asked of a run at {level:g}"
            cheaply = f" at {fidelity}, {how} (cost {fidelity.cost(level):g} of {fidelity.cost(fidelity.target):g})"
        return Suggestion(
            parameters=found.point,
            reason=f"{_WHY_ALL_EQUAL if learnt.explores else _WHY[self._strategy]}: {told} predicted{cheaply}{chance}",
            metadata=metadata,
        )


def _noted(expected: Mapping[str, Prediction]) -> dict[str, dict[str, float]]:
    return {name: {"mean": one.mean, "sd": one.sd} for name, one in expected.items()}


def _predicted(objective: Objective, expected: Prediction) -> str:
    unit = f" {objective.unit}" if objective.unit else ""
    return f"{objective.name} {expected.mean:.4g} ± {expected.sd:.2g}{unit}"


def _may_be_learnt(objectives: tuple[Objective, ...], history: History) -> bool:
    """Whether two observations at least have a value of each objective that is to be optimised."""
    counts = (
        sum(objective.name in observed.values for observed in history.observations)
        for objective in optimised(objectives)
    )
    return min(counts) >= 2


def _check_choice(option: str, given: object, choices: tuple[str, ...]) -> None:
    if given not in choices:
        mend = ", ".join(f'"{choice}"' for choice in choices)
        raise PlannerError(f"[planner] options.{option} is {given!r}. Set it to one of {mend}.")


def _amount(option: str, given: object) -> float:
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not is_number or not 0 <= float(given) < float("inf"):  # type: ignore[arg-type]
        raise PlannerError(f"[planner] options.{option} is {given!r}. Set it to a number >= 0.")
    return float(given)  # type: ignore[arg-type]


def _check_objectives(space: Space, objectives: tuple[Objective, ...]) -> None:
    if space.fidelity is not None and len(optimised(objectives)) > 1:
        raise PlannerError(
            f"Several objectives are to be optimised, and the parameter {space.fidelity.name!r} has a fidelity, which "
            "serves one only. Take `fidelity` out of it, or give all objectives but one the goal limit."
        )
    if not optimised(objectives):
        raise PlannerError(
            "Every objective has only limits, so that nothing is to be optimised. "
            "Give one of them in [[objectives]] another goal, or set [planner] strategy to sobol or random."
        )


def _noise(noise: str | float | Mapping[str, str | float], objectives: tuple[Objective, ...]) -> dict[str, str | float]:
    """Return what is known of the noise of each objective, by its name."""
    names = [objective.name for objective in objectives]
    given = dict(noise) if isinstance(noise, Mapping) else dict.fromkeys(names, noise)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise PlannerError(
            f"[planner] options.noise names {unknown[0]!r}, which is no objective. "
            f"The objectives are {', '.join(names)}."
        )
    for one in given.values():
        is_number = isinstance(one, (int, float)) and not isinstance(one, bool)
        if one not in ("inferred", "none") and not (is_number and 0 <= float(one) < float("inf")):
            raise PlannerError(
                f'[planner] options.noise is {one!r}. Set it to "inferred", to "none", to the standard deviation of a '
                "measurement, a number >= 0, or to a table of these with a key for each objective."
            )
    return dict.fromkeys(names, "inferred") | given
