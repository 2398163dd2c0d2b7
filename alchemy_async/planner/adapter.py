"""Adapters: what the planners that hand a question to another package have in common.

In:    history and pending points, in the campaign's own terms.
Out:   what another package proposes, checked; space-filling points where it has nothing to propose.
Never: imports the other package before a model is possible, or proposes a copy of a taken point.

The other packages keep a study that grows. Here a study is made anew for every ask, from the
history alone, so that an ask stays a pure function and a restart loses nothing.
"""

from __future__ import annotations

import logging
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Protocol

import numpy as np

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Suggestion
from alchemy_async.planner.designs import design, listing
from alchemy_async.planner.space_filling import seen
from alchemy_async.planner.taken import Taken
from alchemy_async.planner.training import training
from alchemy_async.space import (
    COPY_DISTANCE,
    MAX_LISTED,
    Array,
    Categorical,
    Continuous,
    Discrete,
    Integer,
    Point,
    Space,
    Value,
)

_log = logging.getLogger(__name__)

_ROUNDS = 4  # of asking again where what was proposed is taken, before the space is filled


@dataclass(frozen=True)
class Told:
    """What another package is told of a campaign, oldest first; larger values are better.

    Args:
        points: Parameters of each observation, shape ``(n,)``, moved to the nearest value the space has.
        values: Standardised values, shape ``(n, m)``, one column for each objective.
        sems: Standard errors in the same units, shape ``(n, m)``; None unless every value has one.
        waiting: Points chosen and not yet observed.
        refused: Points that brought no measurement.
        centres: Mean of each objective, its own units, shape ``(m,)``.
        scales: Standard deviation of each objective, its own units, shape ``(m,)``, > 0.
    """

    points: tuple[Point, ...]
    values: Array
    sems: Array | None
    waiting: tuple[Point, ...]
    refused: tuple[Point, ...]
    centres: Array
    scales: Array


@dataclass(frozen=True)
class Proposal:
    """What another package proposes; mean and standard deviation are standardised, where it predicts them."""

    values: Mapping[str, Any]
    predicted: Mapping[str, float] = field(default_factory=dict)


class Study(Protocol):
    """A study in another package's terms; what it has proposed is pending for its next proposals."""

    def propose(self, n: int) -> list[Proposal]:
        """Return up to ``n`` proposals, the best first."""
        ...


