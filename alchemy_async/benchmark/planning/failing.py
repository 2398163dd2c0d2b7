"""Failing: problems whose experiments fail in 40 % of the space, and how often they did.

In:    nothing.
Out:   for each problem its campaign, where it fails, the optimum that it has elsewhere.
Never: changes, or fails at random: whether an experiment fails follows from its point alone.

A failed experiment gives its place in the budget back, so a campaign completes 60 experiments however many fail
before, unless 300 were started; then it ends with those that it has. Failures in the initial design count: they are
the same for all contenders, and ``n_failed_initial`` of ``n_failed``. The optimum lies near the border, and the
failing part holds a basin that is as good, or nearly.

Failures are counted to the end, and until the optimum was found. A planner that has found it early has nothing to
gain any more where it can measure, and its failures from then on say little of how well it learnt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.benchmark.planning.problem import Record, cube
from alchemy_async.benchmark.planning.problems import (
    BRANIN_MINIMUM,
    HARTMANN6_MINIMUM,
    PLANE,
    NoisyInstrument,
    OptimumProblem,
    branin_at,
    hartmann6_at,
)
from alchemy_async.drivers import Context, Driver
from alchemy_async.errors import DriverError
from alchemy_async.experiment import Status
from alchemy_async.simulation.lab import Ran
from alchemy_async.space import Point

COMPARED = frozenset({"sobol", "random", "bayesian", "bayesian-ignore"})
_BUDGET = 60
_STARTS = 5 * _BUDGET  # points at random take 100; a planner that is tempted takes more


class LostSampleError(DriverError):
    """The experiment failed, as it does anywhere in the failing part."""


@dataclass(frozen=True)
class FailingProblem(OptimumProblem):
    """A problem with an optimum, in a part of the space where nothing fails.

    Args:
        fails: Whether the experiment at a point fails.
        near: The optimum counts as found once the regret is no larger.
    """

    fails: Callable[[Mapping[str, Any]], bool]
    near: float

    def instrument(self, seed: int) -> Driver:
        """Return what measures it where it can be measured."""
        return FailingInstrument(self, NoisyInstrument(self, seed))

    def figures(self, ran: Sequence[Ran]) -> Record:
        """Return regrets, and how many experiments failed, when, and how many of the initial design."""
        failed = sorted((one for one in ran if one.outcome.status is Status.FAILED), key=lambda one: one.finished_s)
        return {
            **super().figures(ran),
            "n_failed": len(failed),
            "n_failed_initial": sum(one.offer.origin == "initial" for one in failed),
            "failed_t_s": [round(one.finished_s, 2) for one in failed],
        }

    def is_complete(self, counts: Mapping[str, int]) -> bool:
        """Return whether all of the budget was completed, or no start was left for the rest of it."""
        return super().is_complete(counts) or counts["completed"] + counts["failed"] == self.max_started

    def found_s(self, record: Mapping[str, Any]) -> float:
        """Return when the optimum was found, in simulated seconds; infinite where it was not."""
        when = zip(record["t_s"], record["regret_so_far"], strict=True)
        return next((t_s for t_s, regret in when if regret <= self.near), math.inf)

    def n_failed_until_found(self, record: Mapping[str, Any]) -> int:
        """Return how many experiments failed before the optimum was found; all where it was not."""
        found_s = self.found_s(record)
        return sum(t_s < found_s for t_s in record["failed_t_s"])

    def in_words(self, record: Mapping[str, Any]) -> str:
        """Return its regret and its failures."""
        return f"{super().in_words(record)}, {record['n_failed']} failed"


@dataclass(frozen=True)
class FailingInstrument:
    """Measures a problem, and fails where that does."""

    problem: FailingProblem
    inner: NoisyInstrument
    idempotent: bool = field(default=True)

    def measure(self, parameters: Point, context: Context) -> float:
        """Return the value.

        Raises:
            LostSampleError: If the experiment fails at this point.
        """
        if self.problem.fails(parameters):
            raise LostSampleError("the sample was lost: nothing can be measured at this point. Measure elsewhere.")
        return self.inner.measure(parameters, context)


def _beyond_the_line(point: Mapping[str, Any]) -> bool:
    """Return whether a point of Branin's plane fails: one of three equal minima does, another is 0.6 away from it."""
    return bool(point["x0"] + 0.29 * point["x1"] < 3.175)


def _beyond_the_walls(point: Mapping[str, Any]) -> bool:
    """Return whether a point of Hartmann's cube fails: the second best basin, of -3.2, does, the best is 0.06 away."""
    return bool(point["x4"] < 0.25 or point["x1"] > 0.8)


FAILING: dict[str, FailingProblem] = {
    problem.name: problem
    for problem in (
        FailingProblem(
            "branin_failing", PLANE, _BUDGET, branin_at, BRANIN_MINIMUM, _beyond_the_line, 0.01,
            contenders=COMPARED, max_started=_STARTS,
        ),
        FailingProblem(
            "hartmann6_failing", cube(6), _BUDGET, hartmann6_at, HARTMANN6_MINIMUM, _beyond_the_walls, 0.1,
            contenders=COMPARED, max_started=_STARTS,
        ),
    )
}  # fmt: skip
"""By name; exactly 40 % of each space fails."""
