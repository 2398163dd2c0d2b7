"""Constraints on parameters that are all held: by a person, or by the batch that runs in one oven."""

from __future__ import annotations

import re

import numpy as np
import pytest

from alchemy_async.config import check_campaign
from alchemy_async.errors import PlannerError
from alchemy_async.experiment import History, Objective, Observed, State
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.constrained import ConstrainedClimb
from alchemy_async.planner.designs import METHODS, design
from alchemy_async.planner.region import Region
from alchemy_async.planner_daemon.asker import PlannerRecipe
from alchemy_async.simulation.durations import uniform
from alchemy_async.simulation.lab import Lab
from alchemy_async.space import Continuous, Discrete, Fidelity, Fixed, Integer, LinearConstraint, Space

T, P = Continuous("T", low=0, high=100), Continuous("P", low=0, high=100)
A, B = Continuous("a"), Continuous("b")
YIELD = (Objective("yield", goal="maximize"),)
SUM = LinearConstraint((("T", 1.0), ("P", 1.0)), "at_most", 150.0)


def fixed(parameter, at):
    return Fixed(parameter.name, of=parameter, at=at)


def bound(name, sense, value):
    return LinearConstraint(((name, 1.0),), sense, value)


def hill(point):
    return -((point["a"] - 0.3) ** 2) - ((point["T"] - 60) ** 2 + (point["P"] - 70) ** 2) / 1e4


def ask(space, n=2, n_observed=8):
    """Ask after results from all over the unheld space."""
    free = Space(tuple(one.of if isinstance(one, Fixed) else one for one in space.parameters))
    observed = tuple(Observed(point, {"yield": hill(point)}) for point in design(free, "sobol", n_observed, seed=1))
    return BayesianPlanner(space, YIELD, noise="none").ask(History(observed), [], n=n, seed=0)


HELD = {
    "both fixed": Space((fixed(T, 50.0), fixed(P, 50.0), A), (SUM,)),
    "both shared": Space((T, P, A), (SUM,)).holding({"T": 80.0, "P": 70.0}),
    "one with a bound": Space((T, P, A), (bound("T", "at_most", 80.0),)).holding({"T": 33.0}),
    "one with a bound, of integers": Space(
        (Integer("T", low=0, high=100), P, A), (bound("T", "at_least", 20.0),)
    ).holding({"T": 33}),
    "an equality": Space((T, P, A), (LinearConstraint(SUM.terms, "equals", 130.0),)).holding({"T": 60.0, "P": 70.0}),
    "beside a live one": Space((T, P, A, B), (SUM, LinearConstraint((("a", 1.0), ("b", 1.0)), "equals", 1.0))).holding(
        {"T": 80.0, "P": 70.0}
    ),
    "beside one that is half held": Space(
        (T, P, A), (bound("T", "at_most", 80.0), LinearConstraint((("T", 0.01), ("a", 1.0)), "at_most", 0.9))
    ).holding({"T": 80.0}),
}


@pytest.mark.parametrize("kind", HELD)
def test_a_constraint_that_is_met_by_what_is_held_leaves_the_planner_to_choose_the_rest(kind):
    space = HELD[kind]

    suggestions = ask(space)

    assert [one.origin for one in suggestions] == ["planner", "planner"]
    assert [space.check(one.parameters) for one in suggestions] == [one.parameters for one in suggestions]


def test_the_optimum_is_found_in_what_a_held_constraint_leaves_free():
    (suggestion,) = ask(HELD["both fixed"], n=1, n_observed=24)

    assert suggestion.parameters["a"] == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", HELD)
def test_designs_keep_what_is_held_and_fill_the_rest(method, kind):
    space = HELD[kind]

    points = design(space, method, 5, seed=1)

    assert [space.check(point) for point in points] == points
    assert len(points) == 5


def test_where_all_is_held_the_nearest_coordinates_are_none_at_all():
    region = Region(HELD["both fixed"])

    assert region.parameters == ()
    assert region.nearest(np.empty(0)).shape == (0,)
    assert region.sample(4, np.random.default_rng(0)).shape == (4, 0)
    assert region.repair({"T": 50.0, "P": 50.0, "a": 0.2}) == {"T": 50.0, "P": 50.0, "a": 0.2}
    assert region.repair({"T": 90.0, "P": 90.0, "a": 0.2}) is None