class AdapterPlanner(ABC):
    """Asks another package, and answers for what it brings.

    Args:
        space: The search space.
        objectives: One or several, each to minimise or maximise.

    Raises:
        PlannerError: If the other package is missing or too old, or can't plan this campaign.
    """

    strategy: ClassVar[str]  # also the name of the extra that installs the package
    distribution: ClassVar[str]
    least_version: ClassVar[tuple[int, int]]

    def __init__(self, space: Space, objectives: tuple[Objective, ...]) -> None:
        self._require_package()
        self._space = space
        self._objectives = objectives
        for parameter in space.parameters:
            if not isinstance(parameter, (Continuous, Integer, Discrete, Categorical)):
                raise self._refusal(f"parameters of the kind of {parameter.name!r}")
        if space.fidelity is not None:
            raise self._refusal(f"the fidelity of the parameter {space.fidelity.name!r}")
        for objective in objectives:
            if objective.is_limited:
                raise self._refusal(f"the limits of the objective {objective.name!r}")
            if objective.goal not in ("minimize", "maximize"):
                raise self._refusal(f"the goal {objective.goal!r} of the objective {objective.name!r}")

    def ask(self, history: History, pending: Sequence[Point], n: int, seed: int) -> list[Suggestion]:
        """Return up to ``n`` points, the best first; each is chosen as if those before it were pending.

        Raises:
            PlannerError: If no point meets all constraints.
        """
        taken = Taken(self._space, seen(history, pending))
        n = self._most(n, taken)
        told = tell(self._space, self._objectives, history, pending)
        if told is None or not n:
            return self._fill(taken, n, seed, "too little is observed for a model")
        mixed = int(np.random.SeedSequence([seed, len(taken)]).generate_state(1)[0])
        chosen: list[Suggestion] = []
        reason = f"{self.strategy} proposed nothing but points that are taken"
        try:
            with hushed():
                study = self._study(told, mixed)
                for _ in range(_ROUNDS):
                    chosen += self._accept(study.propose(n - len(chosen)), taken, told, seed)
                    if len(chosen) == n:
                        break
        except self._failures() as error:
            _log.warning("%s could not go on, filling the space (%s: %s)", self.strategy, type(error).__name__, error)
            reason = f"{self.strategy} failed ({type(error).__name__})"
        return [*chosen, *self._fill(taken, n - len(chosen), seed, reason)]

    def warm_up(self) -> None:
        """Load the other package and take every step once, so that the first real ask is as quick as the next."""
        names = [objective.name for objective in self._objectives]
        points = design(self._space, "sobol", 4, 0)
        observed = [Observed(point, dict.fromkeys(names, float(i % 3))) for i, point in enumerate(points)]
        self.ask(History(tuple(observed)), (), 1, 0)

    @abstractmethod
    def _study(self, told: Told, seed: int) -> Study:
        """Return a study that knows all that is told."""

    @abstractmethod
    def _failures(self) -> tuple[type[Exception], ...]:
        """Return what the other package raises where it can't go on; called when it is loaded."""

    @abstractmethod
    def _point(self, values: Mapping[str, Any]) -> dict[str, Value] | None:
        """Return the point of the space that a proposal means; None where there is none."""

    def _accept(self, proposals: Sequence[Proposal], taken: Taken, told: Told, seed: int) -> list[Suggestion]:
        """Return suggestions of the proposals that are points of the space and free; they are taken from here on."""
        accepted: list[Suggestion] = []
        for proposal in proposals:
            point = self._point(proposal.values)
            if point is not None and not taken.has(point):
                accepted.append(self._suggestion(point, proposal, told, len(accepted), seed))
                taken.add(point)
        return accepted

    def _suggestion(
        self, point: dict[str, Value], proposal: Proposal, told: Told, n_before: int, seed: int
    ) -> Suggestion:
        reason = f"chosen by {self.strategy}"
        metadata: dict[str, Any] = {
            "n_observations": len(told.points),
            "n_pending": len(told.waiting) + n_before,
            "seed": seed,
        }
        if proposal.predicted and len(self._objectives) == 1:
            objective = self._objectives[0]
            mean = float(told.centres[0] + objective.sign * told.scales[0] * proposal.predicted["mean"])
            sd = float(told.scales[0] * proposal.predicted["sd"])
            unit = f" {objective.unit}" if objective.unit else ""
            reason = f"{reason}: {objective.name} {mean:.4g} ± {sd:.2g}{unit} predicted"
            metadata = {"mean": mean, "sd": sd, **metadata}
        return Suggestion(parameters=point, reason=reason, metadata=metadata)

    def _fill(self, taken: Taken, n: int, seed: int, reason: str) -> list[Suggestion]:
        points = design(self._space, "sobol", n, seed, avoid=taken.points) if n else []
        return [
            Suggestion(p, origin="fill", reason=f"space-filling: {reason}", metadata={"seed": seed}) for p in points
        ]

    def _most(self, n: int, taken: Taken) -> int:
        """Return ``n``, or how many free points a space that can be listed has left, if these are fewer."""
        if self._space.n_points > MAX_LISTED:
            return n
        _, coordinates = listing(self._space)
        return min(n, int(np.count_nonzero(taken.distances(coordinates) >= COPY_DISTANCE)))

    def _require_package(self) -> None:
        mend = f"Install it with `pip install 'alchemy-async[{self.strategy}]'`, or choose another [planner] strategy."
        least = ".".join(map(str, self.least_version))
        try:
            found = version(self.distribution)
        except PackageNotFoundError as error:
            raise PlannerError(
                f"The strategy {self.strategy} needs the package {self.distribution}, which is not installed. {mend}"
            ) from error
        if tuple(map(int, re.findall(r"\d+", found)[:2])) < self.least_version:
            raise PlannerError(
                f"The strategy {self.strategy} needs {self.distribution} {least} or newer; {found} is installed. {mend}"
            )

    def _refusal(self, what: str) -> PlannerError:
        return PlannerError(
            f"The strategy {self.strategy} can't plan with {what}. "
            "Leave that out of the campaign, or set [planner] strategy to bayesian, sobol or random."
        )


@contextmanager
def hushed() -> Iterator[None]:
    """Keep the other packages' progress messages and warnings from the log, the one of their import among them."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def tell(space: Space, objectives: tuple[Objective, ...], history: History, pending: Sequence[Point]) -> Told | None:
    """Return what can be told of a campaign, oldest first; None where no model is possible.

    That is with fewer than two different points, or with values that are all equal. Only
    observations with a value of every objective count.
    """
    names = [objective.name for objective in objectives]
    found = [observed for observed in history.observations if all(name in observed.values for name in names)]
    learnt = [training(space, objective, History(tuple(found))) for objective in objectives]
    if all(one is None for one in learnt):
        return None
    raw = np.array([[observed.values[name] for name in names] for observed in found], dtype=np.float64)
    scales = np.array([1.0 if one is None else one.scale for one in learnt])
    centres = np.array([raw[0, i] if one is None else one.centre for i, one in enumerate(learnt)])
    signs = np.array([objective.sign for objective in objectives])
    values = signs * (raw / scales - centres / scales)  # divided first, so that no difference overflows
    has_sems = all(observed.sems.get(name) is not None for observed in found for name in names)
    sems = np.array([[o.sems[name] for name in names] for o in found]) / scales if has_sems else None
    return Told(
        points=_snapped(space, [observed.parameters for observed in found]),
        values=values,
        sems=sems,
        waiting=_snapped(space, pending),
        refused=_snapped(space, [refused.parameters for refused in history.refused]),
        centres=centres,
        scales=scales,
    )


def _snapped(space: Space, points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the nearest points that the space has: what ran outside it counts at its edge."""
    return tuple(space.from_unit(space.to_unit(points))) if points else ()
