import json
import random

import numpy as np
import pytest
import torch

from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, Refused
from alchemy_async.planner import gp, learning
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
    assert said["expected"]["loss"]["mean"] == pytest.approx(bowl(suggestion.parameters), abs=3)
    assert 0 < said["expected"]["loss"]["sd"] < 20
    assert "chance" not in said
    assert (said["n_observations"], said["n_pending"], said["seed"]) == (8, 1, 5)
    assert suggestion.reason.startswith("most improvement expected: loss")
    assert "eV" in suggestion.reason


NOISY = ((0, 12), (90, -12), (210, 12), (290, -12), (350, 12), (400, -12), (500, 12))


@pytest.mark.parametrize("as_what", ["pending", "refused"])
def test_a_point_that_is_chosen_or_was_refused_makes_its_whole_neighbourhood_less_worth(as_what):
    space = Space((Integer("x", low=0, high=500),))
    seen = tuple(Observed({"x": x}, {"loss": abs(x - 333) + noise}) for x, noise in NOISY)
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
    assert suggestions[0].parameters["x"] in (6, 7, 8)
    assert suggestions[0].parameters not in [*seen, {"x": 7, "lid": "on"}]
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
        (Observed({"x": 5.0}, {"cost": 1.0}), Observed({"x": 6.0}, {"cost": 2.0})),
    ],
    ids=["none", "one", "replicates of one", "of another objective"],
)
def test_where_no_model_is_possible_it_fills_the_space_and_says_so(observations):
    suggestions = BayesianPlanner(LINE, (LOSS,)).ask(History(observations), [], n=2, seed=0)

    assert [suggestion.origin for suggestion in suggestions] == ["fill", "fill"]
    assert "too little is observed" in suggestions[0].reason