def test_what_is_held_a_hair_beyond_an_equality_meets_it_as_a_point_would():
    thirds = tuple(fixed(Continuous(name, low=0, high=100), 33.33333) for name in "TPR")
    space = Space((*thirds, A), (LinearConstraint((("T", 1.0), ("P", 1.0), ("R", 1.0)), "equals", 100.0),))

    region = Region(space)

    assert space.meets_constraints({"T": 33.33333, "P": 33.33333, "R": 33.33333, "a": 0.5})
    assert region.parameters == ()


def test_a_climb_whose_coordinates_are_in_no_constraint_is_the_one_without_constraints():
    space = HELD["both fixed"]
    n_calls = []

    def bowl(x):
        n_calls.append(len(x))
        return -((x[:, 2] - 0.3) ** 2), np.column_stack([np.ones((len(x), 2)), -2 * (x[:, 2] - 0.3)])

    ends, heights = ConstrainedClimb(space, np.array([False, False, True])).climb(bowl, np.full((6, 3), 0.9))

    assert ends == pytest.approx(np.tile([0.9, 0.9, 0.3], (6, 1)), abs=1e-3)
    assert heights == pytest.approx(np.zeros(6), abs=1e-5)
    assert set(n_calls) == {6}, "all climb together"


def test_a_climb_goes_no_further_than_a_constraint_that_is_half_held():
    space = HELD["beside one that is half held"]

    def bowl(x):
        return -((x[:, 2] - 0.3) ** 2), np.column_stack([np.zeros((len(x), 2)), -2 * (x[:, 2] - 0.3)])

    starts = np.array([[0.8, 0.5, 0.0], [0.8, 0.5, 0.05]])
    ends, _ = ConstrainedClimb(space, np.array([False, True, True])).climb(bowl, starts)

    assert ends[:, 2] == pytest.approx([0.1, 0.1], abs=1e-6)


