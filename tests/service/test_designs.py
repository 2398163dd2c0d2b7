from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.service.models import designing, optimal
from alchemy_async.service.models.designs import CLASSICAL, FILLING, Classical
from alchemy_async.space import Categorical, Continuous, Discrete, Integer, LinearConstraint, Space
from tests.service.one_pool import one_pool, pool  # noqa: F401 - fixtures
from tests.service.test_acquisition import FOUR_POINTS, MIXED

TWO = Space((Continuous("a", low=0.0, high=10.0), Continuous("b", low=-1.0, high=1.0)))
THREE = Space((*TWO.parameters, Continuous("g", low=100.0, high=200.0)))
ALL_KINDS = Space(
    (
        Continuous("a", low=0.0, high=10.0),
        Integer("i", low=1, high=5),
        Categorical("c", options=("x", "y", "z")),
        Discrete("d", options=(1.0, 3.0, 9.0)),
    )
)
BELOW_TWO = LinearConstraint((("a", 1.0),), "at_most", 2.0)


def design(api, **wish):
    return api.did("POST", "/initial-design", wish)


# -- designs that fill the space -------------------------------------------------


@pytest.mark.parametrize("method", FILLING)
def test_a_design_that_fills_the_space_has_as_many_points_as_wanted_and_can_be_staged(api, method):
    found = design(api, method=method, n_points=7, random_seed=1)

    staged = api.did("POST", "/experiments/staged/batch", {"experiments": found["points"]})
    space = api.desk.study.space
    assert (found["method"], found["n_points"], len(found["points"])) == (method, 7, 7)
    assert (found["design_info"], found["feasibility"]) == (None, None)
    assert staged["experiments"] == found["points"]
    assert all(not space.is_copy(point, found["points"][:i]) for i, point in enumerate(found["points"]))


@pytest.mark.parametrize("method", ["random", "lhs", "sobol"])
def test_the_same_seed_brings_the_same_points_and_none_brings_others(api, method):
    first, again = (design(api, method=method, random_seed=5)["points"] for _ in range(2))
    free, other = (design(api, method=method)["points"] for _ in range(2))

    assert first == again
    assert free != other


def test_a_design_has_ten_points_of_a_latin_hypercube_unless_something_else_is_wished(api):
    found = design(api)

    cells = sorted(int(point["T"]) for point in found["points"])
    assert (found["method"], cells) == ("lhs", list(range(10)))


@pytest.mark.parametrize("criterion", ["maximin", "correlation", "ratio"])
def test_the_hypercube_is_the_best_of_many_by_the_criterion(criterion):
    rng = np.random.default_rng(0)
    best = designing._hypercube(2, 8, np.random.default_rng(1), criterion)

    others = [designing._evenness(designing.qmc.LatinHypercube(2, rng=rng).random(8), criterion) for _ in range(9)]

    assert designing._evenness(best, criterion) >= np.median(others)
    assert sorted((best[:, 0] * 8).astype(int)) == list(range(8))


def test_each_category_comes_as_often_as_the_others():
    found = designing.fill(ALL_KINDS, "lhs", 30, 1, "maximin")

    assert Counter(point["c"] for point in found.points) == {"x": 10, "y": 10, "z": 10}
    assert set(Counter(point["i"] for point in found.points).values()) == {6}


def test_a_small_space_has_no_more_points_than_there_are(at_hand):
    found = design(at_hand("four", FOUR_POINTS), n_points=9)

    assert sorted(point["c"] for point in found["points"]) == ["A", "B", "C", "D"]
    assert "no more than 4" in found["message"]


def test_readings_that_nobody_chooses_are_no_part_of_a_design(at_hand):
    found = design(at_hand("mixed", MIXED), n_points=3)

    assert [list(point) for point in found["points"]] == [["T", "p", "c"]] * 3


