from __future__ import annotations

from alchemy_async.experiment import Suggestion
from alchemy_async.planner_daemon.placing import place
from alchemy_async.space import Categorical, Context, Continuous, Space

SPACE = Space((Continuous("x", low=0.0, high=1.0),))


def at(*xs):
    return [Suggestion({"x": x}) for x in xs]


def points(suggestions):
    return [suggestion.parameters["x"] for suggestion in suggestions]


def placed(suggestions, *, taken=(), held=(), revisable=(), offered=None):
    return place(
        suggestions,
        space=SPACE,
        taken=[{"x": x} for x in taken],
        held=[{"x": x} for x in held],
        revisable=revisable,
        offered={name: [{"x": x} for x in xs] for name, xs in (offered or {}).items()},
    )


def test_the_best_suggestion_goes_to_the_id_that_is_run_first_and_the_rest_are_new():
    placement = placed(at(0.1, 0.2, 0.3), revisable=["e1", "e2"])

    assert [(name, to.parameters["x"]) for name, to in placement.revisions] == [("e1", 0.1), ("e2", 0.2)]
    assert points(placement.additions) == [0.3]


def test_a_point_that_somebody_may_still_take_under_an_id_goes_to_that_id_or_to_none():
    placement = placed(at(0.1, 0.9), revisable=["e1", "e2"], offered={"e1": [0.5], "e2": [0.1, 0.6]})

    assert dict(placement.revisions)["e2"].parameters == {"x": 0.1}
    assert dict(placement.revisions)["e1"].parameters == {"x": 0.9}


def test_a_copy_of_a_point_whose_id_can_not_be_revised_is_dropped():
    placement = placed(at(0.1000001), revisable=["e1"], offered={"pinned": [0.1]})

    assert placement.revisions == ()
    assert placement.additions == ()


def test_a_copy_of_something_running_is_dropped():
    assert points(placed(at(0.3, 0.7), held=[0.3]).additions) == [0.7]


def test_a_point_taken_meanwhile_makes_a_suggestion_near_to_it_superfluous():
    assert points(placed(at(0.1, 0.49, 0.9), taken=[0.5]).additions) == [0.1, 0.9]


def test_a_point_taken_meanwhile_far_from_every_suggestion_costs_none():
    assert points(placed(at(0.1, 0.9), taken=[0.5]).additions) == [0.1, 0.9]


def test_each_point_taken_meanwhile_costs_at_most_one_suggestion():
    assert points(placed(at(0.485, 0.49, 0.51), taken=[0.5, 0.5]).additions) == [0.485]


def test_more_points_taken_than_suggested_leave_nothing():
    assert placed(at(0.5), taken=[0.5, 0.6]).additions == ()


def test_categories_that_differ_are_no_copies():
    space = Space((Continuous("x", low=0.0, high=1.0), Categorical("solvent", options=("water", "thf"))))
    suggestion = Suggestion({"x": 0.5, "solvent": "thf"})

    placement = place(
        [suggestion], space=space, taken=[], held=[{"x": 0.5, "solvent": "water"}], revisable=[], offered={}
    )

    assert placement.additions == (suggestion,)


def test_copies_within_one_answer_are_offered_once():
    placement = placed(at(0.5, 0.5, 0.5004, 0.9), revisable=["e1"])

    assert [(name, to.parameters["x"]) for name, to in placement.revisions] == [("e1", 0.5)]
    assert points(placement.additions) == [0.9]


def test_a_suggestion_that_differs_in_a_reading_alone_from_something_running_is_a_copy():
    humidity = Context("humidity", of=Continuous("humidity", low=20, high=80))
    space = Space((Continuous("x", low=0.0, high=1.0), humidity))
    suggestions = [Suggestion({"x": x, "humidity": 41.0}) for x in (0.5, 0.9)]

    placement = place(suggestions, space=space, taken=[], held=[{"x": 0.5, "humidity": 50.0}], revisable=[], offered={})

    assert points(placement.additions) == [0.9]
