"""Fronts: problems with two objectives, and how much of the largest hypervolume a campaign has found.

In:    nothing.
Out:   for each problem its campaign, what is measured at a point, the reference point, the largest hypervolume.
Never: changes: frozen baselines were measured on these very functions. A different one gets another name.

The reference point is the nadir of the true front, moved away from it by a tenth of the front's range in each
objective: (1.1, 1.1) for ZDT1, ZDT2 and DTLZ2. A far one, such as (11, 11), which BoTorch's ZDT has, gives nearly
all of the volume to any point at all, and would hide the differences. Planners are not told of it.

ZDT1 and ZDT2 have 6 variables here. With their usual 30, the 62 experiments that the initial design alone asks for
are more than the budget of 60, and whoever has no more than that is as far from the front as at random.

The real dataset is a Suzuki coupling, shipped with olymp: at each point the nearest of its 247 measured rows. It has
one measurement, the yield; the turnover number follows from that by its definition, product per catalyst: yield over
palladium, both in percent of the same reactant. They are at odds, as more catalyst gives more yield.

Source:
    Zitzler, Deb & Thiele (2000), Evol. Comput. 8(2), 173-195, for ZDT1 and ZDT2;
    Deb, Thiele, Laumanns & Zitzler (2002), CEC, 825-830, for DTLZ2;
    Ishibuchi, Imada, Setoguchi & Nojima (2018), Evol. Comput. 26(3), 411-440, for a reference point near the nadir;
    Reizman, Wang, Buchwald & Jensen (2016), React. Chem. Eng. 1, 658-666, for yield and turnover of such couplings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.planning.problem import Problem, Record, completed, continuous, cube, short
from alchemy_async.drivers import Context, Driver
from alchemy_async.drivers.dataset import DatasetDriver
from alchemy_async.drivers.dataset import driver as dataset
from alchemy_async.executors.outcomes import as_observation
from alchemy_async.experiment import Observation
from alchemy_async.simulation.lab import Ran
from alchemy_async.space import Point

Measure = Callable[[Point], Observation]
Pair = tuple[float, float]

COMPARED = frozenset({"sobol", "random", "ax", "bayesian"})
_SIGNS = {"minimize": 1.0, "maximize": -1.0}


def hypervolume(losses: Sequence[Pair], reference: Pair) -> float:
    """Return the area that points dominate up to a reference point.

    Args:
        losses: Two values for each point, smaller is better; those that are dominated add nothing.
        reference: The corner of the area; a point that is not better in both values adds nothing.
    """
    area, height = 0.0, reference[1]
    for first, second in sorted(losses):
        if first < reference[0] and second < height:
            area += (reference[0] - first) * (height - second)
            height = second
    return area


@dataclass(frozen=True)
class FrontProblem(Problem):
    """A problem with two objectives and a known largest hypervolume.

    Args:
        measure: What is observed at a point, without noise.
        goals: ``minimize`` or ``maximize`` for each objective, by its name.
        reference: The reference point, in the objectives' units and order.
        largest: The hypervolume of the true front, product of the objectives' units.
    """

    measure: Measure
    goals: Mapping[str, str]
    reference: Pair
    largest: float

    @property
    def objectives(self) -> tuple[dict[str, str], ...]:
        """Both objectives."""
        return tuple({"name": name, "goal": goal} for name, goal in self.goals.items())

    def instrument(self, seed: int) -> Driver:  # noqa: ARG002  (nothing is random in it)
        """Return what measures it."""
        return Exact(self.measure)

    def share(self, observed: Sequence[Mapping[str, float]]) -> float:
        """Return the hypervolume of observed values, as share of the largest one."""
        first, second = self.goals
        one, two = (_SIGNS[goal] for goal in self.goals.values())
        losses = [(one * values[first], two * values[second]) for values in observed]
        return hypervolume(losses, (one * self.reference[0], two * self.reference[1])) / self.largest

    def figures(self, ran: Sequence[Ran]) -> Record:
        """Return the share of the hypervolume at the end and over time.

        ``process`` tells campaigns of one process from those of others: only the asks of the former are compared.
        """
        done = completed(ran)
        values = [one.outcome.values for one in done]
        return {
            "share": self.share(values),
            "t_s": [round(one.finished_s, 2) for one in done],
            "share_so_far": [short(self.share(values[: k + 1])) for k in range(len(values))],
            "process": process(),
        }

    def in_words(self, record: Mapping[str, Any]) -> str:
        """Return its share of the hypervolume."""
        return f"hypervolume {record['share']:.4f} of the largest"


@dataclass(frozen=True)
class Exact:
    """Measures what a function says."""

    seen: Measure
    idempotent: bool = field(default=True)

    def measure(self, parameters: Point, context: Context) -> Observation:  # noqa: ARG002  (a driver is given it)
        """Return what is observed there."""
        return self.seen(parameters)


@cache
def process() -> str:
    """Return a name that this process alone has."""
    return os.urandom(6).hex()


# -- functions -------------------------------------------------------------


def _zdt(point: Mapping[str, Any], height: Callable[[float], float]) -> Observation:
    first, *rest = (float(point[f"x{k}"]) for k in range(len(point)))
    far = 1 + 9 * math.fsum(rest) / len(rest)
    return Observation({"f1": first, "f2": far * height(first / far)})


def zdt1(point: Mapping[str, Any]) -> Observation:
    """Return both objectives; the front is convex: f2 = 1 - sqrt(f1)."""
    return _zdt(point, lambda ratio: 1 - math.sqrt(ratio))


def zdt2(point: Mapping[str, Any]) -> Observation:
    """Return both objectives; the front is concave: f2 = 1 - f1^2."""
    return _zdt(point, lambda ratio: 1 - ratio**2)


def dtlz2(point: Mapping[str, Any]) -> Observation:
    """Return both objectives; the front is a quarter of the unit circle."""
    first, *rest = (float(point[f"x{k}"]) for k in range(len(point)))
    far = 1 + math.fsum((x - 0.5) ** 2 for x in rest)
    return Observation({"f1": far * math.cos(first * math.pi / 2), "f2": far * math.sin(first * math.pi / 2)})


def suzuki(point: Point) -> Observation:
    """Return yield in percent and turnover number of the nearest measured row, which is reported as run."""
    context = Context("row", 1, "table", Path(), objectives=("yield",))
    seen = as_observation(_suzuki().measure(point, context), context.objectives)
    row = seen.parameters or point
    turnover = seen.values["yield"] / float(row["pd_mol"])
    return Observation({"yield": seen.values["yield"], "turnover": turnover}, parameters=row)


@cache
def _suzuki() -> DatasetDriver:
    return dataset("suzuki", folder=Path())


_SUZUKI = (
    continuous("temperature", 75, 90),
    continuous("pd_mol", 0.5, 5),
    continuous("arbpin", 1, 1.8),
    continuous("k3po4", 1.5, 3),
)
_LEAST = {"f1": "minimize", "f2": "minimize"}
_MOST = {"yield": "maximize", "turnover": "maximize"}
_CORNER = (1.1, 1.1)
_BUDGET = 60

FRONTS: dict[str, FrontProblem] = {
    problem.name: problem
    for problem in (
        FrontProblem("zdt1", cube(6), _BUDGET, zdt1, _LEAST, _CORNER, 1.1**2 - 1 / 3, contenders=COMPARED),
        FrontProblem("zdt2", cube(6), _BUDGET, zdt2, _LEAST, _CORNER, 1.1**2 - 2 / 3, contenders=COMPARED),
        FrontProblem("dtlz2", cube(4), _BUDGET, dtlz2, _LEAST, _CORNER, 1.1**2 - math.pi / 4, contenders=COMPARED),
        FrontProblem("suzuki", _SUZUKI, _BUDGET, suzuki, _MOST, (45.3, 11.3), 1500.3848571428573, contenders=COMPARED),
    )
}
"""By name. The reference of ``suzuki``: its front goes from 50 to 96.9 % and from 19.4 to 100 turnovers."""