@pytest.mark.parametrize("method", FILLING)
@pytest.mark.parametrize("sense", ["at_most", "equals"])
def test_every_point_meets_the_constraints(method, sense):
    limited = Space(THREE.parameters, (LinearConstraint((("a", 1.0), ("b", 2.0)), sense, 1.0),))

    found = designing.fill(limited, method, 6, 3, "maximin")

    assert len(found.points) == 6
    assert all(limited.is_feasible(point) for point in found.points)


def test_constraints_that_leave_no_point_are_named(at_hand):
    text = MIXED + "\n[[constraints]]\nterms = { T = 1.0, p = 1.0 }\nat_most = 4.0\n"
    text += "\n[[constraints]]\nterms = { T = 1.0, p = -1.0 }\nat_least = 8.0\n"
    api = at_hand("none", text)

    for path, wish in (("/initial-design", {}), ("/optimal-design", {"model_type": "linear", "n_points": 8})):
        answer = api.post(path, wish)
        assert (answer.status_code, answer.json()["error_type"]) == (400, "InfeasibleRegionError")
        assert "at most 4" in answer.json()["detail"]


# -- classical designs -----------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "wish", "n_runs", "details"),
    [
        (TWO, Classical("full_factorial"), 5, {"factorial_runs": 4, "center_runs": 1, "levels_per_factor": [2, 2]}),
        (TWO, Classical("full_factorial", n_levels=3, n_center=2), 11, {"factorial_runs": 9, "total_runs": 11}),
        (ALL_KINDS, Classical("full_factorial"), 37, {"levels_per_factor": [2, 2, 3, 3]}),
        (THREE, Classical("fractional_factorial"), 5, {"factorial_runs": 4, "generators": "a b ab"}),
        (THREE, Classical("fractional_factorial", generators="a b c"), 9, {"generators": "a b c"}),
        (TWO, Classical("ccd"), 10, {"factorial_runs": 4, "axial_runs": 4, "center_runs": 2, "total_runs": 10}),
        (THREE, Classical("ccd", face="faced"), 16, {"axial_runs": 6, "face": "faced"}),
        (THREE, Classical("box_behnken"), 13, {"edge_runs": 12, "center_runs": 1}),
        (THREE, Classical("plackett_burman", n_center=0), 4, {"screening_runs": 4, "total_runs": 4}),
        (TWO, Classical("gsd"), 2, {"full_factorial_runs": 4, "gsd_runs": 2}),
        (ALL_KINDS, Classical("gsd"), 18, {"full_factorial_runs": 36, "reduction": 2}),
    ],
)
def test_a_classical_design_has_the_runs_that_it_is_known_for(space, wish, n_runs, details):
    found = designing.classical(space, wish)

    assert len(found.points) == n_runs
    assert details.items() <= found.details.items()
    assert all(space.check(point) == point for point in found.points)


def test_the_runs_of_a_composite_design_reach_the_bounds_and_no_further():
    found = designing.classical(TWO, Classical("ccd")).points

    assert {(point["a"], point["b"]) for point in found} >= {(0.0, 0.0), (10.0, 0.0), (5.0, -1.0), (5.0, 1.0)}
    assert min(point["a"] for point in found) == 0.0
    assert found.count({"a": 5.0, "b": 0.0}) == 2


def test_the_smallest_fraction_keeps_main_effects_apart():
    for n in range(2, 9):
        space = Space(tuple(Continuous(f"v{k}") for k in range(n)))
        runs = designing.classical(space, Classical("fractional_factorial", n_center=0)).points

        coded = 2.0 * np.array([list(point.values()) for point in runs]) - 1.0
        assert np.allclose(coded.T @ coded, len(runs) * np.eye(n))
        assert len(runs) <= 2 * n


