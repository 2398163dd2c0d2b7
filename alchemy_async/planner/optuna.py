"""Optuna behind the planner's seam: its Gaussian process or its tree-structured Parzen estimator.

In:    what adapters are told.
Out:   what an Optuna study asks for next, pending points being running trials.
Never: keeps a study between two asks, or takes linear constraints: Optuna has none on parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import Objective
from alchemy_async.planner.adapter import AdapterPlanner, Proposal, Told
from alchemy_async.space import Continuous, Discrete, Integer, Parameter, Point, Space, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SAMPLERS = ("gp", "tpe")


class OptunaPlanner(AdapterPlanner):
    """Optuna's samplers, asked one trial after the other; each is running for the next.

    A refused point counts as running too, so that its neighbourhood is left alone.

    Args:
        space: The search space, without constraints.
        objectives: One or several, each to minimise or maximise.
        sampler: ``gp`` for a Gaussian process, ``tpe`` for the tree-structured Parzen estimator.
        noise: ``inferred``, or ``none`` for a measurement that repeats exactly; ``gp`` alone looks at it.

    Raises:
        PlannerError: If Optuna is missing, an option is not valid, or the space has constraints.

    Source:
        Akiba et al. (2019), KDD; Watanabe (2023), arXiv 2304.11127, for ``tpe``.
    """

    strategy = "optuna"
    distribution: ClassVar[str] = "optuna"
    least_version = (5, 0)

    def __init__(
        self, space: Space, objectives: tuple[Objective, ...], *, sampler: str = "gp", noise: str = "inferred"
    ) -> None:
        super().__init__(space, objectives)
        if sampler not in SAMPLERS:
            raise PlannerError(f'[planner] options.sampler is {sampler!r}. Set it to "gp" or "tpe".')
        if noise not in ("inferred", "none"):
            raise PlannerError(f'[planner] options.noise is {noise!r}. Set it to "inferred" or to "none".')
        if space.constraints:
            raise self._refusal(f"linear constraints ({'; '.join(map(str, space.constraints))})")
        self._sampler = sampler
        self._noise = noise

    def _study(self, told: Told, seed: int) -> OptunaStudy:
        return OptunaStudy(self._space, told, self._sampler, seed, is_exact=self._noise == "none")

    def _failures(self) -> tuple[type[Exception], ...]:
        return (RuntimeError, ValueError, FloatingPointError)  # torch's and scipy's, where a matrix breaks down

    def _point(self, values: Mapping[str, Any]) -> dict[str, Value] | None:
        point = {
            parameter.name: parameter.options[values[parameter.name]]
            if isinstance(parameter, Discrete)
            else values[parameter.name]
            for parameter in self._space.parameters
        }
        return self._space.check(point) if self._space.is_feasible(point) else None


class OptunaStudy:
    """An Optuna study in memory.

    Args:
        space: The search space, without constraints.
        told: What is known.
        sampler: ``gp`` or ``tpe``.
        seed: Seed of the sampler.
        is_exact: Whether a measurement repeats exactly.
    """

    def __init__(self, space: Space, told: Told, sampler: str, seed: int, *, is_exact: bool) -> None:
        import optuna
        from optuna.trial import TrialState, create_trial

        self._space = space
        self._distributions = {parameter.name: _distribution(parameter) for parameter in space.parameters}
        # no random trials of Optuna's own: a campaign has its initial design
        made: optuna.samplers.BaseSampler = (
            optuna.samplers.GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=is_exact)
            if sampler == "gp"
            else optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, constant_liar=True)
        )
        self._study = optuna.create_study(directions=["maximize"] * told.values.shape[1], sampler=made)
        for point, values in zip(told.points, told.values, strict=True):
            self._study.add_trial(
                create_trial(
                    params=self._to_optuna(point), distributions=self._distributions, values=list(map(float, values))
                )
            )
        for point in (*told.waiting, *told.refused):
            self._study.add_trial(
                create_trial(params=self._to_optuna(point), distributions=self._distributions, state=TrialState.RUNNING)
            )

    def propose(self, n: int) -> list[Proposal]:
        """Ask for trials one by one; each stays running."""
        return [Proposal(self._study.ask(self._distributions).params) for _ in range(n)]

    def _to_optuna(self, point: Point) -> dict[str, Any]:
        return {parameter.name: _to_optuna(parameter, point[parameter.name]) for parameter in self._space.parameters}


def _distribution(parameter: Parameter) -> BaseDistribution:
    """Return Optuna's distribution of a parameter; a discrete one is the place among its values."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Continuous):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Integer):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Discrete):
        return IntDistribution(0, len(parameter.options) - 1)
    return CategoricalDistribution(parameter.values())


def _to_optuna(parameter: Parameter, value: Value) -> Value:
    return parameter.options.index(float(value)) if isinstance(parameter, Discrete) else value
