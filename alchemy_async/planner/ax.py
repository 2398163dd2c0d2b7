"""Ax behind the planner's seam: its default Gaussian process and acquisition function.

In:    what adapters are told.
Out:   what Ax generates next, pending points being running trials.
Never: keeps an experiment between two asks, or hands Ax an equality: `elimination` solves it first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import Objective
from alchemy_async.planner.adapter import AdapterPlanner, Proposal, Told
from alchemy_async.planner.elimination import AtMost, Elimination
from alchemy_async.planner.region import region_of, tied_parameters
from alchemy_async.space import Continuous, Discrete, Integer, Parameter, Point, Space, Value

if TYPE_CHECKING:
    from ax.core.experiment import Experiment
    from ax.core.parameter import Parameter as AxParameter
    from ax.core.trial import Trial


class AxPlanner(AdapterPlanner):
    """Ax's modular BoTorch generator, as its Client chooses it.

    A refused point counts as abandoned, which Ax does not propose again. A linear constraint with
    `equals` is solved for one continuous parameter, which Ax then does not see; discrete values
    and the last digits of a constraint are met by moving a proposal to the nearest feasible point.

    Args:
        space: The search space; no logarithmic parameter in a constraint, and a continuous
            parameter in every `equals`.
        objectives: One or several, each to minimise or maximise.
        noise: ``inferred`` (standard errors are used where every observation has one), or
            ``none`` for a measurement that repeats exactly.

    Raises:
        PlannerError: If Ax is missing, an option is not valid, or it can't plan these constraints.

    Source:
        Olson et al. (2025), AutoML, "Ax: a platform for adaptive experimentation".
    """

    strategy = "ax"
    distribution: ClassVar[str] = "ax-platform"
    least_version = (1, 3)

    def __init__(self, space: Space, objectives: tuple[Objective, ...], *, noise: str = "inferred") -> None:
        super().__init__(space, objectives)
        if noise not in ("inferred", "none"):
            raise PlannerError(f'[planner] options.noise is {noise!r}. Set it to "inferred" or to "none".')
        for parameter in tied_parameters(space):
            if getattr(parameter, "log", False):
                raise self._refusal(f"a constraint on {parameter.name!r}, whose scale is logarithmic")
        self._noise = noise
        self._elimination = Elimination(space)
        for constraint in self._elimination.unsolved:
            raise self._refusal(f"the constraint {constraint}, which has no continuous parameter to make up the rest")

    def _study(self, told: Told, seed: int) -> AxStudy:
        return AxStudy(self._space, self._elimination, told, seed, is_exact=self._noise == "none")

    def _failures(self) -> tuple[type[Exception], ...]:
        from ax.exceptions.core import AxError
        from botorch.exceptions.errors import BotorchError
        from linear_operator.utils.errors import NotPSDError

        return (AxError, BotorchError, NotPSDError, RuntimeError, ValueError, FloatingPointError)

    def _point(self, values: Mapping[str, Any]) -> dict[str, Value] | None:
        (point,) = self._space.from_unit(self._space.to_unit([self._elimination.restore(values)]))
        repaired = region_of(self._space).repair(point) if self._space.constraints else point
        return self._space.check(repaired) if repaired is not None and self._space.is_feasible(repaired) else None


class AxStudy:
    """An Ax experiment in memory. Parameters and objectives have names of its own, which Ax can parse.

    Args:
        space: The search space.
        elimination: Which parameters Ax sees, and the inequalities between them.
        told: What is known.
        seed: Seed of every random choice.
        is_exact: Whether a measurement repeats exactly.
    """

    def __init__(self, space: Space, elimination: Elimination, told: Told, seed: int, *, is_exact: bool) -> None:
        from ax.api.client import Client
        from ax.core.experiment import Experiment
        from ax.core.parameter_constraint import ParameterConstraint
        from ax.core.search_space import SearchSpace

        self._names = {p.name: f"x{i}" for i, p in enumerate(space.parameters) if p.name not in elimination.solved}
        self._metrics = [f"y{j}" for j in range(told.values.shape[1])]
        parameters = [_ax_parameter(p, self._names[p.name]) for p in space.parameters if p.name in self._names]
        constraints = [ParameterConstraint(inequality=self._inequality(row)) for row in elimination.rows]
        experiment = Experiment(name="campaign", search_space=SearchSpace(parameters, constraints))
        self._client = Client(random_seed=seed)
        self._client.set_experiment(experiment)
        self._client.configure_optimization(objective=", ".join(self._metrics))
        # no random trials of Ax's own: a campaign has its initial design
        self._client.configure_generation_strategy(initialization_budget=0, initialize_with_center=False)
        self._attach(experiment, told, is_exact)

    def propose(self, n: int) -> list[Proposal]:
        """Generate trials; they stay running."""
        trials: list[Any] = list(self._client.get_next_trials(n).values())
        predictions = self._client.predict(trials)
        back = {short: name for name, short in self._names.items()}
        return [
            Proposal({back[short]: value for short, value in trial.items()}, self._predicted(prediction))
            for trial, prediction in zip(trials, predictions, strict=True)
        ]

    def _predicted(self, prediction: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        mean, sd = prediction[self._metrics[0]]
        return {"mean": float(mean), "sd": float(sd)} if math.isfinite(mean) and math.isfinite(sd) else {}

    def _attach(self, experiment: Experiment, told: Told, is_exact: bool) -> None:
        """Attach all that is known. The data go in at once: one by one, each would copy those before it."""
        from ax.core.data import Data, DataRow

        trials = [self._running(experiment, point) for point in told.points]
        sems = np.full_like(told.values, 0.0 if is_exact else np.nan) if is_exact or told.sems is None else told.sems
        experiment.attach_data(
            Data(
                DataRow(trial.index, trial.arms[0].name, metric, metric, float(mean), float(sem))
                for trial, means, errors in zip(trials, told.values, sems, strict=True)
                for metric, mean, sem in zip(self._metrics, means, errors, strict=True)
            )
        )
        for trial in trials:
            trial.mark_completed()
        for point in told.waiting:
            self._running(experiment, point)
        for point in told.refused:
            self._running(experiment, point).mark_abandoned()

    def _running(self, experiment: Experiment, point: Point) -> Trial:
        from ax.core.arm import Arm

        trial: Trial = experiment.new_trial()
        trial.add_arm(Arm({short: point[name] for name, short in self._names.items()}))
        trial.mark_running(no_runner_required=True)
        return trial

    def _inequality(self, row: AtMost) -> str:
        total = " + ".join(f"{coefficient!r}*{self._names[name]}" for name, coefficient in row.terms.items())
        return f"{total} <= {row.bound!r}"


def _ax_parameter(parameter: Parameter, name: str) -> AxParameter:
    from ax.core.parameter import ChoiceParameter, ParameterType, RangeParameter

    if isinstance(parameter, Continuous):
        low, high = float(parameter.low), float(parameter.high)
        return RangeParameter(name, ParameterType.FLOAT, low, high, log_scale=parameter.log)
    if isinstance(parameter, Integer):
        return RangeParameter(name, ParameterType.INT, parameter.low, parameter.high, log_scale=parameter.log)
    if isinstance(parameter, Discrete):
        values: list[Any] = [float(option) for option in parameter.options]
        return ChoiceParameter(name, ParameterType.FLOAT, values, is_ordered=True, sort_values=True)
    return ChoiceParameter(name, ParameterType.STRING, list(parameter.values()), is_ordered=False, sort_values=False)