@pytest.mark.parametrize(
    ("space", "wish", "mend"),
    [
        (TWO, Classical("box_behnken"), "takes 3 variables"),
        (ALL_KINDS, Classical("ccd"), "Take full_factorial or gsd"),
        (ALL_KINDS, Classical("plackett_burman"), "c are"),
        (THREE, Classical("fractional_factorial", generators="a b"), "one for each"),
        (THREE, Classical("fractional_factorial", generators="a b !"), "Write them like"),
        (Space(tuple(Continuous(f"v{k}") for k in range(20))), Classical("full_factorial"), "10000 are the most"),
        (Space(tuple(Continuous(f"v{k}") for k in range(20))), Classical("ccd"), "10000 are the most"),
    ],
)
def test_a_design_that_is_not_for_the_space_says_which_one_is(space, wish, mend):
    with pytest.raises(PlannerError, match=mend):
        designing.classical(space, wish)


def test_runs_that_the_constraints_forbid_are_left_out_only_where_that_is_allowed(at_hand):
    api = at_hand("limited", MIXED + "\n[[constraints]]\nterms = { T = 1.0, p = 1.0 }\nat_most = 15.0\n")

    refused = api.post("/initial-design", {"method": "full_factorial"})
    allowed = design(api, method="full_factorial", allow_infeasible=True, n_points=3)

    assert (refused.status_code, refused.json()["error_type"]) == (400, "DesignNotEstimableError")
    assert allowed["n_points"] == 4
    assert allowed["feasibility"]["constraints_applied"] == ["constraint_0"]
    assert (allowed["feasibility"]["n_points_dropped"], allowed["feasibility"]["estimability"]) == (5, "waived")
    assert "did not count" in allowed["message"]


@pytest.mark.parametrize(
    "wish",
    [{"method": "magic"}, {"n_points": 0}, {"n_points": 2001}, {"n_levels": 6}, {"lhs_criterion": "x"}, {"zz": 1},
     {"random_seed": -1}, {"method": "ccd", "ccd_alpha": "x"}, {"method": "gsd", "gsd_reduction": 1}],
)  # fmt: skip
def test_a_wish_that_there_is_not_is_refused(api, wish):
    assert api.post("/initial-design", wish).status_code == 422


@pytest.mark.parametrize("method", CLASSICAL)
def test_every_classical_method_answers_over_the_network(at_hand, method):
    numbers = MIXED.replace('type = "categorical"\noptions = ["A", "B"]', 'type = "integer"\nbounds = [1, 9]')

    found = design(at_hand("numbers", numbers), method=method)

    assert found["n_points"] == len(found["points"]) == found["design_info"]["total_runs"]


# -- optimal designs -------------------------------------------------------------


def test_the_terms_of_a_model_are_told_with_how_many_runs_they_take(api):
    info = api.did("POST", "/optimal-design/info", {"model_type": "quadratic"})

    assert info == {"model_terms": ["Intercept", "T", "c", "T*c", "T^2"], "p_columns": 5, "n_points_minimum": 5,
                    "n_points_recommended": 10}  # fmt: skip


def test_effects_are_read_as_clients_write_them():
    assert list(map(optimal.in_words, optimal.terms_of(TWO, None, ["b * a", "a**2", "b^2", "a*b"]))) == [
        "Intercept", "a*b", "a^2", "b^2",
    ]  # fmt: skip
    assert optimal.n_columns(ALL_KINDS, optimal.terms_of(ALL_KINDS, "interaction", None)) == 1 + 5 + (1 + 2 + 1) + 5
    for effect in ("zz", "a*zz", "a*", "a^3", "a*a", ""):
        with pytest.raises(PlannerError, match="Write it like"):
            optimal.terms_of(TWO, None, [effect])
    with pytest.raises(PlannerError, match="square of a category"):
        optimal.terms_of(ALL_KINDS, None, ["c**2"])


@pytest.mark.parametrize("criterion", ["D", "A", "I"])
def test_nine_runs_of_a_quadratic_model_of_two_variables_are_the_known_optimum(criterion):
    found = optimal.make(TWO, "quadratic", None, 9, criterion, "fedorov", 5, 200, 1)

    runs = {(point["a"], point["b"]) for point in found.points}
    assert runs == {(a, b) for a in (0.0, 5.0, 10.0) for b in (-1.0, 0.0, 1.0)}
    assert found.details["D_eff"] == pytest.approx(46.224, abs=1e-3)


