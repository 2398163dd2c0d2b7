"""A trial: one campaign of one contender on one problem with one seed, in simulated time.

In:    contender, problem, number of workers, seed.
Out:   one plain object with all that is compared later.
Never: depends on any other trial, or on how quick this machine is (apart from the times that it measures).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from alchemy_async.benchmark.planning.contenders import Contender, versions
from alchemy_async.benchmark.planning.problems import NoisyInstrument, Problem
from alchemy_async.errors import AlchemyError
from alchemy_async.experiment import Status
from alchemy_async.simulation.figures import nearest_pending
from alchemy_async.simulation.lab import Lab, Ran

Record = dict[str, Any]


class Key(NamedTuple):
    """Which trial."""

    contender: str
    problem: str
    n_workers: int
    seed: int


class TrialError(AlchemyError):
    """A trial did not come to its end as it should."""


def run_trial(contender: Contender, problem: Problem, n_workers: int, seed: int) -> Record:
    """Run one campaign, and return its figures.

    Durations are drawn from 5 to 30 s, noise and initial design follow from the seed: those of all
    contenders are the same. Asks cost no simulated time.

    Returns:
        The key; ``regret``, of the best value without noise among the measured points, and
        ``regret_chosen``, of the point that was measured best; after each completed experiment the
        simulated time ``t_s`` and the regret so far; of each ask how many observations it knew, and
        its wall and processor time in seconds.

    Raises:
        TrialError: If the planner failed, or not the whole budget was completed.
    """
    settings = problem.settings(seed)
    planner = contender.make(problem)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        lab = Lab(settings, planner, NoisyInstrument(problem, seed), Path(place), n_workers=n_workers, seed=seed)
        with lab.ledger:
            summary = lab.run()
    complaints = [asked.error for asked in lab.asker.asked if asked.error]
    if complaints:
        raise TrialError(f"{contender.name} failed {len(complaints)} times on {problem.name}: {complaints[0]}")
    if summary.counts["completed"] != problem.budget:
        raise TrialError(f"{contender.name} on {problem.name} ended early: {summary}")
    return {
        **Key(contender.name, problem.name, n_workers, seed)._asdict(),
        "fingerprint": contender.fingerprint,
        "versions": versions(),
        **regrets(problem, lab.ran),
        "nearest_pending_min": nearest_pending(lab.ran),
        "n_asks": len(lab.asker.asked),
        "n_copies": sum(asked.n_copies for asked in lab.asker.asked),
        "asks": {
            "n": [asked.n_observations for asked in lab.asker.asked],
            "wall_s": [_short(asked.wall_s) for asked in lab.asker.asked],
            "cpu_s": [_short(asked.cpu_s) for asked in lab.asker.asked],
        },
    }


def regrets(problem: Problem, ran: Sequence[Ran]) -> Record:
    """Return the regret of a campaign, that of the point that seemed best, and both ways over time."""
    done = sorted((one for one in ran if one.outcome.status is Status.COMPLETED), key=lambda one: one.finished_s)
    sign = 1.0 if problem.goal == "maximize" else -1.0
    chosen = max(done, key=lambda one: sign * one.outcome.values["value"])
    so_far: list[float] = []
    for one in done:
        so_far.append(min(problem.regret(one.offer.parameters), so_far[-1] if so_far else float("inf")))
    return {
        "regret": so_far[-1],
        "regret_chosen": problem.regret(chosen.offer.parameters),
        "t_s": [round(one.finished_s, 2) for one in done],
        "regret_so_far": [_short(value) for value in so_far],
    }


def _short(value: float) -> float:
    """Return three digits that count: thousands of them are kept in a file."""
    return float(f"{value:.3g}")
