"""A trial: one campaign of one contender on one problem with one seed, in simulated time.

In:    contender, problem, number of workers, seed.
Out:   one plain object with all that is compared later.
Never: depends on any other trial, or on how quick this machine is (apart from the times that it measures).
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

from alchemy_async.benchmark.planning.contenders import Contender, versions
from alchemy_async.benchmark.planning.problem import Problem, Record, short
from alchemy_async.errors import AlchemyError
from alchemy_async.simulation.figures import nearest_pending
from alchemy_async.simulation.lab import Lab


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
        The key; the figures of the problem, such as ``regret``, of the best value without noise among the
        measured points, ``regret_chosen``, of the point that was measured best, and after each completed
        experiment the simulated time ``t_s`` and the regret so far; of each ask how many observations
        it knew, and its wall and processor time in seconds.

    Raises:
        TrialError: If the planner failed, or the campaign did not come to its end.
    """
    settings = problem.settings(seed)
    planner = contender.make(problem)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        lab = Lab(settings, planner, problem.instrument(seed), Path(place), n_workers=n_workers, seed=seed)
        with lab.ledger:
            summary = lab.run()
    complaints = [asked.error for asked in lab.asker.asked if asked.error]
    if complaints:
        raise TrialError(f"{contender.name} failed {len(complaints)} times on {problem.name}: {complaints[0]}")
    if not problem.is_complete(summary.counts):
        raise TrialError(f"{contender.name} on {problem.name} ended early: {summary}")
    return {
        **Key(contender.name, problem.name, n_workers, seed)._asdict(),
        "fingerprint": contender.fingerprint,
        "versions": versions(),
        **problem.figures(lab.ran),
        "nearest_pending_min": nearest_pending(lab.ran),
        "n_asks": len(lab.asker.asked),
        "n_copies": sum(asked.n_copies for asked in lab.asker.asked),
        "asks": {
            "n": [asked.n_observations for asked in lab.asker.asked],
            "wall_s": [short(asked.wall_s) for asked in lab.asker.asked],
            "cpu_s": [short(asked.cpu_s) for asked in lab.asker.asked],
        },
    }
