import math

import numpy as np
import pytest

from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner.chances import Condition, Conditions, success
from alchemy_async.planner.designs import design
from alchemy_async.planner.gains import Within
from alchemy_async.planner.gp import fit
from alchemy_async.planner.improvement import NoisyImprovement, TargetImprovement
from alchemy_async.planner.learning import learn
from alchemy_async.space import Continuous, Space

SQUARE = Space((Continuous("x"), Continuous("y")))
NUMBERS = np.array([False, False])


def history(fails, n=30, kind="ValueError"):
    """Return a history in which what fails has brought no value."""
    points = design(SQUARE, "sobol", n, seed=1)
    observed = tuple(Observed(point, {"v": point["x"]}) for point in points if not fails(point))
    return History(observed, tuple(Refused(point, kind) for point in points if fails(point)))


def chance(past, *points):
    return np.exp(Conditions([success(SQUARE, past)]).log_chance(np.array(points)))


def test_a_region_that_fails_is_told_from_one_that_does_not():
    past = history(lambda point: point["x"] > 0.6)

    inside, outside = chance(past, [0.9, 0.3], [0.85, 0.8]), chance(past, [0.2, 0.3], [0.1, 0.8])

    assert (inside < 0.05).all()
    assert (outside > 0.95).all()


def test_one_failure_counts_near_by_only():
    apart = [
        one
        for one in history(lambda point: False).observations
        if math.hypot(*(v - 0.5 for v in one.parameters.values())) > 0.15
    ]
    past = History(tuple(apart), (Refused({"x": 0.5, "y": 0.5}, "ValueError"),))

    (there,), far = chance(past, [0.5, 0.5]), chance(past, *np.random.default_rng(0).random((500, 2)))

    assert there < 0.5
    assert np.mean(far < 0.5) < 0.12
    assert np.mean(far) > 0.85


def test_failures_at_random_move_no_region():
    rng = np.random.default_rng(3)

    past = history(lambda point: rng.random() < 0.3, n=60)

    everywhere = chance(past, *np.random.default_rng(0).random((500, 2)))
    assert np.mean(everywhere < 0.2) < 0.15


@pytest.mark.parametrize("kind", ["retryable", "stopped"])
def test_failures_that_say_nothing_of_their_point_are_not_learnt_from(kind):
    assert success(SQUARE, history(lambda point: point["x"] > 0.6, kind=kind)) is None


def test_without_a_failure_or_without_a_success_there_is_nothing_to_learn():
    assert success(SQUARE, history(lambda point: False)) is None
    assert success(SQUARE, history(lambda point: True)) is None


def test_of_many_experiments_the_failures_and_their_neighbours_are_kept():
    points = SQUARE.from_unit(np.random.default_rng(0).random((3000, 2)))
    observed = tuple(Observed(point, {"v": 0.0}) for point in points)
    past = History(observed, (Refused({"x": 0.5, "y": 0.5}, "ValueError"),))

    process = success(SQUARE, past).process

    assert len(process.y) == 400
    assert np.count_nonzero(process.y < 0) == 1
    assert np.max(SQUARE.distances(process.x, np.array([[0.5, 0.5]]))) < 0.25


def test_the_order_of_the_history_changes_no_chance():
    past = history(lambda point: point["x"] > 0.6)
    back = History(past.observations[::-1], past.refused[::-1])

    assert chance(past, [0.6, 0.5]) == chance(back, [0.6, 0.5])


@pytest.fixture(scope="module")
def models():
    x = np.random.default_rng(0).random((12, 2))
    value = fit(x, np.sin(6 * x[:, 0]) + x[:, 1], None, NUMBERS)
    cost = fit(x, 2 * x[:, 1] - 1, None, NUMBERS)
    return value, Conditions([Condition("cost", cost, Within(-math.inf, 0.2))])


@pytest.mark.parametrize("of", ["improvement", "target"])
def test_the_gradient_with_conditions_is_what_small_steps_say(models, of):
    process, conditions = models
    pending = np.array([[0.4, 0.4], [0.9, 0.1]])
    product = (
        NoisyImprovement(process, pending, 0, conditions)
        if of == "improvement"
        else TargetImprovement(process, 0.3, pending, 0, conditions)
    )
    x, step = np.random.default_rng(1).random((5, 2)), 1e-6

    values, gradient = product.with_gradient(x)

    assert values == pytest.approx(product(x))
    for axis in range(2):
        along = step * np.eye(2)[axis]
        assert gradient[:, axis] == pytest.approx(
            (product(x + along) - product(x - along)) / (2 * step), rel=1e-3, abs=1e-3
        )


def test_a_pending_point_is_worth_nothing_with_conditions_too(models):
    process, conditions = models
    at = np.array([[0.25, 0.4]])
    free, pending = (NoisyImprovement(process, rows, 0, conditions) for rows in (np.empty((0, 2)), at))

    assert pending(at)[0] < free(at)[0] - 3


@pytest.mark.parametrize("goal", ["minimize", "maximize", "limit"])
def test_limits_hold_on_the_side_where_they_are_whatever_the_goal(goal):
    observed = tuple(Observed({"x": i / 8, "y": 0.5}, {"v": i / 8, "w": i % 3}) for i in range(9))
    objectives = (Objective("w", "maximize"), Objective("v", goal, at_most=0.5))

    learnt = learn(
        SQUARE, objectives, History(observed), noise={"v": "none", "w": "none"}, learns_failures=True, seed=0
    )

    below, above = learnt.conditions.log_chance(np.array([[0.2, 0.5], [0.8, 0.5]]))
    assert below == pytest.approx(0.0, abs=1e-3)
    assert above < -5


def test_the_best_value_so_far_is_the_best_that_keeps_the_limits():
    points = [{"x": i / 8, "y": 0.5} for i in range(9)]
    observed = tuple(Observed(point, {"v": point["x"], "cost": point["x"]}) for point in points)
    objectives = (Objective("v", "maximize"), Objective("cost", "limit", at_most=0.55))
    exact = {"v": "none", "cost": "none"}

    learnt = learn(SQUARE, objectives, History(observed), noise=exact, learns_failures=True, seed=0)
    acquisition = learnt.criterion.acquisition(np.array([[0.95, 0.5]]))  # pending, and beyond the limit as well

    inside, beyond = acquisition(np.array([[0.54, 0.5], [0.7, 0.5]]))
    assert inside > beyond + 2
    assert inside > -6  # over 0.5, not over what is measured or pending where the limit is broken
    assert learnt.criterion.around()[0] == pytest.approx([0.5, 0.5])