def test_copies_that_differ_although_no_noise_was_declared_are_taken_as_noisy(monkeypatch):
    asked = []

    def fit(values, *others):
        asked.append(values.variances)
        if values.variances is not None:
            raise gp.NotPositiveDefiniteError("too near")
        return gp.fit(values.x, values.y, None, values.categorical)

    monkeypatch.setattr(learning, "process_for", fit)
    history = History(tuple(Observed({"x": x}, {"loss": x + i}) for x in (1.0, 5.0, 9.0) for i in range(2)))

    (suggestion,) = BayesianPlanner(LINE, (LOSS,), noise="none").ask(history, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert [variances is None for variances in asked] == [False, True]


def test_a_model_that_breaks_down_altogether_gives_way_to_space_filling_points(history, monkeypatch):
    def fail(*arguments):
        raise gp.NotPositiveDefiniteError("too near")

    monkeypatch.setattr(learning, "process_for", fail)

    (suggestion,) = BayesianPlanner(SQUARE, (LOSS,)).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "fill"
    assert "NotPositiveDefiniteError" in suggestion.reason


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


# -- targets, limits, several objectives -------------------------------------

NINE = [{"x": float(x)} for x in (0.0, 1.5, 2.5, 4.0, 5.0, 6.0, 7.5, 8.5, 10.0)]


def measured(points, **functions):
    return tuple(Observed(p, {name: float(function(p["x"])) for name, function in functions.items()}) for p in points)


def test_a_target_is_looked_for_where_the_value_crosses_it_not_where_it_is_largest():
    wanted = Objective("pH", "target", target=7.4)
    history = History(measured(NINE[::2], pH=lambda x: 4 + 0.06 * x**2))

    (suggestion,) = BayesianPlanner(LINE, (wanted,)).ask(history, [], n=1, seed=0)

    assert suggestion.parameters["x"] == pytest.approx((3.4 / 0.06) ** 0.5, abs=0.4)
    assert suggestion.metadata["expected"]["pH"]["mean"] == pytest.approx(7.4, abs=0.3)


def test_limits_of_another_objective_move_the_choice_to_where_they_are_kept():
    functions = {"yield": lambda x: x, "cost": lambda x: (x / 10) ** 3}
    free = (Objective("yield", "maximize"), Objective("cost", "limit", at_least=-1.0))
    limited = (Objective("yield", "maximize"), Objective("cost", "limit", at_most=0.216))
    history = History(measured(NINE[::2], **functions))

    (freely,) = BayesianPlanner(LINE, free).ask(history, [], n=1, seed=0)
    (within,) = BayesianPlanner(LINE, limited).ask(history, [], n=1, seed=0)

    assert freely.parameters["x"] > 9
    assert within.parameters["x"] == pytest.approx(6.0, abs=0.5)
    assert 0.1 < within.metadata["chance"] <= 1
    assert "likely to succeed within all limits" in within.reason


def test_a_limit_on_the_very_objective_counts_too():
    capped = Objective("yield", "maximize", at_most=5.2)
    history = History(measured(NINE[::2], **{"yield": lambda x: x}))

    (suggestion,) = BayesianPlanner(LINE, (capped,)).ask(history, [], n=1, seed=0)

    assert 4.6 < suggestion.parameters["x"] < 5.4


def test_limits_of_what_is_minimised_are_not_turned_over():
    floored = Objective("loss", "minimize", at_least=3.0)
    history = History(measured(NINE[::2], loss=lambda x: x))

    (suggestion,) = BayesianPlanner(LINE, (floored,)).ask(history, [], n=1, seed=0)

    assert 2.9 < suggestion.parameters["x"] < 4.5


def test_while_no_limit_is_kept_the_chance_that_it_is_decides():
    functions = {"yield": lambda x: -x, "cost": lambda x: 9 - 0.5 * x}
    objectives = (Objective("yield", "maximize"), Objective("cost", "limit", at_most=4.4))
    history = History(measured([{"x": float(x)} for x in (0, 1, 2, 4, 5)], **functions))

    (suggestion,) = BayesianPlanner(LINE, objectives).ask(history, [], n=1, seed=0)

    assert suggestion.parameters["x"] > 8.5


def test_an_observation_without_one_value_is_learnt_from_for_the_other():
    objectives = (Objective("yield", "maximize"), Objective("cost", "limit", at_most=0.5))
    both = measured(NINE[:2], **{"yield": lambda x: x, "cost": lambda x: x / 10})
    only_cost = measured(NINE[2:], cost=lambda x: x / 10)
    only_yield = measured([{"x": 9.5}], **{"yield": lambda x: x})

    (suggestion,) = BayesianPlanner(LINE, objectives).ask(History((*both, *only_cost, *only_yield)), [], n=1, seed=0)

    assert suggestion.metadata["n_observations"] == len(NINE)
    assert suggestion.metadata["expected"]["cost"]["mean"] == pytest.approx(suggestion.parameters["x"] / 10, abs=0.05)
    assert suggestion.parameters["x"] == pytest.approx(5.0, abs=0.4)


def test_several_objectives_are_planned_together_and_each_is_predicted():
    objectives = (Objective("yield", "maximize"), Objective("waste", "minimize"))
    history = History(measured(NINE[::2], **{"yield": lambda x: x, "waste": lambda x: (x - 3) ** 2}))

    (suggestion,) = BayesianPlanner(LINE, objectives).ask(history, [], n=1, seed=0)

    assert suggestion.origin == "planner"
    assert set(suggestion.metadata["expected"]) == {"yield", "waste"}
    assert suggestion.parameters["x"] > 2.5  # below 3 more of one is more of the other as well


# -- experiments that fail ---------------------------------------------------


def after_failures(*kinds, **options):
    """Return what is proposed on a line whose right half, which looks best, was tried once for each kind."""
    seen = measured([{"x": float(x)} for x in (0, 1.5, 3, 4.2)], loss=lambda x: 30 - x)
    refused = tuple(Refused({"x": x}, kind) for x, kind in zip((7.0, 10.0), kinds, strict=False))
    (suggestion,) = BayesianPlanner(LINE, (LOSS,), **options).ask(History(seen, refused), [], n=1, seed=0)
    return suggestion


@pytest.mark.parametrize("kind", ["ValueError", "limit", "infeasible"])
def test_where_experiments_fail_the_next_is_proposed_only_as_far_as_it_is_likely_to_succeed(kind):
    boldly, carefully = after_failures(), after_failures(kind, kind)

    assert boldly.parameters["x"] > 6
    assert carefully.parameters["x"] < 5.6
    assert carefully.metadata["chance"] > 0.6
    assert "likely to succeed" in carefully.reason


def test_failures_that_are_ignored_are_points_whose_values_are_not_known_yet():
    suggestion = after_failures("ValueError", "ValueError", failures="ignore")

    assert suggestion.parameters["x"] > after_failures("ValueError", "ValueError").parameters["x"]
    assert suggestion.parameters["x"] not in (7.0, 10.0)
    assert "chance" not in suggestion.metadata


def test_a_failure_that_another_try_may_mend_says_nothing_of_its_region():
    assert after_failures("retryable", "retryable").parameters == after_failures().parameters


def test_the_very_point_of_such_a_failure_is_not_proposed_again():
    steep = measured([{"x": float(x)} for x in (0, 2.5, 5, 7.5)], loss=lambda x: -x)
    planner = BayesianPlanner(LINE, (LOSS,))
    (first,) = planner.ask(History(steep), [], n=1, seed=0)

    (second,) = planner.ask(History(steep, (Refused(first.parameters, "retryable"),)), [], n=1, seed=0)

    assert not LINE.is_copy(second.parameters, [first.parameters])
    assert second.parameters["x"] == pytest.approx(first.parameters["x"], abs=0.2)


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_where_nothing_is_left_to_gain_it_does_not_try_what_is_sure_to_fail(n_objectives):
    goals = (Objective("loss", "minimize"), Objective("cost", "minimize"))[:n_objectives]
    known = np.round(np.append(np.linspace(0.0, 0.6, 13), 0.3 + 1e-3 * np.array([-2.0, -1.0, 1.0, 2.0])), 6)
    seen = [Observed({"x": x}, {goal.name: (x - 0.3) ** 2 for goal in goals}) for x in known]
    failed = [Refused({"x": x}, "failed") for x in np.round(np.linspace(0.64, 1.0, 10), 6)]
    planner = BayesianPlanner(LINE, goals, noise="none")

    asked = planner.ask(History(tuple(seen), tuple(failed)), [], n=4, seed=0)

    assert max(one.parameters["x"] for one in asked) < 0.64


@pytest.mark.parametrize(
    ("objectives", "options", "mend"),
    [
        ((LOSS,), {"failures": "forget"}, '"avoid" or to "ignore"'),
        ((LOSS,), {"noise": {"lost": 1.0}}, "The objectives are loss"),
        ((LOSS,), {"noise": {"loss": -1.0}}, "a table of these"),
        ((LOSS,), {"max_enumerated": -1}, "whole number"),
        ((LOSS,), {"device": 1}, '"auto", "cpu" or "cuda"'),
        ((LOSS,), {"device": "cuda:77"}, 'torch does not find here.*"auto" or to "cpu"'),
        ((Objective("cost", "limit", at_most=1.0),), {}, "another goal"),
    ],
    ids=["failures", "noise of nothing", "negative noise", "enumerated", "device", "no such device", "only limits"],
)
def test_what_it_can_not_do_is_told_with_its_mend(objectives, options, mend):
    with pytest.raises(PlannerError, match=mend):
        BayesianPlanner(LINE, objectives, **options)


def test_each_objective_may_have_a_noise_of_its_own():
    objectives = (Objective("yield", "maximize"), Objective("cost", "limit", at_most=9.0))
    history = History(measured(NINE, **{"yield": lambda x: x, "cost": lambda x: x}))

    learnt = learning.learn(
        LINE, objectives, history, noise={"yield": 0.5, "cost": "none"}, learns_failures=True, seed=0
    )

    first, second = learnt.modelled
    assert first.process.variances[0] * first.data.scale**2 == pytest.approx(0.25)
    assert second.process.variances[0] <= gp.LEAST_VARIANCE


# -- what is told of the model ------------------------------------------------


def test_the_digest_of_the_model_differs_with_what_is_known_and_not_with_its_order():
    seen = measured([{"x": float(x)} for x in (0, 2, 3, 5, 8, 9)], loss=lambda x: (x - 4) ** 2)
    histories = (History(seen), History(seen[::-1]), History(seen[:-1]))

    known, turned, less = (
        BayesianPlanner(LINE, (LOSS,)).ask(history, [], n=1, seed=0)[0].metadata["model_revision"]
        for history in histories
    )

    assert known == turned
    assert known != less


def test_a_category_that_nobody_tried_is_expected_to_be_like_those_with_similar_descriptors():
    options = ("a", "b", "c", "d", "e")
    solvent = Categorical("solvent", options=options, descriptors=tuple((float(k),) for k in range(5)))
    space = Space((Continuous("t"), solvent))
    seen = [
        Observed({"t": t, "solvent": name}, {"loss": 10.0 * options.index(name) + t})
        for name in "abde"
        for t in (0.0, 0.5, 1.0)
    ]

    learnt = learning.learn(
        space, (LOSS,), History(tuple(seen)), noise={"loss": "inferred"}, learns_failures=True, seed=0
    )

    (expected,) = learnt.predict(space.to_unit([{"t": 0.5, "solvent": "c"}]))
    assert expected["loss"].mean == pytest.approx(20.5, abs=3)
    assert expected["loss"].sd < 5
