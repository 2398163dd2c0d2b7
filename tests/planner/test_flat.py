"""Values that are all equal: what else is known counts as ever."""

import json

import numpy as np
import pytest

from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.designs import design
from alchemy_async.planner.growth import Limits
from alchemy_async.planner.learning import learn
from alchemy_async.planner.training import flat, training
from alchemy_async.space import Continuous, Fidelity, Space

SQUARE = Space((Continuous("x", low=0, high=10), Continuous("y", low=0, high=10)))
YIELD = Objective("yield", goal="maximize")
WASTE = Objective("waste", goal="minimize")
NINE = design(SQUARE, "sobol", 9, seed=1)
SIZES = [0.0, 5e-324, -1e-300, 5.0, 1e300, -1.7e308]


def results(points, **values):
    """Return observations; each value is a number or a function of the point."""
    return tuple(
        Observed(p, {name: float(value(p) if callable(value) else value) for name, value in values.items()})
        for p in points
    )


def hill(point):
    return -((point["x"] - 3) ** 2) - (point["y"] - 6) ** 2


def ask(objectives, history, pending=(), n=1, **options):
    return BayesianPlanner(SQUARE, objectives, **options).ask(history, pending, n, seed=0)


def where(suggestions):
    return [suggestion.parameters for suggestion in suggestions]


def half_that_fails(value):
    """Return a history of equal values, where all of the right half failed."""
    points = design(SQUARE, "sobol", 24, seed=2)
    done = [point for point in points if point["x"] <= 5]
    return History(results(done, **{"yield": value}), tuple(Refused(p, "infeasible") for p in points if p["x"] > 5))


# -- one objective -------------------------------------------------------------


def test_a_region_that_fails_is_not_proposed_again_and_again_while_all_values_are_equal():
    done, failed = [], []
    while len(done) < 14 and len(failed) < 14:
        (suggestion,) = ask((YIELD,), History(tuple(done), tuple(failed)))
        point = suggestion.parameters
        if point["x"] > 5:
            failed.append(Refused(point, "infeasible"))
        else:
            done += results([point], **{"yield": 0.0})

    assert len(failed) <= 7


def test_points_spread_over_what_does_not_fail():
    history = half_that_fails(0.0)
    taken = [*(one.parameters for one in history.observations), {"x": 2.0, "y": 2.0}]

    suggestions = ask((YIELD,), history, [taken[-1]], n=4)

    assert {suggestion.origin for suggestion in suggestions} == {"planner"}
    assert all(point["x"] < 5.3 for point in where(suggestions))
    at = SQUARE.to_unit([*where(suggestions), *taken])
    distances = SQUARE.distances(at[:4], at) + 9 * np.eye(4, len(at))
    assert distances.min() > 0.04


def test_a_neighbour_of_a_point_that_is_to_be_measured_tells_nothing_more():
    time = Continuous("t", low=0, high=1)
    cheaper = Fidelity.of(time, 1.0, [(0.0, 1.0), (1.0, 10.0)])
    space = Space((Continuous("x", low=0, high=10), time), fidelity=cheaper)
    points = design(space, "random", 12, seed=3)
    failed = tuple(Refused(point, "infeasible") for point in points[10:])
    history = History(results(points[:8], **{"yield": 0.0}), failed)

    first, second = BayesianPlanner(space, (YIELD,)).ask(history, points[8:10], 2, seed=5)

    assert abs(first.parameters["x"] - second.parameters["x"]) > 1


@pytest.mark.parametrize("value", SIZES)
def test_whatever_the_equal_values_are_the_same_points_are_asked_for(value):
    (suggestion,) = ask((YIELD,), half_that_fails(value))

    assert where([suggestion]) == where(ask((YIELD,), half_that_fails(1.0)))
    said = json.loads(json.dumps(dict(suggestion.metadata), allow_nan=False))
    assert said["expected"]["yield"]["mean"] == value
    assert said["expected"]["yield"]["sd"] <= max(1e-12 * (abs(value) or 1.0), 1e-307)


@pytest.mark.parametrize(
    "options",
    [{"noise": "none"}, {"noise": 0.5}, {"strategy": "bound"}, {"strategy": "probability"}, {"margin": 0.5}],
    ids=str,
)
def test_neither_noise_nor_a_strategy_makes_equal_values_tell_more(options):
    assert where(ask((YIELD,), half_that_fails(0.0), **options)) == where(ask((YIELD,), half_that_fails(0.0)))


@pytest.mark.parametrize("value", SIZES)
def test_a_target_that_equal_values_miss_leaves_the_unknown_to_decide(value):
    wanted = Objective("yield", "target", target=1e307)

    assert where(ask((wanted,), half_that_fails(value))) == where(ask((YIELD,), half_that_fails(0.0)))


def test_two_equal_values_are_enough_to_learn_where_experiments_fail():
    history = half_that_fails(0.0)
    two = History(history.observations[:2], history.refused)

    (suggestion,) = ask((YIELD,), two)

    assert suggestion.origin == "planner"
    assert suggestion.parameters["x"] < 5


def test_without_two_different_points_too_little_is_observed():
    history = History(results([NINE[0]] * 3, **{"yield": 0.0}), half_that_fails(0.0).refused)

    (suggestion,) = ask((YIELD,), history)

    assert suggestion.origin == "fill"
    assert "too little is observed" in suggestion.reason


def test_the_order_in_which_equal_values_came_changes_nothing():
    history = half_that_fails(0.0)

    assert ask((YIELD,), History(history.observations[::-1], history.refused)) == ask((YIELD,), history)