@pytest.mark.parametrize("criterion", ["D", "A", "I"])
def test_exchanges_make_a_design_better_than_chance_and_no_worse_than_without(criterion):
    space = Space(tuple(Continuous(f"v{k}") for k in range(4)))
    scores = {
        algorithm: optimal.make(space, "quadratic", None, 18, criterion, algorithm, 3, 200, 1).details["score"]
        for algorithm in ("sequential", "fedorov")
    }
    terms, rng = optimal.terms_of(space, "quadratic", None), np.random.default_rng(0)
    candidates = optimal._candidates(space, 3, 4000, 1)
    x = optimal._matrix(space, terms, candidates)
    moments = x.T @ x / len(x)
    by_chance = [optimal._quality(x[rng.permutation(len(x))[:18]], criterion, moments)["score"] for _ in range(20)]

    assert scores["fedorov"] >= scores["sequential"]
    assert scores["fedorov"] > max(by_chance)


def test_changes_of_rank_one_keep_what_is_known_of_the_runs_exact():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 5))
    for weight in (None, np.eye(5), x.T @ x / 40):
        runs = optimal._Information(x, weight, list(range(8)))
        runs.add(20)
        runs.remove(2)
        runs.add(31)

        assert np.allclose(runs.gains(), optimal._Information(x, weight, runs.rows).gains())
        assert runs.rows == [0, 1, 3, 4, 5, 6, 7, 20, 31]


def test_an_optimal_design_meets_the_constraints_and_goes_to_their_edge():
    limited = Space(TWO.parameters, (BELOW_TWO,))

    found = optimal.make(limited, "quadratic", None, 9, "D", "fedorov", 5, 200, 1)

    assert all(limited.is_feasible(point) for point in found.points)
    assert max(point["a"] for point in found.points) == pytest.approx(2.0)


def test_terms_that_the_constraints_make_one_are_refused():
    mixture = Space(
        tuple(Continuous(name) for name in "pqr"), (LinearConstraint(tuple((n, 1.0) for n in "pqr"), "equals", 1.0),)
    )

    with pytest.raises(PlannerError, match="apart"):
        optimal.make(mixture, "linear", None, 8, "D", "fedorov", 5, 200, 1)
    assert len(optimal.make(mixture, None, ["p", "q", "p*q"], 8, "D", "fedorov", 5, 200, 1).points) == 8


def test_an_optimal_design_is_asked_for_by_its_runs_or_by_runs_for_each_coefficient(api):
    by_runs = api.did("POST", "/optimal-design", {"model_type": "linear", "n_points": 6, "random_seed": 1})
    by_share = api.did("POST", "/optimal-design", {"effects": ["T", "c"], "p_multiplier": 1.5, "criterion": "A"})

    assert (by_runs["n_points"], by_runs["design_info"]["criterion"]) == (6, "D")
    assert (by_share["n_points"], by_share["design_info"]["p_columns"]) == (5, 3)
    api.did("POST", "/experiments/staged/batch", {"experiments": by_share["points"]})


@pytest.mark.parametrize(
    "wish",
    [
        {"model_type": "linear"},
        {"model_type": "linear", "n_points": 2},
        {"model_type": "linear", "n_points": 9, "p_multiplier": 2.0},
        {"n_points": 9},
        {"model_type": "linear", "effects": ["T"], "n_points": 9},
    ],
)
def test_an_optimal_design_that_contradicts_itself_is_refused_as_there(api, wish):
    assert api.post("/optimal-design", wish).status_code == 400


def test_a_design_of_a_session_without_variables_is_refused(at_hand):
    empty = at_hand("empty", '[campaign]\nname = "e"\n[[objectives]]\nname = "Output"\ngoal = "maximize"\n')

    assert empty.post("/initial-design", {}).json()["error_type"] == "NoVariablesError"
    assert empty.post("/optimal-design/info", {"model_type": "linear"}).status_code == 400
