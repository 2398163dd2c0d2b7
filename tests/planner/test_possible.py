import sys

import numpy as np
import pytest

from alchemy_async.errors import PlannerError, RuleError
from alchemy_async.experiment import History, Objective, Observed
from alchemy_async.planner.bayesian import BayesianPlanner
from alchemy_async.planner.designs import METHODS, design, spread
from alchemy_async.planner.possible import MOST_TRIED, held_back
from alchemy_async.planner.search import Search
from alchemy_async.planner.taken import Taken
from alchemy_async.space import Categorical, Continuous, Integer, LinearConstraint, Rule, Space

X, Y = Continuous("x", low=0, high=10), Continuous("y", low=0, high=10)
LOSS = Objective("loss", goal="minimize")


@pytest.fixture
def ruled(tmp_path):
    """Return a space in which a function decides; its module counts what it is asked."""

    def make(body, parameters=(X, Y), constraints=()):
        names = ", ".join(parameter.name for parameter in parameters)
        source = f"n_asked = 0\ndef is_possible({names}):\n    global n_asked\n    n_asked += 1\n    return {body}\n"
        (tmp_path / "my_limits.py").write_text(source)
        return Space(tuple(parameters), constraints, (Rule("my_limits:is_possible", str(tmp_path)),))

    yield make
    sys.modules.pop("my_limits", None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", ["x * y < 20", "(x - 7) ** 2 + (y - 2) ** 2 < 0.2"], ids=["most", "one in 160"])
def test_every_point_of_a_design_is_possible_and_lies_apart_from_the_others(ruled, method, body):
    space = ruled(body)

    points = design(space, method, 8, seed=1)

    assert [space.check(point) for point in points] == points
    assert len(points) == 8
    distances = space.distances(space.to_unit(points), space.to_unit(points)) + np.eye(8)
    assert distances.min() > 0.003


def test_a_rule_and_a_constraint_are_kept_together(ruled):
    mixture = LinearConstraint((("x", 1.0), ("y", 1.0), ("z", 1.0)), "equals", 10.0)
    space = ruled("x < 2 * y", (X, Y, Continuous("z", low=0, high=10)), (mixture,))

    points = design(space, "sobol", 8, seed=1)

    assert [space.check(point) for point in points] == points
    assert len(points) == 8


def test_where_hardly_a_point_is_possible_a_search_starts_around_those_that_are(ruled):
    space = ruled("(x - 7) ** 2 + (y - 2) ** 2 < 0.05")

    rows = spread(space, 256, seed=0)

    assert len(rows) == 256
    assert all(space.is_feasible(point) for point in space.from_unit(rows))
    assert sys.modules["my_limits"].n_asked < 2 * MOST_TRIED + 2000


def test_where_nothing_is_possible_the_rule_is_named_with_the_mend(ruled):
    space = ruled("x > 11")

    with pytest.raises(
        PlannerError, match=r"None of 8192 points.*my_limits:is_possible\. Let it allow more, or narrow"
    ):
        design(space, "sobol", 3, seed=0)


def test_a_finite_space_in_which_nothing_is_possible_names_the_rule_too(ruled):
    space = ruled("k > 9", (Integer("k", low=0, high=5),))

    with pytest.raises(PlannerError, match=r"None of the 6 points .*my_limits:is_possible"):
        design(space, "sobol", 3, seed=0)


def test_a_finite_space_is_given_out_as_far_as_it_is_possible(ruled):
    space = ruled("lid == 'on' or k > 2", (Integer("k", low=0, high=4), Categorical("lid", options=("on", "off"))))

    points = design(space, "random", 50, seed=0)

    assert len(points) == 5 + 2
    assert all(space.is_feasible(point) for point in points)


def test_a_way_that_leaves_what_is_possible_ends_at_its_border(ruled):
    space = ruled("x < 6")
    starts, ends = np.array([[0.1, 0.5], [0.1, 0.5]]), np.array([[0.9, 0.9], [0.5, 0.9]])

    reached, held = held_back(space, starts, ends)

    assert held.tolist() == [True, False]
    assert reached[0] == pytest.approx([0.6, 0.75], abs=2e-3)
    assert reached[0, 0] < 0.6
    assert np.array_equal(reached[1], ends[1])


def test_an_optimum_on_a_curved_border_is_found_there(ruled):
    space = ruled("(x - 2) ** 2 + (y - 2) ** 2 < 16")

    def loss(point):
        return (point["x"] - 7) ** 2 + (point["y"] - 5) ** 2

    observed = tuple(Observed(p, {"loss": loss(p)}) for p in design(space, "sobol", 10, seed=0))
    (suggestion,) = BayesianPlanner(space, (LOSS,), noise="none").ask(History(observed), [], n=1, seed=0)

    best = (np.hypot(5, 3) - 4) ** 2  # from (7, 5) straight to the circle
    assert space.is_feasible(suggestion.parameters)
    assert loss(suggestion.parameters) == pytest.approx(best, abs=0.15)


def test_a_rule_that_fails_in_the_midst_of_a_search_is_named_with_its_point(ruled):
    space = ruled("1 / (x < 9.9) > 0")

    with pytest.raises(RuleError, match=r"my_limits:is_possible failed at x = 9\.9.*ZeroDivisionError"):
        design(space, "random", 500, seed=0)


class Slope:
    """An acquisition that rises evenly in one direction."""

    def __init__(self, direction):
        self.direction = np.array(direction)

    def __call__(self, x):
        return x @ self.direction

    def with_gradient(self, x):
        return self(x), np.tile(self.direction, (len(x), 1))


def test_a_search_goes_on_along_a_curved_border_that_held_it_back(ruled):
    names = "abcdef"
    body = " + ".join(f"({name} - 0.3) ** 2" for name in names) + " < 0.1"
    space = ruled(body, [Continuous(name) for name in names])
    direction = np.array([5.0, 0.0, 3.0, 0.0, -1.0, 4.0]) / np.sqrt(51)

    point, height = Search(space, 3, 0, np.empty((0, 6))).best(Slope(direction), Taken(space))

    assert space.is_feasible(point)
    assert height == pytest.approx(0.3 * direction.sum() + np.sqrt(0.1), abs=0.01)
