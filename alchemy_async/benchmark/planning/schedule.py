"""The schedule: how busy workers are while the planner thinks, and what batches would cost.

In:    numbers of workers, seeds.
Out:   utilisation with measured ask times against that without any; makespan of batches over that of ours.
Never: waits for simulated time.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from alchemy_async.benchmark.planning.contenders import OURS, contender
from alchemy_async.benchmark.planning.problems import PROBLEMS, OptimumProblem
from alchemy_async.config import CampaignSettings
from alchemy_async.simulation.figures import figures
from alchemy_async.simulation.lab import Lab

_BUDGET = 60  # so that the end, when workers have nothing left to do, weighs little


def measure(
    *,
    n_workers: Sequence[int] = (3, 8),
    seeds: Sequence[int] = (0, 1, 2),
    problem: str = "branin",
    show: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Run our planner with the ask times that it really takes, asynchronously, and batches without any.

    Returns:
        For each number of workers the medians over seeds of ``utilisation``, of ``utilisation_ratio``
        (over that of a schedule without a gap), and of ``speed_up``: the makespan of synchronous batches
        whose asks take no time over ours.
    """
    found = dataclasses.replace(PROBLEMS[problem], budget=_BUDGET)
    rows: list[dict[str, Any]] = []
    for count in n_workers:
        ours = [_figures(found, OURS, count, seed, latency_s=None, is_synchronous=False) for seed in seeds]
        batches = [_figures(found, "sobol", count, seed, latency_s=0.0, is_synchronous=True) for seed in seeds]
        rows.append(
            {
                "n_workers": count,
                "n_seeds": len(seeds),
                "utilisation": statistics.median(one["utilisation"] for one in ours),
                "utilisation_ratio": statistics.median(one["utilisation"] / one["utilisation_ideal"] for one in ours),
                "speed_up": statistics.median(
                    sync["makespan_s"] / one["makespan_s"] for one, sync in zip(ours, batches, strict=True)
                ),
            }
        )
        show(f"schedules of {count} workers")
    return rows


def _figures(
    problem: OptimumProblem, name: str, n_workers: int, seed: int, *, latency_s: float | None, is_synchronous: bool
) -> dict[str, Any]:
    settings = _with_depth(problem.settings(seed), 0 if is_synchronous else "auto")
    planner = contender(name).make(problem)
    getattr(planner, "warm_up", lambda: None)()
    with tempfile.TemporaryDirectory() as place:
        lab = Lab(
            settings,
            planner,
            problem.instrument(seed),
            Path(place),
            n_workers=n_workers,
            latency_s=latency_s,
            is_synchronous=is_synchronous,
            seed=seed,
        )
        with lab.ledger:
            lab.run()
    objective = settings.as_objectives()[0]
    return figures(lab, objective, n_workers=n_workers, is_synchronous=is_synchronous, optimum=problem.optimum)


def _with_depth(settings: CampaignSettings, depth: int | str) -> CampaignSettings:
    return settings.model_copy(update={"planner": settings.planner.model_copy(update={"look_ahead": depth})})
