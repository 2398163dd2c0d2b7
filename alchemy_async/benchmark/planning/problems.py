"""Problems: functions with a known optimum, as campaigns.

In:    nothing.
Out:   for each problem its campaign, the value without noise at a point, the optimum.
Never: changes: frozen baselines were measured on these very functions. A different one gets another name.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alchemy_async.benchmark.planning.problem import Problem, Record, completed, continuous, cube, short
from alchemy_async.drivers import Context, Driver
from alchemy_async.simulation.lab import Ran
from alchemy_async.space import Point

Truth = Callable[[Mapping[str, Any]], float]

OPEN_TO = frozenset({"sobol", "random", "optuna-tpe", "optuna-gp", "qlognei", "ax", "bayesian"})
EXACT_FOR = frozenset({"optuna-gp", "bayesian"})  # who is told of exactness in a comparison of those two alone


@dataclass(frozen=True)
class OptimumProblem(Problem):
    """A problem with one objective and a known optimum.

    Args:
        truth: The value without noise.
        optimum: The best value that there is.
        goal: ``minimize`` or ``maximize``.
        noise_sd: Standard deviation of a measurement; planners are not told.
        floor: Two regrets below this are equally good: it is what a logarithm is taken of at least.
    """

    truth: Truth
    optimum: float
    goal: str = field(default="minimize", kw_only=True)
    noise_sd: float = field(default=0.0, kw_only=True)
    floor: float = field(default=1e-5, kw_only=True)

    @property
    def objectives(self) -> tuple[dict[str, str], ...]:
        """The one objective."""
        return ({"name": "value", "goal": self.goal},)

    def instrument(self, seed: int) -> Driver:
        """Return what measures it, with noise."""
        return NoisyInstrument(self, seed)

    def regret(self, point: Point) -> float:
        """Return how much worse than the optimum the value without noise is, >= 0."""
        return abs(self.truth(point) - self.optimum)

    def figures(self, ran: Sequence[Ran]) -> Record:
        """Return the regret of a campaign, that of the point that seemed best, and the former over time."""
        done = completed(ran)
        sign = 1.0 if self.goal == "maximize" else -1.0
        chosen = max(done, key=lambda one: sign * one.outcome.values["value"])
        so_far: list[float] = []
        for one in done:
            so_far.append(min(self.regret(one.offer.parameters), so_far[-1] if so_far else math.inf))
        return {
            "regret": so_far[-1],
            "regret_chosen": self.regret(chosen.offer.parameters),
            "t_s": [round(one.finished_s, 2) for one in done],
            "regret_so_far": [short(value) for value in so_far],
        }

    def in_words(self, record: Mapping[str, Any]) -> str:
        """Return its regret."""
        return f"regret {record['regret']:.3g}"


@dataclass(frozen=True)
class NoisyInstrument:
    """Measures a problem; the noise of an experiment follows from seed and experiment, whatever the planner."""

    problem: OptimumProblem
    seed: int
    idempotent: bool = field(default=True)

    def measure(self, parameters: Point, context: Context) -> float:
        """Return the value with its noise."""
        noise = random.Random(f"{self.seed}/{context.experiment}/noise").gauss(0.0, self.problem.noise_sd)
        return self.problem.truth(parameters) + noise


# -- functions -------------------------------------------------------------

BRANIN_MINIMUM = 0.39788735772973816
HARTMANN6_MINIMUM = -3.322368011415515

_A = (
    (10.0, 3.0, 17.0, 3.5, 1.7, 8.0),
    (0.05, 10.0, 17.0, 0.1, 8.0, 14.0),
    (3.0, 3.5, 1.7, 10.0, 17.0, 8.0),
    (17.0, 8.0, 0.05, 10.0, 0.1, 14.0),
)
_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)
_ALPHA = (1.0, 1.2, 3.0, 3.2)


def branin(x0: float, x1: float) -> float:
    """Return Branin's function; its least value anywhere is `BRANIN_MINIMUM`."""
    bowl = x1 - 5.1 / (4 * math.pi**2) * x0**2 + 5 / math.pi * x0 - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x0) + 10


def hartmann6(x: tuple[float, ...]) -> float:
    """Return Hartmann's function of six variables from 0 to 1; its least value is `HARTMANN6_MINIMUM`."""
    hills = (
        alpha * math.exp(-math.fsum(a * (xi - p) ** 2 for a, xi, p in zip(row, x, peak, strict=True)))
        for alpha, row, peak in zip(_ALPHA, _A, _P, strict=True)
    )
    return -math.fsum(hills)


