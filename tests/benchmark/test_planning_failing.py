from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from alchemy_async.benchmark.planning.contenders import CONTENDERS, IGNORING, OURS, contender
from alchemy_async.benchmark.planning.failing import FAILING, LostSampleError
from alchemy_async.benchmark.planning.trial import run_trial
from alchemy_async.drivers import Context

OPTIMUM = {
    "branin_failing": {"x0": math.pi, "x1": 2.275},
    "hartmann6_failing": dict(
        zip([f"x{k}" for k in range(6)], (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True)
    ),
}
TEMPTING = {
    "branin_failing": {"x0": -math.pi, "x1": 12.275},
    "hartmann6_failing": dict(
        zip([f"x{k}" for k in range(6)], (0.40465, 0.88244, 0.84610, 0.57399, 0.13893, 0.03850), strict=True)
    ),
}
each = pytest.mark.parametrize("problem", FAILING.values(), ids=list(FAILING))


@each
def test_forty_percent_of_the_space_fails(problem):
    space = problem.settings(0).as_space()

    points = space.from_unit(np.random.default_rng(0).random((10_000, len(space.names))))

    assert np.mean([problem.fails(point) for point in points]) == pytest.approx(0.40, abs=0.02)


@each
def test_the_optimum_can_be_measured_and_lies_near_the_border(problem):
    space, best = problem.settings(0).as_space(), OPTIMUM[problem.name]
    around = np.clip(space.to_unit([best]) + 0.1 * np.random.default_rng(0).uniform(-1, 1, (500, len(best))), 0, 1)

    assert not problem.fails(best)
    assert problem.regret(best) < 1e-6
    assert any(problem.fails(point) for point in space.from_unit(around))


@each
def test_a_basin_that_is_nearly_as_good_fails(problem):
    tempting = TEMPTING[problem.name]

    assert problem.fails(tempting)
    assert problem.regret(tempting) < 0.13, "0 on Branin's plane, 0.12 of 3.32 in Hartmann's cube"


@each
def test_where_it_fails_the_driver_raises_and_elsewhere_it_measures(problem):
    instrument, context = problem.instrument(0), Context("e0001", 1, "worker-1", Path())

    assert instrument.measure(OPTIMUM[problem.name], context) == pytest.approx(problem.optimum, abs=1e-6)
    with pytest.raises(LostSampleError, match="Measure elsewhere"):
        instrument.measure(TEMPTING[problem.name], context)


@pytest.mark.parametrize("name", FAILING)
def test_failures_are_counted_and_do_not_use_the_budget_up(name):
    problem = dataclasses.replace(FAILING[name], budget=20)

    found = run_trial(CONTENDERS["random"], problem, 3, 1)

    assert len(found["t_s"]) == 20
    assert found["n_failed"] == len(found["failed_t_s"]) > found["n_failed_initial"] > 0
    assert found["failed_t_s"] == sorted(found["failed_t_s"])


def test_the_initial_design_fails_as_often_for_every_contender():
    problem = dataclasses.replace(FAILING["hartmann6_failing"], budget=20)

    first, second = (run_trial(CONTENDERS[name], problem, 3, 1) for name in ("sobol", "random"))

    assert first["n_failed_initial"] == second["n_failed_initial"] > 0
    assert first["failed_t_s"] != second["failed_t_s"]


def test_a_campaign_that_has_no_start_left_ends_with_what_it_has():
    problem = dataclasses.replace(FAILING["branin_failing"], budget=20, max_started=20)

    found = run_trial(CONTENDERS["random"], problem, 3, 1)

    assert 0 < len(found["t_s"]) < 20
    assert len(found["t_s"]) + found["n_failed"] == 20


def test_a_campaign_that_ends_with_starts_left_is_no_result():
    problem = FAILING["branin_failing"]

    assert problem.is_complete({"completed": 60, "failed": 10})
    assert problem.is_complete({"completed": 59, "failed": 241})
    assert not problem.is_complete({"completed": 59, "failed": 240})


@pytest.mark.parametrize(("regrets", "n_failed"), [((1.0, 0.01, 0.001), 2), ((1.0, 0.5, 0.02), 4)])
def test_failures_count_until_the_optimum_is_found_and_to_the_end_where_it_is_not(regrets, n_failed):
    record = {"t_s": [10.0, 20.0, 30.0], "regret_so_far": regrets, "failed_t_s": [5.0, 15.0, 25.0, 35.0]}

    assert FAILING["branin_failing"].n_failed_until_found(record) == n_failed


def test_the_planner_that_ignores_failures_differs_in_that_option_alone():
    ours, ignoring = contender(OURS), contender(IGNORING)

    assert ignoring.strategy == ours.strategy
    assert {**ours.options, "failures": "ignore"} == ignoring.options
    assert ignoring.fingerprint == ours.fingerprint != ""
    assert ignoring.make(FAILING["branin_failing"]) is not None


@pytest.mark.slow
def test_learning_from_failures_avoids_some_of_them():
    problem = dataclasses.replace(FAILING["branin_failing"], budget=25)

    learning, ignoring = (run_trial(contender(name), problem, 3, 1) for name in (OURS, IGNORING))

    assert learning["n_failed"] < ignoring["n_failed"]
