"""Latency: how long planners take for one ask, side by side on the same histories.

In:    contenders, problems, numbers of observations.
Out:   median and 95 % point of wall and processor time of each.
Never: compares asks that were not taken in turns in one process.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from alchemy_async.benchmark.planning.contenders import OURS, contender
from alchemy_async.benchmark.planning.problems import PROBLEMS, OptimumProblem
from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import History, Observed
from alchemy_async.planner import Planner
from alchemy_async.simulation.figures import percentile
from alchemy_async.space import Point

SIZES = (20, 60, 200)
PROBLEM_NAMES = ("hartmann6", "reaction")  # continuous; mixed
GROWTH_SIZES = (1_000, 2_000, 10_000)
N_REPEATS = 12
_N_GROWTH_REPEATS = 5
_N_PENDING = 2
_SEED = 20

Row = dict[str, Any]


def side_by_side(
    names: Sequence[str],
    *,
    problems: Sequence[str] = PROBLEM_NAMES,
    sizes: Sequence[int] = SIZES,
    n_repeats: int = N_REPEATS,
    show: Callable[[str], None] = lambda _: None,
) -> tuple[list[Row], list[dict[str, str]]]:
    """Ask all contenders in turns; the history grows by one observation from turn to turn, as in a campaign.

    The first ask of each is not counted.

    Returns:
        For each problem, size and contender its ``wall_ms`` and ``cpu_ms``, each with ``p50`` and ``p95``;
        and what failed, as ``what`` and ``why``.
    """
    rows: list[Row] = []
    failures: list[dict[str, str]] = []
    for name in problems:
        for size in sizes:
            found, failed = _turns(names, PROBLEMS[name], size, n_repeats)
            rows += found
            failures += failed
            show(f"asked with {size} observations of {name}")
    return rows, failures


def growth(
    *, sizes: Sequence[int] = GROWTH_SIZES, problem: str = "hartmann6", show: Callable[[str], None] = lambda _: None
) -> tuple[list[Row], list[dict[str, str]]]:
    """Ask our planner with many observations; rows as `side_by_side` has them, with the ``first_ms`` besides."""
    rows: list[Row] = []
    failures: list[dict[str, str]] = []
    for size in sizes:
        found, failed = _turns((OURS,), PROBLEMS[problem], size, _N_GROWTH_REPEATS)
        rows += found
        failures += failed
        show(f"asked with {size} observations of {problem}")
    return rows, failures


def history(problem: OptimumProblem, n: int) -> tuple[History, tuple[Point, ...]]:
    """Return ``n`` observations as a campaign has them, half of them near the best, and two pending points."""
    rng = np.random.default_rng(_SEED)
    settings = problem.settings(0)
    space, sign = settings.as_space(), settings.as_objectives()[0].sign
    spread = space.from_unit(rng.random((max(n // 2, 1), len(space.names))))
    best = max(spread, key=lambda point: sign * problem.truth(point))
    steps = 0.1 * rng.standard_normal((n - len(spread) + _N_PENDING, len(space.names)))
    near = space.from_unit(np.clip(space.to_unit([best]) + steps, 0.0, 1.0))
    points, pending = [*spread, *near[_N_PENDING:]], near[:_N_PENDING]
    order = rng.permutation(len(points))
    noise = problem.noise_sd * rng.standard_normal(len(points))
    return (
        History(tuple(Observed(points[k], {"value": problem.truth(points[k]) + noise[k]}) for k in order)),
        tuple(pending),
    )


def _turns(
    names: Sequence[str], problem: OptimumProblem, size: int, n_repeats: int
) -> tuple[list[Row], list[dict[str, str]]]:
    whole, pending = history(problem, size + n_repeats)
    planners: dict[str, Planner] = {}
    failures: list[dict[str, str]] = []
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(n_repeats + 1):
        told = History(whole.observations[: size + turn])
        for name in names:
            if turn and name not in planners:
                continue
            try:
                planners.setdefault(name, contender(name).make(problem))
                times[name].append(timed(planners[name], told, pending))
            except (AlchemyError, ImportError, RuntimeError, ValueError) as error:
                planners.pop(name, None)
                failures.append({"what": f"{name} {problem.name} n={size}", "why": f"{type(error).__name__}: {error}"})
    return [_row(problem.name, name, size, times[name]) for name in names if name in planners], failures


def timed(planner: Planner, told: History, pending: Sequence[Point]) -> tuple[float, float]:
    """Return wall and processor time of one ask, in seconds."""
    gc.collect()
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        begun_cpu_s, begun_s = time.process_time(), time.perf_counter()
        planner.ask(told, pending, 1, _SEED)
        return time.perf_counter() - begun_s, time.process_time() - begun_cpu_s


def _row(problem: str, name: str, size: int, times_s: Sequence[tuple[float, float]]) -> Row:
    first, *steady = times_s
    walls_ms, cpus_ms = ([1000 * one[k] for one in steady] for k in (0, 1))
    return {
        "problem": problem,
        "contender": name,
        "n": size,
        "n_asks": len(steady),
        "first_ms": 1000 * first[0],
        "wall_ms": {"p50": percentile(walls_ms, 50), "p95": percentile(walls_ms, 95)},
        "cpu_ms": {"p50": percentile(cpus_ms, 50), "p95": percentile(cpus_ms, 95)},
    }