def test_of_a_long_history_of_equal_values_a_model_holds_a_part():
    history = History(results(design(SQUARE, "sobol", 60, seed=0), **{"yield": 0.0}))

    found = learned((YIELD,), history, bounds=Limits(exact=20))

    assert len(found.modelled[0].process.y) == 20
    assert found.n_observations == 60


def test_one_value_that_differs_ends_the_exploration():
    history = half_that_fails(0.0)
    other = results([{"x": 1.0, "y": 9.0}], **{"yield": 1e-9})

    assert learned((YIELD,), history).explores
    assert not learned((YIELD,), History((*history.observations, *other), history.refused)).explores


# -- several objectives --------------------------------------------------------


@pytest.mark.parametrize("value", SIZES)
def test_an_objective_that_never_varies_leaves_the_choice_to_the_other(value):
    both = History(results(NINE, **{"yield": hill, "waste": value}))

    (suggestion,) = ask((YIELD, WASTE), both)

    assert where([suggestion]) == where(ask((YIELD,), History(results(NINE, **{"yield": hill}))))
    assert suggestion.metadata["expected"]["waste"]["mean"] == value


def test_two_objectives_that_vary_are_weighed_although_a_third_one_never_does():
    functions = {"yield": hill, "waste": lambda p: p["x"]}
    third = Objective("purity", goal="maximize")

    with_third = ask((YIELD, WASTE, third), History(results(NINE, **functions, purity=99.0)))

    assert where(with_third) == where(ask((YIELD, WASTE), History(results(NINE, **functions))))


def test_where_no_objective_varies_the_unknown_decides():
    history = half_that_fails(0.0)
    both = tuple(Observed(one.parameters, {"yield": 0.0, "waste": 3.0}) for one in history.observations)

    found = ask((YIELD, WASTE), History(both, history.refused))

    assert where(found) == where(ask((YIELD,), history))


# -- limits --------------------------------------------------------------------


def near_the_top(value):
    """Return results around the top of the hill, with another value that is always the same."""
    points = [{"x": 3.0 + dx, "y": 6.0 + dy} for dx in (-0.8, 0.0, 0.8) for dy in (-0.8, 0.0, 0.8)]
    return History(results(points, **{"yield": hill, "purity": value}))


@pytest.mark.parametrize("value", SIZES)
def test_a_limit_that_every_value_breaks_is_sought_far_from_them(value):
    limit = Objective("purity", "limit", at_most=value - max(0.01 * abs(value), 5e-324))

    (suggestion,) = ask((YIELD, limit), near_the_top(value))

    point = suggestion.parameters
    assert np.hypot(point["x"] - 3, point["y"] - 6) > 3
    assert 0.05 < suggestion.metadata["chance"] < 0.5


def test_a_limit_farther_away_than_any_number_is_no_reason_to_break_down():
    limit = Objective("purity", "limit", at_least=1.7e308)

    (suggestion,) = ask((YIELD, limit), near_the_top(-1.7e308))

    assert suggestion.origin == "planner"
    assert json.dumps(dict(suggestion.metadata), allow_nan=False)


def test_one_broken_value_is_enough_to_look_elsewhere():
    limit = Objective("purity", "limit", at_least=90.0)
    broken = near_the_top(0.0).observations[4]
    rest = tuple(Observed(o.parameters, {"yield": o.values["yield"]}) for o in near_the_top(0.0).observations[:4])

    (suggestion,) = ask((YIELD, limit), History((*rest, broken)))

    point = suggestion.parameters
    assert np.hypot(point["x"] - 3, point["y"] - 6) > 3


def test_a_limit_that_every_value_keeps_takes_nothing_away():
    limit = Objective("purity", "limit", at_least=90.0)

    (suggestion,) = ask((YIELD, limit), near_the_top(90.0))

    assert where([suggestion]) == where(ask((YIELD,), near_the_top(90.0)))
    assert "chance" not in suggestion.metadata


def test_a_limit_on_the_very_objective_counts_while_all_its_values_break_it():
    floored, kept = (Objective("yield", "maximize", at_least=least) for least in (50.0, 0.0))
    history = History(results(NINE, **{"yield": 0.0}))

    (far,) = ask((floored,), history)
    (free,) = ask((kept,), history)

    assert 0 < far.metadata["chance"] < 0.5
    assert "chance" not in free.metadata


# -- the data themselves -------------------------------------------------------


def test_values_that_vary_are_never_taken_for_flat():
    history = History(results(NINE, **{"yield": hill}))

    assert not training(SQUARE, YIELD, history).is_flat


def test_equal_values_keep_their_places_and_their_unit():
    history = History(results(NINE, **{"yield": 7.0}))

    data = flat(SQUARE, YIELD, history)

    assert training(SQUARE, YIELD, history) is None
    assert np.array_equal(data.x, SQUARE.to_unit([NINE[i] for i in data.came]))
    assert data.to_units(0.0, 1.0) == (7.0, pytest.approx(7e-12))


def learned(objectives, history, **others):
    noise = {objective.name: "inferred" for objective in objectives}
    return learn(SQUARE, objectives, history, noise=noise, learns_failures=True, seed=0, **others)


def test_the_reason_says_that_all_values_are_equal_and_no_more_once_they_vary():
    equal, varying = results(NINE, **{"yield": 0.0}), results(NINE, **{"yield": hill})

    reasons = [ask((YIELD,), History(found))[0].reason for found in (equal, varying)]

    assert reasons[0].startswith("all values are equal so far, and most of the unknown is to be learnt: ")
    assert reasons[1].startswith("most improvement expected: ")