BROKEN = {
    "both fixed": (Space((fixed(T, 90.0), fixed(P, 90.0), A), (SUM,)), "T is held at 90 and P is held at 90"),
    "both shared": (Space((T, P, A), (SUM,)).holding({"T": 90.0, "P": 61.0}), "T is held at 90 and P is held at 61"),
    "one with a bound": (Space((T, P, A), (bound("T", "at_most", 80.0),)).holding({"T": 81.5}), r"T is held at 81\.5"),
    "an equality": (
        Space((T, P, A), (LinearConstraint(SUM.terms, "equals", 130.0),)).holding({"T": 60.0, "P": 80.0}),
        "T is held at 60 and P is held at 80",
    ),
    "of a finite space": (
        Space((Discrete("T", options=(20.0, 90.0)), P, Integer("k", low=0, high=5)), (SUM,)).holding(
            {"T": 90.0, "P": 90.0}
        ),
        "T is held at 90 and P is held at 90",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_constraint_that_what_is_held_breaks_is_named_with_what_is_held(kind):
    space, held = BROKEN[kind]
    constraint = re.escape(str(space.constraints[0]))

    with pytest.raises(PlannerError, match=rf"\({constraint}\), as {held}\. Loosen a constraint, or hold T"):
        design(space, "sobol", 3, seed=0)


def test_an_ask_names_the_constraint_that_what_is_held_breaks():
    with pytest.raises(PlannerError, match=r"1 x T \+ 1 x P at most 150.*hold T or P at another value\."):
        ask(BROKEN["both shared"][0])


def test_of_several_constraints_only_the_one_that_is_broken_is_named():
    mixture = LinearConstraint((("a", 1.0), ("b", 1.0)), "equals", 1.0)
    space = Space((fixed(T, 90.0), fixed(P, 90.0), A, B), (mixture, SUM))

    with pytest.raises(PlannerError) as error:
        Region(space)

    assert "1 x T + 1 x P" in str(error.value)
    assert "1 x a" not in str(error.value)


def test_what_is_held_and_leaves_no_room_to_the_others_is_named_beside_their_bounds():
    space = Space((T, P, A), (SUM,)).holding({"T": 90.0})
    tight = Space((*space.parameters[:1], Continuous("P", low=70, high=100), A), (SUM,))

    with pytest.raises(PlannerError, match=r"as T is held at 90\. .*bounds of P, or hold T at another value\."):
        design(tight, "sobol", 3, seed=0)


@pytest.mark.parametrize(
    ("terms", "mend"),
    [
        ((("a", 1.0), ("t", 1.0)), r"widen the bounds of a, or give t another `fidelity`\."),
        ((("t", 1.0),), r"Loosen a constraint, or give t another `fidelity`\."),
    ],
    ids=["beside another", "alone"],
)
@pytest.mark.parametrize("n_observed", [0, 6])
def test_a_fidelity_whose_target_breaks_a_constraint_is_named(terms, mend, n_observed):
    time = Continuous("t", low=1, high=10)
    space = Space((A, time), (LinearConstraint(terms, "at_most", 8.0),), (), Fidelity.of(time, 10.0, [(1, 1), (10, 9)]))
    observed = tuple(Observed({"a": 0.1 * k, "t": 1.0 + k}, {"yield": float(k)}) for k in range(n_observed))

    with pytest.raises(PlannerError, match=rf"as t is held at 10, its fidelity\. .*{mend}"):
        BayesianPlanner(space, YIELD).ask(History(observed), [], n=1, seed=0)


CAMPAIGN = {
    "campaign": {"name": "oven"},
    "parameters": [
        {"name": "T", "type": "continuous", "bounds": [0, 100]},
        {"name": "P", "type": "continuous", "bounds": [0, 100]},
        {"name": "a", "type": "continuous", "bounds": [0, 1]},
    ],
    "objectives": [{"name": "yield", "goal": "maximize"}],
    "constraints": [{"terms": {"T": 1, "P": 1}, "at_most": 150}],
    "budget": {"experiments": 12},
    "planner": {"seed": 3, "batch": 3},
}


class Oven:
    def measure(self, parameters, context):
        return hill(parameters)


def campaign(folder, of_t, of_p, constraints=CAMPAIGN["constraints"]):
    """Return a lab of three workers, with more said of the two parameters."""
    t, p, a = CAMPAIGN["parameters"]
    settings = check_campaign(CAMPAIGN | {"parameters": [t | of_t, p | of_p, a], "constraints": constraints})
    recipe = PlannerRecipe("bayesian", settings.as_space(), settings.as_objectives(), {}, folder)
    return Lab(
        settings, recipe.make(), Oven(), folder,
        n_workers=3, durations=uniform(10.0, 30.0), latency_s=0.0, seed=3, recipe=recipe,
    )  # fmt: skip


SHARED = {"shared": True}


@pytest.mark.parametrize(
    ("of_t", "of_p", "constraints"),
    [
        (SHARED, SHARED, CAMPAIGN["constraints"]),
        ({"fixed": 50.0}, {"fixed": 50.0}, CAMPAIGN["constraints"]),
        (SHARED, {"fixed": 70.0}, CAMPAIGN["constraints"]),
        (SHARED, SHARED, [{"terms": {"T": 1}, "at_most": 80}]),
        (SHARED, SHARED, [*CAMPAIGN["constraints"], {"terms": {"T": 0.01, "a": 1}, "at_most": 1.2}]),
    ],
    ids=["two shared", "both fixed", "one of each", "one shared, with a bound", "beside a live one"],
)
def test_a_campaign_with_a_constraint_on_what_is_held_is_planned_to_its_end(tmp_path, of_t, of_p, constraints):
    lab = campaign(tmp_path, of_t, of_p, constraints)

    with lab.ledger:
        lab.run()

        assert lab.ledger.tally()[State.COMPLETED] == 12
        found = lab.ledger.experiments()
        assert all(lab.space.is_feasible(one.parameters) for one in found)
        assert sum(one.origin == "planner" for one in found) >= 4
    assert [one.error for one in lab.asker.asked if one.error] == []


def test_a_batch_that_runs_at_values_which_no_longer_fit_is_run_out_and_the_next_one_fits(tmp_path):
    lab = campaign(tmp_path, SHARED, {"fixed": 90.0})
    with lab.ledger.change() as change:  # a person's, queued before P was fixed at 90
        change.add({"T": 90.0, "P": 90.0, "a": 0.5}, origin="manual", pinned=True)

    with lab.ledger:
        lab.run()

        assert lab.ledger.tally()[State.COMPLETED] == 12
    first, *others = sorted(lab.ran, key=lambda one: one.started_s)
    assert first.offer.parameters["T"] == 90.0
    assert all(one.started_s >= first.finished_s for one in others), "nothing fits beside it in the oven"
    assert all(lab.space.is_feasible(one.offer.parameters) for one in others)
