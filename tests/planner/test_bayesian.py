import json
import random

import numpy as np
import pytest
import torch

from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner import model
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.designs import design
from alchemy_async.planner.training import training
from alchemy_async.space import Categorical, Continuous, Integer, LinearConstraint, Space

LINE = Space((Continuous("x", low=0, high=10),))
SQUARE = Space((Continuous("x", low=0, high=10), Continuous("y", low=0, high=10)))
LOSS = Objective("loss", goal="minimize", unit="eV")


def bowl(point):
    return float((point["x"] - 7) ** 2 + (point.get("y", 3) - 3) ** 2) + 20


def observed(points, **sems):
    return tuple(Observed(point, {"loss": bowl(point)}, sems) for point in points)


@pytest.fixture(scope="module")
def history():
    return History(observed(design(SQUARE, "sobol", 8, seed=0)))


def test_it_goes_to_the_bottom_of_a_bowl_that_it_has_seen(history):
    (suggestion,) = BayesianPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert suggestion.parameters["x"] == pytest.approx(7, abs=1)
    assert suggestion.parameters["y"] == pytest.approx(3, abs=1)


def test_what_it_says_about_a_point_is_in_units_and_can_be_written_down(history):
    (suggestion,) = BayesianPlanner(SQUARE, (LOSS,)).ask(history, [SQUARE.from_unit(np.ones(2))[0]], n=1, seed=5)

    said = json.loads(json.dumps(dict(suggestion.metadata), allow_nan=False))
    assert said["mean"] == pytest.approx(bowl(suggestion.parameters), abs=3)
    assert 0 < said["sd"] < 20
    assert (said["n_observations"], said["n_pending"], said["seed"]) == (8, 1, 5)
    assert suggestion.reason.startswith("most improvement expected: loss")
    assert "eV" in suggestion.reason


@pytest.mark.parametrize("as_what", ["pending", "refused"])
def test_a_point_that_is_chosen_or_was_refused_makes_its_whole_neighbourhood_less_worth(as_what):
    space = Space((Integer("x", low=0, high=500),))
    seen = tuple(Observed({"x": x}, {"loss": abs(x - 333)}) for x in (0, 90, 210, 290, 400, 500))
    planner = BayesianPlanner(space, (LOSS,))
    (alone,) = planner.ask(History(seen), [], n=1, seed=0)
    pending = [alone.parameters] if as_what == "pending" else []
    refused = (Refused(alone.parameters, "limit"),) if as_what == "refused" else ()

    (other,) = planner.ask(History(seen, refused), pending, n=1, seed=0)

    assert abs(other.parameters["x"] - alone.parameters["x"]) > 5


def test_a_batch_begins_with_the_single_best_point(history):
    planner = BayesianPlanner(SQUARE, (LOSS,))

    assert planner.ask(history, [], n=2, seed=0)[0] == planner.ask(history, [], n=1, seed=0)[0]


def test_the_order_in_which_results_came_in_changes_nothing(history):
    planner = BayesianPlanner(SQUARE, (LOSS,))
    pending = design(SQUARE, "random", 2, seed=9)

    forth = planner.ask(history, pending, n=1, seed=0)
    back = planner.ask(History(history.observations[::-1]), pending[::-1], n=1, seed=0)

    assert forth == back


def test_the_random_numbers_of_others_are_left_alone(history):
    torch.manual_seed(3)
    random.seed(3)
    expected = torch.rand(1).item(), random.random()
    torch.manual_seed(3)
    random.seed(3)

    BayesianPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert (torch.rand(1).item(), random.random()) == expected


def test_a_finite_space_is_scored_whole_and_its_best_free_point_taken():
    space = Space((Integer("x", low=0, high=10), Categorical("lid", options=("on", "off"))))
    seen = [{"x": x, "lid": "on"} for x in (0, 2, 4, 9, 10)]
    history = History(observed(seen))

    suggestions = BayesianPlanner(space, (LOSS,)).ask(history, [{"x": 7, "lid": "on"}], n=17, seed=0)

    assert len(suggestions) == 22 - 5 - 1
    assert suggestions[0].parameters in [{"x": 6, "lid": "on"}, {"x": 7, "lid": "off"}, {"x": 8, "lid": "on"}]
    assert not space.is_copy({"x": 7, "lid": "on"}, [suggestion.parameters for suggestion in suggestions])


