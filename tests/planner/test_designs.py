from collections import Counter

import numpy as np
import pytest

from alchemy_async.errors import PlannerError
from alchemy_async.planner.designs import METHODS, design
from alchemy_async.planner.region import Region
from alchemy_async.space import (
    Categorical,
    Context,
    Continuous,
    Discrete,
    Fixed,
    Integer,
    LinearConstraint,
    Space,
)

SQUARE = Space((Continuous("x", low=-5, high=10), Continuous("y", low=0, high=15)))


def constrained(parameters, sense, bound):
    terms = tuple((parameter.name, 1.0) for parameter in parameters if not isinstance(parameter, Categorical))
    return Space(tuple(parameters), (LinearConstraint(terms, sense, bound),))


TIGHT_SPACES = {
    "mixture": constrained([Continuous(name) for name in "abc"], "equals", 1.0),
    "small corner": constrained([Continuous(name) for name in "abcdef"], "at_most", 0.3),
    "logarithmic": constrained(
        [Continuous("a", low=1e-4, high=1, log=True), Continuous("b", low=0, high=1)], "equals", 0.05
    ),
    "integers with a sum": constrained([Integer(name, low=0, high=40) for name in "abcd"], "equals", 40.0),
    "steps, amounts and names": constrained(
        [
            Continuous("a"),
            Discrete("b", options=(0.0, 0.25, 0.5)),
            Integer("k", low=0, high=2),
            Categorical("s", options=("u", "v")),
        ],
        "equals",
        1.3,
    ),
}


def smallest_distance(space, points):
    distances = space.distances(space.to_unit(points), space.to_unit(points))
    return float(np.min(distances + np.eye(len(points)) * 9))