def levy(x: tuple[float, ...]) -> float:
    """Return Levy's function; its least value is 0, where every variable is 1."""
    w = [1 + (xi - 1) / 4 for xi in x]
    middle = math.fsum((wi - 1) ** 2 * (1 + 10 * math.sin(math.pi * wi + 1) ** 2) for wi in w[:-1])
    return math.sin(math.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


# Each machine shifts Branin's function (in x0 and x1) and adds to it; all its minima stay within the bounds of one of
# them at least, and the best is machine b's.
_MACHINES: dict[str, tuple[float, float, float]] = {"a": (0.0, 0.0, 2.0), "b": (1.5, -1.0, 0.0), "c": (-1.0, 2.0, 5.0)}


def branin_of_a_machine(point: Mapping[str, Any]) -> float:
    """Return the value of Branin's function as one of three machines has it."""
    shift0, shift1, more = _MACHINES[point["machine"]]
    return branin(point["x0"] + shift0, point["x1"] + shift1) + more


# Where each solvent is best: temperature in degrees, minutes, equivalents; and the yield there, in percent.
_SOLVENTS: dict[str, tuple[float, float, int, float]] = {
    "water": (90.0, 40.0, 4, 71.0),
    "ethanol": (70.0, 12.0, 3, 93.0),
    "dmf": (105.0, 6.0, 2, 86.0),
    "toluene": (60.0, 25.0, 5, 52.0),
}


def reaction(point: Mapping[str, Any]) -> float:
    """Return the yield of an invented reaction in percent: one hill for each solvent; hotter is as good as longer."""
    warm, minutes, equivalents, best = _SOLVENTS[point["solvent"]]
    heat = (point["temperature"] - warm) / 40
    time = math.log(point["minutes"] / minutes) / 1.3
    amount = (point["equivalents"] - equivalents) / 2.5
    return best * math.exp(-0.5 * (heat**2 + time**2 + amount**2 + heat * time))


PLANE = (continuous("x0", -5, 10), continuous("x1", 0, 15))
_CUBE4 = cube(4, -10, 10)
_MACHINE = {"name": "machine", "type": "categorical", "options": list(_MACHINES)}
_REACTION = (
    continuous("temperature", 20, 120),
    continuous("minutes", 1, 60, log=True),
    {"name": "equivalents", "type": "integer", "bounds": [1, 6]},
    {"name": "solvent", "type": "categorical", "options": list(_SOLVENTS)},
)


def branin_at(point: Mapping[str, Any]) -> float:
    """Return Branin's function at a point of `PLANE`."""
    return branin(point["x0"], point["x1"])


def hartmann6_at(point: Mapping[str, Any]) -> float:
    """Return Hartmann's function at a point of the unit cube."""
    return hartmann6(tuple(point[f"x{k}"] for k in range(6)))


def _levy4(point: Mapping[str, Any]) -> float:
    return levy(tuple(point[f"x{k}"] for k in range(4)))


def _open(*fixed: Any, **more: Any) -> OptimumProblem:  # noqa: ANN401  (those of the class)
    return OptimumProblem(*fixed, contenders=OPEN_TO, **more)


def _exact(*fixed: Any) -> OptimumProblem:  # noqa: ANN401  (those of the class)
    return OptimumProblem(*fixed, contenders=EXACT_FOR, is_declared_exact=True, floor=1e-7)


PROBLEMS: dict[str, OptimumProblem] = {
    problem.name: problem
    for problem in (
        _open("branin", PLANE, 40, branin_at, BRANIN_MINIMUM),
        _open("hartmann6", cube(6), 60, hartmann6_at, HARTMANN6_MINIMUM),
        _open("machines", (*PLANE, _MACHINE), 40, branin_of_a_machine, BRANIN_MINIMUM),
        _open("levy4_noisy", _CUBE4, 50, _levy4, 0.0, noise_sd=2.0, floor=1e-3),
        _open("reaction", _REACTION, 40, reaction, 93.0, goal="maximize", noise_sd=1.0, floor=1e-2),
        _exact("branin_exact", PLANE, 40, branin_at, BRANIN_MINIMUM),
        _exact("hartmann6_exact", cube(6), 60, hartmann6_at, HARTMANN6_MINIMUM),
        _exact("levy4_exact", _CUBE4, 50, _levy4, 0.0),
    )
}
"""By name. Those declared exact are for the comparison with a planner that takes every value as exact."""