def test_the_optimum_of_a_mixture_is_found_on_its_edge():
    names = ("x", "y", "z")
    space = Space(
        tuple(Continuous(name, low=0, high=10) for name in names),
        (LinearConstraint(tuple((name, 1.0) for name in names), "equals", 10.0),),
    )
    history = History(observed(design(space, "sobol", 10, seed=0)))

    (suggestion,) = BayesianPlanner(space, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.parameters["x"] == pytest.approx(7, abs=1)
    assert suggestion.parameters["z"] < 1


def test_a_bound_on_a_sum_with_a_logarithmic_parameter_is_kept():
    space = Space(
        (Continuous("x", low=0.01, high=10, log=True), Continuous("y", low=0, high=10)),
        (LinearConstraint((("x", 1.0), ("y", 1.0)), "at_most", 6.0),),
    )
    history = History(observed(design(space, "sobol", 10, seed=0)))

    (suggestion,) = BayesianPlanner(space, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.parameters["x"] + suggestion.parameters["y"] == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("noise", ["inferred", "none", 0.5])
def test_replicates_and_neighbours_a_hair_apart_do_no_harm(noise):
    points = [{"x": 5.0}] * 3 + [{"x": 5.0 + 1e-9 * i} for i in range(3)] + [{"x": 1.0}, {"x": 9.0}]

    (suggestion,) = BayesianPlanner(LINE, (LOSS,), noise=noise).ask(History(observed(points)), [], n=1, seed=0)

    assert suggestion.origin == "planner"


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_values_of_any_size_are_learnt_from(size):
    history = History(tuple(Observed({"x": x}, {"loss": size * abs(x - 7)}) for x in (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)))

    (suggestion,) = BayesianPlanner(LINE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert suggestion.parameters["x"] == pytest.approx(7, abs=1.5)


@pytest.mark.parametrize(
    "observations",
    [
        (),
        observed([{"x": 5.0}]),
        observed([{"x": 5.0}] * 3),
        tuple(Observed({"x": x}, {"loss": 4.0}) for x in (1.0, 5.0, 9.0)),
        (Observed({"x": 5.0}, {"cost": 1.0}), Observed({"x": 6.0}, {"cost": 2.0})),
    ],
    ids=["none", "one", "replicates of one", "all equal", "of another objective"],
)
def test_where_no_model_is_possible_it_fills_the_space_and_says_so(observations):
    suggestions = BayesianPlanner(LINE, (LOSS,)).ask(History(observations), [], n=2, seed=0)

    assert [suggestion.origin for suggestion in suggestions] == ["fill", "fill"]
    assert "too little is observed" in suggestions[0].reason


def test_a_model_that_can_not_be_fitted_twice_is_used_as_its_prior_says(history, monkeypatch):
    def fail(mll):
        raise RuntimeError("not positive definite")

    monkeypatch.setattr(model, "fit_gpytorch_mll", fail)

    (suggestion,) = BayesianPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "planner"


def test_a_model_that_breaks_down_altogether_gives_way_to_space_filling_points(history, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("not positive definite")

    monkeypatch.setattr(model, "fit", fail)

    (suggestion,) = BayesianPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "fill"
    assert "RuntimeError" in suggestion.reason


def test_standard_errors_count_only_where_every_observation_has_one():
    points = design(LINE, "sobol", 4, seed=0)

    all_have = training(LINE, LOSS, History(observed(points, loss=0.5)))
    one_lacks = training(LINE, LOSS, History((*observed(points, loss=0.5), *observed([{"x": 9.0}]))))

    assert all_have.sems * all_have.scale == pytest.approx(0.5)
    assert one_lacks.sems is None


def test_a_prediction_comes_back_in_the_objectives_unit_and_direction():
    data = training(LINE, LOSS, History(observed([{"x": 7.0}, {"x": 0.0}])))

    best, _ = data.to_units(float(data.y.max()), 0.0)

    assert best == pytest.approx(20.0)
