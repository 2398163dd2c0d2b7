from __future__ import annotations

import math
import statistics
from pathlib import Path

import numpy as np
import pytest

from alchemy_async.benchmark.planning.problems import PROBLEMS, NoisyInstrument
from alchemy_async.drivers import Context

BEST = {
    "branin": {"x0": math.pi, "x1": 2.275},
    "hartmann6": dict(
        zip([f"x{k}" for k in range(6)], (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True)
    ),
    "machines": {"x0": math.pi - 1.5, "x1": 3.275, "machine": "b"},
    "levy4_noisy": {f"x{k}": 1.0 for k in range(4)},
    "reaction": {"temperature": 70.0, "minutes": 12.0, "equivalents": 3, "solvent": "ethanol"},
}


@pytest.mark.parametrize("name", BEST)
def test_the_optimum_is_reached_where_it_is_known_to_be(name):
    problem = PROBLEMS[name]

    assert problem.settings(0).as_space().check(BEST[name])
    assert problem.regret(BEST[name]) < 1e-6


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=list(PROBLEMS))
def test_no_point_is_better_than_the_optimum(problem):
    space = problem.settings(0).as_space()
    sign = 1 if problem.goal == "maximize" else -1

    points = space.from_unit(np.random.default_rng(0).random((2000, len(space.names))))

    assert max(sign * problem.truth(point) for point in points) <= sign * problem.optimum


def test_five_problems_are_compared_with_every_peer_and_some_have_noise_and_categories():
    open_to_all = [problem for problem in PROBLEMS.values() if not problem.is_declared_exact]

    assert len(open_to_all) == 5
    assert sum(problem.noise_sd > 0 for problem in open_to_all) == 2
    assert sum(problem.settings(0).as_space().is_categorical.any() for problem in open_to_all) == 2


def test_nobody_is_told_of_the_noise():
    settings = PROBLEMS["levy4_noisy"].settings(3)

    assert settings.planner.options == {}
    assert settings.n_initial() == 10


def measured(seed, n=400):
    problem = PROBLEMS["reaction"]
    instrument = NoisyInstrument(problem, seed)
    contexts = (Context(f"e{k:04}", 1, "worker-1", Path()) for k in range(n))
    return [instrument.measure(BEST["reaction"], context) - problem.optimum for context in contexts]


def test_noise_has_the_spread_that_the_problem_says_and_follows_from_seed_and_experiment():
    assert statistics.stdev(measured(0)) == pytest.approx(1.0, rel=0.1)
    assert measured(0, 5) == measured(0, 5)
    assert measured(0, 5) != measured(1, 5)