@pytest.mark.parametrize("method", METHODS)
def test_a_design_depends_on_its_seed_alone(method):
    assert design(SQUARE, method, 6, seed=4) == design(SQUARE, method, 6, seed=4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", TIGHT_SPACES)
def test_points_meet_constraints_that_a_sequence_hardly_ever_meets(method, kind):
    space = TIGHT_SPACES[kind]

    points = design(space, method, 6, seed=1)

    assert [space.check(point) for point in points] == points
    assert len(points) == 6
    assert smallest_distance(space, points) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_design_goes_on_without_repeating_what_it_had(method):
    first = design(SQUARE, method, 9, seed=2)

    second = design(SQUARE, method, 9, seed=2, avoid=first)

    assert len(second) == 9
    assert not any(SQUARE.is_copy(point, first) for point in second)


def test_a_sobol_design_in_two_parts_is_the_design_in_one():
    first = design(SQUARE, "sobol", 5, seed=2)

    assert first + design(SQUARE, "sobol", 3, seed=2, avoid=first) == design(SQUARE, "sobol", 8, seed=2)


def test_a_sobol_design_does_not_return_to_a_point_that_was_run_slightly_off():
    asked = design(SQUARE, "sobol", 5, seed=2)
    ran = [{**point, "x": point["x"] + 0.1} for point in asked]

    (following,) = design(SQUARE, "sobol", 1, seed=2, avoid=ran)

    assert not SQUARE.is_copy(following, asked)


def test_a_latin_hypercube_has_one_point_in_each_slice_of_each_axis():
    points = SQUARE.to_unit(design(SQUARE, "lhs", 8, seed=3))

    assert np.all(np.sort((points * 8).astype(int), axis=0) == np.arange(8)[:, None])


def test_a_grid_has_the_corners_and_the_middle_of_the_edges():
    points = SQUARE.to_unit(design(SQUARE, "grid", 9, seed=0))

    assert {tuple(point) for point in points} == {(x, y) for x in (0.0, 0.5, 1.0) for y in (0.0, 0.5, 1.0)}


@pytest.mark.parametrize("method", METHODS)
def test_a_finite_space_is_given_out_whole_and_then_nothing_is_left(method):
    space = Space((Integer("k", low=0, high=2), Categorical("s", options=("u", "v"))))

    points = design(space, method, 50, seed=0)

    assert sorted(map(str, points)) == sorted(map(str, space.grid()))
    assert design(space, method, 1, seed=0, avoid=points) == []


@pytest.mark.parametrize("kind", [Continuous("x", low=0, high=1), Integer("x", low=0, high=1)])
def test_constraints_that_no_point_meets_are_named(kind):
    space = Space((kind, Continuous("y")), (LinearConstraint((("x", 1.0), ("y", 1.0)), "at_least", 3.0),))

    with pytest.raises(PlannerError, match=r"1 x x \+ 1 x y at least 3.*Loosen a constraint, or widen.*x, y"):
        design(space, "sobol", 3, seed=0)


def test_integers_that_can_add_up_only_between_their_values_are_infeasible():
    space = constrained([Integer(name, low=0, high=10**5) for name in "ab"], "equals", 1.5)

    with pytest.raises(PlannerError, match="Loosen a constraint"):
        design(space, "random", 3, seed=0)


def test_an_unknown_design_is_refused_with_those_there_are():
    with pytest.raises(PlannerError, match="Choose one of sobol, lhs, random, grid"):
        design(SQUARE, "sobel", 3, seed=0)


def test_two_inequalities_that_leave_no_room_are_sampled_as_the_equality_they_are():
    terms = (("a", 1.0), ("b", 1.0))
    bounds = (LinearConstraint(terms, "at_most", 1.0), LinearConstraint(terms, "at_least", 1.0))
    space = Space((Continuous("a"), Continuous("b"), Continuous("c")), bounds)

    shares = [point["a"] for point in design(space, "random", 12, seed=0)]

    assert max(shares) - min(shares) > 0.5


def test_the_region_is_sampled_evenly():
    triangle = Region(constrained([Continuous("a"), Continuous("b")], "at_most", 1.0))

    drawn = triangle.sample(4000, np.random.default_rng(0))

    assert np.all(drawn.sum(axis=1) <= 1 + 1e-9)
    assert drawn.mean(axis=0) == pytest.approx([1 / 3, 1 / 3], abs=0.02)
    assert np.mean(drawn.sum(axis=1) < 0.5) == pytest.approx(0.25, abs=0.03)


def test_a_point_is_repaired_by_moving_as_little_as_will_do():
    region = Region(TIGHT_SPACES["integers with a sum"])

    repaired = region.repair({"a": 10, "b": 10, "c": 10, "d": 9})

    assert sum(repaired.values()) == 40
    assert sum(abs(repaired[name] - value) for name, value in zip("abcd", (10, 10, 10, 9), strict=True)) == 1


def test_a_point_is_repaired_exactly_where_several_parameters_must_move():
    a, b, c = (Discrete(name, options=(0.0, 3.0, 7.0)) for name in "abc")
    space = constrained([a, b, c], "equals", 10.0)

    repaired = Region(space).repair({"a": 7.0, "b": 7.0, "c": 7.0})

    assert sorted(repaired.values()) == [0.0, 3.0, 7.0]


@pytest.mark.parametrize("method", METHODS)
def test_what_is_fixed_counts_in_constraints_and_is_not_moved_to_meet_them(method):
    shares = (Continuous("a"), Continuous("b"), Fixed("c", of=Continuous("c"), at=0.3))
    space = Space(shares, (LinearConstraint((("a", 1.0), ("b", 1.0), ("c", 1.0)), "equals", 1.0),))

    points = design(space, method, 6, seed=1)

    assert len(points) == 6
    assert all(point["c"] == 0.3 and point["a"] + point["b"] == pytest.approx(0.7) for point in points)


def test_a_constraint_on_nothing_but_what_is_fixed_leaves_everything_else_free():
    bound = LinearConstraint((("c", 1.0),), "at_most", 0.5)
    free = (Continuous("a"), Fixed("c", of=Continuous("c"), at=0.3))
    broken = (Continuous("a"), Fixed("c", of=Continuous("c"), at=0.7))

    assert len(design(Space(free, (bound,)), "sobol", 6, seed=1)) == 6
    with pytest.raises(PlannerError, match=r"1 x c at most 0\.5"):
        design(Space(broken, (bound,)), "sobol", 6, seed=1)


def test_readings_stay_as_they_are_in_a_design():
    reading = Context("humidity", of=Continuous("humidity", low=20, high=80), reading=41.5)

    points = design(Space((*SQUARE.parameters, reading)), "lhs", 6, seed=1)

    assert {point["humidity"] for point in points} == {41.5}
    assert len({point["x"] for point in points}) == 6


@pytest.mark.parametrize("method", ["sobol", "lhs", "random"])
def test_every_category_and_every_number_at_the_end_gets_its_share(method):
    space = Space((Categorical("solvent", options=("A", "B", "C")), Integer("n", low=1, high=3), Continuous("x")))

    points = design(space, method, 300, seed=3)

    for name in ("solvent", "n"):
        counts = Counter(point[name] for point in points)
        assert all(80 <= n <= 120 for n in counts.values()), (name, counts)


@pytest.mark.parametrize("method", ["sobol", "lhs", "random"])
def test_hundreds_of_taken_points_leave_room_for_the_next(method):
    taken = design(SQUARE, method, 600, seed=7)

    assert len(design(SQUARE, method, 3, seed=7, avoid=taken)) == 3
